"""Tells whether an exception came from a signal handler of the caller. Called in `except` clauses that might catch one.

A signal handler may raise anything, at any moment of the main thread; most often a task queue does so at its time
limit. Such an exception must reach the caller, and not be taken for a damaged file or a broken connection.
"""

from __future__ import annotations

from types import FrameType
from typing import Optional

__all__ = ["raise_interruption", "raised_by_handler"]

_CO_VARARGS = 0x04  # as in `inspect`, whose import takes as long as that of the package


def raised_by_handler(error: BaseException) -> bool:
    """Returns whether a signal handler, or a function that a handler called, raised an exception.

    Python calls a handler with the signal's number and the frame that the signal interrupted. So a function on the
    traceback with a frame among its arguments is a handler. Only trace functions are called with a frame, too; those
    also belong to the caller.

    Args:
        error: The exception that was caught.
    """
    traceback = error.__traceback__
    while traceback is not None:
        if _is_handler(traceback.tb_frame):
            return True
        traceback = traceback.tb_next
    return False


def raise_interruption(error: BaseException, before: Optional[BaseException]) -> None:
    """Raises what a signal handler raised during a call that failed for it, though maybe with another exception.

    Python's own threads and executors wait in Python code. If a handler raises at a bad moment of that, their `with`
    can't give a lock back, and its `RuntimeError` takes the place of what the handler raised.

    Args:
        error: What the call raised.
        before: `sys.exc_info()[1]` from before the call: an exception that was being handled then, as after Ctrl-C,
            didn't interrupt the call.
    """
    came: Optional[BaseException] = error
    try:
        while came is not None and came is not before:
            # Python's own handler of Ctrl-C is written in C, and isn't on the traceback.
            if isinstance(came, KeyboardInterrupt) or raised_by_handler(came):
                raise came from came.__cause__  # `from` hides the `RuntimeError`, which tells nobody anything
            came = came.__context__
    finally:
        del came, error  # the traceback of what is raised refers to this frame; a circle would keep the audio


def _is_handler(frame: FrameType) -> bool:
    # Skip our own functions: none is a handler, and up to Python 3.12, reading `f_locals` makes a frame keep a copy of
    # its variables. The error is one of them and refers to the frame: this circle would keep the recording in memory.
    if frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        return False
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _CO_VARARGS)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if any(isinstance(item, FrameType) for item in (value if isinstance(value, tuple) else (value,))):
            return True
    return False
