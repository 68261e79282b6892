"""Tells what a caller's signal handler raised from what failed by itself. For wherever a broad `except` is needed.

A handler may raise anything, at any moment of the main thread: a task queue's time limit, most often. That must come
through, and not be taken for a damaged file or for a broken connection.
"""

from __future__ import annotations

import inspect
from types import FrameType

__all__ = ["raised_by_handler"]


def raised_by_handler(error: BaseException) -> bool:
    """Returns whether a signal handler raised an exception, or something that a handler called.

    Python calls a handler with the signal's number and the frame that the signal interrupted. So a frame among the
    arguments of a function on the traceback gives a handler away; trace functions, which are the caller's too, are
    the only others that are called with one.

    Args:
        error: Has been caught by the function that asks.
    """
    # Not the frame that has caught the error: up to Python 3.12, reading `f_locals` leaves a copy of the variables in
    # the frame. The error is one of them, and refers to the frame: a circle, which would keep the caller's audio.
    traceback = error.__traceback__ and error.__traceback__.tb_next
    while traceback is not None:
        frame = traceback.tb_frame
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
        for name in code.co_varnames[:count]:
            value = frame.f_locals.get(name)
            if any(isinstance(item, FrameType) for item in (value if isinstance(value, tuple) else (value,))):
                return True
        traceback = traceback.tb_next
    return False
