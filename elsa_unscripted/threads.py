"""Starts threads and holds locks so that neither breaks when a signal handler raises. For rooms that use threads."""

from __future__ import annotations

import sys
import threading
from typing import Any, Callable, List, Optional, TypeVar

from .signals import raise_interruption

__all__ = ["NoThreadError", "holding", "start_thread"]

T = TypeVar("T")

_WITH_IS_BROKEN = sys.version_info[:2] == (3, 14)  # seen on 3.14.10, and not on 3.15


def holding(lock: Any, function: Callable[..., T], *arguments: Any, timeout: float = -1) -> Optional[T]:
    """Calls a function while it holds a `Lock` or `RLock`, which is free afterwards even if a signal handler raises.

    Use it in place of `with lock:` where the main thread runs. On Python 3.14, that leaves the lock taken for ever if a
    handler raises right after the lock was taken. A context manager of ours could do no better: a handler may raise
    when its `__exit__` begins. Python 3.9 runs handlers between any two steps: there, nothing helps. On the others,
    `with` does, and takes a quarter of the time.

    Args:
        lock: The lock to take.
        function: What to call.
        *arguments: What to call it with.
        timeout: The most seconds to wait for the lock; -1 for no bound.

    Returns:
        What the function returns; `None` if the lock couldn't be had in time.
    """
    if timeout < 0 and not _WITH_IS_BROKEN:
        with lock:
            return function(*arguments)
    taken: List[bool] = []
    try:
        # One call of C code both takes the lock and notes that, so no signal handler can raise in between.
        taken.extend(map(lock.acquire, (True,), (timeout,)))
        return function(*arguments) if taken[0] else None
    finally:
        if taken == [True]:  # no call before this one, where a handler could raise
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
    before = sys.exc_info()[1]
    try:
        # Up to Python 3.11, a thread that is started now never runs, and `start()` waits for it for ever.
        if sys.is_finalizing():
            raise RuntimeError("can't start new thread at interpreter shutdown")
        thread.start()
    except RuntimeError as error:
        # `start()` waits until the thread runs. Ctrl-C at a bad moment of that would look like "no thread", and the
        # thread would go on, unknown to whoever began it.
        raise_interruption(error, before)
        if "shutdown" in str(error):
            advice = "the interpreter is ending: call it before that, not in a finalizer or from atexit"
        raise NoThreadError(f"no thread could be started ({error}); {advice}") from error
