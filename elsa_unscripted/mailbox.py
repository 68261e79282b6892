"""`Mailbox`: a queue that any thread fills and one thread empties. For `wire`, `exchange`, `results`, `batch`.

Why not `queue.Queue`: it is written in Python, with a lock and conditions; Ctrl-C at a bad moment breaks it.

Why not `queue.SimpleQueue`: up to Python 3.12, its `get(timeout=…)` may wait for ever. If the timeout passes before the
wait begins, because a signal handler or another process ran, the remaining time becomes negative, and `get()` takes
that for "no timeout". A lock's `acquire()` makes no such mistake.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Deque, Generic, TypeVar

from .deadline import Deadline
from .signals import raised_by_handler

T = TypeVar("T")

# s: the longest single wait in the main thread, where Python runs signal handlers. A signal that comes just before a
# wait doesn't end it, and on Windows no signal does: Ctrl-C takes effect only after the wait.
LONGEST_WAIT = 0.5


class Mailbox(Generic[T]):
    """Any thread or signal handler puts items in; one thread takes them out, in the same order.

    `len()` returns how many items are in it.
    """

    def __init__(self) -> None:
        self._items: Deque[T] = deque()
        self._arrival = threading.Lock()  # a bell: `put()` releases it, `get()` waits to acquire it
        self._arrival.acquire()

    def put(self, item: T) -> None:
        """Adds an item; never waits."""
        self._items.append(item)
        if self._arrival.locked():
            try:
                self._arrival.release()
            except RuntimeError as error:
                if raised_by_handler(error):
                    raise
                # Another thread has rung the bell since `locked()` was asked.

    def get(self, timeout: float) -> T:
        """Takes the oldest item; waits for one, `timeout` seconds at most.

        Raises:
            queue.Empty: No item came in time.
        """
        until = Deadline(timeout)
        in_main_thread = threading.get_ident() == threading.main_thread().ident
        longest = LONGEST_WAIT if in_main_thread else threading.TIMEOUT_MAX
        while not self._items:
            # Look again after the bell: it may have rung for an item that was taken before.
            if not self._arrival.acquire(timeout=min(until.remaining(), longest)) and until.expired():
                break
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Takes the oldest item, without waiting.

        Raises:
            queue.Empty: There is no item.
        """
        try:
            return self._items.popleft()
        except IndexError:
            raise queue.Empty from None

    def __len__(self) -> int:
        return len(self._items)
