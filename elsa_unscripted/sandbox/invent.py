"""Makes up an assessment from a recording's bytes: what each recording of the scenario `example` gets, for `scenarios`.

The same bytes give the same assessment, on every machine: all chance comes from their hash. So thirty recordings look
like a class. The words fill the stretches that aren't silent, but they are not the words that were said. Only the
recording of the project's demo gets the words that are said in it, with their true times.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import accumulate
from typing import Any, NamedTuple, Union

from .rules import Format
from .verdict import SKILLS, example

Asked = Union[float, str, None]

# Of `tests/data/austen.wav`, whose true words and times `example.json` has.
BUNDLED = "dbebfa8d5b02f849685416a5fccec4be524be16fdb8238fe82b70081d2b45714"

# Percent from which each level is given, and how the class is spread. Both made up, like everything here.
LEVELS = {"A1": 0.0, "A2": 30.0, "B1": 50.0, "B2": 68.0, "C1": 84.0, "C2": 94.0}
LOWEST, HIGHEST = 28.0, 97.0
DECISIONS = {"excellent": 86.0, "good": 70.0, "fair": 50.0, "weak": 0.0}

PACES = (1.7, 2.9)  # words in a second of speech, of a slow and of a fast speaker
SPOKEN_PART = 0.96  # of a word's time; then there is a gap, too short to be a pause
# What is heard in place of a sound that goes wrong.
SUBSTITUTES = {
    "TH": "T",
    "DH": "D",
    "Z": "S",
    "V": "F",
    "W": "V",
    "R": "L",
    "NG": "N",
    "IH": "IY",
    "AE": "EH",
    "JH": "CH",
    "S": "SH",
    "L": "R",
}
MOST_ERRORS = 6  # in `top_errors`


class Sound(NamedTuple):
    """A sound of a word, with its times in seconds."""

    symbol: str
    start: float
    end: float


class Spoken(NamedTuple):
    """A word that is said, with its sounds."""

    text: str
    sounds: Sequence[Sound]


class Sentence(NamedTuple):
    """A sentence and its words."""

    text: str
    words: Sequence[Spoken]


def parse(text: str) -> float | str:
    """Returns the percent or the level that a text asks for.

    Raises:
        ValueError: It is neither.
    """
    level = text.strip().upper()
    if level in LEVELS:
        return level
    try:
        percent = float(text.strip().rstrip("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ValueError(f"the overall percent, from 0 to 100, or a level: {', '.join(LEVELS)}")
    return percent


def assessment(
    pcm: bytes, pcm_format: Format | None, seconds: float, pauses: Sequence[Sequence[float]], asked: Asked = None
) -> dict[str, Any]:
    """Returns the assessment of a recording.

    Args:
        pcm: Its frames.
        pcm_format: How they are laid out.
        seconds: How long it is.
        pauses: Where nothing is to be heard, as `measure()` tells it.
        asked: The overall percent, or its level; `None` leaves both to chance.
    """
    content = hashlib.sha256(pcm)
    bundled = content.hexdigest() == BUNDLED
    if bundled and asked is None:
        return example()
    content.update(repr(tuple(pcm_format or ())).encode())
    chance = random.Random(int.from_bytes(content.digest(), "big"))
    overall = _overall(chance, asked)
    skills = _skills(chance, overall)
    said = _of_bundled() if bundled else list(_say(chance, seconds, pauses))
    return _assess(chance, overall, skills, said, seconds)


def _overall(chance: random.Random, asked: Asked) -> float:
    if isinstance(asked, float):
        return asked
    lowest, highest = LOWEST, HIGHEST
    if asked is not None:
        bounds = [*LEVELS.values(), 100.0]
        index = list(LEVELS).index(asked)
        lowest, highest = bounds[index] + 0.5, bounds[index + 1] - 0.5
    # More in the middle than at the ends. Three decimals, so that no two of a class are alike.
    return round(lowest + (highest - lowest) * (chance.random() + chance.random()) / 2, 3)


def _skills(chance: random.Random, overall: float) -> dict[str, float]:
    """Returns the score of each skill: around the overall one, which is about their mean."""
    apart = [18 * (chance.random() - 0.5) for _ in SKILLS]
    mean = sum(apart) / len(apart)
    return {skill: _bounded(overall + each - mean) for skill, each in zip(SKILLS, apart)}


# What is said.


@functools.lru_cache(maxsize=1)
def _speech() -> Any:
    return json.loads(resources.files(__package__).joinpath("speech.json").read_text(encoding="utf-8"))


def _of_bundled() -> list[Sentence]:
    return [
        Sentence(
            utterance["text"],
            [
                Spoken(
                    word["text"],
                    [Sound(each["text"], each["start_time"], each["end_time"]) for each in word["phonemes"]],
                )
                for word in utterance["words"]
            ],
        )
        for utterance in example()["speakers"][0]["utterances"]
    ]


def _say(chance: random.Random, seconds: float, pauses: Sequence[Sequence[float]]) -> Iterator[Sentence]:
    """Yields as many sentences as fit into the recording, with times in the stretches between its pauses."""
    stretches = _between(seconds, pauses)
    speech_seconds = sum(end - start for start, end in stretches)
    pace = PACES[0] + (PACES[1] - PACES[0]) * chance.random()
    texts = list(_texts(chance, max(1, round(pace * speech_seconds))))
    sounds = [[_speech()["sounds"][_plain(word)].split() for word in text.split()] for text in texts]
    weights = [len(word) + 1.0 for sentence in sounds for word in sentence]  # a word takes longer than its sounds
    per_weight = speech_seconds / sum(weights)
    ends = [end * per_weight for end in accumulate(weights)]
    places = iter(_places([0.0, *ends], stretches))
    for text, sentence in zip(texts, sounds):
        yield Sentence(
            text,
            [Spoken(_trimmed(word), _spread(symbols, *next(places))) for word, symbols in zip(text.split(), sentence)],
        )


def _texts(chance: random.Random, count: int) -> Iterator[str]:
    """Yields sentences with about `count` words together; a single one that is too long is cut."""
    sentences: list[str] = []
    left = count
    while left > 0:
        if not sentences:
            sentences = sorted(_speech()["sentences"], key=lambda _: chance.random())
        words = sentences.pop().split()
        if left < count and len(words) > 2 * left:
            return
        if len(words) > count:
            words = [*words[: count - 1], _trimmed(words[count - 1]) + "."]
        yield " ".join(words)
        left -= len(words)


def _between(seconds: float, pauses: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Returns the stretches between the pauses; the whole recording if there are none."""
    edges = [0.0, *(min(edge, seconds) for pause in pauses for edge in pause), seconds]
    found = [(start, end) for start, end in zip(edges[::2], edges[1::2]) if end > start]
    return found or [(0.0, seconds)]


def _places(edges: Sequence[float], stretches: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yields where each word lies: in the stretch that has most of it, if it would reach over a pause.

    Args:
        edges: Where each word begins, and where the last one ends, in seconds of speech without the pauses.
        stretches: Where speech is.
    """
    before = [0.0, *accumulate(end - start for start, end in stretches)]
    first = 0
    for begin, end in zip(edges, edges[1:]):
        while first < len(stretches) - 1 and before[first + 1] <= begin:
            first += 1
        best, place = -1.0, stretches[first]
        for index in range(first, len(stretches)):
            if before[index] >= end and index > first:
                break
            inside = (max(begin, before[index]), min(end, before[index + 1]))
            if inside[1] - inside[0] > best:
                best = inside[1] - inside[0]
                shift = stretches[index][0] - before[index]
                place = (inside[0] + shift, min(inside[1] + shift, stretches[index][1]))
        yield place[0], place[0] + SPOKEN_PART * (place[1] - place[0])


def _spread(symbols: Sequence[str], start: float, end: float) -> list[Sound]:
    edges = [round(start + (end - start) * index / len(symbols), 3) for index in range(len(symbols) + 1)]
    return [Sound(symbol, *times) for symbol, *times in zip(symbols, edges, edges[1:])]


# How it is scored.


def _assess(
    chance: random.Random, overall: float, skills: dict[str, float], said: Sequence[Sentence], seconds: float
) -> dict[str, Any]:
    weak = sorted(SUBSTITUTES, key=lambda _: chance.random())[:3]
    utterances = [_utterance(chance, index, each, skills, weak) for index, each in enumerate(said)]
    words = [word for utterance in utterances for word in utterance["words"]]
    per_minute = 60 * len(words) / seconds if seconds else 0.0
    scores = {"eps": overall, **skills}
    levels = {"overall": overall, **skills}
    return {
        "sandbox": True,
        "made_up": True,
        "note": "Made up by elsa_unscripted.sandbox from the recording's bytes: nobody was assessed.",
        "recording_quality": "ok",
        "assessment_quality": "ok",
        "transcript": " ".join(sentence.text for sentence in said),
        "speakers": [
            {
                "speaker_id": "1",
                "total_time": round(seconds, 3),
                "metrics": {
                    "general_scores": {
                        "elsa": {
                            key: value
                            for name, score in scores.items()
                            for key, value in ((f"{name}_score", score), (f"{name}_decision", _decision(score)))
                        },
                        "cefr": {f"{name}_cefr": _level(score) for name, score in levels.items()},
                        "other_scores": {
                            "ielts_score": round(overall * 0.16 + 1) / 2,
                            "toefl_score": round(overall * 1.15),
                            "toeic_score": 5 * round(overall * 1.95),
                            "pte_score": round(10 + overall * 0.75),
                        },
                    },
                    "other_metrics": {
                        "pronunciation": {"advanced_pronunciation_score": _near(chance, skills["pronunciation"])},
                        "fluency": {
                            "words_per_minute": round(per_minute, 1),
                            "words_per_minute_min": 120,
                            "words_per_minute_max": 160,
                            "pausing_score": _near(chance, skills["fluency"]),
                        },
                        "intonation": {
                            "energy_variation": _near(chance, skills["intonation"]),
                            "pitch_variation": _near(chance, skills["intonation"]),
                            "word_prominence_score": _near(chance, skills["intonation"]),
                            "word_prominence_cefr": _level(skills["intonation"]),
                        },
                    },
                },
                "feedbacks": {
                    "pronunciation": {"top_errors": _top_errors(words)},
                    "grammar": {"items": list(_grammar(said))},
                    "vocabulary": {"low_level_words": list(_low_level_words(words))},
                },
                "utterances": utterances,
            }
        ],
    }


def _utterance(
    chance: random.Random, index: int, sentence: Sentence, skills: dict[str, float], weak: Sequence[str]
) -> dict[str, Any]:
    words = [_word(chance, word, skills["pronunciation"], weak) for word in sentence.words]
    mean = sum(word["nativeness_score"] for word in words) / len(words)
    return {
        "utterance_id": index,
        "text": sentence.text,
        "result": {"nativeness_score": round(mean, 1)},
        "words": words,
    }


def _word(chance: random.Random, word: Spoken, pronunciation: float, weak: Sequence[str]) -> dict[str, Any]:
    phonemes: list[dict[str, Any]] = []
    for sound in word.sounds:
        wrong = chance.random() * 130 < 110 - pronunciation and sound.symbol in weak
        score = 15 + 30 * chance.random() if wrong else pronunciation + 4 + 24 * (chance.random() - 0.5)
        phonemes.append(
            {
                "text": sound.symbol,
                "nativeness_score": round(_bounded(score), 1),
                "start_time": sound.start,
                "end_time": sound.end,
                **({"error_phoneme": SUBSTITUTES[sound.symbol]} if wrong else {}),
            }
        )
    return {
        "text": word.text,
        "nativeness_score": round(sum(each["nativeness_score"] for each in phonemes) / len(phonemes), 1),
        "start_time": word.sounds[0].start,
        "end_time": word.sounds[-1].end,
        "phonemes": phonemes,
    }


def _top_errors(words: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the sounds that went wrong most often. There is always one: else, the worst sound was left out."""
    heard: dict[tuple[str, str | None], list[str]] = {}
    sounds = [(phoneme, word["text"]) for word in words for phoneme in word["phonemes"]]
    for phoneme, text in sounds:
        if "error_phoneme" in phoneme:
            heard.setdefault((phoneme["text"], phoneme["error_phoneme"]), []).append(text)
    if not heard:
        phoneme, text = min(sounds, key=lambda sound: float(sound[0]["nativeness_score"]))
        heard[phoneme["text"], None] = [text]
    return [
        {
            "phoneme": meant,
            "errors": [
                {
                    "error_phoneme": instead,
                    "type": "substitution" if instead else "deletion",
                    "count": len(texts),
                    "examples": [{"text": text} for text in list(dict.fromkeys(texts))[:4]],
                }
            ],
        }
        for (meant, instead), texts in sorted(heard.items(), key=lambda item: -len(item[1]))[:MOST_ERRORS]
    ]


def _grammar(said: Sequence[Sentence]) -> Iterator[dict[str, str]]:
    for original in dict.fromkeys(sentence.text for sentence in said):
        if original in _speech()["grammar"]:
            yield {"original": original, "suggestion": _speech()["grammar"][original]}


def _low_level_words(words: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for text in dict.fromkeys(_plain(word["text"]) for word in words):
        if text in _speech()["low_level_words"]:
            yield {"word": text, "suggestions": [{"word": each} for each in _speech()["low_level_words"][text]]}


def _decision(score: float) -> str:
    return next(name for name, least in DECISIONS.items() if score >= least)


def _level(score: float) -> str:
    return [name for name, least in LEVELS.items() if score >= least][-1]


def _near(chance: random.Random, score: float) -> float:
    return round(_bounded(score + 10 * (chance.random() - 0.5)), 1)


def _bounded(score: float) -> float:
    return round(min(max(score, 0.0), 100.0), 2)


def _trimmed(word: str) -> str:
    return word.rstrip(".,")


def _plain(word: str) -> str:
    return _trimmed(word).lower()
