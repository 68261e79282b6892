"""The thread that paced streams share: its turns, its end, forks, signal handlers. Real threads, real time."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from commands import unmeasured
from sinks import LONG, PACKETS, Sink, audio_threads

from elsa_unscripted.exchange.events import AudioSent, Progress, SendFailed
from elsa_unscripted.exchange.sender import Sender


def test_paced_senders_share_a_thread_that_ends_with_the_last() -> None:
    """Fifty at once have one thread, whose end the last `join` waits for; each keeps its own pace and order."""
    sinks = [Sink() for _ in range(50)]
    intervals = [0.02 + 0.001 * number for number in range(50)]
    senders = [sink.sender(interval) for sink, interval in zip(sinks, intervals)]
    began = []
    for sender in senders:
        began.append(time.monotonic())
        sender.start()
    assert len(audio_threads()) == 1
    for sender in senders:
        assert sender.join(LONG)
    assert audio_threads() == []
    for sink, interval, start in zip(sinks, intervals, began):
        assert sink.taken == [*PACKETS, b"end"]
        assert sink.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
        assert sink.times[5] >= start + 5 * interval


def test_one_that_is_stopped_leaves_the_others() -> None:
    """A stop takes one out of the shared thread, at once, though its next packet is far away; the others go on."""
    stopped, other = Sink(), Sink()
    first, second = stopped.sender(LONG), other.sender(0.1)
    first.start()
    second.start()
    assert stopped.events.get(timeout=LONG) == Progress(1)
    first.stop()
    assert first.join(LONG)
    assert second.join(LONG)
    assert other.taken == [*PACKETS, b"end"]
    assert audio_threads() == []


@pytest.mark.parametrize("at", [b"a", b"c", b"f", b"end"])
def test_one_whose_connection_blocks_goes_on_with_the_others(at: bytes) -> None:
    """What a connection doesn't take keeps no other's packets waiting, needs no second thread, and leaves at last."""
    blocked, other = Sink(), Sink()
    blocked.blocked[at] = threading.Event()
    first, second = blocked.sender(0.01), other.sender(0.01)
    first.start()
    second.start()
    assert blocked.reached.wait(LONG)
    assert second.join(LONG)
    assert other.taken == [*PACKETS, b"end"]
    assert not first.join(0.01)
    assert len(audio_threads()) == 1
    blocked.blocked[at].set()
    assert first.join(LONG)
    assert blocked.taken == [*PACKETS, b"end"]
    assert blocked.put() == [*(Progress(count) for count in range(1, 7)), AudioSent()]
    assert audio_threads() == []


def test_one_that_stalls_delays_nobody() -> None:
    """Fifty that are blocked for long cost one that isn't no more than moments, and are there for their own end."""
    stalled, other = [Sink() for _ in range(50)], Sink()
    gate = threading.Event()
    for sink in stalled:
        sink.blocked[b"b"] = gate
    senders = [sink.sender(0.01) for sink in stalled]
    for sender in senders:
        sender.start()
    paced = other.sender(0.05, [b"x"] * 20)
    began = time.monotonic()
    paced.start()
    assert paced.join(LONG)
    late = [moment - began - number * 0.05 for number, moment in enumerate(other.times[:20])]
    assert sorted(late)[10] < 0.05
    gate.set()
    assert all(sender.join(LONG) for sender in senders)
    assert all(sink.taken == [*PACKETS, b"end"] for sink in stalled)


class _HeldUp(Sender):
    """One after whose turns and end the shared thread is kept from going on, as the operating system may keep it."""

    def take_turn(self) -> float | None:
        due = super().take_turn()
        time.sleep(0.1)
        return due

    def finish(self) -> None:
        super().finish()
        time.sleep(0.1)


def test_the_last_one_that_ends_leaves_no_thread() -> None:
    """When the last sender has been joined, the shared thread has gone as well, however late it was to its end."""
    sink = Sink()
    sender = sink.sender(0.01, [b"a"], _HeldUp)
    sender.start()
    assert sender.join(LONG)
    assert sink.taken == [b"a", b"end"]
    assert audio_threads() == []


def test_one_in_a_hurry_starves_nobody() -> None:
    """One that is always late, with far more packets than there is time for, takes turns with the others."""
    hurried, other = Sink(), Sink()
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
    broken, other = Sink(), Sink()
    error = OSError("cut")
    broken.broken[b"b"] = error
    first, second = broken.sender(0.01), other.sender(0.02)
    first.start()
    second.start()
    assert first.join(LONG)
    assert second.join(LONG)
    assert broken.put() == [Progress(1), SendFailed(error)]
    assert other.taken == [*PACKETS, b"end"]


@pytest.mark.slow(everywhere=True)
@pytest.mark.forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_thread_of_its_own() -> None:
    """After a fork amid a stream, which leaves the thread behind, the child's streams leave, and the parent's go on."""
    sink = Sink()
    sender = sink.sender(0.2)
    sender.start()
    assert sink.events.get(timeout=LONG) == Progress(1)
    child = os.fork()
    if not child:
        own = Sink()
        another = own.sender(0.01)
        another.start()
        whole = another.join(LONG) and own.taken == [*PACKETS, b"end"]
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.join(LONG)
    assert sink.taken == [*PACKETS, b"end"]


@pytest.mark.slow(everywhere=True)
@pytest.mark.forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_may_have_the_number_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of processes come again, and each container counts anew: a child's streams leave all the same."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    sink = Sink()
    sender = sink.sender(0.2)
    sender.start()
    assert sink.events.get(timeout=LONG) == Progress(1)
    child = os.fork()
    if not child:
        own = Sink()
        another = own.sender(0.01)
        another.start()
        whole = another.join(LONG) and own.taken == [*PACKETS, b"end"]
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.join(LONG)
    assert sink.taken == [*PACKETS, b"end"]


INTERRUPTED = """
import sys, threading
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.sender import Sender

def sender(taken):
    def send(message):
        taken.append(message)
        return True
    return Sender([Packet(b"a", 1), Packet(b"b", 1)], b"end", send, send, lambda event: None, 1000)

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
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=unmeasured(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True [] [b'a', b'b', b'end']\n", done.stderr


HIDDEN = """
import sys, threading, time
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.pacer import Pacer
from elsa_unscripted.exchange.sender import Sender

def sender(packets):
    send = lambda message: True
    return Sender([Packet(b"a", 1)] * packets, b"end", send, send, lambda event: None, 50)

def interrupt(frame, event, argument):
    # Where the shared thread runs, and nobody has noted that it does.
    if event == "return" and frame.f_code is threading.Thread.start.__code__:
        sys.settrace(None)
        threading.settrace(None)
        raise KeyboardInterrupt
    return interrupt

def delay(frame, event, argument):
    if frame.f_code is Pacer._run.__code__:
        time.sleep(0.3)

first, second, third = sender(1), sender(50), sender(50)
threading.settrace(delay if sys.argv[1] == "late" else None)
sys.settrace(interrupt)
try:
    first.start()
except KeyboardInterrupt:
    first.stop()
time.sleep(0 if sys.argv[1] == "late" else 0.3)
second.start()
time.sleep(0.6)
third.start()
print([thread.name for thread in threading.enumerate()].count("elsa-audio"))
print(first.join(1), second.join(20), third.join(20), threading.active_count())
"""


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("when", ["at once", "late"])
def test_a_shared_thread_whose_start_was_interrupted(when: str) -> None:
    """Ctrl-C just after the shared thread's start: it has nothing to do and ends, also if another one runs by then."""
    command = [sys.executable, "-c", HIDDEN, when]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("1\nTrue True True 1\n", "")


PAUSED = """
import sys, threading, time
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange.pacer import Pacer
from elsa_unscripted.exchange.sender import Sender

def sender(packets):
    send = lambda message: True
    return Sender([Packet(b"a", 1)] * packets, b"end", send, send, lambda event: None, 50)

paused = threading.Event()

def trace(frame, event, argument):
    # Where the shared thread has decided to end, and the next sender doesn't find it any more.
    if event == "return" and argument and frame.f_code is Pacer._ends.__code__ and not paused.is_set():
        paused.set()
        time.sleep(0.2)
    return trace

threading.settrace(trace)
first, second = sender(1), sender(20)
first.start()
print(paused.wait(10))
second.start()
print(first.join(20), second.join(20))
"""


def test_a_shared_thread_that_ends_minds_no_other() -> None:
    """It ends at its word: a sender that comes meanwhile has a thread of its own, and one thread is enough for it."""
    command = [sys.executable, "-c", PAUSED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\nTrue True\n", "")


def test_a_finalizer_in_the_shared_thread() -> None:
    """What the garbage collector runs in the shared thread may send and wait for it: not by that thread, then."""
    sink, other = Sink(), Sink()
    joined = []

    def finalize() -> Iterator[bytes]:
        yield b"a"
        sender = sink.sender(0.01)
        sender.start()
        joined.append(sender.join(10))
        yield b"b"

    outer = other.sender(0.01, finalize())
    outer.start()
    assert outer.join(LONG)
    assert joined == [True]
    assert sink.taken == [*PACKETS, b"end"]
    assert other.taken == [b"a", b"b", b"end"]
    assert audio_threads() == []


HANDLED = """
import faulthandler, sys, threading
from elsa_unscripted.audio.packets import Packet
from elsa_unscripted.exchange import pacer
from elsa_unscripted.exchange.sender import Sender

faulthandler.dump_traceback_later(20, exit=True)

def sender(taken):
    def send(message):
        taken.append(message)
        return True
    return Sender([Packet(b"a", 1), Packet(b"b", 1)], b"end", send, send, lambda event: None, 1000)

def trace(frame, event, argument):
    # Where a signal would be handled: as the shared thread is being made, with its lock taken, or is told of a stop.
    where = {"add": "__init__", "wake": "finish"}[sys.argv[1]]
    caller = frame.f_back
    if event == "call" and frame.f_code.co_name == where and caller and caller.f_code.co_name == sys.argv[1] and (
        caller.f_code.co_filename == pacer.__file__
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
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True [b'a', b'b', b'end']\n[b'a', b'b', b'end']\n", done.stderr
