"""Lays out a recording from left to right, with its exchange below, for the drawing in a page. Called by `page`."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

from ..results.assessment import Word
from ..results.bands import Thresholds, band
from ..results.facts import moments
from ..results.result import ScoreResult
from .drawing import Span, gaps, joined, shape, ticks
from .sound import Sound

__all__ = ["PAUSE", "Timeline", "span_of", "timeline"]

LONGEST = 1e6  # s, eleven days: a word that ends later has no true time
PAUSE = 0.3  # s: a shorter silence is not drawn as a pause
WAIT_WIDTH = 12.0  # percent of the width, for the wait after the audio, however long that was


class Timeline(NamedTuple):
    """The recording from left to right, and the exchange below it. All positions are in percent.

    Attributes:
        seconds: How long the recording is.
        width: Of the recording. The rest is the wait for the verdict, which is not to scale.
        wave: The waveform as a path; empty without a recording.
        speech: Where there is speech, (from, width); likewise `pauses`.
        marks: The words below the upper threshold, (from, width, band).
        ticks: The times to name, (seconds, where).
        sent: Where the audio that was sent ends; `None` if nothing is known of the exchange.
        verdict: Where the verdict came.
        waited: Whether the verdict came after the last packet.
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


def timeline(
    result: ScoreResult, recording: Optional[Sound], words: Sequence[Word], limits: Thresholds
) -> Optional[Timeline]:
    """Lays the recording and its exchange out; `None` if there is nothing to lay out.

    Args:
        result: For the exchange.
        recording: To be seen; without it, words with times stand for speech.
        words: What was said.
        limits: Which words are weak, and which fair.
    """
    ends = max((word.end or 0.0 for word in words if span_of(word, 0.0)), default=0.0)
    seconds = recording.seconds if recording else max(result.audio_seconds, 0.0) or ends
    if seconds <= 0:
        return None
    times = [(span, word) for word in words for span in [span_of(word, seconds)] if span]
    spans = [span for span, _ in times] or (recording.sounds() if recording else [])
    happened = {moment.name for moment in moments(result)}
    exchanged = "first packet" in happened
    if not spans and not recording and not exchanged:
        return None
    speech = joined(spans, PAUSE)
    pauses = gaps(speech, PAUSE)
    marks = [(span, band(word.score, limits)) for span, word in times]
    sent = 100 * min(max(result.audio_seconds_sent, 0.0) / seconds, 1.0) if exchanged else None
    # A server that hears the end of the speech by itself sends its verdict before the end of the stream. The verdict
    # then stops the sending, and there is no wait after it.
    waited = exchanged and {"end of stream", "verdict"} <= happened
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
        verdict=(100 - WAIT_WIDTH / 4 if waited else sent) if "verdict" in happened else None,
        waited=waited,
        pause_seconds=sum(end - start for start, end in pauses),
        by_words=bool(times),
    )


def span_of(word: Word, seconds: float) -> Optional[Span]:
    """Returns when a word was said; `None` if that is not known, or outside of a recording of that many seconds.

    Without a recording, `seconds` is 0, and nothing is outside.
    """
    start, end = word.start, word.end
    if start is None or end is None or not 0 <= start < end < LONGEST or (seconds and start >= seconds):
        return None
    return start, min(end, seconds) if seconds else end


def _place(span: Span, seconds: float) -> Tuple[float, float]:
    start, end = span
    return round(100 * start / seconds, 3), round(100 * (end - start) / seconds, 3)
