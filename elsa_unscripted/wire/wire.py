"""`Wire`: stands for the socket in the eyes of `websocket-client`, and sends whole frames. For `transport`.

Each wait ends at a deadline, or when another thread calls `Socket.shut_down()`.

`Wire` itself puts the token into the handshake request. So `websocket-client` never sees the token, and can't log it,
trace it or send it to where a redirect leads. `Wire` also reads the head of the answer, and passes on only a 101.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional, Tuple

from ..deadline import Deadline
from ..signals import raised_by_handler
from ..threads import holding
from .frames import CONTROL_FRAME, FrameMeter
from .handshake import parse_head, read_body, read_head, refusal
from .secrets import Mask
from .waiting import READ, WOULD_BLOCK, WRITE, is_ready, without_blocking

HANDSHAKE_HEADERS = (b"upgrade", b"connection", b"sec-websocket-accept")
CLOSE_FRAME = 0x08  # RFC 6455, 11.8: the opcode
FULL = "the connection takes nothing more"
# s between two tries to send a reply for which the connection had no room. 20 tries a second cost next to nothing.
REPLY_PAUSE = 0.05
# s; then the transport looks at websocket-client's `keep_running`. The end of the connection ends the wait at once.
LONGEST_WAIT = 10.0


class Wire:
    """Wraps a connected socket for `websocket-client`. One thread reads; any thread sends whole frames.

    Attributes:
        mask: Masks the token.
        silence: Seconds for which nothing had been sent when the last byte came, or the connection ended.
    """

    def __init__(self, sock: socket.socket, token: str, deadline: Deadline, max_message_bytes: int) -> None:
        """Wraps a socket.

        Args:
            sock: From `Socket.dial()`.
            token: For the `Authorization` header.
            deadline: For the handshake.
            max_message_bytes: The longest message to read.
        """
        self._socket = sock
        # None once the request is being sent. Neither this nor the request is ever a local variable of a function that
        # can fail: error trackers show local variables.
        self._authorization: Optional[bytes] = f"Authorization: ELSA {token}\r\n\r\n".encode("latin-1")
        self._reading_until: Optional[Deadline] = deadline  # None after the handshake: see `waiting`
        self._sending_until: Optional[Deadline] = deadline
        self.mask = Mask(token)
        self.silence = 0.0
        self._sent_at = time.monotonic()
        self._head = io.BytesIO()  # the rest of the HTTP answer's head, which recv() returns first
        # A frame that the reading thread wants to send; it never waits to send. Keep only the newest: one pong may
        # answer all earlier pings (RFC 6455, 5.5.3), and nothing follows a close frame.
        self._replies: Deque[bytes] = deque(maxlen=1)
        self._sending = threading.Lock()  # the turn to send; whoever has it may change the next two
        # The frame that was begun last, and how many bytes of it the socket took at each call. A view, since its `repr`
        # shows nothing: the handshake's request, which holds the token, is sent in the same way.
        self._outgoing: Tuple[memoryview, List[int]] = (memoryview(b""), [])
        self._offered = b""  # the frame that `send_now()` began last
        self._finished_reading = False
        self._finished_sending = False
        self._meter = FrameMeter(max_message_bytes)
        self._ping_due: Optional[Deadline] = None
        # Guards each call of a TLS socket, since OpenSSL takes only one at a time. No call blocks.
        self._calls: Optional[threading.Lock] = threading.Lock() if isinstance(sock, ssl.SSLSocket) else None

    # For the transport.

    def wait_for_data(self, interval: Optional[float], make_ping: Callable[[], bytes]) -> bool:
        """Sends what is due, then waits, `LONGEST_WAIT` at most, until there is something to read.

        Due are a reply for which the connection had no room, and a ping every `interval` seconds. For the reading
        thread, which calls this again and again. Whoever sends a frame sends such a reply, too; but the last frame of a
        stream may have been sent before.

        Args:
            interval: Seconds between two pings; `None` for none.
            make_ping: Returns a ping, as a frame.

        Returns:
            Whether there is something to read. If not, call again.
        """
        if interval is not None and (self._ping_due is None or self._ping_due.expired()):
            if self._ping_due is not None and not self._owes_reply():  # a pong that waits keeps the connection, too
                self._replies.append(make_ping())
            self._ping_due = Deadline(interval)
        wait = self._try_replies()
        if wait is None:
            wait = LONGEST_WAIT if self._ping_due is None else min(LONGEST_WAIT, self._ping_due.remaining())
        return self._finished_reading or self._has_decrypted() or is_ready(self._socket, READ, wait)

    def finish_reading(self) -> None:
        """Makes `recv()` return the end of the stream: else, after an error, websocket-client may wait for ever."""
        self._finished_reading = True

    def bound_sending(self, deadline: Deadline) -> None:
        """Sets the deadline for sending. It may be extended later, even while a frame waits to be sent."""
        self._sending_until = deadline

    def send_frame(self, frame: bytes) -> None:
        """Sends a frame; blocks while the connection takes no more.

        Raises:
            OSError: The connection is over; `TimeoutError` at the deadline.
        """
        if not self._sending.acquire(blocking=False):
            until = self._sending_until
            if not self._sending.acquire(timeout=-1 if until is None else until.remaining()):
                raise TimeoutError(FULL)
        try:
            if self._is_amid_frame():
                self._finish_frame(lambda: self._sending_until)
            self._begin_frame(frame)
            if not self._continue_frame():
                self._finish_frame(lambda: self._sending_until)
        finally:
            self._sending.release()
        if self._replies:  # asked here, too, since this spares a call for nearly each packet
            self._send_replies()

    def send_now(self, frame: bytes) -> bool:
        """Sends what the connection takes of a frame without waiting. Only one thread at a time may call this.

        Returns:
            Whether the whole frame was sent. If not, call again with the same frame, at any time. Once a part was sent,
            no other frame is sent before the rest; whoever sends the next frame sends that rest first.

        Raises:
            OSError: The connection is over; `TimeoutError` if the deadline has passed before the frame was sent.
        """
        left = False
        if self._sending.acquire(blocking=False):
            try:
                if frame is not self._offered and (not self._is_amid_frame() or self._continue_frame()):
                    self._begin_frame(frame)
                    self._offered = frame
                # If another thread has begun a frame since, it has sent the rest of this one before.
                left = frame is self._offered and self._continue_frame()
            finally:
                self._sending.release()
        if left:
            if self._replies:
                self._send_replies()
        elif self._sending_until is not None and self._sending_until.expired():
            raise TimeoutError(FULL)
        return left

    def flush(self, timeout: float) -> None:
        """Sends the reading thread's last frame, such as its answer to a close frame; waits `timeout` s at most."""
        deadline = Deadline(timeout)
        if self._owes_reply() and self._sending.acquire(timeout=timeout):
            try:
                with contextlib.suppress(OSError):  # then that last frame isn't sent
                    self._finish_frame(lambda: deadline)
            finally:
                self._sending.release()
            self._send_replies()

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """Waits until no thread sends, and lets none begin. Call `Socket.shut_down()` first: it ends blocked sends."""
        # Bounded: if Ctrl-C came right after an `acquire()`, the turn stays taken for ever.
        taken = self._sending.acquire(timeout=0.3)
        self._finished_sending = True
        try:
            yield
        finally:
            if taken:
                self._sending.release()

    # For websocket-client: the methods of a socket that it calls.

    def recv(self, size: int) -> bytes:
        given = self._head.read(size)
        if given:
            return given
        data = part = b""
        try:
            while len(data) < size and not self._finished_reading:  # all: a token in two parts couldn't be masked
                part = self._receive(size - len(data))
                if not part:
                    break
                data = data + part if data else part
            self._meter.take(data)
            return self.mask.masked(data)  # mask it here, since websocket-client logs what it reads
        finally:
            data = part = b""  # the server may have repeated the token; error trackers show local variables

    def send(self, frame: bytes) -> int:
        """Sends the handshake's request. Later, keeps a frame of the reading thread until it can be sent."""
        if self._authorization is not None:
            self._request(frame)
        else:
            self._replies.append(frame)
            self._send_replies()
        return len(frame)

    def gettimeout(self) -> None:
        return None

    def settimeout(self, timeout: Optional[float]) -> None:
        """Does nothing: the waits have their own deadlines."""

    def shutdown(self, how: int) -> None:
        """Does nothing: the transport closes the socket when its thread ends."""

    def close(self) -> None:
        """Does nothing: see `shutdown()`."""

    _closed = False  # read by websocket-client 1.9

    # Private.

    def _request(self, request: bytes) -> None:
        """Sends the HTTP request, with a last header for the token; reads the head of the answer, and checks it."""
        # A view, since its `repr` doesn't show the token: error trackers show local variables of `_send_outgoing()`.
        self._outgoing = memoryview(request[: -len(b"\r\n")] + (self._authorization or b"\r\n")), []
        self._authorization = None
        try:
            self._finish_frame(lambda: self._sending_until)
        finally:
            self._outgoing = memoryview(b""), []
        head = self.mask.masked(read_head(self._socket, lambda: self._reading_until))
        answer = parse_head(head)
        if answer.status != 101:
            raise refusal(answer, read_body(self._socket, answer, lambda: self._reading_until, self.mask.masked))
        # Give websocket-client only what it checks: it would keep a cookie for the whole process, and reads each byte
        # with a call of its own.
        needed = [line for line in head.splitlines() if line.partition(b":")[0].strip().lower() in HANDSHAKE_HEADERS]
        self._head = io.BytesIO(b"\r\n".join([b"HTTP/1.1 101", *needed, b"", b""]))
        self._reading_until = self._sending_until = None

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        return method(*arguments) if self._calls is None else holding(self._calls, method, *arguments)

    # Call the next five only with the turn to send (`_sending`), or in the handshake, when no other thread sends.

    def _begin_frame(self, frame: bytes) -> None:
        """Makes a frame the outgoing one. The frame before must have been sent whole."""
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

        A frame that was begun is never given up, since nothing can follow half a frame. Over TLS, part of a frame may
        be sent although `send()` has reported nothing: CPython doesn't set SSL_MODE_ENABLE_PARTIAL_WRITE, so `send()`
        reports only the whole, and until then OpenSSL demands the same bytes again.
        """
        frame, taken = self._outgoing
        while (sent := sum(taken)) < len(frame):
            # One call of C code both sends and counts, so no signal handler can raise in between. (Over TLS, one can,
            # in `SSLSocket.send()`: then the frame is sent twice, but whole.)
            sending = map(self._socket.send, [frame[sent:]])
            if self._calls is None:  # what `_call()` does, without a call of it for each packet
                taken.extend(sending)
            else:
                holding(self._calls, taken.extend, sending)
            self._sent_at = time.monotonic()

    def _continue_frame(self) -> bool:
        """Sends what the connection takes of the outgoing frame; returns whether all of it was sent."""
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
        """Sends the reading thread's reply, if there is one, and nobody has the turn to send.

        A thread that has sent a whole frame gives the turn back, and then calls this if a reply has come meanwhile.
        """
        while self._owes_reply() and self._sending.acquire(blocking=False):
            try:
                # Nothing may go inside another frame. Nor may this wait for the connection.
                if not self._is_amid_frame():
                    if not is_ready(self._socket, WRITE, 0.0):
                        return  # the reading thread tries again after `REPLY_PAUSE`
                    self._begin_frame(self._replies.popleft())
                elif not self._outgoing[0][0] & CONTROL_FRAME:
                    return  # whoever sends the rest of that frame calls this again
                if not self._continue_frame():
                    return  # the reading thread tries to send the rest after `REPLY_PAUSE`
            except (OSError, IndexError) as error:  # IndexError: another thread has sent the reply
                if raised_by_handler(error):
                    raise
                # If the reply can't be sent, the connection is broken: the reading thread will notice, and report it.
                return
            finally:
                self._sending.release()

    def _owes_reply(self) -> bool:
        """Returns whether a reply waits, or is sent in part."""
        return bool(self._replies) or (self._is_amid_frame() and bool(self._outgoing[0][0] & CONTROL_FRAME))

    def _try_replies(self) -> Optional[float]:
        """Sends the reply, if there is one; returns in how many seconds to try again, `None` if that isn't needed."""
        self._send_replies()
        return REPLY_PAUSE if self._owes_reply() else None

    def _has_decrypted(self) -> bool:
        """Returns whether TLS has bytes to read that the socket has given already."""
        return isinstance(self._socket, ssl.SSLSocket) and self._call(self._socket.pending) > 0

    def _receive(self, size: int) -> bytes:
        def receive() -> bytes:
            data: bytes = self._call(self._socket.recv, size)
            return data

        try:
            data: bytes = without_blocking(self._socket, receive, READ, lambda: self._reading_until, self._try_replies)
            return data
        finally:
            if not self._finished_sending:  # websocket-client sends a close frame after an error, too, and reads on
                self.silence = time.monotonic() - self._sent_at
