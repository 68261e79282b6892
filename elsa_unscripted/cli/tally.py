"""The summary at the end of a batch: counts by cause, what to do next and for whom, the bill. `batch` fills it."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..batch import BILLABLE_UNIT_SECONDS
from ..exceptions import BudgetError, ConnectError, ElsaError, ScoringFailedError, StreamClosedError
from ..journal import name_in
from ..results.problems import NOT_BEGUN, PROBLEMS, Problem, counted, problem_of
from .meter import clock
from .statuses import with_own_options

if TYPE_CHECKING:
    from ..batch import Outcome

SLOWEST = 5
MAX_REASONS = 1000  # that are told apart: a server may give each recording a reason of its own
SHOWN_REASONS = 10  # for each thing to do next
SHOWN_NAMES = 10  # for each reason
MAX_REASON = 120  # characters


class Reason(NamedTuple):
    """Why some recordings have no score: a problem, and what the server or the error says of it."""

    problem: Problem
    detail: str = ""


class Tally:
    """Counts outcomes.

    Attributes:
        with_score: Recordings that have an overall score.
        without: Recordings that have a result, but no overall score: too short ones, for example.
        missing: Recordings that have no result.
        again: Those of `missing` that `--retry-failed` sends again; else the journal would keep them for good.
        left: Those of `missing` that the next run begins in any case.
        unconnected: Those of `missing` that no connection was made for, in this run.
        connected: Whether any connection was made in this run.
        earlier: Recordings whose result was in the journal when the run began.
        same: Recordings with the same content as another.
    """

    def __init__(self) -> None:
        self.with_score = self.without = self.missing = self.again = self.left = self.unconnected = 0
        self.earlier = self.same = 0
        self.connected = False
        self._problems: Counter[Optional[Problem]] = Counter()
        self._numbers: Counter[Reason] = Counter()
        self._names: Dict[Reason, List[str]] = {}
        self._copies: List[str] = []
        self._slowest: List[Tuple[float, str]] = []

    @property
    def total(self) -> int:
        """How many recordings have an outcome."""
        return self.with_score + self.without + self.missing

    def add(self, outcome: Outcome) -> None:
        """Counts an outcome."""
        error = outcome.error
        conclusion = error if error is not None else outcome.result
        problem = None if conclusion is None else problem_of(conclusion)
        self._problems[problem] += 1
        if error is None:
            self.with_score += problem is None
            self.without += problem is not None
            self.earlier += outcome.from_journal and outcome.same_as is None
        else:
            self.missing += 1
            self.again += error.retryable and problem is not NOT_BEGUN
            self.left += problem is NOT_BEGUN
        if outcome.same_as is not None:
            self.same += 1
            if len(self._copies) < SHOWN_NAMES:
                other = "" if str(outcome.path) == outcome.same_as else f" (same as {outcome.same_as})"
                self._copies.append(f"{_name(outcome)}{other}")
        if problem is not None:
            self._note(outcome, problem)
        if not outcome.from_journal:
            self.unconnected += isinstance(error, ConnectError)
            self.connected |= outcome.attempts > 0 and not isinstance(error, ConnectError)
            if outcome.attempts:
                self._slowest = heapq.nlargest(SLOWEST, [*self._slowest, (outcome.seconds, outcome.path)])

    def _note(self, outcome: Outcome, problem: Problem) -> None:
        reason = Reason(problem, _detail(outcome.error, outcome.path))
        if reason not in self._numbers and len(self._numbers) >= MAX_REASONS:
            reason = Reason(problem)
        self._numbers[reason] += 1
        names = self._names.setdefault(reason, [])
        if len(names) < SHOWN_NAMES:
            names.append(_name(outcome))

    def lines(self, seconds: float, billable_seconds: float, left: Optional[int] = 0) -> List[str]:
        """Returns the summary as lines, which may hold text of the server.

        Args:
            seconds: How long the batch took.
            billable_seconds: The estimate of the bill.
            left: Recordings that have no outcome, as the batch was cut short; `None` if nobody knows how many.
        """
        rest = "" if left == 0 else ", the others of the list left" if left is None else f", {left} left"
        total = _recordings(self.total + (left or 0))
        lines = [f"{total} in {clock(seconds)}: {counted(self._problems)}{rest}"]
        if self.earlier:
            lines.append(f"{self.earlier} from an earlier run")
        if self.same:
            lines.append(f"{self.same} with the same content as another: {_listed(self._copies, self.same)}")
        if self._slowest:
            lines.append("The slowest:")
            lines += [f"{taken:8.1f} s  {path}" for taken, path in self._slowest]
        if billable_seconds:
            unit = BILLABLE_UNIT_SECONDS
            units = round(billable_seconds / unit)
            started = "1 started unit" if units == 1 else f"{units} started units"
            lines.append(f"Estimate of the bill: {started} of {unit:g} s. ELSA documents no metering.")
        return [*lines, *self._next_steps()]

    def _next_steps(self) -> List[str]:
        """Returns what to do next, by cause: for each thing to do, the reasons, and the recordings behind them."""
        lines = []
        for action in dict.fromkeys(problem.action for problem in PROBLEMS):
            found = [(number, reason) for reason, number in self._numbers.items() if reason.problem.action == action]
            if not found:
                continue
            found.sort(key=lambda pair: (PROBLEMS.index(pair[1].problem), -pair[0]))
            lines.append(f"  {action}:")
            for number, reason in found[:SHOWN_REASONS]:
                detail = f" ({reason.detail})" if reason.detail else ""
                names = _listed(self._names[reason], number)
                lines.append(f"    {number} {reason.problem.counts_as}{detail}: {names}")
            rest = sum(number for number, _ in found[SHOWN_REASONS:])
            if rest:
                lines.append(f"    {rest} for other reasons; the journal has them all")
        return ["What to do next:", *lines] if lines else []


def _name(outcome: Outcome) -> str:
    return name_in(getattr(outcome.path, "columns", {})) or str(outcome.path)


def _listed(names: Sequence[str], number: int) -> str:
    """Returns names, in their order, and how many more there are of a number of recordings."""
    more = [f"and {number - len(names)} more"] if number > len(names) else []
    return ", ".join([*sorted(names), *more])


def _recordings(number: int) -> str:
    return "1 recording" if number == 1 else f"{number} recordings"


def _detail(error: Optional[ElsaError], path: str) -> str:
    """Returns the part of an error that others may share: what it says, without the recording's and stream's names."""
    if error is None or getattr(error, "missing", False):
        return ""
    if isinstance(error, BudgetError):
        detail = "over budget"
    elif isinstance(error, ScoringFailedError):
        detail = error.reason or ""
    elif isinstance(error, ConnectError):
        detail = "no connection" if error.status_code is None else f"HTTP {error.status_code}"
    elif isinstance(error, StreamClosedError):
        detail = f"closed with {error.code}"
    else:
        detail = with_own_options(str(error)).replace(f"{str(path)!r} ", "", 1)
    return detail if len(detail) <= MAX_REASON else f"{detail[: MAX_REASON - 1]}…"
