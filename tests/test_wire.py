"""What goes over the wire: the reference client's frames, as in `data/wire/transcripts.json`, and each one whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set

import pytest
import trustme
import websocket
from commands import unmeasured
from pydub import AudioSegment
from rawserver import BINARY, CLOSE, PING, PONG, STREAM_ID, SUCCESS, TEXT, Connection, Frame, RawServer

import elsa_unscripted
from elsa_unscripted import ElsaError, ScoreResult, score
from elsa_unscripted.deadline import Deadline
from elsa_unscripted.wire.waiting import WRITE, is_ready
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
    *["recv", "send"],
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
    assert {"recv", "send", "close"} <= asked
    assert [name for name in ASKED_OF_A_SOCKET if not hasattr(Wire, name)] == []


# Connections that take no more for a while.

CLOSE_1000 = Frame(CLOSE, b"\x03\xe8")
FILLING = 0.6  # s in which a connection that nobody reads from fills up


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def stalling(request: pytest.FixtureRequest, authority: trustme.CA, austen: Path) -> Callable[..., Any]:
    """Returns what scores more audio than a connection takes, with a server that reads when its script wants to."""
    audio = AudioSegment(austen.read_bytes()).set_frame_rate(48000).set_channels(2) * 4

    def run(script: Callable[[Connection], None], speed: Optional[float]) -> tuple[ScoreResult, bytes, List[Frame]]:
        with contextlib.ExitStack() as stack:
            tls = server_tls(authority) if request.param == "tls" else None
            server = stack.enter_context(RawServer(script, tls))
            bundle = stack.enter_context(authority.cert_pem.tempfile()) if tls else None
            result = score(audio, "TOKEN", url=server.url, speed=speed, ca_bundle=bundle, timeout=20)
        return result, audio.raw_data, server.connections[0].frames

    return run


def pcm_of(frames: List[Frame]) -> bytes:
    packets = [frame.payload for frame in frames if frame.opcode == BINARY]
    assert all(packet.startswith(b"RIFF") for packet in packets)
    assert all(int.from_bytes(packet[40:44], "little") == len(packet) - 44 for packet in packets)
    return b"".join(packet[44:] for packet in packets)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [200, None])
def test_nothing_goes_inside_a_half_sent_packet(stalling: Callable[..., Any], speed: Optional[float]) -> None:
    """A pong that is due while half a packet has left follows the packet; all audio arrives, sample for sample."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.wait(FILLING)
        connection.send(b"are you there", opcode=PING)
        connection.wait(0.2)
        connection.read_until_end()
        while not any(frame.opcode == PONG for frame in connection.frames):  # on a busy machine, it may come late
            connection.read_frame()
        connection.send(SUCCESS)
        connection.finish()

    result, pcm, frames = stalling(script, speed)
    assert pcm_of(frames) == pcm
    assert [frame for frame in frames if frame.opcode == PONG] == [Frame(PONG, b"are you there")]
    assert frames[-1] == CLOSE_1000
    assert result.audio_seconds_sent == result.audio_seconds


@pytest.mark.parametrize("speed", [200, None])
def test_close_follows_a_half_sent_packet(stalling: Callable[..., Any], speed: Optional[float]) -> None:
    """A close that is due while half a packet has left follows the packet, which counts as sent; no packet follows."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.wait(FILLING)
        connection.send(SUCCESS)
        connection.wait(0.2)
        connection.finish()

    result, pcm, frames = stalling(script, speed)
    heard = pcm_of(frames)
    assert heard == pcm[: len(heard)]
    assert len(heard) < len(pcm)
    assert frames[-1] == CLOSE_1000
    assert result.audio_seconds_sent * 48000 * 4 == pytest.approx(len(heard), abs=1)


PACKET, SHORT_PACKET = b"\x82" + os.urandom(2**23), b"\x82\x80mask"
CLOSING = b"\x88\x80mask"
PONG_FRAME = b"\x8a\x80mask"
EMPTY_PONG = b"\x8a\x00"  # a server's


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire after its handshake, bounded by half a minute, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack:
        if request.param == "tls":
            ours, theirs = encrypted(ours, theirs, authority)
        stack.enter_context(ours)
        stack.enter_context(theirs)
        ours.setblocking(False)
        theirs.settimeout(30)
        theirs.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        wire = Wire(ours, "", Deadline(30), 2**20)
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        theirs.recv(1000)
        wire.bound_sending(Deadline(30))
        yield wire, theirs


def encrypted(ours: socket.socket, theirs: socket.socket, authority: trustme.CA) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with ThreadPoolExecutor() as pool:
        accepting = pool.submit(server_tls(authority).wrap_socket, theirs, server_side=True)
        return context.wrap_socket(ours, server_hostname="localhost"), accepting.result(30)


def exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += sock.recv(size - len(data))
    return bytes(data)


def test_half_a_frame_is_finished_by_whoever_sends_next(pair: tuple[Wire, socket.socket]) -> None:
    """Half a packet, a close that runs into its deadline, and a second one that doesn't: packet and close are whole.

    Who began the packet is told at last that all of it has left, and that nothing may follow the close.
    """
    wire, theirs = pair
    assert not wire.send_now(PACKET)
    wire.bound_sending(Deadline(0.05))
    with pytest.raises(TimeoutError):
        wire.send_frame(CLOSING)
    with pytest.raises(TimeoutError):
        wire.send_now(PACKET)
    wire.bound_sending(Deadline(30))
    sending = threading.Thread(target=wire.send_frame, args=(CLOSING,))
    sending.start()
    assert exactly(theirs, len(PACKET) + len(CLOSING)) == PACKET + CLOSING
    sending.join(30)
    assert wire.send_now(PACKET)
    with pytest.raises(OSError, match="being closed"):
        wire.send_now(PACKET[:-1])


def test_a_pong_waits_for_the_rest_of_a_frame(pair: tuple[Wire, socket.socket]) -> None:
    """The reading thread's pong doesn't go inside half a packet, though the connection takes more: it comes later."""
    wire, theirs = pair
    assert not wire.send_now(PACKET)
    received = b""
    while not is_ready(wire._socket, WRITE, 0):
        received += theirs.recv(2**16)
    wire.send(PONG_FRAME)
    while not wire.send_now(PACKET):
        received += theirs.recv(2**16)
    received += exactly(theirs, len(PACKET) - len(received))
    assert wire.send_now(SHORT_PACKET)
    assert received == PACKET
    after = exactly(theirs, len(PONG_FRAME) + len(SHORT_PACKET))
    assert after in (PONG_FRAME + SHORT_PACKET, SHORT_PACKET + PONG_FRAME)


@contextlib.contextmanager
def reading(wire: Wire, theirs: socket.socket, is_amid_frame: bool) -> Iterator[None]:
    """Reads a frame in a thread, as the reading thread does between two messages, or amid one."""
    assert wire.recv(1000).startswith(b"HTTP/1.1 101")

    def read() -> None:
        while not is_amid_frame and not wire.wait_for_data(None, bytes):
            pass
        assert wire.recv(2) == EMPTY_PONG

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(read)
        try:
            yield
        finally:
            theirs.sendall(EMPTY_PONG)
            done.result(30)


@pytest.mark.parametrize("is_amid_frame", [False, True])
def test_a_pong_needs_no_frame_after_it(pair: tuple[Wire, socket.socket], is_amid_frame: bool) -> None:
    """A pong that finds the connection full leaves when that has room again, also if the last frame was sent before."""
    wire, theirs = pair
    size = 0
    while is_ready(wire._socket, WRITE, 0):
        assert wire.send_now(b"\x82" + os.urandom(4000))
        size += 4001
    wire.send(PONG_FRAME)
    with reading(wire, theirs, is_amid_frame):
        assert exactly(theirs, size + len(PONG_FRAME))[size:] == PONG_FRAME


@pytest.mark.parametrize("is_amid_frame", [False, True])
def test_half_a_pong_needs_no_frame_after_it(pair: tuple[Wire, socket.socket], is_amid_frame: bool) -> None:
    """What is left of a pong leaves when the connection has room again; so does the next. (None is as long as this.)"""
    wire, theirs = pair
    wire.send(b"\x8a" + PACKET)
    with reading(wire, theirs, is_amid_frame):
        assert exactly(theirs, len(PACKET) + 1) == b"\x8a" + PACKET
        wire.send(PONG_FRAME)
        assert exactly(theirs, len(PONG_FRAME)) == PONG_FRAME


def test_a_try_never_waits_for_who_is_sending(pair: tuple[Wire, socket.socket]) -> None:
    """While another thread waits to send, a try to send comes back at once, and says that nothing has left."""
    wire, theirs = pair
    sending = threading.Thread(target=wire.send_frame, args=(PACKET,))
    sending.start()
    theirs.recv(1)
    before = Deadline(10)
    assert not wire.send_now(CLOSING)
    assert not before.expired()
    exactly(theirs, len(PACKET) - 1)
    sending.join(30)
    assert wire.send_now(CLOSING)
    assert exactly(theirs, len(CLOSING)) == CLOSING


def test_a_deadline_that_is_extended_meanwhile_bounds_sending_later(pair: tuple[Wire, socket.socket]) -> None:
    """A deadline that another thread moves while a frame waits is the new one's, not that of the wait's beginning."""
    wire, theirs = pair
    deadline = Deadline(0.2)
    wire.bound_sending(deadline)
    sending = threading.Thread(target=wire.send_frame, args=(PACKET,))
    sending.start()
    theirs.recv(1)
    deadline.extend(60)
    sending.join(0.5)
    assert sending.is_alive()
    exactly(theirs, len(PACKET) - 1)
    sending.join(30)
    assert wire.send_now(CLOSING)


INTERRUPTED = """
import os, socket, sys, threading
from elsa_unscripted.deadline import Deadline
from elsa_unscripted.wire import waiting, wire as module

FILES = {module.__file__, waiting.__file__}
PACKET, CLOSING = b"\\x82" + os.urandom(2**18), b"\\x88\\x80mask"

class Interrupt:
    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes = True
        self.left -= event == "opcode"
        if not self.left:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self

def drain(sock, received):
    while data := sock.recv(2**16):
        received.extend(data)

sys._getframe().f_trace_opcodes = True  # Python 3.12 traces instructions only if a frame has it before settrace()
number, whole, bad = 0, 0, []
while True:
    number += 1
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    received = bytearray()
    reading = threading.Thread(target=drain, args=(theirs, received))
    wire = module.Wire(ours, "", Deadline(0.2), 2**20)
    interrupt = Interrupt(number)
    reading.start()
    sys.settrace(interrupt)
    try:
        wire.send_frame(PACKET)
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    try:
        wire.send_frame(CLOSING)
    except TimeoutError:  # the interrupted one has kept the turn
        pass
    ours.close()
    reading.join(30)
    theirs.close()
    whole += received == PACKET + CLOSING
    if not (PACKET + CLOSING).startswith(received) and received != CLOSING:
        bad.append((number, len(received)))
    if interrupt.left > 0:
        break
print(number > 100, whole > number / 2, bad)
"""


def test_interrupts_at_each_step_of_a_send() -> None:
    """Ctrl-C between any two instructions of a send: a close after it is never inside a frame, and nothing is doubled.

    Not even between the call that sends and what keeps how much was sent.
    """
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("True True []\n", "")
