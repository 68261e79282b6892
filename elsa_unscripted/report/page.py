"""The page of one recording: what it shows, from a result. Called by `ScoreResult.to_html()` and the command line."""

from __future__ import annotations

import json
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..assessment import PhonemeError, Score, Speaker, Word
from ..result import ScoreResult
from ..summary import NO_ASSESSMENT
from . import notes, render, sound
from .bands import Thresholds, band, check_thresholds
from .drawing import LEVELS, Radar, Span, gaps, joined, level, radar, shape, ticks
from .notes import seconds_of
from .transcript import Piece, cut, pieces

__all__ = ["result_page"]

DEFAULT_TITLE = "Speech report"

MAX_TEXT = 300  # characters of a text that has its own short place: a decision, a warning
MAX_SPEAKERS = 20
MAX_ERRORS = 12  # sound errors
MAX_EXAMPLES = 12
MAX_SOUNDS = 40  # of a word

PAUSE = 0.3  # s of silence between words from which it is drawn as a pause
WAIT_WIDTH = 12.0  # percent of the line of time, for the wait behind the audio, however long it is


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


class Timeline(NamedTuple):
    """The recording from left to right, and the exchange below it. All positions are in percent.

    Attributes:
        seconds: How long it is.
        width: Of the recording; the rest is the wait for the verdict, whose length is not to scale.
        wave: The waveform as a path; empty without a recording.
        speech: Where there is speech, (from, width); likewise `pauses`.
        marks: The words below the upper threshold, (from, width, band).
        ticks: The times to name.
        sent: Where the audio that was sent ends; `None` if nothing is known of the exchange.
        verdict: Where the verdict came.
        waited: Whether it came behind the last packet.
        pause_seconds: The pauses together.
        by_words: Whether speech and pauses are known from the times of words; else from loudness.
    """

    seconds: float
    width: float
    wave: str
    speech: Sequence[Tuple[float, float]]
    pauses: Sequence[Tuple[float, float]]
    marks: Sequence[Tuple[float, float, str]]
    ticks: Sequence[Tuple[float, float]]
    sent: Optional[float]
    verdict: Optional[float]
    waited: bool
    pause_seconds: float
    by_words: bool


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
        title=cut(title or DEFAULT_TITLE, MAX_TEXT),
        limits=limits,
        levels=LEVELS,
        result=result,
        assessment=assessment,
        transcript=cut(assessment.transcript, 10 * MAX_TEXT) if assessment and assessment.transcript else "",
        parts=parts,
        words=words,
        timeline=_timeline(result, recording, words, limits),
        recording=recording,
        data=_data(words, recording, limits),
        sandbox=notes.sandbox(result),
        warnings=notes.warnings(result, recording),
        reason=notes.reason(result),
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
        notes.reason(result, speaker),
    )


def _sound_errors(speaker: Speaker) -> Iterator[SoundError]:
    """Yields the sound errors, the most frequent first."""
    found = [(error.count or 0, top.phoneme, error) for top in speaker.top_errors for error in top.errors]
    for _, phoneme, error in sorted(found, key=lambda item: -item[0]):
        examples = (cut(example.text, 60) for example in error.examples[:MAX_EXAMPLES] if example.text)
        yield SoundError(cut(phoneme or "?", 12), error, list(examples))


# The line of time


def _span(word: Word, seconds: float) -> Optional[Span]:
    """Returns when a word was said; `None` if that is not known, or outside of the recording."""
    start, end = word.start, word.end
    if start is None or end is None or not 0 <= start < end or (seconds and start >= seconds):
        return None
    return start, min(end, seconds) if seconds else end


def _timeline(
    result: ScoreResult, recording: Optional[sound.Recording], words: Sequence[Word], limits: Thresholds
) -> Optional[Timeline]:
    known = seconds_of(result.audio_seconds)
    seconds = recording.seconds if recording else known or max((word.end or 0.0 for word in words), default=0.0)
    if not seconds:
        return None
    times = [(span, word) for word in words for span in [_span(word, seconds)] if span]
    spans = [span for span, _ in times] or (recording.sounds() if recording else [])
    moments = {moment.name: moment.seconds for moment in notes.moments(result)}
    exchanged = "first packet" in moments
    if not spans and not recording and not exchanged:
        return None
    speech = joined(spans, PAUSE)
    pauses = gaps(speech, PAUSE)
    marks = [(span, band(word.score, limits)) for span, word in times]
    sent = min(seconds_of(result.audio_seconds_sent) / seconds, 1.0) * 100 if exchanged else None
    # A server that has heard the end is not waited for: its verdict stops the sending.
    waited = exchanged and {"end of stream", "verdict"} <= set(moments)
    width = 100 - WAIT_WIDTH if waited else 100.0
    return Timeline(
        seconds=seconds,
        width=width,
        wave=shape(recording.peaks) if recording else "",
        speech=[_place(span, seconds) for span in speech],
        pauses=[_place(span, seconds) for span in pauses],
        marks=[(*_place(span, seconds), name) for span, name in marks if name in ("weak", "fair")],
        ticks=[(at, round(100 * at / seconds, 2)) for at in ticks(seconds)],
        sent=sent,
        verdict=(100 - WAIT_WIDTH / 4 if waited else sent) if "verdict" in moments else None,
        waited=waited,
        pause_seconds=sum(end - start for start, end in pauses),
        by_words=bool(times),
    )


def _place(span: Span, seconds: float) -> Tuple[float, float]:
    start, end = span
    return round(100 * start / seconds, 3), round(100 * (end - start) / seconds, 3)


# What the script needs


def _data(words: Sequence[Word], recording: Optional[sound.Recording], limits: Thresholds) -> Mapping[str, Any]:
    seconds = recording.seconds if recording else 0.0
    told = []
    for word in words:
        sounds = [
            [cut(each.symbol or "?", 12), each.score, band(each.score, limits)] for each in word.phonemes[:MAX_SOUNDS]
        ]
        start, end = _span(word, seconds) or (None, None)
        told.append([start, end, word.score, band(word.score, limits), _short(word.decision, 60), sounds])
    return {"words": told, "seconds": seconds, "kind": recording.kind if recording and recording.data else ""}


def _json(raw: Mapping[str, Any], text: str) -> str:
    try:
        return json.dumps(dict(raw), indent=2, ensure_ascii=False, default=str)
    except RecursionError:
        return text
