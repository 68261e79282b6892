"""How many exchanges of a batch may run at once; asked and told by `run`."""

from __future__ import annotations

import logging
import math
import random
import time
from typing import Optional

logger = logging.getLogger("elsa_unscripted")

FIRST_BACKOFF = 1.0  # s, of the whole batch after a 429 that doesn't say how long; doubled by each that follows
LONGEST_BACKOFF = 60.0  # s


class Pace:
    """How many exchanges may run at once: fewer when the server asks for that, and step by step more again.

    Additive increase, multiplicative decrease, as TCP does it.

    Attributes:
        most: How many may be at most.
        concurrency: How many may be now.
        passed: How many exchanges were not turned away.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.concurrency = most
        self.passed = 0
        self._streak = 0  # how many passed since the last change
        self._refusals = 0  # since one passed, those of the same moment counted once
        self._lowered_at = -math.inf
        self._resume_at = -math.inf

    def waiting(self) -> float:
        """Returns the seconds in which nothing may begin."""
        return max(0.0, self._resume_at - time.monotonic())

    def let_pass(self) -> None:
        self.passed += 1
        self._refusals = 0
        self._streak += 1
        if self._streak >= self.concurrency and self.concurrency < self.most:
            self.concurrency += 1
            self._streak = 0

    def limit(self, most: int) -> None:
        """Lowers how many may run at most, for good, below what there was no room for."""
        if most < self.most:
            self.most = max(1, most - most // 8)
            self.concurrency = min(self.concurrency, self.most)
            logger.warning(
                "too many open files: %d recordings at once from now on; the limit is the system's (ulimit -n)",
                self.most,
            )

    def refuse(self, started: float, retry_after: Optional[float]) -> None:
        """Takes note of a 429: nothing begins until a common back-off has passed."""
        now = time.monotonic()
        if started > self._lowered_at:  # else it began before the last decrease, and tells nothing of its effect
            self.concurrency = max(1, self.concurrency // 2)
            self._lowered_at = now
            self._refusals += 1
            self._streak = 0
        backoff = min(FIRST_BACKOFF * 2.0 ** min(self._refusals - 1, 30), LONGEST_BACKOFF) * random.uniform(0.5, 1.5)
        self._resume_at = max(self._resume_at, now + max(retry_after or 0.0, backoff))
        logger.info("turned away (HTTP 429): %d at once from now on, after %.1f s", self.concurrency, self.waiting())
