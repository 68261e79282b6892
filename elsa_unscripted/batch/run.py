"""`Batch`: many exchanges at once, over threads or any `concurrent.futures.Executor`; their outcomes, as they come.

Made by `score_many()`. All state belongs to the thread that iterates: it draws paths when there is a free place, asks
the journal, hands exchanges to a `crew`, and writes what has ended to the journal before it yields it.

    audio ── draw ──► in the journal? over budget? ── start ──► in flight ── ended ──► journal ──► yielded
                        │ yes: yielded                 ▲                      │
                        ▼                              └── again, later ◄─────┘ turned away, or tried again

`intake` draws, `budget` knows what may be spent, `throttle` how many may be in flight, `fate` what follows on an
exchange that has ended.
"""

from __future__ import annotations

import contextlib
import queue
import time
import weakref
from collections import deque
from concurrent.futures import CancelledError, Executor
from dataclasses import replace
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Literal, Mapping, Optional, Union

from ..config import Config, PathLike
from ..exceptions import BudgetError, ConnectError, JournalError, RateLimitedError
from ..journal import Journal
from ..log import logger
from ..mailbox import Mailbox
from .budget import BILLABLE_UNIT_SECONDS, Budget
from .crew import Crew, ExecutorCrew, ThreadCrew
from .fate import Step, decide
from .intake import Intake, Note
from .job import Job, lacked_files, record
from .options import check, checked, checked_paths, options_of_the_result
from .outcome import BatchProgress, Outcome, Resumed
from .throttle import Throttle

MAX_WORKERS = 16
DRAW_SECONDS = 0.1  # s of drawing paths, after which the journal first gets what has ended meanwhile
LONGEST_WAIT = 1.0  # s: `on_progress` is called at least so often


class Batch(Iterator[Outcome]):
    """The outcomes of a batch as they come: what `score_many()` returns. A context manager, too.

    Iterate in one thread. The batch is closed when the `with` is left, when nobody refers to it any more, and by Ctrl-C
    while it waits.
    """

    def __init__(
        self,
        audio: Iterable[PathLike],
        config: Config,
        *,
        max_workers: int = MAX_WORKERS,
        executor: Optional[Executor] = None,
        journal: Optional[PathLike] = None,
        retry_failed: Union[bool, Literal["all"]] = False,
        stream_retries: int = 0,
        max_audio_seconds: Optional[float] = None,
        billable_unit_seconds: float = BILLABLE_UNIT_SECONDS,
        on_progress: Optional[Callable[[BatchProgress], object]] = None,
    ) -> None:
        """See `score_many()`."""
        paths = checked_paths(audio)
        check(isinstance(executor, Executor) or executor is None, "executor must be a concurrent.futures.Executor")
        check(callable(on_progress) or on_progress is None, "on_progress must be callable")
        check(isinstance(retry_failed, bool) or retry_failed == "all", 'retry_failed must be True, False or "all"')
        config = config.with_token()
        self._config = config
        self._options = options_of_the_result(config)
        self._stream_retries = checked("stream_retries", stream_retries, 0, int)
        self._budget = Budget(
            None if max_audio_seconds is None else checked("max_audio_seconds", max_audio_seconds, 0),
            checked("billable_unit_seconds", billable_unit_seconds, 1e-3),
        )
        self._throttle = Throttle(checked("max_workers", max_workers, 1, int))
        self._on_progress = on_progress
        self._told: Optional[BatchProgress] = None  # what `on_progress` was last called with

        # A recording that was drawn is in `_intake` or in one of the next four, or was yielded, or counts as given up.
        self._flying: Dict[Job, None] = {}  # as a set, in the order of their start; each until it is in the journal
        self._again: Deque[Job] = deque()  # to be sent, each as soon as its `not_before` allows
        self._notes: List[Note] = []  # to be yielded as soon as the journal has their lines
        self._ready: Deque[Outcome] = deque()  # to be yielded
        self._given_up = 0

        self._stopped = False
        self._fatal: Optional[BaseException] = None  # is raised after those in flight have been yielded
        self._succeeded = self._failed = self._resumed = self._skipped = 0
        self._audio_seconds = 0.0

        self._wake: Mailbox[None] = Mailbox()
        # Reconnecting is left to the batch: during a common back-off no exchange may try on its own.
        single = replace(config, connect_retries=0)
        self._crew: Crew = (
            ThreadCrew(single, self._wake) if executor is None else ExecutorCrew(executor, single, self._wake)
        )
        self._journal = None if journal is None else Journal(journal)
        # Not `__del__`: `finalize` also runs at the interpreter's exit, while threads can still be joined.
        self._end = weakref.finalize(self, _end, self._crew, self._journal, self._options, self._flying)
        self._intake = Intake(paths, self._journal, self._options, retry_failed=retry_failed, budget=self._budget)

    def __next__(self) -> Outcome:
        """Waits for the next outcome.

        Raises:
            AuthenticationError: The token is refused. Those that were in flight have been yielded before.
            BrokenExecutor: The executor broke. Likewise.
            JournalError: The journal can't be written. The next call tries again; nothing that has finished is lost.
            Exception: What `audio` or `on_progress` raised. Those in flight have been yielded before.
        """
        try:
            return self._next()
        except JournalError:
            raise
        except BaseException:  # `StopIteration`, what ended the batch early, or Ctrl-C
            self.close()
            raise

    def stop(self) -> None:
        """Starts no more recordings; those in flight finish and are yielded. From any thread or signal handler."""
        # No lock here: the thread that a signal handler interrupts may hold it.
        self._stopped = True
        self._told = None  # so that `on_progress` is called, although no number has changed
        self._wake.put(None)

    def close(self) -> None:
        """Ends the batch at once: those in flight are cancelled, and not yielded. Does nothing the second time.

        What has finished by then is in the journal. With an executor, what runs there goes on until it ends by itself,
        and its result is lost. Call `close()` in the thread that iterates. A signal handler must not call it: let the
        handler raise an exception.
        """
        if self._end.alive:
            cut = [job for job in self._flying if job.fate is None]  # the bill already has the others
            self._end()
            for job in cut:
                if not isinstance(job.ticket.lost, CancelledError) and (not job.error or job.error.possibly_billed):
                    self._budget.bill(job.sent_seconds)

    @property
    def progress(self) -> BatchProgress:
        """How far the batch is now."""
        return BatchProgress(
            succeeded=self._succeeded,
            failed=self._failed,
            resumed=self._resumed,
            skipped=self._skipped,
            in_flight=len(self._flying),
            audio_seconds=self._audio_seconds,
            billable_seconds=self._budget.billable_seconds,
            concurrency=self._throttle.concurrency,
            waiting=self._throttle.waiting(),
        )

    @property
    def billable_seconds(self) -> float:
        """An estimate of what is billed for this run: the started units of every stream that may be metered.

        After `close()`, it includes the streams that `close()` cut off.
        """
        return self._budget.billable_seconds

    @property
    def unfinished(self) -> int:
        """How many recordings were taken from `audio` and have no outcome: under way, or given up at the end."""
        return len(self._flying) + len(self._again) + len(self._notes) + self._intake.waiting + self._given_up

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # The loop.

    def _next(self) -> Outcome:
        while self._end.alive:
            self._settle()
            self._release()
            self._fill()
            self._write_notes()
            self._report()
            if self._ready:
                return self._ready.popleft()
            if not self._flying and (self._ending or self._nothing_left):
                break
            self._wait()
        fatal, self._fatal = self._fatal, None
        raise fatal if fatal is not None else StopIteration

    @property
    def _ending(self) -> bool:
        return self._stopped or self._fatal is not None

    @property
    def _nothing_left(self) -> bool:
        return self._intake.exhausted and not self._intake.waiting and not self._again

    def _wait(self) -> None:
        """Waits until something has ended or may begin, or until it is time to call `on_progress`."""
        wait = min(self._throttle.waiting() or LONGEST_WAIT, LONGEST_WAIT)
        if self._may_start():
            now = time.monotonic()
            wait = min([wait, *(max(0.0, job.not_before - now) for job in self._again)])
            if self._has_room():
                wait = min(wait, self._intake.pause())
        try:
            self._wake.get(timeout=wait)
        except queue.Empty:
            self._told = None  # so that `on_progress` is called: time has passed, although no number has changed

    def _report(self) -> None:
        if self._on_progress is None:
            return
        progress = self.progress
        if progress != self._told:
            self._told = progress
            try:
                self._on_progress(progress)
            except Exception as error:  # noqa: BLE001 - `on_progress` is the caller's, and may raise anything
                self._on_progress = None
                if isinstance(error, StopIteration):  # raised by `__next__`, it would look like the end of the batch
                    stray, error = error, RuntimeError("on_progress raised StopIteration")
                    error.__cause__ = stray
                self._fatal = self._fatal or error

    # What begins.

    def _may_start(self) -> bool:
        """Returns whether there is a free place, and the caller has taken most of what is ready."""
        free = len(self._flying) < self._throttle.concurrency and len(self._ready) <= self._throttle.most
        return free and not self._ending and not self._throttle.waiting()

    def _has_room(self) -> bool:
        """Returns whether another path may be drawn.

        Held duplicates count against the limit: they stay bounded and can't starve the original.
        """
        free = len(self._flying) + self._intake.held < self._throttle.concurrency
        return free and len(self._again) < self._throttle.most and not self._intake.exhausted

    def _release(self) -> None:
        """Lets go of recordings that were held until another of the same content has ended."""
        while True:
            found = self._intake.release()
            if found is None:
                return
            if isinstance(found, Job):
                self._budget.reserve(found.audio_seconds)
                self._again.appendleft(found)
            elif isinstance(found, Note):
                self._notes.append(found)
                self._write_notes()  # else the next one of the same content would stay held
            else:
                self._yield(found)

    def _write_notes(self) -> None:
        """Writes the lines of recordings that nothing was sent for, and lets their outcomes be yielded."""
        if self._journal is not None and self._notes:
            self._journal.append(*(note.raw for note in self._notes))
            for note in self._notes:
                self._intake.let_go(note.outcome.sha256)
                self._yield(note.outcome)
            self._notes.clear()

    def _fill(self) -> None:
        """Starts what may be started; draws no more paths than that takes."""
        until = time.monotonic() + DRAW_SECONDS
        while self._may_start():
            if self._notes and time.monotonic() > until:
                return  # many lines are written together: each time, the disk takes milliseconds
            job = self._due()
            if job is None:
                if not self._has_room() or self._intake.pause():
                    return
                job = self._draw()
            if job is not None:
                self._start(job)
            elif self._ready:
                return  # yield these first: a million recordings may be in the journal already
            if time.monotonic() > until and self._wake:
                return  # the journal first gets what has ended: `audio` may be slow to give paths

    def _due(self) -> Optional[Job]:
        """Takes the first recording that is to be sent again now."""
        now = time.monotonic()
        for job in self._again:
            if job.not_before <= now:
                self._again.remove(job)
                return job
        return None

    def _draw(self) -> Optional[Job]:
        """Draws a path; returns it as a job if it is to be scored now."""
        found = self._intake.draw()
        if isinstance(found, Job):
            self._budget.reserve(found.audio_seconds)
            return found
        if isinstance(found, Exception):
            self._fatal = found
        elif isinstance(found, Note):
            self._notes.append(found)
        elif found is not None:
            if self._flying and not found.from_journal and lacked_files(found.error):
                self._throttle.lower_limit(len(self._flying))
                self._intake.put_back(found.path)
            else:
                self._yield(found)
        return None

    def _start(self, job: Job) -> None:
        job.begin()
        self._flying[job] = None
        problem = self._crew.start(job.ticket)
        if problem is not None:
            del self._flying[job]
            self._give_up(job, problem)

    # What has ended.

    def _settle(self) -> None:
        """Writes what has ended to the journal; then moves each recording on, as its fate says."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._wake.get_nowait()
        ended = [job for job in self._flying if job.ticket.ended]
        for job in ended:
            if job.fate is None:  # else decided by an earlier call, which couldn't write the journal
                self._conclude(job)
        record(self._journal, self._options, [job for job in ended if job.fate and job.fate.step is Step.FINISH])
        for job in ended:
            del self._flying[job]
            self._crew.forget(job.ticket)
            self._proceed(job)
        if any(job.fate and job.fate.step is Step.WAIT_ROOM for job in ended):
            self._throttle.lower_limit(len(self._flying))

    def _conclude(self, job: Job) -> None:
        """Decides what follows on an exchange; books what it has cost, and reserves what another one may cost."""
        if job.error is None or job.error.possibly_billed:
            self._budget.bill(job.sent_seconds)
        else:
            self._budget.release(job.audio_seconds)
        job.fate = decide(
            job,
            config=self._config,
            stream_retries=self._stream_retries,
            budget=self._budget,
            passed=self._throttle.passed,
            others_close_files=self._crew.in_this_process and len(self._flying) > 1,
            ending=self._ending,
        )
        if job.fate.again:
            self._budget.reserve(job.audio_seconds)

    def _proceed(self, job: Job) -> None:
        """Takes a recording that is no longer in flight to where its fate says."""
        fate, error, done = job.fate, job.error, job.ticket.done
        assert fate is not None
        if isinstance(error, RateLimitedError):
            self._throttle.note_refused(job.started, error.retry_after)
        elif not isinstance(error, ConnectError) and done is not None and done.began:
            self._throttle.note_passed()
        if fate.step is Step.END:
            assert error is not None
            self._give_up(job, error)
            return
        job.not_before = time.monotonic() + fate.wait
        if fate.step is Step.FINISH:
            self._intake.let_go(job.sha256)
            self._fatal = self._fatal or job.ticket.breakdown
            self._audio_seconds += job.length or 0.0
            self._yield(job.outcome())
        elif fate.step is Step.WAIT_TURN:
            job.note_refused(self._throttle.passed)
            self._again.appendleft(job)
        else:
            job.connects += fate.step is Step.RECONNECT
            job.streams += fate.step is Step.RESEND
            self._again.append(job)

    def _give_up(self, job: Job, reason: BaseException) -> None:
        """Ends the batch because of a recording, which has no outcome."""
        self._intake.let_go(job.sha256)
        self._given_up += 1
        self._fatal = self._fatal or reason

    def _yield(self, outcome: Outcome) -> None:
        """Counts an outcome; it is yielded after those that are ready already."""
        if isinstance(outcome, Resumed):
            self._resumed += outcome.good
            self._skipped += not outcome.good
        elif isinstance(outcome.error, BudgetError):
            self._skipped += 1
        else:
            self._succeeded += outcome.error is None
            self._failed += outcome.error is not None
        self._ready.append(outcome)


def _end(crew: Crew, journal: Optional[Journal], options: Mapping[str, Any], flying: Dict[Job, None]) -> None:
    """Ends a batch, as `close()` does. A function: the garbage collector calls it when the batch itself is gone."""
    try:
        crew.close()
    finally:
        ended = [job for job in flying if job.ticket.ended]
        try:
            for job in record(journal, options, ended):
                del flying[job]
        except JournalError as error:
            logger.error("%s; %d recordings that have ended are not in it", error, len(ended))
        finally:
            if journal is not None:
                journal.close()
