"""What is told of a result beside its scores, in the words of the terminal's summary. Called by `page`."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..results.facts import SANDBOX, is_by_sandbox, measured
from ..results.result import ScoreResult
from .sound import Sound
from .transcript import cut

__all__ = ["Moment", "Sandbox", "facts", "moments", "sandbox", "warnings"]

MAX_TEXT = 300  # characters of a warning
MAX_WORD = 60  # characters of a value
DIFFERENT = 0.5  # s by which another recording than the scored one is known


class Moment(NamedTuple):
    """Something that happened, in seconds since `score()` was called."""

    name: str
    seconds: float


class Sandbox(NamedTuple):
    """What to say of a result that nobody assessed, and what was measured."""

    text: str
    measured: Sequence[Tuple[str, str]]


def sandbox(result: ScoreResult) -> Optional[Sandbox]:
    """Returns the notice that a result of the sandbox carries; `None` for one of the service."""
    if not is_by_sandbox(result):
        return None
    return Sandbox(SANDBOX, [(cut(key.replace("_", " "), MAX_WORD), _plain(value)) for key, value in measured(result)])


def warnings(result: ScoreResult, recording: Optional[Sound]) -> List[str]:
    """Returns sentences on what is wrong with the result, its recording and the one in the page."""
    return list(_warnings(result, recording))


def moments(result: ScoreResult) -> List[Moment]:
    """Returns what happened in the exchange, in order."""
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


def facts(result: ScoreResult) -> List[Tuple[str, str]]:
    """Returns how the recording was sent, and by what, as far as it is known."""
    channels = "1 channel" if result.channels == 1 else f"{result.channels} channels"
    form = (
        f"{result.sample_rate:,} Hz" if result.sample_rate else "",
        channels if result.channels else "",
        f"{8 * result.sample_width} bit" if result.sample_width else "",
    )
    told = {
        "Audio": f"{result.audio_seconds:.1f} s" if result.audio_seconds else "",
        "Sent": f"{result.audio_seconds_sent:.1f} s" if result.audio_seconds_sent else "",
        "Sent as": ", ".join(filter(None, form)),
        "Plan": cut(result.api_plan or "", MAX_WORD),
        "Stream": cut(result.stream_id or "", MAX_WORD),
        "Client": cut(result.client, MAX_WORD),
    }
    return [(name, text) for name, text in told.items() if text]


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else cut(str(value), MAX_WORD)


def _warnings(result: ScoreResult, recording: Optional[Sound]) -> Iterator[str]:
    if result.partial_error:
        reason = ": more than about 20 s of speech needed" if result.partial_error == "too_short" else ""
        yield f"Partial assessment ({cut(result.partial_error, MAX_WORD)}){reason}."
    told = list(result.warnings)
    if recording is not None:
        told += [warning for warning in recording.warnings if warning not in told]
    for warning in told:
        yield cut(warning, MAX_TEXT)
    scored = result.audio_seconds
    if recording is not None and scored and abs(recording.seconds - scored) > DIFFERENT:
        yield (
            f"The recording in this page lasts {recording.seconds:.1f} s, the one that was scored {scored:.1f} s: "
            "they may not be the same."
        )
    if recording is not None and not recording.data:
        yield f"The recording lasts {recording.seconds / 60:.0f} minutes: too long to be played from this page."
