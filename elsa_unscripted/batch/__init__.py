"""Many exchanges at once, over threads or any `concurrent.futures.Executor`. `run` says how; for `score_many()`."""

from __future__ import annotations

from .budget import BILLABLE_UNIT_SECONDS
from .intake import SlowPaths
from .job import ListedPath
from .outcome import BatchProgress, Outcome
from .run import MAX_WORKERS, Batch

__all__ = ["BILLABLE_UNIT_SECONDS", "MAX_WORKERS", "Batch", "BatchProgress", "ListedPath", "Outcome", "SlowPaths"]
