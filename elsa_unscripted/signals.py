"""Tells what a caller's signal handler raised from what failed by itself. For wherever a broad `except` is needed.

A handler may raise anything, at any moment of the main thread: a task queue's time limit, most often. That must come
through, and not be taken for a damaged file or for a broken connection.
"""

from __future__ import annotations

from types import FrameType

__all__ = ["raised_by_handler"]

_CO_VARARGS = 0x04  # as in `inspect`, whose import takes as long as that of the package


def raised_by_handler(error: BaseException) -> bool:
    """Returns whether a signal handler raised an exception, or something that a handler called.

    Python calls a handler with the signal's number and the frame that the signal interrupted. So a frame among the
    arguments of a function on the traceback gives a handler away; trace functions, which are the caller's too, are
    the only others that are called with one.

    Args:
        error: Has been caught.
    """
    traceback = error.__traceback__
    while traceback is not None:
        if _is_handler(traceback.tb_frame):
            return True
        traceback = traceback.tb_next
    return False


def _is_handler(frame: FrameType) -> bool:
    # Our own functions are none, and are not looked into: up to Python 3.12, to ask a frame for its local variables
    # lets it keep a copy of them. The error is one of those: such a circle would keep the caller's recording.
    if frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        return False
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _CO_VARARGS)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if any(isinstance(item, FrameType) for item in (value if isinstance(value, tuple) else (value,))):
            return True
    return False
