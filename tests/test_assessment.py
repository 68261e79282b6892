"""The typed views of the server's assessment."""

from __future__ import annotations

import dataclasses
import json
import logging
import operator
import pickle
from collections.abc import Iterator
from typing import Any, Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elsa_unscripted.results import view as module
from elsa_unscripted.results.assessment import Assessment, Score, find_assessment

DOCUMENTED: Dict[str, Any] = {
    "recording_quality": "good",
    "assessment_quality": "ok",
    "transcript": "I think so.",
    "speakers": [
        {
            "speaker_id": 0,
            "total_time": 31.5,
            "metrics": {
                "general_scores": {
                    "elsa": {"eps_score": 78, "fluency_score": 83.1, "fluency_decision": "advanced"},
                    "cefr": {"overall_cefr": "B2", "fluency_cefr": "C1"},
                    "other_scores": {"ielts_score": 6.5, "toefl_score": 84, "toeic_score": 785, "pte_score": 58},
                },
                "other_metrics": {
                    "pronunciation": {"advanced_pronunciation_score": 70.0},
                    "fluency": {"words_per_minute": 128.4, "pausing_score": 71},
                    "intonation": {
                        "energy_variation": 0.4,
                        "pitch_variation": 0.3,
                        "word_prominence_score": 66,
                        "word_prominence_cefr": "B1",
                    },
                },
            },
            "feedbacks": {
                "pronunciation": {
                    "top_errors": [
                        {
                            "phoneme": "θ",
                            "errors": [
                                {"error_phoneme": "t", "type": "substitution", "count": 2, "examples": [{"text": "th"}]}
                            ],
                        }
                    ]
                }
            },
            "utterances": [
                {
                    "utterance_id": "u1",
                    "text": "I think so.",
                    "result": {
                        "nativeness_score": 71,
                        "words": [
                            {
                                "word": "think",
                                "score": 41,
                                "start": 0.4,
                                "end_time": 0.8,
                                "phonemes": [
                                    {"text": "TH", "score": 12, "error_phoneme": "T", "start": 0.4, "end": 0.5}
                                ],
                            }
                        ],
                    },
                }
            ],
        }
    ],
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def strange(value: Any, replacement: Any, path: Any) -> Any:
    """Puts `replacement` into a copy of `value`, at the place that the indices in `path` lead to."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return replacement
    if isinstance(value, list):
        return [strange(value[0], replacement, path[1:])]
    key = sorted(value)[path[0] % len(value)]
    return {**value, key: strange(value[key], replacement, path[1:])}


def views(view: Any) -> Iterator[Any]:
    """The view, and all that can be reached from it."""
    yield view
    for name in dir(type(view)):
        value = getattr(view, name) if not name.startswith("_") else None
        for item in value if isinstance(value, tuple) else (value,):
            if hasattr(item, "raw"):
                yield from views(item)


def look_at_everything(view: Any) -> None:
    for each in views(view):
        repr(each)


def one_speaker(**fields: Any) -> Any:
    return Assessment({"speakers": [fields]}).speakers[0]


def scored(value: Any) -> Score:
    score = one_speaker(metrics={"general_scores": {"elsa": {"fluency_score": value}}}).scores.fluency
    assert isinstance(score, Score)
    return score


@pytest.fixture(autouse=True)
def nothing_reported_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_reported", set())


def test_reads_every_documented_field() -> None:
    """Every documented field is read from its documented place, numbers as they are."""
    assessment = Assessment(DOCUMENTED)
    (speaker,) = assessment.speakers
    assert (assessment.recording_quality, assessment.assessment_quality) == ("good", "ok")
    assert assessment.transcript == "I think so."
    assert (speaker.speaker_id, speaker.total_time) == ("0", 31.5)
    assert speaker.scores.overall == Score(78.0, None, "B2")
    assert speaker.scores.fluency == Score(value=83.1, decision="advanced", cefr="C1")
    equivalents = speaker.equivalents
    assert (equivalents.ielts, equivalents.toefl, equivalents.toeic, equivalents.pte) == (6.5, 84, 785, 58)
    metrics = speaker.metrics
    assert (metrics.advanced_pronunciation_score, metrics.words_per_minute, metrics.pausing_score) == (70, 128.4, 71)
    assert (metrics.energy_variation, metrics.pitch_variation) == (0.4, 0.3)
    assert (metrics.word_prominence_score, metrics.word_prominence_cefr) == (66, "B1")
    (error,) = speaker.top_errors[0].errors
    assert (speaker.top_errors[0].phoneme, error.error_phoneme, error.type, error.count) == (
        "θ",
        "t",
        "substitution",
        2,
    )
    assert [example.text for example in error.examples] == ["th"]
    (utterance,) = speaker.utterances
    assert (utterance.utterance_id, utterance.text, utterance.score) == ("u1", "I think so.", 71)
    (word,) = utterance.words
    assert (word.text, word.score, word.start, word.end) == ("think", 41, 0.4, 0.8)
    (sound,) = word.phonemes
    assert (sound.symbol, sound.score, sound.heard, sound.start, sound.end) == ("TH", 12, "T", 0.4, 0.5)


def test_null_scores_are_not_zero() -> None:
    """A null or absent score reads as None, never as 0."""
    assert scored(None).value is None
    assert one_speaker().scores.fluency == Score(None, None, None)
    assert not one_speaker().scores.any_scored


@pytest.mark.parametrize("value", [True, "83.1", float("nan"), float("inf"), 10**400, [], {}])
def test_only_finite_numbers_are_scores(value: Any) -> None:
    """A bool, a number in quotes, NaN, an infinity and a number beyond all floats are not scores."""
    assert scored(value).value is None


def test_zero_is_a_score() -> None:
    """0 given by the server stays 0."""
    assert scored(0).value == 0.0


def test_strange_type_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A strange type is logged once per field, with its path and without its value."""
    with caplog.at_level(logging.WARNING, "elsa_unscripted"):
        for _ in range(3):
            assert scored("secret").value is None
    (record,) = caplog.records
    assert "speakers[].metrics.general_scores.elsa.fluency_score" in record.getMessage()
    assert "secret" not in caplog.text


def test_items_of_a_strange_type_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A list keeps the items that are objects."""
    assert len(Assessment({"speakers": [1, {}, None]}).speakers) == 1
    assert "speakers[]" in caplog.text


def test_unknown_fields_stay_in_raw() -> None:
    """What a view does not know is in its raw, at every level."""
    spiced = json.loads(json.dumps(DOCUMENTED), object_hook=lambda found: {**found, "mood": "calm"})
    found = list(views(Assessment(spiced)))
    assert len({type(view) for view in found}) == 12
    assert {view.raw["mood"] for view in found} == {"calm"}


def test_every_view_is_frozen() -> None:
    """No field of any view can be set or taken away, nor one added."""
    for view in (*views(Assessment(DOCUMENTED)), Score()):
        for name in ("raw", "value", "mood"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(view, name, 1)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(view, name)


@pytest.mark.parametrize("stranger", [None, "0", False, []])
def test_nothing_reads_as_zero(stranger: Any) -> None:
    """Of an assessment whose every value is null, or no number, no number is left, and no 0 comes up."""

    def emptied(found: Dict[str, Any]) -> Dict[str, Any]:
        return {key: value if value and isinstance(value, (dict, list)) else stranger for key, value in found.items()}

    for view in views(Assessment(json.loads(json.dumps(DOCUMENTED), object_hook=emptied))):
        shown = [getattr(view, name) for name in dir(type(view)) if not name.startswith("_")]
        flat = [value.value if isinstance(value, Score) else value for value in shown]
        assert [value for value in flat if isinstance(value, (int, float)) and not isinstance(value, bool)] == []


def test_views_are_frozen() -> None:
    """A view can not be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Assessment({}).transcript = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        one_speaker().total_time = 3


def test_views_survive_pickle() -> None:
    """A view that comes back from another process is equal to what it was."""
    speaker = Assessment(DOCUMENTED).speakers[0]
    assert pickle.loads(pickle.dumps(speaker)) == speaker


def test_repr_shows_values_not_the_raw_object() -> None:
    """A repr shows the fields, short, and not the server's whole object."""
    shown = repr(Assessment({"transcript": "hello", "unknown": "x" * 10_000}))
    assert "transcript='hello'" in shown
    assert len(shown) < 200


def test_survives_cycles_and_depth() -> None:
    """An object that contains itself, or is nested without end, is read like any other."""
    cyclic: Dict[str, Any] = {}
    cyclic.update(speakers=[cyclic], utterances=[cyclic], words=[cyclic], phonemes=[cyclic], metrics=cyclic)
    look_at_everything(Assessment(cyclic))
    deep: Any = {}
    for _ in range(100_000):
        deep = {"speakers": [deep]}
    look_at_everything(Assessment(deep))
    while deep:  # taken apart from the outside, so that freeing it does not recurse
        deep = deep["speakers"][0]


@pytest.mark.slow
@given(json_values, st.lists(st.integers(0, 9), max_size=9))
def test_no_json_value_raises(value: Any, path: Any) -> None:
    """Any JSON value, anywhere in an assessment, reads without an exception."""
    look_at_everything(Assessment(strange(DOCUMENTED, value, path)))
    look_at_everything(Assessment(value))
    look_at_everything(Assessment({"speakers": value}))


@pytest.mark.parametrize("key", ["assessment", "result", "anything"])
def test_finds_the_assessment_one_level_down(key: str) -> None:
    """The assessment is found under any key, or at the top level."""
    assert find_assessment({"status": "success", key: DOCUMENTED}) is DOCUMENTED
    assert find_assessment(DOCUMENTED) is DOCUMENTED


@pytest.mark.parametrize("message", [{}, {"speakers": None}, {"a": {"speakers": {}}}, {"a": {"b": DOCUMENTED}}])
def test_finds_no_assessment_elsewhere(message: Dict[str, Any]) -> None:
    """Without a list of speakers at one of the two levels there is no assessment."""
    assert find_assessment(message) is None


def test_class_attributes_can_be_inspected() -> None:
    """Tools that look at the class, such as help(), find the fields."""
    assert hasattr(Assessment, "transcript")


def test_names_of_the_scripted_api() -> None:
    """Words, sounds and suggestions are read by the names that others' code uses for ELSA's scripted API."""
    feedback = {"id": 7, "text": "Put your tongue between your teeth.", "audio_link": "https://a", "language": "en"}
    phoneme = {
        "text": "th",
        "ipa": "θ",
        "trans_arpabet": "TH",
        "phoneme_error": "t",
        "phoneme_error_arpabet": "T",
        "start_index": 0,
        "end_index": 2,
        "start_time": 0.1,
        "end_time": 0.2,
        "nativeness_score": 31,
        "decision": "incorrect",
        "feedback": [feedback],
    }
    stress = {"start_index": 0, "end_index": 5, "decision": "correct", "stress_level_measured": 1}
    word = {
        "word": "think",
        "start_index": 2,
        "end_index": 7,
        "start_time": 0.1,
        "end_time": 0.5,
        "trans": "x",
        "trans_arpabet": "TH IH NG K",
        "ipa": "θɪŋk",
        "decoded": "tink",
        "nativeness_score": 62.5,
        "decision": "almost_correct",
        "phonemes": [phoneme],
        "word_stress": [stress],
    }
    raw = {
        "utterances": [{"words": [word]}],
        "metrics": {"other_metrics": {"fluency": {"words_per_minute_min": 110, "words_per_minute_max": 150}}},
        "feedbacks": {
            "grammar": {"items": [{"original": "He go", "suggestion": "He goes"}]},
            "vocabulary": {"low_level_words": [{"word": "good", "suggestions": [{"word": "great"}, {"word": "fine"}]}]},
        },
    }
    (speaker,) = Assessment({"speakers": [raw]}).speakers
    (said,) = speaker.words
    assert (said.text, said.start, said.end, said.score, said.decision) == ("think", 0.1, 0.5, 62.5, "almost_correct")
    assert (said.start_index, said.end_index, said.trans, said.trans_arpabet) == (2, 7, "x", "TH IH NG K")
    assert (said.ipa, said.decoded) == ("θɪŋk", "tink")
    (stressed,) = said.word_stress
    assert (stressed.start_index, stressed.end_index, stressed.decision, stressed.measured) == (0, 5, "correct", "1")
    (sound,) = said.phonemes
    assert (sound.symbol, sound.text, sound.ipa, sound.trans_arpabet) == ("θ", "th", "θ", "TH")
    assert (sound.heard, sound.heard_arpabet, sound.score, sound.decision) == ("t", "T", 31.0, "incorrect")
    assert (sound.start, sound.end, sound.start_index, sound.end_index) == (0.1, 0.2, 0, 2)
    (advice,) = sound.feedback
    assert (advice.feedback_id, advice.text, advice.audio_link, advice.language) == ("7", *list(feedback.values())[1:])
    assert (speaker.metrics.words_per_minute_min, speaker.metrics.words_per_minute_max) == (110.0, 150.0)
    assert [(each.original, each.suggestion) for each in speaker.grammar_suggestions] == [("He go", "He goes")]
    (simple,) = speaker.low_level_words
    assert (simple.text, [each.text for each in simple.suggestions]) == ("good", ["great", "fine"])


def test_a_score_calculates_as_its_number() -> None:
    """Whole numbers serve as well as others, and each operator gives what it gives for the number itself."""
    score = Score(80)
    assert score > 70
    assert repr(float(score)) == "80.0"
    assert min(Score(81.5), score) is score
    assert (score // 30, score % 30, score**2, 100 // score, 100 % score, 2 ** Score(3)) == (2, 20, 6400, 1, 20, 8)
    for calculate in (operator.floordiv, operator.mod, operator.pow):
        for pair in ((Score(), 10), (10, Score())):
            with pytest.raises(TypeError, match="not scored"):
                calculate(*pair)
