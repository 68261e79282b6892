"""What is logged: each line of an exchange says which one it is about, and websocket-client is quiet."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SECOND, SHORT
from rawserver import Connection, RawServer

from elsa_unscripted import Client, ElsaError, LiveAudio, score, score_many
from elsa_unscripted.log import Log
from elsa_unscripted.sandbox import Sandbox

NUMBER = r"\d+\.\d\d s"


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Listens to this package at DEBUG; to all others as a host does that has set nothing but the root's level."""
    with caplog.at_level(logging.DEBUG):
        yield


def told(caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "elsa_unscripted" and record.levelno >= level]


def test_each_line_has_the_stream_id(caplog: pytest.LogCaptureFixture) -> None:
    """Once the server has named the stream, each line ends with the path and its id, in every thread."""
    with Sandbox("unknown-status") as sandbox:
        result = score(SHORT, "any", url=sandbox.url, speed=None)
    records = told(caplog)
    texts = [record.getMessage() for record in records]
    named = [text.endswith(f" [{SHORT!r}, stream {result.stream_id}]") for text in texts]
    first = named.index(True)
    assert "processing" in texts[first]
    assert all(named[first:])
    assert all(text.endswith(f" [{SHORT!r}]") for text in texts[:first])
    assert {record.threadName for record in records[first:]} == {"MainThread", "elsa-websocket"}
    assert {getattr(record, "stream_id", 0) for record in records[first:]} == {result.stream_id}
    assert {getattr(record, "recording", 0) for record in records} == {repr(SHORT)}


def test_info_says_how_far_it_has_come(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO: the begin with the length, the stream, the verdict, each with the seconds."""
    with Sandbox(greeting=False) as sandbox:
        score(SHORT, "any", url=sandbox.url, speed=None)
        begin, stream, verdict = [record.getMessage().rpartition(" [")[0] for record in told(caplog, logging.INFO)]
        assert begin == "begin: 0.31 s of audio"
        assert re.fullmatch(f"stream opened after {NUMBER}", stream)
        assert re.fullmatch(f"verdict after {NUMBER}: success, 0.31 s of audio sent", verdict)
        caplog.clear()
        score(LiveAudio([bytes(6400)], sample_rate=16000), "any", url=sandbox.url)
        assert told(caplog, logging.INFO)[0].getMessage() == "begin: live audio"


@pytest.mark.parametrize(
    ("scenario", "ending"),
    [
        ("failed=too loud", "verdict after .* s: .*too loud"),
        ("bad-quality", "verdict after .* s: .*bad_quality"),
        ("drop-after=1", "no verdict after .* s: the connection was cut"),
        ("401", "no verdict after .* s: the server refused the token"),
    ],
)
def test_info_says_how_it_failed(scenario: str, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """The last line is the verdict against, or why there is none; once."""
    with Sandbox(scenario) as sandbox, pytest.raises(ElsaError):
        score(SHORT, "any", url=sandbox.url, speed=None)
    endings = [record.getMessage() for record in told(caplog, logging.INFO) if "verdict after" in record.getMessage()]
    assert len(endings) == 1
    assert re.match(ending, endings[0])


def test_each_line_of_a_batch_has_the_path(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Whichever recording a line is about, it says so, warnings on the recording included."""
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav", "cut.wav")]
    shutil.copy(SHORT, paths[0])
    shutil.copy(SECOND, paths[1])
    Path(paths[2]).write_bytes(Path(SECOND).read_bytes()[:-2000])
    with Sandbox() as sandbox:
        list(score_many(paths, "any", url=sandbox.url, speed=None))
    records = told(caplog)
    assert {getattr(record, "recording", None) for record in records} == set(map(repr, paths))
    for record in records:
        assert f" [{record.__dict__['recording']}" in record.getMessage()
    assert [record.__dict__["recording"] for record in records if record.levelno == logging.WARNING] == [repr(paths[2])]


def test_a_recording_can_be_named(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes have no path: `name` stands for it. A URL's secrets are not logged."""
    with Sandbox() as sandbox, Client("any", url=sandbox.url, speed=None) as client:
        client.score(Path(SHORT).read_bytes(), name="pupil\n17")
        client.score(Path(SHORT).read_bytes(), name="https://user:s3cret@bucket/x.wav?sig=s3cret")
        client.score(Path(SHORT).read_bytes())
    begins = [record.getMessage() for record in told(caplog) if "begin:" in record.getMessage()]
    ends = [r" ['pupil\n17']", " ['https://bucket/x.wav']", ""]
    assert begins == [f"begin: 0.31 s of audio{end}" for end in ends]
    assert "s3cret" not in caplog.text


def test_a_strange_stream_id_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    """The server's text can't forge a line, nor fill one."""
    log = Log()
    log.stream_id = "\x1b[2J\n" + "x" * 1_000_000
    log.info("100 %% of %s", "it")
    (record,) = told(caplog)
    assert record.getMessage() == f"100 % of it [stream \\x1b[2J\\n{'x' * 75}]"


def break_off(connection: Connection) -> None:
    """Accepts, and then isn't there any more: websocket-client logs an error of its own."""
    connection.start()
    connection.cut()


@pytest.mark.parametrize("asked", [False, True])
def test_websocket_client_is_quiet_unless_asked_for(asked: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Its logger says nothing of our connections, though the root listens; with a level of its own it does."""
    theirs = logging.getLogger("websocket")
    if asked:
        theirs.setLevel(logging.DEBUG)
    try:
        with RawServer(break_off) as server, pytest.raises(ElsaError):
            score(SHORT, "any", url=server.url, speed=None)
        theirs.error("somebody else's connection")
    finally:
        theirs.setLevel(logging.NOTSET)
    said = [record.getMessage() for record in caplog.records if record.name == "websocket"]
    assert (said[-1], len(said) > 1) == ("somebody else's connection", asked)
