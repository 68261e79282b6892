"""`elsa-unscripted`: how it ends, and what it says. Each subcommand is a file beside this one."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Optional, Sequence, TextIO

if TYPE_CHECKING:
    from ..exceptions import ElsaError

PROGRAM = "elsa-unscripted"

TIMED_OUT = 1
USAGE = 2
REJECTED = 3
NOT_CONNECTED = 4
BAD_AUDIO = 5
INTERRUPTED = 130

EXIT_STATUSES = """\
exit status:
  0    success
  1    timed out waiting for the server
  2    wrong usage, a bad option, or a file that could not be read or written
  3    the server's verdict was failed or bad_quality
  4    could not connect, refused, or cut off
  5    the audio is missing, unreadable or empty
  130  interrupted
"""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line; returns the exit status."""
    try:
        from .parser import make_parser

        try:
            words = sys.argv[1:] if arguments is None else list(arguments)
            options = make_parser().parse_args(words, argparse.Namespace(words=words))
            status: int = options.run(options)
            return status
        finally:
            _flush_stdout()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read standard output has gone, as `| head` does.
        give_up(sys.stdout)
        return 0
    finally:
        flush_stderr()


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
    """Returns what an error says, and what it may cost. There may be text of the server in it."""
    if not error.possibly_billed:
        return str(error)
    stream = f"; stream {error.stream_id}" if error.stream_id else ""
    return f"{error} [{error.audio_seconds_sent:.1f} s were sent and may be billed{stream}]"


def say(text: str, lead: str = f"{PROGRAM}: ") -> None:
    """Prints a line for people: to stderr, with whatever could move the cursor escaped."""
    from ..summary import printable

    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "ascii"
    line = f"{lead}{printable(text)}".encode(encoding, "backslashreplace").decode(encoding)
    # Nobody may be there to read it: that must not change the exit status.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _flush_stdout() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"error: can't write to standard output ({error.strerror})")
        give_up(sys.stdout)
        sys.exit(USAGE)


def flush_stderr() -> None:
    """Sees to it that a standard error that nobody reads any more doesn't change the exit status."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Lets what is still buffered for a stream go nowhere: Python would try again to write it, and exit with 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
