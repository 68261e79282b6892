"""What a result says, worked out once: ranked, banded, named. The terminal (`cli.summary`) and the pages lay it out.

It is clear who says what: `level` and `word` are ELSA's own; a `band` is ours, by thresholds that ELSA doesn't
document. Texts of the server are unchanged here: whoever shows one makes it harmless (see `text`) and short.
"""

from __future__ import annotations

import functools
import re
import string
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from .assessment import SKILLS, PhonemeError, Score, Speaker, Word
from .bands import THRESHOLDS, Thresholds, band
from .text import number

if TYPE_CHECKING:
    from .result import ScoreResult

__all__ = [
    "ENOUGH_SPEECH",
    "LEVELS",
    "NO_SCORE",
    "NO_SPEAKER",
    "RATED",
    "SANDBOX",
    "Measure",
    "Moment",
    "Practice",
    "Rating",
    "SoundError",
    "bare",
    "by_elsa",
    "delivery",
    "ended_by",
    "equivalents",
    "examples",
    "is_by_sandbox",
    "is_failure",
    "is_short",
    "level_number",
    "measured",
    "missing",
    "moments",
    "no_assessment",
    "practise",
    "ratings",
    "reason",
    "said",
    "sandboxed",
    "shortfall",
    "sound_errors",
    "transcript",
    "weakest",
    "words",
]

LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")  # CEFR's, from the lowest
ENOUGH_SECONDS = 20.0  # s of speech: what ELSA documents
ENOUGH_SPEECH = "The metrics need more than about 20 s of speech; grammar and vocabulary have minimums of their own."
NO_SPEAKER = "The server found no speaker."
NO_SCORE = "The server gave no score."
SANDBOX = "The sandbox made this result, not ELSA. Any score in it is made up."
SANDBOX_SCORES = 'The sandbox can\'t assess speech; its scenario "example" has scores, made up.'
MAX_MEASURED = 20  # values that the sandbox measured
MAX_PRACTISED = 3  # sounds and words: more than that nobody practises at once
AROUND = string.punctuation + string.whitespace + "…“”„‘’«»–—¿¡"  # a word, where it was cut out of a text
MAX_HEARD = 4  # words in which a sound can be heard


# Scores.


class Rating(NamedTuple):
    """How well something was spoken: a skill, or all of them together.

    Attributes:
        name: "Overall", "Pronunciation" and so on.
        value: ELSA's score, percent; `None`: not scored, which is not 0.
        level: ELSA's CEFR level.
        word: ELSA's judgement in words.
        band: Ours: one of `BANDS`.
    """

    name: str
    value: Optional[float] = None
    level: Optional[str] = None
    word: Optional[str] = None
    band: str = "none"


RATED = ("Overall", *(name.capitalize() for name in SKILLS))
"""The names of `ratings()`, in their order."""


def ratings(speaker: Speaker, thresholds: Thresholds = THRESHOLDS) -> Sequence[Rating]:
    """Returns the overall rating and those of the five skills, scored or not; `RATED` has their names."""
    scores: Iterable[Score] = (speaker.scores.overall, *speaker.scores.skills.values())
    return [
        Rating(name, score.value, score.cefr, score.decision, band(score.value, thresholds))
        for name, score in zip(RATED, scores)
    ]


def by_elsa(*words: Optional[str]) -> str:
    """Returns levels and words as ELSA's own, `ELSA: B2, good`: a band of ours may be called good, too."""
    told = ", ".join(word.strip() for word in words if word and word.strip())
    return f"ELSA: {told}" if told else ""


def level_number(level: Optional[str]) -> Optional[int]:
    """Returns 1 for A1 up to 6 for C2; `None` for what is no CEFR level. `B2+` counts as B2."""
    name = (level or "").strip().upper().rstrip("+-")
    return LEVELS.index(name) + 1 if name in LEVELS else None


class Measure(NamedTuple):
    """A number beside the scores.

    Attributes:
        name: What was measured.
        value: `None` if the server gave none.
        unit: `"%"`, or nothing.
        level: ELSA's CEFR level for it, where there is one.
    """

    name: str
    value: Optional[float]
    unit: str = ""
    level: Optional[str] = None


def equivalents(speaker: Speaker) -> Sequence[Measure]:
    """Returns what the speech would score in other tests, each on that test's own scale."""
    found = speaker.equivalents
    return [
        Measure("IELTS", found.ielts),
        Measure("TOEFL", found.toefl),
        Measure("TOEIC", found.toeic),
        Measure("PTE", found.pte),
    ]


def delivery(speaker: Speaker) -> Sequence[Measure]:
    """Returns measures of how it was spoken; those that listeners notice first come first."""
    found = speaker.metrics
    return [
        Measure("Words per minute", found.words_per_minute),
        Measure("Pausing", found.pausing_score, "%"),
        Measure("Word prominence", found.word_prominence_score, "%", found.word_prominence_cefr),
        Measure("Pitch variation", found.pitch_variation),
        Measure("Energy variation", found.energy_variation),
        Measure("Advanced pronunciation", found.advanced_pronunciation_score, "%"),
    ]


def missing(speaker: Speaker) -> Sequence[str]:
    """Returns the names of everything that was not scored."""
    everything: Sequence[Union[Rating, Measure]] = [*ratings(speaker), *equivalents(speaker), *delivery(speaker)]
    return [each.name for each in everything if each.value is None]


# What was said.


def words(speaker: Speaker) -> Sequence[Word]:
    """Returns the words that were heard, in order."""
    return [word for word in speaker.words if word.text]


def said(speaker: Speaker) -> str:
    """Returns the texts of the speaker's utterances, joined; `""` if they have none."""
    return " ".join(utterance.text for utterance in speaker.utterances if utterance.text)


def transcript(speaker: Speaker, whole: Optional[str] = None) -> str:
    """Returns what was heard: the whole text, else that of the utterances, else that of the words; else `""`.

    Args:
        speaker: Who said it.
        whole: The assessment's transcript, if it is this speaker's alone.
    """
    return whole or said(speaker) or " ".join(word.text or "" for word in words(speaker))


def weakest(scores: Sequence[Optional[float]], thresholds: Thresholds = THRESHOLDS) -> Sequence[int]:
    """Returns the indexes of the words that are not good, the worst first; equal ones in the order of the speech.

    Args:
        scores: Of the words, in the order in which they were said.
        thresholds: A word is good from the upper one on.
    """
    below = [
        (score, index) for index, score in enumerate(scores) if score is not None and band(score, thresholds) != "good"
    ]
    return [index for _, index in sorted(below)]


class SoundError(NamedTuple):
    """One way in which a sound went wrong.

    Attributes:
        phoneme: The sound that was meant, in the server's notation.
        error: What was heard in its place, how often, and in which words.
    """

    phoneme: Optional[str]
    error: PhonemeError


def sound_errors(speaker: Speaker) -> Sequence[SoundError]:
    """Returns the ways in which sounds went wrong, the most frequent first; one without a count is last."""
    found = [(error.count or 0, SoundError(top.phoneme, error)) for top in speaker.top_errors for error in top.errors]
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])]


def examples(error: PhonemeError) -> Sequence[str]:
    """Returns the words in which a sound went wrong, each once, without the punctuation that stood around it."""
    stripped = (example.text.strip(AROUND) for example in error.examples if example.text)
    return list({word.casefold(): word for word in stripped if word}.values())


class Practice(NamedTuple):
    """Something to practise: a sound, or a word.

    Attributes:
        sound: How the sound went wrong; `None` for a word.
        words: Where it was said, the weakest first: indexes among the words.
    """

    sound: Optional[SoundError]
    words: Sequence[int]


def practise(speaker: Speaker, said_words: Sequence[Word], thresholds: Thresholds = THRESHOLDS) -> Sequence[Practice]:
    """Returns what would help most, three at most: first the sounds that went wrong repeatedly, then the weakest words.

    A sound that went wrong once comes last: that may have been a slip.

    Args:
        speaker: For the sounds.
        said_words: The speaker's `words()`, which take long to read.
        thresholds: A word is good from the upper one on.
    """
    ranked = weakest([word.score for word in said_words], thresholds)
    spelled = [bare(word.text) for word in said_words]
    weak = set(ranked)
    order = [*ranked, *(index for index in range(len(said_words)) if index not in weak)]
    errors = sound_errors(speaker)
    wrong_sounds = [
        {(each.symbol, each.heard) for each in word.phonemes if each.heard} for word in (said_words if errors else ())
    ]
    habits: List[Practice] = []
    slips: List[Practice] = []
    for each in errors[:MAX_PRACTISED]:  # the most frequent, so that no other one can be chosen
        named = set(map(bare, examples(each.error)))
        mistake = (each.phoneme, each.error.error_phoneme)
        found: Dict[str, int] = {}
        for index in order:
            if len(found) == MAX_HEARD:
                break
            if spelled[index] in named or mistake in wrong_sounds[index]:
                found.setdefault(spelled[index], index)
        (habits if (each.error.count or 0) > 1 else slips).append(Practice(each, list(found.values())))
    covered = {spelled[index] for each in habits for index in each.words}
    alone: Dict[str, Practice] = {}
    for index in ranked:
        if spelled[index] not in covered:
            alone.setdefault(spelled[index], Practice(None, [index]))
    return [*habits, *alone.values(), *slips][:MAX_PRACTISED]


@functools.lru_cache(4096)
def bare(text: Optional[str]) -> str:
    """Returns a word without what stands around it, and without capitals."""
    return re.sub(r"[^\w']+", "", text or "").casefold()


# Why there is no score.


def is_failure(result: ScoreResult) -> bool:
    """Returns whether the verdict was that the recording can't be assessed."""
    return result.raw.get("status") in ("failed", "bad_quality")


def no_assessment(result: ScoreResult) -> str:
    """Returns why a result has no assessment.

    A verdict of failure is an exception of `score()`; but it may be in a file, as the vendor's script prints it.
    """
    if is_failure(result):
        return f"The server could not assess this recording: {result.raw['status']}. Record it again."
    return "The server sent no assessment. The documented one comes with the premium plan, and with return_json on."


def is_short(speaker: Speaker, result: ScoreResult) -> bool:
    """Returns whether there is too little speech for a score: by the server's word, or by the documented minimum."""
    seconds = speaker.total_time if speaker.total_time is not None else (result.audio_seconds or None)
    return _is_called_short(result) or (seconds is not None and seconds < ENOUGH_SECONDS)


def reason(result: ScoreResult, speaker: Optional[Speaker] = None) -> str:
    """Returns the likely reason for what was not scored: of a speaker, or else of the whole result."""
    if _is_called_short(result) if speaker is None else is_short(speaker, result):
        return f"There was not enough speech. {ENOUGH_SPEECH}"
    return SANDBOX_SCORES if is_by_sandbox(result) else ENOUGH_SPEECH


def shortfall(result: ScoreResult) -> str:
    """Returns what a partial assessment lacked, if its `partial_error` is one that we know; else `""`."""
    return "more than about 20 s of speech needed" if _is_called_short(result) else ""


def _is_called_short(result: ScoreResult) -> bool:
    return result.partial_error == "too_short"


# The exchange.


class Moment(NamedTuple):
    """Something that happened, in seconds since `score()` was called."""

    name: str
    seconds: float


def moments(result: ScoreResult) -> Sequence[Moment]:
    """Returns what happened in the exchange, in order; what didn't happen is left out."""
    timings = result.timings
    named = {
        "connected": timings.connect,
        "stream opened": timings.start,
        "first packet": timings.first_packet,
        "end of stream": timings.audio_sent,
        "verdict": timings.verdict,
        "closed": timings.total,
    }
    return [Moment(name, at) for name, at in named.items() if at is not None]


_ENDED_BY = {"server": "the server", "limit": "the limit of seconds"}


def ended_by(result: ScoreResult) -> Optional[str]:
    """Returns what ended the audio before its own end, and after how many seconds; `None` if nothing did."""
    who = _ENDED_BY.get(result.ended_by or "")
    return None if who is None else f"{who}, after {number(result.audio_seconds_sent)} s of audio"


# Results of the sandbox: whoever shows one says who made it.


def is_by_sandbox(result: ScoreResult) -> bool:
    """Whether the result says of itself that the sandbox made it."""
    return any(each.get("sandbox") is True for each in _objects(result))


def sandboxed(made: int, total: int) -> str:
    """Returns the notice for `total` results, of which the sandbox made `made`."""
    which = "these results" if made == total else f"{made} of these results"
    return f"The sandbox made {which}, not ELSA. Any score in them is made up."


def measured(result: ScoreResult) -> Sequence[Tuple[str, str]]:
    """Returns what the sandbox measured of the recording: the names and values of what is a number or text."""
    found = [each["measured"] for each in _objects(result) if isinstance(each.get("measured"), Mapping)]
    given = [(name, value) for name, value in (found or [{}])[0].items() if isinstance(value, (str, int, float))]
    return [
        (name.replace("_", " "), number(value) if isinstance(value, float) else str(value))
        for name, value in given[:MAX_MEASURED]
    ]


def _objects(result: ScoreResult) -> Sequence[Mapping[str, Any]]:
    """Returns the objects of the server in which a sandbox leaves its marks."""
    return [result.raw] if result.assessment is None else [result.raw, result.assessment.raw]
