"""How much memory the calling process has now, and has had at most. For the rows of the benchmark."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def resident() -> int:
    """Returns how much of this process is in memory, in bytes; without /proc, its peak."""
    return _status("VmRSS") if STATUS.exists() else peak()


def peak() -> int:
    """Returns the most that was in memory so far, in bytes."""
    if STATUS.exists():
        return _status("VmHWM")  # not ru_maxrss: on Linux it begins with the peak of the process that started this one
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024
