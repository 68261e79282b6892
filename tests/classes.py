"""Journals of made-up classes: lines as a batch writes them, with scores, errors and hostile texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SKILLS = ("pronunciation", "intonation", "fluency", "grammar", "vocabulary")
LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")
SPOKEN = (
    "Last summer my family and I went to the mountains because we wanted to get away from the noise of the city. "
    "We stayed in a small wooden house beside a lake, and every morning my brother and I walked through the forest "
    "to the next village to buy bread. I think that was the best part of the whole holiday, although my feet hurt."
)
MISSPOKEN = (
    ("DH", "D", "the brother that although"),
    ("W", "V", "went we wanted wooden walked away"),
    ("R", "L", "brother through forest bread every morning"),
    ("Z", "S", "because noise was mountains"),
    ("IH", "IY", "in city village think"),
)
FIRST = "Ana Ben Chloé Dmitri Emre Fatima Goran Hana İpek João Khalid Linh Marek Núria Olga Paulo Quentin Rosa"
LAST = "Abe Becker Castro Dąbrowska Eriksen Fuchs García Horvat Ito Jansen Kim López Müller Novák Ozturk Pham"


def line(name: str, **fields: Any) -> dict[str, Any]:
    """Returns a line without its end, which `result` or `error` is."""
    return {
        "v": 1,
        "sha256": random.Random(name).randbytes(32).hex(),
        "options": {"url": "wss://elsa.example", "api_plan": "premium", "return_json": True, "extra": {}},
        "outcome": "success",
        "path": f"recordings/7b/{name}.wav",
        "time": "2026-11-22T11:02:42.123Z",
        "audio_seconds": 27.4,
        "attempts": 1,
        "stream_id": "3f9c2d",
        "warnings": [],
        **fields,
    }


def scored(name: str, overall: float | None = 74.0, seed: int = 0, **fields: Any) -> dict[str, Any]:
    """Returns the line of a success; `None` as score is that of too little speech."""
    chance = random.Random(f"{name} {seed}")
    values = {
        skill: None if overall is None else round(min(100.0, max(0.0, chance.gauss(overall, 8))), 1) for skill in SKILLS
    }
    elsa: dict[str, Any] = {f"{skill}_score": value for skill, value in values.items()}
    cefr: dict[str, Any] = {
        f"{skill}_cefr": value and LEVELS[min(5, int(value / 17))] for skill, value in values.items()
    }
    elsa.update({f"{skill}_decision": value and ("good" if value >= 80 else "fair") for skill, value in values.items()})
    elsa.update(eps_score=overall, eps_decision=overall and ("good" if overall >= 80 else "fair"))
    cefr["overall_cefr"] = None if overall is None else LEVELS[min(5, int(overall / 17))]
    words = (
        []
        if overall is None
        else [
            {
                "text": word.strip(".,"),
                "nativeness_score": round(min(100.0, max(0.0, chance.gauss(overall + 6, 12))), 1),
            }
            for word in SPOKEN.split()
        ]
    )
    sounds = [
        {
            "phoneme": sound,
            "errors": [
                {
                    "error_phoneme": heard,
                    "type": "substitution",
                    "count": chance.randint(1, 6),
                    "examples": [{"text": word} for word in chance.sample(words_with.split(), 3)],
                }
            ],
        }
        for sound, heard, words_with in chance.sample(MISSPOKEN, 3)
    ]
    speaker = {
        "total_time": 25.1 if overall is not None else 6.5,
        "metrics": {
            "general_scores": {
                "elsa": elsa,
                "cefr": cefr,
                "other_scores": {"ielts_score": None if overall is None else round(overall / 11) / 2 + 2.5},
            },
            "other_metrics": {"fluency": {"words_per_minute": None if overall is None else 128.4}},
        },
        "feedbacks": {"pronunciation": {"top_errors": sounds if overall is not None else []}},
        "utterances": [{"text": SPOKEN, "words": words}] if words else [],
    }
    result: dict[str, Any] = {"status": "success", "result": {"transcript": None, "speakers": [speaker]}}
    if overall is None:
        result["partial_error"] = "too_short"
    return {**line(name), **fields, "result": result}


def failed(name: str, kind: str, message: str = "it went wrong", **more: Any) -> dict[str, Any]:
    """Returns the line of an error."""
    return {**line(name), "outcome": "error", "error": {"type": kind, "message": message, "phase": "result", **more}}


def classroom(number: int) -> Iterable[dict[str, Any]]:
    """Yields the lines of a plausible class: most are scored, some are too short, bad, broken or unreadable."""
    chance = random.Random(number)
    for index in range(number):
        name = f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())} {index + 1}"
        kind = chance.random()
        if kind < 0.03:
            yield scored(name, None, audio_seconds=6.9)
        elif kind < 0.05:
            yield failed(name, "BadQualityError", reason="too noisy")
        elif kind < 0.06:
            yield failed(name, "StreamClosedError", "the server closed the connection before a verdict (1006)")
        elif kind < 0.065:
            yield failed(name, "AudioError", "the file is empty")
        else:
            yield scored(name, round(min(99.0, max(12.0, chance.gauss(72, 13))), 1))


def write(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Writes a journal."""
    with open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)
    return path
