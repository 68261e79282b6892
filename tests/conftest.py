"""What every test of the suite is held to: it leaves no thread, socket or file behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Iterator, Set

import pytest

DATA = Path(__file__).parent / "data"
DESCRIPTORS = Path("/proc/self/fd")


def descriptors() -> Set[str]:
    """Returns what is open, by what it is: sockets and files, not the library files that an import may map."""
    found = set()
    for entry in DESCRIPTORS.iterdir() if DESCRIPTORS.exists() else ():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")
        except OSError:
            continue  # the listing's own descriptor
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a thread, a socket or a file behind."""
    threads, opened = set(threading.enumerate()), descriptors()
    yield
    guard = time.monotonic() + 5
    while True:
        gc.collect()
        left = [thread.name for thread in threading.enumerate() if thread not in threads]
        left += [name for name in descriptors() - opened if "socket:" in name or ".wav" in name]
        if not left or time.monotonic() > guard:
            break
        time.sleep(0.01)
    assert not left


@pytest.fixture
def austen() -> Path:
    """24.73 s of read speech, 16 kHz mono 16 bit."""
    return DATA / "austen.wav"


@pytest.fixture
def short() -> Path:
    """The shortest of the recordings, one packet."""
    return DATA / "wire" / "short.wav"


@pytest.fixture
def speech() -> Path:
    """3.28 s, seven packets."""
    return DATA / "wire" / "mono16k.wav"
