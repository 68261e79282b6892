"""The drop-in: its log lines, in their order and to the letter, and its exit statuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import (
    PATIENCE,
    SCRIPT,
    SECOND,
    SHORT,
    WIRE,
    Finished,
    answer_close,
    interrupt,
    posix,
    run,
    shadow,
    started,
)
from rawserver import STREAM_ID, SUCCESS, Connection, RawServer

from elsa_unscripted.sandbox import Sandbox

TOKEN = "a-token-that-is-secret"
DROP_IN = (sys.executable, str(SCRIPT))
OPTIONS = ("--token", TOKEN, "--audio_path", SHORT)

# The script has no option for its timeout, as the vendor's has none.
IMPATIENT = """
import functools, runpy, sys
from elsa_unscripted.cli import drop_in
drop_in.Client = functools.partial(drop_in.Client, timeout=0.2)
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def drop_in(url: str, *arguments: str, audio: str = SHORT, token: str = TOKEN, **variables: Any) -> Finished:
    """Runs the script as the vendor's page does, pointed elsewhere by the environment."""
    options = ("--token", token, "--audio_path", audio, "--return_json")
    return run(*DROP_IN, *options, *arguments, ELSA_UNSCRIPTED_URL=url, **variables)


def beginnings(err: str) -> list[str]:
    """Returns the first lines of the records, without what differs from run to run."""
    records = [line for line in err.splitlines() if re.match("[A-Z]+:", line)]
    return [re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|(?<=http://)\S+|\d+\.\d\d(?= sec)", "_", line) for line in records]


BEFORE = [
    "INFO:root:Waiting for websocket connection...",
    "INFO:root:Socket opened! ready for action.",
    "INFO:root:Starting a new stream",
    "INFO:root:Sending config",
    "INFO:root:ELSA:wsConnect",
    "INFO:root:processing stream ID: _",
]
SENT = ["INFO:root:Sending packet 0", "INFO:root:Sending end_stream"]
CONFIRMED = ["INFO:root:processing: {", "INFO:root:accepted: {"]
AFTER = [
    "INFO:root:success: {",
    "INFO:root:result url: http://_",
    "INFO:root:audio url: http://_",
    "INFO:root:Stream time:  _ sec",
]


def test_log_lines_are_the_vendors(sandbox: Sandbox) -> None:
    """A success is told on stderr in the lines that log parsers depend on, in their order; stdout stays empty."""
    status, out, err = drop_in(sandbox.url, audio=SECOND)
    assert (status, out) == (0, b"")
    packets = ["INFO:root:Sending packet 0", "INFO:root:Sending packet 1", "INFO:root:Sending end_stream"]
    assert beginnings(err) == [*BEFORE, *packets, *CONFIRMED, *AFTER]


def test_log_holds_the_servers_words(sandbox: Sandbox) -> None:
    """Stream id, links and the indented JSON are the server's."""
    _, _, err = drop_in(sandbox.url)
    verdict = sandbox.exchanges[-1].verdict
    assert verdict is not None
    assert f"\nINFO:root:processing stream ID: {sandbox.exchanges[-1].stream_id}\n" in err
    assert f"\nINFO:root:success: {json.dumps(verdict, indent=4)}\n" in err
    assert f"\nINFO:root:result url: {verdict['result_link']}\n" in err
    assert f"\nINFO:root:audio url: {verdict['audio_link']}\n" in err


def test_a_server_need_not_greet(sandbox: Sandbox) -> None:
    """Without a greeting only its line is missing."""
    _, _, err = drop_in(sandbox.url, token="sandbox:greeting-off")
    assert beginnings(err) == [*BEFORE[:4], *BEFORE[5:], *SENT, *CONFIRMED, *AFTER]


def test_log_lines_stay_in_order_at_any_speed_of_the_server() -> None:
    """An answer that comes at once is not told before what it answers."""

    def prompt(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(SUCCESS)
        answer_close(connection)

    with RawServer(prompt) as server:
        logs = {tuple(beginnings(drop_in(server.url).err)[-6:-3]) for _ in range(5)}
    assert logs == {(*SENT, "INFO:root:success: {")}


STOPPED = ["INFO:root:Stream time:  _ sec", "INFO:root:Stopping sending audio packets"]
NO_LINK = "ERROR:root:result url: none, as the server gave no link"


@pytest.mark.parametrize(
    ("verdict", "packets", "lines"),
    [
        (SUCCESS, 1, ["INFO:root:result url: ", "INFO:root:audio url: ", *STOPPED]),
        ({"status": "failed", "reason": "no"}, 1, ["ERROR:root:failed: no", *STOPPED]),
        ({"status": "failed", "reason": "no"}, 3, ["ERROR:root:failed: no", STOPPED[0]]),
        ({"status": "failed", "reason": "no"}, 0, ["ERROR:root:failed: no", STOPPED[0]]),
        ({"status": "success", "audio_link": "a"}, 3, [NO_LINK, "INFO:root:audio url: a", STOPPED[0]]),
    ],
    ids=["early", "early-failed", "failed", "failed-at-once", "no-link"],
)
def test_what_follows_a_verdict_is_the_vendors(verdict: dict[str, str], packets: int, lines: list[str]) -> None:
    """The time of the stream, padded, after `failed` too; that sending stops, if it does; that no link came."""

    def script(connection: Connection) -> None:
        connection.handshake()
        for frame in range(packets + 1):  # the config, the packets, and the end of the stream
            connection.read_frame()
            if frame == 0 and packets:
                connection.send(STREAM_ID)
        connection.send(verdict)
        if verdict is SUCCESS:
            connection.wait(
                2.2
            )  # longer than the client waits for an answer to its close: no part of the stream's time
        else:
            answer_close(connection)

    with RawServer(script) as server:
        err = drop_in(server.url, audio=SECOND).err
    assert beginnings(err)[-len(lines) :] == lines
    (seconds,) = re.findall(r"Stream time: ([ \d]\d\.\d\d) sec", err)
    assert float(seconds) < 2.0


@pytest.mark.slow(everywhere=True)
@posix
def test_the_config_is_told_when_it_leaves() -> None:
    """That a stream begins is told at once, whether or not the server ever says a word, and before Ctrl-C."""

    def mute(connection: Connection) -> None:
        connection.handshake()
        connection.read_until_closed()

    with RawServer(mute) as server, started(*DROP_IN, *OPTIONS, ELSA_UNSCRIPTED_URL=server.url) as process:
        assert process.stderr is not None
        assert [process.stderr.readline().decode().rstrip() for _ in range(4)] == BEFORE[:4]
        status, _, err = interrupt(process)
    assert (status, err) == (130, "")


@pytest.mark.parametrize(
    ("token", "line", "status"),
    [
        ("sandbox:failed=too noisy", "ERROR:root:failed: too noisy", 3),
        ("sandbox:bad-quality", "ERROR:root:bad_quality: The sandbox was told to say so.", 3),
        ("sandbox:unknown-status", "ERROR:root:unknown status pondering: {", 0),
        ("sandbox:paused", "INFO:root:paused: {", 0),
        ("sandbox:accepted", "INFO:root:accepted: {", 0),
    ],
)
def test_statuses_have_their_level(sandbox: Sandbox, token: str, line: str, status: int) -> None:
    """Bad verdicts and unknown statuses are errors, `paused` and `accepted` are not; bad verdicts exit with 3."""
    outcome = drop_in(sandbox.url, token=token)
    assert outcome.status == status
    assert line in outcome.err.splitlines()
    assert outcome.err.count("ERROR:root:") == line.startswith("ERROR")


@pytest.mark.slow(everywhere=True)
def test_timeout_is_critical(sandbox: Sandbox) -> None:
    """Without a verdict in time, the log says `CRITICAL:root:Timed out`, and the exit status is 1."""
    command = (sys.executable, "-c", IMPATIENT, str(SCRIPT), "--token", "sandbox:silent", "--audio_path", SHORT)
    status, _, err = run(*command, ELSA_UNSCRIPTED_URL=sandbox.url)
    assert status == 1
    lines = err.splitlines()
    assert lines[:-2] == BEFORE[:4]
    assert lines[-2] == "CRITICAL:root:Timed out"
    assert lines[-1].startswith("ERROR:root:timed out waiting for ")


@pytest.mark.parametrize(
    ("token", "arguments", "status"),
    [
        ("sandbox:401", [], 4),
        ("sandbox:drop-after=0", [], 4),
        ("sandbox:malformed", [], 4),
        (TOKEN, ["--audio_path", "missing.wav"], 5),
        (TOKEN, ["--api_plan", "gold"], 2),
        ("", [], 2),
    ],
)
def test_errors_have_their_status(sandbox: Sandbox, token: str, arguments: list[str], status: int) -> None:
    """Every failure has an exit status other than 0, one line at ERROR, and no traceback."""
    outcome = drop_in(sandbox.url, *arguments, token=token)
    assert outcome.status == status
    assert outcome.err.count("ERROR:root:") == 1
    assert "Traceback" not in outcome.err


def test_nobody_listens() -> None:
    """A refused connection is an error that says so, with status 4."""
    status, _, err = drop_in("ws://127.0.0.1:1/")
    assert status == 4
    assert err.splitlines()[1].startswith("ERROR:root:127.0.0.1:1 refused the connection")


def test_options_are_the_vendors(sandbox: Sandbox) -> None:
    """`--token` and `--audio_path` are required, the plan is standard, `return_json` is off unless asked for."""
    minimal = (*DROP_IN, "--token", TOKEN, "--audio_path", SHORT)
    assert run(*minimal, ELSA_UNSCRIPTED_URL=sandbox.url).status == 0
    assert sandbox.exchanges[-1].config_text == '{"api_plan":"standard","return_json":false}'
    assert sandbox.exchanges[-1].headers["Authorization"] == f"ELSA {TOKEN}"
    assert drop_in(sandbox.url, "--api_plan", "premium").status == 0
    assert sandbox.exchanges[-1].config_text == '{"api_plan":"premium","return_json":true}'
    for missing in (("--token", TOKEN), ("--audio_path", SHORT)):
        assert run(*DROP_IN, *missing, ELSA_UNSCRIPTED_URL=sandbox.url).status == 2


def test_warnings_are_told(sandbox: Sandbox, tmp_path: Any) -> None:
    """A recording that is cut off is sent with a warning."""
    (tmp_path / "cut.wav").write_bytes((WIRE / "short.wav").read_bytes()[:-1000])
    status, _, err = drop_in(sandbox.url, audio=str(tmp_path / "cut.wav"))
    assert status == 0
    assert re.search(r"^WARNING:root:.*it is cut off", err, re.MULTILINE)


def test_server_can_not_forge_lines() -> None:
    """No text of the server begins a line of the log, or reaches the terminal as an escape sequence."""
    evil = "\x1b[2J\x9b1A\nINFO:root:success: {\r\u2028\u202e\x7f"

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send({"type": evil})
        connection.read_frame()
        connection.send({"status": "processing", "stream_id": evil})
        connection.read_until_end()
        connection.send({"status": evil, evil: evil})
        connection.send({"status": "success", "result_link": evil, "audio_link": evil})
        answer_close(connection)

    def failing(connection: Connection) -> None:
        connection.start()
        connection.send({"status": "failed", "reason": evil})
        answer_close(connection)

    def closing(connection: Connection) -> None:
        connection.handshake()
        connection.send({"status": "processing", "stream_id": evil})
        connection.read_until_end()
        connection.send_close(1011, "\x1b[2J\nINFO:root:success: {")

    for play, successes in ((script, 1), (failing, 0), (closing, 0)):
        with RawServer(play) as server:
            err = drop_in(server.url).err
        assert all(char.isprintable() or char == "\n" for char in err)
        assert len(re.findall("^INFO:root:success: ", err, re.MULTILINE)) == successes


@pytest.mark.parametrize("token", ["sandbox:success", "sandbox:failed", "sandbox:401"])
def test_token_is_never_printed(sandbox: Sandbox, token: str) -> None:
    """The token is in no line of the log."""
    assert token not in drop_in(sandbox.url, token=token).err


@pytest.mark.slow(everywhere=True)
@posix
def test_interrupt_is_quiet(sandbox: Sandbox) -> None:
    """Ctrl-C in mid-stream closes the connection with 1000 and ends with status 130, without a traceback."""
    audio = str(WIRE / "mono16k.wav")
    with started(*DROP_IN, "--token", TOKEN, "--audio_path", audio, ELSA_UNSCRIPTED_URL=sandbox.url) as process:
        deadline = time.monotonic() + PATIENCE
        while not (sandbox.exchanges and sandbox.exchanges[-1].heard):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        status, _, err = interrupt(process)
    assert status == 130
    assert "Traceback" not in err
    assert sandbox.exchanges[-1].close_code == 1000


def test_interrupt_while_importing_is_quiet(sandbox: Sandbox, tmp_path: Any) -> None:
    """Ctrl-C while the package is being imported ends with status 130, without a traceback."""
    assert drop_in(sandbox.url, **shadow(tmp_path, "ssl", "raise KeyboardInterrupt")) == (130, b"", "")


@pytest.mark.slow(everywhere=True)
def test_it_can_be_copied_anywhere(sandbox: Sandbox, tmp_path: Path) -> None:
    """The one file, copied elsewhere under another name, works, and its usage has that name."""
    copy = str(shutil.copy(SCRIPT, tmp_path / "my_client.py"))
    assert run(sys.executable, copy, "--help").out.startswith(b"usage: my_client.py ")
    assert run(sys.executable, copy, "--token", TOKEN, "--audio_path", SHORT, ELSA_UNSCRIPTED_URL=sandbox.url)[0] == 0


def test_without_the_package_it_says_what_to_install() -> None:
    """Where the package isn't installed, two lines on stderr say how to install it; the status is 2."""
    status, out, err = run(sys.executable, "-I", "-S", str(SCRIPT), "--help")
    assert (status, out) == (2, b"")
    assert f"{sys.executable} -m pip install elsa-unscripted" in err
    assert len(err.splitlines()) == 2


@pytest.mark.slow(everywhere=True)
def test_nobody_need_read_the_log(sandbox: Sandbox) -> None:
    """A log whose reader has gone changes nothing else."""
    command = (*DROP_IN, "--token", TOKEN, "--audio_path", SHORT)
    with started(*command, ELSA_UNSCRIPTED_URL=sandbox.url) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(PATIENCE) == 0
    assert sandbox.exchanges[-1].verdict is not None


def test_help_tells_the_exit_statuses() -> None:
    """`--help` has the vendor's options and the exit statuses."""
    text = run(*DROP_IN, "--help").out.decode()
    assert re.findall(r"^  (\d+) ", text, re.MULTILINE) == ["0", "1", "2", "3", "4", "5", "130"]
    for option in ("--token", "--audio_path", "--api_plan", "--return_json", "ELSA_UNSCRIPTED_URL"):
        assert option in text
