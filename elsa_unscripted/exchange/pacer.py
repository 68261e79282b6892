"""`Pacer`: the one thread that sends for all paced streams of a process. Used by `sender`.

With a thread for each of a thousand streams, a process would spend its time on handing Python's interpreter lock from
thread to thread. The pacer's thread runs while there are paced streams, and gives each stream its turn when it is due.
No turn may block: a stream whose connection takes no more asks for another turn a little later.
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
from ..threads import holding, start_thread


class Paced(Protocol):
    """A stream that the pacer gives turns to."""

    def take_turn(self) -> Optional[float]:
        """Does what is due, without blocking or raising.

        Returns:
            When the next turn is due, on the monotonic clock; `None` if this was the last turn. The pacer may still
            call this after the last turn; it must return `None` again.
        """
        ...

    def finish(self) -> None:
        """Notes that the pacer needs to give no more turns; may be called more than once."""
        ...


class Pacer:
    """Starts its thread with the first stream, and lets it end after the last. Only that thread orders the turns."""

    def __init__(self) -> None:
        self._inbox: Mailbox[Paced] = Mailbox()  # new streams, and streams that want a turn at once
        # Guards `_thread`, so that add() puts no stream into the inbox of a thread that is ending. An RLock, since only
        # that can tell add() whether the calling thread holds it.
        self._lock: Any = threading.RLock()
        self._thread: Optional[threading.Thread] = None

    def add(self, paced: Paced) -> bool:
        """Adds a stream; returns `False` if it can't, because the calling thread would wait for itself.

        Raises:
            NoThreadError: The thread can't be started.
        """
        # True only for a signal handler or finalizer that has interrupted this method, or runs in the pacer's thread.
        if self._lock._is_owned() or (self._thread is not None and self._thread.ident == threading.get_ident()):
            return False

        def add() -> None:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="elsa-audio", daemon=True)
                # After Ctrl-C in here, the thread may or may not run; `_run` registers it if it does.
                start_thread(thread)
                self._thread = thread
            self._inbox.put(paced)

        holding(self._lock, add)
        return True

    def wake(self, paced: Paced) -> None:
        """Gives a stream that was added a turn at once. Never waits, so a signal handler may call this."""
        # Needs no lock: the thread ends only after it has finished every stream that was added. A finished stream needs
        # no turn, and one more turn does no harm.
        if self._thread is not None:
            self._inbox.put(paced)
        else:  # the stream is finished already, or Ctrl-C kept add() from adding it
            paced.finish()

    def is_run_by(self, thread: threading.Thread) -> bool:
        """Returns whether a thread is the pacer's and isn't about to end; joining it would then take too long."""
        return self._thread is thread

    def _run(self) -> None:
        with self._lock:
            if self._thread not in (None, threading.current_thread()):
                return  # Ctrl-C kept add() from noting this thread, and add() has started another one since
            self._thread = threading.current_thread()
        if not self._ends():  # it ends at once if Ctrl-C kept add() from adding the first stream
            self._give_turns()

    def _give_turns(self) -> None:
        turns: List[Tuple[float, int, Paced]] = []  # a heap: when due, a serial number for ties, which stream
        numbers = itertools.count()
        while True:
            paced = self._next(turns)
            due = paced.take_turn()
            if due is not None:
                # Not earlier than now: a stream that is late must not get its turn before others that wait already.
                heapq.heappush(turns, (max(due, time.monotonic()), next(numbers), paced))
                continue
            # Decide before finish() whether the thread ends: finish() wakes `Sender.join()`, which then asks
            # is_run_by() whether to join the thread, too.
            ends = not turns and self._ends()
            paced.finish()
            if ends:
                return

    def _next(self, turns: List[Tuple[float, int, Paced]]) -> Paced:
        """Waits until a turn is due or a stream is in the inbox; takes that stream out of `turns`, and returns it."""
        try:
            paced = self._inbox.get(max(turns[0][0] - time.monotonic(), 0.0) if turns else 0.0)
        except queue.Empty:
            return heapq.heappop(turns)[2]
        turns[:] = [turn for turn in turns if turn[2] is not paced]
        heapq.heapify(turns)
        return paced

    def _ends(self) -> bool:
        """Returns whether the thread, which has no stream left, must end: then the next add() starts another thread."""
        with self._lock:
            if not self._inbox:
                self._thread = None
                return True  # another thread may set `_thread` from here on; don't read it again
        return False


# One pacer for each process, since a fork copies the object but not its thread. One for each kind of lock, since gevent
# replaces `threading.Lock`, and a pacer with a lock from before that would block all greenlets.
_pacers: Dict[Tuple[int, object], Pacer] = {}
if hasattr(os, "register_at_fork"):
    # A child may get the process number of an ancestor that has ended, and would find the ancestor's pacer under it.
    os.register_at_fork(after_in_child=_pacers.clear)


def shared_pacer() -> Pacer:
    """Returns the pacer of this process."""
    here = os.getpid(), threading.Lock
    return _pacers.get(here) or _pacers.setdefault(here, Pacer())
