"""Why a recording of a class has no score, and what helps: the groups that the class page's list of things to do has.

Called by `rows`, which finds out whose problem is which, and by `classroom`.
"""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ..results.facts import ENOUGH_SPEECH

__all__ = ["NOT_INCLUDED", "NO_SCORE", "PROBLEMS", "RECORD_AGAIN", "TOO_SHORT", "Problem", "problem_of_error"]


class Problem(NamedTuple):
    """Why there is no score, and what helps."""

    title: str
    advice: str
    command: str = ""


TOO_SHORT = Problem("Not enough speech", f"Record again, and speak for longer. {ENOUGH_SPEECH}")
NO_SCORE = Problem("No score given", f"Listen to them, then record again. {ENOUGH_SPEECH}")
BAD_QUALITY = Problem("Bad recording quality", "Record again in a quiet room, with the microphone close to the mouth.")
REJECTED = Problem("Turned down by the server", "Listen to them, then record again. The server's reasons are given.")
UNREADABLE = Problem(
    "Not readable as audio", "The file is missing, empty or damaged. Record again, or send a WAV file."
)
BROKEN = Problem(
    "Not scored yet",
    "These recordings may be fine: the exchange with the server broke off. Run the batch again, with",
    "--retry-failed",
)
NOT_INCLUDED = Problem(
    "Scores not included",
    "These were scored, but the assessment did not come along. It comes with the premium plan and with return_json on.",
)

PROBLEMS = (TOO_SHORT, BAD_QUALITY, UNREADABLE, REJECTED, NO_SCORE, BROKEN, NOT_INCLUDED)  # in the order of the page
RECORD_AGAIN = (TOO_SHORT, BAD_QUALITY, UNREADABLE, REJECTED, NO_SCORE)  # those that a new recording helps

_OF_ERROR = {"BadQualityError": BAD_QUALITY, "ScoringFailedError": REJECTED, "AudioError": UNREADABLE}


def problem_of_error(error: Mapping[str, Any]) -> Problem:
    """Returns the problem behind an error of the journal; one of an unknown type broke the exchange off."""
    return _OF_ERROR.get(str(error.get("type")), BROKEN)
