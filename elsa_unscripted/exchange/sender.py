"""`Sender`: sends the packets of one stream, each when it is due, and counts the frames sent.

`conversation` starts it when the server has named the stream. Paced streams are sent by one thread that they all share
(`pacer`). A stream that isn't paced may block while it sends, and so has a thread of its own.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from typing import Callable, Iterable, Iterator, Optional, Tuple

from ..audio.packets import Packet
from ..mailbox import Mailbox
from ..threads import NoThreadError, start_thread
from .events import AudioSent, Progress, SenderEvent, SendFailed
from .pacer import shared_pacer

# How long to wait before trying to send the rest of a message that the connection didn't take whole.
SHORTEST_PAUSE = 0.001  # s; little delay if the connection's buffer is full for a moment only
LONGEST_PAUSE = 0.05  # s; a stalled stream is tried 20 times a second, which takes a thousandth of a core


class Sender:
    """Sends each packet at the time at which the audio before it would have been spoken.

    These times count from the start, so a late packet doesn't delay the packets after it. Only the sending thread
    writes the attributes; any thread may read them.

    Attributes:
        begun: How many packets were given to the connection; the last of them may have been sent only in part.
        sent: Frames of audio in the packets that were sent whole.
        first_sent: When the first packet was sent, on the monotonic clock; `None` before.
        all_sent: When the last packet was sent, on the monotonic clock; `None` before.
    """

    def __init__(
        self,
        packets: Iterable[Optional[Packet]],
        end: bytes,
        send: Callable[[bytes], None],
        send_now: Callable[[bytes], bool],
        put: Callable[[SenderEvent], object],
        frame_rate: Optional[float],
        tell_progress: bool = True,
        *,
        alone: bool = False,
        due: Optional[Callable[[int], float]] = None,
    ) -> None:
        """Makes a sender; `start()` starts it.

        Args:
            packets: What to send, in order; `data` is sent as it is. Each packet is drawn in the sending thread, once
                the packet before was sent. `None` means that no packet is there yet; `_run_alone()` can't take that.
            end: The message to send right after the last packet.
            send: Sends a message, in a thread of this sender's own; may block, and raise.
            send_now: Sends what the connection takes of a message without blocking, for `take_turn()` and `step()`;
                returns whether all of it was sent. If not, it is called again with the same message. May raise.
            put: Takes the events: `AudioSent` or `SendFailed` at the end, and `Progress`. Must not block.
            frame_rate: Frames of audio to send in a second; `None` sends as fast as `send` takes them.
            tell_progress: Whether to put a `Progress` for each packet.
            alone: Whether to send in a thread of its own in any case, since drawing a packet may block.
            due: Takes the frames before a packet, and returns when the packet is due, on the monotonic clock. For live
                audio, in place of `frame_rate`.
        """
        self.begun = 0
        self.sent = 0
        self.first_sent: Optional[float] = None
        self.all_sent: Optional[float] = None
        self._packets = packets
        self._end = end
        self._send = send
        self._send_now = send_now
        self._put = put
        self._frame_rate = frame_rate
        self._tell_progress = tell_progress
        self._turns = self._make_turns()
        self._due = due
        # Whether to send in a thread of its own, since that may block; also if the pacer refuses the stream.
        self._alone = alone or frame_rate is None
        self._sending_since: Optional[float] = None  # on the monotonic clock; `None` between messages
        self._sending_time = 0.0  # s that earlier messages took
        self._thread: Optional[threading.Thread] = None  # the sending thread; set when it begins to send
        # Plain flags, not Events: those are written in Python, with a lock. Ctrl-C at a bad moment would break them,
        # and with them the thread that all streams share.
        self._begins = False
        self._stopped = False
        self._finished = False
        self._stop: Mailbox[None] = Mailbox()  # wakes `_run_alone()` from its wait for the next packet
        self._end_bell: Mailbox[None] = Mailbox()  # wakes `join()`

    def start(self) -> None:
        """Starts sending.

        Raises:
            NoThreadError: No thread could be started.
        """
        self._begins = True  # set first: after Ctrl-C below, sending may or may not begin, and join() must wait
        try:
            self._alone = self._alone or not shared_pacer().add(self)
            if self._alone:
                # A daemon: the interpreter must not wait for this thread if it exits while a daemon thread scores.
                start_thread(threading.Thread(target=self._run_alone, name="elsa-audio", daemon=True))
        except NoThreadError:
            self._begins = False
            raise

    def stop(self) -> None:
        """Makes the sending end soon; doesn't wait for that. No message follows the one that is being sent."""
        self._stopped = True
        self._stop.put(None)
        if self._begins and not self._alone and not self._finished:
            shared_pacer().wake(self)

    def join(self, timeout: float) -> bool:
        """Waits for the end of the sending, `timeout` seconds at most.

        Returns:
            Whether the sending has ended, or never began.
        """
        if not self._begins:
            return True
        if not self._finished:
            with contextlib.suppress(queue.Empty):
                self._end_bell.get(timeout=timeout)
        if not self._finished:
            return False
        if self._thread is not None and not shared_pacer().is_run_by(self._thread):
            self._thread.join(0.5)  # it has nothing left to do
        return True

    @property
    def sending_time(self) -> float:
        """Seconds spent on sending; the waits until a packet is there, or is due, don't count."""
        since = self._sending_since
        return self._sending_time + (0.0 if since is None else time.monotonic() - since)

    def _schedule(self) -> Iterator[Tuple[float, Optional[bytes]]]:
        """Yields each message, and when it is due on the monotonic clock; infinity and `None` if none is there yet.

        Whoever asks for the next message has sent this one: then it is counted.
        """
        started = time.monotonic()
        for packet in self._packets:
            if packet is None:
                yield math.inf, None
                continue
            yield self._due_time(started), packet.data
            self.sent += packet.frames
            self.first_sent = self.first_sent or time.monotonic()
            if self._stopped:
                return
            if self._tell_progress:
                self._put(Progress(self.sent))
        self.all_sent = time.monotonic()
        # Put this before the end is sent: the server's answer to the end must not come before it in the mailbox.
        self._put(AudioSent())
        yield started, self._end

    def _due_time(self, started: float) -> float:
        if self._due is not None:
            return self._due(self.sent)
        return started if self._frame_rate is None else started + self.sent / self._frame_rate

    def _begin_sending(self, message: bytes) -> None:
        if message is not self._end:
            self.begun += 1
        self._sending_since = time.monotonic()

    def _end_sending(self) -> None:
        since, self._sending_since = self._sending_since, None
        if since is not None:
            self._sending_time += time.monotonic() - since

    def _fail(self, error: BaseException) -> None:
        if not self._stopped:
            self._put(SendFailed(error))

    @property
    def has_finished(self) -> bool:
        """Whether nothing more will be sent."""
        return self._finished

    def finish(self) -> None:
        """Notes that nothing more will be sent. Called by the pacer, or at the end of this sender's own thread."""
        # Let go of the audio: this object and its generator refer to each other, and would keep the audio until the
        # garbage collector comes.
        self._turns, self._packets = iter(()), ()
        self._finished = True
        self._end_bell.put(None)

    # In the thread that all paced streams share.

    def take_turn(self) -> Optional[float]:
        """Sends what is due, without blocking; returns when the next turn is due, `None` if there is none."""
        self._thread = threading.current_thread()
        try:
            return self.step()
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            self._fail(error)
            return None

    def step(self) -> Optional[float]:
        """Does what `take_turn()` does, but raises errors. For the caller's thread, where signal handlers may raise."""
        return next(self._turns, None)

    def _make_turns(self) -> Iterator[float]:
        """Sends everything; wherever that must wait, yields the time at which to go on."""
        for due, message in self._schedule():
            yield due
            if self._stopped:
                return
            if message is None:
                continue
            pause = SHORTEST_PAUSE
            self._begin_sending(message)
            try:
                # Go on even when stopped: either the message is sent whole, and counted in `sent`, or the connection is
                # cut soon, and send_now() raises.
                while not self._send_now(message):
                    yield time.monotonic() + pause
                    pause = min(2 * pause, LONGEST_PAUSE)
            finally:
                self._end_sending()

    # In a thread of its own.

    def _run_alone(self) -> None:
        self._thread = threading.current_thread()
        try:
            for due, message in self._schedule():
                wait = due - time.monotonic()
                if wait > 0 and not self._stopped:
                    with contextlib.suppress(queue.Empty):
                        self._stop.get(timeout=wait)
                if self._stopped:
                    return
                assert message is not None
                self._begin_sending(message)
                try:
                    self._send(message)
                finally:
                    self._end_sending()
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            self._fail(error)
        finally:
            self.finish()
