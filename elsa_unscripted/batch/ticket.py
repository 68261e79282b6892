"""`Ticket`: one exchange that a crew runs for a batch, and `Done`: what it has come to.

The batch's thread hands a ticket to a crew. Whoever runs the exchange fills the ticket in and then puts `None` into the
mailbox `wake`; upon that the batch's thread looks at all tickets. A ticket has no lock, since Ctrl-C in the batch's
thread could leave it locked for ever.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from typing import Optional

from ..exceptions import ElsaError
from ..results.result import ScoreResult


@dataclass(frozen=True)
class Done:
    """What one exchange has come to: a result or an error, never both.

    Attributes:
        result: The result.
        error: The error.
        sha256: Of the bytes that were scored; `None` when they couldn't be read.
        began: Whether an exchange was begun: not if the audio was unreadable or an option wrong.
        seconds: How long it took.
        audio_seconds: How long the recording is; `None` if no packet of it was sent.
    """

    result: Optional[ScoreResult]
    error: Optional[ElsaError]
    sha256: Optional[str]
    began: bool
    seconds: float
    audio_seconds: Optional[float]


class Ticket:
    """One exchange that was handed over.

    Attributes:
        path: The recording.
        done: What it has come to.
        lost: Why there will be no `done`: whatever ran the exchange broke.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.done: Optional[Done] = None
        self.lost: Optional[BaseException] = None

    @property
    def ended(self) -> bool:
        return self.done is not None or self.lost is not None

    @property
    def breakdown(self) -> Optional[BrokenExecutor]:
        """The error of an executor that will run no other exchange either; `None` if at most this one was lost."""
        if isinstance(self.lost, CancelledError):
            broken = BrokenExecutor("the executor has cancelled what it was given: is its cluster gone?")
            broken.__cause__ = self.lost
            return broken
        return self.lost if isinstance(self.lost, BrokenExecutor) else None
