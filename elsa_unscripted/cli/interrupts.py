"""Ctrl-C in a program of ours: the first one ends it, and those after it change nothing. For both command lines.

People press Ctrl-C in bursts. Without this, the second one would hit whatever the first one has begun: a clean-up, the
line "interrupted", or the end of the interpreter, and a traceback would be printed.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, Iterator, Optional

__all__ = ["first", "ignore", "pressed", "raise_once"]


def raise_once() -> None:
    """Lets the first Ctrl-C from now on raise `KeyboardInterrupt`, and the next ones do nothing."""
    # Else it is ignored, as behind `nohup`, or the caller's.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler and _in_main_thread():
        signal.signal(signal.SIGINT, _interrupt)


@contextlib.contextmanager
def first(act: Callable[[], bool]) -> Iterator[None]:
    """Lets Ctrl-C call `act`; wherever that returns `False`, Ctrl-C does what it did before.

    Args:
        act: Called in the signal handler, so it must not wait for anything.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or not _in_main_thread():  # it is ignored, as behind `nohup`
        yield
        return

    def handle(number: int, frame: Optional[FrameType]) -> None:
        if not act():
            before(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:  # else Ctrl-C has come, and is to change nothing from now on
            signal.signal(signal.SIGINT, before)


def ignore() -> None:
    """Lets Ctrl-C do nothing from now on: the program has done its work, and the interpreter is about to end."""
    if not _in_main_thread():
        return
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        # What Python says of a signal that comes in the very moment in which SIG_IGN takes the place of a handler.
        if not (isinstance(unraisable.exc_value, OSError) and "race condition" in str(unraisable.exc_value)):
            before(unraisable)

    sys.unraisablehook = hook
    # Not `_do_nothing`: when the interpreter ends, it puts the system's own handler in the place of ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # no other may handle signals


def pressed() -> bool:
    """Returns whether Ctrl-C has been pressed since `raise_once()`.

    An error that comes after that comes from it: C code that is interrupted in an import may raise something else.
    """
    return signal.getsignal(signal.SIGINT) is _do_nothing


def _interrupt(_number: int, _frame: Optional[FrameType]) -> None:
    # Not SIG_IGN: Python would print that it has no handler for a signal that has come meanwhile.
    signal.signal(signal.SIGINT, _do_nothing)
    raise KeyboardInterrupt


def _do_nothing(_number: int, _frame: Optional[FrameType]) -> None:
    pass
