"""The page of one recording: what it shows, from a result. Called by `ScoreResult.to_html()` and the command line."""

from __future__ import annotations

import json
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..results.assessment import PhonemeError, Score, Speaker, Word
from ..results.facts import NO_ASSESSMENT, reason
from ..results.result import ScoreResult
from . import notes, render, sound
from .bands import Thresholds, band, check_thresholds
from .drawing import LEVELS, Radar, level, radar
from .timeline import PAUSE, span_of, timeline
from .transcript import MAX_CHARACTERS, Piece, cut, pieces

__all__ = ["result_page"]

DEFAULT_TITLE = "Speech report"

MAX_TEXT = 300  # characters of a text that has its own short place: a decision, a warning
MAX_SPEAKERS = 20
MAX_ERRORS = 12  # sound errors
MAX_EXAMPLES = 12
MAX_SOUNDS = 40  # of a word


class SoundError(NamedTuple):
    """One way in which a sound went wrong."""

    sound: str
    error: PhonemeError
    examples: Sequence[str]


class Part(NamedTuple):
    """What the page shows of one speaker.

    Attributes:
        speaker: The views.
        radar: The skills, drawn.
        reached: The overall level, 1 for A1 up to 6.
        pieces: The transcript; indexes count the words of all parts.
        errors: The most frequent sound errors.
        more_errors: How many there are beside them.
        equivalents: Name and value of each, also of those that are `None`; likewise `metrics`, with their unit.
        missing: What was not scored.
        reason: Why.
    """

    speaker: Speaker
    radar: Optional[Radar]
    reached: Optional[int]
    pieces: Sequence[Piece]
    errors: Sequence[SoundError]
    more_errors: int
    equivalents: Sequence[Tuple[str, Optional[float]]]
    metrics: Sequence[Tuple[str, Optional[float], str]]
    missing: Sequence[str]
    reason: str


def result_page(
    result: ScoreResult,
    *,
    audio: Any = None,
    thresholds: Thresholds = (60, 80),
    title: Optional[str] = None,
) -> str:
    """Renders a result as one HTML file that needs nothing else.

    Args:
        result: What `score()` returned.
        audio: The recording, if it is to be seen and heard: whatever `score()` takes.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: The page's; default: "Speech report".

    Raises:
        ValueError: The thresholds make no sense.
        AudioError: The recording can't be read or decoded.
    """
    limits = check_thresholds(thresholds)
    recording = None if audio is None else sound.read(audio)
    assessment = result.assessment
    speakers = () if assessment is None else assessment.speakers[:MAX_SPEAKERS]
    alone = assessment.transcript if assessment is not None and len(speakers) == 1 else None
    words: List[Word] = []
    parts = [_part(result, speaker, alone, words) for speaker in speakers]
    return render.page(
        "page.html",
        styles=["page.css"],
        scripts=["page.js"],
        title=cut(title or "", MAX_TEXT) or DEFAULT_TITLE,
        limits=limits,
        levels=LEVELS,
        result=result,
        assessment=assessment,
        transcript=_short(assessment.transcript, MAX_CHARACTERS) if assessment else "",
        parts=parts,
        words=words,
        timeline=timeline(result, recording, words, limits),
        recording=recording,
        data=_data(words, recording, limits),
        sandbox=notes.sandbox(result),
        warnings=notes.warnings(result, recording),
        reason=reason(result),
        moments=notes.moments(result),
        facts=notes.facts(result),
        raw=_json(result.raw, result.text),
        fetched="" if result.fetched is None else _json(result.fetched, ""),
        no_assessment=NO_ASSESSMENT,
        pause=PAUSE,
        short=_short,
    )


def _short(text: Optional[str], limit: int = MAX_TEXT) -> str:
    return cut(text or "", limit)


def _part(result: ScoreResult, speaker: Speaker, transcript: Optional[str], words: List[Word]) -> Part:
    """Returns what is shown of a speaker; adds the speaker's words to `words`."""
    found, said = pieces(speaker, transcript)
    numbered = [Piece(piece.text, None if piece.word is None else piece.word + len(words)) for piece in found]
    words.extend(said)
    errors = list(_sound_errors(speaker))
    equivalents, metrics, scores = speaker.equivalents, speaker.metrics, speaker.scores
    named_equivalents = (
        ("IELTS", equivalents.ielts),
        ("TOEFL", equivalents.toefl),
        ("TOEIC", equivalents.toeic),
        ("PTE", equivalents.pte),
    )
    named_metrics = (
        ("Words per minute", metrics.words_per_minute, ""),
        ("Pausing", metrics.pausing_score, "%"),
        ("Word prominence", metrics.word_prominence_score, "%"),
        ("Pitch variation", metrics.pitch_variation, ""),
        ("Energy variation", metrics.energy_variation, ""),
        ("Advanced pronunciation", metrics.advanced_pronunciation_score, "%"),
    )
    skills: Mapping[str, Score] = {"overall": scores.overall, **scores.skills}
    missing = [name.capitalize() for name, score in skills.items() if score.value is None]
    missing += [name for name, value in named_equivalents if value is None]
    missing += [name for name, value, _ in named_metrics if value is None]
    return Part(
        speaker,
        radar({name.capitalize(): score for name, score in scores.skills.items()}),
        level(scores.overall.cefr),
        numbered,
        errors[:MAX_ERRORS],
        max(len(errors) - MAX_ERRORS, 0),
        named_equivalents,
        named_metrics,
        missing,
        reason(result, speaker),
    )


def _sound_errors(speaker: Speaker) -> Iterator[SoundError]:
    """Yields the sound errors, the most frequent first."""
    found = [(error.count or 0, top.phoneme, error) for top in speaker.top_errors for error in top.errors]
    for _, phoneme, error in sorted(found, key=lambda item: -item[0]):
        examples = (cut(example.text, 60) for example in error.examples[:MAX_EXAMPLES] if example.text)
        yield SoundError(cut(phoneme or "?", 12), error, list(examples))


def _data(words: Sequence[Word], recording: Optional[sound.Sound], limits: Thresholds) -> Mapping[str, Any]:
    """Returns what the script needs: of each word its time, score, band, decision and sounds."""
    seconds = recording.seconds if recording else 0.0
    told = []
    for word in words:
        sounds = [
            [_short(each.symbol, 12) or "?", each.score, band(each.score, limits), _short(each.heard, 12)]
            for each in word.phonemes[:MAX_SOUNDS]
        ]
        start, end = span_of(word, seconds) or (None, None)
        told.append([start, end, word.score, band(word.score, limits), _short(word.decision, 60), sounds])
    return {"words": told, "seconds": seconds, "kind": recording.kind if recording and recording.data else ""}


def _json(raw: Mapping[str, Any], text: str) -> str:
    try:
        return json.dumps(dict(raw), indent=2, ensure_ascii=False, default=str)
    except RecursionError:
        return text
