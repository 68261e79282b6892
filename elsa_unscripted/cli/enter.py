"""`Enter`: tells whether Enter was pressed, without ever blocking in a read of standard input. For `live`.

A thread that is blocked in `sys.stdin.buffer.read()` when the interpreter ends aborts it (status 134). So this waits
until the descriptor has something to read.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import time
from typing import Optional

__all__ = ["Enter"]

LOOK_SECONDS = 0.05  # s between two looks at the keyboard on Windows, where nothing tells of a key


class Enter:
    """Watches standard input: a terminal, or a pipe whose writer sends a line. One thread calls `wait()`.

    What is typed before it is made doesn't count.

    Attributes:
        is_terminal: Whether standard input is a terminal.
        is_watched: Whether Enter can be pressed: not if standard input is a file, is at its end, or closed.
    """

    def __init__(self) -> None:
        self._descriptor = _stdin()
        self.is_terminal = self._descriptor is not None and os.isatty(self._descriptor)
        self.is_watched = self._descriptor is not None
        self._woken, self._wake = os.pipe()
        if self.is_terminal:
            _forget_what_was_typed(self._descriptor)

    def wait(self, seconds: float) -> bool:
        """Waits for Enter, `seconds` at most, or until `wake()`; returns whether it was pressed.

        On a terminal, Ctrl-D counts as Enter. The end of a pipe doesn't: whoever has started this may be gone.
        """
        if sys.platform == "win32":
            return self._wait_on_windows(seconds)
        watched = [self._woken] if self._descriptor is None else [self._woken, self._descriptor]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._descriptor not in ready or self._descriptor is None:
            return False
        typed = b""
        with contextlib.suppress(OSError):  # the terminal is gone
            typed = os.read(self._descriptor, 4096)
        if typed:
            return b"\n" in typed
        self._descriptor, self.is_watched = None, False
        return self.is_terminal

    def wake(self) -> None:
        """Lets `wait()` return at once from now on; any thread may call this."""
        os.write(self._wake, b"x")

    def close(self) -> None:
        """Closes what it has opened: not standard input."""
        os.close(self._woken)
        os.close(self._wake)

    def _wait_on_windows(self, seconds: float) -> bool:
        if sys.platform == "win32":
            import msvcrt

            until = time.monotonic() + seconds
            while time.monotonic() < until:
                while self.is_terminal and msvcrt.kbhit():
                    if msvcrt.getwch() in "\r\n":
                        return True
                time.sleep(LOOK_SECONDS)
        return False


def _stdin() -> Optional[int]:
    """Returns the descriptor of standard input, if somebody may send a line there."""
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (AttributeError, OSError, ValueError):  # there is none, or it is closed
        return None
    if os.isatty(descriptor):
        return None if _is_in_background(descriptor) else descriptor
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _is_in_background(terminal: int) -> bool:
    """Returns whether a shell has the terminal at the moment: it would stop this program for reading there."""
    if sys.platform == "win32":
        return False
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:  # it isn't the terminal of this session, so no shell has it
        return False


def _forget_what_was_typed(terminal: Optional[int]) -> None:
    if sys.platform != "win32" and terminal is not None:
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(terminal, termios.TCIFLUSH)
