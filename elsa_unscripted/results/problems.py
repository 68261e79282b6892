"""Why a recording has no score, and what to do next: one list, so that terminal and pages count alike.

Called by `cli.tally`, `cli.score` and `report.rows`.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Union

from ..exceptions import AudioError, BadQualityError, BudgetError, ElsaError, RateLimitedError, ScoringFailedError
from . import facts
from .assessment import Speaker
from .facts import ENOUGH_SPEECH
from .result import ScoreResult

__all__ = [
    "BROKEN",
    "NOT_BEGUN",
    "NOT_HANDED_IN",
    "NOT_INCLUDED",
    "NO_SPEECH",
    "PROBLEMS",
    "RECORD_AGAIN",
    "SILENT",
    "TOO_SHORT",
    "Problem",
    "counted",
    "problem_of",
]


class Problem(NamedTuple):
    """Why there is no score, and what helps.

    Attributes:
        title: A heading.
        counts_as: How many there are is told as `3 too short`.
        action: What to do next, in two or three words; problems with the same action belong together.
        advice: The same in sentences.
        command: The option of `elsa-unscripted batch` that helps, which `advice` ends with.
    """

    title: str
    counts_as: str
    action: str
    advice: str
    command: str = ""


RECORD = "Record again"
# In the texts by which `audio.recording` warns of a silent recording and `audio.check` refuses it, or one in which
# nobody speaks: a journal keeps the text alone.
SILENCE = "is silent, all samples are"
SPEECHLESS = "holds no speech"

NOT_HANDED_IN = Problem(
    "Not handed in",
    "not handed in",
    "Ask for the recordings, or mend the list",
    "There is no file at these paths. Ask for the recordings, or mend the list, and run the batch again.",
)
SILENT = Problem(
    "Silent",
    "silent",
    RECORD,
    "Nothing is to be heard. Check that the right microphone is chosen, and not muted; then record again.",
)
NO_SPEECH = Problem(
    "Without speech",
    "without speech",
    RECORD,
    "There is sound, and nobody speaks. Check that the right microphone is chosen; then record again.",
)
TOO_SHORT = Problem("Too short", "too short", RECORD, f"Record again, and speak for longer. {ENOUGH_SPEECH}")
BAD_QUALITY = Problem(
    "Bad recording quality",
    "of bad quality",
    RECORD,
    "Record again in a quiet room, with the microphone close to the mouth.",
)
UNREADABLE = Problem(
    "Not readable as audio",
    "unreadable",
    RECORD,
    "The file is empty or damaged. Record again, or send a WAV file.",
)
REJECTED = Problem(
    "Turned down by the server",
    "turned down",
    RECORD,
    "Listen to them, then record again. The server's reasons are given.",
)
NO_SCORE = Problem("No score given", "without a score", RECORD, f"Listen to them, then record again. {ENOUGH_SPEECH}")
BROKEN = Problem(
    "Not scored yet",
    "not scored yet",
    "Wait, and try again with --retry-failed",
    "These recordings may be fine: the exchange with the server broke off. Wait, and run the batch again with",
    "--retry-failed",
)
REFUSED = Problem(
    "Refused by the server",
    "refused",
    "Mend the options, and try again with --retry-failed=all",
    "The server refused the exchange, not the recording: mend what its reason names, and run the batch again with",
    "--retry-failed=all",
)
NOT_BEGUN = Problem(
    "Not begun yet",
    "not begun yet",
    "Run the batch again",
    "These were not begun, or the batch was interrupted before they were done. Run it again.",
)
NOT_INCLUDED = Problem(
    "Scores not included",
    "without their scores",
    "Score again with --plan premium",
    "These were scored, but the assessment did not come along. It comes with",
    "--plan premium",
)

# In the order in which they are shown.
PROBLEMS = (
    *(NOT_HANDED_IN, SILENT, NO_SPEECH, TOO_SHORT, BAD_QUALITY, UNREADABLE, REJECTED, NO_SCORE),
    *(BROKEN, NOT_BEGUN, REFUSED, NOT_INCLUDED),
)
RECORD_AGAIN = tuple(problem for problem in PROBLEMS if problem.action == RECORD)


def problem_of(conclusion: Union[ScoreResult, ElsaError]) -> Optional[Problem]:
    """Returns why there is no overall score; `None` if there is one."""
    if isinstance(conclusion, ScoreResult):
        return _problem_of_result(conclusion)
    if SILENCE in str(conclusion):
        return SILENT
    if isinstance(conclusion, AudioError):
        if SPEECHLESS in str(conclusion):
            return NO_SPEECH
        return NOT_HANDED_IN if conclusion.missing is True else UNREADABLE
    if isinstance(conclusion, BadQualityError):
        return BAD_QUALITY
    if isinstance(conclusion, ScoringFailedError):
        return REJECTED
    if isinstance(conclusion, (BudgetError, RateLimitedError)):
        return NOT_BEGUN
    # An error of a later version comes back from a journal as a plain `ElsaError`: nobody knows what it says.
    return BROKEN if conclusion.retryable or type(conclusion) is ElsaError else REFUSED


def _problem_of_result(result: ScoreResult) -> Optional[Problem]:
    assessment = result.assessment
    if assessment is None and facts.is_failure(result):
        return BAD_QUALITY if result.raw["status"] == "bad_quality" else REJECTED
    if assessment is None:
        return NOT_INCLUDED
    # The first of several speakers: the service looks for one unless told otherwise.
    speaker = next(iter(assessment.speakers), None) or Speaker({})
    if speaker.scores.overall.value is not None:
        return None
    if speaker.total_time == 0 or any(SILENCE in warning for warning in result.warnings):
        return SILENT
    return TOO_SHORT if facts.is_short(speaker, result) else NO_SCORE


def counted(numbers: Mapping[Optional[Problem], int]) -> str:
    """Returns the counts as a sentence: `20 with a score, 5 too short, 1 unreadable`.

    Args:
        numbers: How many have each problem; `None` stands for those with a score.
    """
    told = [f"{numbers[problem]} {problem.counts_as}" for problem in PROBLEMS if numbers.get(problem)]
    return ", ".join([f"{numbers.get(None, 0)} with a score", *told])
