"""The table of `batch --csv`: a row for each recording, for spreadsheets and for pandas.

Written by `batch`. It is UTF-8 with a byte order mark, without which spreadsheets take it for another encoding. A value
that isn't there is an empty cell. Text of the server, of the list and of the file system is untrusted: a spreadsheet
must not take it for a formula.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from typing import TYPE_CHECKING, Dict, Optional, Sequence

from ..exceptions import ConfigError, ElsaError
from ..files import readable, replacing
from ..results.rows import COLUMNS, Cell, result_cells, rounded
from ..results.text import printable

if TYPE_CHECKING:
    from ..batch import Outcome

# What makes a formula of a cell that begins with it: OWASP's list, and the full-width forms. White space and quotes
# before it don't help. A spreadsheet may also take a separator in the text for the end of a cell, and what follows for
# the beginning of the next; in many languages the separator is the semicolon.
_FORMULA = re.compile(r"(?:^|(?<=[;,|\n]))(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=\n)")
_NUMBER = re.compile(r"[+-]?\d{1,15}([.,]\d{1,15})?")  # may begin with a sign, as a formula does, but is none


class Table:
    """The file of the table. It is written anew, because a batch that goes on yields every outcome again.

    An older one is there until `close()`, and stays if this one can't be written. Without an older one, each row can be
    read as soon as it is written.

    Args:
        path: Where to write.
        carried: Names of the list's columns, which come behind `COLUMNS`.

    Raises:
        ConfigError: The file can't be written, or holds something else than such a table.
    """

    def __init__(self, path: str, carried: Sequence[str] = ()) -> None:
        columns = (*COLUMNS, *(f"list_{name}" if name in COLUMNS else name for name in carried))
        _check(path)
        try:
            with contextlib.ExitStack() as stack:
                older = os.path.isfile(path) and os.path.getsize(path) > 0
                file = stack.enter_context(replacing(path) if older else open(path, "wb"))  # noqa: SIM115
                # `write_through`, since a text file can't be closed without writing what it keeps.
                text = io.TextIOWrapper(file, "utf-8-sig", "backslashreplace", newline="", write_through=True)
                stack.callback(text.detach)
                self._writer = csv.writer(text)
                self._writer.writerow(map(_harmless, columns))
                file.flush()
                self._file = file
                self._stack = stack.pop_all()
        except OSError as error:
            raise ConfigError(f"can't write {path!r} ({error.strerror}); give another --csv") from error

    def add(self, outcome: Outcome, carried: Sequence[str] = ()) -> None:
        """Writes the row of a recording.

        Raises:
            OSError: The disk is full, for example.
        """
        cells = row(outcome)
        self._writer.writerow([*(cell(cells.get(name)) for name in COLUMNS), *map(cell, carried)])
        self._file.flush()

    def close(self) -> None:
        """Puts the table in its place.

        Raises:
            OSError: What was left could not be written.
        """
        self._stack.close()

    def discard(self, error: OSError) -> None:
        """Gives up a table that can't be written because of an error; the older one stays."""
        with contextlib.suppress(OSError):
            self._stack.__exit__(type(error), error, None)


def row(outcome: Outcome) -> Dict[str, Cell]:
    """Returns the cells of an outcome by column; those that are missing are empty."""
    cells: Dict[str, Cell] = {
        "path": readable(outcome.path),
        "attempts": outcome.attempts,
        "seconds": rounded(_seconds(outcome)),
        "sha256": outcome.sha256,
        "same_as": None if outcome.same_as is None else readable(outcome.same_as),
    }
    if outcome.result is not None:
        return {**cells, **result_cells(outcome.result)}
    return {**cells, "outcome": "error", **_of_error(outcome.error)}


def _of_error(error: Optional[ElsaError]) -> Dict[str, Cell]:
    if error is None:
        return {}
    return {
        "error": type(error).__name__,
        "reason": getattr(error, "reason", None) or None,
        "message": str(error),
        "audio_seconds_sent": rounded(error.audio_seconds_sent),
        "stream_id": error.stream_id,
    }


def _seconds(outcome: Outcome) -> Optional[float]:
    """Returns how long the exchanges took; for a result from the journal, the one exchange that it came from."""
    if not outcome.from_journal:
        return outcome.seconds
    return None if outcome.result is None else outcome.result.timings.total


def cell(value: Cell) -> Cell:
    """Returns what a cell of a table may hold: text is made harmless."""
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Returns text as text: no formula of any spreadsheet, and no control character but line feeds."""
    shown = "\n".join(map(printable, text.replace("\r\n", "\n").split("\n")))
    return shown if _NUMBER.fullmatch(shown) else _FORMULA.sub("'", shown)


def _check(path: str) -> None:
    """Refuses to write over what is no table of ours: a list or a recording that was named by mistake."""
    if path == "-":
        raise ConfigError("--csv must be a file, as the table is written anew when the batch goes on; not -")
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    ours = ",".join(COLUMNS[:6]).encode()
    try:
        with open(path, "rb") as file:
            found = file.read(len(ours) + 3)
    except OSError as error:
        raise ConfigError(f"can't write {path!r} ({error.strerror}); give another --csv") from error
    if not found.startswith(b"\xef\xbb\xbf" + ours):
        raise ConfigError(f"{path!r} holds something else, and would be overwritten; give another --csv, or remove it")
