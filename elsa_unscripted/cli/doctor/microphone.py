"""The microphone that `live` would record from: `live --list-devices`, in a process of its own, which can be ended.

Looking takes a third of a second, and half a minute if the sound server hangs. So it begins before all other checks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from typing import Callable, Iterator

from ...deadline import Deadline
from ...exceptions import AudioError
from .check import OK, SKIPPED, WARNING, Check, failed

NAME = "microphone"
SECONDS = 6.0  # s from the start of the command
_COMMAND = "import sys; sys.path[:] = {!r}; from elsa_unscripted.cli import main; sys.exit(main({!r}))"


@contextlib.contextmanager
def looking() -> Iterator[Callable[[], Check]]:
    """Begins to look for microphones; gives a function that waits for what was found."""
    if importlib.util.find_spec("sounddevice") is None or not sys.executable:
        yield lambda: Check(NAME, SKIPPED, "not looked for without the extra microphone")
        return
    until = Deadline(SECONDS)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND.format(sys.path, ["live", "--list-devices"])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    except OSError as error:
        reason = f"not looked for: {sys.executable} can't be started ({error.strerror})"
        yield lambda: Check(NAME, SKIPPED, reason)
        return
    with process:
        try:
            yield lambda: _check(process, until)
        finally:
            process.kill()


def _check(process: subprocess.Popen[bytes], until: Deadline) -> Check:
    try:
        out, err = process.communicate(timeout=until.remaining())
    except subprocess.TimeoutExpired:
        detail = f"the sound system has not answered within {SECONDS:g} s"
        return Check(NAME, WARNING, detail, "start the sound server again")
    devices = out.decode("utf-8", "replace").splitlines()
    if process.returncode != 0 or not devices:
        return _check_none(err.decode("utf-8", "replace").strip().rpartition("\n")[2])
    chosen = next((device for device in devices if device.startswith("*")), None)
    if chosen is None:
        detail = f"{len(devices)}, none of them the default: choose with live --device"
        return Check(NAME, OK, detail, "", tuple(devices))
    return Check(NAME, OK, " ".join(chosen[1:].split()), "", tuple(devices))


def _check_none(said: str) -> Check:
    """Returns the check where none was found; `said` is the last line of the command that lists them."""
    said = said.rpartition("elsa-unscripted: error: ")[2]
    if said.startswith(("there is no microphone", "the microphone needs the system's library")):
        return Check(NAME, SKIPPED, said)  # absent, and optional
    if "rename it" in said:
        return failed(NAME, AudioError(said))
    return Check(NAME, WARNING, said or "none can be listed", "start the sound server again")
