"""One connected socket, as `websocket-client` sees it. For `transport`.

Each wait ends at a deadline, or when another thread calls `Socket.shut_down()`.

The token is put into the handshake request here, below `websocket-client`, which never sees it, and so can't log it,
trace it or send it to where a redirect leads. The head of the answer is read here, too, and only a 101 is passed on.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import deque
from typing import Callable, ContextManager, Deque, Iterator, List, Optional, Tuple

from ..deadline import Deadline
from ..signals import raised_by_handler
from ..threads import held
from .handshake import parse_head, read_head, refusal
from .secrets import Mask
from .waiting import READ, WOULD_BLOCK, WRITE, is_ready, without_blocking

CONTROL_FRAME = 0x08  # RFC 6455, 5.5: the bit of the opcode that close, ping and pong have
HANDSHAKE_HEADERS = (b"upgrade", b"connection", b"sec-websocket-accept")
CLOSE_FRAME = 0x08  # RFC 6455, 11.8: the opcode
FULL = "the connection takes nothing more"


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
        # None once the request has left. Neither this nor the request is ever a local variable of a function in which
        # something can fail: error trackers show those.
        self._authorization: Optional[bytes] = f"Authorization: ELSA {token}\r\n\r\n".encode("latin-1")
        self._reading_until: Optional[Deadline] = deadline  # None after the handshake: shut_down() ends the waits
        self._sending_until: Optional[Deadline] = deadline
        self.mask = Mask(token)
        self._head = b""  # what recv() has yet to give of the HTTP answer's head
        # What the reading thread, which never waits to send, wants to send. Keep only the newest reply: one pong may
        # answer all earlier pings (RFC 6455, 5.5.3), and nothing follows a close frame.
        self._replies: Deque[bytes] = deque(maxlen=1)
        self._sending = threading.Lock()  # the turn to send: guards the next two, and which frame follows which
        # The frame that was begun last, and how many bytes of it the socket took at each call. A view, whose `repr`
        # shows nothing: the handshake's request, which holds the token, is sent likewise.
        self._outgoing: Tuple[memoryview, List[int]] = (memoryview(b""), [])
        self._offered = b""  # the frame that `send_now()` has begun last
        self._finished_reading = False
        self._finished_sending = False
        self._max_message_bytes = max_message_bytes
        self._message_bytes = 0
        # OpenSSL takes one call at a time, and so one thread; no call blocks.
        self._calls: Optional[threading.Lock] = threading.Lock() if isinstance(sock, ssl.SSLSocket) else None

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
        """Bounds each sending from now on, by a deadline that may be extended, also while a frame waits."""
        self._sending_until = deadline

    def send_frame(self, frame: bytes) -> None:
        """Sends a frame; blocks while the connection takes no more.

        Raises:
            OSError: The connection is over; `TimeoutError` at the deadline.
        """
        until = self._sending_until
        if not self._sending.acquire(timeout=-1 if until is None else until.remaining()):
            raise TimeoutError(FULL)
        try:
            self._finish_frame(lambda: self._sending_until)
            self._begin_frame(frame)
            self._finish_frame(lambda: self._sending_until)
        finally:
            self._sending.release()
        self._send_replies()

    def send_now(self, frame: bytes) -> bool:
        """Sends what the connection takes of a frame without waiting; one thread at a time calls this.

        Returns:
            Whether the whole frame has left. If not, the caller calls again with the same frame; when, is its choice.
            The rest of a frame that was begun leaves before any other frame, whoever sends that.

        Raises:
            OSError: The connection is over; `TimeoutError` if the deadline has passed and the frame hasn't left.
        """
        left = False
        if self._sending.acquire(blocking=False):
            try:
                if frame is not self._offered and self._continue_frame():
                    self._begin_frame(frame)
                    self._offered = frame
                # If another frame was begun since, whoever sent that has sent the rest of this one.
                left = frame is self._offered and self._continue_frame()
            finally:
                self._sending.release()
        if left:
            self._send_replies()
        elif self._sending_until is not None and self._sending_until.expired():
            raise TimeoutError(FULL)
        return left

    def flush(self, timeout: float) -> None:
        """Gives the reading thread's last frame, such as its answer to a close frame, `timeout` seconds to leave."""
        deadline = Deadline(timeout)
        if self._replies and self._sending.acquire(timeout=timeout):
            try:
                with contextlib.suppress(OSError):  # no answer leaves, then
                    self._finish_frame(lambda: deadline)
            finally:
                self._sending.release()
            self._send_replies()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Waits until no thread is sending, and keeps it so; `Socket.shut_down()` has ended blocked sends before."""
        # Bounded: after a Ctrl-C right after `acquire()`, the turn stays taken, and no thread will give it back.
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
        data = part = b""
        try:
            while len(data) < size and not self._finished_reading:  # all of it: a token in two parts couldn't be masked
                part = self._receive(size - len(data))
                if not part:
                    break
                data = data + part if data else part
            self._message_bytes += len(data)
            if self._message_bytes > self._max_message_bytes:
                raise MessageTooLongError(f"a message of more than {self._max_message_bytes} bytes")
            return self.mask.masked(data)  # here already: websocket-client logs what it reads
        finally:
            data = part = b""  # the server may have repeated the token, and error trackers show local variables

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
        with self._calling():
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
        # A view, whose `repr` doesn't show the token: error trackers show the local variables of those who send it.
        self._outgoing = memoryview(request[: -len(b"\r\n")] + (self._authorization or b"\r\n")), []
        self._authorization = None
        try:
            self._finish_frame(lambda: self._sending_until)
        finally:
            self._outgoing = memoryview(b""), []
        head = self.mask.masked(read_head(self._socket, lambda: self._reading_until))
        status, headers = parse_head(head)
        if status != 101:
            raise refusal(status, headers.get("Retry-After"))
        # websocket-client gets only the headers that it checks: it would keep a cookie for the whole process.
        first, *rest = head.splitlines()
        needed = [line for line in rest if line.partition(b":")[0].strip().lower() in HANDSHAKE_HEADERS]
        self._head = b"\r\n".join([first, *needed, b"", b""])
        self._reading_until = self._sending_until = None

    def _calling(self) -> ContextManager[None]:
        return contextlib.nullcontext() if self._calls is None else held(self._calls)

    # Whoever calls the next five has the turn to send.

    def _begin_frame(self, frame: bytes) -> None:
        """Makes a frame the outgoing one; all of the one before has left."""
        if self._finished_sending:  # RFC 6455, 5.5.1: nothing follows a close frame
            if frame[0] & CONTROL_FRAME:
                return
            raise BrokenPipeError("the connection is being closed")
        self._finished_sending = frame[0] & 0x0F == CLOSE_FRAME
        self._outgoing = memoryview(frame), []

    def _is_amid_frame(self) -> bool:
        frame, taken = self._outgoing
        return sum(taken) < len(frame)

    def _send_outgoing(self) -> None:
        """Sends the rest of the outgoing frame; raises one of `WOULD_BLOCK` when the connection takes no more.

        A frame is never given up: nothing can follow half a frame. Over TLS, even one of which the socket took nothing
        may be half sent: CPython doesn't set SSL_MODE_ENABLE_PARTIAL_WRITE, so `send()` tells nothing before all is
        taken, and OpenSSL wants the same bytes again until then.
        """
        frame, taken = self._outgoing
        while sum(taken) < len(frame):
            with self._calling():
                # Within one call of C code, no signal handler can raise between the sending and the counting. (Over
                # TLS it can, in `SSLSocket.send()`: the frame leaves twice then, but whole.)
                taken.extend(map(self._socket.send, [frame[sum(taken) :]]))

    def _continue_frame(self) -> bool:
        """Sends what the connection takes of the outgoing frame; returns whether all of it has left."""
        try:
            self._send_outgoing()
        except WOULD_BLOCK as error:
            if raised_by_handler(error):
                raise
            return False
        return True

    def _finish_frame(self, until: Callable[[], Optional[Deadline]]) -> None:
        without_blocking(self._socket, self._send_outgoing, WRITE, until)

    def _send_replies(self) -> None:
        """Sends a reply of the reading thread, if nobody has the turn to send.

        Whoever gives the turn back calls this, and so sends a reply that came meanwhile.
        """
        while self._replies and self._sending.acquire(blocking=False):
            try:
                # Nothing follows a close frame; the socket may be closed by now. And nothing goes inside a frame.
                if self._finished_sending or self._is_amid_frame() or not is_ready(self._socket, WRITE, 0.0):
                    return  # whoever sends the next frame, or the rest of this one, calls this again
                self._begin_frame(self._replies.popleft())
                self._continue_frame()
            except (OSError, IndexError) as error:  # IndexError: another thread may have sent it
                if raised_by_handler(error):
                    raise
                # If it can't be sent, the reading thread will find the connection broken, and says so.
            finally:
                self._sending.release()

    def _receive(self, size: int) -> bytes:
        def receive() -> bytes:
            with self._calling():
                return self._socket.recv(size)

        data: bytes = without_blocking(self._socket, receive, READ, lambda: self._reading_until)
        return data
