"""What is on this machine: Python, packages, programs, the terminal, limits; and an exchange with a sandbox here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from typing import Iterator

from ...audio.wav import header
from ...exceptions import ConnectError, ElsaError
from ...exchange.client import Client
from ...signals import raise_interruption
from ...version import __version__
from ..result import encoding_of
from .check import OK, SKIPPED, WARNING, Check, failed
from .packages import EXTRAS, RUNTIME, check_extra, check_package

TESTED = (3, 15)  # the newest Python that the tests run on
FFMPEG_SECONDS = 2.0  # s; it answers in a tenth
SANDBOX_SECONDS = 4.0  # to connect, and as many for the verdict; a local sandbox needs a tenth of a second
NARROWEST = 40  # columns: what the summary needs

# Descriptors of a batch: while it connects, a recording has a socket for each of two addresses.
PER_JOB, BESIDE_JOBS = 2, 64


def checks(jobs: int) -> Iterator[Check]:
    """Yields a check for each.

    Args:
        jobs: How many recordings a batch is to score at once.
    """
    yield Check("elsa-unscripted", OK, __version__, "", (os.path.dirname(os.path.abspath(__file__ + "/../..")),))
    yield _check_python()
    yield from map(check_package, RUNTIME)
    yield from map(check_extra, EXTRAS)
    yield check_ffmpeg()
    yield _check_locale()
    yield _check_terminal()
    yield check_files(jobs)
    yield _check_exchange()


def _check_python() -> Check:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    more = (sys.executable or "no executable", platform.platform())
    if sys.version_info[:2] > TESTED:
        hint = f"use Python {TESTED[0]}.{TESTED[1]} if something is strange"
        return Check("python", WARNING, f"{version}, newer than any that this version was tested on", hint, more)
    return Check("python", OK, version, "", more)


def check_ffmpeg() -> Check:
    path = shutil.which("ffmpeg")
    if path is None:
        return Check("ffmpeg", SKIPPED, "not found; only needed for mp3 and the like without the extra formats")
    try:
        done = subprocess.run(
            [path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=FFMPEG_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = type(error).__name__ if isinstance(error, subprocess.SubprocessError) else error.strerror
        return Check("ffmpeg", WARNING, f"{path} doesn't run ({reason})", "pip install 'elsa-unscripted[formats]'")
    first = done.stdout.decode("utf-8", "replace").partition("\n")[0]
    return Check("ffmpeg", OK, first.partition(" Copyright")[0][:60], "", (path,))


def _check_locale() -> Check:
    variables = [f"{name}={os.environ[name]}" for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)]
    files, shown = sys.getfilesystemencoding(), encoding_of(sys.stdout)
    more = (f"names of files: {files}; this output: {shown}", *variables)
    if files.lower().replace("-", "") != "utf8":
        detail = f"names of files are read as {files}: files that a list names may not be found"
        return Check("locale", WARNING, detail, "export LC_ALL=C.UTF-8", more)
    return Check("locale", OK, f"{files}{'' if shown.lower() == files.lower() else f', output in {shown}'}", "", more)


def _check_terminal() -> Check:
    if sys.stdout is None or not sys.stdout.isatty():
        return Check("terminal", SKIPPED, "this output doesn't go to a terminal: no colour")
    columns = shutil.get_terminal_size().columns
    color = "no colour" if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else "colour"
    detail = f"{columns} columns, {color}"
    if columns < NARROWEST:
        return Check("terminal", WARNING, detail, f"make it {NARROWEST} columns wide, for the summary of a result")
    return Check("terminal", OK, detail, "", (f"TERM={os.environ.get('TERM', '')}",))


def check_files(jobs: int) -> Check:
    if sys.platform == "win32":
        return Check("open files", SKIPPED, "Windows has no such limit")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = PER_JOB * jobs + BESIDE_JOBS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        limit = "no limit" if soft == resource.RLIM_INFINITY else f"{soft}"
        return Check("open files", OK, f"{limit}; --jobs {jobs} needs up to {needed}")
    detail = f"{soft} may be open at once, and --jobs {jobs} needs up to {needed}"
    if hard != resource.RLIM_INFINITY and hard < needed:
        return Check("open files", WARNING, detail, f"--jobs {max(1, (hard - BESIDE_JOBS) // PER_JOB)}")
    return Check("open files", WARNING, detail, f"ulimit -n {needed}")


def _check_exchange() -> Check:
    """Scores a tone with a sandbox on this machine: all of the package works, whatever the network does."""
    try:
        from ...sandbox import Sandbox
    except ImportError:
        return Check("local exchange", SKIPPED, "not tried without the extra sandbox")
    pcm = bytes(range(256)) * 62  # half a second
    try:
        with (
            Sandbox() as sandbox,
            Client(
                "any-token",
                url=sandbox.url,
                speed=None,
                connect_timeout=SANDBOX_SECONDS,
                timeout=SANDBOX_SECONDS,
                connect_retries=0,
            ) as client,
        ):
            result = client.score(header(16_000, 1, 2, len(pcm)) + pcm)
    except (ConnectError, OSError, RuntimeError) as error:
        raise_interruption(error, None)
        hint = "allow programs of this machine to connect to 127.0.0.1, in its firewall for example"
        return Check("local exchange", WARNING, f"not tried: no server works at 127.0.0.1 ({error})", hint)
    except ElsaError as error:
        return failed("local exchange", error)
    seconds = result.timings.total or 0.0
    return Check("local exchange", OK, f"{result.status} from a sandbox on this machine, in {seconds * 1000:.0f} ms")
