"""Quotes text that isn't ours in messages: only its beginning, on one line, with control characters escaped.

For every room that tells what a server has said.
"""

from __future__ import annotations

__all__ = ["MAX_QUOTED", "cut", "quoted"]

MAX_QUOTED = 300  # characters: enough for a server's reason, and little enough for a log line


def quoted(text: str) -> str:
    """Returns the beginning of a text as Python spells it: in quotes, whatever is no printable character escaped."""
    return repr(text[:MAX_QUOTED]) + ("…" if len(text) > MAX_QUOTED else "")


def cut(text: str, most: int = MAX_QUOTED) -> str:
    """Returns a text, or its beginning with an ellipsis if it has more than `most` characters; escapes nothing."""
    return text if len(text) <= most else text[: most - 1] + "…"
