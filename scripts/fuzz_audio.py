"""Decodes damaged audio files at random for a given time, and keeps each that is not taken as it should.

Memory is bounded by the operating system meanwhile: a file that makes the decoder want all of it is a finding too.
Each file is written to disk before it is decoded: a crash of the interpreter leaves it there.

Uses `mutations` of tests/: it makes and judges the damaged files that the tests decode too, briefly.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from mutations import SEEDS, complaint_about, mutate, seed  # noqa: E402

MEMORY_BYTES = 3 * 2**30  # of address space, in which PyAV's libraries alone take 1 GiB


def main() -> int:
    """Fuzzes; returns 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices; default: %(default)s")
    parser.add_argument("--keep", type=Path, default=Path("findings"), help="folder for them; default: %(default)s")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    bound_memory()
    rng = random.Random(options.seed)
    runs: Counter[str] = Counter()
    findings = 0
    options.keep.mkdir(exist_ok=True)
    current = options.keep / "current"
    ends = time.monotonic() + options.seconds
    while time.monotonic() < ends:
        name = rng.choice(SEEDS)
        data = mutate(rng, seed(name), seed(rng.choice(SEEDS)))
        current.write_bytes(data)
        complaint = complaint_about(data, rng.choice((None, 16000)))
        runs[name] += 1
        if complaint:
            findings += 1
            kept = options.keep / f"{findings:03}-{name.replace(' ', '-')}"
            kept.write_bytes(data)
            print(f"{kept}: {complaint}", flush=True)
    current.unlink()
    print(", ".join(f"{name} {count}" for name, count in sorted(runs.items())))
    print(f"{sum(runs.values())} damaged files, {findings} findings")
    return 1 if findings else 0


def bound_memory() -> None:
    """Limits the memory of the process to `MEMORY_BYTES`, where the system can."""
    try:
        import resource
    except ImportError:
        print("this system can't bound a process's memory: only time is watched")
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    sys.exit(main())
