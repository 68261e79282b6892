"""The benchmark's server. It does as little as the protocol allows, so that the client is what is measured.

It is one thread in a process of its own, which `LeanServer` starts. It neither decodes nor unmasks: for each packet it
only reads a clock. It checks nothing, unlike `elsa_unscripted.sandbox`. It needs only the standard library.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import heapq
import itertools
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE = 1, 2, 8  # RFC 6455, 11.8
READ_SIZE = 1 << 18  # bytes
PATIENCE = 20.0  # s: a hang guard


class LeanServer:
    """A server in a process of its own; a context manager.

    Attributes:
        url: Where it listens.
    """

    def __init__(
        self,
        verdict: str = '{"status": "success"}',
        *,
        handshake_delay: float = 0.0,
        verdict_delay: float = 0.0,
        verdict_after: Optional[int] = None,
    ) -> None:
        """Starts it.

        Args:
            verdict: The message that answers the end of the stream.
            handshake_delay: Seconds before the answer to a handshake.
            verdict_delay: Seconds before the verdict.
            verdict_after: Packets after which the verdict comes, in mid-stream; `None` for the end of the stream.
        """
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.url = f"ws://127.0.0.1:{self._ask([verdict, handshake_delay, verdict_delay, verdict_after])}/"

    def report(self) -> list[dict[str, Any]]:
        """Returns what the server saw of each connection since the last report, in the order of their end.

        Returns:
            Objects with `path`, that of the request; and `began`, `start` (the stream was named), `packets` (a time for
            each, when its last byte had come), `end_stream`, `verdict`, `end`: seconds on the monotonic clock, which
            all processes share; `None` for what didn't happen.
        """
        return list(self._ask("report"))

    def records(self, count: int) -> list[dict[str, Any]]:
        """Waits until `count` connections have ended; returns what `report()` returns."""
        found: list[dict[str, Any]] = []
        guard = time.monotonic() + PATIENCE
        while len(found) < count:
            if time.monotonic() > guard:
                raise TimeoutError(f"{len(found)} of {count} connections have ended")
            time.sleep(0.001)
            found += self.report()
        return found

    def cpu_seconds(self) -> float:
        """Returns the CPU time that the server has used."""
        return float(self._ask("cpu"))

    def _ask(self, question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> LeanServer:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


# The process.


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""  # what has come of a frame's head, or of the handshake
        self.left = 0  # bytes of the payload that are still to come
        self.opcode = 0
        self.texts = 0
        self.unsent = memoryview(b"")
        self.record: dict[str, Any] = {
            "path": "",
            "began": time.monotonic(),
            "start": None,
            "packets": [],
            "end_stream": None,
            "verdict": None,
            "end": None,
        }


class _Server:
    def __init__(
        self, verdict: str, handshake_delay: float, verdict_delay: float, verdict_after: Optional[int]
    ) -> None:
        self._verdict = _frame(TEXT, verdict.encode())
        self._handshake_delay = handshake_delay
        self._verdict_delay = verdict_delay
        self._verdict_after = verdict_after
        self._delayed: list[tuple[float, int, _Connection, Callable[[], None]]] = []  # a heap: what to do when
        self._numbers = itertools.count()  # so that actions of the same moment stay in order
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        self._records: list[dict[str, Any]] = []

    def run(self) -> None:
        while True:
            for key, events in self._selector.select(self._wait()):
                if key.fd == sys.stdin.fileno():
                    question = sys.stdin.readline()
                    if not question:
                        return
                    self._answer(json.loads(question))
                elif key.data is None:
                    self._accept()
                else:
                    try:
                        if events & selectors.EVENT_WRITE:
                            self._send(key.data, b"")
                        if events & selectors.EVENT_READ:
                            self._read(key.data)
                    except OSError:
                        self._end(key.data)

    def _wait(self) -> Optional[float]:
        """Does what was delayed until now; returns the seconds until the next."""
        while self._delayed:
            wait = self._delayed[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, connection, action = heapq.heappop(self._delayed)
            if connection.record["end"] is None:
                try:
                    action()
                except OSError:
                    self._end(connection)
        return None

    def _after(self, delay: float, connection: _Connection, action: Callable[[], None]) -> None:
        if delay:
            heapq.heappush(self._delayed, (time.monotonic() + delay, next(self._numbers), connection, action))
        else:
            action()

    def _answer(self, question: str) -> None:
        if question == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(json.dumps(used.ru_utime + used.ru_stime), flush=True)
        else:
            print(json.dumps(self._records), flush=True)
            self._records = []

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _end(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.record["end"] = time.monotonic()
        self._records.append(connection.record)

    def _send(self, connection: _Connection, data: bytes) -> None:
        if data:
            connection.unsent = memoryview(bytes(connection.unsent) + data)
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        connection.unsent = connection.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events, connection)

    def _read(self, connection: _Connection) -> None:
        data = connection.socket.recv(READ_SIZE)
        if not data:
            self._end(connection)
        elif connection.record["start"] is None and not connection.texts:
            self._shake_hands(connection, data)
        else:
            self._take(connection, data)

    def _shake_hands(self, connection: _Connection, data: bytes) -> None:
        connection.buffer += data
        if b"\r\n\r\n" not in connection.buffer:
            return
        head, _, rest = connection.buffer.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1)[:1] + line.split(b": ", 1)[1:] for line in head.split(b"\r\n")[1:])
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())
        connection.record["path"] = head.split(b" ", 2)[1].decode()
        connection.buffer = b""
        connection.texts = 1
        answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._after(self._handshake_delay, connection, functools.partial(self._send, connection, answer))
        if rest:
            self._take(connection, rest)

    def _take(self, connection: _Connection, data: bytes) -> None:
        """Steps from frame to frame, and reads only their heads."""
        position = 0
        while position < len(data):
            if connection.left:
                step = min(connection.left, len(data) - position)
                connection.left -= step
                position += step
                if not connection.left:
                    self._frame_ended(connection)
                continue
            missing = (_head_size(connection.buffer) or 2) - len(connection.buffer)
            connection.buffer += data[position : position + missing]
            position += missing
            head = connection.buffer
            if len(head) < (_head_size(head) or 3):
                continue
            connection.opcode = head[0] & 0x0F
            connection.left = _payload_size(head)
            connection.buffer = b""
            if not connection.left:
                self._frame_ended(connection)

    def _frame_ended(self, connection: _Connection) -> None:
        record = connection.record
        if connection.opcode == BINARY:
            record["packets"].append(time.monotonic())
            if len(record["packets"]) == self._verdict_after:
                self._after(self._verdict_delay, connection, functools.partial(self._send_verdict, connection))
        elif connection.opcode == CLOSE:
            self._send(connection, _frame(CLOSE, struct.pack("!H", 1000)))
        elif connection.opcode == TEXT and connection.texts == 1:
            connection.texts = 2
            record["start"] = time.monotonic()
            self._send(connection, _frame(TEXT, b'{"status": "processing", "stream_id": "lean"}'))
        elif connection.opcode == TEXT and self._verdict_after is None:
            record["end_stream"] = time.monotonic()
            self._after(self._verdict_delay, connection, functools.partial(self._send_verdict, connection))

    def _send_verdict(self, connection: _Connection) -> None:
        connection.record["verdict"] = time.monotonic()
        self._send(connection, self._verdict)


def _head_size(head: bytes) -> Optional[int]:
    """Returns how long the head of a masked frame is (RFC 6455, 5.2); `None` if that can't be told yet."""
    if len(head) < 2:
        return None
    return 6 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0)


def _payload_size(head: bytes) -> int:
    short = head[1] & 0x7F
    if short < 126:
        return short
    return int.from_bytes(head[2 : 4 if short == 126 else 10], "big")


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = _Server(*json.loads(sys.stdin.readline()))
    print(json.dumps(server.port), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    os._exit(0)  # connections that are still open need no farewell


if __name__ == "__main__":
    main()
