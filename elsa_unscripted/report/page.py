"""The page of one recording: what it shows, from a result. Called by `ScoreResult.to_html()` and `cli.report`."""

from __future__ import annotations

import json
import os
import time
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..log import logger
from ..results import facts
from ..results.assessment import Speaker, Word
from ..results.bands import THRESHOLDS, Thresholds, band, check_thresholds
from ..results.facts import LEVELS, Measure, Rating
from ..results.result import ScoreResult
from ..results.sounds import sound as sound_of
from ..results.text import rounded
from . import notes, render, sound
from .practice import SHOWN_EXAMPLES, Exercise, SoundRow, exercise, sound_row
from .timeline import PAUSE, span_of, timeline
from .transcript import MAX_CHARACTERS, Piece, cut, pieces

__all__ = ["result_page", "titled"]

DEFAULT_TITLE = "Speech report"

MAX_TEXT = 300  # characters of a text that is not the transcript, unless a smaller limit is given
MAX_SPEAKERS = 20
MAX_ERRORS = 12  # sound errors
MAX_SOUNDS = 40  # of a word
MAX_SUGGESTIONS = 20  # for grammar; likewise of simple words
MAX_BETTER_WORDS = 6  # in place of one


class Part(NamedTuple):
    """What the page shows of one speaker.

    Attributes:
        name: The server's name for the speaker; `""` if there is none.
        overall: The overall rating.
        skills: The ratings of the skills.
        reached: The overall CEFR level as a number, 1 for A1 up to 6 for C2.
        pieces: The transcript; the indexes of words count through the words of all parts.
        exercises: What to practise first.
        sounds: The most frequent sound errors.
        more_sounds: How many there are beside them.
        grammar: What was said, and what would have been better.
        simple_words: Simple words, each with what to say in its place.
        equivalents: The scores in other tests, those that the server didn't give among them; likewise `delivery`.
        total_time: Seconds of speech.
        missing: What was not scored.
        reason: Why it was not scored.
    """

    name: str
    overall: Rating
    skills: Sequence[Rating]
    reached: Optional[int]
    pieces: Sequence[Piece]
    exercises: Sequence[Exercise]
    sounds: Sequence[SoundRow]
    more_sounds: int
    grammar: Sequence[Tuple[str, str]]
    simple_words: Sequence[Tuple[str, Sequence[str]]]
    equivalents: Sequence[Measure]
    delivery: Sequence[Measure]
    total_time: Optional[float]
    missing: Sequence[str]
    reason: str


def result_page(
    result: ScoreResult,
    *,
    audio: Any = None,
    thresholds: Thresholds = THRESHOLDS,
    title: Optional[str] = None,
) -> str:
    """Renders a result as one HTML file that needs nothing else.

    Args:
        result: What `score()` returned.
        audio: The recording, if it is to be seen and heard: whatever `score()` takes.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: Of the page; default: the name and the date of the recording's file, if it is one; else "Speech report".

    Raises:
        ValueError: The thresholds make no sense.
        AudioError: The recording can't be read or decoded.
    """
    limits = check_thresholds(thresholds)
    recording = None if audio is None else sound.read(audio)
    for sentence in notes.difference(result, recording) if recording else ():
        logger.warning("%s", sentence)
    assessment = result.assessment
    speakers = () if assessment is None else assessment.speakers[:MAX_SPEAKERS]
    alone = assessment.transcript if assessment is not None and len(speakers) == 1 else None
    words: List[Word] = []
    parts = [_part(result, speaker, alone, words, limits) for speaker in speakers]
    return render.page(
        "page.html",
        styles=["person.css", "page.css"],
        scripts=["page.js"],
        title=cut(title or titled(audio), MAX_TEXT) or DEFAULT_TITLE,
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
        reason=facts.reason(result),
        moments=facts.moments(result),
        sent=notes.sent(result),
        raw=_json(result.raw, result.text),
        fetched="" if result.fetched is None else _json(result.fetched, ""),
        no_assessment=facts.no_assessment(result),
        no_speaker=facts.NO_SPEAKER,
        no_score=facts.NO_SCORE,
        pause=PAUSE,
        shown_examples=SHOWN_EXAMPLES,
        short=_short,
        by_elsa=facts.by_elsa,
    )


def titled(path: Any) -> str:
    """Returns the name and the date of a file, the title of a page about it; `""` if there is no such file."""
    if not isinstance(path, (str, os.PathLike)):
        return ""
    try:
        changed = time.strftime("%Y-%m-%d", time.localtime(os.stat(path).st_mtime))
    except (OSError, ValueError):
        return ""
    return f"{os.path.splitext(os.path.basename(os.fsdecode(path)))[0]}, {changed}"


def _short(text: Optional[str], limit: int = MAX_TEXT) -> str:
    return cut(text or "", limit)


def _part(
    result: ScoreResult, speaker: Speaker, transcript: Optional[str], words: List[Word], limits: Thresholds
) -> Part:
    """Returns what is shown of a speaker; adds the speaker's words to `words`."""
    found, said = pieces(speaker, transcript)
    numbered = [Piece(piece.text, None if piece.word is None else piece.word + len(words)) for piece in found]
    first = len(words)
    words.extend(said)
    overall, *skills = facts.ratings(speaker, limits)
    errors = facts.sound_errors(speaker)
    return Part(
        name=_short(speaker.speaker_id, 60),
        overall=overall,
        skills=skills,
        reached=facts.level_number(overall.level),
        pieces=numbered,
        exercises=[exercise(each, said, first) for each in facts.practise(speaker, said, limits)],
        sounds=[sound_row(each) for each in errors[:MAX_ERRORS]],
        more_sounds=max(len(errors) - MAX_ERRORS, 0),
        grammar=[
            (_short(each.original), _short(each.suggestion))
            for each in speaker.grammar_suggestions[:MAX_SUGGESTIONS]
            if each.suggestion
        ],
        simple_words=[
            (_short(each.text, 60), better)
            for each in speaker.low_level_words[:MAX_SUGGESTIONS]
            for better in [[_short(other.text, 60) for other in each.suggestions[:MAX_BETTER_WORDS] if other.text]]
            if each.text and better
        ],
        equivalents=facts.equivalents(speaker),
        delivery=facts.delivery(speaker),
        total_time=speaker.total_time,
        missing=facts.missing(speaker),
        reason=facts.reason(result, speaker),
    )


def _data(words: Sequence[Word], recording: Optional[sound.Sound], limits: Thresholds) -> Mapping[str, Any]:
    """Returns what `page.js` needs: of each word its time, score, band, ELSA's word and its sounds."""
    seconds = recording.seconds if recording else 0.0
    told = []
    for word in words:
        sounds = [
            [
                sound_of(_short(each.symbol, 12)).ipa,
                rounded(each.score),
                band(each.score, limits),
                sound_of(_short(each.heard, 12)).ipa if each.heard else "",
            ]
            for each in word.phonemes[:MAX_SOUNDS]
        ]
        start, end = span_of(word, seconds) or (None, None)
        told.append(
            [
                start,
                end,
                rounded(word.score),
                band(word.score, limits),
                facts.by_elsa(_short(word.decision, 60)),
                sounds,
            ]
        )
    return {"words": told, "seconds": seconds, "kind": recording.kind if recording and recording.data else ""}


def _json(raw: Mapping[str, Any], text: str) -> str:
    try:
        return json.dumps(dict(raw), indent=2, ensure_ascii=False, default=str)
    except RecursionError:
        return text
