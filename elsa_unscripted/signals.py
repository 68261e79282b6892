"""Tells whether an exception came from a signal handler of the caller. Called in `except` clauses that might catch one.

A signal handler may raise anything, at any moment of the main thread; most often a task queue does so at its time
limit. Such an exception must reach the caller, and not be taken for a damaged file or a broken connection.
"""

from __future__ import annotations

from types import FrameType

__all__ = ["raised_by_handler"]

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
