"""A result as rows of a table: one for the recording, with the columns of `batch --csv`, and one for each of its words.

Called by `ScoreResult.to_row()` and `words_rows()`, and by `cli.table`. Texts of the server are unchanged here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Optional, Union

from .assessment import SKILLS, Speaker

if TYPE_CHECKING:
    from .result import ScoreResult

__all__ = ["COLUMNS", "WORD_COLUMNS", "Cell", "result_cells", "rounded", "word_rows"]

Cell = Union[str, int, float, None]

EQUIVALENTS = ("ielts", "toefl", "toeic", "pte")
METRICS = (
    *("advanced_pronunciation_score", "words_per_minute", "pausing_score", "energy_variation", "pitch_variation"),
    *("word_prominence_score", "word_prominence_cefr"),
)

# Every table has all of these columns, in this order, which people rely on: a new one belongs at the end. The scores
# have the server's names.
COLUMNS = (
    *("path", "outcome", "error", "reason", "message", "partial_error", "warnings"),
    *("audio_seconds", "audio_seconds_sent"),
    *("attempts", "seconds", "stream_id", "result_link", "audio_link", "sha256"),
    *("recording_quality", "assessment_quality", "transcript", "speakers", "speaker_id", "total_time"),
    *("eps_score", "eps_decision", "overall_cefr"),
    *(f"{skill}_{kind}" for skill in SKILLS for kind in ("score", "decision", "cefr")),
    *(f"{test}_score" for test in EQUIVALENTS),
    *METRICS,
    "same_as",
)
WORD_COLUMNS = (
    *("stream_id", "speaker_id", "utterance_id", "word", "score", "decision", "start", "end", "seconds"),
    *("phonemes", "worst_phoneme", "worst_phoneme_score", "worst_phoneme_heard"),
)


def result_cells(result: ScoreResult) -> Dict[str, Cell]:
    """Returns what a result itself knows, by column."""
    cells: Dict[str, Cell] = {
        "outcome": "success",
        "partial_error": result.partial_error,
        "warnings": "; ".join(result.warnings),
        "audio_seconds": rounded(result.audio_seconds),
        "audio_seconds_sent": rounded(result.audio_seconds_sent),
        "stream_id": result.stream_id,
        "result_link": result.result_link,
        "audio_link": result.audio_link,
    }
    assessment = result.assessment
    if assessment is None:
        return cells
    cells.update(
        recording_quality=assessment.recording_quality,
        assessment_quality=assessment.assessment_quality,
        transcript=assessment.transcript,
        speakers=len(assessment.speakers),
    )
    # Only the first of several speakers: the service looks for one unless told otherwise. The journal has the others.
    return {**cells, **_of_speaker(assessment.speakers[0])} if assessment.speakers else cells


def _of_speaker(speaker: Speaker) -> Dict[str, Cell]:
    overall = speaker.scores.overall
    cells: Dict[str, Cell] = {
        "speaker_id": speaker.speaker_id,
        "total_time": speaker.total_time,
        "eps_score": overall.value,
        "eps_decision": overall.decision,
        "overall_cefr": overall.cefr,
    }
    for skill, score in speaker.scores.skills.items():
        cells.update({f"{skill}_score": score.value, f"{skill}_decision": score.decision, f"{skill}_cefr": score.cefr})
    cells.update({f"{test}_score": getattr(speaker.equivalents, test) for test in EQUIVALENTS})
    cells.update({metric: getattr(speaker.metrics, metric) for metric in METRICS})
    return cells


def word_rows(result: ScoreResult) -> List[Dict[str, Cell]]:
    """Returns a row for each word, with all `WORD_COLUMNS`; the words of one speaker after those of another."""
    return [
        {
            "stream_id": result.stream_id,
            "speaker_id": speaker.speaker_id,
            "utterance_id": utterance.utterance_id,
            "word": word.text,
            "score": word.score,
            "decision": word.decision,
            "start": word.start,
            "end": word.end,
            "seconds": None if word.start is None or word.end is None else rounded(word.end - word.start),
            "phonemes": " ".join(phoneme.symbol or "?" for phoneme in word.phonemes) or None,
            "worst_phoneme": worst.symbol if worst else None,
            "worst_phoneme_score": worst.score if worst else None,
            "worst_phoneme_heard": worst.heard or None if worst else None,
        }
        for speaker in result.speakers
        for utterance in speaker.utterances
        for word in utterance.words
        for scored in [[phoneme for phoneme in word.phonemes if phoneme.score is not None]]
        for worst in [min(scored, key=lambda phoneme: phoneme.score or 0.0) if scored else None]
    ]


def rounded(seconds: Optional[float]) -> Optional[float]:
    """Returns seconds to the millisecond."""
    return None if seconds is None else round(seconds, 3)
