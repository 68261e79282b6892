"""The rows of the benchmark; as a script, it measures one of them: `benchmark.py` starts it for each.

So every row has a process of its own, in which nothing of another is left. It prints the row's lines, as they come, as
JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """A row: what it is about, who measures it, and about how many seconds that takes, in full and quickly."""

    about: str
    function: str
    seconds: float
    quick_seconds: float


ROWS = {
    "import": Row("import elsa_unscripted", "_benchmark_process.imports", 20, 5),
    "help": Row("elsa-unscripted --help", "_benchmark_process.help_text", 7, 2),
    "first-packet": Row("call → first packet", "_benchmark_exchange.first_packet", 45, 9),
    "verdict": Row("verdict on the wire → score() returned", "_benchmark_exchange.verdict", 5, 2),
    "big-verdict": Row("a verdict of 2 MB", "_benchmark_exchange.big_verdict", 15, 4),
    "max-speed": Row("as fast as possible", "_benchmark_exchange.max_speed", 4, 1),
    "peak": Row("peak memory of one long recording", "_benchmark_process.peak", 6, 3),
    "memory": Row("memory of each live stream", "_benchmark_streams.memory", 5, 5),
    "idle": Row("how often streams wake up that wait", "_benchmark_streams.idle", 12, 6),
    "pacing": Row("lateness of each packet", "_benchmark_exchange.pacing", 182, 12),
    "cpu": Row("CPU for an hour of audio", "_benchmark_streams.cpu", 63, 8),
    "live": Row("live streams in one process", "_benchmark_streams.live", 213, 16),
    "limit": Row("how many live streams are too many", "_benchmark_streams.limit", 65, 0),
    "batch": Row("score_many()", "_benchmark_batch.batch", 45, 8),
}


def main() -> int:
    """Measures a row; returns the exit status."""
    name, pace = sys.argv[1:]
    module, _, function = ROWS[name].function.partition(".")
    try:
        with tempfile.TemporaryDirectory() as folder:
            for line in getattr(importlib.import_module(module), function)(Path(folder), pace == "quick"):
                print(json.dumps(line._asdict()), flush=True)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
