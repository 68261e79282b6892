"""What a server can do wrong, below and at the level of messages: each fault with the outcome that it must have.

Used by `test_faults.py`, one by one, and by `scripts/soak.py`, all at once.
"""

from __future__ import annotations

import gzip
import json
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

from rawserver import CLOSE, PING, STREAM_ID, SUCCESS, TEXT, Connection, frame

from elsa_unscripted import (
    AuthenticationError,
    BadQualityError,
    ConnectError,
    ElsaError,
    ProtocolError,
    RateLimitedError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)

Script = Callable[[Connection], Any]

BAD_QUALITY = {"status": "bad_quality", "reason": "hum"}
FAILED = {"status": "failed", "reason": "no"}
CLOSE_CODES = (1000, 1001, 1008, 1011, 3000, 4999)
FORBIDDEN = {"message": "Forbidden", "connectionId": "a=", "requestId": "b"}
BUSY = ({"status": "accepted"}, {"status": "processing", "message": "Finished receiving audio"})
PHASES = ("start", "audio", "result")
IN_TIME: Dict[str, Any] = {"speed": 4.0}  # so slow that a busy machine reacts before all the audio has left


@dataclass(frozen=True)
class Fault:
    """A server's misbehaviour, and what `score()` must make of it.

    Attributes:
        name: For the tables.
        script: The server's side.
        error: What is raised; `None` for a result.
        phase: Of the error.
        code: Its close code, or HTTP status.
        options: For `score()`, beside those that make a fault quick.
        connections: How many connections the server sees.
        says: What the error's text must hold: the server's own words, or what to do.
    """

    name: str
    script: Script
    error: Optional[Type[ElsaError]] = None
    phase: Optional[str] = None
    code: Optional[int] = None
    options: Dict[str, Any] = field(default_factory=dict)
    connections: int = 1
    says: Tuple[str, ...] = ()


def reach(connection: Connection, phase: str) -> None:
    """Goes through a healthy exchange up to a phase of the client."""
    connection.handshake()
    connection.read_frame()
    if phase == "start":
        return
    connection.send(STREAM_ID)
    if phase == "audio":
        connection.read_frame()
    else:
        connection.read_until_end()


def at(phase: str, *messages: Any, then: str = "finish") -> Script:
    """Says messages in a phase, and ends the connection in some way."""

    def script(connection: Connection) -> None:
        reach(connection, phase)
        for message in messages:
            connection.send(message)
        ends: Dict[str, Callable[[], Any]] = {
            "finish": connection.finish,
            "cut": connection.cut,
            "reset": connection.reset,
            "stay": connection.read_until_closed,
        }
        ends[then]()

    return script


def raw(phase: str, data: bytes, then: str = "stay") -> Script:
    """Sends bytes in a phase, whatever they are."""

    def script(connection: Connection) -> None:
        reach(connection, phase)
        connection.send_raw(data)
        if then == "cut":
            connection.cut()
        connection.read_until_closed()

    return script


def answer(head: bytes, then: str = "close") -> Script:
    """Answers the handshake with bytes."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(head)
        if then == "stay":
            connection.read_until_closed()

    return script


def _redirect(status: int, location: str) -> Fault:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    return Fault(f"redirect {status} to {location}", answer(head), ConnectError, "connect", status)


def _refusal(status: int) -> Fault:
    kind = {401: AuthenticationError, 403: AuthenticationError, 429: RateLimitedError}.get(status, ConnectError)
    passing = status in (408, 429, 500, 502, 503, 504)
    script = answer(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
    return Fault(f"handshake {status}", script, kind, "connect", status, {"connect_retries": 1}, 2 if passing else 1)


def _told(status: int, kind: str, body: str, error: Type[ElsaError], *says: str, headers: str = "") -> Fault:
    """A refusal with a body, whose beginning must be told."""
    data = body.encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    name = f"handshake {status} with {kind or 'no type'} {body[:30]}"
    return Fault(name, answer(head.encode() + data), error, "connect", status, {"connect_retries": 0}, says=says)


def _refusals_with_reasons() -> List[Fault]:
    json_type, page = "application/json", "text/html; charset=utf-8"
    blocked = "<!DOCTYPE html><html><body>Blocked by the firewall</body></html>"
    chunked = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno suc\r\n6;x=y\r\nh path\r\n0\r\n\r\n"
    packed = gzip.compress(b'{"error": "packed words"}')
    zipped = b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    endless = b"HTTP/1.1 404 No\r\n\r\n" + b"x" * 50_000
    once = {"connect_retries": 0}
    return [
        _told(400, json_type, '{"error": {"code": 7, "message": "bad plan"}}', ConnectError, "bad plan", "check"),
        _told(402, json_type, '{"message": "no credit left"}', ConnectError, "no credit left", "account"),
        _told(404, json_type, '{"message": "no such path"}', ConnectError, "no such path", "url's path"),
        _told(401, json_type, '{"message": "expired"}', AuthenticationError, "expired", "token"),
        _told(403, json_type, '{"message": "not yours"}', AuthenticationError, "not yours", "token"),
        _told(403, "text/html", '{"message": "not yours"}', AuthenticationError, "not yours"),
        _told(403, "text/html", "", AuthenticationError, "token"),
        _told(403, page, blocked, ConnectError, "Blocked by the firewall", "runs the network"),
        _told(403, "text/plain", "\ufeff \n" + blocked, ConnectError, "Blocked by the firewall"),
        _told(403, "text/html", "Blocked.", ConnectError, "Blocked."),
        _told(429, json_type, '{"message": "slow down"}', RateLimitedError, "slow down"),
        _told(500, "text/plain", "line 1\nline 2\x1b[31m\u202e", ConnectError, r"line 1\nline 2\x1b[31m\u202e"),
        _told(302, "", "", ConnectError, "'/elsewhere'", headers="Location: /elsewhere\r\n"),
        Fault(
            "a body in chunks", answer(chunked.encode(), "stay"), ConnectError, "connect", 404, says=("no such path",)
        ),
        Fault("a body in gzip", answer(zipped, "stay"), ConnectError, "connect", 400, says=("packed words",)),
        Fault("a body without end", answer(endless, "stay"), ConnectError, "connect", 404, once, says=("'xxx",)),
    ]


def _interim(*statuses: int) -> Script:
    """Answers with interim responses before the 101 (RFC 9110, 15.2)."""

    def script(connection: Connection) -> None:
        connection.read_request()
        for status in statuses:
            connection.send_raw(f"HTTP/1.1 {status} Wait\r\nLink: </a>\r\n\r\n".encode())
        connection.handshake()
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    return script


def _interim_without_end(connection: Connection) -> None:
    connection.read_request()
    while True:
        connection.send_raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")


def _dribble_head(connection: Connection) -> None:
    connection.read_request()
    connection.send_raw(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        connection.send_raw(b"X: y\r\n")
        time.sleep(0.05)


def _dribble_frame(connection: Connection) -> None:
    reach(connection, "result")
    connection.send_raw(b"\x81\x7d")
    while True:
        connection.send_raw(b"x")
        time.sleep(0.05)


def _chatter(connection: Connection) -> None:
    reach(connection, "result")
    while True:
        connection.send({"status": "processing"})


def _pings(connection: Connection) -> None:
    reach(connection, "result")
    while True:
        connection.send(b"x" * 100, PING)
        connection.read_frame()


def _fragments_without_end(connection: Connection) -> None:
    reach(connection, "result")
    connection.send(b"[", TEXT, fin=False)
    while True:
        connection.send(b" " * 10_000, 0, fin=False)


def _huge(connection: Connection) -> None:
    reach(connection, "result")
    connection.send_raw(b"\x81\x7f" + struct.pack("!Q", 2**40))
    while True:
        connection.send_raw(b"x" * 65536)


def _claim_in_two(connection: Connection) -> None:
    reach(connection, "result")
    connection.send(b"[", TEXT, fin=False)
    connection.send_raw(b"\x80\x7f\x80")
    connection.wait(0.1)
    connection.send_raw(bytes(7))
    connection.read_until_closed()


def _in_frames(count: int) -> Script:
    def script(connection: Connection) -> None:
        reach(connection, "result")
        data = json.dumps({**SUCCESS, "filler": "x" * 5000}).encode()
        size = -(-len(data) // count)
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        for number, part in enumerate(parts):
            connection.send(part, 0 if number else TEXT, fin=number == len(parts) - 1)
            if number % 50 == 0:
                connection.send(b"there?", PING)
        connection.finish()

    return script


def _stream_id_never_read(connection: Connection) -> None:
    connection.start()
    connection.wait(30)


def _closing(phase: str, code: int, *messages: Any) -> Script:
    def script(connection: Connection) -> None:
        reach(connection, phase)
        for message in messages:
            connection.send(message)
        connection.send_close(code, "because")
        connection.read_until_closed()

    return script


def _handshake_faults() -> List[Fault]:
    hang = {"connect_timeout": 0.4}
    found = [_redirect(status, "ws://127.0.0.2:9/api") for status in (301, 302, 303, 307, 308)]
    found += [_redirect(302, place) for place in ("wss://other.example/", "/api", "file:///etc/passwd", "")]
    found += [_refusal(status) for status in (400, 401, 403, 404, 408, 418, 429, 500, 501, 502, 503, 504)]
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
    wrong_key = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n"
    many = b"HTTP/1.1 101 Yes\r\n" + b"X: y\r\n" * 50_000
    once = {"connect_retries": 0}
    connect: Tuple[Type[ElsaError], str] = (ConnectError, "connect")
    return [
        *found,
        *_refusals_with_reasons(),
        Fault("100, 102 and 103 before 101", _interim(100, 102, 103, 103)),
        Fault("103 without end", _interim_without_end, *connect),
        Fault("a page in place of the handshake", answer(page), *connect, code=200, says=("'page'", "url")),
        Fault("101 that is no WebSocket", answer(wrong_key), *connect),
        Fault("101 and nothing else", answer(b"HTTP/1.1 101\r\n\r\n"), *connect),
        Fault("no HTTP", answer(b"220 mail.example ESMTP\r\n", "stay"), *connect),
        Fault("binary junk", answer(bytes(range(256)), "stay"), *connect),
        Fault("status that is no number", answer(b"HTTP/1.1 OK\r\n\r\n"), *connect),
        Fault("header that is not UTF-8", answer(b"HTTP/1.1 101 Yes\r\nX: \xff\r\n\r\n"), *connect),
        Fault("header without a colon", answer(b"HTTP/1.1 101 Yes\r\nX\r\n\r\n"), *connect),
        Fault("endless headers", answer(many, "stay"), *connect),
        Fault("dribbled headers", _dribble_head, *connect, options=hang),
        Fault("hang after accept", lambda connection: connection.wait(30), *connect, options=hang),
        Fault("hang in mid-headers", answer(b"HTTP/1.1 101 Sw", "stay"), *connect, options=hang),
        Fault("close at once", lambda connection: connection.cut(), *connect, options=once),
        Fault("close in mid-headers", answer(b"HTTP/1.1 101 Sw"), *connect, options=once),
        Fault("reset at once", lambda connection: connection.reset(), *connect, options=once),
    ]


def _ending_faults() -> List[Fault]:
    found: List[Fault] = []
    for phase in PHASES:
        pace = IN_TIME if phase == "audio" else {}
        for code in CLOSE_CODES:
            closing = _closing(phase, code)
            found.append(Fault(f"close {code} at {phase}", closing, StreamClosedError, phase, code, pace))
            found.append(Fault(f"success, close {code} at {phase}", _closing(phase, code, SUCCESS)))
        for end in ("cut", "reset"):
            found.append(Fault(f"{end} at {phase}", at(phase, then=end), StreamClosedError, phase, 1006, pace))
            found.append(Fault(f"success, {end} at {phase}", at(phase, SUCCESS, then=end)))
            rejected = at(phase, FAILED, then=end)
            found.append(Fault(f"failed, {end} at {phase}", rejected, ScoringFailedError, phase, options=pace))
        found.append(Fault(f"success at {phase}", at(phase, SUCCESS)))
        found.append(Fault(f"success, then silence at {phase}", at(phase, SUCCESS, then="stay")))
        bad = _closing(phase, 1000, BAD_QUALITY)
        found.append(Fault(f"bad_quality, close at {phase}", bad, BadQualityError, phase, options=pace))
        invalid = raw(phase, frame(struct.pack("!H", 1006), CLOSE))
        found.append(Fault(f"close frame with 1006 at {phase}", invalid, StreamClosedError, phase, 1006, pace))
    return found


def _frame_faults() -> List[Fault]:
    foul: Tuple[Type[ElsaError], str] = (ProtocolError, "result")
    late: Tuple[Type[ElsaError], str] = (ScoreTimeoutError, "result")
    small = {"max_message_bytes": 2**20}
    masked = bytes([0x81, 0x80 | 20]) + b"\0\0\0\0" + b'{"status":"success"}'
    return [
        Fault("never a stream id", at("start"), ScoreTimeoutError, "start"),
        Fault("never a verdict", at("result"), *late),
        Fault("never anything, not even a close", at("result", then="stay"), *late),
        Fault("chatter without end", _chatter, *late),
        Fault("pings without end", _pings, *late),
        Fault("a server that reads nothing", _stream_id_never_read, ScoreTimeoutError, "audio"),
        Fault("verdict in 1 frame", _in_frames(1)),
        Fault("verdict in 2 frames", _in_frames(2)),
        Fault("verdict in 500 frames", _in_frames(500)),
        Fault("verdict in a masked frame", raw("result", masked)),
        Fault("torn frame", raw("result", b"\x81\x7d{", "cut"), StreamClosedError, "result", 1006),
        Fault("frame that never ends", raw("result", b"\x81\x7d{"), *late),
        Fault("dribbled frame", _dribble_frame, *late),
        Fault("reserved opcode", raw("result", frame(b"x", first=0x83)), *foul),
        Fault("reserved bits", raw("result", frame(b"x", first=0xF1)), *foul),
        Fault("ping in fragments", raw("result", frame(b"x", PING, fin=False)), *foul),
        Fault("continuation of nothing", raw("result", frame(b"x", 0)), *foul),
        Fault("message inside a message", raw("result", frame(b"x", fin=False) + frame(b"y")), *foul),
        Fault("claim of 2^40 bytes, then silence", raw("result", b"\x81\x7f" + struct.pack("!Q", 2**40)), *foul),
        Fault("claim of 2^63 bytes", raw("result", b"\x81\xff" + struct.pack("!Q", 2**63)), *foul),
        Fault("claim of 2^63 bytes in a ping", raw("result", b"\x89\x7f" + struct.pack("!Q", 2**63)), *foul),
        Fault("claim of 2^63 bytes in two segments", _claim_in_two, *foul),
        Fault("message of 2^40 bytes", _huge, *foul, options=small),
        Fault("fragments without end", _fragments_without_end, *foul, options=small),
    ]


def _message_faults() -> List[Fault]:
    junk: Dict[str, Any] = {
        "an empty message": "",
        "no JSON": "not json",
        "half an object": '{"status": "succ',
        "an array": "[]",
        "a number": "7",
        "a string": '"success"',
        "null": "null",
        "10,000 levels": '{"a":' * 10_000,
        "10,000 arrays": "[" * 10_000 + "]" * 10_000,
        "invalid UTF-8": b'{"status": "\xff"}',
    }
    found = [
        Fault(f"{name} for a verdict", at("result", message), ProtocolError, "result") for name, message in junk.items()
    ]
    found += [
        Fault(f"{name} before the verdict", at("audio", message, SUCCESS), options=IN_TIME)
        for name, message in junk.items()
    ]
    strange: Tuple[Any, ...] = (None, True, 0, 1.5, "", "SUCCESS", [], ["success"], {}, {"status": "success"})
    found += [Fault(f"status {json.dumps(status)}", at("result", {"status": status}, SUCCESS)) for status in strange]
    late: Tuple[Type[ElsaError], str] = (ScoreTimeoutError, "result")
    oops = {"status": "error", "message": "quota \x1b used up"}
    for key in ("message", "error", "errors", "detail"):
        verdict = {"status": "failed", key: "too much hum"}
        found.append(Fault(f"failed under {key}", at("result", verdict), ScoringFailedError, says=("'too much hum'",)))
    reasons: Tuple[Any, ...] = ({"code": 3, "message": "too much hum"}, [{"message": "too much hum"}])
    for reason in reasons:
        verdict = {"status": "failed", "reason": reason}
        found.append(Fault(f"failed for {reason}", at("result", verdict), ScoringFailedError, says=("too much hum",)))
    return [
        *found,
        Fault(
            "failed in other words", at("result", {"status": "failed", "why": "hum"}), ScoringFailedError, says=("hum",)
        ),
        Fault("an error, then silence", at("result", oops), *late, says=(r"quota \\u001b used up",)),
        Fault("Forbidden, then silence", at("start", FORBIDDEN), ScoreTimeoutError, "start", says=("Forbidden",)),
        Fault("an error, more chatter, then silence", at("result", oops, *BUSY), *late, says=("used up",)),
        Fault(
            "an error, then close 1008",
            _closing("start", 1008, {"type": "error", "message": "plan not allowed"}),
            StreamClosedError,
            "start",
            1008,
            says=("plan not allowed", "'because'", "plan"),
        ),
        Fault("a number of 5,000 digits", at("result", '{"status": "success", "n": ' + "9" * 5000 + "}")),
        Fault("a status of 4,000 digits", at("result", '{"status": ' + "9" * 4000 + "}", SUCCESS)),
        Fault("a status of 5,000 digits", at("result", '{"status": ' + "9" * 5000 + "}", SUCCESS)),
        Fault("duplicate keys", at("result", '{"status": "processing", "status": "success"}')),
        Fault("NaN", at("result", '{"status": "success", "score": NaN, "more": -Infinity}')),
        Fault("lone surrogate", at("result", '{"status": "success", "x": "\\ud800"}')),
        Fault("strange fields", at("result", '{"status": "success", "result_link": 7, "audio_link": {}, "x": [null]}')),
        Fault("strange stream id", at("start", {"status": "processing", "stream_id": []}, SUCCESS)),
        Fault("failed with a strange reason", at("result", {"status": "failed", "reason": [1]}), ScoringFailedError),
        Fault("bad_quality, then silence", at("result", BAD_QUALITY), BadQualityError, "result"),
        Fault("bad_quality, then success", at("result", BAD_QUALITY, SUCCESS)),
        Fault("bad_quality, then failed", at("result", BAD_QUALITY, FAILED), ScoringFailedError, "result"),
        Fault("two verdicts", at("result", SUCCESS, FAILED)),
    ]


FAULTS: Tuple[Fault, ...] = (*_handshake_faults(), *_ending_faults(), *_frame_faults(), *_message_faults())
