"""`Batch`: many exchanges at once, over threads or any `concurrent.futures.Executor`; their outcomes, as they come.

Made by `score_many()`. All state belongs to the thread that iterates: it draws paths when there is a free place, asks
the journal, hands exchanges to `worker`, and writes what has ended to the journal before it yields it.

    audio ── draw ──► in the journal? over budget? ── start ──► in flight ── ended ──► journal ──► yielded
                        │ yes: yielded                 ▲                      │
                        ▼                              └── again, later ◄─────┘ turned away, or tried again
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import logging
import math
import os
import queue
import time
import weakref
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from dataclasses import replace
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Mapping, Optional, Type, Union

from ..audio.recording import read_file, seconds_in
from ..config import Config, PathLike
from ..exceptions import (
    AudioError,
    AuthenticationError,
    BudgetError,
    ConfigError,
    ConnectError,
    JournalError,
    ProtocolError,
    RateLimitedError,
    ScoreTimeoutError,
    StreamClosedError,
)
from ..exchange.retry import wait_before_retry
from ..journal import Journal
from ..mailbox import Mailbox
from .job import Job, is_out_of_files, record
from .outcome import BatchProgress, Outcome, Resumed
from .pace import Pace
from .worker import Crew, Threads, Ticket

logger = logging.getLogger("elsa_unscripted")

MAX_WORKERS = 16
BILLABLE_UNIT_SECONDS = 15.0  # s: a third-party catalogue says so; unconfirmed
MAX_REFUSALS = 10  # how often a recording is turned away (HTTP 429) with no success of any, before it fails
NOT_YET: Any = object()  # what the command's list yields in place of a path while none is there yet
PAUSE = 0.1  # s: until it is asked for one again, or a slow iterable may be waited for again
LONGEST_WAIT = 1.0  # s: so often, at least, is the caller told how far it is


class Batch(Iterator[Outcome]):
    """The outcomes of a batch as they come: what `score_many()` returns. A context manager, too.

    Iterate in one thread. To leave the `with`, to drop the batch, or Ctrl-C while it waits, closes it.
    """

    def __init__(
        self,
        audio: Iterable[PathLike],
        config: Config,
        *,
        max_workers: int = MAX_WORKERS,
        executor: Optional[Executor] = None,
        journal: Optional[PathLike] = None,
        retry_failed: bool = False,
        stream_retries: int = 0,
        max_audio_seconds: Optional[float] = None,
        billable_unit_seconds: float = BILLABLE_UNIT_SECONDS,
        on_progress: Optional[Callable[[BatchProgress], object]] = None,
    ) -> None:
        """See `score_many()`."""
        self._paths = _checked_paths(audio)
        self._put_back: List[PathLike] = []  # one that couldn't be read when it was drawn, but may be soon
        _check(isinstance(executor, Executor) or executor is None, "executor must be a concurrent.futures.Executor")
        _check(callable(on_progress) or on_progress is None, "on_progress must be callable")
        _check(isinstance(retry_failed, bool), "retry_failed must be True or False")
        self._config = config
        self._options = _options(config)
        self._retry_failed = retry_failed
        self._stream_retries = _checked("stream_retries", stream_retries, 0, int)
        self._most_seconds = None if max_audio_seconds is None else _checked("max_audio_seconds", max_audio_seconds, 0)
        self._unit = _checked("billable_unit_seconds", billable_unit_seconds, 1e-3)
        self._on_progress = on_progress
        self._told: Optional[BatchProgress] = None
        self._pace = Pace(_checked("max_workers", max_workers, 1, int))

        # Where a recording is. Each that was drawn is in exactly one of these, or was yielded, or is given up.
        self._flying: Dict[Job, None] = {}  # in the order in which they began
        self._again: Deque[Job] = deque()  # to be sent again
        self._held: List[Job] = []  # others of the same content are under way
        self._ready: Deque[Outcome] = deque()  # in the journal, and to be yielded

        self._exhausted = False
        self._draw_after = 0.0  # monotonic
        self._stopped = False
        self._fatal: Optional[BaseException] = None
        self._given_up = 0
        self._succeeded = self._failed = self._resumed = self._skipped = 0
        self._audio_seconds = self._billable_seconds = 0.0
        self._reserved_seconds = 0.0  # of the budget

        self._wake: Mailbox[None] = Mailbox()
        # The batch has a common back-off, so that no exchange waits on its own for a place to connect.
        plain = replace(config, connect_retries=0)
        self._crew = Threads(plain, self._wake) if executor is None else Crew(executor, plain, self._wake)
        self._journal = None if journal is None else Journal(journal)
        # Not __del__: this also runs when the interpreter ends, and while threads still can.
        self._end = weakref.finalize(self, _end, self._crew, self._journal, self._options, self._flying)

    def __next__(self) -> Outcome:
        """Waits for the next outcome.

        Raises:
            AuthenticationError: The token is refused. Those that were in flight have been yielded before.
            BrokenExecutor: The executor broke. Likewise.
            JournalError: The journal can't be written. The next call tries again: nothing that has finished is lost.
            Exception: What `audio` or `on_progress` raised. Those in flight have been yielded before.
        """
        try:
            return self._next()
        except JournalError:
            raise
        except BaseException:  # the end, what ended it, or Ctrl-C
            self.close()
            raise

    def stop(self) -> None:
        """Starts no more recordings; those in flight finish and are yielded. From any thread or signal handler."""
        # No lock: what a signal handler interrupts may hold it.
        self._stopped = True
        self._told = None  # so that on_progress is called, though no number has changed
        self._wake.put(None)

    def close(self) -> None:
        """Ends the batch at once: those in flight are cancelled, and not yielded. Does nothing the second time.

        What finished nevertheless is in the journal. With an executor, what runs there is left alone, and ends by
        itself, unheard. Call it from the thread that iterates, and not from a signal handler: raise an exception there.
        """
        self._end()

    @property
    def progress(self) -> BatchProgress:
        """How far it is now."""
        return BatchProgress(
            succeeded=self._succeeded,
            failed=self._failed,
            resumed=self._resumed,
            skipped=self._skipped,
            in_flight=len(self._flying),
            audio_seconds=self._audio_seconds,
            billable_seconds=self._billable_seconds,
            concurrency=self._pace.concurrency,
            waiting=self._pace.waiting(),
        )

    @property
    def billable_seconds(self) -> float:
        """An estimate of what is billed for this run: the started units of every stream that may be metered."""
        return self._billable_seconds

    @property
    def unfinished(self) -> int:
        """How many recordings were taken from `audio` and have no outcome: under way, or given up at the end."""
        waiting = len(self._again) + len(self._held) + len(self._put_back)
        return len(self._flying) + waiting + self._given_up

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # The loop.

    def _next(self) -> Outcome:
        while self._end.alive:
            self._settle()
            self._fill()
            self._report()
            if self._ready:
                return self._ready.popleft()
            if not self._flying and (self._ending or (self._exhausted and not self._again and not self._held)):
                break
            self._wait()
        fatal, self._fatal = self._fatal, None
        raise fatal if fatal is not None else StopIteration

    @property
    def _ending(self) -> bool:
        return self._stopped or self._fatal is not None

    def _wait(self) -> None:
        """Waits until something has ended or may begin, or the caller wants to know how far it is."""
        wait = min(self._pace.waiting() or LONGEST_WAIT, LONGEST_WAIT)
        if self._may_start():
            now = time.monotonic()
            wait = min([wait, *(max(0.0, job.not_before - now) for job in self._again)])
            if self._has_room():
                wait = min(wait, max(0.0, self._draw_after - now))
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=wait)
            return
        self._told = None  # the back-off that remains is news as well

    def _report(self) -> None:
        if self._on_progress is None:
            return
        progress = self.progress
        if progress != self._told:
            self._told = progress
            try:
                self._on_progress(progress)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                self._on_progress = None
                if isinstance(error, StopIteration):  # by itself, it would look like the end of the batch
                    stray, error = error, RuntimeError("on_progress raised StopIteration")
                    error.__cause__ = stray
                self._fatal = self._fatal or error

    # What begins.

    def _may_start(self) -> bool:
        free = len(self._flying) < self._pace.concurrency and len(self._ready) <= self._pace.most
        return free and not self._ending and not self._pace.waiting()

    def _has_room(self) -> bool:
        # Those that are held must not keep the one that they wait for from its place, nor be without number.
        free = len(self._flying) + len(self._held) < self._pace.concurrency and len(self._again) < self._pace.most
        return free and not self._exhausted

    def _fill(self) -> None:
        """Starts what may be started; draws no more paths than that takes."""
        self._release_held()
        patience = time.monotonic() + PAUSE
        while self._may_start():
            job = self._due()
            if job is None:
                if not self._has_room() or time.monotonic() < self._draw_after:
                    return
                job = self._draw()
            if job is not None:
                self._start(job)
            elif self._ready:
                return  # yields it first: a million may be in the journal already
            if time.monotonic() > patience and self._wake:
                return  # what has ended gets into the journal first: `audio` may be slow

    def _due(self) -> Optional[Job]:
        now = time.monotonic()
        for job in self._again:
            if job.not_before <= now:
                self._again.remove(job)
                return job
        return None

    def _draw(self) -> Optional[Job]:
        """Takes the next path; returns it as a job if it is to be scored now."""
        try:
            given = self._put_back.pop() if self._put_back else next(self._paths)
            if given is NOT_YET:
                self._draw_after = time.monotonic() + PAUSE
                return None
            path = os.fsdecode(given)
        except StopIteration:
            self._exhausted = True
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._fatal = error
            return None
        job = Job(given)
        if self._journal is None and self._most_seconds is None:
            return job
        try:
            data = read_file(path)
        except AudioError as error:
            if self._flying and is_out_of_files(error):
                self._pace.limit(len(self._flying))
                self._put_back.append(given)
                return None
            self._failed += 1
            self._ready.append(Outcome(given, error=error))
            return None
        job.sha256 = hashlib.sha256(data).hexdigest()
        try:
            if self._is_known(job):
                return None
        except JournalError as error:
            self._fatal = error
            self._given_up += 1
            return None
        if self._most_seconds is not None:
            with contextlib.suppress(AudioError):  # which the exchange meets as well
                job.audio_seconds = seconds_in(data)
        if self._is_under_way(job):
            self._held.append(job)
            return None
        return job if self._afford(job) else None

    def _is_known(self, job: Job) -> bool:
        """Yields a recording that is in the journal, unless it failed and shall be tried again."""
        if self._journal is None or job.sha256 is None:
            return False
        known = self._journal.find(job.sha256, self._options)
        if known is None or (not known.good and self._retry_failed and not known.new):
            return False
        if known.good:
            self._resumed += 1
        else:
            self._skipped += 1
        self._ready.append(Resumed.of(job.given, job.sha256, known))
        return True

    def _is_under_way(self, job: Job) -> bool:
        if self._journal is None:
            return False
        return any(other.sha256 == job.sha256 for others in (self._flying, self._again) for other in others)

    def _release_held(self) -> None:
        """Lets go of recordings whose likes have ended: with these in the journal, there is nothing left to do."""
        for job in list(self._held):
            if not self._is_under_way(job):
                known = self._is_known(job)  # if it raises, the job is still held
                self._held.remove(job)
                if not known and self._afford(job):
                    self._again.appendleft(job)

    def _afford(self, job: Job) -> bool:
        """Takes a recording's length from the budget; yields it if there isn't enough."""
        if self._reserve(job):
            return True
        self._skipped += 1
        error = BudgetError(
            f"{job.path!r} was not started: its {job.audio_seconds:.1f} s would pass max_audio_seconds, "
            f"{self._most_seconds:g} s; score it in another run"
        )
        self._ready.append(Outcome(job.given, error=error, sha256=job.sha256))
        return False

    def _reserve(self, job: Job) -> bool:
        if self._most_seconds is not None and self._reserved_seconds + job.audio_seconds > self._most_seconds:
            return False
        self._reserved_seconds += job.audio_seconds
        return True

    def _start(self, job: Job) -> None:
        job.ticket = Ticket(job.path)
        job.started = time.monotonic()
        self._flying[job] = None
        try:
            self._crew.start(job.ticket)
        except Exception as error:  # noqa: BLE001 - of a foreign executor, it may be anything
            del self._flying[job]
            self._given_up += 1
            self._fatal = error

    # What has ended.

    def _settle(self) -> None:
        """Takes what has ended to the journal, and then to its place."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._wake.get_nowait()
        ended = [(job, self._fate(job)) for job in self._flying if job.ticket.ended]
        record(self._journal, self._options, [job for job, fate in ended if fate is _Fate.YIELD])
        for job, fate in ended:
            del self._flying[job]
            self._crew.forget(job.ticket)
            self._count(job, fate)
        if any(fate is _Fate.CROWDED for _, fate in ended):
            self._pace.limit(len(self._flying))

    def _fate(self, job: Job) -> _Fate:
        """Decides what follows on an exchange that has ended. Asked again, it says the same."""
        error = job.error
        if isinstance(error, (AuthenticationError, ConfigError)):
            return _Fate.FATAL
        if isinstance(error, RateLimitedError):
            refusals = job.refusals if job.passed == self._pace.passed else 0
            return _Fate.AGAIN if refusals + 1 < MAX_REFUSALS else _Fate.YIELD
        if job.ticket.done is None:
            return _Fate.YIELD
        if len(self._flying) > 1 and isinstance(self._crew, Threads) and is_out_of_files(error):
            return _Fate.CROWDED
        if isinstance(error, ConnectError):  # also at the end: the next run goes on trying, as this one would have
            wait = wait_before_retry(error, job.connects)
            soon = wait is not None and wait < self._config.connect_timeout
            return _Fate.AGAIN if soon and job.connects < self._config.connect_retries else _Fate.YIELD
        if self._ending:
            return _Fate.YIELD
        if isinstance(error, (StreamClosedError, ScoreTimeoutError, ProtocolError)):
            again = job.streams < self._stream_retries and self._reserve_again(job)
            return _Fate.AGAIN if again else _Fate.YIELD
        return _Fate.YIELD

    def _reserve_again(self, job: Job) -> bool:
        job.reserved_again = job.reserved_again or self._reserve(job)
        return job.reserved_again

    def _count(self, job: Job, fate: _Fate) -> None:
        error, done = job.error, job.ticket.done
        billed = error is None or error.possibly_billed
        if billed:
            sent = done.result.audio_seconds_sent if done and done.result else error.audio_seconds_sent if error else 0
            self._billable_seconds += max(1, math.ceil(sent / self._unit)) * self._unit
        elif fate not in (_Fate.AGAIN, _Fate.CROWDED):
            self._reserved_seconds -= job.audio_seconds
        if isinstance(error, RateLimitedError):
            self._pace.refuse(job.started, error.retry_after)
        elif not isinstance(error, ConnectError) and done is not None and done.began:
            self._pace.let_pass()
        if fate is _Fate.FATAL:
            self._given_up += 1
            self._fatal = self._fatal or error
        elif fate in (_Fate.AGAIN, _Fate.CROWDED):
            self._send_again(job, fate)
        else:
            self._yield(job)

    def _send_again(self, job: Job, fate: _Fate) -> None:
        error, done = job.error, job.ticket.done
        assert done is not None
        job.attempts += done.began
        job.seconds += done.seconds
        job.reserved_again = False
        job.not_before = 0.0
        if isinstance(error, RateLimitedError):
            job.refusals = job.refusals + 1 if job.passed == self._pace.passed else 1
            job.passed = self._pace.passed
            self._again.appendleft(job)
            return
        if fate is _Fate.CROWDED:
            pass
        elif isinstance(error, ConnectError):
            job.not_before = time.monotonic() + (wait_before_retry(error, job.connects) or 0.0)
            job.connects += 1
        else:
            job.streams += 1
        self._again.append(job)

    def _yield(self, job: Job) -> None:
        error, done = job.error, job.ticket.done
        lost = job.ticket.lost
        if error is None:
            self._succeeded += 1
        else:
            self._failed += 1
        if isinstance(lost, CancelledError) and self._fatal is None:
            self._fatal = BrokenExecutor("the executor has cancelled what it was given: is its cluster gone?")
            self._fatal.__cause__ = lost
        elif isinstance(lost, BrokenExecutor):
            self._fatal = self._fatal or lost
        self._audio_seconds += job.length or 0.0
        self._ready.append(
            Outcome(
                job.given,
                result=done.result if done else None,
                error=error,
                attempts=job.attempts + (done.began if done else 1),
                seconds=job.seconds + (done.seconds if done else time.monotonic() - job.started),
                sha256=done.sha256 if done else job.sha256,
            )
        )


class _Fate(enum.Enum):
    """What follows on an exchange that has ended."""

    YIELD = "an outcome"
    AGAIN = "another exchange"
    CROWDED = "another exchange, with fewer beside it"
    FATAL = "the end of the batch: every other would end like this one"


def _options(config: Config) -> Mapping[str, Any]:
    """Returns the options that change the result."""
    return {
        "url": config.url,
        "api_plan": config.api_plan,
        "return_json": config.return_json,
        "extra": dict(config.extra or {}),
        "sample_rate": config.sample_rate,
    }


def _end(
    crew: Union[Crew, Threads], journal: Optional[Journal], options: Mapping[str, Any], flying: Dict[Job, None]
) -> None:
    """Ends a batch: what `close()` does. It knows nothing of the batch itself, which may be gone."""
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


def _checked_paths(audio: Iterable[PathLike]) -> Iterator[PathLike]:
    single = isinstance(audio, (str, bytes, os.PathLike))
    _check(
        not single and isinstance(audio, Iterable), "audio must be an iterable of paths; for one recording use score()"
    )
    return iter(audio)


def _check(good: bool, complaint: str) -> None:
    if not good:
        raise ConfigError(complaint)


def _checked(name: str, value: Any, least: float, kind: Type[float] = float) -> Any:
    number = isinstance(value, (int, kind)) and not isinstance(value, bool) and least <= value < math.inf
    what = "whole number" if kind is int else "finite number"
    _check(number, f"{name} must be a {what} of {least:g} or more, not {value!r}")
    return value
