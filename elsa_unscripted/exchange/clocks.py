"""The deadlines of an exchange, and when packets of live audio are due. Made by `conversation`.

Each is worked out whenever somebody asks, from the audio that was sent and that has come. So the thread that sends and
the thread that waits agree on it.
"""

from __future__ import annotations

import math
import time
from typing import Callable

from ..audio.packets import LiveSource
from ..config import Config
from ..deadline import Deadline
from .sender import Sender


class GrowingDeadline(Deadline):
    """A deadline that each packet extends, once it was sent, by the time that its audio takes at `speed`.

    So a server that stops reading doesn't extend it.
    """

    __slots__ = ("_frame_rate", "_sender")

    def __init__(self, deadline: Deadline, sender: Sender, frame_rate: float) -> None:
        """Makes a deadline.

        Args:
            deadline: The deadline while nothing was sent.
            sender: Knows how many frames were sent.
            frame_rate: Frames to send in a second, at the speed of the exchange.
        """
        super().__init__(deadline.remaining())
        self._sender = sender
        self._frame_rate = frame_rate

    def remaining(self) -> float:
        return max(0.0, self._at + self._sender.sent / self._frame_rate - time.monotonic())

    def expired(self) -> bool:
        return self.remaining() == 0.0


class LiveDeadline(Deadline):
    """The deadline of an exchange with live audio: `timeout` seconds after the last packet was sent.

    Before that, only the time spent on sending counts. So a server that stops reading doesn't extend the deadline, and
    a slow speaker doesn't use it up.
    """

    __slots__ = ("_live", "_longest", "_sender", "_timeout")

    def __init__(self, config: Config, sender: Sender, live: LiveSource) -> None:
        """Makes a deadline.

        Args:
            config: Has `timeout` and `speed`.
            sender: Knows how long it took to send, and when the last packet was sent.
            live: Knows when the audio began, and how long it may be.
        """
        super().__init__(config.timeout)
        self._timeout = config.timeout
        self._longest = live.max_seconds / min(config.speed or 1.0, 1.0) + config.timeout
        self._sender = sender
        self._live = live

    def remaining(self) -> float:
        now, began, all_sent = time.monotonic(), self._live.began, self._sender.all_sent
        left = self._timeout - self._sender.sending_time if all_sent is None else all_sent + self._timeout - now
        # A bound in any case: a server could make each packet take long without blocking for `timeout`.
        last = math.inf if began is None else began + self._longest - now
        return max(0.0, min(left, last))

    def expired(self) -> bool:
        return self.remaining() == 0.0


def due_times(live: LiveSource, speed: float) -> Callable[[int], float]:
    """Returns a function that takes the frames before a packet, and returns when the packet is due.

    The times count from the first audio, at `speed`. So audio that piled up while connecting is due at once, and
    doesn't delay later audio.
    """

    def due(frames_before: int) -> float:
        began = live.began
        assert began is not None
        return began + frames_before / (live.format.sample_rate * speed)

    return due
