"""`Deadline`: one time budget that several waits share; used wherever something waits."""

from __future__ import annotations

import time


class Deadline:
    """A moment on the monotonic clock, `seconds` from now."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Returns the seconds that are left, never less than 0."""
        return max(0.0, self._at - time.monotonic())

    def expired(self) -> bool:
        return time.monotonic() >= self._at

    def extend(self, seconds: float) -> None:
        """Makes the deadline `seconds` later."""
        self._at += seconds
