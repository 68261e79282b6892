"""One connected socket, as `websocket-client` sees it. For `transport`.

Each wait ends at a deadline, or when another thread calls `Socket.shut_down()`.

The token is put into the handshake request here, below `websocket-client`, which never sees it, and so can't log it,
trace it or send it to where a redirect leads. The head of the answer is read here, too, and only a 101 is passed on.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections import deque
from typing import Any, Callable, Deque, Iterator, Optional

from ..deadline import Deadline
from .handshake import parse_head, read_head, refusal
from .secrets import Mask
from .waiting import READ, WOULD_BLOCK, WRITE, is_ready, without_blocking

CONTROL_FRAME = 0x08  # RFC 6455, 5.5: the bit of the opcode that close, ping and pong have
HANDSHAKE_HEADERS = (b"upgrade", b"connection", b"sec-websocket-accept")
CLOSE_FRAME = 0x08  # RFC 6455, 11.8: the opcode


class MessageTooLongError(OSError):
    """The server sends a message longer than we take."""


class Wire:
    """A connected socket, and what `websocket-client` sees of it. One thread reads; any thread sends whole frames."""

    def __init__(self, sock: socket.socket, token: str, deadline: Deadline, max_message_bytes: int) -> None:
        """Wraps a socket.

        Args:
            sock: From `Socket.dial()`.
            token: For the `Authorization` header.
            deadline: Of the handshake.
            max_message_bytes: The longest message that is read.
        """
        self._socket = sock
        self._authorization: Optional[str] = f"Authorization: ELSA {token}\r\n"  # None once the request has left
        self._reading_until: Optional[Deadline] = deadline  # None after the handshake: shut_down() ends the waits
        self._sending_until: Optional[Deadline] = deadline
        self.mask = Mask(token)
        self._head = b""  # what recv() has yet to give of the HTTP answer's head
        # The last frame of the reading thread, which never waits to send. One: RFC 6455, 5.5.3, lets a pong answer
        # for the pings before, and nothing follows a close frame.
        self._replies: Deque[bytes] = deque(maxlen=1)
        self._sending = threading.Lock()  # guards the next
        self._unsent = memoryview(b"")  # what is left of the frame that is being sent
        self._frame_bytes = 0  # of it in all
        self._given_up = False  # a frame has been dropped, in whole or in part
        self._finished_reading = False
        self._finished_sending = False
        self._max_message_bytes = max_message_bytes
        self._message_bytes = 0
        # OpenSSL takes one call at a time, and so one thread; no call blocks.
        self._calling: Any = threading.Lock() if isinstance(sock, ssl.SSLSocket) else contextlib.nullcontext()

    # For the transport.

    def discount_control_frame(self, payload_bytes: int) -> None:
        """Takes a control frame out of the count of a message's bytes: one may come between a message's frames."""
        self._message_bytes = max(0, self._message_bytes - payload_bytes - 2)

    def message_ended(self) -> None:
        """Counts what is received from now on as the next message."""
        self._message_bytes = 0

    def finish_reading(self) -> None:
        """Lets `recv()` return the end of the stream: after an error, websocket-client may wait for it for ever."""
        self._finished_reading = True

    def bound_sending(self, deadline: Deadline) -> None:
        """Bounds each `send()` from now on, by a deadline that may be extended."""
        self._sending_until = deadline

    def send_frame(self, frame: bytes) -> None:
        """Sends a frame; blocks while the connection takes no more.

        Raises:
            OSError: The connection is over; `TimeoutError` at the deadline.
        """
        self._wait_for_turn()
        try:
            self._finish_frame()
            self._begin_frame(frame)
            self._finish_frame()
        finally:
            self._sending.release()
        if self._replies:
            self._send_replies()

    def begin_frame(self, frame: bytes) -> Optional[Callable[[], None]]:
        """Sends what can be sent of a frame without blocking.

        Returns:
            `None` if that is all of it, else what sends the rest, and may block.

        Raises:
            OSError: The connection is over.
        """
        if not self._sending.acquire(blocking=False):
            return functools.partial(self.send_frame, frame)
        try:
            if self._unsent:
                return functools.partial(self.send_frame, frame)
            self._begin_frame(frame)
            self._send_at_once()
            if self._unsent:
                return self._send_rest
        finally:
            self._sending.release()
        self._send_replies()
        return None

    def flush(self, timeout: float) -> None:
        """Lets the frames of the reading thread leave, such as its answer to a close frame."""
        if self._replies and self._sending.acquire(timeout=timeout):
            self._sending.release()
            self._send_replies()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Waits until no thread is sending, which `Socket.shut_down()` has made sure of, and keeps it so."""
        # Not without end: if Ctrl-C came between taking the turn and what gives it back, it stays taken, by nobody.
        taken = self._sending.acquire(timeout=0.3)
        self._finished_sending = True
        try:
            yield
        finally:
            if taken:
                self._sending.release()

    # For websocket-client: what it asks of a socket.

    def recv(self, size: int) -> bytes:
        if self._head:
            given, self._head = self._head[:size], self._head[size:]
            return given
        data = b""
        while len(data) < size and not self._finished_reading:  # all of it: a token in two parts couldn't be masked
            part = self._receive(size - len(data))
            if not part:
                break
            data = data + part if data else part
        self._message_bytes += len(data)
        if self._message_bytes > self._max_message_bytes:
            raise MessageTooLongError(f"a message of more than {self._max_message_bytes} bytes")
        return self.mask.masked(data)  # here already: websocket-client logs what it reads

    def send(self, frame: bytes) -> int:
        """Sends the handshake's request; later, takes the frames of the reading thread, which never waits to send."""
        if self._authorization is not None:
            self._request(frame)
        else:
            self._replies.append(frame)
            self._send_replies()
        return len(frame)

    def fileno(self) -> int:
        return self._socket.fileno()

    def pending(self) -> int:
        with self._calling:
            return self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0

    def gettimeout(self) -> None:
        return None

    def settimeout(self, timeout: Optional[float]) -> None:
        """Does nothing: the waits have bounds of their own."""

    def shutdown(self, how: int) -> None:
        """Does nothing: the transport ends the connection when the thread does."""

    def close(self) -> None:
        """Does nothing, likewise."""

    _closed = False  # read by websocket-client 1.9

    # Below.

    def _request(self, request: bytes) -> None:
        """Sends the HTTP request, with a last header for the token, and checks the head of the answer."""
        authorization, self._authorization = str(self._authorization), None
        left = memoryview(request[: -len(b"\r\n")] + authorization.encode("latin-1") + b"\r\n")
        while left:
            left = left[self._send_some(left) :]
        head = self.mask.masked(read_head(self._socket, lambda: self._reading_until))
        status, headers = parse_head(head)
        if status != 101:
            raise refusal(status, headers.get("Retry-After"))
        # websocket-client gets only the headers that it checks: it would keep a cookie for the whole process.
        first, *rest = head.splitlines()
        needed = [line for line in rest if line.partition(b":")[0].strip().lower() in HANDSHAKE_HEADERS]
        self._head = b"\r\n".join([first, *needed, b"", b""])
        self._reading_until = self._sending_until = None

    def _wait_for_turn(self) -> None:
        until = self._sending_until
        if not self._sending.acquire(timeout=-1 if until is None else until.remaining()):
            raise TimeoutError("the connection takes nothing more")

    # Below, whoever calls has the turn to send.

    def _begin_frame(self, frame: bytes) -> None:
        if self._finished_sending:  # RFC 6455, 5.5.1: nothing follows a close frame
            if frame[0] & CONTROL_FRAME:
                return
            raise BrokenPipeError("the connection is being closed")
        self._finished_sending = frame[0] & 0x0F == CLOSE_FRAME
        self._unsent, self._frame_bytes = memoryview(frame), len(frame)

    def _send_at_once(self) -> None:
        try:
            while self._unsent:
                with self._calling:
                    sent = self._socket.send(self._unsent)
                self._unsent = self._unsent[sent:]
        except WOULD_BLOCK:
            pass

    def _finish_frame(self) -> None:
        try:
            self._send_at_once()
            while self._unsent:
                self._unsent = self._unsent[self._send_some(self._unsent) :]
        except BaseException:  # Ctrl-C, too
            self._finished_sending = 0 < len(self._unsent) < self._frame_bytes  # nothing can follow half a frame
            self._unsent = memoryview(b"")
            self._given_up = True
            raise

    def _send_rest(self) -> None:
        self._wait_for_turn()
        try:
            if self._given_up:  # by whoever came first: nobody may take this frame for sent
                raise BrokenPipeError("the connection is being closed")
            self._finish_frame()
        finally:
            self._sending.release()
        self._send_replies()

    def _send_replies(self) -> None:
        """Whoever finds the way free sends them; whoever leaves it looks again, so that none stays behind."""
        while self._replies and self._sending.acquire(blocking=False):
            try:
                # Nothing follows a close frame, and the socket may be closed by now.
                if self._unsent or self._finished_sending or not self._takes_more():
                    return  # the next frame will take it along
                # If it can't be sent, the reading thread will find the connection broken, and says so.
                with contextlib.suppress(OSError, IndexError):  # the one who was here before may have sent it
                    self._begin_frame(self._replies.popleft())
                    self._finish_frame()
            finally:
                self._sending.release()

    def _takes_more(self) -> bool:
        return is_ready(self._socket, WRITE, 0.0)

    def _send_some(self, data: memoryview) -> int:
        def send() -> int:
            with self._calling:
                return self._socket.send(data)

        sent: int = without_blocking(self._socket, send, WRITE, lambda: self._sending_until)
        return sent

    def _receive(self, size: int) -> bytes:
        def receive() -> bytes:
            with self._calling:
                return self._socket.recv(size)

        data: bytes = without_blocking(self._socket, receive, READ, lambda: self._reading_until)
        return data
