"""`Throttle`: how many exchanges of a batch may run at once. Asked by `run`, which tells it how each one ended."""

from __future__ import annotations

import math
import random
import time
from typing import Optional

from ..log import logger

FIRST_BACKOFF = 1.0  # s, of the whole batch after a 429 that doesn't say how long; doubled by each that follows
LONGEST_BACKOFF = 60.0  # s
LONGEST_WAIT = 600.0  # s, whatever the server asks for: the next refusal tells whether it still does


class Throttle:
    """How many exchanges may run at once: half as many after a refusal, one more after each round without one.

    That is additive increase and multiplicative decrease, as TCP does it.

    Attributes:
        most: How many may ever run at once.
        concurrency: How many may run at once now.
        passed: How many exchanges were not turned away so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.concurrency = most
        self.passed = 0
        self._streak = 0  # exchanges that passed since `concurrency` changed
        self._refusals = 0  # decreases since an exchange passed; the next back-off doubles with each
        self._lowered_at = -math.inf  # when `concurrency` was last lowered, monotonic
        self._resume_at = -math.inf  # when the back-off ends, monotonic

    def waiting(self) -> float:
        """Returns the seconds until an exchange may begin; 0.0 outside a back-off."""
        return max(0.0, self._resume_at - time.monotonic())

    def note_passed(self) -> None:
        """Takes note of an exchange that was not turned away; raises `concurrency` after as many as may run at once."""
        self.passed += 1
        self._refusals = 0
        self._streak += 1
        if self._streak >= self.concurrency and self.concurrency < self.most:
            self.concurrency += 1
            self._streak = 0

    def lower_limit(self, most: int) -> None:
        """Lowers `most` for good: too many files were open while `most` exchanges ran; leaves an eighth of room."""
        if most < self.most:
            self.most = max(1, most - most // 8)
            self.concurrency = min(self.concurrency, self.most)
            logger.warning(
                "too many open files: %d recordings at once from now on; the limit is the system's (ulimit -n)",
                self.most,
            )

    def note_refused(self, started: float, retry_after: Optional[float]) -> None:
        """Takes note of an exchange that got HTTP 429: none begins until a common back-off has passed.

        Args:
            started: When the exchange began, monotonic. One that began before the last decrease tells nothing of its
                effect, so that it causes no other decrease.
            retry_after: How many seconds the server wants us to wait, if it said so; `LONGEST_WAIT` at most is waited.
        """
        now = time.monotonic()
        if started > self._lowered_at:
            self.concurrency = max(1, self.concurrency // 2)
            self._lowered_at = now
            self._refusals += 1
            self._streak = 0
        backoff = min(FIRST_BACKOFF * 2.0 ** min(self._refusals - 1, 30), LONGEST_BACKOFF) * random.uniform(0.5, 1.5)
        wait = max(retry_after or 0.0, backoff)
        before, self._resume_at = self._resume_at, max(self._resume_at, now + min(wait, LONGEST_WAIT))
        if wait <= LONGEST_BACKOFF * 1.5:
            logger.info(
                "turned away (HTTP 429): %d at once from now on, after %.1f s", self.concurrency, self.waiting()
            )
        elif (
            self._resume_at - before > LONGEST_BACKOFF
        ):  # one warning for all recordings that were turned away together
            logger.warning(
                "turned away (HTTP 429): the server asks to wait %.0f s; the batch goes on in %.0f s, with %d at once",
                wait,
                self.waiting(),
                self.concurrency,
            )
