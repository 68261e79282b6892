"""The journal of a batch: JSON Lines of finished recordings. Appended to by `batch`, read by it, reports and CSV."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Optional, Union

from .exceptions import ElsaError
from .result import ScoreResult


@dataclass(frozen=True)
class Entry:
    """One line of a journal: a recording that was finished.

    Attributes:
        path: Of the recording, as it was given.
        sha256: Of the file's bytes, 64 hexadecimal digits.
        options: Those that change the result: `url`, `api_plan`, `return_json`, `extra`, `sample_rate`.
        outcome: `"success"` or `"error"`.
        time: When it was finished, UTC: `2026-11-22T11:02:42.123Z`.
        audio_seconds: How long the recording is; `None` if that never became known.
        attempts: Exchanges that were begun for it, in the run that wrote the line.
        seconds: How long they took together.
        result: The result, of a success.
        error: The error, otherwise.
        raw: The line's object, whole.
    """

    path: str
    sha256: str
    options: Mapping[str, Any]
    outcome: str
    time: str
    audio_seconds: Optional[float]
    attempts: int
    seconds: float
    result: Optional[ScoreResult] = field(repr=False)
    error: Optional[ElsaError] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)


def read(path: Union[str, os.PathLike[str]]) -> Iterator[Entry]:
    """Reads a journal, without locking it: also one that is being written.

    A recording that failed and was tried again has several lines; the newest counts.

    Args:
        path: Of the journal.

    Yields:
        Each line, from the oldest on. A torn line is passed over with a warning.

    Raises:
        JournalError: It can't be read, or is no journal.
    """
    raise NotImplementedError
    yield
