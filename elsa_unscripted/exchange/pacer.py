"""The thread that all paced streams of a process share. Used by `sender`.

With a thread for each stream, a process that carries a thousand of them spends its time on handing Python's interpreter
lock from thread to thread. The thread runs while there are paced streams, and gives each its turn when it is due. No
turn may block: a stream whose connection takes no more asks for another turn a little later.
"""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import threading
import time
from typing import Any, Dict, List, Optional, Protocol, Tuple

from ..mailbox import Mailbox
from ..threads import held, start_thread


class Paced(Protocol):
    """What the pacer gives turns to."""

    def take_turn(self) -> Optional[float]:
        """Does what is due, without blocking or raising; returns when its next turn is due, `None` for no more turns.

        When is a time of the monotonic clock. After the last turn, further ones may come and return `None`.
        """
        ...

    def finish(self) -> None:
        """Notes that no more turns are needed; may be called again."""
        ...


class Pacer:
    """Starts the thread with the first stream, and lets it end with the last; the thread owns their order."""

    def __init__(self) -> None:
        self._inbox: Mailbox[Paced] = Mailbox()  # those that are new, and those that want a turn at once
        # Guards the next, so that nothing new comes into the inbox of a thread that ends. An RLock knows its owner.
        self._lock: Any = threading.RLock()
        self._thread: Optional[threading.Thread] = None

    def add(self, paced: Paced) -> bool:
        """Takes a new stream; returns `False` if it can't, because the calling thread would wait for itself.

        Raises:
            NoThreadError: The thread can't be started.
        """
        # What interrupts the owner of the lock, or the pacer's own thread, is a signal handler or a finalizer.
        if self._lock._is_owned() or (self._thread is not None and self._thread.ident == threading.get_ident()):
            return False
        with held(self._lock):
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="elsa-audio", daemon=True)
                # After Ctrl-C in here, the thread may or may not run; `_run` registers it if it does.
                start_thread(thread)
                self._thread = thread
            self._inbox.put(paced)
        return True

    def wake(self, paced: Paced) -> None:
        """Gives a stream that was added a turn at once. Never waits, and so may be called from a signal handler."""
        # No lock: the thread doesn't end before it has finished all that were added. Those that are finished need no
        # turn, and take no harm from one.
        if self._thread is not None:
            self._inbox.put(paced)
        else:  # finished already, or Ctrl-C kept add() from adding it
            paced.finish()

    def is_run_by(self, thread: threading.Thread) -> bool:
        """Returns whether this is the pacer's thread, and goes on."""
        return self._thread is thread

    def _run(self) -> None:
        with held(self._lock):
            if self._thread not in (None, threading.current_thread()):
                return  # Ctrl-C in add() hid this thread, and another one has been started since
            self._thread = threading.current_thread()
        if not self._ends():  # if it does, Ctrl-C kept add() from adding the first stream
            self._give_turns()

    def _give_turns(self) -> None:
        turns: List[Tuple[float, int, Paced]] = []  # a heap: whose turn is when; the number keeps equals in order
        numbers = itertools.count()
        while True:
            paced = self._next(turns)
            due = paced.take_turn()
            if due is not None:
                # At the earliest now: a stream that can't keep up has its turn after those that are waiting already.
                heapq.heappush(turns, (max(due, time.monotonic()), next(numbers), paced))
                continue
            # Decide first whether the thread ends: who waits for the stream's end then knows whether to wait for the
            # thread, too.
            ends = not turns and self._ends()
            paced.finish()
            if ends:
                return

    def _next(self, turns: List[Tuple[float, int, Paced]]) -> Paced:
        """Waits for the next turn, or for a stream in the inbox; takes that stream out of `turns`."""
        try:
            paced = self._inbox.get(max(turns[0][0] - time.monotonic(), 0.0) if turns else 0.0)
        except queue.Empty:
            return heapq.heappop(turns)[2]
        turns[:] = [turn for turn in turns if turn[2] is not paced]
        heapq.heapify(turns)
        return paced

    def _ends(self) -> bool:
        """Returns whether the thread, which has no stream any more, ends: if so, the next stream starts another one."""
        with held(self._lock):
            if not self._inbox:
                self._thread = None
                return True  # another thread may set `_thread` from here on; don't read it again
        return False


# One for each process, since a fork copies the object and not its thread. One for each kind of lock, since gevent's
# patching replaces `threading.Lock`, and a lock from before the patching would block all greenlets.
_pacers: Dict[Tuple[int, object], Pacer] = {}
if hasattr(os, "register_at_fork"):
    # A child may get the number of an ancestor that has ended, and would find the ancestor's pacer under it.
    os.register_at_fork(after_in_child=_pacers.clear)


def shared_pacer() -> Pacer:
    """Returns the pacer of this process."""
    here = os.getpid(), threading.Lock
    return _pacers.get(here) or _pacers.setdefault(here, Pacer())
