"""`elsa-unscripted show`, run as a process, on files as they are saved, printed, damaged and forged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, SHORT, Finished, on_terminal, posix, run

from elsa_unscripted.api import score
from elsa_unscripted.cli.summary import summarize
from elsa_unscripted.results.result import ScoreResult
from elsa_unscripted.sandbox import Sandbox

EVIL = "\x1b[2J\x9b1A\r\u2028\u202e\x7f"


@pytest.fixture(name="result", scope="module")
def _result() -> ScoreResult:
    """The sandbox's example, scored."""
    with Sandbox() as sandbox:
        return score(SHORT, "sandbox:example", url=sandbox.url, speed=None)


@pytest.fixture(name="saved")
def _saved(result: ScoreResult, tmp_path: Path) -> Path:
    result.save(tmp_path / "result.json")
    return tmp_path / "result.json"


def show(path: Path, **variables: Any) -> Finished:
    return run(*COMMAND, "show", str(path), **variables)


def test_a_saved_result_is_shown(result: ScoreResult, saved: Path) -> None:
    """What `save()` wrote is printed as `score` prints it, in a pipe with 80 columns and no colour."""
    assert show(saved) == (0, summarize(result).encode() + b"\n", "")


def test_what_score_printed_is_shown(result: ScoreResult, tmp_path: Path) -> None:
    """The JSON of `score --format json` is shown too: it is the result file that the command line makes."""
    file = tmp_path / "verdict.json"
    file.write_text(f"{result.text}\n", encoding="utf-8")
    assert show(file) == (0, summarize(ScoreResult(result.raw)).encode() + b"\n", "")


@posix
def test_colors_and_width_are_the_terminals(result: ScoreResult, saved: Path) -> None:
    """On a terminal the summary is coloured and as wide as it; `$NO_COLOR` speaks against colour."""
    command = (*COMMAND, "show", str(saved))
    wishes: list[tuple[dict[str, Any], bool]] = [({}, True), ({"NO_COLOR": "1"}, False)]
    for variables, colored in wishes:
        status, screen = on_terminal(*command, columns=60, **variables)
        assert (status, screen.replace("\r\n", "\n")) == (0, summarize(result, width=60, color=colored) + "\n")


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": ""},
        {"LC_ALL": "POSIX", "PYTHONUTF8": ""},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda value: " ".join(map("=".join, value.items())),
)
def test_a_c_locale_gets_ascii(result: ScoreResult, saved: Path, variables: dict[str, Any]) -> None:
    """Whoever asks for the C locale gets bars of ASCII, though Python would print UTF-8 there."""
    assert show(saved, **variables) == (0, summarize(result, ascii_only=True).encode("ascii") + b"\n", "")


def test_utf8_can_be_asked_for_in_a_c_locale(saved: Path) -> None:
    """`PYTHONUTF8=1` is a wish too, and a later one."""
    assert "█" in show(saved, LC_ALL="C", PYTHONUTF8="1").out.decode()


def test_hostile_text_of_a_file_is_harmless(saved: Path) -> None:
    """A file that came in a mail is as untrusted as the server: nothing of it moves the cursor."""
    whole = json.loads(saved.read_text())
    whole["raw"]["result"]["transcript"] = EVIL
    whole.update(stream_id=EVIL, warnings=[EVIL])
    saved.write_text(json.dumps(whole))
    status, out, _ = show(saved)
    assert status == 0
    assert all(char.isprintable() for char in out.decode().replace("\n", ""))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no result"),
        (b"RIFF\x24\x00\x00\x00WAVE", "is no result"),
        (b"[" * 100_000, "is no result"),
        (b'{"status": 5}', "is no result"),
        (b'{"status": "success"} {"status": "success"}', "is no result"),
        (b'{"v": 1, "raw": {}, "statuses": [], "warnings": [5], "timings": {}}', "is no result"),
        (b'{"v": 1, "sha256": "00", "outcome": "error"}\n' * 2, "elsa-unscripted report"),
        (b'{"v": 1, "sha256": "00", "outcome": "error"}\n{"v": 1, "sha2', "elsa-unscripted report"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    """What is no result is refused in one line that names the file and says which file would do."""
    file = tmp_path / "other.json"
    file.write_bytes(content)
    status, out, err = show(file)
    assert (status, out, err.count("\n")) == (2, b"", 1)
    assert str(file) in err
    assert told in err


@posix
@pytest.mark.parametrize("device", ["zero", "urandom"])
def test_a_file_without_end_is_refused(device: str, tmp_path: Path) -> None:
    """A device is refused by `show` and `report` at once, and not read until there is no memory left."""
    for command in (["show"], ["report", "-o", str(tmp_path / "page.html")]):
        status, _, err = run(*COMMAND, *command, f"/dev/{device}")
        assert (status, err.count("\n"), "is no result" in err) == (2, 1, True)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A missing file, or a folder, ends with status 2 and says why."""
    assert "No such file" in show(tmp_path / "missing.json").err
    assert show(tmp_path).status == 2


def test_a_reader_may_leave_early(saved: Path) -> None:
    """Behind `| head -1` it ends without a traceback."""
    done = run("sh", "-c", f'"{COMMAND[0]}" -m elsa_unscripted show "{saved}" | head -n 1')
    assert done.out.startswith(b"Sandbox ")
    assert "Traceback" not in done.err
