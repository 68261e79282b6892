"""Rows of many streams at once: how late, how much of the processor, how much memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from audio import CHUNK, speech
from exchange import lateness
from lean_server import LeanServer
from line import Line, line, quantile, single
from load import Load, Outcome, run

RAMP = 10.0  # s in which all live streams are started
LIMIT = 0.1  # s of p99 lateness at which there are too many streams
BEYOND = (1250, 1500, 2000, 3000, 4000)  # streams that `limit()` tries, one after the other


class Run(NamedTuple):
    """A load and what the server saw of it, without the first exchange of the process."""

    outcome: Outcome
    records: Sequence[dict[str, Any]]
    server_cpu: float


def run_against(server: LeanServer, path: Path, streams: int, **options: Any) -> Run:
    """Runs a load against a server of its own."""
    outcome = run(Load(server.url, str(path), streams, **options))
    return Run(outcome, server.report()[1:], server.cpu_seconds())


def cpu(folder: Path, quick: bool) -> Iterator[Line]:
    """The processor's time for an hour of audio at speed 1: for many streams at once, and for one alone.

    All four run at the same time, each with a server of its own: together they need a few percent of a core.
    """
    seconds = 5.0 if quick else 60.0
    path = speech(folder, seconds)

    def hourly(streams: int, bare: bool) -> float:
        with LeanServer() as server:
            outcome = run_against(server, path, streams, bare=bare).outcome
        if outcome.errors:
            raise RuntimeError(f"streams were lost: {outcome.errors}")
        return (outcome.samples[1].cpu - outcome.samples[0].cpu) / (streams * seconds / 3600)

    many = 60
    with ThreadPoolExecutor() as pool:
        ours, plain, alone, plain_alone = pool.map(hourly, (many, many, 1, 1), (False, True, False, True))
    what = f"CPU per hour of audio: {many} × {seconds:.0f} s at once"
    yield single(what, "s", ours, ratio=ours / plain, target="≤ 2")
    yield single(f"  one stream of {seconds:.0f} s", "s", alone, ratio=alone / plain_alone)
    yield single("  the bare loop, all at once", "s", plain)
    yield single("  the bare loop, one", "s", plain_alone)


def live(folder: Path, quick: bool) -> Iterator[Line]:
    """Live streams in one process: how late their packets are."""
    seconds = 5.0 if quick else 60.0
    for streams in (100, 300) if quick else (100, 300, 1000):
        yield from _live_lines(_live(folder, streams, seconds, 2.0 if quick else RAMP), streams, seconds)


def limit(folder: Path, quick: bool) -> Iterator[Line]:
    """With how many live streams packets become late, or a stream is lost; not in a quick run."""
    if quick:
        yield Line("streams at which p99 lateness passes 100 ms", note="not measured in a quick run")
        return
    seconds, remark = 20.0, "not even at the greatest number that was tried, which this is"
    for streams in BEYOND:
        found = _live(folder, streams, seconds, RAMP)
        yield from itertools.islice(_live_lines(found, streams, seconds), 3)
        if _is_late(found) or found.outcome.errors:
            remark = "or fewer: see the row of live streams" if streams == BEYOND[0] else ""
            break
    yield single("streams at which p99 lateness passes 100 ms", "", streams, note=remark)


def _live(folder: Path, streams: int, seconds: float, ramp: float) -> Run:
    path = speech(folder, seconds)
    with LeanServer() as server:
        return run_against(server, path, streams, ramp=ramp)


def _live_lines(found: Run, streams: int, seconds: float) -> Iterator[Line]:
    first, last = found.outcome.samples
    late = _lateness(found)
    what = f"{streams:,} live streams of {seconds:.0f} s: lateness"
    yield line(what, "ms", late, target="p99 ≤ 50" if streams == 1000 else "")
    steady = _steady_lateness(found)
    if steady:
        yield line("  while all were live", "ms", steady)
    whole = sum(len(record["packets"]) == round(seconds / CHUNK) for record in found.records)
    lost = max(streams - whole, sum(found.outcome.errors.values()))
    yield single(
        "  lost", "", lost, target="none" if streams == 1000 else "", note="; ".join(found.outcome.errors)[:300]
    )
    used = (last.cpu - first.cpu) / (streams * seconds)
    yield single("  client CPU per hour of audio", "s", used * 3600)
    for kind in ("voluntary", "involuntary"):
        switches = getattr(last, kind) - getattr(first, kind)
        yield single(f"  {kind} switches per stream and s", "", switches / (streams * seconds))
    yield single("  CPU of the server", "s", found.server_cpu)


def _lateness(found: Run) -> list[float]:
    return [late for record in found.records if record["start"] for late in lateness(record, 1.0)]


def _steady_lateness(found: Run) -> list[float]:
    """Returns the lateness of packets between the last start and the first end, as starting and ending cost most."""
    begin = max(record["start"] or 0.0 for record in found.records)
    end = min(record["end"] for record in found.records)
    late = []
    for record in found.records:
        if record["start"]:
            pairs = zip(record["packets"], lateness(record, 1.0))
            late += [delay for came, delay in pairs if begin <= came - delay <= end]
    return late


def _is_late(found: Run) -> bool:
    return quantile(_lateness(found), 0.99) > LIMIT


def idle(folder: Path, quick: bool) -> Iterator[Line]:
    """How often streams wake up that wait for their verdict, 10 s long."""
    streams = 100
    path = speech(folder, 0.3)
    begin, end = (2.0, 4.0) if quick else (2.0, 10.0)
    with LeanServer(verdict_delay=10.0) as server:
        outcome = _sampled(server, path, streams, begin, end)
    _, before, after = outcome.samples
    switches = after.voluntary + after.involuntary - before.voluntary - before.involuntary
    what = f"{streams} streams that wait: switches per s, in all"
    yield single(what, "", switches / (end - begin))
    yield single("  their CPU, per second", "ms", (after.cpu - before.cpu) / (end - begin))


def memory(folder: Path, quick: bool) -> Iterator[Line]:
    """How much memory each live stream takes beyond the first; the target is 1.5 times its PCM and 150 KB."""
    seconds, streams, moment = 30.0, 100, 3.0
    path = speech(folder, seconds)
    pcm = seconds * 32_000

    def taken(count: int) -> int:
        with LeanServer() as server:
            return _sampled(server, path, count, moment).samples[-1].memory

    with ThreadPoolExecutor() as pool:
        alone, many = pool.map(taken, (1, streams))
    each = (many - alone) / (streams - 1)
    most = (1.5 * pcm + 150_000) / 1000
    what = f"memory per live stream of {seconds:.0f} s, of {streams}"
    yield single(what, "KB", each, ratio=each / pcm, against="its PCM", target=f"≤ {most:,.0f}")


def _sampled(server: LeanServer, path: Path, streams: int, *moments: float) -> Outcome:
    """Looks at a load at some moments; all streams must be live at the last.

    Raises:
        RuntimeError: Some were lost.
    """
    outcome = run(Load(server.url, str(path), streams, samples=moments))
    server.records(1 + streams)
    if outcome.errors:
        raise RuntimeError(f"streams were lost: {outcome.errors}")
    return outcome
