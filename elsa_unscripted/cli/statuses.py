"""The exit statuses of `elsa-unscripted` and the drop-in, which errors they stand for, and how an error is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..quoting import cut

if TYPE_CHECKING:
    from ..exceptions import ElsaError

TIMED_OUT = 1
USAGE = 2
REJECTED = 3
NOT_CONNECTED = 4
BAD_AUDIO = 5
INTERRUPTED = 130

MAX_STREAM_ID = 100  # characters that are shown; the server chooses how long it is

EXIT_STATUSES = """\
exit status:
  0    success
  1    timed out waiting for the server
  2    wrong usage, a bad option, or a file that could not be read or written
  3    the server's verdict was failed or bad_quality
  4    could not connect, refused, or cut off
  5    the audio is missing, unreadable or empty, or a pipe or microphone failed
  130  interrupted
"""


def exit_status(error: BaseException) -> int:
    """Returns the exit status that stands for an error."""
    from .. import exceptions

    for kind, status in (
        (exceptions.ScoreTimeoutError, TIMED_OUT),
        (exceptions.ConfigError, USAGE),
        (exceptions.JournalError, USAGE),
        (exceptions.ScoringFailedError, REJECTED),
        (exceptions.AudioError, BAD_AUDIO),
        (exceptions.ElsaError, NOT_CONNECTED),
    ):
        if isinstance(error, kind):
            return status
    raise error


def explain(error: ElsaError) -> str:
    """Returns what an error says, and how much may be billed. The text may hold text of the server."""
    if not error.possibly_billed:
        return str(error)
    stream = f"; stream {cut(error.stream_id, MAX_STREAM_ID)}" if error.stream_id else ""
    return f"{error} [{error.audio_seconds_sent:.1f} s were sent and may be billed{stream}]"
