"""What a batch tells its caller: an `Outcome` for each recording, and a `BatchProgress` now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from ..exceptions import ElsaError
from ..journal import Entry, Line
from ..results.result import ScoreResult


@dataclass(frozen=True)
class Outcome:
    """What became of one recording: a result or an error, never both.

    Attributes:
        path: As it was given: a str, or a `PathLike`.
        result: The result, if it was scored.
        error: Why it wasn't.
        attempts: Exchanges begun for it in this run; 0 if none was (in the journal, over budget, unreadable, …).
        seconds: How long these exchanges took together.
        from_journal: The journal had it, from an earlier run or from this one under another name; nothing was sent.
        sha256: Of the file's bytes; `None` when it couldn't be read.
        same_as: The path of another recording of the same content, whose result or error this is; its own path, if
            that was given more than once.
    """

    path: Any
    result: Optional[ScoreResult] = None
    error: Optional[ElsaError] = None
    attempts: int = 0
    seconds: float = 0.0
    from_journal: bool = False
    sha256: Optional[str] = None
    same_as: Optional[str] = None


class _ComputedOnce:
    """A property that is computed when it is first asked for, and then kept; it may be set.

    Why not `functools.cached_property`: up to Python 3.11, all instances share a lock. If the process forks while a
    thread has it, the child can never take it.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute

    def __get__(self, instance: Any, _: object = None) -> Any:
        if instance is None:
            return self
        value = vars(instance)[self._compute.__name__] = self._compute(instance)
        return value


class Resumed(Outcome):
    """An outcome from the journal. Its line is parsed when `result` or `error` is first asked for."""

    # Not plain properties: `dataclasses.replace()` calls the dataclass's `__init__`, which sets `result` and `error`.

    _line: Line

    @classmethod
    def of(cls, path: Any, sha256: str, line: Line, same_as: Optional[str] = None) -> Resumed:
        """Returns the outcome that a line of the journal tells; `attempts` and `seconds` are 0."""
        outcome = cls.__new__(cls)
        vars(outcome).update(path=path, from_journal=True, sha256=sha256, same_as=same_as, _line=line)
        return outcome

    @property
    def good(self) -> bool:
        """Whether there is a result; the line need not be parsed to know."""
        return self._line.good

    @_ComputedOnce
    def result(self) -> Optional[ScoreResult]:
        return self._entry.result if self.good else None

    @_ComputedOnce
    def error(self) -> Optional[ElsaError]:
        return None if self.good else self._entry.error

    @_ComputedOnce
    def _entry(self) -> Entry:
        return self._line.entry()


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is, for `on_progress`.

    Attributes:
        succeeded: Recordings that were scored in this run.
        failed: Recordings that failed in this run.
        resumed: Recordings whose result was in the journal.
        skipped: Recordings over budget, and earlier failures that aren't tried again.
        in_flight: Recordings that are being scored.
        audio_seconds: Length of the recordings that were finished in this run.
        billable_seconds: An estimate: the started units of every stream that may be metered.
        concurrency: How many may be in flight now.
        waiting: Seconds that are left of a common back-off; 0.0 if there is none.
    """

    succeeded: int = 0
    failed: int = 0
    resumed: int = 0
    skipped: int = 0
    in_flight: int = 0
    audio_seconds: float = 0.0
    billable_seconds: float = 0.0
    concurrency: int = 0
    waiting: float = 0.0
