"""What the page of a result tells beside the scores: whether the sandbox made it, what is wrong, how it was sent.

Called by `page`.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..results import facts
from ..results.result import ScoreResult
from .sound import Sound
from .transcript import cut

__all__ = ["Sandbox", "difference", "sandbox", "sent", "warnings"]

MAX_TEXT = 300  # characters of a warning
MAX_WORD = 60  # characters of a value
DIFFERENT = 0.5  # s: if the recording in the page differs by more in length, it may not be the one that was scored


class Sandbox(NamedTuple):
    """What to say of a result that nobody assessed, and what was measured."""

    text: str
    measured: Sequence[Tuple[str, str]]


def sandbox(result: ScoreResult) -> Optional[Sandbox]:
    """Returns the notice that a result of the sandbox carries; `None` for one of the service."""
    if not facts.is_by_sandbox(result):
        return None
    measured = [(cut(name, MAX_WORD), cut(value, MAX_WORD)) for name, value in facts.measured(result)]
    return Sandbox(facts.SANDBOX, measured)


def warnings(result: ScoreResult, recording: Optional[Sound]) -> List[str]:
    """Returns sentences on what is wrong with the result, its recording and the one in the page."""
    return list(_warnings(result, recording))


def sent(result: ScoreResult) -> List[Tuple[str, str]]:
    """Returns how the recording was sent, and by what, as far as it is known: names and texts."""
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


def difference(result: ScoreResult, recording: Sound) -> List[str]:
    """Returns a sentence if the recording is of another length than the one that was scored; else nothing.

    A result without its length, as one that was saved with `--format json`, knows at least when its words end.
    """
    scored = result.audio_seconds
    ends = max((word.end for speaker in result.speakers for word in speaker.words if word.end), default=0.0)
    if scored and abs(recording.seconds - scored) > DIFFERENT:
        told = f"the one that was scored {scored:.1f} s"
    elif not scored and ends > recording.seconds + DIFFERENT:
        told = f"the one that was scored at least {ends:.1f} s"
    else:
        return []
    return [f"The recording in this page lasts {recording.seconds:.1f} s, {told}: they may not be the same."]


def _warnings(result: ScoreResult, recording: Optional[Sound]) -> Iterator[str]:
    if result.partial_error:
        shortfall = facts.shortfall(result)
        more = f": {shortfall}" if shortfall else ""
        yield f"Partial assessment ({cut(result.partial_error, MAX_WORD)}){more}."
    told = list(result.warnings)
    if recording is not None:
        told += [warning for warning in recording.warnings if warning not in told]
    for warning in told:
        yield cut(warning, MAX_TEXT)
    if recording is not None:
        yield from difference(result, recording)
    if recording is not None and not recording.data:
        yield f"The recording lasts {recording.seconds / 60:.0f} minutes: too long to be played from this page."
