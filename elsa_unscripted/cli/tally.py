"""The summary at the end of a batch: counts by outcome and reason, the slowest, the bill. `batch` fills it."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, List, Optional, Tuple

from ..batch import BILLABLE_UNIT_SECONDS
from ..exceptions import (
    AuthenticationError,
    BudgetError,
    ConnectError,
    ElsaError,
    ScoringFailedError,
    StreamClosedError,
)
from .meter import clock

if TYPE_CHECKING:
    from ..batch import Outcome

SLOWEST = 5
MAX_REASONS = 1000  # that are told apart: a server may give each recording a reason of its own
SHOWN_REASONS = 15
MAX_REASON = 120  # characters


class Tally:
    """Counts outcomes.

    Attributes:
        scored: Recordings that have a result.
        earlier: Those of `scored` whose result was in the journal.
        missing: Recordings that have no result.
        again: Those of `missing` that `--retry-failed` tries again.
        unconnected: Those of `missing` that no connection was made for, in this run.
        connected: Whether any connection was made in this run.
    """

    def __init__(self) -> None:
        self.scored = 0
        self.earlier = 0
        self.missing = 0
        self.again = 0
        self.unconnected = 0
        self.connected = False
        self._reasons: Counter[str] = Counter()
        self._slowest: List[Tuple[float, str]] = []

    def add(self, outcome: Outcome) -> None:
        """Counts an outcome."""
        error = outcome.error
        if error is None:
            self.scored += 1
            self.earlier += outcome.from_journal
        else:
            self.missing += 1
            self.again += not isinstance(error, (BudgetError, AuthenticationError))
            reason = _reason(error) + (" (in the journal, not tried again)" if outcome.from_journal else "")
            self._reasons[reason if len(self._reasons) < MAX_REASONS else type(error).__name__] += 1
        if not outcome.from_journal:
            self.unconnected += isinstance(error, ConnectError)
            self.connected |= outcome.attempts > 0 and not isinstance(error, ConnectError)
            if outcome.attempts:
                self._slowest = heapq.nlargest(SLOWEST, [*self._slowest, (outcome.seconds, outcome.path)])

    def lines(self, seconds: float, billable_seconds: float, left: Optional[int] = 0) -> List[str]:
        """Returns the summary as lines, which may hold text of the server.

        Args:
            seconds: How long the batch took.
            billable_seconds: The estimate of the bill.
            left: Recordings that have no outcome, as the batch was cut short; `None` if nobody knows how many.
        """
        earlier = f", {self.earlier} of them earlier" if self.earlier else ""
        rest = "" if left == 0 else ", the others of the list left" if left is None else f", {left} left"
        lines = [
            f"{_recordings(self.scored + self.missing + (left or 0))} in {clock(seconds)}: "
            f"{self.scored} scored{earlier}, {self.missing} not{rest}"
        ]
        shown = self._reasons.most_common(SHOWN_REASONS)
        lines += [f"{number:8}  {reason}" for reason, number in shown]
        others = sum(self._reasons.values()) - sum(number for _, number in shown)
        if others:
            lines.append(f"{others:8}  other reasons; the journal has them all")
        if self._slowest:
            lines.append("The slowest:")
            lines += [f"{taken:8.1f} s  {path}" for taken, path in self._slowest]
        if billable_seconds:
            unit = BILLABLE_UNIT_SECONDS
            units = round(billable_seconds / unit)
            lines.append(f"Estimate of the bill: {units} started units of {unit:g} s. ELSA documents no metering.")
        return lines


def _recordings(number: int) -> str:
    return "1 recording" if number == 1 else f"{number} recordings"


def _reason(error: ElsaError) -> str:
    """Returns the part of an error that others may share: not its message, which names the recording or the stream."""
    detail: Optional[str] = None
    if isinstance(error, ScoringFailedError):
        detail = error.reason
    elif isinstance(error, ConnectError) and error.status_code is not None:
        detail = f"HTTP {error.status_code}"
    elif isinstance(error, StreamClosedError):
        detail = f"closed with {error.code}"
    return type(error).__name__ + (f": {detail[:MAX_REASON]}" if detail else "")
