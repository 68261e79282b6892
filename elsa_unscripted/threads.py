"""Starts threads and holds locks so that neither breaks when a signal handler raises. For rooms that use threads."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any, ContextManager, Iterator, List

from .signals import raised_by_handler

__all__ = ["NoThreadError", "held", "start_thread"]


def held(lock: Any) -> ContextManager[Any]:
    """Returns a context manager that holds a `Lock` or `RLock`, and releases it even if a signal handler raises.

    Use it in place of `with lock:`. On Python 3.14, that leaves the lock taken for ever if a handler raises right after
    the lock was taken (seen on 3.14.10; not on 3.15).
    """
    return _held(lock) if sys.version_info[:2] == (3, 14) else lock


@contextlib.contextmanager
def _held(lock: Any) -> Iterator[None]:
    taken: List[bool] = []
    try:
        # One call of C code both takes the lock and notes that, so no signal handler can raise in between.
        taken.extend(map(lock.acquire, [True]))
        yield
    finally:
        if taken:
            lock.release()


class NoThreadError(Exception):
    """No thread could be started; the text says why, and what to do. Each caller turns it into an `ElsaError`."""


def start_thread(thread: threading.Thread, advice: str = "use fewer at once") -> None:
    """Starts a thread.

    Args:
        thread: The thread to start.
        advice: For the error's text: what to do if the process or the system has too many threads.

    Raises:
        NoThreadError: The thread can't be started, and doesn't run. Any other exception comes from a signal handler;
            then the thread may or may not run.
    """
    try:
        # Up to Python 3.11, a thread that is started now never runs, and `start()` waits for it for ever.
        if sys.is_finalizing():
            raise RuntimeError("can't start new thread at interpreter shutdown")
        thread.start()
    except RuntimeError as error:
        if raised_by_handler(error):
            raise
        if "shutdown" in str(error):
            advice = "the interpreter is ending: call it before that, not in a finalizer or from atexit"
        raise NoThreadError(f"no thread could be started ({error}); {advice}") from error
