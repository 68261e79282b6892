"""Rows of single exchanges: pace, and what the client adds before, during and after the streaming."""

from __future__ import annotations

import functools
import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import bare
from audio import AUSTEN, CHUNK, mp3, speech
from lean_server import LeanServer
from line import Line, line, single
from load import Load, run

from elsa_unscripted import score

TOKEN = "any-token"
LATE = 0.2  # s after which a slow server answers the handshake
WARM_UP = 3  # exchanges before those that count
BIG_VERDICT_BYTES = 2_000_000
PACING_TARGET = "p99 ≤ 3, worst ≤ 20"


def pacing(folder: Path, quick: bool) -> Iterator[Line]:
    """How late each packet is, and whether that grows. The bare loop runs at the same time, in a process of its own."""
    seconds = 8 if quick else 150
    path = speech(folder, seconds)

    def paced(speed: float, bare: bool) -> list[float]:
        with LeanServer() as server:
            errors = run(Load(server.url, str(path), 1, bare=bare, speed=speed)).errors
            if errors:
                raise RuntimeError(f"no verdict: {errors}")
            return lateness(server.records(2)[1], speed)  # the first was its warm-up

    for speed in (1.0, 10.0):
        with ThreadPoolExecutor() as pool:
            late, bare_late = pool.map(functools.partial(paced, speed), (False, True))
        yield line(f"pacing, {seconds} s at speed {speed:g}: lateness", "ms", late, bare_late, target=PACING_TARGET)
        yield single("  of the last packet", "ms", late[-1], target="≤ 3")
        yield line("  the bare loop", "ms", bare_late)


def first_packet(folder: Path, quick: bool) -> Iterator[Line]:
    """From the call to the first packet, as the server sees it; with a quick server and with a slow one."""
    times = 5 if quick else 30
    long = speech(folder, 150)
    recordings = {"24.7 s WAV": AUSTEN, "150 s WAV": long}
    try:
        recordings.update({"24.7 s MP3": mp3(speech(folder, 24.73)), "150 s MP3": mp3(long)})
        missing = ""
    except ImportError:
        missing = "MP3 wasn't measured: PyAV isn't installed (pip install 'elsa-unscripted[formats]')"
    for delay in (0.0, LATE):
        with LeanServer(handshake_delay=delay) as server:
            warm_up(server)
            ours: dict[str, list[float]] = {name: [] for name in recordings}
            plain: dict[str, list[float]] = {name: [] for name in recordings}
            for _ in range(times):
                for name, path in recordings.items():
                    ours[name].append(until_first_packet(server, start, path) - delay)
                    if path.suffix == ".wav" and not delay:
                        plain[name].append(until_first_packet(server, start_bare, path))
        for name in recordings:
            what = f"call → first packet, {name}"
            if delay:
                what = f"  {name}, server {1e3 * delay:.0f} ms late: beyond that"
            target = "≤ 10" if name.endswith("WAV") and not delay else ""
            yield line(what, "ms", ours[name], plain[name], target=target)
        if not delay:
            more = statistics.median(ours["150 s WAV"]) - statistics.median(ours["24.7 s WAV"])
            yield single("  what the longer WAV costs", "ms", more, target="≤ 5")
    if missing:
        yield Line("  MP3", note=missing)


def verdict(folder: Path, quick: bool) -> Iterator[Line]:
    """From the verdict on the wire to the return of `score()`; and how many threads are left then."""
    path = speech(folder, 0.3)
    ours, plain = [], []
    left = 0
    with LeanServer() as server:
        warm_up(server)
        before = set(threading.enumerate())
        for _ in range(100 if quick else 300):
            score(path, TOKEN, url=server.url)
            returned = time.monotonic()
            left += len(set(threading.enumerate()) - before)
            ours.append(returned - server.records(1)[0]["verdict"])
            bare.exchange(server.url, path)
            returned = time.monotonic()
            plain.append(returned - server.records(1)[0]["verdict"])
    yield line("verdict on the wire → score() returned", "ms", ours, plain, target="p99 ≤ 3")
    yield single(f"  threads left, in {len(ours)} calls", "", left, target="none")


def max_speed(folder: Path, quick: bool) -> Iterator[Line]:
    """A whole call, with the audio as fast as the connection takes it."""
    path = speech(folder, 150)
    ours, plain = [], []
    with LeanServer() as server:
        warm_up(server)
        bare.exchange(server.url, path)
        for _ in range(8 if quick else 40):
            ours.append(timed(lambda: score(path, TOKEN, url=server.url, speed=None)))
            plain.append(timed(lambda: bare.exchange(server.url, path)))
    yield line("as fast as possible, 150 s of audio", "ms", ours, plain, target="≤ 1.15 × bare loop")


def big_verdict(folder: Path, quick: bool) -> Iterator[Line]:
    """What a verdict with a large assessment costs, beside the parsing."""
    path = speech(folder, 0.3)
    text = assessment(BIG_VERDICT_BYTES)
    data = text.encode()
    ours, plain, loads = [], [], []
    with LeanServer(text) as server:
        warm_up(server)
        for number in range(8 if quick else 40):
            score(path, TOKEN, url=server.url)
            returned = time.monotonic()
            ours.append(returned - server.records(1)[0]["verdict"])
            loads.append(timed(lambda: json.loads(data)))
            if number % 4 == 0:  # only some, as they are slow: websocket-client checks UTF-8 in Python
                bare.exchange(server.url, path)
                returned = time.monotonic()
                plain.append(returned - server.records(1)[0]["verdict"])
    what = f"{len(data) / 1e6:.1f} MB verdict on the wire → returned"
    yield line(what, "ms", ours, loads, against="json.loads", target="≤ 1.5 × json.loads")
    yield line("  json.loads alone", "ms", loads)
    yield line("  the bare loop", "ms", plain, loads, against="json.loads")


def warm_up(server: LeanServer) -> None:
    """Makes some exchanges first, so that all is imported and every cache is filled."""
    for _ in range(WARM_UP):
        score(AUSTEN, TOKEN, url=server.url, speed=None)
        bare.exchange(server.url, AUSTEN)
    server.records(2 * WARM_UP)


def lateness(record: dict[str, Any], speed: float) -> list[float]:
    """Returns by how many seconds each packet came after its due time, counted from when the stream was named."""
    start = record["start"]
    return [came - start - number * CHUNK / speed for number, came in enumerate(record["packets"])]


def until_first_packet(server: LeanServer, begin: Callable[[str, Path], object], path: Path) -> float:
    """Returns the seconds from a call to when the server had its first packet."""
    began = time.monotonic()
    begin(server.url, path)
    return float(server.records(1)[0]["packets"][0]) - began


class _EnoughError(Exception):
    """The first packet has left."""


def start_bare(url: str, path: Path) -> None:
    """Does what `start()` does, by the bare loop."""
    bare.exchange(url, path, 1, most=1)


def start(url: str, path: Path) -> None:
    """Calls `score()`, and ends it after the first packet."""

    def end(_sent: float, _total: float) -> None:
        raise _EnoughError

    try:
        score(path, TOKEN, url=url, on_progress=end)
    except _EnoughError:
        return
    raise AssertionError("score() made no progress")


def timed(call: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def assessment(size: int) -> str:
    """Returns a verdict with an assessment of about `size` bytes, of the documented shape."""
    phonemes = [{"phoneme": "ʌ", "score": 71.25, "start": 0.125, "end": 0.25, "decision": "correct"} for _ in range(5)]
    words = [{"text": "naïve", "score": 83.5, "decision": "almost correct", "phonemes": phonemes} for _ in range(12)]
    utterance = {"text": "a café, a naïve façade", "result": {"nativeness_score": 64.5, "words": words}}
    each = len(json.dumps(utterance, ensure_ascii=False).encode())
    utterances = [{"utterance_id": number, **utterance} for number in range(size // each)]
    speaker = {"speaker_id": "0", "total_time": 150.0, "utterances": utterances}
    return json.dumps({"status": "success", "result_link": "", "speakers": [speaker]}, ensure_ascii=False)
