"""The card that a notebook shows for a result."""

from __future__ import annotations

import html.parser
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, ROOT, environment

from elsa_unscripted import ScoreResult
from elsa_unscripted.sandbox.verdict import example, honest

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\x1b[2J\u202e"
needs_jupyter = pytest.mark.skipif(
    importlib.util.find_spec("nbclient") is None, reason="requirements.txt has nbclient for Python 3.11 alone"
)


class Text(html.parser.HTMLParser):
    """Takes the text of HTML, and its tags."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()
        self._open: list[str] = []
        self.feed(content)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.add(tag)
        self._open.append(tag)
        assert {name for name, _ in attributes} <= {"style", "title"}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def card(assessment: Any = None, **more: Any) -> Text:
    raw = {"status": "success", **({} if assessment is None else {"result": assessment}), **more}
    return Text(ScoreResult(raw, stream_id="stream-1", audio_seconds=24.73)._repr_html_())


def test_card_of_a_result() -> None:
    """Scores and levels, the transcript with its weakest words, and that the sandbox made it up."""
    shown = card(example())
    for text in ("81.4 %", "B2", "Pronunciation", "79.6 %", "Vocabulary", "leisure", "himself", "24.7 s", "stream-1"):
        assert text in shown.text
    assert "The sandbox made this result" in shown.text
    assert shown.tags == {"div", "span"}
    content = ScoreResult({"result": example()})._repr_html_()
    assert 'title="57.3 %"' in content
    assert len(content) < 10_000


def test_card_of_a_result_without_scores() -> None:
    """What isn't scored is called so, with the reason, and is never 0."""
    assert card(honest(3.0), partial_error="too_short").text.count("not scored") == 1
    partly = example()
    partly["speakers"][0]["metrics"]["general_scores"]["elsa"]["grammar_score"] = None
    assert card(partly).text.count("not scored") == 1
    assert "not enough speech" in card(honest(3.0), partial_error="too_short").text
    assert "sent no assessment" in card().text
    assert "found no speaker" in card({"speakers": []}).text
    assert "first of 2 speakers" in card({"speakers": [{}, {}]}).text


def test_card_shows_text_as_text() -> None:
    """Whatever the server says: no tag, no attribute and no control character of it is in the card."""

    def evil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: evil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [evil(each) for each in value]
        return EVIL if isinstance(value, str) else value

    result = ScoreResult(
        {"status": "success", "partial_error": EVIL, "result": evil(example())},
        stream_id=EVIL,
        warnings=(EVIL,) * 100,
        audio_seconds=1.0,
    )
    content = result._repr_html_()
    assert Text(content).tags == {"div", "span"}
    assert content.isprintable()
    assert "alert(1)" in Text(content).text


@pytest.mark.slow
@needs_jupyter
def test_a_notebook_shows_the_card(tmp_path: Path) -> None:
    """Executed by Jupyter, a cell that ends with a result has the card as its output."""
    ScoreResult({"status": "success", "result": example()}).save(tmp_path / "result.json")
    source = "from elsa_unscripted import ScoreResult\nresult = ScoreResult.load('result.json')\nresult"
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    # In a process of its own: Jupyter's threads and sockets are none of ours.
    subprocess.run(
        [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", "a.ipynb"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT), JUPYTER_PLATFORM_DIRS="1", HOME=str(tmp_path)),
        timeout=PATIENCE,
        check=True,
    )
    (output,) = json.loads((tmp_path / "a.ipynb").read_text(encoding="utf-8"))["cells"][0]["outputs"]
    assert Text("".join(output["data"]["text/html"])).text == card_text(tmp_path)
    assert "ScoreResult" in "".join(output["data"]["text/plain"])


def card_text(folder: Path) -> str:
    return Text(ScoreResult.load(folder / "result.json")._repr_html_()).text
