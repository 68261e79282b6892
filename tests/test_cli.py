"""`elsa-unscripted`, run as a process, against the sandbox and against servers that no sandbox would be."""

from __future__ import annotations

import configparser
import json
import logging
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from commands import (
    COMMAND,
    PATIENCE,
    ROOT,
    SECOND,
    SHORT,
    WIRE,
    Finished,
    answer_close,
    interrupt,
    on_terminal,
    posix,
    run,
    shadow,
    started,
)
from rawserver import Connection, RawServer

from elsa_unscripted import ScoreResult, cli
from elsa_unscripted.cli import logs
from elsa_unscripted.cli.sandbox import read_assessment
from elsa_unscripted.sandbox import SCENARIOS, Exchange, Sandbox
from elsa_unscripted.version import __version__

TOKEN = "a-token-that-is-secret"
EVIL = "\x1b[2J\x9b1A\nelsa-unscripted: all is well\r\u2028\u202e\x7f"
FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def score(sandbox: Any, *arguments: str, audio: str = SHORT, token: str = TOKEN, **more: Any) -> Finished:
    """Runs `score` on a short file, as fast as it goes, with the token in the environment."""
    command = (*COMMAND, "score", audio, "--url", sandbox.url, "--speed", "max", *arguments)
    return run(*command, **{"ELSA_API_TOKEN": token, **more})


def saying(*messages: Any) -> Callable[[Connection], None]:
    """Returns a server's script that says these in place of its verdict."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        for message in messages:
            connection.send(message)
        answer_close(connection)

    return script


def last(sandbox: Sandbox) -> Exchange:
    return sandbox.exchanges[-1]


# The result.


def test_summary_is_printed(sandbox: Sandbox) -> None:
    """By default a readable summary goes to stdout, and without a terminal nothing to stderr."""
    status, out, err = score(sandbox)
    assert (status, err) == (0, "")
    assert b"Sandbox" in out
    assert out.splitlines()[-1] == b"Next           Record again, and speak for longer."


def test_json_is_the_servers_to_the_byte() -> None:
    """`--format json` prints what the server sent, with its spaces, escapes, order and doubles, and a line end."""
    text = '{"status" :"success",  "z":1.50, "a":"\\u00e9 é \\/", "a":2}'
    with RawServer(saying(text)) as server:
        status, out, err = score(server, "--format", "json")
    assert (status, out, err) == (0, text.encode() + b"\n", "")


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_json_goes_through_jq(sandbox: Sandbox) -> None:
    """Only data is on stdout: jq takes it, even at -v."""
    _, out, _ = score(sandbox, "--format", "json", "-v")
    assert run("jq", "-r", ".status", stdin=out) == (0, b"success\n", "")


def test_output_goes_to_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """`-o FILE` writes the result there, over what was in it, and nothing to stdout."""
    file = tmp_path / "result.json"
    file.write_text("x" * 100_000)
    assert score(sandbox, "--format", "json", "-o", str(file)) == (0, b"", "")
    assert json.loads(file.read_text()) == last(sandbox).verdict


def test_output_to_a_dash_is_stdout(sandbox: Sandbox, tmp_path: Path) -> None:
    """`-o -` means standard output, as everywhere."""
    status, out, _ = score(sandbox, "--format", "json", "-o", "-")
    assert (status, json.loads(out)) == (0, last(sandbox).verdict)
    assert not (ROOT / "-").exists()


def test_unwritable_output_costs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that can't be written, any recording, and a batch's journal are refused before anything is sent."""
    recording = tmp_path / "recording.wav"
    shutil.copy(SHORT, recording)
    before = sandbox.handshakes
    other, journal = tmp_path / "other.wav", tmp_path / "scores.jsonl"
    shutil.copy(SECOND, other)
    journal.write_text('{"v": 1, "sha256": "' + "0" * 64 + '"}\n')
    for file in (tmp_path, tmp_path / "missing" / "result.txt", recording, other, journal):
        status, out, err = score(sandbox, "-o", str(file), audio=str(recording))
        assert (status, out, err.count("\n")) == (2, b"", 1)
        assert str(file) in err
    assert sandbox.handshakes == before
    assert (recording.read_bytes(), other.read_bytes()) == (Path(SHORT).read_bytes(), Path(SECOND).read_bytes())
    assert "sha256" in journal.read_text()


@pytest.mark.slow(everywhere=True)
@full
def test_result_survives_a_full_disk(sandbox: Sandbox) -> None:
    """A result that was paid for goes to stdout when `-o` fails, and to stderr when stdout fails."""
    status, out, err = score(sandbox, "--format", "json", "-o", str(FULL))
    assert (status, json.loads(out)) == (2, last(sandbox).verdict)
    assert "No space left on device" in err
    with FULL.open("wb") as device:
        status, _, err = score(sandbox, "--format", "json", stdout=device)
    problem, result = err.splitlines()
    assert (status, json.loads(result)) == (2, last(sandbox).verdict)
    assert "No space left on device" in problem


@pytest.mark.slow(everywhere=True)
@posix
def test_a_closed_stdout_loses_nothing(sandbox: Sandbox) -> None:
    """Started without a stdout, it prints the result to stderr."""
    command = f'exec "{sys.executable}" -m elsa_unscripted score "{SHORT}" --speed max --format json >&-'
    status, _, err = run("sh", "-c", command, ELSA_API_TOKEN=TOKEN, ELSA_UNSCRIPTED_URL=sandbox.url)
    assert (status, json.loads(err.splitlines()[-1])) == (2, last(sandbox).verdict)


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.parametrize("arguments", [["score", SHORT, "--speed", "max"], ["sandbox", "--list"], ["--help"]])
def test_a_reader_may_leave_early(sandbox: Sandbox, arguments: list[str]) -> None:
    """When nobody reads stdout any more, as behind `| head`, it ends without a traceback; a result's link is kept."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        outcome = run(*COMMAND, *arguments, stdout=nobody, ELSA_API_TOKEN=TOKEN, ELSA_UNSCRIPTED_URL=sandbox.url)
    assert outcome.status == 0
    link = f"/results/{last(sandbox).stream_id}.json\n" if arguments[0] == "score" else ""
    assert outcome.err.count("\n") == (1 if link else 0)
    assert outcome.err.endswith(link)


def test_warnings_are_told(sandbox: Sandbox, tmp_path: Path) -> None:
    """A recording that is cut off is scored with a warning, once: in the summary, or on stderr; `-q` drops that."""
    cut = tmp_path / "cut.wav"
    cut.write_bytes(Path(SHORT).read_bytes()[:-1000])
    status, out, err = score(sandbox, audio=str(cut))
    assert (status, err) == (0, "")
    assert b"it is cut off" in b" ".join(out.split())
    status, out, err = score(sandbox, "--format", "json", audio=str(cut))
    assert status == 0
    assert re.fullmatch(r"elsa-unscripted: warning: .*it is cut off.*\n", err)
    assert score(sandbox, "--format", "json", "-q", audio=str(cut)).err == ""


# Options.


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["--token", TOKEN], b""),
        (["--token-file", "FILE"], b""),
        (["--token", "-"], f"{TOKEN}\nmore\n".encode()),
        (["--token-file", "-"], f"{TOKEN}\r\n".encode()),
        (["--token-file", "FILE-WITH-BOM"], b""),
    ],
)
def test_token_is_taken(sandbox: Sandbox, tmp_path: Path, arguments: list[str], stdin: bytes) -> None:
    """A token comes from the option, a file or a line of standard input, and goes before the environment's."""
    files = {"FILE": f"{TOKEN}\n".encode(), "FILE-WITH-BOM": f"\ufeff{TOKEN}\r\n".encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    arguments = [str(tmp_path / word) if word in files else word for word in arguments]
    assert score(sandbox, *arguments, stdin=stdin, token="another").status == 0
    assert last(sandbox).headers["Authorization"] == f"ELSA {TOKEN}"


@posix
def test_token_is_typed_unseen(sandbox: Sandbox) -> None:
    """On a terminal, `--token -` asks for the token and doesn't show it."""
    command = (*COMMAND, "score", SHORT, "--url", sandbox.url, "--token", "-", "--no-progress")
    status, screen = on_terminal(*command, answer=f"{TOKEN}\n".encode())
    assert status == 0
    assert last(sandbox).headers["Authorization"] == f"ELSA {TOKEN}"
    assert "API token" in screen
    assert TOKEN not in screen


def test_token_of_the_environment_is_taken(sandbox: Sandbox) -> None:
    """Without an option, `$ELSA_API_TOKEN` is the token."""
    assert score(sandbox).status == 0
    assert last(sandbox).headers["Authorization"] == f"ELSA {TOKEN}"


@pytest.mark.parametrize(
    "arguments", [[], ["--token", ""], ["--token", "-"], ["--token-file", os.devnull], ["--token-file", "missing"]]
)
def test_missing_token_is_told(sandbox: Sandbox, arguments: list[str]) -> None:
    """Without a token nothing is sent, and the error names where it was looked for and where it can be."""
    before = sandbox.handshakes
    status, _, err = score(sandbox, *arguments, token="")
    assert (status, err.count("\n")) == (2, 1)
    assert "token" in err
    assert "--token-file" in err
    assert sandbox.handshakes == before


def test_a_token_file_that_is_none_is_not_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    """What is in the wrong file, given as token by mistake, doesn't get onto the screen."""
    (tmp_path / "binary").write_bytes(b"secret\xff\xfe")
    (tmp_path / "lines").write_bytes(b"secret\nsecret")
    for name in ("binary", "lines"):
        status, _, err = score(sandbox, "-v", "--token-file", str(tmp_path / name))
        assert status == 2
        assert "secret" not in err


def test_config_is_as_the_options_say(sandbox: Sandbox) -> None:
    """`--plan` and `--set` make the config message, in this order."""
    settings = ["--set", "force_grammar_vocab=true", "--set", 'note="a=b"']
    assert score(sandbox, "--plan", "premium", *settings).status == 0
    assert last(sandbox).config_text == (
        '{"api_plan":"premium","return_json":true,"force_grammar_vocab":true,"note":"a=b"}'
    )


def test_standard_is_the_default_plan(sandbox: Sandbox) -> None:
    """Without options the config is the reference's."""
    score(sandbox)
    assert last(sandbox).config_text == '{"api_plan":"standard","return_json":true}'


def test_speed_paces(sandbox: Sandbox) -> None:
    """At `--speed 2` half a second of audio takes a quarter; the default is real time."""
    for arguments, least in ((["--speed", "2"], 0.1), ([], 0.3)):
        command = (*COMMAND, "score", SECOND, "--url", sandbox.url, *arguments)
        assert run(*command, ELSA_API_TOKEN=TOKEN).status == 0
        first, second = last(sandbox).arrival_times
        assert second - first > least


def test_sample_rate_resamples(sandbox: Sandbox) -> None:
    """`--sample-rate` sends mono 16 bit at that rate."""
    assert score(sandbox, "--sample-rate", "8000", audio=str(WIRE / "stereo44k.wav")).status == 0
    exchange = last(sandbox)
    assert (exchange.sample_rate, exchange.channels, exchange.sample_width) == (8000, 1, 2)


def test_audio_comes_from_stdin(sandbox: Sandbox) -> None:
    """`-` reads the recording from standard input."""
    assert score(sandbox, audio="-", stdin=Path(SHORT).read_bytes()).status == 0
    assert b"".join(packet[44:] for packet in last(sandbox).packets) == Path(SHORT).read_bytes()[44:]


def test_url_goes_before_the_environments(sandbox: Sandbox) -> None:
    """`--url` is where it goes; without it, `$ELSA_UNSCRIPTED_URL`."""
    assert score(sandbox, ELSA_UNSCRIPTED_URL="ws://127.0.0.1:1/").status == 0
    command = (*COMMAND, "score", SHORT, "--speed", "max")
    assert run(*command, ELSA_API_TOKEN=TOKEN, ELSA_UNSCRIPTED_URL=sandbox.url).status == 0


def test_proxy_is_used(sandbox: Sandbox) -> None:
    """`--proxy` is where the connection goes first: the error names it, and not its password."""
    status, _, err = score(sandbox, "-v", "--proxy", "http://me:sesame@127.0.0.1:1")
    assert (status, "through the proxy 127.0.0.1" in err) == (4, True)
    assert "sesame" not in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--speed", "fast"], "--speed"),
        (["--speed", "0"], "--speed"),
        (["--speed", "nan"], "--speed"),
        (["--timeout", "soon"], "--timeout"),
        (["--timeout", "-1"], "--timeout"),
        (["--sample-rate", "16k"], "--sample-rate"),
        (["--set", "key"], "--set"),
        (["--set", "key=text"], "--set"),
        (["--set", 'api_plan="premium"'], "api_plan"),
        (["--plan", "gold"], "--plan"),
        (["--format", "xml"], "--format"),
        (["--url", "http://127.0.0.1/"], "url"),
        (["--url", "ws://example.com/"], "wss://"),
        (["--proxy", "socks5://127.0.0.1"], "proxy"),
        (["--ca-bundle", "missing.pem"], "--ca-bundle"),
        (["--ping-interval", "0"], "--ping-interval"),
        (["--ping-interval", "soon"], "--ping-interval"),
        (["--token", "a", "--token-file", "b"], "--token-file"),
        (["-q", "-v"], "-v"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_bad_options_are_told(sandbox: Sandbox, arguments: list[str], named: str) -> None:
    """A wrong option ends with status 2 before anything is sent, and one line that names it."""
    before = sandbox.handshakes
    status, out, err = score(sandbox, *arguments)
    assert (status, out, err.count("\n")) == (2, b"", 1)
    assert err.startswith("elsa-unscripted: error: ")
    assert named in err
    assert sandbox.handshakes == before


def test_stdin_holds_one_thing(sandbox: Sandbox) -> None:
    """Audio and token can't both come from standard input."""
    for audio in ("-", "/dev/stdin"):
        status, _, err = score(sandbox, "--token", "-", audio=audio, stdin=b"any\n")
        assert (status, err.count("\n")) == (2, 1)


# Errors.


@pytest.mark.parametrize(
    ("token", "arguments", "status"),
    [
        ("sandbox:silent", ["--timeout", "0.3"], 1),
        ("sandbox:failed=too noisy", [], 3),
        ("sandbox:bad-quality", [], 3),
        ("sandbox:401", [], 4),
        ("sandbox:403", [], 4),
        ("sandbox:drop-after=1", [], 4),
        ("sandbox:close=1011", [], 4),
        ("sandbox:malformed", [], 4),
        (TOKEN, ["--url", "ws://127.0.0.1:1/"], 4),
    ],
)
def test_errors_have_their_status(sandbox: Sandbox, token: str, arguments: list[str], status: int) -> None:
    """Each kind of failure has its exit status, prints nothing to stdout, and one line to stderr."""
    outcome = score(sandbox, *arguments, token=token)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (status, b"", 1)
    assert outcome.err.startswith("elsa-unscripted: error: ")


@pytest.mark.parametrize("content", [None, b"", b"no audio at all"])
def test_bad_audio_has_its_status(sandbox: Sandbox, tmp_path: Path, content: bytes | None) -> None:
    """A recording that is missing, empty or none ends with status 5 before anything is sent."""
    before = sandbox.handshakes
    audio = tmp_path / "audio.wav"
    if content is not None:
        audio.write_bytes(content)
    status, out, err = score(sandbox, audio=str(audio))
    assert (status, out, err.count("\n")) == (5, b"", 1)
    assert str(audio) in err
    assert sandbox.handshakes == before


def test_error_says_what_may_be_billed(sandbox: Sandbox) -> None:
    """Once audio was sent, the error says how much, and of which stream."""
    _, _, err = score(sandbox, token="sandbox:failed")
    assert f"[0.3 s were sent and may be billed; stream {last(sandbox).stream_id}]" in err
    assert "billed" not in score(sandbox, token="sandbox:401").err


def test_verbose_shows_exchange_and_origin(sandbox: Sandbox) -> None:
    """`-v` logs the exchange and adds the traceback of an error; without it there is neither."""
    _, _, err = score(sandbox, "-v", token="sandbox:failed")
    assert "DEBUG elsa_unscripted: < status 'processing'" in err
    assert "Traceback (most recent call last):" in err
    assert "Traceback" not in score(sandbox, token="sandbox:failed").err


@pytest.mark.parametrize("token", ["sandbox:success", "sandbox:failed", "sandbox:401", "sandbox:drop-after"])
def test_token_is_never_printed(sandbox: Sandbox, token: str) -> None:
    """At `-v`, whatever happens, the token is in no output."""
    _, out, err = score(sandbox, "-v", "--format", "json", token=token)
    assert token.encode() not in out
    assert token not in err


def test_token_is_masked_in_what_the_server_says() -> None:
    """A server that quotes the token doesn't get it into a log."""
    with RawServer(saying({"status": "failed", "reason": f"unknown token {TOKEN}"})) as server:
        status, _, err = score(server, "-v")
    assert status == 3
    assert TOKEN not in err
    assert "unknown token ***" in err


def test_server_can_not_forge_lines() -> None:
    """Escape sequences and line ends of the server reach neither the terminal nor a line of their own."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send({"status": "processing", "stream_id": EVIL})
        connection.read_until_end()
        connection.send({"status": EVIL})
        connection.send({"status": "failed", "reason": EVIL})
        answer_close(connection)

    with RawServer(script) as server:
        for arguments, lines in (((), 1), (("-v",), 100)):
            _, _, err = score(server, *arguments)
            assert err.count("\n") <= lines
            assert all(char.isprintable() for line in err.split("\n") for char in line)
            assert "\nelsa-unscripted: all is well" not in err


def test_log_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever text of the server were in a record, `-v` shows it on one line."""
    with logs.everything():
        logging.getLogger("elsa_unscripted").info("%s", EVIL)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()


# A terminal.


@posix
def test_progress_is_shown_on_a_terminal(sandbox: Sandbox) -> None:
    """On a terminal a bar shows the seconds sent, of how many, with the latest status beside it; then it goes."""
    command = (*COMMAND, "score", SECOND, "--url", sandbox.url)
    status, screen = on_terminal(*command, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    assert status == 0
    shown = [line.strip() for line in screen.split("\r")]
    assert "connecting" in shown
    assert any(re.fullmatch(r"0\.5 of 1\.0 s \|█+ +\|  50 %  processing", line) for line in shown)
    assert any(re.fullmatch(r"1\.0 of 1\.0 s \|█+\| 100 %  .*", line) for line in shown)
    assert shown[-1] == ""


@posix
def test_progress_fits_a_narrow_terminal(sandbox: Sandbox) -> None:
    """No line of the bar is wider than the terminal, or it would scroll."""
    command = (*COMMAND, "score", SECOND, "--url", sandbox.url, "--speed", "8")
    _, screen = on_terminal(*command, columns=40, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    assert 20 < max(map(len, screen.split("\r"))) <= 40


@posix
@pytest.mark.parametrize("option", ["--no-progress", "-q", "-v"])
def test_progress_can_be_left_out(sandbox: Sandbox, option: str) -> None:
    """`--no-progress`, `-q` and `-v` have no bar."""
    _, screen = on_terminal(
        *COMMAND, "score", SHORT, "--url", sandbox.url, option, only_stderr=True, ELSA_API_TOKEN=TOKEN
    )
    assert "%" not in screen
    assert screen == "" or option == "-v"


@posix
@pytest.mark.parametrize(
    ("variables", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colors_are_for_terminals(sandbox: Sandbox, variables: dict[str, Any], colored: bool) -> None:
    """The summary is coloured on a terminal, unless `$NO_COLOR` or `TERM=dumb` speaks against it."""
    command = (*COMMAND, "score", SHORT, "--url", sandbox.url, "-q")
    status, screen = on_terminal(*command, ELSA_API_TOKEN="sandbox:example", **variables)
    assert (status, "\x1b[" in screen) == (0, colored)


def test_no_colors_in_a_pipe(sandbox: Sandbox) -> None:
    """In a pipe the summary has no escape sequences."""
    assert b"\x1b" not in score(sandbox, token="sandbox:example").out


@posix
def test_json_on_a_terminal_is_harmless() -> None:
    """On a terminal, and only there, JSON's raw control characters are escaped, as JSON can."""
    text = '{"status": "success", "x": "\x9b2J\x7f\u202e"}'
    with RawServer(saying(text)) as server:
        command = (*COMMAND, "score", SHORT, "--url", server.url, "--format", "json", "-q")
        _, screen = on_terminal(*command, ELSA_API_TOKEN=TOKEN)
        assert score(server, "--format", "json").out == text.encode() + b"\n"
    assert screen == '{"status": "success", "x": "\\u009b2J\\u007f\\u202e"}\r\n'


@posix
def test_a_terminal_is_no_recording(sandbox: Sandbox) -> None:
    """`-` on a terminal doesn't wait for a recording to be typed."""
    status, screen = on_terminal(*COMMAND, "score", "-", "--url", sandbox.url, ELSA_API_TOKEN=TOKEN)
    assert status == 2
    assert "standard input is a terminal" in screen


@pytest.mark.slow(everywhere=True)
def test_ascii_is_enough(sandbox: Sandbox) -> None:
    """In an ASCII locale summary and errors are printed all the same, in ASCII."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    status, out, _ = score(sandbox, token="sandbox:example", **locale)
    assert (status, out.isascii()) == (0, True)
    with Sandbox("failed=zu leise, größer!") as german:
        status, _, err = score(german, **locale)
    assert (status, err.isascii()) == (3, True)
    assert r"zu leise, gr\xf6\xdfer!" in err


# Ctrl-C.


@posix
def test_interrupt_closes_cleanly(sandbox: Sandbox) -> None:
    """Ctrl-C in mid-stream closes the connection with 1000 and ends with status 130, without a traceback."""
    before = len(sandbox.exchanges)
    command = (*COMMAND, "score", str(WIRE / "mono16k.wav"), "--url", sandbox.url)
    with started(*command, ELSA_API_TOKEN=TOKEN) as process:
        _wait_for(lambda: len(sandbox.exchanges) > before and last(sandbox).heard > 0)
        assert interrupt(process) == (130, b"", "elsa-unscripted: interrupted\n")
    assert last(sandbox).close_code == 1000


def test_interrupt_while_importing(tmp_path: Path, sandbox: Sandbox) -> None:
    """Ctrl-C while a subcommand is being imported ends with status 130, without a traceback."""
    interrupted = shadow(tmp_path, "getpass", "raise KeyboardInterrupt")
    assert score(sandbox, **interrupted) == (130, b"", "elsa-unscripted: interrupted\n")


# Help.


@pytest.mark.parametrize("arguments", [[], ["score"], ["check"], ["show"], ["report"], ["sandbox"]])
def test_help_fits_a_terminal(arguments: list[str]) -> None:
    """Each `--help` fits 80 columns."""
    status, out, _ = run(*COMMAND, *arguments, "--help", COLUMNS="80")
    assert status == 0
    assert max(map(len, out.decode("ascii").splitlines())) <= 80


def test_help_tells_what_matters() -> None:
    """`score --help` has every option, every exit status, and says who else sees a token on the command line."""
    text = run(*COMMAND, "score", "--help").out.decode()
    options = ["token", "token-file", "plan", "set", "speed", "timeout", "url", "format", "no-progress", "pcm"]
    options += ["max-seconds", "source-timeout"]
    for option in [*map("--{}".format, options), "-o", "-q", "-v"]:
        assert re.search(rf"^  (\S+( \S+)?, )?{option}\b", text, re.MULTILINE), option
    assert re.findall(r"^  (\d+) ", text, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "130"]
    assert "with ps" in text
    assert "$ELSA_API_TOKEN" in text


@full
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sandbox", "--list"]])
def test_what_can_not_be_printed_is_told(arguments: list[str]) -> None:
    """A standard output that is full makes one line and exit status 2, whatever was to be printed."""
    with FULL.open("wb") as device:
        status, _, err = run(*COMMAND, *arguments, stdout=device)
    assert (status, err.count("\n")) == (2, 1)
    assert "can't write to standard output (No space left on device)" in err


def test_version() -> None:
    """`--version` prints the version, and the installed command is the same function as `python -m`."""
    assert run(*COMMAND, "--version") == (0, f"elsa-unscripted {__version__}\n".encode(), "")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    entry = setup["options.entry_points"]["console_scripts"].strip()
    assert entry == "elsa-unscripted = elsa_unscripted.cli:main"


@pytest.mark.parametrize(
    ("module", "arguments", "extra", "status"),
    [("av", ["score", "AUDIO"], "formats", 5), ("websockets", ["sandbox"], "sandbox", 2)],
)
def test_missing_extra_is_named(tmp_path: Path, module: str, arguments: list[str], extra: str, status: int) -> None:
    """Where an extra is needed and missing, the error says how to install it."""
    (tmp_path / "speech.mp3").write_bytes(b"ID3" + bytes(100))
    words = [str(tmp_path / "speech.mp3") if word == "AUDIO" else word for word in arguments]
    missing: dict[str, Any] = {**shadow(tmp_path, module, "raise ImportError"), "PATH": ""}
    outcome = run(*COMMAND, *words, ELSA_API_TOKEN=TOKEN, **missing)
    assert (outcome.status, outcome.err.count("\n")) == (status, 1)
    assert f"pip install 'elsa-unscripted[{extra}]'" in outcome.err


# The sandbox.


def test_sandbox_lists_its_scenarios() -> None:
    """`sandbox --list` explains every scenario, in 80 columns."""
    status, out, _ = run(*COMMAND, "sandbox", "--list", COLUMNS="80")
    text = out.decode()
    assert status == 0
    for name, meaning in SCENARIOS.items():
        assert re.search(rf"^{name}\s+{re.escape(meaning.split()[0])}", text, re.MULTILINE)
        assert meaning in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow(everywhere=True)
@posix
def test_sandbox_serves_until_interrupted(tmp_path: Path) -> None:
    """`sandbox` says where it listens, tells each exchange in a line, and ends with Ctrl-C and status 130.

    With `--no-greeting` it greets nobody, whatever the scenario.
    """
    (tmp_path / "mine.json").write_text(json.dumps(MINE), encoding="utf-8")
    arguments = ["sandbox", "--host", "localhost", "--port", "0", "--scenario", "failed=too loud", "--no-greeting"]
    arguments += ["--assessment", str(tmp_path / "mine.json")]
    with started(*COMMAND, *arguments) as process:
        assert process.stdout is not None
        greeting = [process.stdout.readline().decode() for _ in range(5)]
        url = greeting[0].split()[-1]
        assert url.startswith("ws://localhost:")
        assert f"--url {url}" in greeting[3]
        command = (*COMMAND, "score", SHORT, "--url", url, "--speed", "max")
        refused = run(*command, ELSA_API_TOKEN=TOKEN)
        assert (refused.status, "too loud" in refused.err) == (3, True)
        chosen = run(*command, "--format", "json", "-v", ELSA_API_TOKEN="sandbox:success")
        assert ("success" in chosen.err, "wsConnect" in chosen.err) == (True, False)
        assert json.loads(chosen.out)["result"] == MINE
        told = [process.stdout.readline().decode() for _ in range(2)]
        status, _, err = interrupt(process)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  failed: 0\.3 s of audio, failed, closed with 1000\n", told[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d  success: 0\.3 s of audio, success, closed with 1000\n", told[1])
    assert (status, err) == (130, "elsa-unscripted: interrupted\n")


MINE = {"speakers": [{"speaker_id": 7}], "mine": True}


@pytest.mark.parametrize(
    "content",
    [
        MINE,
        {"status": "success", "result": MINE},
        ScoreResult({"status": "success", "result": MINE}).to_dict(),
        ScoreResult({"status": "success"}, fetched=MINE).to_dict(),
    ],
    ids=["bare", "verdict", "saved", "fetched"],
)
def test_sandbox_takes_an_assessment_from_a_file(content: Any, tmp_path: Path) -> None:
    """Bare, as the server sent it, or as a result was saved; also as Windows' editors write it."""
    (tmp_path / "mine.json").write_text(json.dumps(content), encoding="utf-8-sig")
    assert read_assessment(str(tmp_path / "mine.json")) == MINE


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b'{"speakers": 5}', b'{"raw": 5}', b"RIFF\xff"])
def test_sandbox_refuses_a_file_without_an_assessment(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that names the file and the option, with status 2."""
    if content is not None:
        (tmp_path / "mine.json").write_bytes(content)
    assert cli.main(["sandbox", "--port", "0", "--assessment", str(tmp_path / "mine.json")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "mine.json" in err, "--assessment" in err) == ("", 1, True, True)


@pytest.mark.parametrize(
    "arguments", [["--scenario", "nonsense"], ["--port", "65536"], ["--port", "x"], ["--host", "192.0.2.1"]]
)
def test_sandbox_refuses_bad_options(arguments: list[str]) -> None:
    """What the sandbox can't do, it says in one line, with status 2."""
    status, out, err = run(*COMMAND, "sandbox", *arguments)
    assert (status, out, err.count("\n")) == (2, b"", 1)


def test_sandbox_says_that_a_port_is_taken() -> None:
    """A port in use is told, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, err = run(*COMMAND, "sandbox", "--port", port)
    assert (status, err.count("\n")) == (2, 1)
    assert port in err
    assert "--port 0" in err


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["score", "missing.wav"], 5),
        (["score", SHORT, "--url", "ws://127.0.0.1:9"], 4),
        (["batch", "missing.wav"], 2),
        (["show", "missing.json"], 2),
        (["score", "--wrong"], 2),
    ],
)
def test_nobody_need_read_the_errors(arguments: list[str], status: int) -> None:
    """A standard error whose reader has gone changes no exit status: Python alone would end with 120."""
    with started(*COMMAND, *arguments, ELSA_API_TOKEN=TOKEN) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(PATIENCE) == status
