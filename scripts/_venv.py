"""The virtual environments that the scripts run in, and the commands run there; for `check.py` and `demo.py`.

Standard library only: it works before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if sys.version_info < (3, 9):  # noqa: UP036 - says so to those who have less
    sys.exit(f"this needs Python 3.9 or newer; {sys.executable} is {platform.python_version()}")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"  # the one that people use
VENVS = ROOT / ".venvs"  # those that only `check.py` uses

# pip's arguments for the two things to have in VENV; the second holds the first.
PACKAGE = ("-e", ".[formats,report,sandbox]")
DEVELOPMENT = ("-r", "requirements.txt")

COMMAND_TIMEOUT = 30 * 60  # s: a hang ends in a message
INTERRUPT_TIME = 5.0  # s, for a command to clean up after Ctrl-C

# What an environment is made from, beside pip's arguments: a change here makes it anew. `version.py` because an
# editable install keeps the version that it was made with.
_SOURCES = ("requirements.txt", "setup.cfg", "elsa_unscripted/version.py")
_BIN = "Scripts" if os.name == "nt" else "bin"


class Python(NamedTuple):
    """An interpreter to make an environment with."""

    executable: str
    version: str


class CommandError(Exception):
    """A command failed.

    Args:
        command: What was run.
        outcome: How it failed, in words.
        output: What it printed, unless that went to the terminal.
    """

    def __init__(self, command: Sequence[str], outcome: str, output: str = "") -> None:
        super().__init__(command, outcome, output)
        self.command, self.outcome, self.output = command, outcome, output

    def __str__(self) -> str:
        return f"{self.output.rstrip()}\n{self.summary}".lstrip()

    @property
    def summary(self) -> str:
        """What failed, in one line."""
        return f"FAILED: {shlex.join(self.command)} ({self.outcome})"


_running: list[subprocess.Popen[bytes]] = []
_ending = threading.Event()

THIS_PYTHON = Python(sys.executable, platform.python_version())


def program(venv: Path, name: str) -> str:
    """Returns the path of a program in an environment."""
    return str(venv / _BIN / (f"{name}.exe" if os.name == "nt" else name))


def uv(command: str, venv: Path) -> list[str]:
    """Returns the beginning of a command of `uv pip` on an environment; uv itself is in `VENV`."""
    return [program(VENV, "uv"), "pip", command, "--quiet", "--python", program(venv, "python")]


def run(command: Sequence[str], *, cwd: Path = ROOT, on_output: Callable[[str], object] | None = None) -> str:
    """Runs a command to its end, and then ends whatever it has left running.

    Args:
        command: The program and its arguments.
        cwd: The directory it runs in.
        on_output: Called each second with all that it has printed.

    Returns:
        What it printed.

    Raises:
        CommandError: Its exit status isn't 0, it took longer than `COMMAND_TIMEOUT`, or `end_all()` was called.
    """
    if _ending.is_set():
        raise CommandError(command, "interrupted")
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # to compile all that a process imports takes longer than its work
    with tempfile.TemporaryDirectory() as directory:
        # A file: a process that the command leaves behind would keep a pipe open for ever.
        path = Path(directory) / "output"
        with path.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # `_end()` interrupts it and its children, and no terminal a second time
            )
        _running.append(process)
        deadline = time.monotonic() + COMMAND_TIMEOUT
        try:
            while not _ending.is_set() and time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                    break
                if on_output is not None:
                    on_output(_text(path))
            ended = process.poll() is not None
        finally:
            _end(process)
            _running.remove(process)
        printed = _text(path)
    if not ended:
        raise CommandError(command, "interrupted" if _ending.is_set() else f"no end after {COMMAND_TIMEOUT} s", printed)
    if process.returncode != 0:
        raise CommandError(command, f"exit status {process.returncode}", printed)
    return printed


def end_all() -> None:
    """Ends what other threads are running by `run()`, and lets them run nothing more."""
    _ending.set()
    for process in list(_running):
        _end(process)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Prints one line around a step: what it does when it begins, how long it took when it ends."""
    print(f"{title:<60}", end=" ", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:6.1f} s", flush=True)


def is_current(venv: Path, *arguments: str, instead: Sequence[str] = (), python: Python = THIS_PYTHON) -> bool:
    """Returns whether `make` has already made this environment, from the same sources."""
    stamp = _stamp(venv)
    return (
        os.path.exists(program(venv, "python"))
        and stamp.is_file()
        and stamp.read_text(encoding="ascii") == _digest((*arguments, *instead), python)
    )


def make(venv: Path, *arguments: str, instead: Sequence[str] = (), python: Python = THIS_PYTHON) -> bool:
    """Makes an environment from scratch, unless it is current.

    `DEVELOPMENT` brings uv, which takes a sixth of the time that pip takes. Those in `VENVS` need that in `VENV`.

    Args:
        venv: Its directory.
        *arguments: What to install: arguments of `pip install`, which runs in `ROOT`.
        instead: Packages to install after that, in other versions than `arguments` pins: both at once is refused.
        python: The interpreter to make it with.

    Returns:
        Whether it had to be made.

    Raises:
        CommandError: It couldn't be made.
    """
    if is_current(venv, *arguments, instead=instead, python=python):
        return False
    with step(f"install into {venv.relative_to(ROOT).as_posix()} (once)"):
        # First: an interrupted attempt must not look current.
        with contextlib.suppress(FileNotFoundError):
            _stamp(venv).unlink()
        _make(venv, python, arguments)
        if instead:
            run([*uv("install", venv), *instead])
        _stamp(venv).write_text(_digest((*arguments, *instead), python), encoding="ascii")
    return True


def _make(venv: Path, python: Python, arguments: Sequence[str]) -> None:
    if venv.parent == VENVS:
        run([program(VENV, "uv"), "venv", "--quiet", "--clear", "--seed", "--python", python.executable, str(venv)])
        run([*uv("install", venv), *arguments])
        return
    try:
        run([python.executable, "-m", "venv", "--clear", str(venv)])
    except CommandError as error:
        hint = "on Debian and Ubuntu, `apt-get install python3-venv` adds what it needs"
        raise CommandError(error.command, f"{error.outcome}; {hint}", error.output) from None
    # PEP 517 by every pip alike: older ones would pick another way to install ours, depending on what is there.
    # Most modules of the packages are never imported: to compile them all is two fifths of the installing.
    pip = [program(venv, "python"), "-m", "pip", "install", "--quiet", "--no-compile", "--use-pep517"]
    if arguments == DEVELOPMENT:
        # Where uv fails, pip may not: it reads settings of its own, such as where a company's mirror of PyPI is.
        try:
            run([*pip, *re.findall(r"^uv==\S+", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)])
            run([*uv("install", venv), *arguments])
            return
        except CommandError as error:
            print(f"{error.summary}; now by pip", end=" ", flush=True)
    run([*pip, *arguments])


def _stamp(venv: Path) -> Path:
    return venv / ".made-from"


def _digest(arguments: Sequence[str], python: Python) -> str:
    # ROOT: a copied or moved environment still points to where it was made.
    digest = hashlib.sha256(repr((str(ROOT), python.version, arguments)).encode())
    for source in _SOURCES:
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a command, and all that it has started, as Ctrl-C does; what doesn't hear that is killed."""
    if os.name == "nt":
        process.kill()
        return
    for number, patience in ((signal.SIGINT, INTERRUPT_TIME), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left; macOS
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
