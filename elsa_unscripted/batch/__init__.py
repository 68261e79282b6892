"""Many exchanges at once, over threads or any `concurrent.futures.Executor`. `run` says how; for `score_many()`."""

from __future__ import annotations

from .outcome import BatchProgress, Outcome
from .run import BILLABLE_UNIT_SECONDS, MAX_WORKERS, NOT_YET, Batch

__all__ = ["BILLABLE_UNIT_SECONDS", "MAX_WORKERS", "NOT_YET", "Batch", "BatchProgress", "Outcome"]
