"""A transcript cut into words that carry scores and the text between them. Called by `page`."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..assessment import Speaker, Word
from ..summary import word_pattern

__all__ = ["Piece", "cut", "pieces"]

MAX_CHARACTERS = 200_000  # of a transcript: some three hours of speech
MAX_WORDS = 20_000
MAX_LENGTH = 120  # characters of a word
MAX_STEP = 200  # characters between two words: keeps the search linear


class Piece(NamedTuple):
    """A stretch of a transcript: the index of a word, or what stands between two."""

    text: str
    word: Optional[int] = None


def pieces(speaker: Speaker, transcript: Optional[str]) -> Tuple[Sequence[Piece], Sequence[Word]]:
    """Finds the words of a speaker in the text that has their punctuation.

    Args:
        speaker: Whose words.
        transcript: The whole text, if it is this speaker's alone; else that of the utterances is taken.

    Returns:
        The text, cut at the words, and the words. When one of them is not in the text in its place, the text is made
        of the words alone, so that none is lost.
    """
    words = [word for utterance in speaker.utterances for word in utterance.words if word.text][:MAX_WORDS]
    said = " ".join(utterance.text for utterance in speaker.utterances if utterance.text)
    for text in (transcript, said):
        found = _locate(cut(text or "", MAX_CHARACTERS), words) if text and text.strip() else None
        if found is not None:
            return found, words
    joined: List[Piece] = []
    for index, word in enumerate(words):
        joined += [Piece(cut(word.text or "", MAX_LENGTH), index), Piece(" ")]
    return joined, words


def cut(text: str, limit: int) -> str:
    """Returns text on one line, of at most `limit` characters and an ellipsis."""
    short = " ".join(text[: limit + 1].split())
    return short if len(text) <= limit else f"{short[:limit]}…"


def _locate(text: str, words: Sequence[Word]) -> Optional[Sequence[Piece]]:
    found: List[Piece] = []
    done = 0
    for index, word in enumerate(words):
        spelled = " ".join((word.text or "")[: MAX_LENGTH + 1].split())
        if not spelled or len(spelled) > MAX_LENGTH:
            return None
        match = word_pattern(spelled).search(text, done, done + 2 * MAX_STEP)
        if match is None:
            return None
        found += [Piece(text[done : match.start()]), Piece(match[0], index)]
        done = match.end()
    return [*found, Piece(text[done:])]
