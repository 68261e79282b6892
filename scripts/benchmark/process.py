"""Rows of whole processes: how long they take to start, and how much memory one takes at most."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from audio import speech
from lean_server import LeanServer
from line import Line, line

# Each runs in a process of its own, because a process can't reset its peak. Arguments: this folder, the recording, the
# server's URL.
OURS = """
import sys
sys.path.append(sys.argv[1])
from memory import peak
from elsa_unscripted import score
before = peak()
score(sys.argv[2], "any-token", url=sys.argv[3], speed=None)
print(peak() - before)
"""
BARE = """
import sys
sys.path.append(sys.argv[1])
from pathlib import Path
from memory import peak
import bare
before = peak()
bare.exchange(sys.argv[3], Path(sys.argv[2]))
print(peak() - before)
"""


def imports(folder: Path, quick: bool) -> Iterator[Line]:
    """How long the imports take in a new interpreter; the ratio is without what the interpreter takes."""
    codes = ("pass", "import websocket", "import elsa_unscripted", "from elsa_unscripted import score")
    bare, websocket, ours, with_score = _interleaved([["-c", code] for code in codes], 8 if quick else 40)
    for code, walls, target in (
        (codes[2], ours, "≤ 1.2 × websocket"),
        (codes[3], with_score, ""),
        (codes[1], websocket, ""),
    ):
        own = [statistics.median(walls) - statistics.median(bare) for walls in (walls, websocket)]
        ratio = None if code == codes[1] else own[0] / own[1]
        yield line(f"python -c '{code}'", "ms", walls, ratio=ratio, against="websocket", target=target)
    yield line("python -c 'pass'", "ms", bare)


def help_text(folder: Path, quick: bool) -> Iterator[Line]:
    """How long `--help` takes, from the start of the process to its end."""
    commands = [["-m", "elsa_unscripted", "--help"], ["-c", "import argparse"]]
    ours, plain = _interleaved(commands, 8 if quick else 40)
    yield line("elsa-unscripted --help", "ms", ours, plain, against="import argparse", target="≤ 3 × argparse")
    yield line("  python -c 'import argparse'", "ms", plain)


def _interleaved(commands: Sequence[list[str]], times: int) -> list[list[float]]:
    """Runs Python with each of these arguments, in turn; returns the seconds that each took."""
    walls: list[list[float]] = [[] for _ in commands]
    for number in range(times + 1):
        for command, found in zip(commands, walls):
            began = time.monotonic()
            # No timeout: with one, Python looks for the end only every 50 ms. `__main__.py` bounds the whole row.
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
            if number:  # the first may compile
                found.append(time.monotonic() - began)
    return walls


def peak(folder: Path, quick: bool) -> Iterator[Line]:
    """The most memory that a long recording takes."""
    seconds = 150.0
    path = speech(folder, seconds, sample_rate=44_100, channels=2)
    pcm = [seconds * 44_100 * 4]
    here = str(Path(__file__).resolve().parent)
    found: dict[str, list[float]] = {OURS: [], BARE: []}
    with LeanServer() as server:
        for _ in range(2 if quick else 5):
            for code, peaks in found.items():
                command = [sys.executable, "-c", code, here, str(path), server.url]
                peaks.append(float(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout))
    what = f"peak memory beyond the import, {pcm[0] / 1e6:.1f} MB PCM"
    yield line(what, "MB", found[OURS], pcm, against="its PCM", target="≤ 2.2 × its PCM")
    yield line("  the bare loop", "MB", found[BARE], pcm, against="its PCM")
