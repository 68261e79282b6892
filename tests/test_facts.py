"""What a result says, before anybody lays it out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from classes import line, write

from elsa_unscripted.cli.summary import summarize
from elsa_unscripted.results import facts, sounds
from elsa_unscripted.results.assessment import Speaker
from elsa_unscripted.results.facts import Rating
from elsa_unscripted.results.result import ScoreResult, Timings

# Three sounds whose order is neither that in which they came nor that of their names, and one without a count.
ERRORS = [
    {"phoneme": "R", "errors": [{"error_phoneme": "L", "count": 2}, {"error_phoneme": "W", "count": 9}]},
    {"phoneme": "Z", "errors": [{"error_phoneme": "S"}]},
    {"phoneme": "TH", "errors": [{"error_phoneme": "T", "count": 5}, {"error_phoneme": "D", "count": 2}]},
]
RANKED = [("R", "W"), ("TH", "T"), ("R", "L"), ("TH", "D"), ("Z", "S")]
WORDS = {"one": 70, "two": 95, "three": 30.5, "four": None, "five": 59.9, "six": 80, "seven": 79.9}
WEAKEST = ["three", "five", "one", "seven"]
SPEAKER: dict[str, Any] = {
    "metrics": {
        "general_scores": {
            "elsa": {"eps_score": 79.6, "eps_decision": "good", "fluency_score": 80, "grammar_score": 0},
            "cefr": {"overall_cefr": "B2"},
            "other_scores": {"ielts_score": 6.5},
        },
        "other_metrics": {"intonation": {"word_prominence_score": 66, "word_prominence_cefr": "B1"}},
    },
    "feedbacks": {"pronunciation": {"top_errors": ERRORS}},
    "utterances": [{"words": [{"text": word, "score": score} for word, score in WORDS.items()]}],
}
VERDICT = {"status": "success", "result": {"speakers": [SPEAKER]}}


def test_a_rating_tells_whose_word_it_is() -> None:
    """Beside ELSA's word and level stands our band, which follows the thresholds; a skill without a score has none."""
    overall, *skills = facts.ratings(Speaker(SPEAKER))
    assert overall == Rating("Overall", 79.6, level="B2", word="good", band="fair")
    assert {skill.name: skill.band for skill in skills} == {
        **dict.fromkeys(("Pronunciation", "Intonation", "Vocabulary"), "none"),
        "Fluency": "good",
        "Grammar": "weak",
    }
    assert facts.ratings(Speaker(SPEAKER), (50, 79))[0].band == "good"
    assert [rating.name for rating in (overall, *skills)] == list(facts.RATED)


@pytest.mark.parametrize(
    ("name", "expected"), [("A1", 1), (" c2 ", 6), ("B2+", 4), ("", None), (None, None), ("B3", None), ("native", None)]
)
def test_levels(name: str | None, expected: int | None) -> None:
    """CEFR's six levels have an order; whatever else the server says has no place on the scale."""
    assert facts.level_number(name) == expected


def test_what_was_not_scored_is_named() -> None:
    """A score, an equivalent or a measure without a value is missing; one of 0 is not."""
    missing = facts.missing(Speaker(SPEAKER))
    assert {"Pronunciation", "TOEFL", "Pausing"} <= set(missing)
    assert not {"Overall", "Grammar", "IELTS", "Word prominence"} & set(missing)


def test_moments_are_in_order() -> None:
    """What happened in the exchange is told in order, and what did not happen isn't told."""
    found = facts.moments(ScoreResult({}, timings=Timings(connect=0.1, first_packet=0.3, verdict=2.0, total=2.1)))
    assert found == [("connected", 0.1), ("first packet", 0.3), ("verdict", 2.0), ("closed", 2.1)]


def test_a_transcript_is_the_best_that_is_there() -> None:
    """The whole text comes first, then that of the utterances, then the words."""
    utterances = [{"text": "One!", "words": [{"text": "one"}]}, {"text": "Two.", "words": [{"text": "two"}]}]
    assert facts.transcript(Speaker({"utterances": utterances}), "All of it.") == "All of it."
    assert facts.transcript(Speaker({"utterances": utterances}), "") == "One! Two."
    assert facts.transcript(Speaker({"utterances": [{"words": each["words"]} for each in utterances]})) == "one two"


def test_what_helps_most_is_practised_first() -> None:
    """Sounds that went wrong repeatedly come first, then weak words, then a sound that went wrong once."""
    errors = [
        {"phoneme": "D", "errors": [{"count": 1, "examples": [{"text": "cold"}]}]},
        {"phoneme": "TH", "errors": [{"error_phoneme": "T", "count": 3, "examples": [{"text": "Three"}]}]},
    ]
    said = [("three", 90), ("cold", 55), ("think", 40), ("three", 50), ("red", 99)]
    words = [{"text": text, "score": score} for text, score in said]
    words[2]["phonemes"] = [{"text": "TH", "error_phoneme": "T"}]

    def practised(top: list[Any], words: list[Any]) -> list[Any]:
        speaker = Speaker({"feedbacks": {"pronunciation": {"top_errors": top}}, "utterances": [{"words": words}]})
        return [
            (each.sound and each.sound.phoneme, list(each.words))
            for each in facts.practise(speaker, facts.words(speaker))
        ]

    assert practised(errors, words) == [("TH", [2, 3]), (None, [1]), ("D", [1])]
    assert practised(errors, []) == [("TH", []), ("D", [])]
    assert practised([], [{"text": "fine", "score": 95}]) == []


@pytest.mark.parametrize(
    ("symbol", "ipa", "letters"),
    [("DH", "ð", "th"), ("dh", "ð", "th"), ("AH0", "ʌ", "u"), ("θ", "θ", "th"), ("/ʒ/", "ʒ", "zh"), ("j", "j", "y")],
)
def test_sounds_are_named(symbol: str, ipa: str, letters: str) -> None:
    """A sound in ARPAbet or IPA has its IPA, and letters that a reader knows."""
    assert sounds.sound(symbol)[1:3] == (ipa, letters)


def test_an_unknown_sound_keeps_its_name() -> None:
    """What is no sound of English stays what the server called it."""
    assert sounds.sound("<b>").ipa == sounds.sound("<b>").letters == "<b>"
    assert sounds.sound(None).ipa == "?"


@pytest.mark.parametrize(
    ("word", "symbol", "letters"),
    [
        ("then", "DH", "th"),
        ("Disposed", "Z", None),
        ("his", "Z", "s"),
        ("cold", "D", "d"),
        ("", "D", None),
        ("İd", "D", None),
    ],
)
def test_the_letters_of_a_sound(word: str, symbol: str, letters: str | None) -> None:
    """The letters of a sound are found in a word where only one place can be meant; else none are."""
    place = sounds.letters_of(word, symbol)
    assert (place and word[place[0] : place[1]]) == letters


def test_the_terminal_and_the_pages_agree(tmp_path: Path) -> None:
    """Sound errors and weak words have one order, and scores one band, wherever they are shown."""
    pytest.importorskip("jinja2")
    from elsa_unscripted.report import class_page

    result = ScoreResult(VERDICT)
    text, colored, page = summarize(result), summarize(result, color=True), result.to_html()
    journal = write(tmp_path / "scores.jsonl", [{**line("Ana"), "result": VERDICT}])
    (row,) = json.loads(class_page(journal).partition('id="data">')[2].partition("</script>")[0])["recordings"]
    assert re.findall(r"(\w+) → (\w+)", text) == RANKED
    assert re.findall(r'<li><bdi class="sound">(\w+)</bdi> → <bdi class="sound">(\w+)', page) == RANKED
    assert [tuple(each[:2]) for each in row["sounds"]] == RANKED
    assert [word for word, _ in row["weak"]] == WEAKEST
    assert re.findall(r"(\w+) [\d.]+ %", text.partition("[weakest]")[2].partition("\n")[0]) == WEAKEST[:2]
    colors = {"\x1b[31m": "weak", "\x1b[33m": "fair", "\x1b[32m": "good"}
    found = re.findall(r"(Fluency|Grammar)[^\n]*?(\x1b\[3\dm)", colored)
    banded = {(colors[color], name) for name, color in found}
    assert banded == set(re.findall(r'band-(\w+)">\s*<span class="name">(Fluency|Grammar)', page))
    assert banded == {("good", "Fluency"), ("weak", "Grammar")}


ARPABET = [
    *(
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AX",
        "AXR",
        "AY",
        "EH",
        "ER",
        "EY",
        "IH",
        "IX",
        "IY",
        "OW",
        "OY",
        "UH",
        "UW",
        "UX",
    ),
    *("B", "CH", "D", "DH", "DX", "EL", "EM", "EN", "F", "G", "H", "HH", "JH", "K", "L", "M", "N", "NG", "NX"),
    *("P", "Q", "R", "S", "SH", "T", "TH", "V", "W", "WH", "Y", "Z", "ZH"),
]


def test_every_sound_of_arpabet_has_its_ipa() -> None:
    """No symbol of ARPAbet is left as it is, whatever its stress."""
    for symbol in ARPABET:
        assert all(sounds.sound(symbol + stress).example for stress in ("", "0", "1", "2"))
    assert [sounds.sound(symbol).ipa for symbol in ("UX1", "Q", "t͡ʃ", "1")] == ["ʉ", "ʔ", "tʃ", "1"]
