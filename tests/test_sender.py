"""The audio thread: its pace, its end, and how it is stopped. Real threads, real time, generous bounds."""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from commands import unmeasured
from hypothesis import given, settings
from hypothesis import strategies as st

from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.protocol import AudioSent, Progress, SendFailed
from elsa_unscripted.exchange.sender import Sender

LONG = 30.0  # s: what no test waits out

PACKETS = [b"a", b"b", b"c", b"d", b"e", b"f"]


class Line:
    """Where a sender sends to: keeps what came and when, and can be slow for one packet, broken or blocked."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.times: list[float] = []
        self.slow: dict[bytes, float] = {}
        self.broken: dict[bytes, BaseException] = {}
        self.blocked: dict[bytes, threading.Event] = {}
        self.reached = threading.Event()  # something that blocks has been taken
        self.events: queue.Queue[Any] = queue.Queue()

    def send(self, packet: bytes) -> None:
        self.times.append(time.monotonic())
        self.taken.append(packet)
        if packet in self.broken:
            raise self.broken[packet]
        if packet in self.blocked:
            self.reached.set()
            assert self.blocked[packet].wait(LONG)
        time.sleep(self.slow.get(packet, 0))

    def begin(self, packet: bytes) -> Callable[[], None] | None:
        """Takes what can be taken at once; what is slow or blocked is left to the function that it returns."""
        if packet in self.slow or packet in self.blocked:
            return lambda: self.send(packet)
        self.send(packet)
        return None

    def sender(self, interval: float | None, packets: Any = PACKETS) -> Sender:
        whole = (packet if isinstance(packet, Packet) else Packet(packet, 1) for packet in packets)
        rate = None if interval is None else 1 / interval
        return Sender(whole, b"end", self.send, self.begin, self.events.put, rate)

    def put(self) -> list[Any]:
        return list(self.events.queue)


@pytest.mark.parametrize("interval", [None, 0.01])
def test_packets_leave_in_order_and_the_end_after_them(interval: float | None) -> None:
    """Every packet is sent once, in order, then the end; each is reported, and that all are, before the end leaves."""
    line = Line()
    line.blocked[b"end"] = threading.Event()
    sender = line.sender(interval)
    sender.start()
    assert line.reached.wait(LONG)
    assert line.put()[-1] == AudioSent()  # else the server's answer to the end could be on the queue before it
    line.blocked[b"end"].set()
    assert sender.join(LONG)
    assert line.taken == [*PACKETS, b"end"]
    assert line.put() == [*(Progress(number) for number in range(1, 7)), AudioSent()]
    assert (sender.begun, sender.sent) == (6, 6)


def test_packets_are_due_at_absolute_times() -> None:
    """Packet k never leaves before k intervals have passed, and the end leaves with the last packet, unwaited for."""
    line = Line()
    interval = 0.1
    sender = line.sender(interval)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    waits = [moment - began for moment in line.times]
    assert all(wait >= number * interval for number, wait in enumerate(waits[:6]))
    assert waits[6] - waits[5] < interval / 2
    assert waits[5] < 5 * interval + 1


def test_a_slow_packet_delays_no_later_due_time() -> None:
    """After a send that took three intervals the late packets leave at once, and the schedule is met again."""
    line = Line()
    interval = 0.2
    line.slow[b"b"] = 3.2 * interval  # from 1 to 4.2: c and d are late then, e is too, f is not
    sender = line.sender(interval)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    waits = [(moment - began) / interval for moment in line.times]
    assert line.taken == [*PACKETS, b"end"]
    assert waits[2] >= 4.2
    assert waits[4] < waits[2] + 2  # sleeping after each send would give that at least
    assert 5 <= waits[5] < 7  # and that 8.2


def test_without_interval_nothing_waits() -> None:
    """`interval=None` sends as fast as the line takes it."""
    line = Line()
    sender = line.sender(None, [b"x"] * 5000)
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    assert len(line.taken) == 5001
    assert time.monotonic() - began < 10


def test_stop_wakes_it_in_the_middle_of_an_interval() -> None:
    """A stopped sender ends at once, not at the end of its wait, and sends and reports nothing more."""
    line = Line()
    sender = line.sender(LONG)
    sender.start()
    assert line.events.get(timeout=LONG) == Progress(1)
    sender.stop()
    assert sender.join(5)
    assert line.taken == [b"a"]
    assert line.put() == []
    assert (sender.begun, sender.sent) == (1, 1)


@pytest.mark.parametrize("interval", [None, 0.01])
@pytest.mark.parametrize("at", [b"b", b"f", b"end"])
def test_nothing_follows_a_stop_during_a_send(at: bytes, interval: float | None) -> None:
    """A stop while a message is on its way: that one is the last, no end follows it, and nothing is reported."""
    line = Line()
    line.blocked[at] = threading.Event()
    sender = line.sender(interval)
    sender.start()
    assert line.reached.wait(LONG)
    before = line.put()
    sender.stop()
    assert not sender.join(0.05)
    line.blocked[at].set()
    assert sender.join(LONG)
    assert line.taken == [*PACKETS, b"end"][: [*PACKETS, b"end"].index(at) + 1]
    assert line.put() == before


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_broken_line_is_reported(interval: float | None) -> None:
    """What `send` raises is delivered, as it is, and is the last thing; the packet counts as begun, not as sent."""
    line = Line()
    line.broken[b"c"] = error = ConnectionResetError("cut")
    sender = line.sender(interval)
    sender.start()
    assert sender.join(LONG)
    assert line.put() == [Progress(1), Progress(2), SendFailed(error)]
    assert line.taken == [b"a", b"b", b"c"]
    assert (sender.begun, sender.sent) == (3, 2)


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_broken_line_at_the_end_is_reported(interval: float | None) -> None:
    """An end of stream that can't be sent is a failure, although all audio has left."""
    line = Line()
    line.broken[b"end"] = error = BrokenPipeError("cut")
    sender = line.sender(interval)
    sender.start()
    assert sender.join(LONG)
    assert line.put()[-1] == SendFailed(error)
    assert sender.sent == 6


@pytest.mark.parametrize("interval", [None, 0.01])
@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_no_exception_dies_in_the_thread(error: BaseException, interval: float | None) -> None:
    """Whatever the packets raise while they are cut, even what would end a process, reaches the one who waits."""

    def packets() -> Iterator[bytes]:
        yield b"a"
        raise error

    line = Line()
    sender = line.sender(interval, packets())
    sender.start()
    assert sender.join(LONG)
    assert line.put() == [Progress(1), SendFailed(error)]
    assert line.taken == [b"a"]


def test_an_exception_after_the_stop_is_nobodys() -> None:
    """Once stopped, a line that breaks under a send is expected, and not reported."""
    line = Line()
    gate = threading.Event()

    def send(packet: bytes) -> None:
        line.reached.set()
        assert gate.wait(LONG)
        raise OSError("closed under it")

    sender = Sender((Packet(data, 1) for data in PACKETS), b"end", send, line.begin, line.events.put, None)
    sender.start()
    assert line.reached.wait(LONG)
    sender.stop()
    gate.set()
    assert sender.join(LONG)
    assert line.put() == []


@pytest.mark.parametrize("interval", [None, 0.01])
def test_a_stop_before_the_start_sends_nothing(interval: float | None) -> None:
    """A sender that was stopped before it began neither sends nor reports."""
    line = Line()
    sender = line.sender(interval)
    sender.stop()
    sender.start()
    assert sender.join(LONG)
    assert (line.taken, line.put()) == ([], [])


def test_packets_are_drawn_one_at_a_time() -> None:
    """Packets are cut when they are due, in the thread: a long recording isn't held in memory twice."""
    drawn = []

    def packets() -> Iterator[bytes]:
        for number in range(6):
            drawn.append(threading.current_thread().name)
            yield bytes([number])

    line = Line()
    sender = line.sender(LONG, packets())
    sender.start()
    assert line.events.get(timeout=LONG) == Progress(1)
    sender.stop()
    assert sender.join(5)
    assert drawn in (["elsa-audio"], ["elsa-audio"] * 2)


def test_a_join_is_bounded() -> None:
    """`join` comes back after its time, and says that the thread is still there; the thread holds up no exit."""
    line = Line()
    line.blocked[b"a"] = threading.Event()
    sender = line.sender(None)
    sender.start()
    assert line.reached.wait(LONG)
    thread = next(each for each in threading.enumerate() if each.name == "elsa-audio")
    assert thread.daemon
    assert not sender.join(0.01)
    sender.stop()
    line.blocked[b"a"].set()
    assert sender.join(LONG)
    assert not thread.is_alive()


# Several at once.


def audio_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "elsa-audio"]


def test_paced_senders_share_a_thread_that_ends_with_the_last() -> None:
    """Fifty at once have one thread, whose end the last `join` waits for; each keeps its own pace and order."""
    lines = [Line() for _ in range(50)]
    intervals = [0.02 + 0.001 * number for number in range(50)]
    senders = [line.sender(interval) for line, interval in zip(lines, intervals)]
    began = []
    for sender in senders:
        began.append(time.monotonic())
        sender.start()
    assert len(audio_threads()) == 1
    for sender in senders:
        assert sender.join(LONG)
    assert audio_threads() == []
    for line, interval, start in zip(lines, intervals, began):
        assert line.taken == [*PACKETS, b"end"]
        assert line.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
        assert line.times[5] >= start + 5 * interval


def test_one_that_is_stopped_leaves_the_others() -> None:
    """A stop takes one out of the shared thread, at once, though its next packet is far away; the others go on."""
    stopped, other = Line(), Line()
    first, second = stopped.sender(LONG), other.sender(0.1)
    first.start()
    second.start()
    assert stopped.events.get(timeout=LONG) == Progress(1)
    first.stop()
    assert first.join(5)
    assert second.join(LONG)
    assert other.taken == [*PACKETS, b"end"]
    assert audio_threads() == []


@pytest.mark.parametrize("at", [b"a", b"c", b"f", b"end"])
def test_one_whose_connection_blocks_goes_on_alone(at: bytes) -> None:
    """What blocks is waited for in a thread of its own: others' packets leave meanwhile, and its own go on after."""
    blocked, other = Line(), Line()
    blocked.blocked[at] = threading.Event()
    first, second = blocked.sender(0.01), other.sender(0.01)
    first.start()
    second.start()
    assert blocked.reached.wait(LONG)
    assert second.join(LONG)
    assert other.taken == [*PACKETS, b"end"]
    assert not first.join(0.01)
    blocked.blocked[at].set()
    assert first.join(LONG)
    assert blocked.taken == [*PACKETS, b"end"]
    assert blocked.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
    assert audio_threads() == []


def test_one_that_blocked_comes_back() -> None:
    """A thread of its own is for the packet that blocks: after it, the stream is paced with the others again."""
    line, other = Line(), Line()
    line.blocked[b"b"] = threading.Event()
    first, second = line.sender(0.1), other.sender(0.1, [b"x"] * 300)
    first.start()
    second.start()
    assert line.reached.wait(LONG)
    assert len(audio_threads()) == 2
    line.blocked[b"b"].set()
    while line.taken != [*PACKETS, b"end"]:
        if len(line.taken) > 2:
            assert len(audio_threads()) == 1
        time.sleep(0.01)
    assert first.join(LONG)
    assert (first.begun, first.sent) == (6, 6)
    assert line.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
    second.stop()
    assert second.join(LONG)
    assert audio_threads() == []


def test_one_that_is_stopped_while_it_blocks() -> None:
    """Stopped amid a blocked send, it ends when that does, and nothing follows it."""
    line = Line()
    line.blocked[b"b"] = threading.Event()
    sender = line.sender(0.01)
    sender.start()
    assert line.reached.wait(LONG)
    sender.stop()
    line.blocked[b"b"].set()
    assert sender.join(LONG)
    assert line.taken == [b"a", b"b"]
    assert line.put() == [Progress(1)]
    assert (sender.begun, sender.sent) == (2, 2)
    assert audio_threads() == []


class _HeldUp(Sender):
    """One after whose turns the shared thread is kept from going on, as the operating system may keep it."""

    def take_turn(self) -> float | None:
        due = super().take_turn()
        time.sleep(0.2)
        return due


def test_one_that_blocked_leaves_no_thread() -> None:
    """When one that ended in a thread of its own has been joined, the shared thread has gone as well."""
    line = Line()
    line.blocked[b"a"] = threading.Event()
    sender = _HeldUp([Packet(b"a", 1)], b"end", line.send, line.begin, line.events.put, 100)
    sender.start()
    assert line.reached.wait(LONG)
    sender.stop()
    line.blocked[b"a"].set()
    assert sender.join(LONG)
    assert audio_threads() == []


def test_one_in_a_hurry_starves_nobody() -> None:
    """One that is always late, with far more packets than there is time for, takes turns with the others."""
    hurried, other = Line(), Line()
    first, second = hurried.sender(1e-9, itertools.repeat(b"x")), other.sender(0.05)
    first.start()
    second.start()
    try:
        assert second.join(LONG)
    finally:
        first.stop()
    assert first.join(LONG)
    assert other.taken == [*PACKETS, b"end"]


def test_one_that_fails_leaves_the_others() -> None:
    """An exception in one is put on its own queue, and on no other."""
    broken, other = Line(), Line()
    error = OSError("cut")
    broken.broken[b"b"] = error
    first, second = broken.sender(0.01), other.sender(0.02)
    first.start()
    second.start()
    assert first.join(LONG)
    assert second.join(LONG)
    assert broken.put() == [Progress(1), SendFailed(error)]
    assert other.taken == [*PACKETS, b"end"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_thread_of_its_own() -> None:
    """After a fork amid a stream, which leaves the thread behind, the child's streams leave, and the parent's go on."""
    line = Line()
    sender = line.sender(0.2)
    sender.start()
    assert line.events.get(timeout=LONG) == Progress(1)
    child = os.fork()
    if not child:
        own = Line()
        another = own.sender(0.01)
        another.start()
        whole = another.join(LONG) and own.taken == [*PACKETS, b"end"]
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.join(LONG)
    assert line.taken == [*PACKETS, b"end"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_may_have_the_number_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of processes come again, and each container counts anew: a child's streams leave all the same."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    line = Line()
    sender = line.sender(0.2)
    sender.start()
    assert line.events.get(timeout=LONG) == Progress(1)
    child = os.fork()
    if not child:
        own = Line()
        another = own.sender(0.01)
        another.start()
        whole = another.join(5) and own.taken == [*PACKETS, b"end"]
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.join(LONG)
    assert line.taken == [*PACKETS, b"end"]


@settings(max_examples=25, deadline=None)
@given(
    interval=st.one_of(st.none(), st.floats(1e-9, 0.01)),
    delays=st.lists(st.floats(0.0, 0.02), max_size=12),
)
def test_no_packet_leaves_before_its_time(interval: float | None, delays: list[float]) -> None:
    """Whatever the interval and however slow each send is: all leave, in order, none before t0 + k·interval."""
    packets = [b"%d" % number for number in range(len(delays))]
    line = Line()
    line.slow = dict(zip(packets, delays))
    sender = line.sender(interval, iter(packets))
    began = time.monotonic()
    sender.start()
    assert sender.join(LONG)
    assert line.taken == [*packets, b"end"]
    assert (sender.begun, sender.sent) == (len(packets), len(packets))
    assert all(at >= began + number * (interval or 0) for number, at in enumerate(line.times[:-1]))
    assert line.put() == [*(Progress(number + 1) for number in range(len(packets))), AudioSent()]


INTERRUPTED = """
import sys, threading
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.sender import Sender

def sender(taken):
    def begin(message):
        taken.append(message)
    return Sender([Packet(b"a", 1), Packet(b"b", 1)], b"end", begin, begin, lambda event: None, 1000)

def trace(frame, event, argument):
    # Where the starting thread's lock has been taken, and nobody knows yet: that thread waits for it for ever.
    if event == "return" and frame.f_code is threading.Condition.__enter__.__code__:
        sys.settrace(None)
        raise KeyboardInterrupt
    return trace

first, second = [], []
interrupted = sender(first)
sys.settrace(trace)
try:
    interrupted.start()
except KeyboardInterrupt:
    interrupted.stop()
    interrupted.join(0.1)
later = sender(second)
later.start()
print(later.join(20), first, second)
"""


def test_interrupted_start_ends_no_later_sender() -> None:
    """Ctrl-C at the worst moment of starting the shared thread: that thread never runs; the next sender's does."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True [] [b'a', b'b', b'end']\n", done.stderr


PAUSED = """
import sys, threading, time
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.sender import Sender, _Pacer, _pacer

def sender(packets):
    send = lambda message: None
    return Sender([Packet(b"a", 1)] * packets, b"end", send, send, lambda event: None, 50)

paused = threading.Event()

def trace(frame, event, argument):
    # Where the shared thread has decided to end, and the next sender doesn't find it any more.
    if event == "line" and frame.f_code is _Pacer._goes_on.__code__ and not paused.is_set():
        pacer = frame.f_locals["self"]
        if pacer._thread is None and not pacer._lock.locked():
            paused.set()
            time.sleep(0.2)
    return trace

threading.settrace(trace)
first, second = sender(1), sender(20)
first.start()
paused.wait(1)
second.start()
print(first.join(20), second.join(20))
"""


def test_a_shared_thread_that_ends_minds_no_other() -> None:
    """It ends at its word: a sender that comes meanwhile has a thread of its own, and one thread is enough for it."""
    command = [sys.executable, "-c", PAUSED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_a_finalizer_in_the_shared_thread() -> None:
    """What the garbage collector runs in the shared thread may send and wait for it: not by that thread, then."""
    line, other = Line(), Line()
    joined = []

    def finalize() -> Iterator[bytes]:
        yield b"a"
        sender = line.sender(0.01)
        sender.start()
        joined.append(sender.join(10))
        yield b"b"

    outer = other.sender(0.01, finalize())
    outer.start()
    assert outer.join(LONG)
    assert joined == [True]
    assert line.taken == [*PACKETS, b"end"]
    assert other.taken == [b"a", b"b", b"end"]
    assert audio_threads() == []


HANDLED = """
import faulthandler, sys, threading
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.sender import Sender, _Pacer

faulthandler.dump_traceback_later(20, exit=True)

def sender(taken):
    def begin(message):
        taken.append(message)
    return Sender([Packet(b"a", 1), Packet(b"b", 1)], b"end", begin, begin, lambda event: None, 1000)

def trace(frame, event, argument):
    # Where a signal would be handled, with the lock taken: as the shared thread is being made, or is told of a stop.
    where = {"add": "__init__", "wake": "give_up"}[sys.argv[1]]
    caller = frame.f_back
    if event == "call" and frame.f_code.co_name == where and caller and caller.f_code in (
        _Pacer.add.__code__, _Pacer.wake.__code__
    ):
        sys.settrace(None)
        inner = sender(second)
        inner.start()
        print(inner.join(10), second)

first, second = [], []
outer = sender(first)
sys.settrace(trace if sys.argv[1] == "add" else None)
outer.start()
outer.join(10)
outer._finished = sys.argv[1] == "add"
sys.settrace(trace)
outer.stop()
sys.settrace(None)
print(first)
"""


@pytest.mark.parametrize("where", ["add", "wake"])
def test_a_signal_handler_amid_the_shared_threads_lock(where: str) -> None:
    """A signal handler that sends, wherever it interrupts a sender of its own thread, doesn't wait for itself."""
    command = [sys.executable, "-c", HANDLED, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True [b'a', b'b', b'end']\n[b'a', b'b', b'end']\n", done.stderr
