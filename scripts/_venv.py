"""The virtual environments that the scripts run in, and the commands run there; for `check.py` and `demo.py`.

Standard library only: it works before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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

COMMAND_TIMEOUT = 30 * 60  # s: a hang ends in a message, well before CI's 90 minutes

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
        return f"{self.output.rstrip()}\nFAILED: {shlex.join(self.command)} ({self.outcome})".lstrip()


THIS_PYTHON = Python(sys.executable, platform.python_version())


def program(venv: Path, name: str) -> str:
    """Returns the path of a program in an environment."""
    return str(venv / _BIN / (f"{name}.exe" if os.name == "nt" else name))


def run(command: Sequence[str], *, live: bool = False, cwd: Path = ROOT) -> str:
    """Runs a command to its end.

    Args:
        command: The program and its arguments.
        live: Whether its output goes straight to the terminal.
        cwd: The directory it runs in.

    Returns:
        What it printed; nothing if `live`.

    Raises:
        CommandError: Its exit status isn't 0, or it took longer than `COMMAND_TIMEOUT`.
    """
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    output = None if live else subprocess.PIPE
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=None if live else subprocess.STDOUT,
            timeout=COMMAND_TIMEOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.output or b""
        raise CommandError(command, f"no end after {COMMAND_TIMEOUT} s", _text(printed)) from None
    if done.returncode != 0:
        raise CommandError(command, f"exit status {done.returncode}", done.stdout or "")
    return done.stdout or ""


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


def is_current(venv: Path, *arguments: str, python: Python = THIS_PYTHON) -> bool:
    """Returns whether `make` has already made this environment, from the same sources."""
    stamp = _stamp(venv)
    return (
        os.path.exists(program(venv, "python"))
        and stamp.is_file()
        and stamp.read_text(encoding="ascii") == _digest(arguments, python)
    )


def make(venv: Path, *arguments: str, python: Python = THIS_PYTHON) -> None:
    """Makes an environment from scratch, unless it is current.

    Args:
        venv: Its directory.
        *arguments: What to install: arguments of `pip install`, which runs in `ROOT`.
        python: The interpreter to make it with.

    Raises:
        CommandError: It couldn't be made.
    """
    if is_current(venv, *arguments, python=python):
        return
    with step(f"install into {venv.relative_to(ROOT).as_posix()} (once)"):
        # First: an interrupted attempt must not look current.
        with contextlib.suppress(FileNotFoundError):
            _stamp(venv).unlink()
        try:
            run([python.executable, "-m", "venv", "--clear", str(venv)])
        except CommandError as error:
            hint = "on Debian and Ubuntu, `apt-get install python3-venv` adds what it needs"
            raise CommandError(error.command, f"{error.outcome}; {hint}", error.output) from None
        # PEP 517 by every pip alike: older ones would pick another way to install ours, depending on what is there.
        run([program(venv, "python"), "-m", "pip", "install", "--quiet", "--use-pep517", *arguments])
        _stamp(venv).write_text(_digest(arguments, python), encoding="ascii")


def _stamp(venv: Path) -> Path:
    return venv / ".made-from"


def _digest(arguments: Sequence[str], python: Python) -> str:
    # ROOT: a copied or moved environment still points to where it was made.
    digest = hashlib.sha256(repr((str(ROOT), python.version, arguments)).encode())
    for source in _SOURCES:
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()


def _text(output: str | bytes) -> str:
    return output if isinstance(output, str) else output.decode("utf-8", "replace")
