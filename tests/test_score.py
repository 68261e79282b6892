"""`Score` as a number, and the shortcuts and rows of a result."""

from __future__ import annotations

import copy
import json
import math
import pickle
import statistics
from fractions import Fraction
from typing import Any, Callable

import pytest

from elsa_unscripted import Client, Score, ScoreResult
from elsa_unscripted.results.rows import COLUMNS, WORD_COLUMNS
from elsa_unscripted.sandbox import Sandbox
from elsa_unscripted.sandbox.verdict import example

NONE = Score(None, "?", None)


def result_of(*speakers: dict[str, Any], **more: Any) -> ScoreResult:
    return ScoreResult({"status": "success", "result": {"speakers": list(speakers), **more}}, stream_id="stream-1")


def speaker(*words: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """Returns a speaker who says words at certain times."""
    said = [{"text": text, "start_time": start} for text, start in words]
    return {"utterances": [{"text": " ".join(text for text, _ in words), "words": said}], **more}


# A score.


def test_a_score_compares_as_its_value(pandas: Any) -> None:
    """With numbers of every kind and with other scores, on both sides, and it sorts."""
    for number in (81, 81.0, Fraction(81), Score(81.0, "bad", "A1")):
        assert Score(81.0) == number == Score(81.0)
        assert Score(81.4) > number < Score(81.4)
        assert Score(81.4) != number
        assert Score(80.0) < number > Score(80.0)
        assert Score(81.0) <= number <= Score(81.0)
        assert Score(81.0) >= number >= Score(81.0)
    assert sorted([Score(3.0), Score(2.0), Score(1.0)]) == [1, 2, 3]
    assert max([Score(81.4), Score(90.1)]) == 90.1
    assert Score(81.4) != "81.4"
    assert Score(81.4) != None  # noqa: E711
    with pytest.raises(TypeError):
        _ = Score(81.4) > "80"
    column = pandas.Series([80.0, 81.4, 90.0])
    assert (column > Score(81.4)).tolist() == (Score(81.4) < column).tolist() == [False, False, True]
    assert (column == Score(81.4)).tolist() == (Score(81.4) == column).tolist() == [False, True, False]


def test_a_score_hashes_as_its_value() -> None:
    """It finds what is kept under the number, and the other way round; one without a value can be a key, too."""
    assert {81.4: "x"}[Score(81.4)] == "x"  # type: ignore[index]
    assert {Score(50.0)} == {50}
    assert len({Score(1.0, "a"), Score(1.0, "b"), NONE, Score()}) == 2


def test_a_score_converts_as_its_value(pandas: Any) -> None:
    """Whatever takes a number takes a score."""
    number = Score(81.4, "good", "B2")
    assert (float(number), int(number), round(number), round(number, 1)) == (81.4, 81, 81, 81.4)
    assert (math.floor(number), math.ceil(number), math.trunc(number)) == (81, 82, 81)
    assert (math.floor(Score(81.0)), math.ceil(Score(81.0))) == (81, 81)
    assert f"{number} {number:.0f} {number:>6.2f} " == "81.4 81  81.40 "
    assert (number + 1, 1 + number, number - 0.4, 100 - number) == (82.4, 82.4, 81.0, 100 - 81.4)
    assert (number * 2, 2 * number, number / 2, 100 / number) == (162.8, 162.8, 40.7, 100 / 81.4)
    assert (-number, +number, abs(number)) == (-81.4, 81.4, 81.4)
    assert sum([Score(1.0), Score(2.0)]) == 3
    assert statistics.fmean([Score(1.0), Score(2.0)]) == 1.5
    assert math.isclose(number, 81.4)
    assert pandas.Series([number, 1], dtype=float).sum() == 82.4
    assert (bool(number), bool(Score(0.0)), bool(NONE)) == (True, False, False)


@pytest.mark.parametrize(
    "use",
    [
        *[lambda score: score > 80, lambda score: score <= 80, lambda score: score < NONE],
        *[float, int, round, math.floor, math.ceil, abs, math.sqrt, lambda score: f"{score:.1f}"],
        *[lambda score: score + 1, lambda score: 1 - score, lambda score: -score, lambda score: sorted([score, score])],
        *[lambda score: Score(1.0) > score, lambda score: Score(1.0) + score],
    ],
)
def test_what_is_not_scored_is_no_number(use: Callable[[Any], object]) -> None:
    """Each use of it as a number is a TypeError that says so."""
    with pytest.raises(TypeError, match="not scored"):
        use(NONE)


def test_what_is_not_scored_equals_only_itself() -> None:
    """It is neither 0 nor any other number, and its text says what it is."""
    assert Score() == NONE
    assert NONE != 0
    assert Score(0.0) != NONE
    assert (str(NONE), f"{NONE}", repr(Score())) == (*["not scored"] * 2, "Score(value=None, decision=None, cefr=None)")


def test_a_score_is_copied_whole() -> None:
    """Pickle and copy keep what equality doesn't look at."""
    number = Score(81.4, "good", "B2", {"x": 1})
    for again in (pickle.loads(pickle.dumps(number)), copy.deepcopy(number), copy.copy(number)):
        assert (again.value, again.decision, again.cefr, again.raw) == (81.4, "good", "B2", {"x": 1})


# A result.


def test_shortcuts_of_a_result() -> None:
    """The usual questions have a short answer: of the first speaker, and of what was heard."""
    result = ScoreResult({"status": "success", "result": example()})
    assert result.overall is not None
    assert result.overall > 80
    assert result.overall == 81.4
    assert (result.cefr, result.overall.decision) == ("B2", "good")
    assert str(result.transcript).startswith("And Mister John Dashwood")
    assert [word.text for word in result.words][:3] == ["And", "Mister", "John"]
    assert (result.words[0].start, result.words[0].end, result.words[0].score) == (0.2, 0.37, 93.1)
    assert [sound.symbol for sound in result.words[0].phonemes] == ["AE", "N", "D"]


@pytest.mark.parametrize("result", [ScoreResult({"status": "success"}), result_of(), result_of({})])
def test_shortcuts_of_a_result_without(result: ScoreResult) -> None:
    """Without an assessment, a speaker or a score there is nothing: `None`, never 0, and never an exception."""
    assert (result.overall, result.cefr, result.transcript, result.words) == (None, None, None, ())
    assert result.words_rows() == []
    assert result.to_row()["eps_score"] is None


def test_words_of_several_speakers_are_in_order() -> None:
    """They are merged by their times; a word without a time stays behind the one before it."""
    result = result_of(speaker(("a", 0.0), ("d", 3.0), ("e", None)), speaker(("b", 1.0), ("c", 2.0), ("f", 4.0)))
    assert [word.text for word in result.words] == list("abcdef")
    assert result.transcript == "a d e b c f"
    assert [row["word"] for row in result.words_rows()] == list("adebcf")
    alone = result_of(speaker(("late", 5.0), ("early", 1.0)))
    assert [word.text for word in alone.words] == ["late", "early"]


def test_rows_are_data_frames(pandas: Any) -> None:
    """A row has the columns of `batch --csv`, in their order; the words have theirs; both are pandas' in one line."""
    result = ScoreResult({"status": "success", "result": example()}, stream_id="s", audio_seconds=24.73)
    table = pandas.DataFrame([result.to_row(), ScoreResult({}).to_row()])
    assert tuple(table.columns) == COLUMNS
    assert (table["eps_score"][0], table["overall_cefr"][0], table["outcome"][1]) == (81.4, "B2", "success")
    words = pandas.DataFrame(result.words_rows())
    assert tuple(words.columns) == WORD_COLUMNS
    assert len(words) == 70
    worst = words.sort_values("score").iloc[0]
    assert (worst["word"], worst["worst_phoneme"], worst["worst_phoneme_heard"]) == ("leisure", "ZH", "SH")
    assert words["seconds"].sum() == pytest.approx((words["end"] - words["start"]).sum())


def test_a_result_as_plain_values() -> None:
    """`to_dict()` is JSON, and what `save()` writes; `raw` is the server's object to `json` and to Flask."""
    with Sandbox("example") as sandbox, Client("any", url=sandbox.url, speed=None) as client:
        result = client.score("tests/data/wire/short.wav")
    again = json.loads(json.dumps(result.to_dict()))
    assert (again["v"], again["raw"], again["audio_seconds"]) == (1, dict(result), result.audio_seconds)
    assert json.loads(json.dumps(result.raw)) == json.loads(result.text)
    import flask

    app = flask.Flask("app")
    with app.app_context():
        assert json.loads(flask.jsonify(result.raw).data) == json.loads(result.text)
