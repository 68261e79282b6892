"""The wire is the reference client's, frame by frame: `data/wire/transcripts.json` holds what it sent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set

import pytest
import trustme
import websocket
from rawserver import CLOSE, PING, STREAM_ID, SUCCESS, TEXT, Connection, Frame, RawServer

import elsa_unscripted
from elsa_unscripted import ElsaError, score
from elsa_unscripted.wire.wire import Wire

WIRE = Path(__file__).parent / "data" / "wire"
TRANSCRIPTS: Dict[str, Any] = json.loads((WIRE / "transcripts.json").read_text())


def healthy(connection: Connection) -> None:
    connection.handshake()
    connection.read_frame()
    connection.send(STREAM_ID)
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.read_frame()
    connection.send_close()


def described(frame: Frame) -> Dict[str, Any]:
    text: Dict[str, Any] = {"text": frame.payload.decode()} if frame.opcode == TEXT else {}
    return {
        "kind": "text" if frame.opcode == TEXT else "binary",
        "bytes": len(frame.payload),
        "sha256": hashlib.sha256(frame.payload).hexdigest(),
        **text,
    }


def frames_of(path: Path, speed: Optional[float]) -> tuple[bytes, List[Frame]]:
    with RawServer(healthy) as server:
        score(path, "TOKEN", url=server.url, speed=speed)
    (connection,) = server.connections
    return connection.request, connection.frames


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
def test_frames_are_the_references(name: str) -> None:
    """For each recorded WAV, every message, its kind, length and bytes equal the reference client's."""
    transcript = TRANSCRIPTS[name]
    assert hashlib.sha256((WIRE / name).read_bytes()).hexdigest() == transcript["input_sha256"]
    request, frames = frames_of(WIRE / name, speed=None)
    assert f"\r\nAuthorization: {transcript['authorization']}\r\n".encode() in request
    assert [described(frame) for frame in frames if frame.opcode != CLOSE] == transcript["frames"]


def test_transcripts_cover_every_wav() -> None:
    """No WAV beside the transcripts is left out of the comparison."""
    assert {path.name for path in WIRE.glob("*.wav")} == set(TRANSCRIPTS)


def test_frames_are_the_same_at_any_speed() -> None:
    """Pacing changes when a frame leaves, not what is in it."""
    name = "short.wav"
    _, paced = frames_of(WIRE / name, speed=20)
    assert [described(frame) for frame in paced if frame.opcode != CLOSE] == TRANSCRIPTS[name]["frames"]


def test_exchange_ends_with_a_normal_close() -> None:
    """The client closes with 1000, once, and sends nothing after it."""
    _, frames = frames_of(WIRE / "short.wav", speed=None)
    assert frames[-1] == Frame(CLOSE, b"\x03\xe8")
    assert [frame.opcode for frame in frames].count(CLOSE) == 1


# The edge to websocket-client. A release of it that touches something else of its socket, or sends another request,
# fails here, rather than in somebody's exchange: look at what it does, and let `Wire` provide it.

# What any release that setup.cfg admits asks of a socket; 1.8 asks for less.
ASKED_OF_A_SOCKET = {
    *["recv", "send", "fileno", "pending"],
    *["gettimeout", "settimeout", "shutdown", "close", "_closed"],
}
REQUEST = re.compile(
    rb"GET /api/v1 HTTP/1\.1\r\n"
    rb"Upgrade: websocket\r\n"
    rb"Host: localhost:PORT\r\n"
    rb"Origin: SCHEME://localhost:PORT\r\n"
    rb"Sec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\n"
    rb"Sec-WebSocket-Version: 13\r\n"
    rb"Connection: Upgrade\r\n"
    rb"Authorization: ELSA TOKEN\r\n"
    rb"\r\n"
)


def test_one_module_knows_websocket_client() -> None:
    """`wire/transport.py` alone imports it."""
    package = Path(elsa_unscripted.__file__).parent
    users = [path for path in package.rglob("*.py") if re.search(r"(import|from) websocket\b", path.read_text("utf-8"))]
    assert users == [package / "wire" / "transport.py"]


class Watched:
    """A socket that notes what it is asked for."""

    def __init__(self, wire: Wire, asked: Set[str]) -> None:
        vars(self).update(wire=wire, asked=asked)

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self.wire, name)

    def __setattr__(self, name: str, value: object) -> None:
        self.asked.add(f"{name} (set)")
        setattr(self.wire, name, value)


def ping(connection: Connection) -> None:
    connection.start()
    connection.send(b"there?", PING)
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.finish()


def close_first(connection: Connection) -> None:
    connection.start()
    connection.send_close(1011, "broken")
    connection.read_until_closed()


def cut(connection: Connection) -> None:
    connection.start()
    connection.send_raw(b"\x81\x7d{")
    connection.cut()


def break_the_protocol(connection: Connection) -> None:
    connection.start()
    connection.send(b"x", 0)
    connection.read_until_closed()


def send_fragments(connection: Connection) -> None:
    connection.start()
    data = json.dumps(SUCCESS).encode()
    connection.send(data[:5], TEXT, fin=False)
    connection.send(data[5:], 0)
    connection.finish()


def refuse(connection: Connection) -> None:
    connection.read_request()
    connection.send_raw(b"HTTP/1.1 403 No\r\n\r\n")


def take_for_another(connection: Connection) -> None:
    connection.read_request()
    connection.send_raw(
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
    )


SCRIPTS: List[Callable[[Connection], None]] = [
    *[healthy, ping, close_first, cut, break_the_protocol, send_fragments, refuse, take_for_another]
]


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_edge_to_websocket_client(secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However an exchange ends, websocket-client asks its socket only for what `Wire` has, and its request is known."""
    asked: Set[str] = set()
    succeeded: List[object] = []

    class App(websocket.WebSocketApp):
        def __init__(self, url: str, *, socket: Any, **options: Any) -> None:
            super().__init__(url, socket=Watched(socket, asked), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(websocket, "WebSocketApp", App)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    for script in SCRIPTS:
        with RawServer(script, tls if secure else None) as server:
            url = f"{'wss' if secure else 'ws'}://localhost:{server.port}/api/v1"
            options: Any = {"url": url, "speed": None, "connect_retries": 0, "timeout": 5, "close_timeout": 0.5}
            with contextlib.suppress(ElsaError):
                score(WIRE / "short.wav", "TOKEN", ca_bundle=tmp_path / "ca.pem", **options)
                succeeded.append(script)
        (connection,) = server.connections
        expected = REQUEST.pattern.replace(b"PORT", b"%d" % server.port)
        expected = expected.replace(b"SCHEME", b"https" if secure else b"http")
        assert re.fullmatch(expected, connection.request), script.__name__
    assert succeeded == [healthy, ping, send_fragments]
    assert asked <= ASKED_OF_A_SOCKET
    assert {"recv", "send", "fileno", "close"} <= asked
    assert [name for name in ASKED_OF_A_SOCKET if not hasattr(Wire, name)] == []
