"""What a `success` says: an honest one, of what can be measured, or the bundled one; for `scenarios` and `invent`."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from .exchange import Exchange

TOO_SHORT_SECONDS = 20.0  # s: ELSA's documentation asks for more speech than this
SKILLS = ("pronunciation", "intonation", "fluency", "grammar", "vocabulary")


def success(exchange: Exchange, links: str, assessment: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Returns the verdict on an exchange.

    Args:
        exchange: Its config says whether the assessment comes along; its stream id is in the links.
        links: What the two links begin with.
        assessment: What `result_link` leads to.
        **more: Fields beside the documented ones.
    """
    verdict: dict[str, Any] = {
        "status": "success",
        "result_link": f"{links}/results/{exchange.stream_id}.json",
        "audio_link": f"{links}/audio/{exchange.stream_id}.wav",
        "sandbox": True,
        **more,
    }
    if exchange.config and exchange.config["return_json"]:
        # It is not known under which key ELSA's server puts it. A client must not rely on this one.
        verdict["result"] = assessment
    return verdict


def honest(seconds: float) -> dict[str, Any]:
    """Returns the documented assessment with `None` for each field that nothing here can know."""
    return {
        "sandbox": True,
        "recording_quality": None,
        "assessment_quality": None,
        "transcript": None,
        "speakers": [
            {
                "speaker_id": None,
                "total_time": round(seconds, 3),
                "metrics": {
                    "general_scores": {
                        "elsa": {
                            f"{skill}_{what}": None for skill in ("eps", *SKILLS) for what in ("score", "decision")
                        },
                        "cefr": {f"{skill}_cefr": None for skill in ("overall", *SKILLS)},
                        "other_scores": {f"{test}_score": None for test in ("ielts", "toefl", "toeic", "pte")},
                    },
                    "other_metrics": {
                        "pronunciation": {"advanced_pronunciation_score": None},
                        "fluency": {
                            "words_per_minute": None,
                            "words_per_minute_min": None,
                            "words_per_minute_max": None,
                            "pausing_score": None,
                        },
                        "intonation": {
                            "energy_variation": None,
                            "pitch_variation": None,
                            "word_prominence_score": None,
                            "word_prominence_cefr": None,
                        },
                    },
                },
                "feedbacks": {"pronunciation": {"top_errors": None}},
                "utterances": None,
            }
        ],
    }


def example() -> dict[str, Any]:
    """Returns the bundled assessment of `tests/data/austen.wav`: true words and times, made-up scores; it says so."""
    text = resources.files(__package__).joinpath("example.json").read_text(encoding="utf-8")
    assessment: dict[str, Any] = json.loads(text)
    return assessment
