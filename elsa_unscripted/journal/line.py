"""`Line`: a line of a journal that `Journal.find()` has found, and that is parsed only when somebody asks for more."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping

from ..exceptions import JournalError
from .entry import DIGITS, Entry, Who, name_in, parse, to_entry, who
from .index import BEFORE_OPTIONS, HEAD

_LONGEST_HEAD = 64 * 1024  # bytes: options and path; `path` parses the whole line if they take more
_TEXT = r'"(?:[^"\\]|\\.)*"'  # of JSON
_PATH = re.compile(rf', "outcome": "\w+"(?:, "\w+": {_TEXT})?, "path": ({_TEXT}), "(time|columns)": ')


@dataclass(frozen=True)
class Line:
    """A line of a journal. `entry()` parses it, and not sooner, because ten thousand lines may be a gigabyte.

    Attributes:
        good: Whether it has a result and no error.
        new: Whether it was written since the journal was opened.
        text: The line as it stands in the file.
        name: What errors call the journal.
    """

    good: bool
    new: bool
    text: bytes
    name: str

    @property
    def who(self) -> Who:
        """Whose recording the line is about; only the head of a line that we have written is parsed for it."""
        head = self.text[:_LONGEST_HEAD].decode("latin-1")
        with contextlib.suppress(ValueError, RecursionError):
            decoder = json.JSONDecoder()
            _, end = decoder.raw_decode(head, len(HEAD) + DIGITS + len(BEFORE_OPTIONS))
            found = _PATH.match(head, end)
            if found and head.isascii():
                columns = decoder.raw_decode(head, found.end())[0] if found[2] == "columns" else {}
                return Who(json.loads(found[1]), name_in(columns))
        return who(self.raw())

    def entry(self) -> Entry:
        """Returns what the line says; raises as `raw()` does."""
        return to_entry(self.raw())

    def raw(self) -> Mapping[str, Any]:
        """Returns the object of the line.

        Raises:
            JournalError: It is no line of a journal any more: somebody else has written to the file.
        """
        raw = parse(self.text, self.name)
        if raw is None:
            raise JournalError(f"the journal {self.name} was changed while it was in use: nothing else may write to it")
        return raw
