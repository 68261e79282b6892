"""The exit statuses of `elsa-unscripted` and the drop-in, which errors they stand for, and how an error is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Match

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


# What messages call an option of `Client` → the option of `elsa-unscripted`.
_OPTIONS = {
    "api_plan": "--plan",
    "ca_bundle": "--ca-bundle",
    "connect_timeout": "--connect-timeout",
    "extra": "--set",
    "max_audio_seconds": "--max-audio-seconds",
    "max_workers": "--jobs",
    "ping_interval": "--ping-interval",
    "proxy": "--proxy",
    "retry_failed": "--retry-failed",
    "sample_rate": "--sample-rate",
    "speed": "--speed",
    "timeout": "--timeout",
    "token": "--token-file FILE",
    "url": "--url",
}
# Where a message names an option: at its beginning, behind a verb that says what to do with it, or by a name that is no
# word. The server's text may hold the other names as words.
_NAMED = re.compile(
    r"^(?P<first>url|extra|speed|timeout|proxy)\b(?= (?:must|is|can't|holds))"
    r"|(?P<verb>\b(?:raise|lower|set|check|pass|give|in) )(?:the )?(?P<word>url|timeout|token|proxy|speed)\b(?:=…)?"
    r"|(?<!hold )(?<!or )\b"
    r"(?P<name>api_plan|ca_bundle|connect_timeout|max_audio_seconds|max_workers|ping_interval|retry_failed|sample_rate)\b"
)


def explain(error: ElsaError, *, own_options: bool = True) -> str:
    """Returns what an error says, and how much may be billed. The text may hold text of the server.

    Args:
        error: The error.
        own_options: Whether to name options as `elsa-unscripted` has them; the drop-in has others.
    """
    text = with_own_options(str(error)) if own_options else str(error)
    if not error.possibly_billed:
        return text
    stream = f"; stream {cut(error.stream_id, MAX_STREAM_ID)}" if error.stream_id else ""
    return f"{text} [{error.audio_seconds_sent:.1f} s were sent and may be billed{stream}]"


def with_own_options(text: str) -> str:
    """Returns what an error says with the options named as `elsa-unscripted` has them."""
    return _NAMED.sub(_option, text)


def _option(found: Match[str]) -> str:
    word = found["first"] or found["word"] or found["name"]
    if found["word"] == "token" and "=…" not in found[0]:
        return found[0]  # the token itself, not the option
    return (found["verb"] or "") + _OPTIONS[word]
