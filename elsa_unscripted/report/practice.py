"""What to practise, for the templates: sounds as what was said for what, and words cut at the letters of a sound.

Called by `page` and `classroom`.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

from ..results import facts
from ..results.assessment import Word
from ..results.facts import Practice, SoundError
from ..results.sounds import Sound, letters_of, sound
from .transcript import cut

__all__ = ["SHOWN_EXAMPLES", "Cut", "Exercise", "SoundRow", "cut_at", "cut_examples", "exercise", "sound_row"]

MAX_EXAMPLES = 12
SHOWN_EXAMPLES = 4  # of a sound to practise first that none of the words has
MAX_WORD = 60  # characters
MAX_SYMBOL = 12

Cut = Tuple[str, str, str]  # a word, cut into the letters before a sound, those of the sound, and those behind it


class SoundRow(NamedTuple):
    """One way in which a sound went wrong.

    Attributes:
        meant: The sound that was meant; `None` if a sound was added.
        heard: The sound that was said; `None` if it was left out.
        same: Whether both are written with the same letters, so that a word has to tell them apart.
        kind: ELSA's word for what happened.
        times: How often it was heard; `None` if the server doesn't tell.
        examples: The words in which it was heard.
    """

    meant: Optional[Sound]
    heard: Optional[Sound]
    same: bool
    kind: str
    times: Optional[int]
    examples: Sequence[Cut]


class Exercise(NamedTuple):
    """Something to practise first: a sound, or a word; and the words to hear it in, by their indexes.

    Attributes:
        sound: `None` for a word.
        score: Of a word, percent.
        words: Each as its index among all words of the page, and cut at the sound.
    """

    sound: Optional[SoundRow]
    score: Optional[float]
    words: Sequence[Tuple[int, Cut]]


def exercise(practice: Practice, words: Sequence[Word], first: int) -> Exercise:
    """Returns something to practise; `first` is the index that the speaker's first word has on the page."""
    symbol = practice.sound.phoneme if practice.sound else None
    heard = [(first + index, cut_at(cut(words[index].text or "", MAX_WORD), symbol)) for index in practice.words]
    if practice.sound:
        return Exercise(sound_row(practice.sound), None, heard)
    return Exercise(None, words[practice.words[0]].score, heard)


def sound_row(found: SoundError) -> SoundRow:
    """Returns a way in which a sound went wrong, ready to be shown."""
    phoneme, error = found
    meant = sound(cut(phoneme, MAX_SYMBOL)) if phoneme else None
    heard = sound(cut(error.error_phoneme, MAX_SYMBOL)) if error.error_phoneme else None
    same = bool(meant and heard and meant.letters == heard.letters)
    spelled = [cut(word, MAX_WORD) for word in facts.examples(error)]
    return SoundRow(
        meant, heard, same, cut(error.type or "", MAX_WORD), error.count, cut_examples(spelled, phoneme)[:MAX_EXAMPLES]
    )


def cut_examples(words: Sequence[str], symbol: Optional[str]) -> Sequence[Cut]:
    """Returns words, cut at the letters of a sound; those in which the letters can be told come first."""
    return sorted((cut_at(word, symbol) for word in words), key=lambda found: not found[1])


def cut_at(word: str, symbol: Optional[str]) -> Cut:
    """Returns a word, cut at the letters of a sound; the middle is empty where they can't be told."""
    start, end = letters_of(word, symbol) or (0, 0)
    return word[:start], word[start:end], word[end:]
