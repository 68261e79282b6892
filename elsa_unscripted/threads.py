"""Starts threads, and holds locks, in spite of signal handlers that raise. For every room that has threads."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any, ContextManager, Iterator, List

from .signals import raised_by_handler

__all__ = ["NoThreadError", "held", "start_thread"]


def held(lock: Any) -> ContextManager[Any]:
    """Returns what holds a `Lock` or `RLock` in a `with`, and gives it back if a signal handler raises.

    Most Pythons do that by themselves. On 3.14, what a handler raises right after `with lock:` has taken the lock
    leaves it taken (seen on 3.14.10; not on 3.15).
    """
    return _held(lock) if sys.version_info[:2] == (3, 14) else lock


@contextlib.contextmanager
def _held(lock: Any) -> Iterator[None]:
    taken: List[bool] = []
    try:
        # Within one call of C code, no signal handler can raise between the taking and the noting.
        taken.extend(map(lock.acquire, [True]))
        yield
    finally:
        if taken:
            lock.release()


class NoThreadError(Exception):
    """No thread could be started; the text says why, and what to do. Whoever starts one raises an error of its own."""


def start_thread(thread: threading.Thread, advice: str = "use fewer at once") -> None:
    """Starts a thread.

    Args:
        thread: Is to be started.
        advice: What to do if the process or the system has too many.

    Raises:
        NoThreadError: It can't be started, and doesn't run. Anything else that is raised is a signal handler's; the
            thread may run then.
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
