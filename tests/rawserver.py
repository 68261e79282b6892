"""A server below the level of messages, for faults that no WebSocket library would serve: scripted, on raw sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading
from types import TracebackType
from typing import Any, Callable, List, NamedTuple, Optional, Type, Union

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
STREAM_ID = {"status": "processing", "stream_id": "stream-1"}
SUCCESS = {"status": "success", "result_link": "", "audio_link": ""}


class Frame(NamedTuple):
    """A frame of the client, unmasked."""

    opcode: int
    payload: bytes


class Connection:
    """One connection, from the server's side. Each method blocks; all end when the server closes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.over = threading.Event()
        self.request = b""
        self.frames: List[Frame] = []

    def send_raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_request(self) -> bytes:
        while not self.request.endswith(b"\r\n\r\n"):
            self.request += self._exactly(1)
        return self.request

    def handshake(self, extra: bytes = b"", headers: bytes = b"") -> None:
        """Answers 101, with more `headers`, and sends `extra` in the same segment."""
        asked = dict(line.split(": ", 1) for line in self.read_request().decode("latin-1").split("\r\n")[1:-2])
        digest = hashlib.sha1((asked["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
        self.send_raw(answer.encode() + headers + b"\r\n" + extra)

    def read_frame(self) -> Frame:
        first, second = self._exactly(2)
        assert second & 0x80, "a client masks"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        mask, masked = self._exactly(4), self._exactly(length)
        keys = (mask * (length // 4 + 1))[:length]
        payload = (int.from_bytes(masked, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")
        frame = Frame(first & 0x0F, payload)
        self.frames.append(frame)
        return frame

    def read_until_end(self) -> None:
        """Reads the audio, up to the end of the stream."""
        while self.read_frame() != Frame(TEXT, b'{"type": "ELSA:end_stream"}'):
            pass

    def read_until_closed(self) -> Optional[Frame]:
        """Reads whatever comes until the client has closed; returns its close frame."""
        with contextlib.suppress(ConnectionError):
            while True:
                self.read_frame()
        return next((frame for frame in self.frames if frame.opcode == CLOSE), None)

    def finish(self) -> None:
        """The end of every healthy exchange: the client's close frame, answered."""
        while self.read_frame().opcode != CLOSE:
            pass
        self.send_close()

    def send(self, message: Union[str, bytes, Any], opcode: int = TEXT, fin: bool = True) -> None:
        if not isinstance(message, (str, bytes)):
            message = json.dumps(message)
        self.send_raw(frame(message.encode() if isinstance(message, str) else message, opcode, fin))

    def send_close(self, code: Optional[int] = 1000, reason: str = "") -> None:
        self.send(b"" if code is None else struct.pack("!H", code) + reason.encode(), CLOSE)

    def start(self) -> None:
        """The beginning of every healthy exchange: handshake, config, stream id."""
        self.handshake()
        self.read_frame()
        self.send(STREAM_ID)

    def wait(self, seconds: float) -> None:
        """Does nothing for a while; ends early when the server closes."""
        self.over.wait(seconds)

    def cut(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the client closed")
            data += part
        return data


def frame(payload: bytes, opcode: int = TEXT, fin: bool = True, first: Optional[int] = None) -> bytes:
    """Returns an unmasked frame."""
    head = bytes([first if first is not None else (0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 2**16:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


class RawServer:
    """Runs `script(connection)` in a thread for each connection, on a port of its own.

    Attributes:
        connections: All so far.
        errors: What scripts raised beside the end of their connection: leaving the context raises the first.
    """

    def __init__(self, script: Callable[[Connection], Any], tls: Optional[ssl.SSLContext] = None) -> None:
        self.connections: List[Connection] = []
        self.errors: List[BaseException] = []
        self._script = script
        self._tls = tls
        self._threads: List[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'wss' if tls else 'ws'}://{'localhost' if tls else '127.0.0.1'}:{self.port}/api"
        self._acceptor = threading.Thread(target=self._accept, name="raw-server", daemon=True)

    def __enter__(self) -> RawServer:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for connection in self.connections:
            connection.cut()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive(), "a script hangs"
        if error is None and self.errors:
            raise self.errors[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), name="raw-connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        connection = Connection(sock)
        self.connections.append(connection)
        try:
            self._script(connection)
        except OSError:
            pass  # the client's or the server's end of the connection
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self.errors.append(error)
        finally:
            connection.cut()
