"""What `elsa-unscripted` says to somebody who has made a mistake, and what it reads from a pipe: in this process."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import COMMAND, SECOND, SHORT, posix, run

from elsa_unscripted import ConfigError, ScoreResult, ScoreTimeoutError, score
from elsa_unscripted.cli import main
from elsa_unscripted.cli.statuses import explain
from elsa_unscripted.exceptions import ConnectError, ElsaError, ScoringFailedError
from elsa_unscripted.sandbox import Sandbox

TOKEN = "a-token-that-is-secret"


class Said(NamedTuple):
    """How the program ended, and what it has printed."""

    status: int
    out: str
    err: str


class Program:
    """Runs the program in this process, in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._patch = monkeypatch

    def __call__(self, line: str, stdin: bytes = b"", **variables: str) -> Said:
        """Runs a line as a shell would split it."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        for name, value in variables.items():
            self._patch.setenv(name, value)
        try:
            status = main(shlex.split(line))
        except SystemExit as end:
            status = int(end.code or 0)
        return Said(status, *self._capsys.readouterr())


@pytest.fixture(name="program")
def _program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ELSA_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ELSA_API_TOKEN", TOKEN)
    return Program(capsys, monkeypatch)


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(name="answers")
def _answers(tmp_path: Path) -> Path:
    """A folder with a few files; nothing of it is ever sent."""
    folder = tmp_path / "answers"
    folder.mkdir()
    for name in ("Ivan Petrov.wav", "speech.wav", "a.wav"):
        (folder / name).write_bytes(b"RIFF")
    return folder


# Nearly right.


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("scroe answers/a.wav", 2, "unknown command 'scroe'; did you mean score?"),
        ("Batch answers", 2, "did you mean batch?"),
        ("frobnicate", 2, "unknown command 'frobnicate'; choose from score, live, batch, check, show, report, sandbox"),
        ("score answers/a.wav --tokenfile t.txt", 2, "unknown option --tokenfile; did you mean --token-file?"),
        ("score --token_file=secret answers/a.wav", 2, "unknown option --token_file; did you mean --token-file?"),
        ("score answers/a.wav --frobnicate", 2, "unknown option --frobnicate; see elsa-unscripted score --help"),
        ("batch answers --retryfailed", 2, "did you mean --retry-failed?"),
        ("sandbox --scenaro success", 2, "did you mean --scenario?"),
        ("sandbox --scenario sucess", 2, "did you mean success?"),
        ("score answers/a.wav --plan premum", 2, "--plan can't be 'premum'; did you mean premium?"),
        ("score answers/a.wav --plan gold", 2, "--plan can't be 'gold'; choose from standard, premium"),
        ("score answers/a.wav --format text", 2, "choose from summary, json, saved"),
        ("score answers/a.wav answers/speech.wav", 2, "elsa-unscripted batch answers/a.wav answers/speech.wav"),
        ("score answers/a.wav --speed 2 answers/speech.wav", 2, "elsa-unscripted batch"),
        ("score answers/", 5, "elsa-unscripted batch answers/"),
        ("score answers/Ivan Petrov.wav", 2, "quote it: 'answers/Ivan Petrov.wav' exists"),
        ("report answers/Ivan Petrov.wav", 2, "quote it: 'answers/Ivan Petrov.wav' exists"),
        ("batch answers/Ivan Petrov.wav", 2, "quote it: 'answers/Ivan Petrov.wav' exists"),
        ("batch answers/a.wav answers/Ivan Petrov.wav", 2, "quote it: 'answers/Ivan Petrov.wav' exists"),
        ("score 'answers/*.wav'", 5, "elsa-unscripted batch answers --glob '*.wav'"),
        ("batch 'answers/*.wav'", 2, "elsa-unscripted batch answers --glob '*.wav'"),
        ("batch answers '*.mp3'", 2, "elsa-unscripted batch . --glob '*.mp3'"),
        ("score answers/speach.wav", 5, "did you mean answers/speech.wav?"),
        ("batch answers/speach.wav", 2, "did you mean answers/speech.wav?"),
        ("show answers/a.wav answers/speech.wav", 2, "show takes one file"),
        ("batch answers --retry-failed=some", 2, "--retry-failed takes nothing, or =all, not 'some'"),
        ("batch answers --path-column file", 2, "--from-file"),
        ("batch answers --report -", 2, "--report"),
        ("batch answers --report missing/class.html", 2, "give another --report"),
        ("batch answers --report scores.jsonl", 2, "--report would write over"),
        ("batch answers -o answers/speech.wav --report answers/a.wav", 2, "--report"),
        ("report answers/a.wav --list missing.csv", 2, "a.wav"),
        ("batch --retry-failed all answers", 2, "are one word: --retry-failed=all; see elsa-unscripted batch --help"),
        ("batch answers --retry-failed all", 2, "are one word: --retry-failed=all"),
        ("--token-file secret score answers/a.wav", 2, "--token-file belongs behind the command"),
        ("--quiet score answers/a.wav", 2, "--quiet belongs behind the command: elsa-unscripted score --quiet"),
        ("answers/a.wav", 2, "did you mean elsa-unscripted score answers/a.wav?"),
        ("answers", 2, "did you mean elsa-unscripted batch answers?"),
        ("live answers/a.wav", 2, "live takes no file; for a recording: elsa-unscripted score"),
        ("sandbox example", 2, "sandbox takes only options"),
        ("score answers/A", 5, "did you mean answers/a.wav?"),
        ("batch answers/speech", 2, "did you mean answers/speech.wav?"),
    ],
)
def test_who_has_made_a_mistake_is_told_what_was_meant(
    program: Program, answers: Path, line: str, status: int, told: str
) -> None:
    """One line on stderr says what to type, nothing is sent, and no word of a secret option is repeated."""
    said = program(line)
    assert (said.status, said.out) == (status, "")
    assert said.err.startswith("elsa-unscripted: error: ")
    assert (said.err.count("\n"), told in said.err) == (1, True), said.err
    assert "secret" not in said.err


def test_alone_it_prints_its_help(program: Program) -> None:
    """Without a command there is its help, with every command, and status 0."""
    said = program("")
    assert (said.status, said.err) == (0, "")
    assert all(f"\n    {command} " in said.out for command in ("score", "live", "batch", "show", "report", "sandbox"))


@pytest.mark.parametrize(
    ("command", "word"), [("score", "$ELSA_UNSCRIPTED_URL"), ("batch", "http://[user:password@]host")]
)
def test_help_cuts_no_word(program: Program, command: str, word: str) -> None:
    """On 40 columns, help is wrapped, and what is to be copied stands there whole."""
    said = program(f"{command} --help", COLUMNS="40")
    assert (said.status, word in said.out) == (0, True)


# The command line's own words.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "--url http://127.0.0.1:9/x",
            "--url must be wss://host[:port]/path, not 'http://127.0.0.1:9/x'; did you mean ws://127.0.0.1:9/x?",
        ),
        ("--url https://api.example.com/x", "did you mean wss://api.example.com/x?"),
        ("--url api.example.com/x", "did you mean wss://api.example.com/x?"),
        ("--url ws://api.example.com/x", "did you mean wss://api.example.com/x?"),
        ("--url wss:/api.example.com/x", "did you mean wss://api.example.com/x?"),
        ("--url 'wss://api.example.com/x '", "did you mean wss://api.example.com/x?"),
        ("--url 'wss://me:secret@api.example.com'", "--url must not hold a user name"),
        ("--ca-bundle missing.pem", "--ca-bundle is not a file"),
        ("--sample-rate 12", "--sample-rate must be a whole number from 1000"),
        ("--timeout 1e300", "--timeout must be from 0 to"),
        ("--connect-timeout soon", "--connect-timeout must be a number of seconds above 0"),
        ("--speed 1e-300", "--speed is too small: "),
        ("--ping-interval 1e9", "--ping-interval must be at most 1e+06, not '1e9'"),
        ("--set 'api_plan=\"premium\"'", "--set must not hold api_plan: --plan tells it"),
        ("--proxy socks5://127.0.0.1", "the proxy must be"),
    ],
)
def test_options_have_the_command_lines_names(program: Program, options: str, told: str) -> None:
    """What is wrong is called as it was typed, and a URL that is nearly right is proposed right."""
    for command in (f"score {SHORT}", f"batch {SHORT}"):
        said = program(f"{command} {options}")
        assert (said.status, told in said.err, "secret" in said.err) == (2, True, False), said.err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ScoreTimeoutError("timed out waiting for the verdict; raise timeout, or try later"), "raise --timeout, or"),
        (ConnectError("timed out; check the network, or raise connect_timeout"), "raise --connect-timeout"),
        (ConnectError("not trusted; for a private CA set ca_bundle"), "set --ca-bundle"),
        (ConnectError("the server does not speak HTTP; check the url, its port"), "check --url, its port"),
        (ConnectError("there is no service at this place: check the url's path"), "check --url's path"),
        (ConfigError("no token: pass token=… or set $ELSA_API_TOKEN"), "pass --token-file FILE or set $ELSA_API_TOKEN"),
        (ScoringFailedError("the verdict is failed: the url of the token timed out"), "the url of the token timed out"),
    ],
)
def test_errors_have_the_command_lines_names(error: ElsaError, told: str) -> None:
    """Messages name the options that the command line has; words of the server stay as they are."""
    assert told in explain(error)
    assert explain(error, own_options=False) == str(error)


def test_a_time_out_names_the_option(program: Program, sandbox: Sandbox) -> None:
    """A verdict that doesn't come, and a server that doesn't answer, name `--timeout` and `--connect-timeout`."""
    fast = f"score {SHORT} --url {sandbox.url} --speed max"
    said = program(f"{fast} --timeout 0.2", ELSA_API_TOKEN="sandbox:silent")
    assert (said.status, "raise --timeout" in said.err) == (1, True)
    said = program(f"score {SHORT} --speed max --connect-timeout 0.2 --url ws://127.0.0.1:1/")
    assert said.status == 4


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/nothing/here?key=secret", False),
        ("", True),
        ("/api/v1", True),
        ("/api/v1/ws/score_audio_plus/", True),
        ("/api/v1/ws/score_audio", True),
        ("/api/v2/ws/score_audio_plus?key=secret", True),
    ],
)
def test_a_wrong_url_is_shown(program: Program, sandbox: Sandbox, path: str, near: bool) -> None:
    """HTTP 404 shows the URL, without its query; where its path is nearly the usual one, that is proposed."""
    place = sandbox.url.partition("/api/")[0]
    said = program(f"score {SHORT} --url '{place}{path}'")
    assert (said.status, "404" in said.err, "secret" in said.err) == (4, True, False)
    assert place + path.partition("?")[0] in said.err
    assert (f"did you mean {sandbox.url}?" in said.err) == near


def test_an_unknown_scenario_is_told(program: Program, sandbox: Sandbox) -> None:
    """A token that names no scenario of the sandbox is HTTP 400, with the sandbox's words and the URL."""
    said = program(f"score {SHORT} --url {sandbox.url}", ELSA_API_TOKEN="sandbox:sucess")
    assert (said.status, "HTTP 400" in said.err, sandbox.url in said.err) == (4, True, True)
    assert "no such scenario; there are: success, " in said.err


@pytest.mark.parametrize("ending", ["\n", "\r\n", " ", "\r"])
def test_a_tokens_line_end_is_stripped(program: Program, sandbox: Sandbox, ending: str) -> None:
    """A token in the variable may have a line end, as one in a file; in Python, too."""
    line = f"score {SHORT} --url {sandbox.url} --speed max -q"
    assert program(line, ELSA_API_TOKEN=TOKEN + ending).status == 0
    assert sandbox.exchanges[-1].headers["Authorization"] == f"ELSA {TOKEN}"
    score(SHORT, url=sandbox.url, speed=None)
    assert sandbox.exchanges[-1].headers["Authorization"] == f"ELSA {TOKEN}"


# Results on their way.


@pytest.fixture(name="result", scope="module")
def _result() -> ScoreResult:
    with Sandbox("example") as sandbox:
        return score(SECOND, TOKEN, url=sandbox.url, speed=None)


def test_show_reads_a_pipe(program: Program, result: ScoreResult, tmp_path: Path) -> None:
    """`show -` prints what comes through a pipe, whichever form it has; what is no result is told by that name."""
    result.save(tmp_path / "result.json")
    shown = program("show result.json").out
    assert shown
    assert program("show -", (tmp_path / "result.json").read_bytes()) == (0, shown, "")
    assert f"{result.overall:.1f} %" in program("show -", result.text.encode()).out
    said = program("show -", b"nothing")
    assert (said.status, said.err) == (
        2,
        "elsa-unscripted: error: standard input is no result: give a file of ScoreResult.save(), or of score "
        "--format saved\n",
    )
    for command in ("show -", "report -"):
        said = program(command)
        assert (said.status, said.out) == (2, "")
        assert said.err.startswith("elsa-unscripted: error: standard input is empty")


def test_links_are_for_who_asks(program: Program, result: ScoreResult, tmp_path: Path) -> None:
    """`show -v` adds stream and timing, which the saved form has; the last line says what to do next in any case."""
    result.save(tmp_path / "result.json")
    assert str(result.stream_id) not in program("show result.json").out
    said = program("show result.json -v")
    assert f"Stream         {result.stream_id}" in said.out
    assert "elsa-unscripted report FILE" in " ".join(said.out.split("Next")[-1].split())


def test_report_reads_a_pipe(program: Program, result: ScoreResult, tmp_path: Path) -> None:
    """`report -` makes a page of a result or of a journal that comes through a pipe, called report.html."""
    pytest.importorskip("jinja2")
    result.save(tmp_path / "result.json")
    assert program("report -", (tmp_path / "result.json").read_bytes()) == (0, "report.html\n", "")
    assert "<!doctype html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    journal = {"v": 1, "sha256": "0" * 64, "options": {}, "outcome": "success", "path": "a.wav", "result": {}}
    said = program("report - -o class.html", json.dumps(journal).encode() + b"\n")
    assert (said.status, "Class report" in (tmp_path / "class.html").read_text(encoding="utf-8")) == (0, True)
    assert "standard input is a journal" in program("report - --audio a.wav", json.dumps(journal).encode()).err


def test_report_takes_a_list(program: Program, tmp_path: Path) -> None:
    """`report --list` gives a journal names that it was made without; the list's errors name `--list`."""
    pytest.importorskip("jinja2")
    journal = {"v": 1, "sha256": "0" * 64, "options": {}, "outcome": "success", "path": "a.wav", "result": {}}
    (tmp_path / "scores.jsonl").write_text(json.dumps(journal) + "\n")
    (tmp_path / "pupils.csv").write_text("Name;File\nZoë;a.wav\nMax;\n", encoding="utf-8")
    assert program("report scores.jsonl --list pupils.csv --path-column file").status == 0
    text = (tmp_path / "scores.html").read_text(encoding="utf-8")
    assert "<bdi>Zoë</bdi>" in text
    assert "<bdi>Max</bdi>" in text
    assert "--path-column File" in program("report scores.jsonl --list pupils.csv").err
    assert "check --list" in program("report scores.jsonl --list missing.csv").err


def test_the_saved_form_loses_nothing(program: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """`--format saved` writes what `ScoreResult.save()` does, to a file or a pipe: stream and timing are in it."""
    line = f"score {SHORT} --url {sandbox.url} --speed max --format saved"
    said = program(line)
    (tmp_path / "piped.json").write_text(said.out)
    assert program(f"{line} -o result.json") == (0, "", "")
    for name in ("piped.json", "result.json"):
        saved = ScoreResult.load(tmp_path / name)
        assert saved.stream_id
        assert saved.timings.verdict
        assert saved.audio_seconds
        saved.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / name).read_bytes()


def test_a_score_can_be_required(program: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A too short recording is status 0, and 3 with `--require-score`, which prints the result all the same."""
    for command in (f"score {SHORT}", f"batch {SHORT} --no-progress"):
        options = f"--url {sandbox.url} --speed max"
        assert program(f"{command} {options}").status == 0
        said = program(f"{command} {options} --require-score")
        assert said.status == 3
        assert "record again" in said.err.lower()
        assert "too short" in said.out + said.err or "not scored" in said.out
        scored = program(f"{command} {options} --require-score --set 'x=1'", ELSA_API_TOKEN="sandbox:example")
        assert scored.status == 0
        program("", ELSA_API_TOKEN=TOKEN)


@posix
def test_the_page_opens_in_a_browser(result: ScoreResult, tmp_path: Path) -> None:
    """`report --open` starts the browser with the page, and prints where it is."""
    pytest.importorskip("jinja2")
    result.save(tmp_path / "my result.json")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    done = run(*COMMAND, "report", str(tmp_path / "my result.json"), "--open", BROWSER=f"{browser} %s")
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "opened").read_text() == (tmp_path / "my result.html").as_uri()
