"""`Intake`: what comes into a batch. Draws paths for `run`, and sorts out what needs no exchange.

path ── unreadable? ─────────────────────────────────► outcome
     ── in the journal? ─────────────────────────────► outcome
     ── the same content under way? ── held, and looked at again when that has ended
     ── over budget? ────────────────────────────────► outcome
     ── else ────────────────────────────────────────► job
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import Any, Iterator, List, Mapping, Optional, Set, Union

from ..audio.live import Live
from ..audio.recording import read_file, seconds_in
from ..config import PathLike
from ..exceptions import AudioError, BudgetError, ConfigError, JournalError
from ..journal import Journal
from .budget import Budget
from .job import Job
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


class Intake:
    """Draws paths, and knows which contents are in the journal, under way, or held until the same content has ended.

    Args:
        paths: From the caller; `SlowPaths` are polled, all others may keep `draw()` waiting.
        journal: What was scored already; `None` in a batch without a journal.
        options: Those that change the result: the journal finds by content and these.
        retry_failed: Whether recordings that failed in an earlier run are scored again.
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
        retry_failed: bool,
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
        # SHA-256 of the jobs that `let_go()` wasn't called for; in a batch with a journal.
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

    def draw(self) -> Union[Job, Outcome, Exception, None]:
        """Takes the next path.

        Returns:
            A job, if the recording is to be scored: reserve its length in the budget, and call `let_go()` when it has
            ended. An outcome, if there is nothing to score. `None` if the recording is held, or if there is no path,
            for now or (see `exhausted`) for ever. An exception, if the caller's iterable raised it or gave something
            that is no path; or if the journal can't be read, when the recording is drawn again later.
        """
        job = self._next()
        if not isinstance(job, Job) or (self._journal is None and self._budget.most_seconds is None):
            return job
        try:
            data = read_file(job.path)
        except AudioError as error:
            return Outcome(job.given, error=error)
        job.sha256 = hashlib.sha256(data).hexdigest()
        try:
            known = self._known(job)
        except JournalError as error:
            self._put_back.append(job)
            return error
        if known is not None:
            return known
        if self._budget.most_seconds is not None:
            with contextlib.suppress(AudioError):  # the exchange meets the same error, and reports it
                job.audio_seconds = seconds_in(data)
        if job.sha256 in self._under_way:
            self._held.append(job)
            return None
        return self._within_budget(job)

    def put_back(self, given: PathLike) -> None:
        """Lets a path be drawn once more: its recording couldn't be read, but may be soon."""
        self._put_back.append(Job(given, os.fsdecode(given)))

    def release(self) -> Union[Job, Outcome, None]:
        """Takes a recording that was held until another of the same content has ended.

        Returns:
            A job or an outcome, as `draw()` does; `None` if there is no such recording.

        Raises:
            JournalError: The journal can't be read; the recording is still held.
        """
        for job in self._held:
            if job.sha256 not in self._under_way:
                known = self._known(job)
                self._held.remove(job)
                return self._within_budget(job) if known is None else known
        return None

    def let_go(self, job: Job) -> None:
        """Takes note that a job has ended, and is in the journal if it ever will be."""
        if job.sha256 is not None:
            self._under_way.discard(job.sha256)

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

    def _known(self, job: Job) -> Optional[Outcome]:
        """Returns what the journal says of a recording, unless that failed and is to be scored again."""
        if self._journal is None or job.sha256 is None:
            return None
        line = self._journal.find(job.sha256, self._options)
        if line is None or (not line.good and self._retry_failed and not line.new):
            return None
        return Resumed.of(job.given, job.sha256, line)

    def _within_budget(self, job: Job) -> Union[Job, Outcome]:
        """Returns the job, which is under way from now on; or an outcome if the budget has no room for it."""
        if self._budget.has_room(job.audio_seconds):
            if self._journal is not None and job.sha256 is not None:
                self._under_way.add(job.sha256)
            return job
        error = BudgetError(
            f"{job.path!r} was not started: its {job.audio_seconds:.1f} s would pass max_audio_seconds, "
            f"{self._budget.most_seconds:g} s; score it in another run"
        )
        return Outcome(job.given, error=error, sha256=job.sha256)
