"""What becomes of a recording whose exchange has ended. `run` asks `decide()` once for each exchange, and obeys.

success, failed, bad quality, unreadable audio ....... FINISH
whatever ran the exchange broke ...................... FINISH: nobody knows whether it was metered
the token or the config refused ...................... END: every other exchange would end like this one
turned away (HTTP 429) ............................... WAIT_TURN, up to MAX_REFUSALS in a row
too many open files .................................. WAIT_ROOM, if others here will close theirs
not connected ........................................ RECONNECT, up to `connect_retries`: nothing was metered
the stream broke ..................................... RESEND, up to `stream_retries`: it is metered once more
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from ..config import Config
from ..exceptions import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ProtocolError,
    RateLimitedError,
    ScoreTimeoutError,
    StreamClosedError,
)
from ..exchange.retry import wait_before_retry
from .budget import Budget
from .job import Job, lacked_files

MAX_REFUSALS = 10  # HTTP 429s in a row, while no other recording passes, after which a recording fails


class Step(enum.Enum):
    """What follows on an exchange that has ended."""

    FINISH = "the recording is finished: its outcome is yielded"
    END = "the batch ends"
    WAIT_TURN = "another exchange, after the back-off of the whole batch"
    WAIT_ROOM = "another exchange, with fewer beside it"
    RECONNECT = "another exchange, after a wait of its own"
    RESEND = "another exchange, which is metered as this one was"


class Fate(NamedTuple):
    """A step, and the seconds to wait before it."""

    step: Step
    wait: float = 0.0

    @property
    def again(self) -> bool:
        """Whether there is another exchange."""
        return self.step not in (Step.FINISH, Step.END)


def decide(
    job: Job,
    *,
    config: Config,
    stream_retries: int,
    budget: Budget,
    passed: int,
    others_close_files: bool,
    ending: bool,
) -> Fate:
    """Decides what follows on an exchange that has ended; changes nothing.

    Args:
        job: The recording, whose ticket has ended.
        config: For `connect_retries`, and `connect_timeout`: a longer wait isn't worth it.
        stream_retries: How often a broken stream is sent again.
        budget: What a stream that is sent again must fit into.
        passed: How many exchanges of the batch were not turned away so far.
        others_close_files: Whether other exchanges in this process will end, and so make room for this one.
        ending: Whether no new recordings are begun any more.
    """
    error = job.error
    if isinstance(error, (AuthenticationError, ConfigError)):
        return Fate(Step.END)
    if isinstance(error, RateLimitedError):
        return Fate(Step.WAIT_TURN if job.refusals_since(passed) + 1 < MAX_REFUSALS else Step.FINISH)
    if job.ticket.done is None:
        return Fate(Step.FINISH)
    if others_close_files and lacked_files(error):
        return Fate(Step.WAIT_ROOM)
    if isinstance(error, ConnectError):
        # Also when the batch is ending: the recording is then left unfinished, and the next run tries it. With a
        # failure in the journal, the next run would not.
        wait = wait_before_retry(error, job.connects)
        if wait is not None and wait < config.connect_timeout and job.connects < config.connect_retries:
            return Fate(Step.RECONNECT, wait)
        return Fate(Step.FINISH)
    broken = isinstance(error, (StreamClosedError, ScoreTimeoutError, ProtocolError))
    if broken and not ending and job.streams < stream_retries and budget.has_room(job.audio_seconds):
        return Fate(Step.RESEND)
    return Fate(Step.FINISH)
