"""What threads share: a lock that no signal handler can leave taken."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import posix, unmeasured

INTERRUPTED = """
import signal, threading, time
from elsa_unscripted.threads import holding

def limit(*_):
    raise TimeoutError

signal.signal(signal.SIGALRM, limit)
def nothing():
    pass

lock, interrupts, lost = threading.Lock(), 0, 0
until = time.monotonic() + 2
while time.monotonic() < until:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        while True:
            holding(lock, nothing)
    except TimeoutError:
        interrupts += 1
        lost += lock.locked()  # here, where the exception still refers to all frames
    lock = threading.Lock() if lock.locked() else lock
print(interrupts > 100, lost)
"""


@pytest.mark.slow
@posix
@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 may run a handler just before the lock is released")
def test_a_signal_handler_leaves_no_lock_taken() -> None:
    """Whenever a signal handler raises while a lock is taken, held or given back, the lock is free afterwards."""
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True 0\n", "")
