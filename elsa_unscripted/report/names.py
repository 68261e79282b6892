"""Names for the recordings of a class: of their paths, what tells them apart, in an order that people expect.

Called by `classroom`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any, List, Sequence, Tuple

__all__ = ["MAX_NAME", "natural_order", "short_names"]

MAX_NAME = 120  # characters

# On Windows a backslash separates folders; but `printable()` writes one, too, before what it spells out.
_BACKSLASH = re.compile(r"\\(?!x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def short_names(paths: Sequence[str]) -> List[str]:
    """Returns the paths without the folders, and without the ending, that all of them share."""
    parts = [_BACKSLASH.sub("/", path).split("/") for path in paths]
    shared = 0
    while parts and all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    names = ["/".join(part[shared:]) for part in parts]
    endings = {os.path.splitext(name)[1] for name in names}
    if len(endings) == 1 and len(names) > 1:
        names = [os.path.splitext(name)[0] for name in names]
    return [name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…" for name in names]


def natural_order(name: str) -> Tuple[Any, ...]:
    """Returns a key to sort by that has `Student 9` before `Student 10`, and `Émile` beside `Emil`.

    A page's script then sorts as the reader's language does.
    """
    letters = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    pieces = re.split(r"(\d+)", letters.casefold())
    return tuple((int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces)
