"""What a server or a proxy says: told in errors, but bounded, escaped and without secrets; and of bounded size."""

from __future__ import annotations

import json
import pickle
import re
import time
import zlib
from pathlib import Path
from typing import Any, Callable, List

import pytest
from leaks import watching_for
from rawserver import STREAM_ID, SUCCESS, Connection, RawServer

from elsa_unscripted import (
    Client,
    ConfigError,
    ConnectError,
    ElsaError,
    ProtocolError,
    ScoreResult,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
    score,
)
from elsa_unscripted.cli.main import main
from elsa_unscripted.cli.statuses import explain
from elsa_unscripted.wire.handshake import MAX_BODY_BYTES
from elsa_unscripted.wire.messages import Status
from elsa_unscripted.wire.secrets import Mask

TOKEN = "eyJ0-a/token=that+nobody&sees"
MANY = 2**20  # characters


def failed(script: Callable[[Connection], Any], audio: Path, **options: Any) -> Any:
    """Returns the error of an exchange."""
    given = {"token": TOKEN, "speed": None, "timeout": 10, "connect_retries": 0, **options}
    with RawServer(script) as server, pytest.raises(ElsaError) as caught:
        score(audio, url=server.url, **given)
    return caught.value


def saying(*messages: Any, then: Callable[[Connection], Any] = Connection.finish) -> Any:
    """Returns the script of a server that says messages once the audio has come."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        for message in messages:
            connection.send(message)
        then(connection)

    return script


def refusing(status: int, body: bytes, kind: str = "application/json") -> Any:
    head = f"HTTP/1.1 {status} No\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(head + body)

    return script


# The words are in the error's attributes, too.


def test_a_body_is_an_attribute(short: Path) -> None:
    """A refusal's body is an attribute of the error, of a thousand characters at most, and survives pickle."""
    error = failed(refusing(402, b'{"message": "no credit"}'), short)
    assert (error.status_code, error.body) == (402, '{"message": "no credit"}')
    assert pickle.loads(pickle.dumps(error)).body == error.body
    error = failed(refusing(404, b"x" * MANY, "text/plain"), short)
    assert error.body == "x" * 1000
    assert len(str(error)) < 600


@pytest.mark.slow(everywhere=True)
def test_a_body_that_does_not_come(short: Path) -> None:
    """A refusal whose body never ends, or never comes, is told after a second, with what has come of it."""
    head = b"HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n"
    for body in (b"", b"half a"):

        def script(connection: Connection, body: bytes = body) -> None:
            connection.read_request()
            connection.send_raw(head + body)
            connection.read_until_closed()

        began = time.monotonic()
        error = failed(script, short)
        assert (error.status_code, error.body) == (404, body.decode() or None)
        assert time.monotonic() - began < 9


def test_a_body_in_another_encoding(short: Path) -> None:
    """A body is read in the encoding that it names; an unknown one does no harm."""
    latin = refusing(404, "gel\u00f6scht".encode("latin-1"), "text/plain; charset=iso-8859-1")
    assert failed(latin, short).body == "gel\u00f6scht"
    assert failed(refusing(404, b"gone", "text/plain; charset=no-such"), short).body == "gone"
    assert (
        failed(refusing(404, zlib.compress(b"gone"), "text/plain\r\nContent-Encoding: deflate"), short).body == "gone"
    )
    assert failed(refusing(403, b"\x0b\x02\x80", "text/html\r\nContent-Encoding: br"), short).body is None
    wide = refusing(401, f"no: {TOKEN}".encode("utf-16"), "text/plain; charset=utf-16")
    assert failed(wide, short).body == "no: " + "*" * len(TOKEN)


def test_half_a_token_at_the_end_of_what_is_read(short: Path) -> None:
    """Where the reading of a long body stops amid the token, its first half is in no error."""
    error = failed(refusing(401, (" " * (MAX_BODY_BYTES - 12) + TOKEN).encode(), "text/plain"), short)
    assert TOKEN[:8] not in shown(error)


@pytest.mark.parametrize(("status", "hint"), [(425, "try later"), (431, "check the token")])
def test_a_hint_that_fits_the_status(status: int, hint: str, short: Path) -> None:
    """What can pass is to be tried later; where the headers are too long, it is the token that is."""
    error = failed(refusing(status, b"{}"), short)
    assert str(error).endswith(hint)
    assert error.retryable is (status == 425)


def test_the_wait_that_a_server_asks_for_is_told(short: Path) -> None:
    """Whatever the status, a Retry-After is told, as it is for 429."""
    for status in (429, 503, 520):
        error = failed(refusing(status, b"{}", "text/plain\r\nRetry-After: 7200"), short)
        assert str(error).endswith("try again in 7200 s")


def test_a_blank_reason_is_none() -> None:
    """A reason of spaces doesn't hide the message that stands beside it."""
    assert Status({"status": "failed", "reason": " ", "message": "noise"}).reason == "noise"


def test_the_last_message_is_an_attribute(short: Path) -> None:
    """What the server said last is an attribute of the error; its greeting, and that it is at work, say nothing."""
    error = failed(saying({"type": "error", "code": 7}, {"status": "processing"}, then=Connection.cut), short)
    assert error.last_message == '{"type": "error", "code": 7}'
    assert '\'{"type": "error", "code": 7}\'' in str(error)
    assert pickle.loads(pickle.dumps(error)).last_message == error.last_message
    error = failed(saying({"type": "ELSA:wsConnect"}, {"status": "accepted"}, then=Connection.cut), short)
    assert error.last_message is None
    assert "last message" not in str(error)


def test_a_long_last_message_is_cut(short: Path) -> None:
    """Of a long message, the error tells the beginning."""
    error = failed(saying({"message": "z" * MANY}), short, timeout=1)
    assert isinstance(error, ScoreTimeoutError)
    assert error.last_message is not None
    assert len(error.last_message) == 1000
    assert len(str(error)) < 600


# Secrets.


def _in_json(text: str) -> str:
    return "".join(f"\\u{ord(each):04x}" for each in text)


SPELLINGS = {
    "as it is": TOKEN,
    "all escaped": _in_json(TOKEN),
    "in capitals": _in_json(TOKEN).upper().replace("\\U", "\\u"),
    "the plain run escaped": TOKEN.replace("token", _in_json("token")),
    "one letter escaped": TOKEN.replace("n", _in_json("n")),
    "escaped slash": TOKEN.replace("/", "\\/"),
    "escaped twice": _in_json(TOKEN).replace("\\", "\\\\"),
}
MORE_SPELLINGS = {
    "entities": "".join(f"&#{ord(each)};" for each in TOKEN),
    "hexadecimal entities": "".join(f"&#x{ord(each):X};" for each in TOKEN),
    "html": TOKEN.replace("&", "&amp;"),
    "url": TOKEN.replace("/", "%2F").replace("=", "%3d").replace("+", "%2B").replace("&", "%26"),
    "url twice": TOKEN.replace("/", "%252F").replace("=", "%253d").replace("+", "%252B").replace("&", "%2526"),
    "html twice": TOKEN.replace("&", "&amp;amp;"),
    "html, as Go's JSON has it": TOKEN.replace("&", r"\u0026amp;"),
}


def shown(error: BaseException) -> str:
    """Returns all that an error shows, with its escapes undone: so a token is found however it is spelled."""
    texts = [f"{error!r} {error} {vars(error)} {error.__cause__!r}"]
    for _ in range(4):
        text = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), texts[-1])
        text = re.sub(r"&#x([0-9a-fA-F]+);", lambda found: chr(int(found[1], 16)), text)
        text = re.sub(r"&#([0-9]+);", lambda found: chr(int(found[1])), text)
        texts.append(re.sub(r"\\+(?=/)", "", text.replace("&amp;", "&")))
    return "\n".join(texts)


@pytest.mark.parametrize("spelling", [*SPELLINGS, *MORE_SPELLINGS])
@pytest.mark.parametrize("place", ["body", "message", "no JSON", "in two frames", "reason", "close reason"])
def test_the_token_is_masked_however_it_is_spelled(place: str, spelling: str, short: Path) -> None:
    """A server that repeats the token, escaped in any way, gets it into no error and no log line."""
    spelled = {**SPELLINGS, **MORE_SPELLINGS}[spelling]
    if place == "close reason" and len(spelled) > 100:
        spelled = TOKEN  # a close frame has no room for more
    echo = '{"status": "failed", "reason": "bad token ' + spelled + '"}'

    def in_two_frames(connection: Connection) -> None:
        connection.start()
        middle = echo.index("bad token ") + 17
        connection.send(echo[:middle].encode(), fin=False)
        connection.send(echo[middle:].encode(), 0)
        connection.finish()

    scripts: Any = {
        "body": refusing(401, ('{"error": "bad token ' + spelled + '"}').encode()),
        "message": saying('{"type": "error", "token": "' + spelled + '"}', then=Connection.cut),
        "no JSON": saying("you sent " + spelled),
        "in two frames": in_two_frames,
        "reason": saying(echo),
        "close reason": lambda connection: (connection.start(), connection.send_close(1008, spelled)),
    }
    with watching_for(TOKEN) as leaks:
        error = failed(scripts[place], short)
        leaks.look_at_error(error)
    assert leaks.found == []
    assert "****" in str(error)
    text = shown(error)
    assert [part for part in (TOKEN, "token=that", "nobody", spelled) if part in text] == []


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("text", ["\\" * MANY, "&#" * MANY, "%25" * MANY, _in_json(TOKEN) * (MANY // len(TOKEN))])
def test_the_search_for_a_token_is_quick(text: str) -> None:
    """To look for the token takes a time that grows with the text, whatever the text is: a server can't hold us up."""
    began = time.process_time()
    masked = Mask(TOKEN).masked(text.encode())
    assert time.process_time() - began < 5
    assert len(masked) == len(text)


def test_a_masked_message_is_still_json(short: Path) -> None:
    """Where the token was, there are asterisks; all else of the object is as it came."""
    text = '{"status": "success", "a\\\\": "\\"' + SPELLINGS["escaped twice"] + '\\"", "b": [1, "\\u00e9"]}'
    with RawServer(saying(text)) as server:
        result = score(short, TOKEN, url=server.url, speed=None)
    assert set(result["a\\"]) == {'"', "*"}
    assert result["b"] == [1, "\u00e9"]


# Sizes.


@pytest.mark.parametrize(
    "message", ["[" + "1," * MANY, "x" * MANY, b"\xff" * MANY, '"' + "y" * MANY + '"', "[" * MANY + "]" * MANY]
)
def test_an_unreadable_message_is_not_kept(message: Any, short: Path) -> None:
    """An error about an unreadable message holds its beginning, not all of it, in its pickle, cause and context."""
    error = failed(saying(message), short)
    assert type(error) is ProtocolError
    assert len(pickle.dumps(error)) < 10_000
    link: Any = error
    while link is not None:
        assert len(repr(link)) < 2000
        assert all(len(str(value)) < 2000 for value in (*vars(link).values(), *link.args))
        assert not hasattr(link, "doc")
        assert not hasattr(link, "object")
        link = link.__cause__ or link.__context__


def test_an_unreadable_message_is_quoted(short: Path) -> None:
    """A message that is no JSON is quoted, on one line."""
    error = failed(saying("<p>gateway\ntime-out\x1b[0m"), short)
    assert r"'<p>gateway\ntime-out\x1b[0m'" in str(error)
    assert str(error).isprintable()


@pytest.mark.slow
def test_the_bytes_that_wait_are_bounded(short: Path) -> None:
    """While the caller's callback takes its time, the server's large messages wait on the network, not in memory."""
    sent: List[float] = []
    waiting: List[int] = []
    message = json.dumps({"status": "processing", "filler": "x" * 2**18})

    def script(connection: Connection) -> None:
        connection.start()
        while True:
            connection.send(message)
            sent.append(time.monotonic())

    def slow(status: object) -> None:
        if waiting:
            return
        guard = time.monotonic() + 20
        while len(sent) < 200 and time.monotonic() < guard and (not sent or time.monotonic() - sent[-1] < 1.0):
            time.sleep(0.01)
        waiting.append(len(sent))

    with RawServer(script) as server, pytest.raises(ScoreTimeoutError):
        score(short, TOKEN, url=server.url, speed=None, timeout=0.1, on_status=slow)
    assert 16 <= waiting[0] < 100  # of 0.25 MB each, a part of them in the sockets' buffers


def test_an_empty_mailbox_takes_a_message_of_any_size(short: Path) -> None:
    """A single message that is larger than what may wait is taken all the same."""
    large = {"status": "success", "filler": "x" * MANY}
    with RawServer(saying({"type": "x", "filler": "x" * MANY}, large)) as server:
        assert score(short, TOKEN, url=server.url, speed=None) == large


@pytest.mark.parametrize("kind", ["id", "status", "reason", "number"])
def test_what_people_see_is_short(kind: str, short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stream id of a megabyte, or a status of 4,000 digits, doesn't fill the terminal."""
    started = {"status": "processing", "stream_id": "s" * 2**20} if kind == "id" else STREAM_ID
    said: Any = {
        "id": {"status": "failed"},
        "status": '{"status": ' + "9" * 4000 + "}",
        "reason": {"status": "failed", "reason": "r" * 2**20},
        "number": '{"status": "failed", "reason": {"n": ' + "9" * 100_000 + "}}",
    }

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        connection.send(started)
        connection.read_until_end()
        connection.send(said[kind])
        connection.cut()

    with RawServer(script) as server:
        command = ["score", str(short), "--token", TOKEN, "--url", server.url, "--speed", "max"]
        assert main(command) in (3, 4)
        assert main([*command, "-v"]) in (3, 4)
        err = capsys.readouterr().err
        with pytest.raises(ElsaError) as caught:
            score(short, TOKEN, url=server.url, speed=None)
    assert max(map(len, err.splitlines())) < 2000
    assert len(explain(caught.value)) < 1000


def test_a_long_stream_id_has_a_short_repr() -> None:
    """The `repr` of a result shows the beginning of its stream id."""
    assert len(repr(ScoreResult({"status": "success"}, stream_id="s" * 2**20))) < 1000


# Numbers.


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 100_000, "1e999", "-1e999", "NaN", "Infinity"])
def test_a_verdict_with_a_strange_number_is_kept(
    number: str, short: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A `success` with a number that Python or JSON has no room for counts; its file is JSON, and loads again.

    `--format json` is the server's text to the byte, and `show` reads it.
    """
    text = '{"status": "success", "n": ' + number + ', "m": [' + number + '], "s": "NaN, \\"Infinity"}'
    with RawServer(saying(text)) as server:
        result = score(short, TOKEN, url=server.url, speed=None)
        command = ["score", str(short), "--token", TOKEN, "--url", server.url, "--speed", "max", "--format", "json"]
        assert main(command) == 0
    out = capsysbinary.readouterr().out
    assert out == text.encode() + b"\n"
    result.save(tmp_path / "r.json")
    saved = (tmp_path / "r.json").read_text(encoding="utf-8")
    strictly = json.loads(saved, parse_constant=_refuse)
    assert strictly["raw"]["s"] == 'NaN, "Infinity'
    assert strictly["text"] == text
    again = ScoreResult.load(tmp_path / "r.json")
    assert again["n"] == (None if number == "NaN" else result["n"])
    (tmp_path / "out.json").write_bytes(out)
    assert main(["show", str(tmp_path / "out.json")]) == 0
    assert main(["show", str(tmp_path / "r.json")]) == 0


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


# Addresses.


def test_schemes_in_capitals(short: Path) -> None:
    """`WS://` is `ws://`; `WSS://` is never taken for it: no token is sent in clear."""
    with RawServer(saying(SUCCESS)) as server:
        assert score(short, TOKEN, url=server.url.replace("ws:", "WS:"), speed=None).status == "success"
    seen: List[bytes] = []

    def script(connection: Connection) -> None:
        seen.append(connection.sock.recv(10_000))
        connection.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with RawServer(script) as server, pytest.raises(ConnectError, match="wss against ws"):
        score(short, TOKEN, url=server.url.replace("ws:", "Wss:"), connect_retries=0)
    assert [TOKEN.encode() in each for each in seen] == [False]
    with pytest.raises(ConfigError, match="clear"):
        Client(TOKEN, url="WS://api.example/")


@pytest.mark.parametrize(
    ("host", "idna"),
    [("b\u00fccher.example", b"xn--bcher-kva.example"), ("\u4f8b\u3048.\u30c6\u30b9\u30c8", b"xn--r8jz45g.xn--zckzah")],
)
def test_a_host_name_that_is_not_ascii(host: str, idna: bytes, short: Path) -> None:
    """A proxy is asked for the host as name servers know it; the error shows neither request nor password."""
    asked: List[bytes] = []

    def script(connection: Connection) -> None:
        asked.append(connection.read_request())
        connection.send_raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with RawServer(script) as proxy:
        address = f"http://me:open-sesame@127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectError, match=r"proxy 127.0.0.1 refused") as caught:
            score(short, TOKEN, url=f"wss://{host}/", proxy=address, connect_retries=0)
    assert asked[0].startswith(b"CONNECT " + idna + b":443 HTTP/1.1\r\nHost: " + idna + b":443\r\n")
    assert b"sesame" not in pickle.dumps(caught.value)


def test_a_host_name_that_can_not_be(short: Path) -> None:
    """A host name that is no name is a wrong option, told before anything is sent."""
    with pytest.raises(ConfigError, match="url"):
        score(short, TOKEN, url="wss://" + "\u00fc" * 100 + ".example/")


def test_bytes_in_a_password_that_are_no_text(short: Path) -> None:
    """A proxy's password that the environment can't spell as text is sent as the bytes that it is, and told nowhere."""
    asked: List[bytes] = []

    def script(connection: Connection) -> None:
        asked.append(connection.read_request())
        connection.send_raw(b"HTTP/1.1 407 No\r\n\r\n")

    with RawServer(script) as proxy:
        address = f"http://me:\udcff%fesesame@127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectError) as caught:
            score(short, TOKEN, url="wss://api.example/", proxy=address, connect_retries=0)
    assert b"\r\nProxy-Authorization: Basic bWU6//5zZXNhbWU=\r\n" in asked[0]
    assert b"sesame" not in pickle.dumps(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("code", [1008, 4001, 4401, 4403])
def test_closed_for_policy(short: Path, code: int) -> None:
    """A close that refuses the token or the plan is told with its reason, and doesn't advise to try again."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        connection.send_close(code, "no such plan")
        connection.read_until_closed()

    error = failed(script, short)
    assert (type(error), error.code, error.reason) == (StreamClosedError, code, "no such plan")
    assert "'no such plan'" in str(error)
    assert "check the token, the plan" in str(error)
    assert ("try again" in str(error), error.retryable) == (False, False)


def test_a_verdict_against_keeps_its_reason(short: Path) -> None:
    """`reason` of the error is the server's, wherever it stood in the object."""
    error = failed(saying({"status": "failed", "reason": "", "error": {"message": "no speech"}}), short)
    assert (type(error), error.reason) == (ScoringFailedError, '{"message": "no speech"}')
    error = failed(saying({"status": "bad_quality", "message": "hum"}, then=Connection.cut), short)
    assert error.reason == "hum"
