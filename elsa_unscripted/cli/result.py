"""A result at the command line: reads it from a file, and prints it. For `score`, `show` and `report`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from typing import Any, Iterator

from ..exceptions import ConfigError, ElsaError
from ..files import read_text
from ..results.result import ScoreResult
from ..strict_json import DECODER, dumps
from .options import stdin
from .statuses import USAGE
from .summary import summarize
from .terminal import give_up, say

READABLE_WIDTH = 100  # columns of a summary, however wide the terminal is


@contextlib.contextmanager
def readable(path: str) -> Iterator[str]:
    """Gives the path of a file to read; for `-`, of a copy of standard input, which is called that in errors.

    Raises:
        ConfigError: Standard input is a terminal or empty, or can't be read.
    """
    if path != "-":
        yield path
        return
    source = stdin()
    if source.isatty():
        raise ConfigError("standard input is a terminal: give a file, or pipe one into this command")
    with tempfile.TemporaryDirectory(prefix="elsa-") as folder:
        copy = os.path.join(folder, "stdin")
        try:
            with open(copy, "wb") as file:
                shutil.copyfileobj(source, file)
        except OSError as error:
            raise ConfigError(f"can't read standard input ({error.strerror})") from error
        if not os.path.getsize(copy):
            raise ConfigError("standard input is empty: did the command before this one fail?")
        try:
            yield copy
        except ElsaError as error:
            error.args = (str(error).replace(repr(copy), "standard input"),)
            raise


def load_result(path: str) -> ScoreResult:
    """Reads what `ScoreResult.save()` wrote, or what `score --format json` printed.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    try:
        return ScoreResult.load(path)
    except OSError as error:
        raise ConfigError(f"can't read {path!r} ({error.strerror}); check the name") from error
    except ValueError:
        return _load_verdict(path)


def _load_verdict(path: str) -> ScoreResult:
    first, end, text = None, 0, ""
    with contextlib.suppress(ValueError, RecursionError):
        text = read_text(path).decode("utf-8-sig").strip()
        first, end = DECODER.raw_decode(text)
    if isinstance(first, dict) and "sha256" in first:
        raise ConfigError(f"{path!r} is the journal of a batch: elsa-unscripted report makes a page of it")
    if isinstance(first, dict) and isinstance(first.get("status"), str) and end == len(text):
        return ScoreResult(first, text)
    raise ConfigError(f"{path!r} is no result: give a file of ScoreResult.save(), or of score --format saved")


def print_result(result: ScoreResult, form: str, *, verbose: bool = False, has_page: bool = False) -> int:
    """Prints a result; returns the exit status.

    It goes to standard output; if that fails, to standard error, because it was paid for.
    """
    try:
        _write(sys.stdout, result, form, verbose, has_page)
    except BrokenPipeError:
        link = f"; the result is also at {result.result_link}" if result.result_link else ""
        say(f"nobody reads standard output any more{link}")
        raise
    except OSError as error:
        say(f"error: can't write to standard output ({error.strerror}); the result goes to standard error")
        if sys.stdout is not None:
            give_up(sys.stdout)
        with contextlib.suppress(OSError):
            _write(sys.stderr, result, form, verbose, has_page)
        return USAGE
    return 0


def formatted(
    result: ScoreResult, form: str, terminal: bool, encoding: str, verbose: bool = False, has_page: bool = False
) -> bytes:
    """Returns a result as bytes for a file or a terminal.

    Args:
        result: The result.
        form: `summary`; `json`, the server's, exactly; or `saved`, as `ScoreResult.save()` writes it.
        terminal: Whether it is for a terminal.
        encoding: Of the summary.
        verbose: Whether the summary has links, stream and timing.
        has_page: Whether the result has a page already: the summary then doesn't say how to make one.
    """
    if form == "saved":
        return dumps(result.to_dict(), indent=1).encode("ascii") + b"\n"
    if form == "json":
        return (_for_terminal(result.text) if terminal else result.text).encode("utf-8") + b"\n"
    text = summarize(
        result,
        width=min(shutil.get_terminal_size().columns, READABLE_WIDTH) if terminal else 80,
        color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        verbose=verbose,
        has_page=has_page,
        ascii_only=not encoding.lower().replace("-", "").startswith("utf"),
    )
    return (text.rstrip("\n") + "\n").encode(encoding, "backslashreplace")


def _write(stream: Any, result: ScoreResult, form: str, verbose: bool, has_page: bool) -> None:
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    stream.flush()
    stream.buffer.write(formatted(result, form, stream.isatty(), encoding_of(stream), verbose, has_page))
    stream.buffer.flush()


def encoding_of(stream: Any) -> str:
    """Returns the encoding in which to write text for people to a stream; standard output may be missing."""
    # With LC_ALL=C Python still prints UTF-8, unless told otherwise: people who set it want ASCII.
    asked_for = os.environ.get("PYTHONUTF8") or os.environ.get("PYTHONIOENCODING")
    if os.environ.get("LC_ALL") in ("C", "POSIX") and not asked_for:
        return "ascii"
    return getattr(stream, "encoding", None) or "ascii"


def _for_terminal(text: str) -> str:
    """Escapes what a terminal might obey, in the way of JSON."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text
    )
