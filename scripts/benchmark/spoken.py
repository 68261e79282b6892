"""Rows of speech as it is spoken: pushed by `Client.open_stream()`, and pulled from a generator by `score()`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

from audio import CHUNK
from lean_server import LeanServer
from line import Line, line, single
from load import TOKEN
from speaking import RATE, Bare, Speech, Told, run

from elsa_unscripted import Client

PIECE = 0.02  # s of audio
QUICK_CHUNK = 0.1  # s of audio in a packet, where many packets are wanted of one stream
# s in which the streams of a row begin to speak. With 2.0 s, a hundred of them would give each piece together.
RAMP = 2.03


class Heard(NamedTuple):
    """What was spoken, and the server's record of each stream, by its name."""

    told: Told
    records: dict[str, dict[str, Any]]


def heard(way: str, server: Optional[LeanServer] = None, **options: Any) -> Heard:
    """Speaks to a server of its own, or to `server`."""
    with server or LeanServer() as listening:
        told = run(Speech(listening.url, way, **options))
        found = {record["path"][1:]: record for record in listening.report()}
    found.pop("warm-up", None)
    return Heard(told, found)


def side_by_side(ways: Sequence[str], **options: Any) -> list[Heard]:
    """Speaks in several ways at the same time, each to a server of its own.

    Raises:
        RuntimeError: A stream was lost.
    """
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda way: heard(way, **options), ways))
    for each in found:
        if each.told.errors:
            raise RuntimeError(f"streams were lost: {each.told.errors}")
    return found


def piece(folder: Path, quick: bool) -> Iterator[Line]:
    """From when a piece is given that fills a packet, until the server has the packet. One stream, at real time."""
    ways = ("a thread each", "pulled", "bare, a thread each")
    pushed, pulled, bare = map(_delays, side_by_side(ways, seconds=8.0 if quick else 60.0, chunk=QUICK_CHUNK))
    yield line("piece given → packet on the wire: pushed", "ms", pushed, bare, target="p99 ≤ 3")
    yield line("  pulled", "ms", pulled, bare, target="p99 ≤ 5")
    yield line("  the bare loop", "ms", bare)


def end_of_speech(folder: Path, quick: bool) -> Iterator[Line]:
    """From the end of the speech until the server has the end of the stream. One stream after the other."""
    ways = ("a thread each", "pulled", "bare, a thread each")
    streams = 12 if quick else 120
    found = side_by_side(ways, streams=streams, seconds=0.3, ramp=0.4 * streams)
    pushed, pulled, bare = (
        [record["end_stream"] - each.told.over[name] for name, record in each.records.items()] for each in found
    )
    yield line("end of speech → end_stream: finish()", "ms", pushed, bare, target="p99 ≤ 3")
    yield line("  the end of a generator", "ms", pulled, bare, target="p99 ≤ 3")
    yield line("  the bare loop", "ms", bare)


def early_verdict(folder: Path, quick: bool) -> Iterator[Line]:
    """From the server's early verdict until `send_audio()` returns `False`. One stream after the other."""
    streams = 15 if quick else 150
    server = LeanServer(verdict_after=1, verdict_delay=0.0305)
    found = heard("a thread each", server, streams=streams, seconds=5.0, piece=0.001, chunk=0.1, ramp=0.2 * streams)
    delays = [found.told.over[name] - record["verdict"] for name, record in found.records.items()]
    what = "early verdict → send_audio() is False"
    yield line(what, "ms", delays, target="p99 ≤ 5", note="; ".join(found.told.errors)[:300])


def one_thread(folder: Path, quick: bool) -> Iterator[Line]:
    """Many streams, all pushed by one thread."""
    yield from _many("pushed by one thread", "by one thread", "bare, by one thread", 100 if quick else 500, quick, 15)


def thread_each(folder: Path, quick: bool) -> Iterator[Line]:
    """Many streams, each pushed by a thread of its own."""
    yield from _many("pushed, a thread each", "a thread each", "bare, a thread each", 60 if quick else 300, quick, 30)


def generators(folder: Path, quick: bool) -> Iterator[Line]:
    """Many streams, each pulled from a generator."""
    yield from _many("from generators", "pulled", "bare, a thread each", 40 if quick else 200, quick, 30)


def _many(what: str, way: str, bare_way: str, streams: int, quick: bool, target: float) -> Iterator[Line]:
    """Many streams at once, then as many of the bare loop, which show how late this machine is in any case."""
    seconds = 4.0 if quick else 30.0
    found, bare = (heard(each, streams=streams, seconds=seconds, ramp=RAMP) for each in (way, bare_way))
    late, bare_late = _lateness(found), _lateness(bare)
    yield line(f"{streams} × {seconds:.0f} s {what}: lateness", "ms", late, bare_late, target=f"p99 ≤ {target:g}")
    yield line("  without that of the pieces", "ms", _delays(found), _delays(bare))
    whole = sum(
        len(record["packets"]) == round(seconds / CHUNK) and record["verdict"] is not None
        for record in found.records.values()
    )
    lost = max(streams - whole, sum(found.told.errors.values()))
    yield single("  lost", "", lost, target="none", note="; ".join(found.told.errors)[:300])
    used, bare_used = (
        (each.told.samples[-1].cpu - each.told.samples[0].cpu) / (streams * seconds) * 3600 for each in (found, bare)
    )
    yield single("  client CPU per hour of audio", "s", used, ratio=used / bare_used)
    yield line("  the bare loop: lateness", "ms", bare_late)
    yield line("  the bare loop, without that of the pieces", "ms", _delays(bare))


def memory(folder: Path, quick: bool) -> Iterator[Line]:
    """How much memory each pushed stream takes beyond the first: after some seconds, and later."""
    streams = 100
    moments = (2.0, 6.0) if quick else (3.0, 40.0)

    def taken(count: int) -> list[int]:
        found = heard("by one thread", streams=count, seconds=moments[-1] + 1, ramp=1.0, samples=moments)
        if found.told.errors:
            raise RuntimeError(f"streams were lost: {found.told.errors}")
        return [sample.memory for sample in found.told.samples[1:-1]]

    with ThreadPoolExecutor() as pool:
        alone, many = pool.map(taken, (1, 1 + streams))
    for moment, one, all_of_them in zip(moments, alone, many):
        what = f"memory per pushed stream, after {moment:.0f} s"
        yield single(what, "KB", (all_of_them - one) / streams, target="≤ 100")


def cpu(folder: Path, quick: bool) -> Iterator[Line]:
    """The processor's time for an hour of live audio that one thread pushes; the bare loop at the same time."""
    streams, seconds = 60, 5.0 if quick else 60.0
    found = side_by_side(("by one thread", "bare, by one thread"), streams=streams, seconds=seconds, ramp=1.0)
    ours, bare = ((each.told.samples[-1].cpu - each.told.samples[0].cpu) / (streams * seconds) * 3600 for each in found)
    what = f"CPU per hour of live audio: {streams} × {seconds:.0f} s pushed"
    yield single(what, "s", ours, ratio=ours / bare, target="≤ 2")
    yield single("  the bare loop", "s", bare)


def send_audio(folder: Path, quick: bool) -> Iterator[Line]:
    """What the calls of `send_audio()` cost their thread, for an hour of audio; the bare loop likewise."""
    hours = 0.1 if quick else 1.0
    ours: list[float] = []
    plain: list[float] = []
    piece_of_audio = bytes(round(RATE * PIECE) * 2)
    for _ in range(3):
        for bare, costs in ((False, ours), (True, plain)):
            with LeanServer() as server:
                costs.append(
                    _pushing(Speech(server.url, ""), bare, round(hours * 3600 / PIECE), piece_of_audio) / hours
                )
    yield line("send_audio(), an hour in pieces of 20 ms: CPU", "s", ours, plain, target="≤ 1.5")
    yield line("  the bare loop", "s", plain)


def _pushing(speech: Speech, bare: bool, times: int, audio: bytes) -> float:
    """Pushes as fast as possible; returns the CPU time of this thread."""
    if bare:
        stream: Any = Bare(speech, "")
    else:
        stream = Client(TOKEN, url=speech.url, speed=None).open_stream(sample_rate=RATE, max_seconds=None)
    before = time.thread_time()
    for _ in range(times):
        stream.send_audio(audio)
    used = time.thread_time() - before
    stream.finish()
    return used


def _delays(found: Heard) -> list[float]:
    """Returns the seconds from each piece that filled a packet until the packet was there."""
    return [
        came - given
        for name, record in found.records.items()
        for given, came in zip(found.told.given[name], record["packets"])
    ]


def _lateness(found: Heard) -> list[float]:
    """Returns by how many seconds each packet came later than its audio was spoken."""
    return [
        came - found.told.began[name] - (number + 1) * CHUNK
        for name, record in found.records.items()
        for number, came in enumerate(record["packets"])
    ]
