"""What one thread leaves for another: a queue that one thread takes from; used wherever a thread waits for another.

Not a `queue.Queue`: written in Python, with a lock and conditions, it breaks if Ctrl-C comes at a bad moment in it. Not
a `queue.SimpleQueue`: up to Python 3.12, its `get()` waits without end when the timeout passes while it isn't waiting
yet, be it that the system gave the processor to somebody else, or that a signal handler ran. It makes of the time that
is left a negative one, which means "for ever"; a lock's `acquire()` takes care of that.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Deque, Generic, TypeVar

from .deadline import Deadline
from .signals import raised_by_handler

T = TypeVar("T")

# In the main thread, where signals are handled. One that comes in the moment before the wait doesn't end it, on Windows
# none does: Ctrl-C is seen after it only.
LONGEST_WAIT = 0.5  # s


class Mailbox(Generic[T]):
    """Any thread or signal handler puts; one thread takes, in the same order. Its length is what wasn't taken yet."""

    def __init__(self) -> None:
        self._items: Deque[T] = deque()
        self._arrival = threading.Lock()  # released by who puts something: a bell rather than a lock
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
                # Else another one has rung since.

    def get(self, timeout: float) -> T:
        """Takes an item; waits for it, `timeout` seconds at most.

        Raises:
            queue.Empty: None has come.
        """
        until = Deadline(timeout)
        in_main_thread = threading.get_ident() == threading.main_thread().ident
        longest = LONGEST_WAIT if in_main_thread else threading.TIMEOUT_MAX
        while not self._items:
            # It may have been rung for an item that was taken long ago.
            if not self._arrival.acquire(timeout=min(until.remaining(), longest)) and until.expired():
                break
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Takes an item.

        Raises:
            queue.Empty: There is none.
        """
        try:
            return self._items.popleft()
        except IndexError:
            raise queue.Empty from None

    def __len__(self) -> int:
        return len(self._items)
