"""Text of a result, made ready to be shown: makes the server's text harmless, finds words in it, spells numbers.

Called by whatever shows text that is not ours: the terminal, the pages, the table, the drop-in's log.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Iterator, Match, Optional, Pattern, Sequence, Tuple

__all__ = ["find_words", "number", "percent", "printable", "rounded"]

MAX_STEP = (
    200  # characters: the longest word that is looked for, up to twice as far ahead; so the search takes linear time
)
UNSPACED = (
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
)  # scripts that put no spaces between words, beside those with wide characters


def printable(text: str) -> str:
    r"""Spells out what a terminal would obey or hide: `\x1b` for an escape, `\u202e` for a bidi override.

    Unchanged are the letters of all scripts, spaces, and the two joiners that Persian, Indic scripts and emoji need.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_shown(char: str) -> bool:
    return char.isprintable() or char in "\u200c\u200d" or unicodedata.category(char) == "Zs"


def percent(value: float) -> str:
    """Spells a percentage, with one decimal and without the sign."""
    return f"{value:.1f}" if abs(value) < 1e4 else f"{value:.3g}"


def rounded(value: Optional[float]) -> Optional[float]:
    """Returns a percentage as exactly as `percent()` spells it: a page's script, which rounds ties up, then agrees."""
    return None if value is None else round(value, 1)


def number(value: float) -> str:
    """Spells any other number: with four digits, six if it is large."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"


def find_words(text: str, words: Sequence[str]) -> Sequence[Optional[Tuple[int, int]]]:
    """Finds words in a text, in the order in which they were said.

    Returns:
        Where each word begins and ends. The server may spell the text in another way than the words: `None` stands
        for a word that is not found in its place.
    """
    places = list(_places(text, words, careful=False))
    return list(_places(text, words, careful=True)) if None in places else places


def _places(text: str, words: Sequence[str], *, careful: bool) -> Iterator[Optional[Tuple[int, int]]]:
    done = 0
    for index, word in enumerate(words):
        found = _search(text, word, done)
        if found and careful and re.search(r"\w", text[done : found.start()]):
            # Other words stand between. If the next word to find is among them, a later repetition of this word was
            # found. To go on behind the repetition would lose all the words between.
            after = _search(text, words[index + 1], done) if index + 1 < len(words) else None
            found = None if after and after.start() < found.start() else found
        yield found.span() if found else None
        done = found.end() if found else done


def _search(text: str, word: str, start: int) -> Optional[Match[str]]:
    return _pattern(word).search(text, start, start + 2 * MAX_STEP) if 0 < len(word) <= MAX_STEP else None


@functools.lru_cache(1024)
def _pattern(word: str) -> Pattern[str]:
    """Returns a pattern that finds a whole word; in scripts without spaces, also a part of a longer stretch."""
    # The text may have a curly apostrophe where the word has a straight one, or the other way round.
    spelled = re.sub("['\u2019]", "['\u2019]", re.escape(word))
    if any(
        unicodedata.east_asian_width(char) in "WF" or unicodedata.name(char, "").startswith(UNSPACED) for char in word
    ):
        return re.compile(spelled)
    return re.compile(rf"(?<!\w){spelled}(?!\w)", re.IGNORECASE)
