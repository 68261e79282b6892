"""The row of batches: how fast `score_many()` is, and whether its memory depends on how many recordings there are.

As a script, this file is the process that runs the batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import memory
from audio import CHUNK, speech
from lean_server import LeanServer
from line import Line, single

JOBS = 100
SECONDS = 3.0  # of a recording
PATIENCE = 400.0  # s: a hang guard


def batch(folder: Path, quick: bool) -> Iterator[Line]:
    """Recordings per second, beside the most that 100 jobs can do; and memory, early and late in a long batch."""
    count = 100 if quick else 500
    few, many = (100, 400) if quick else (500, 5000)
    with LeanServer() as server:
        paced = _run(folder, url=server.url, count=count, speed=1.0, marks=[count])
        fast = _run(folder, url=server.url, count=many, speed=None, marks=[few, many])
    ideal = JOBS / SECONDS
    rate = count / paced["seconds"]
    what = f"{count} recordings of {SECONDS:.0f} s, {JOBS} jobs: per second"
    target = f"≥ 0.9 × ideal {ideal:.1f}"
    note = f"The ideal is jobs ÷ audio length. A stream is shorter by a packet: the last one leaves {CHUNK} s before."
    yield single(what, "", rate, ratio=rate / ideal, against="the ideal", target=target, note=note)
    yield single("  client CPU for each recording", "ms", paced["cpu"] / count)
    yield single(f"{many:,} recordings at full speed: per second", "", many / fast["seconds"])
    before, after = fast["peaks"]
    yield single(f"  peak memory after {few}", "MB", before)
    yield single(
        f"  peak memory after {many:,}", "MB", after, ratio=after / before, against=f"after {few}", target="flat"
    )


def _run(folder: Path, **task: Any) -> Any:
    """Runs a batch in a process of its own.

    Raises:
        subprocess.SubprocessError: It failed, or took too long.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps({**task, "folder": str(folder)})]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True, encoding="utf-8")
    return json.loads(done.stdout)


# The process.


def main() -> None:
    task = json.loads(sys.argv[1])
    folder = Path(task["folder"])
    began, used = time.monotonic(), time.process_time()
    peaks = []
    from elsa_unscripted import score_many

    paths = _recordings(folder, task["count"])
    options: dict[str, Any] = {
        "url": task["url"],
        "speed": task["speed"],
        "journal": folder / f"{task['count']}-{task['speed']}.jsonl",
    }
    with score_many(paths, "any-token", max_workers=JOBS, **options) as outcomes:
        for number, outcome in enumerate(outcomes, 1):
            if outcome.error is not None:
                raise outcome.error
            Path(outcome.path).unlink()
            if number in task["marks"]:
                peaks.append(memory.peak())
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peaks": peaks}))


def _recordings(folder: Path, count: int) -> Iterator[Path]:
    """Yields recordings, each written when it is asked for; no two have the same bytes."""
    wav = speech(folder, SECONDS).read_bytes()
    for number in range(count):
        path = folder / f"{number}.wav"
        path.write_bytes(wav[:-4] + number.to_bytes(4, "little"))
        yield path


if __name__ == "__main__":
    main()
