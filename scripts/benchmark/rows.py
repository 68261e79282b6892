"""The rows of the benchmark. As a script, this file measures one row.

`__main__.py` starts it for each row, so that each has a process of its own, in which no other row has left anything. It
prints each line of the row as JSON, as soon as it is measured.
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
    "import": Row("import elsa_unscripted", "process.imports", 20, 5),
    "help": Row("elsa-unscripted --help", "process.help_text", 7, 2),
    "first-packet": Row("call → first packet", "exchange.first_packet", 45, 9),
    "verdict": Row("verdict on the wire → score() returned", "exchange.verdict", 5, 2),
    "big-verdict": Row("a verdict of 2 MB", "exchange.big_verdict", 15, 4),
    "max-speed": Row("as fast as possible", "exchange.max_speed", 4, 1),
    "peak": Row("peak memory of one long recording", "process.peak", 6, 3),
    "memory": Row("memory of each live stream", "streams.memory", 5, 5),
    "idle": Row("how often streams wake up that wait", "streams.idle", 12, 6),
    "pacing": Row("lateness of each packet", "exchange.pacing", 182, 12),
    "cpu": Row("CPU for an hour of audio", "streams.cpu", 63, 8),
    "live": Row("live streams in one process", "streams.live", 213, 16),
    "limit": Row("how many live streams are too many", "streams.limit", 65, 0),
    "piece": Row("piece given → packet on the wire", "spoken.piece", 63, 10),
    "end-of-speech": Row("end of speech → end_stream on the wire", "spoken.end_of_speech", 50, 7),
    "early-verdict": Row("early verdict → send_audio() is False", "spoken.early_verdict", 32, 5),
    "one-thread": Row("500 streams pushed by one thread", "spoken.one_thread", 74, 18),
    "thread-each": Row("300 streams pushed by a thread each", "spoken.thread_each", 72, 16),
    "generators": Row("200 streams from generators", "spoken.generators", 70, 16),
    "live-memory": Row("memory of each pushed stream", "spoken.memory", 45, 10),
    "live-cpu": Row("CPU for an hour of live audio", "spoken.cpu", 64, 9),
    "send-audio": Row("send_audio() for an hour of audio", "spoken.send_audio", 15, 4),
    "batch": Row("score_many()", "batch.batch", 45, 8),
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
