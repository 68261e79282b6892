"""What a result says, worked out once: the terminal, the pages and the tables only lay it out."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any, Iterator, Mapping, Match, Optional, Pattern, Sequence, Tuple, Union

from .assessment import Speaker
from .result import ScoreResult

__all__ = ["find_words", "is_by_sandbox", "is_short", "measured", "printable", "reason"]

MAX_STEP = 200  # characters of a word, and between two: keeps the search for words linear
MAX_MEASURED = 20
UNSPACED = ("THAI ", "LAO ", "KHMER ", "MYANMAR ")  # beside those of wide characters
ENOUGH_SECONDS = 20.0  # s of speech; documented
ENOUGH_SPEECH = "The metrics need more than about 20 s of speech; grammar and vocabulary have minimums of their own."
NO_ASSESSMENT = (
    "The server sent no assessment. The documented one comes with the premium plan, and with return_json on."
)
SANDBOX = 'The sandbox made this result, not ELSA. Only what is under "measured" was measured; any score is made up.'
SANDBOX_SCORES = 'The sandbox can\'t assess speech; its scenario "example" has scores, made up.'


def printable(text: str) -> str:
    r"""Spells out what a terminal would obey or hide: `\x1b` for an escape, `\u202e` for a bidi override.

    Letters of all scripts, spaces and the two joiners that Persian, Indic scripts and emoji need stay.
    """
    if text.isprintable():
        return text
    return "".join(char if _is_shown(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_shown(char: str) -> bool:
    return char.isprintable() or char in "\u200c\u200d" or unicodedata.category(char) == "Zs"


def find_words(text: str, words: Sequence[str]) -> Sequence[Optional[Tuple[int, int]]]:
    """Finds words in a text in the order in which they were said; returns start and end of each.

    The server may spell the text otherwise than the words: `None` stands for a word that is not found in its place.
    """
    eager = list(_places(text, words, careful=False))
    return list(_places(text, words, careful=True)) if None in eager else eager


def _places(text: str, words: Sequence[str], *, careful: bool) -> Iterator[Optional[Tuple[int, int]]]:
    done = 0
    for index, word in enumerate(words):
        found = _search(text, word, done)
        if found and careful and re.search(r"\w", text[done : found.start()]):
            # It stands further on. Where the next word stands before it, that is another one, which is not skipped to.
            after = _search(text, words[index + 1], done) if index + 1 < len(words) else None
            found = None if after and after.start() < found.start() else found
        yield found.span() if found else None
        done = found.end() if found else done


def _search(text: str, word: str, start: int) -> Optional[Match[str]]:
    return _pattern(word).search(text, start, start + 2 * MAX_STEP) if 0 < len(word) <= MAX_STEP else None


@functools.lru_cache(1024)
def _pattern(word: str) -> Pattern[str]:
    # As a whole, or anywhere in scripts that put no spaces between words. Apostrophes are straight or curly.
    spelled = re.sub("['\u2019]", "['\u2019]", re.escape(word))
    if any(
        unicodedata.east_asian_width(char) in "WF" or unicodedata.name(char, "").startswith(UNSPACED) for char in word
    ):
        return re.compile(spelled)
    return re.compile(rf"(?<!\w){spelled}(?!\w)", re.IGNORECASE)


def is_by_sandbox(result: ScoreResult) -> bool:
    """Whether the result says of itself that the sandbox made it."""
    return any(holder.get("sandbox") is True for holder in _holders(result))


def measured(result: ScoreResult) -> Sequence[Tuple[str, Union[str, float]]]:
    """Returns what the sandbox measured: names and values, as they came."""
    found = next((m for m in (holder.get("measured") for holder in _holders(result)) if isinstance(m, Mapping)), {})
    return [(key, value) for key, value in found.items() if isinstance(value, (str, int, float))][:MAX_MEASURED]


def _holders(result: ScoreResult) -> Sequence[Mapping[str, Any]]:
    return [result.raw] if result.assessment is None else [result.raw, result.assessment.raw]


def is_short(speaker: Speaker, result: ScoreResult) -> bool:
    """Whether too little was said for any score: the server says so, or what is documented does."""
    seconds = result.audio_seconds or None if speaker.total_time is None else speaker.total_time
    return result.partial_error == "too_short" or (seconds is not None and seconds < ENOUGH_SECONDS)


def reason(result: ScoreResult, speaker: Optional[Speaker] = None) -> str:
    """Returns why something was not scored, as far as anybody knows."""
    if result.partial_error == "too_short" if speaker is None else is_short(speaker, result):
        return f"There was not enough speech. {ENOUGH_SPEECH}"
    return SANDBOX_SCORES if is_by_sandbox(result) else ENOUGH_SPEECH
