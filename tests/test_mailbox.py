"""The mailbox: nothing is lost, the order is kept, and every wait ends, with real threads and real signals."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
from commands import unmeasured

from elsa_unscripted.mailbox import Mailbox

GUARD = 60  # s


def test_first_in_first_out() -> None:
    mailbox = Mailbox[int]()
    for number in range(3):
        mailbox.put(number)
    assert len(mailbox) == 3
    assert [mailbox.get(0), mailbox.get_nowait(), mailbox.get(GUARD)] == [0, 1, 2]
    assert not mailbox


@pytest.mark.parametrize("timeout", [0, 1e-9, 0.05])
def test_an_empty_one_says_so(timeout: float) -> None:
    mailbox = Mailbox[int]()
    for _ in range(2):  # the second time, it has been rung for something that is gone
        began = time.monotonic()
        with pytest.raises(queue.Empty):
            mailbox.get(timeout)
        assert timeout <= time.monotonic() - began < GUARD
        mailbox.put(1)
        mailbox.put(2)
        assert [mailbox.get_nowait(), mailbox.get_nowait()] == [1, 2]
    with pytest.raises(queue.Empty):
        mailbox.get_nowait()


def test_what_comes_ends_the_wait() -> None:
    mailbox = Mailbox[str]()
    threading.Timer(0.05, mailbox.put, ["here"]).start()
    assert mailbox.get(1e30) == "here"


def test_nothing_is_lost_among_many_threads() -> None:
    mailbox = Mailbox[tuple[int, int]]()
    senders, letters = 8, 3000

    def send(sender: int) -> None:
        for number in range(letters):
            mailbox.put((sender, number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they come in between each other, wherever they are
    try:
        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
        for thread in threads:
            thread.start()
        taken = [mailbox.get(GUARD) for _ in range(senders * letters)]
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not mailbox
    for sender in range(senders):
        assert [number for other, number in taken if other == sender] == list(range(letters))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
@pytest.mark.interrupts
def test_a_signal_handler_may_put_into_what_it_interrupts() -> None:
    mailbox = Mailbox[str]()
    before = signal.signal(signal.SIGALRM, lambda *_: mailbox.put("from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert mailbox.get(GUARD) == "from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not mailbox


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env=unmeasured(), capture_output=True, text=True, timeout=GUARD, check=False
    )


WAITS_AMONG_SIGNALS = """
import queue, signal
from elsa_unscripted.mailbox import Mailbox

mailbox, ended, wrong = Mailbox(), 0, 0
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)
for _ in range(20_000):
    mailbox.put(1)
    wrong += mailbox.get(timeout=1) != 1
    try:
        mailbox.get(timeout=2e-6)
    except queue.Empty:
        ended += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(ended, wrong)
"""


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_no_wait_outlives_its_time() -> None:
    """Its time may pass while it isn't waiting yet: `queue.SimpleQueue.get()` never came back then, by Python 3.12."""
    done = run(WAITS_AMONG_SIGNALS)
    assert done.stdout.split() == ["20000", "0"], done.stderr


INTERRUPTED_BEFORE_IT_WAITS = """
import signal, time
from elsa_unscripted.mailbox import Mailbox

mailbox, longest = Mailbox(), 0.0
signal.signal(signal.SIGALRM, signal.default_int_handler)
for number in range(40):
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 2e-6 + number % 40 * 5e-7)
        mailbox.get(300)
    except KeyboardInterrupt:
        longest = max(longest, time.monotonic() - began)
print(longest < 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_ctrl_c_just_before_it_waits_is_seen() -> None:
    """A lock's `acquire()` isn't ended by a signal that came in the moment before the wait: one of eight, here."""
    done = run(INTERRUPTED_BEFORE_IT_WAITS)
    assert done.stdout.split() == ["True"], done.stderr


INTERRUPTED = """
import contextlib, queue, signal
from elsa_unscripted.mailbox import Mailbox

mailbox, interrupted, wrong = Mailbox(), 0, 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
for number in range(10_000):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-5 + number % 50 * 1e-6)
            for _ in range(20):
                with contextlib.suppress(queue.Empty):
                    mailbox.get(1e-5)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
    mailbox.put(number)
    wrong += mailbox.get(30) != number
print(interrupted > 1000, wrong)
"""


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_it_works_after_ctrl_c_at_any_moment() -> None:
    done = run(INTERRUPTED)
    assert done.stdout.split() == ["True", "0"], done.stderr


RAISED = """
import signal
from elsa_unscripted.mailbox import Mailbox

raised = caught = unrung = 0

def handler(number, frame):
    global raised
    raised += 1
    raise RuntimeError("too slow")

signal.signal(signal.SIGALRM, handler)
for number in range(40_000):
    mailbox = Mailbox()
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 3e-6 + number % 40 * 2e-7)
            for _ in range(50):
                mailbox.put(1)
                unrung += mailbox._arrival.locked()
                mailbox.get(1)
                mailbox._arrival.acquire(False)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except RuntimeError:
        caught += 1
print(raised > 1000, raised - caught, unrung)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_what_a_signal_handler_raises_amid_a_put_comes_through() -> None:
    done = run(RAISED)
    assert done.stdout.split() == ["True", "0", "0"], done.stderr
