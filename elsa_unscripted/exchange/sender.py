"""The audio thread: paces packets, and the end of the stream, into a `send` callable.

Started by `client` when the server names a stream. All streams of a process that are paced share one such thread while
there are any: with a thread for each, a process that carries a thousand of them spends its time on handing Python's
interpreter lock from thread to thread. A stream that would keep the others waiting has a thread of its own: for the
rest of a packet that the connection doesn't take at once, or all the time, if it isn't paced at all.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import queue
import threading
import time
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ..audio.packets import Packet
from ..mailbox import Mailbox
from .protocol import AudioSent, Progress, SenderEvent, SendFailed


class Sender:
    """Sends each packet when the audio before it has been spoken: a late packet doesn't delay those after it.

    Attributes:
        begun: How many packets were given to the connection: one of them may have left in part.
        sent: Frames of audio that have left.
        first_sent: When the first had left, on the monotonic clock; `None` before.
    """

    def __init__(
        self,
        packets: Iterable[Packet],
        end: bytes,
        send: Callable[[bytes], None],
        begin: Callable[[bytes], Optional[Callable[[], None]]],
        put: Callable[[SenderEvent], object],
        frame_rate: Optional[float],
        tell_progress: bool = True,
    ) -> None:
        """Makes a sender; `start()` starts it.

        Args:
            packets: What to send, in order, its data as it goes out; drawn in the audio thread, one ahead.
            end: What to send right after the last packet.
            send: Sends one of these; may block, and raise.
            begin: Sends what can be sent of one without blocking; returns `None` when that is all of it, else
                what sends the rest, and may block. May raise.
            put: Takes the events; nothing any more once stopped. Must not block.
            frame_rate: Frames of audio that leave in a second; `None` sends as fast as `send` takes them.
            tell_progress: Whether to put a `Progress` for each packet, beside `AudioSent` or `SendFailed` at the end.
        """
        self.begun = 0
        self.sent = 0
        self.first_sent: Optional[float] = None
        self._packets = packets
        self._end = end
        self._send = send
        self._begin = begin
        self._put = put
        self._frame_rate = frame_rate
        self._tell_progress = tell_progress
        self._schedule = self._make_schedule()
        self._message: Optional[bytes] = None  # the next one
        self._due = 0.0  # when it is, on the monotonic clock
        # Not Events: written in Python, with a lock, they break if Ctrl-C comes at a bad moment; the pacer, too, then.
        self._begins = False
        self._stopped = False
        self._finished = False
        self._stop: Mailbox[None] = Mailbox()  # wakes the thread that runs it alone
        self._finish: Mailbox[None] = Mailbox()  # wakes who waits for the end
        self._rest: Optional[Callable[[], None]] = None  # of a packet, for a thread of its own, which is yet to start
        self._alone = False  # it has that thread, or is about to
        self._threads: List[threading.Thread] = []  # those that have run it

    def start(self) -> None:
        """Starts sending.

        Raises:
            RuntimeError: No thread could be started.
        """
        self._begins = True  # first: after Ctrl-C nobody knows how far it came
        try:
            if self._frame_rate is None or not _pacer().add(self):
                self._go_alone(None)
        except RuntimeError:
            self._begins = False
            raise

    def stop(self) -> None:
        """Ends it soon; doesn't wait for that."""
        self._stopped = True
        self._stop.put(None)
        if self._begins and not self._alone and not self._finished:
            _pacer().wake(self)

    def join(self, timeout: float) -> bool:
        """Waits for the end, `timeout` seconds at most; returns whether it has come, or nothing ever began."""
        if not self._begins:
            return True
        if not self._finished:
            with contextlib.suppress(queue.Empty):
                self._finish.get(timeout=timeout)
        if not self._finished:
            return False
        for thread in self._threads:
            if not _pacer().is_run_by(thread):
                thread.join(0.5)  # a matter of moments
        return True

    def _make_schedule(self) -> Iterator[Tuple[float, bytes]]:
        """Yields each message and when it is due on the monotonic clock; does the counting when it has been sent."""
        started = time.monotonic()
        for packet in self._packets:
            yield (started if self._frame_rate is None else started + self.sent / self._frame_rate), packet.data
            self.sent += packet.frames
            self.first_sent = self.first_sent or time.monotonic()
            if self._stopped:
                return
            if self._tell_progress:
                self._put(Progress(self.sent))
        # Put first: the server's answer to the end must not be on the queue before it.
        self._put(AudioSent())
        yield 0.0, self._end

    def _advance(self) -> Optional[float]:
        """Draws the next message; returns when it is due, `None` if that was all."""
        due, self._message = next(self._schedule, (None, None))
        self._due = due or 0.0
        return due

    def _count(self) -> bytes:
        """Returns the message that is about to be sent."""
        assert self._message is not None
        if self._message is not self._end:
            self.begun += 1
        return self._message

    def _fail(self, error: BaseException) -> None:
        if not self._stopped:
            self._put(SendFailed(error))

    # Among others, in the pacer's thread.

    def take_turn(self) -> Optional[float]:
        """Sends the message that is due, if there is one; returns when the next is due, `None` if it leaves."""
        try:
            self._note_thread()
            if self._message is not None:
                if self._due > time.monotonic():  # it comes back from a thread of its own
                    return self._due
                self._rest = self._begin(self._count())
                if self._rest is not None:
                    self._alone = True
                    return None
            return self._advance()
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            self._fail(error)
            return None

    def leave(self) -> None:
        """Notes that the pacer is done with it: for good, or until a thread of its own has sent a packet's rest."""
        rest, self._rest = self._rest, None
        if rest is None:
            self.give_up()
            return
        try:
            self._go_alone(rest)
        except BaseException as error:  # noqa: BLE001 - delivered, likewise
            self._fail(error)
            self._set_finished()

    def give_up(self) -> None:
        """Notes that no pacer has it, or will; only the pacer's thread may do more than that."""
        if not self._alone:
            self._set_finished()

    def _note_thread(self) -> None:
        thread = threading.current_thread()
        if thread not in self._threads:
            self._threads = [*(other for other in self._threads if other.is_alive()), thread]

    def _set_finished(self) -> None:
        # What is left of the audio, which would wait for the garbage collector.
        self._schedule, self._packets, self._message = iter(()), (), None
        self._finished = True
        self._finish.put(None)

    # Alone.

    def _go_alone(self, rest: Optional[Callable[[], None]]) -> None:
        # A daemon: an interpreter that exits during a score() in a daemon thread of its own must not wait for it.
        thread = threading.Thread(target=self._run_alone, args=(rest,), name="elsa-audio", daemon=True)
        self._alone = True
        try:
            thread.start()
        except RuntimeError:
            self._alone = False
            raise

    def _run_alone(self, rest: Optional[Callable[[], None]]) -> None:
        self._note_thread()
        back = False
        try:
            if rest is None:
                self._send_what_is_left()
            else:
                rest()
                if self._advance() is not None:
                    back, self._alone = True, False
                    _pacer().add(self)
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            back = False
            self._fail(error)
        finally:
            if not back:
                self._set_finished()

    def _send_what_is_left(self) -> None:
        while True:
            due = self._advance()
            if due is None:
                return
            wait = due - time.monotonic()
            if wait > 0 and not self._stopped:
                with contextlib.suppress(queue.Empty):
                    self._stop.get(timeout=wait)
            if self._stopped:
                return
            self._send(self._count())


class _Pacer:
    """The thread that the paced streams of a process share; it runs while there are any, and owns their order."""

    def __init__(self) -> None:
        self._inbox: Mailbox[Sender] = Mailbox()  # new ones, and those that were stopped
        self._lock = threading.Lock()  # guards the next, so that nothing comes into the inbox of a thread that ends
        self._thread: Optional[threading.Thread] = None
        # Threads that are in here: a signal handler or a finalizer that interrupts one can't wait for it.
        self._inside: Set[int] = set()

    def add(self, sender: Sender) -> bool:
        """Takes a sender; returns `False` if the calling thread would wait for itself."""
        if threading.get_ident() in self._inside:
            return False
        with self._entered(), self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="elsa-audio", daemon=True)
                thread.start()  # Ctrl-C in here leaves open whether it will ever run: `_run` tells, if so
                self._thread = thread
            self._inbox.put(sender)
        return True

    def wake(self, sender: Sender) -> None:
        """Lets the thread see that a sender was stopped."""
        with self._entered(), self._lock:
            if self._thread is not None:
                self._inbox.put(sender)
            else:  # it has left, or Ctrl-C kept it from being added
                sender.give_up()

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._inside.add(thread)
        try:
            yield
        finally:
            self._inside.discard(thread)

    def is_run_by(self, thread: threading.Thread) -> bool:
        return self._thread is thread

    def _run(self) -> None:
        with self._entered():
            with self._lock:
                if self._thread not in (None, threading.current_thread()):
                    return  # one that nobody knows of, and too late
                self._thread = threading.current_thread()
            self._pace()

    def _pace(self) -> None:
        turns: List[Tuple[float, int, Sender]] = []  # a heap: who comes when; the number keeps equals in order
        numbers = itertools.count()
        left: List[Sender] = []
        while self._goes_on(turns):
            # With nobody else to run, it may be about to end: they leave after the loop, then.
            while turns and left:
                left.pop().leave()
            sender = self._next(turns)
            if sender._stopped:
                turns = [turn for turn in turns if turn[2] is not sender]
                heapq.heapify(turns)
                due = None
            else:
                due = sender.take_turn()
            if due is None:
                left.append(sender)
            else:
                # Not earlier than now: one that can't keep up has its turn after those that are waiting already.
                heapq.heappush(turns, (max(due, time.monotonic()), next(numbers), sender))
        # Only now: who waits for the last of them to leave may then wait for the thread.
        for sender in left:
            sender.leave()

    def _next(self, turns: List[Tuple[float, int, Sender]]) -> Sender:
        """Waits for whoever is new, was stopped, or is due."""
        try:
            wait = turns[0][0] - time.monotonic() if turns else 0.0
            return self._inbox.get(max(wait, 0.0))
        except queue.Empty:
            return heapq.heappop(turns)[2]

    def _goes_on(self, turns: List[Tuple[float, int, Sender]]) -> bool:
        if turns:
            return True
        with self._lock:
            if not self._inbox:
                self._thread = None
                return False  # whatever becomes of `_thread` once the lock is free: that is another thread's
        return True


# By process: a fork takes the object along, but not its thread. By the kind of lock: gevent's patching replaces that,
# and one from before would block all greenlets.
_pacers: Dict[Tuple[int, object], _Pacer] = {}
if hasattr(os, "register_at_fork"):
    # A child may have the number of a process that it descends from: numbers come again, and in a container soon.
    os.register_at_fork(after_in_child=_pacers.clear)


def _pacer() -> _Pacer:
    here = os.getpid(), threading.Lock
    return _pacers.get(here) or _pacers.setdefault(here, _Pacer())
