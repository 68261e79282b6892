"""When the time of an exchange is over, and when packets of live audio are due. Made by `conversation`.

Nobody moves these clocks. They are worked out whenever somebody asks, from what has left and what has come: so the
thread that sends and the one that waits agree.
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
    """A deadline to which each packet that leaves adds the time that its audio takes at the speed of the exchange.

    So a server that stops reading gains no time.
    """

    __slots__ = ("_frame_rate", "_sender")

    def __init__(self, deadline: Deadline, sender: Sender, frame_rate: float) -> None:
        """Makes a deadline.

        Args:
            deadline: When it is while nothing has left.
            sender: Knows how many frames have left.
            frame_rate: Frames that leave in a second, at the speed of the exchange.
        """
        super().__init__(deadline.remaining())
        self._sender = sender
        self._frame_rate = frame_rate

    def remaining(self) -> float:
        return max(0.0, self._at + self._sender.sent / self._frame_rate - time.monotonic())

    def expired(self) -> bool:
        return self.remaining() == 0.0


class LiveDeadline(Deadline):
    """The deadline of an exchange whose audio is live: `timeout` after the last of it.

    While audio comes, only the time that is spent in sending counts: so a server that stops reading gains nothing, and
    one that waits for the speaker loses nothing.
    """

    __slots__ = ("_live", "_longest", "_sender", "_timeout")

    def __init__(self, config: Config, sender: Sender, live: LiveSource) -> None:
        """Makes a deadline.

        Args:
            config: Has `timeout` and `speed`.
            sender: Knows how long it has been sending, and when the last of the audio left.
            live: Knows when it began, and how long it may be.
        """
        super().__init__(config.timeout)
        self._timeout = config.timeout
        self._longest = live.max_seconds / min(config.speed or 1.0, 1.0) + config.timeout
        self._sender = sender
        self._live = live

    def remaining(self) -> float:
        now, began, all_sent = time.monotonic(), self._live.began, self._sender.all_sent
        left = self._timeout - self._sender.sending_time if all_sent is None else all_sent + self._timeout - now
        # Whatever a server does to make each packet take long.
        last = math.inf if began is None else began + self._longest - now
        return max(0.0, min(left, last))

    def expired(self) -> bool:
        return self.remaining() == 0.0


def due_times(live: LiveSource, speed: float) -> Callable[[int], float]:
    """Returns what tells when a packet is due: never faster than `speed`, from the first audio on.

    So what piled up while connecting leaves at once, and doesn't delay what comes after it.
    """

    def due(frames_before: int) -> float:
        began = live.began
        assert began is not None
        return began + frames_before / (live.format.sample_rate * speed)

    return due
