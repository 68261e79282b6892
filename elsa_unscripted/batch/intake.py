"""`Intake`: what comes into a batch. Draws paths for `run`, and sorts out what needs no exchange.

path ── unreadable? ─────────────────────────────────► outcome
     ── in the journal? ─────────────────────────────► outcome
     ── the same content under way? ── held, and looked at again when that has ended
     ── over budget? ────────────────────────────────► outcome
     ── else ────────────────────────────────────────► job

Each path has a line in the journal before its outcome is yielded. A path that has none yet, because nothing is sent for
it, gets one with its outcome: a `Note`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import Any, Dict, Iterator, List, Literal, Mapping, NamedTuple, Optional, Set, Union

from ..audio.live import Live
from ..audio.recording import read_file, seconds_in
from ..config import PathLike
from ..exceptions import AudioError, BudgetError, ConfigError, ElsaError, JournalError
from ..files import file_name, readable
from ..journal import Journal, Line, Who, copied, to_raw
from ..results.problems import BROKEN, problem_of
from .budget import Budget
from .job import Job, lacked_files
from .outcome import Outcome, Resumed

PAUSE = 0.1  # s until `SlowPaths` that gave no path are asked again


class SlowPaths(Iterator[PathLike]):
    """Paths that may take hours to come, such as the lines of a pipe: a batch can ask for one without waiting for it.

    Args:
        paths: Yields each path; and `None`, without waiting, while the next path isn't there yet.
    """

    def __init__(self, paths: Iterator[Optional[PathLike]]) -> None:
        self._paths = paths

    def poll(self) -> Optional[PathLike]:
        """Returns the next path; `None` if it isn't there yet.

        Raises:
            StopIteration: There are no more.
        """
        return next(self._paths)

    def __next__(self) -> PathLike:
        """Waits for the next path, as any other iterator does."""
        while True:
            path = self.poll()
            if path is not None:
                return path
            time.sleep(PAUSE)


class Note(NamedTuple):
    """An outcome without an exchange, and the line that the journal gets before the outcome is yielded."""

    outcome: Outcome
    raw: Dict[str, Any]


class Intake:
    """Draws paths, and knows which contents are in the journal, under way, or held until the same content has ended.

    Args:
        paths: From the caller; `SlowPaths` are polled, all others may keep `draw()` waiting.
        journal: What was scored already; `None` in a batch without a journal.
        options: Those that change the result: the journal finds by content and these.
        retry_failed: Which recordings that failed in an earlier run are scored again: those that are `retryable`, all,
            or none.
        budget: Is asked whether there is room for a recording. Whoever calls `draw()` makes the reservation.

    Attributes:
        exhausted: Whether all paths were drawn.
    """

    def __init__(
        self,
        paths: Iterator[PathLike],
        journal: Optional[Journal],
        options: Mapping[str, Any],
        *,
        retry_failed: Union[bool, Literal["all"]],
        budget: Budget,
    ) -> None:
        self.exhausted = False
        self._paths = paths
        self._journal = journal
        self._options = options
        self._retry_failed = retry_failed
        self._budget = budget
        self._poll_at = 0.0  # monotonic: when slow paths are asked again
        self._put_back: List[Job] = []  # were drawn, and are to be drawn once more
        self._held: List[Job] = []
        # SHA-256 of the jobs and notes that `let_go()` wasn't called for; in a batch with a journal.
        self._under_way: Set[str] = set()

    @property
    def held(self) -> int:
        """How many recordings wait for another of the same content to end."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many paths were drawn and led to nothing yet."""
        return len(self._held) + len(self._put_back)

    def pause(self) -> float:
        """Returns the seconds until it is worth while to call `draw()`."""
        return max(0.0, self._poll_at - time.monotonic())

    def draw(self) -> Union[Job, Outcome, Note, Exception, None]:
        """Takes the next path.

        Returns:
            A job, if the recording is to be scored: reserve its length in the budget, and call `let_go()` when it has
            ended. An outcome, if there is nothing to score; a note, if the journal is to be told first: call `let_go()`
            then. `None` if the recording is held, or if there is no path, for now or (see `exhausted`) for ever. An
            exception, if the caller's iterable raised it or gave something that is no path; or if the journal can't be
            read, when the recording is drawn again later.
        """
        job = self._next()
        if not isinstance(job, Job) or (self._journal is None and self._budget.most_seconds is None):
            return job
        try:
            data = read_file(job.path)
        except AudioError as error:
            return self._unsent(job, error)
        job.sha256 = hashlib.sha256(data).hexdigest()
        if self._budget.most_seconds is not None:
            with contextlib.suppress(AudioError):  # the exchange meets the same error, and reports it
                job.audio_seconds = seconds_in(data)
        if job.sha256 in self._under_way:
            self._held.append(job)
            return None
        try:
            known = self._known(job)
        except JournalError as error:
            self._put_back.append(job)
            return error
        return self._within_budget(job) if known is None else known

    def put_back(self, given: PathLike) -> None:
        """Lets a path be drawn once more: its recording couldn't be read, but may be soon."""
        self._put_back.append(Job(given, os.fsdecode(given)))

    def release(self) -> Union[Job, Outcome, Note, None]:
        """Takes a recording that was held until another of the same content has ended.

        Returns:
            A job, an outcome or a note, as `draw()` does; `None` if there is no such recording.

        Raises:
            JournalError: The journal can't be read; the recording is still held.
        """
        for job in self._held:
            if job.sha256 not in self._under_way:
                known = self._known(job)
                self._held.remove(job)
                return self._within_budget(job) if known is None else known
        return None

    def let_go(self, sha256: Optional[str]) -> None:
        """Takes note that the journal has whatever it will ever have of a job or a note with this content."""
        if sha256 is not None:
            self._under_way.discard(sha256)

    def _next(self) -> Union[Job, Exception, None]:
        if self._put_back:
            return self._put_back.pop()
        given: Optional[PathLike]
        try:
            if isinstance(self._paths, SlowPaths):
                given = self._paths.poll()
                if given is None:
                    self._poll_at = time.monotonic() + PAUSE
                    return None
            else:
                given = next(self._paths)
            if isinstance(given, Live):
                raise ConfigError("a live source is not for score_many(), which sends recordings: give it to score()")
            path = os.fsdecode(given)
        except StopIteration:
            self.exhausted = True
            return None
        except Exception as error:  # noqa: BLE001 - the iterable and what it gives are the caller's: they raise anything
            return error
        return Job(given, path)

    def _known(self, job: Job) -> Union[Outcome, Note, None]:
        """Returns what the journal says of a recording, unless that failed and is to be scored again."""
        if self._journal is None or job.sha256 is None:
            return None
        line = self._journal.find(job.sha256, self._options)
        if line is None:
            return None
        owners = self._journal.owners(job.sha256, self._options, line)
        same_as = next((each.path for each in owners[:1] if not job.is_by(each)), None)
        job.kin = {}
        if not any(map(job.is_by, owners)):
            earlier = self._journal.earlier_owners(job.sha256, self._options, line)
            gone = next((each.path for each in earlier if not job.is_by(each) and _was_renamed(each, job)), None)
            job.kin = {"same_as": same_as or readable(job.path)} if gone is None else {"renamed_from": gone}
            same_as = same_as if gone is None else None
        elif line.new and same_as is None:  # the path was given twice: the second is no result of an earlier run
            same_as = readable(job.path)
        if not line.new and self._is_tried_again(line):
            return None
        outcome = Resumed.of(job.given, job.sha256, line, same_as)
        if not job.kin:
            return outcome
        self._under_way.add(job.sha256)  # the line of the next recording of this content depends on this one's
        raw = line.raw()
        # A recording that was renamed is still that of whom an earlier list named.
        columns = job.columns or (raw.get("columns") if "renamed_from" in job.kin else None)
        return Note(outcome, copied(raw, job.path, job.kin, columns))

    def _is_tried_again(self, line: Line) -> bool:
        if line.good or not self._retry_failed:
            return False
        error = line.entry().error
        return self._retry_failed == "all" or (error is not None and problem_of(error) is BROKEN)

    def _unsent(self, job: Job, error: ElsaError) -> Union[Outcome, Note]:
        """Returns the outcome of a recording that nothing is sent of, and that the next run tries anew."""
        outcome = Outcome(job.given, error=error, sha256=job.sha256)
        if self._journal is None or lacked_files(error):
            return outcome
        length = job.audio_seconds or None
        raw = to_raw(
            job.path, None, self._options, error, attempts=0, seconds=0, audio_seconds=length, columns=job.columns
        )
        return outcome if self._journal.has_told(raw) else Note(outcome, raw)

    def _within_budget(self, job: Job) -> Union[Job, Outcome, Note]:
        """Returns the job, which is under way from now on; or an outcome if the budget has no room for it."""
        if self._budget.has_room(job.audio_seconds):
            if self._journal is not None and job.sha256 is not None:
                self._under_way.add(job.sha256)
            return job
        error = BudgetError(
            f"{job.path!r} was not started: its {job.audio_seconds:.1f} s would pass max_audio_seconds, "
            f"{self._budget.most_seconds:g} s; score it in another run"
        )
        return self._unsent(job, error)


def _was_renamed(before: Who, job: Job) -> bool:
    """Returns whether a recording of an earlier run has another path now, rather than a copy: the old path is free.

    A path that is only spelt in another way is the same recording, too, unless a list gives both to different people.
    """
    try:
        path = file_name(before.path)
        if os.path.abspath(path) == os.path.abspath(job.path):
            return not before.name or not job.name
        return not os.path.lexists(path)
    except (OSError, ValueError):
        return True
