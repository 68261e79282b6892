"""What the tests of `sender` and `pacer` send into."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.sender import Sender

LONG = 30.0  # s: what no test waits out

PACKETS = [b"a", b"b", b"c", b"d", b"e", b"f"]


class Sink:
    """Where a sender sends to: keeps what came and when, and can be slow for one packet, broken or blocked.

    Attributes:
        taken: What came, in order, each when it began to come.
        times: When that was, on the monotonic clock.
        tries: When `send_now()` was called.
        reached: Set once something that blocks has begun to come.
        events: What the sender put.
    """

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.times: list[float] = []
        self.tries: list[float] = []
        self.slow: dict[bytes, float] = {}
        self.broken: dict[bytes, BaseException] = {}
        self.blocked: dict[bytes, threading.Event] = {}
        self.reached = threading.Event()
        self.events: queue.Queue[Any] = queue.Queue()
        self._half_sent: bytes | None = None

    def send(self, packet: bytes) -> None:
        """Takes a packet; waits while it is slow or blocked."""
        self._begin(packet)
        if packet in self.blocked:
            assert self.blocked[packet].wait(LONG)
        time.sleep(self.slow.get(packet, 0))

    def send_now(self, packet: bytes) -> bool:
        """Takes a packet; as long as it is slow or blocked, says that it hasn't left, and wants it again."""
        self.tries.append(time.monotonic())
        if self._half_sent is None:
            self._begin(packet)
        else:
            assert packet is self._half_sent, "something else amid a packet that is half sent"
        waits = packet in self.blocked and not self.blocked[packet].is_set()
        left = not waits and time.monotonic() >= self.times[-1] + self.slow.get(packet, 0)
        self._half_sent = None if left else packet
        return left

    def _begin(self, packet: bytes) -> None:
        self.times.append(time.monotonic())
        self.taken.append(packet)
        if packet in self.broken:
            raise self.broken[packet]
        if packet in self.blocked:
            self.reached.set()

    def sender(self, interval: float | None, packets: Any = PACKETS, kind: type[Sender] = Sender) -> Sender:
        """Makes a sender of packets with one frame each."""
        whole = (packet if isinstance(packet, Packet) else Packet(packet, 1) for packet in packets)
        rate = None if interval is None else 1 / interval
        return kind(whole, b"end", self.send, self.send_now, self.events.put, rate)

    def put(self) -> list[Any]:
        return list(self.events.queue)


def audio_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "elsa-audio"]
