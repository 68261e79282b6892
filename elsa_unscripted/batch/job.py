"""A recording on its way through a batch, and how it gets into the journal. Made by `intake`, moved by `run`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Iterable, List, Mapping, Optional

from ..config import PathLike
from ..exceptions import (
    AuthenticationError,
    ConfigError,
    ElsaError,
    RateLimitedError,
    ScoreCancelledError,
    StreamClosedError,
)
from ..files import is_out_of_files, readable
from ..journal import Journal, Who, name_in, to_raw
from .outcome import Outcome
from .ticket import Ticket

if TYPE_CHECKING:
    from .fate import Fate

# Errors that end the batch, or that the batch itself has caused: their recordings have no outcome, and no line.
_NOT_OF_RECORDING = (AuthenticationError, ConfigError, ScoreCancelledError)


class ListedPath(str):
    """A path from a list with columns: `score_many()` takes it as any other, and the journal keeps the columns.

    Attributes:
        columns: Names of the list's other columns → the cells of this path's row.
    """

    columns: Mapping[str, str]

    def __new__(cls, path: str, columns: Optional[Mapping[str, str]] = None) -> ListedPath:
        listed = super().__new__(cls, path)
        listed.columns = dict(columns or {})
        return listed


class Job:
    """A recording on its way.

    Attributes:
        given: Its path, as the caller gave it.
        path: The same as text.
        columns: What the caller's list says of it, if its path is a `ListedPath`.
        name: Whose it is, by these columns; else `""`.
        kin: What its line in the journal says of another one of the same content: `same_as` or `renamed_from`.
        sha256: Of its bytes when it was drawn; `None` in a batch that has neither a journal nor a budget.
        audio_seconds: How long it is, in a batch that has a budget; else 0.
        ticket: Its exchange, the last one if there were several.
        fate: What follows on that exchange; `None` until it has ended and `run` has asked `fate`.
        started: When that exchange began, monotonic.
        attempts: Exchanges before that one.
        seconds: How long the exchanges before that one took.
        connects: How often it was tried again because no connection was made.
        streams: How often it was sent again because its stream broke.
        not_before: When it may be sent again, monotonic.
    """

    def __init__(self, given: PathLike, path: str) -> None:
        self.given = given
        self.path = str(path)
        self.columns: Mapping[str, str] = given.columns if isinstance(given, ListedPath) else {}
        self.name = name_in(self.columns)
        self.kin: Mapping[str, str] = {}
        self.sha256: Optional[str] = None
        self.audio_seconds = 0.0
        self.ticket = Ticket(self.path)
        self.fate: Optional[Fate] = None
        self.started = 0.0
        self.attempts = 0
        self.seconds = 0.0
        self.connects = 0
        self.streams = 0
        self.not_before = 0.0
        self._refusals = 0  # HTTP 429s in a row, while no other recording passed
        self._passed = 0  # how many exchanges of the batch had passed at the last refusal

    @property
    def error(self) -> Optional[ElsaError]:
        """What went wrong; a `StreamClosedError` if the thread or executor that ran the exchange broke."""
        if self.ticket.done is not None:
            return self.ticket.done.error
        error = StreamClosedError(
            f"whoever was to score {self.path!r} broke ({self.ticket.lost!r}): score it again if it may be billed twice"
        )
        error.possibly_billed = True
        error.__cause__ = self.ticket.lost
        return error

    @property
    def length(self) -> Optional[float]:
        """How long the recording is, where that is known, in seconds."""
        return (self.ticket.done.audio_seconds if self.ticket.done else None) or self.audio_seconds or None

    @property
    def sent_seconds(self) -> float:
        """How much of it the exchange has sent, as far as that is known."""
        done = self.ticket.done
        if done is None:
            return 0.0
        conclusion = done.result if done.result is not None else done.error
        return 0.0 if conclusion is None else conclusion.audio_seconds_sent

    def is_by(self, owner: Who) -> bool:
        """Returns whether it is this recording that a line of the journal is about."""
        return readable(self.path) == owner.path and self.name in ("", owner.name)

    def refusals_since(self, passed: int) -> int:
        """Returns how often it was turned away since the last time that any recording passed.

        Args:
            passed: How many exchanges of the batch have passed so far.
        """
        return self._refusals if self._passed == passed else 0

    def note_refused(self, passed: int) -> None:
        """Takes note that it was turned away (HTTP 429) when so many exchanges of the batch had passed."""
        self._refusals = self.refusals_since(passed) + 1
        self._passed = passed

    def begin(self) -> None:
        """Makes the ticket of its first or next exchange."""
        done = self.ticket.done
        if done is not None:
            self.attempts += done.began
            self.seconds += done.seconds
        self.ticket = Ticket(self.path)
        self.fate = None
        self.started = time.monotonic()

    def outcome(self) -> Outcome:
        """Returns what became of it, after its last exchange."""
        done = self.ticket.done
        if done is None:
            seconds = self.seconds + time.monotonic() - self.started
            return Outcome(
                self.given, error=self.error, attempts=self.attempts + 1, seconds=seconds, sha256=self.sha256
            )
        return Outcome(
            self.given,
            result=done.result,
            error=done.error,
            attempts=self.attempts + done.began,
            seconds=self.seconds + done.seconds,
            sha256=done.sha256,
        )


def lacked_files(error: Optional[BaseException]) -> bool:
    """Returns whether an exchange came to nothing only because too many files and sockets are open."""
    return is_out_of_files(error) and not (isinstance(error, ElsaError) and error.possibly_billed)


def record(journal: Optional[Journal], options: Mapping[str, Any], jobs: Iterable[Job]) -> List[Job]:
    """Writes to the journal what came of recordings, but for errors that say nothing about them: a refused token.

    Args:
        journal: Where to; nothing is done without one.
        options: Those that change the result.
        jobs: Recordings whose exchange has ended.

    Returns:
        Those that are on the disk now.

    Raises:
        JournalError: It can't be written; none of them is on the disk.
    """
    if journal is None:
        return []
    recorded, objects = [], []
    for job in jobs:
        done = job.ticket.done
        if done is None or isinstance(done.error, _NOT_OF_RECORDING) or lacked_files(done.error):
            continue
        conclusion = done.result if done.result is not None else done.error
        assert conclusion is not None
        # An HTTP 429 tells nothing about the content: without a hash, the next run tries the recording again.
        sha256 = None if isinstance(conclusion, RateLimitedError) else done.sha256
        objects.append(
            to_raw(
                job.path,
                sha256,
                options,
                conclusion,
                attempts=job.attempts + done.began,
                seconds=job.seconds + done.seconds,
                audio_seconds=job.length,
                columns=job.columns,
                kin=job.kin,
            )
        )
        recorded.append(job)
    if objects:
        journal.append(*objects)
    return recorded
