"""The schedule of a stream: its pace, its end, and how it is stopped. Real threads, real time, generous bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sinks import LONG, PACKETS, Sink

from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.events import AudioSent, Progress, SendFailed
from elsa_unscripted.exchange.sender import LONGEST_PAUSE, Sender


@pytest.mark.parametrize("interval", [None, 0.01])
def test_packets_leave_in_order_and_the_end_after_them(interval: float | None) -> None:
    """Every packet is sent once, in order, then the end; each is reported, and that all are, before the end leaves."""
    sink = Sink()
    sink.blocked[b"end"] = threading.Event()
    sender = sink.sender(interval)
    sender.start()
    assert sink.reached.wait(LONG)
    assert sink.put()[-1] == AudioSent()  # else the server's answer to the end could be on the queue before it
    sink.blocked[b"end"].set()
    assert sender.join(LONG)
    assert sink.taken == [*PACKETS, b"end"]
    assert sink.put() == [*(Progress(number) for number in range(1, 7)), AudioSent()]
    assert (sender.begun, sender.sent) == (6, 6)


def test_packets_are_due_at_absolute_times() -> None:
    """Packet k never leaves before k intervals have passed, and the end leaves with the last packet, unwaited for."""
    sink = Sink()
    interval = 0.1
    sender = sink.sender(interval)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    waits = [moment - began for moment in sink.times]
    assert all(wait >= number * interval for number, wait in enumerate(waits[:6]))
    assert waits[6] - waits[5] < interval / 2
    assert waits[5] < 5 * interval + 1


def test_a_slow_packet_delays_no_later_due_time() -> None:
    """After a send that took three intervals the late packets leave at once, and the schedule is met again."""
    sink = Sink()
    interval = 0.2
    sink.slow[b"b"] = 3.2 * interval  # from 1 to 4.2: c and d are late then, e is too, f is not
    sender = sink.sender(interval)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    waits = [(moment - began) / interval for moment in sink.times]
    assert sink.taken == [*PACKETS, b"end"]
    assert waits[2] >= 4.2
    assert waits[4] < waits[2] + 2  # sleeping after each send would give that at least
    assert 5 <= waits[5] < 7  # and that 8.2


def test_without_interval_nothing_waits() -> None:
    """`interval=None` sends as fast as the connection takes it."""
    sink = Sink()
    sender = sink.sender(None, [b"x"] * 5000)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    assert len(sink.taken) == 5001
    assert time.monotonic() - began < 10


def test_stop_wakes_it_in_the_middle_of_an_interval() -> None:
    """A stopped sender ends at once, not at the end of its wait, and sends and reports nothing more."""
    sink = Sink()
    sender = sink.sender(LONG)
    sender.start()
    assert sink.events.get(timeout=LONG) == Progress(1)
    sender.stop()
    assert sender.join(LONG)
    assert sink.taken == [b"a"]
    assert sink.put() == []
    assert (sender.begun, sender.sent) == (1, 1)


@pytest.mark.parametrize("interval", [None, 0.01])
@pytest.mark.parametrize("at", [b"b", b"f", b"end"])
def test_nothing_follows_a_stop_during_a_send(at: bytes, interval: float | None) -> None:
    """A stop while a message is on its way: that one is the last, no end follows it, and nothing is reported."""
    sink = Sink()
    sink.blocked[at] = threading.Event()
    sender = sink.sender(interval)
    sender.start()
    assert sink.reached.wait(LONG)
    before = sink.put()
    sender.stop()
    assert not sender.join(0.05)
    sink.blocked[at].set()
    assert sender.join(LONG)
    assert sink.taken == [*PACKETS, b"end"][: [*PACKETS, b"end"].index(at) + 1]
    assert sink.put() == before


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_broken_connection_is_reported(interval: float | None) -> None:
    """What `send` raises is delivered, as it is, and is the last thing; the packet counts as begun, not as sent."""
    sink = Sink()
    sink.broken[b"c"] = error = ConnectionResetError("cut")
    sender = sink.sender(interval)
    sender.start()
    assert sender.join(LONG)
    assert sink.put() == [Progress(1), Progress(2), SendFailed(error)]
    assert sink.taken == [b"a", b"b", b"c"]
    assert (sender.begun, sender.sent) == (3, 2)


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_broken_connection_at_the_end_is_reported(interval: float | None) -> None:
    """An end of stream that can't be sent is a failure, although all audio has left."""
    sink = Sink()
    sink.broken[b"end"] = error = BrokenPipeError("cut")
    sender = sink.sender(interval)
    sender.start()
    assert sender.join(LONG)
    assert sink.put()[-1] == SendFailed(error)
    assert sender.sent == 6


@pytest.mark.parametrize("interval", [None, 0.01])
@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_no_exception_dies_in_the_thread(error: BaseException, interval: float | None) -> None:
    """Whatever the packets raise while they are cut, even what would end a process, reaches the one who waits."""

    def packets() -> Iterator[bytes]:
        yield b"a"
        raise error

    sink = Sink()
    sender = sink.sender(interval, packets())
    sender.start()
    assert sender.join(LONG)
    assert sink.put() == [Progress(1), SendFailed(error)]
    assert sink.taken == [b"a"]


def test_an_exception_after_the_stop_is_nobodys() -> None:
    """Once stopped, a connection that breaks under a send is expected, and not reported."""
    sink = Sink()
    gate = threading.Event()

    def send(packet: bytes) -> None:
        sink.reached.set()
        assert gate.wait(LONG)
        raise OSError("closed under it")

    sender = Sender((Packet(data, 1) for data in PACKETS), b"end", send, sink.send_now, sink.events.put, None)
    sender.start()
    assert sink.reached.wait(LONG)
    sender.stop()
    gate.set()
    assert sender.join(LONG)
    assert sink.put() == []


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_stop_before_the_start_sends_nothing(interval: float | None) -> None:
    """A sender that was stopped before it began neither sends nor reports."""
    sink = Sink()
    sender = sink.sender(interval)
    sender.stop()
    sender.start()
    assert sender.join(LONG)
    assert (sink.taken, sink.put()) == ([], [])


def test_what_does_not_leave_at_once_is_tried_again_soon_and_then_less_often() -> None:
    """The pauses between the tries grow up to a bound: a stall costs little, and its end is seen soon."""
    sink = Sink()
    sink.blocked[b"b"] = threading.Event()
    sender = sink.sender(0.01)
    sender.start()
    assert sink.reached.wait(LONG)
    time.sleep(1)
    ended = time.monotonic()
    sink.blocked[b"b"].set()
    assert sender.join(LONG)
    stalled = [moment for moment in sink.tries if sink.times[1] <= moment < ended]
    # Six until the pause has doubled up to its bound.
    assert 4 <= len(stalled) <= 6 + (ended - stalled[0]) / LONGEST_PAUSE + 1
    pauses = [later - earlier for earlier, later in zip(stalled, stalled[1:])]
    assert all(pause >= min(0.001 * 2**number, LONGEST_PAUSE) for number, pause in enumerate(pauses))
    assert sink.taken == [*PACKETS, b"end"]
    assert sink.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
    assert (sender.begun, sender.sent) == (6, 6)


def test_one_that_is_stopped_while_it_blocks() -> None:
    """A packet that is half sent at the stop still leaves, and is counted; nothing follows it."""
    sink = Sink()
    sink.blocked[b"b"] = threading.Event()
    sender = sink.sender(0.01)
    sender.start()
    assert sink.reached.wait(LONG)
    sender.stop()
    assert not sender.join(0.1)
    sink.blocked[b"b"].set()
    assert sender.join(LONG)
    assert sink.taken == [b"a", b"b"]
    assert sink.put() == [Progress(1)]
    assert (sender.begun, sender.sent) == (2, 2)


def test_one_that_is_stopped_and_cut_while_it_blocks() -> None:
    """A packet that is half sent when the connection is cut ends the stopped stream: it isn't counted, nor reported."""
    cut = threading.Event()
    sink = Sink()

    def send_now(packet: bytes) -> bool:
        sink.reached.set()
        if cut.is_set():
            raise BrokenPipeError
        return False

    sender = Sender([Packet(b"a", 1)], b"end", sink.send, send_now, sink.events.put, 100)
    sender.start()
    assert sink.reached.wait(LONG)
    sender.stop()
    cut.set()
    assert sender.join(LONG)
    assert (sink.put(), sender.begun, sender.sent) == ([], 1, 0)


def test_packets_are_drawn_one_at_a_time() -> None:
    """Packets are cut when they are due, in the thread: a long recording isn't held in memory twice."""
    drawn = []

    def packets() -> Iterator[bytes]:
        for number in range(6):
            drawn.append(threading.current_thread().name)
            yield bytes([number])

    sink = Sink()
    sender = sink.sender(LONG, packets())
    sender.start()
    assert sink.events.get(timeout=LONG) == Progress(1)
    sender.stop()
    assert sender.join(LONG)
    assert drawn in (["elsa-audio"], ["elsa-audio"] * 2)


def test_a_join_is_bounded() -> None:
    """`join` comes back after its time, and says that the thread is still there; the thread holds up no exit."""
    sink = Sink()
    sink.blocked[b"a"] = threading.Event()
    sender = sink.sender(None)
    sender.start()
    assert sink.reached.wait(LONG)
    thread = next(each for each in threading.enumerate() if each.name == "elsa-audio")
    assert thread.daemon
    assert not sender.join(0.01)
    sender.stop()
    sink.blocked[b"a"].set()
    assert sender.join(LONG)
    assert not thread.is_alive()


@given(
    interval=st.one_of(st.none(), st.floats(1e-9, 0.01)),
    delays=st.lists(st.floats(0.0, 0.02), max_size=12),
)
def test_no_packet_leaves_before_its_time(interval: float | None, delays: list[float]) -> None:
    """Whatever the interval and however slow each send is: all leave, in order, none before t0 + k·interval."""
    packets = [b"%d" % number for number in range(len(delays))]
    sink = Sink()
    sink.slow = dict(zip(packets, delays))
    sender = sink.sender(interval, iter(packets))
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    assert sink.taken == [*packets, b"end"]
    assert (sender.begun, sender.sent) == (len(packets), len(packets))
    assert all(at >= began + number * (interval or 0) for number, at in enumerate(sink.times[:-1]))
    assert sink.put() == [*(Progress(number + 1) for number in range(len(packets))), AudioSent()]
