"""A sheet of terminal text: labels on the left, text wrapped to the right of them, colours. `summary` writes on it.

A terminal counts cells, not characters: a Chinese character takes two, an accent that stands by itself none.

Every text of the server goes through `printable()`, so that it can neither move the cursor nor turn a line around.
After that no control character is left in it. So a sheet uses some of them as marks for its colours: they take no
cells, and `finish()` turns them into escape sequences, or drops them.
"""

from __future__ import annotations

import unicodedata
from typing import Iterator, List, NamedTuple, Optional

from ..results.text import printable

MIN_WIDTH = 40  # columns; below it there is no room for a bar and its number
LABEL_WIDTH = 15  # columns of the left-hand labels
MAX_CHARACTERS = 6000  # of a transcript: 150 s of speech, the documented cap, have some 2,500

TIE = "\u00a0"  # keeps a number and its unit on one line; `finish()` makes it a plain space
STRONG, DIM, BAD, MIDDLING, FINE, PLAIN = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06"
ANSI = {STRONG: "\x1b[1m", DIM: "\x1b[2m", BAD: "\x1b[31m", MIDDLING: "\x1b[33m", FINE: "\x1b[32m", PLAIN: "\x1b[0m"}
COLORED = str.maketrans({**ANSI, TIE: " "})
COLORLESS = str.maketrans({**dict.fromkeys(ANSI, ""), TIE: " "})
IN_ASCII = str.maketrans({"█": "#", "░": "-", "…": "~", "→": ">"})


class Sheet(NamedTuple):
    """How wide a sheet is, and in which characters it is written."""

    width: int
    ascii_only: bool

    @property
    def body(self) -> int:
        """Columns to the right of the labels."""
        return self.width - LABEL_WIDTH

    def paragraph(self, text: str) -> str:
        """Makes server text safe to wrap: on one line, no longer than `MAX_CHARACTERS`."""
        more = "…" if len(text) > MAX_CHARACTERS else ""
        safe = printable(" ".join(text[:MAX_CHARACTERS].split()) + more)
        return safe.replace("…", "...").encode("ascii", "backslashreplace").decode() if self.ascii_only else safe

    def piece(self, text: Optional[str], limit: int) -> str:
        """Makes server text safe to stand beside other columns: at most `limit` cells."""
        # Cut first: the text may be a megabyte long. Eight characters a cell leave room for those that take no cell.
        short = _cut(self.paragraph((text or "")[: limit * 8]), limit)
        # Right-to-left text would pull the numbers beside it to its other side: isolate it.
        rightward = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in short)
        return f"\u2068{short}\u2069" if rightward else short

    def row(self, label: str, *paragraphs: str) -> List[str]:
        """Wraps text to the right of a label."""
        lines = [line for text in paragraphs for line in wrap(text, self.body)]
        # Only the label has a mark before it: so a colour that begins on one line of the text goes on in the next.
        starts = [f"{DIM}{label:<{LABEL_WIDTH}}{PLAIN}"] + [" " * LABEL_WIDTH] * len(lines)
        return [start + line for start, line in zip(starts, lines)]

    def finish(self, text: str, *, color: bool) -> str:
        """Turns the marks into escape sequences, or drops them."""
        if self.ascii_only:
            text = text.translate(IN_ASCII)
        return text.translate(COLORED if color else COLORLESS)


def cells(text: str) -> int:
    """Returns how many cells a text takes."""
    return sum(map(_char_cells, text))


def _char_cells(char: str) -> int:
    if char.isascii():
        return 0 if char < " " else 1
    if char == "\ufe0f":  # makes the sign before it an emoji, which is a cell wider
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, limit: int) -> str:
    if cells(text) <= limit:
        return text
    return next(chunks(text, limit - 1), "") + "…" if limit > 0 else ""


def pad(text: str, width: int) -> str:
    """Fills a text up with spaces to so many cells."""
    return text + " " * (width - cells(text))


def chunks(text: str, limit: int) -> Iterator[str]:
    """Cuts text into pieces of at most `limit` cells."""
    start, used = 0, 0
    for index, char in enumerate(text):
        size = _char_cells(char)
        if used + size > limit:
            yield text[start:index]
            start, used = index, 0
        used += size
    yield text[start:]


def wrap(text: str, limit: int) -> Iterator[str]:
    """Wraps text at spaces into lines of at most `limit` cells; a word that is longer is continued on the next."""
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if cells(candidate) <= limit:
            line = candidate
            continue
        if line:
            yield line
        *full, line = chunks(word, limit)
        yield from full
    yield line
