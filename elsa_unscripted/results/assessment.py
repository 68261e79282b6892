"""Typed views of the server's assessment. Made by `ScoreResult.assessment`; read by callers, `facts` and the table.

The assessment comes and goes with the plan and the length of speech, so every field is optional and
reading never raises: a field that is missing, `null` or of a strange type reads as `None` (a list as
`()`), and `None` means "not scored", never 0. A strange type is logged once per field and process.

A view holds the server's object (`.raw`, with all that the view does not know) and reads a field when
it is looked at. Each field below names the keys it is read from; the first that can be read counts.
Source of the names: "Unscripted API info" on ELSA's public pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # for isinstance(), on every value: typing.Mapping takes ten times as long
from dataclasses import dataclass, field
from typing import Any, Callable, Generic, Optional, Set, Tuple, Type, TypeVar, cast

from ..log import logger

__all__ = [
    "SKILLS",
    "Assessment",
    "Equivalents",
    "Example",
    "Metrics",
    "Phoneme",
    "PhonemeError",
    "Score",
    "Scores",
    "Speaker",
    "TopError",
    "Utterance",
    "Word",
    "find_assessment",
]

T = TypeVar("T")
V = TypeVar("V", bound="_View")

SKILLS = ("pronunciation", "intonation", "fluency", "grammar", "vocabulary")  # in ELSA's order


def find_assessment(message: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """Finds the assessment in a verdict: the object whose `speakers` is a list.

    The key it comes under is not public, so it is looked for at the top level and then one level down.
    """
    for candidate in (message, *message.values()):
        if isinstance(candidate, Mapping) and isinstance(candidate.get("speakers"), list):
            return candidate
    return None


# Each returns a value in the type of a field, or `None` if the value is of a strange type.


def _number(value: object) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _count(value: object) -> Optional[int]:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _text(value: object) -> Optional[str]:
    return value if isinstance(value, str) else None


def _identifier(value: object) -> Optional[str]:
    # An int stays an int: beyond 2**53, a float would change its last digits.
    number = value if isinstance(value, int) and _number(value) is not None else _count(value)
    return _text(value) if number is None else str(number)


def _object(value: object) -> Optional[Mapping[str, Any]]:
    return value if isinstance(value, Mapping) else None


def _items(value: object) -> Optional[Tuple[object, ...]]:
    return tuple(value) if isinstance(value, list) else None


# Stays small: the paths are spelled in this file, with `[]` for every index, and hold no text of the server.
_reported: Set[str] = set()


def _report_once(path: str, value: object) -> None:
    if path not in _reported:
        _reported.add(path)
        logger.warning("%s: cannot read a %s here, taken as not given", path, type(value).__name__)


@dataclass(frozen=True, repr=False)
class _View:
    """An object of the server, and the path that names it in the log."""

    raw: Mapping[str, Any]
    _path: str = field(default="assessment", compare=False)

    def _read(self, accept: Callable[[object], Optional[T]], key: str) -> Optional[T]:
        """Returns what `accept` makes of the value at `key`. A dot in `key` leads one level down."""
        first, dot, rest = key.partition(".")
        if dot:
            return self._part(_View, first)._read(accept, rest)
        value = self.raw.get(key) if isinstance(self.raw, Mapping) else None
        accepted = None if value is None else accept(value)
        if value is not None and accepted is None:
            _report_once(f"{self._path}.{key}", value)
        return accepted

    def _part(self, cls: Type[V], key: str) -> V:
        return cls(self._read(_object, key) or {}, f"{self._path}.{key}")

    def _parts(self, cls: Type[V], key: str) -> Tuple[V, ...]:
        path = f"{self._path}.{key}[]"
        items = self._read(_items, key) or ()
        for item in items:
            if not isinstance(item, Mapping):
                _report_once(path, item)
        return tuple(cls(item, path) for item in items if isinstance(item, Mapping))

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name, item in vars(type(self)).items() if isinstance(item, _Field)}
        shown = (f"{name}={value!r}" for name, value in values.items() if not isinstance(value, tuple))
        return f"{type(self).__name__}({', '.join(shown)})"


class _Field(Generic[T]):
    """A field of a view: how to read it."""

    def __init__(self, read: Callable[[_View], T]) -> None:
        self._read = read

    def __get__(self, view: Optional[_View], owner: object = None) -> T:
        return cast(T, self) if view is None else self._read(view)


def _one(accept: Callable[[object], Optional[T]], *keys: str) -> _Field[Optional[T]]:
    return _Field(lambda view: next((got for key in keys if (got := view._read(accept, key)) is not None), None))


def _part(cls: Type[V], key: str) -> _Field[V]:
    return _Field(lambda view: view._part(cls, key))


def _many(cls: Type[V], *keys: str) -> _Field[Tuple[V, ...]]:
    return _Field(lambda view: next((got for key in keys if (got := view._parts(cls, key))), ()))


@dataclass(frozen=True)
class Score:
    """One skill's score.

    Attributes:
        value: Percent.
        decision: The server's judgement in words.
        cefr: The CEFR level, such as `"B2"`.
        raw: The server's object that holds the scores of every skill.
    """

    value: Optional[float] = None
    decision: Optional[str] = None
    cefr: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def _score(name: str, cefr_name: str) -> _Field[Score]:
    return _Field(
        lambda view: Score(
            value=view._read(_number, f"elsa.{name}_score"),
            decision=view._read(_text, f"elsa.{name}_decision"),
            cefr=view._read(_text, f"cefr.{cefr_name}_cefr"),
            raw=view.raw,
        )
    )


@dataclass(frozen=True, repr=False)
class Scores(_View):
    """The overall score and the five skills; each is a `Score`, an empty one if it was not scored.

    Attributes:
        overall: The server's `eps_score`.
        pronunciation: How the sounds were said.
        intonation: Melody and stress.
        fluency: Pace and pauses.
        grammar: From what was said.
        vocabulary: From what was said.
    """

    overall = _score("eps", "overall")
    pronunciation = _score("pronunciation", "pronunciation")
    intonation = _score("intonation", "intonation")
    fluency = _score("fluency", "fluency")
    grammar = _score("grammar", "grammar")
    vocabulary = _score("vocabulary", "vocabulary")

    @property
    def skills(self) -> Mapping[str, Score]:
        """The five skills by name, in the order of `SKILLS`."""
        return {name: getattr(self, name) for name in SKILLS}

    @property
    def any_scored(self) -> bool:
        """Whether there is a number at all."""
        return any(score.value is not None for score in (self.overall, *self.skills.values()))


@dataclass(frozen=True, repr=False)
class Equivalents(_View):
    """What the speech would score in other tests, each on that test's own scale.

    Attributes:
        ielts: IELTS band.
        toefl: TOEFL points.
        toeic: TOEIC points.
        pte: PTE points.
    """

    ielts = _one(_number, "ielts_score")
    toefl = _one(_number, "toefl_score")
    toeic = _one(_number, "toeic_score")
    pte = _one(_number, "pte_score")


@dataclass(frozen=True, repr=False)
class Metrics(_View):
    """The measurements beside the scores.

    Attributes:
        advanced_pronunciation_score: Percent.
        words_per_minute: Words per minute.
        pausing_score: Percent.
        energy_variation: On the server's own scale; its unit is not public.
        pitch_variation: On the server's own scale; its unit is not public.
        word_prominence_score: Percent.
        word_prominence_cefr: The CEFR level of the word prominence.
    """

    advanced_pronunciation_score = _one(_number, "pronunciation.advanced_pronunciation_score")
    words_per_minute = _one(_number, "fluency.words_per_minute")
    pausing_score = _one(_number, "fluency.pausing_score")
    energy_variation = _one(_number, "intonation.energy_variation")
    pitch_variation = _one(_number, "intonation.pitch_variation")
    word_prominence_score = _one(_number, "intonation.word_prominence_score")
    word_prominence_cefr = _one(_text, "intonation.word_prominence_cefr")


@dataclass(frozen=True, repr=False)
class Example(_View):
    """A word or phrase in which an error was heard.

    Attributes:
        text: As it is spelled.
    """

    text = _one(_text, "text")


@dataclass(frozen=True, repr=False)
class PhonemeError(_View):
    """One way in which a sound went wrong.

    Attributes:
        error_phoneme: The sound that was heard instead.
        type: The kind of error, in the server's word.
        count: How many times it was heard.
        examples: Where it was heard.
    """

    error_phoneme = _one(_text, "error_phoneme")
    type = _one(_text, "type")
    count = _one(_count, "count")
    examples = _many(Example, "examples")


@dataclass(frozen=True, repr=False)
class TopError(_View):
    """A sound that often went wrong, and the ways in which it did.

    Attributes:
        phoneme: The sound that was meant, in the notation that the server uses.
        errors: What was heard in its place, and how often.
    """

    phoneme = _one(_text, "phoneme")
    errors = _many(PhonemeError, "errors")


@dataclass(frozen=True, repr=False)
class Phoneme(_View):
    """A sound of a word. Its keys are not public: those tried here are guesses.

    Attributes:
        symbol: The sound, in the notation that the server uses.
        score: Percent.
        decision: The server's judgement in words.
        heard: The sound that was heard instead.
        start: Seconds from the start of the audio.
        end: Seconds from the start of the audio.
    """

    symbol = _one(_text, "phoneme", "ipa", "trans_arpabet", "trans", "text")
    score = _one(_number, "nativeness_score", "score")
    decision = _one(_text, "decision")
    heard = _one(_text, "error_phoneme")
    start = _one(_number, "start_time", "start")
    end = _one(_number, "end_time", "end")


@dataclass(frozen=True, repr=False)
class Word(_View):
    """A word that was heard. Its keys are not public: those tried here are guesses.

    Attributes:
        text: The word.
        score: Percent.
        decision: The server's judgement in words.
        start: Seconds from the start of the audio.
        end: Seconds from the start of the audio.
        phonemes: Its sounds.
    """

    text = _one(_text, "text", "word")
    score = _one(_number, "nativeness_score", "score")
    decision = _one(_text, "decision")
    start = _one(_number, "start_time", "start")
    end = _one(_number, "end_time", "end")
    phonemes = _many(Phoneme, "phonemes")


@dataclass(frozen=True, repr=False)
class Utterance(_View):
    """A stretch of speech between pauses.

    Attributes:
        utterance_id: The server's name for it; a number reads as text.
        text: What was heard.
        score: Percent, the server's `nativeness_score`.
        words: Its words. Whether they lie in `result` is not public: both places are looked at.
    """

    utterance_id = _one(_identifier, "utterance_id")
    text = _one(_text, "text")
    score = _one(_number, "result.nativeness_score")
    words = _many(Word, "words", "result.words")


@dataclass(frozen=True, repr=False)
class Speaker(_View):
    """One person in the recording; the service looks for one only, unless told otherwise.

    Attributes:
        speaker_id: The server's name for the speaker; a number reads as text.
        total_time: Seconds that the speaker spoke.
        scores: The overall score and the five skills.
        equivalents: What the speech would score in other tests.
        metrics: Pace, pauses, variation.
        top_errors: The sounds that most often went wrong.
        utterances: What was said, down to words and sounds.
    """

    speaker_id = _one(_identifier, "speaker_id")
    total_time = _one(_number, "total_time")
    scores = _part(Scores, "metrics.general_scores")
    equivalents = _part(Equivalents, "metrics.general_scores.other_scores")
    metrics = _part(Metrics, "metrics.other_metrics")
    top_errors = _many(TopError, "feedbacks.pronunciation.top_errors")
    utterances = _many(Utterance, "utterances")


@dataclass(frozen=True, repr=False)
class Assessment(_View):
    """The whole assessment.

    Attributes:
        recording_quality: The server's word on the recording.
        assessment_quality: The server's word on its own assessment.
        transcript: What was heard.
        speakers: Who spoke, usually one.

    Example:
        >>> assessment = Assessment({"speakers": [{"total_time": 31.5}]})
        >>> assessment.speakers[0].total_time, assessment.speakers[0].scores.fluency
        (31.5, Score(value=None, decision=None, cefr=None))
    """

    recording_quality = _one(_text, "recording_quality")
    assessment_quality = _one(_text, "assessment_quality")
    transcript = _one(_text, "transcript")
    speakers = _many(Speaker, "speakers")
