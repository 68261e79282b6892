"""A recording on its way through a batch, and how it gets into the journal. Used by `run`."""

from __future__ import annotations

import errno
import os
from typing import Any, Iterable, List, Mapping, Optional

from ..config import PathLike
from ..exceptions import (
    AuthenticationError,
    ConfigError,
    ElsaError,
    RateLimitedError,
    ScoreCancelledError,
    StreamClosedError,
)
from ..journal import Journal, to_raw
from .worker import Ticket

# These say nothing of the recording.
_BESIDE = (AuthenticationError, ConfigError, RateLimitedError, ScoreCancelledError)


class Job:
    """A recording on its way.

    Attributes:
        given: Its path, as it was given.
        path: The same as text.
        sha256: Of its bytes, as they were when it was drawn; `None` without a journal and a budget.
        audio_seconds: How long it is, in a batch that has a budget.
        ticket: Its exchange, the last one if there were several.
        started: When that began, monotonic.
        attempts: Exchanges before that one.
        seconds: How long those took.
        connects: Connections that failed and were tried again.
        streams: Streams that broke and were tried again.
        refusals: How often it was turned away since any recording passed.
        passed: How many had passed when it was turned away.
        not_before: When it may be sent again, monotonic.
        reserved_again: Whether its length was taken from the budget for another stream.
    """

    def __init__(self, given: PathLike) -> None:
        self.given = given
        self.path = os.fsdecode(given)
        self.sha256: Optional[str] = None
        self.audio_seconds = 0.0
        self.ticket = Ticket(self.path)
        self.started = 0.0
        self.attempts = 0
        self.seconds = 0.0
        self.connects = 0
        self.streams = 0
        self.refusals = 0
        self.passed = 0
        self.not_before = 0.0
        self.reserved_again = False

    @property
    def error(self) -> Optional[ElsaError]:
        """What went wrong; something, if whoever ran the exchange broke."""
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


def is_out_of_files(error: Optional[BaseException]) -> bool:
    """Returns whether an exchange came to nothing only because too many files and sockets are open."""
    if isinstance(error, ElsaError) and error.possibly_billed:
        return False
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__
    return False


def record(journal: Optional[Journal], options: Mapping[str, Any], jobs: Iterable[Job]) -> List[Job]:
    """Puts those on the disk that are done, whatever came of them: not those that ended for a reason beside them.

    Returns:
        Those that are on the disk.
    """
    if journal is None:
        return []
    recorded, lines = [], []
    for job in jobs:
        done = job.ticket.done
        if done is None or done.sha256 is None or isinstance(done.error, _BESIDE):
            continue
        outcome = done.result if done.result is not None else done.error
        assert outcome is not None
        attempts, seconds = job.attempts + done.began, job.seconds + done.seconds
        lines.append(
            to_raw(
                job.path, done.sha256, options, outcome, attempts=attempts, seconds=seconds, audio_seconds=job.length
            )
        )
        recorded.append(job)
    if lines:
        journal.append(*lines)
    return recorded
