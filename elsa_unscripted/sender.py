"""The audio thread: paces packets, and the end of the stream, into a `send` callable.

Started by `client` when the server names a stream.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Callable, Iterable, Optional, Union


@dataclass(frozen=True)
class Progress:
    """A packet has left.

    Attributes:
        packets: How many have, so far.
    """

    packets: int


@dataclass(frozen=True)
class Sent:
    """The last packet has left; the end of the stream follows at once."""


@dataclass(frozen=True)
class Failed:
    """The thread has ended by an exception."""

    error: BaseException


class Sender:
    """Sends packet k at t0 + k·interval on the monotonic clock: a late packet doesn't delay those after it.

    Attributes:
        begun: How many packets `send` was called for: one of them may have left in part.
        sent: How many have left.
    """

    def __init__(
        self,
        packets: Iterable[bytes],
        end: str,
        send: Callable[[Union[bytes, str]], None],
        put: Callable[[object], None],
        interval: Optional[float],
    ) -> None:
        """Makes a sender; `start()` starts its thread.

        Args:
            packets: What to send, in order; drawn in the thread, one at a time.
            end: What to send right after the last packet.
            send: Sends a message; may block, and raise.
            put: Takes a `Progress` for each packet, at the end a `Sent` or `Failed`; nothing any more once stopped.
            interval: Seconds from packet to packet; `None` sends as fast as `send` takes them.
        """
        self.begun = 0
        self.sent = 0
        self._packets = packets
        self._end = end
        self._send = send
        self._put = put
        self._interval = interval
        self._stopped = threading.Event()
        # A daemon: an interpreter that exits during a score() in a daemon thread of its own must not wait for it.
        self._thread = threading.Thread(target=self._run, name="elsa-audio", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wakes the thread and lets it end; doesn't wait for it."""
        self._stopped.set()

    def join(self, timeout: float) -> bool:
        """Waits for the thread, `timeout` seconds at most; returns whether it has ended, or never began."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            if not self._stopped.is_set():
                self._put(Failed(error))

    def _send_all(self) -> None:
        started = time.monotonic()
        for packet in self._packets:
            wait = 0.0 if self._interval is None else started + self.begun * self._interval - time.monotonic()
            if self._stopped.wait(wait) if wait > 0 else self._stopped.is_set():
                return
            self.begun += 1
            self._send(packet)
            self.sent += 1
            if self._stopped.is_set():
                return
            self._put(Progress(self.sent))
        # Put first: the server's answer to the end must not be on the queue before it.
        self._put(Sent())
        self._send(self._end)
