"""A transcript cut into words that carry scores and the text between them. Called by `page`."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..results import facts
from ..results.assessment import Speaker, Word
from ..results.text import find_words

__all__ = ["Piece", "cut", "pieces"]

MAX_CHARACTERS = 200_000  # of a transcript: some three hours of speech
MAX_WORDS = 20_000
MAX_LENGTH = 120  # characters of a word


class Piece(NamedTuple):
    """A stretch of a transcript: a word, with its index; or what stands between two words."""

    text: str
    word: Optional[int] = None


def pieces(speaker: Speaker, transcript: Optional[str]) -> Tuple[Sequence[Piece], Sequence[Word]]:
    """Finds the words of a speaker in the text that has their punctuation.

    Args:
        speaker: Whose words.
        transcript: The whole text, if it is this speaker's alone; else that of the utterances is taken.

    Returns:
        The text, cut at the words, and the words. A word that is not found in its place is text without a score; if
        most aren't found, the text is made of the words alone.
    """
    words = facts.words(speaker)[:MAX_WORDS]
    spelled = [" ".join((word.text or "")[: MAX_LENGTH + 1].split()) for word in words]
    texts = [cut(text, MAX_CHARACTERS) for text in (transcript, facts.said(speaker)) if text and text.strip()]
    # A word of a megabyte would leave no place for anything else: then the text is made of the words, each cut.
    if texts and all(len(word) <= MAX_LENGTH for word in spelled):
        text, places = max(((text, find_words(text, spelled)) for text in texts), key=lambda found: _found(found[1]))
        if 2 * _found(places) >= len(words):
            return _cut_at(text, places), words
    joined: List[Piece] = []
    for index, word in enumerate(words):
        joined += [Piece(cut(word.text or "", MAX_LENGTH), index), Piece(" ")]
    return joined, words


def cut(text: str, limit: int) -> str:
    """Returns text on one line, of at most `limit` characters and an ellipsis."""
    short = " ".join(text[: limit + 1].split())
    return short if len(text) <= limit else f"{short[:limit]}…"


def _found(places: Sequence[Optional[Tuple[int, int]]]) -> int:
    return len(places) - places.count(None)


def _cut_at(text: str, places: Sequence[Optional[Tuple[int, int]]]) -> Sequence[Piece]:
    found: List[Piece] = []
    done = 0
    for index, place in enumerate(places):
        if place:
            start, end = place
            found += [Piece(text[done:start]), Piece(text[start:end], index)]
            done = end
    return [*found, Piece(text[done:])]
