"""One socket to the server: dialled, through a proxy and TLS, and then as `websocket-client` sees it. For `transport`.

But for looking up a name, nothing here waits without end: each wait has a deadline, or is ended by `shut_down()` from
another thread. That is why the socket isn't left to `websocket-client`, whose connecting can be neither bounded nor
ended.

The token is put into the handshake request here, below `websocket-client`, which so can't log it, trace it or carry it
along a redirect; and the head of the answer is read here: only a 101 is passed on.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import math
import re
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, Optional, Tuple
from urllib.parse import SplitResult, unquote

from ..deadline import Deadline
from ..exceptions import AuthenticationError, ConnectError, RateLimitedError

MAX_HEAD_BYTES = 64 * 1024  # of an HTTP answer; http.client allows as much to a single line
CONTROL_FRAME = 0x08  # RFC 6455, 5.5: the bit of the opcode that close, ping and pong have
SHORTEST_MASKED_TOKEN = 8  # characters; masking shorter ones in the server's text could mangle words
HANDSHAKE_HEADERS = (b"upgrade", b"connection", b"sec-websocket-accept")
CLOSE_FRAME = 0x08  # RFC 6455, 11.8: the opcode

_READ, _WRITE = 1, 2  # directions of a wait
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n")
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class MessageTooLongError(OSError):
    """The server sends a message longer than we take."""


class Socket:
    """A connection as it is made step by step: TCP, proxy, TLS. Any thread may call `shut_down()` meanwhile."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()  # guards the next two
        self._socket: Optional[socket.socket] = None
        self._down = False

    @property
    def dialled(self) -> bool:
        """Whether a socket exists: if not, a name is being looked up, which nothing can end."""
        return self._socket is not None

    def dial(self, host: str, port: int, proxy: Optional[SplitResult], tls: Optional[ssl.SSLContext]) -> socket.socket:
        """Connects and shakes hands; returns the socket, which never blocks.

        Raises:
            ConnectError: The proxy refuses.
            OSError: Whatever else DNS, TCP and TLS raise; `TimeoutError` at the deadline.
        """
        if proxy is None:
            sock = self._reach(host, port)
        else:
            sock = self._reach(str(proxy.hostname), proxy.port or 80)
            _tunnel(sock, proxy, host, port, self._deadline)
        if tls is not None:
            encrypted = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock = self._own(encrypted)
            _without_blocking(sock, encrypted.do_handshake, _READ, lambda: self._deadline)
        return sock

    def shut_down(self) -> None:
        """Cuts the connection: whatever waits for it wakes up and fails."""
        with self._lock:
            self._down = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown(): it would make the reader's next recv() one of undecrypted bytes.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the socket. No other thread may be in a call with it: its number could be another file's by then."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    def abandon(self) -> None:
        """Closes a child's copy of the socket after a fork."""
        # Without the lock: a thread of the parent's may have held it. There is no other here.
        if self._socket is not None:
            self._socket.close()

    def _reach(self, host: str, port: int) -> socket.socket:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"{host!r} has no address")
        for left, (family, kind, number, _, address) in zip(range(len(addresses), 0, -1), addresses):
            try:
                sock = self._own(socket.socket(family, kind, number))
                # A share of the time for each address: a black hole on IPv6 must not starve IPv4.
                sock.settimeout(max(self._deadline.remaining() / left, 0.001))
                sock.connect(address)
            except OSError as error:
                failure = error
                if self._down:
                    break
            else:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return sock
        raise failure

    def _own(self, new: socket.socket) -> socket.socket:
        """Makes a socket the one that `shut_down()` cuts, in place of the one before it."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = new
            if self._down:
                raise TimeoutError("abandoned")
        return new


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
        in_json = json.dumps(token, ensure_ascii=False)[1:-1]
        spellings = {token.encode("utf-8"), token.encode("latin-1"), in_json.encode("utf-8")}
        self._spellings = spellings if len(token) >= SHORTEST_MASKED_TOKEN else set()
        self._hint = max(re.findall(rb"[0-9A-Za-z]*", token.encode("latin-1")), key=len)
        self._head = b""  # the rest of the HTTP answer, for recv() to give
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

    def masked(self, data: bytes) -> bytes:
        """Masks the token, at its length, in what the server says: an error that quotes it would end up in logs."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, b"*" * len(spelling))
        return data

    def may_hold_token(self, data: bytes) -> bool:
        """Returns whether the token's longest plain part is there: around it, JSON may have escaped the rest."""
        return bool(self._spellings) and self._hint in data

    def not_of_the_message(self, payload_bytes: int) -> None:
        """Takes a control frame, which may come amid a message, out of the count."""
        self._message_bytes = max(0, self._message_bytes - payload_bytes - 2)

    def message_ended(self) -> None:
        """Counts what is received from now on as the next message."""
        self._message_bytes = 0

    def finish_reading(self) -> None:
        """Lets `recv()` tell the end: after an error, websocket-client would wait for a close frame without bound."""
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
        while len(data) < size and not self._finished_reading:  # all of it: a token in two parts could not be masked
            part = self._receive(size - len(data))
            if not part:
                break
            data = data + part if data else part
        self._message_bytes += len(data)
        if self._message_bytes > self._max_message_bytes:
            raise MessageTooLongError(f"a message of more than {self._max_message_bytes} bytes")
        return self.masked(data)  # as early as this, since websocket-client logs what it reads

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
        """Sends the HTTP request, with the token in its last header, and checks the head of the answer."""
        authorization, self._authorization = str(self._authorization), None
        left = memoryview(request[: -len(b"\r\n")] + authorization.encode("latin-1") + b"\r\n")
        while left:
            left = left[self._send_some(left) :]
        head = self.masked(_read_head(self._socket, lambda: self._reading_until))
        status, headers = _parse_head(head)
        if status != 101:
            raise _refusal(status, headers.get("Retry-After"))
        # No more than it checks: it would keep a cookie for the whole process.
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
        except _WOULD_BLOCK:
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
        return _is_ready(self._socket, _WRITE, 0.0)

    def _send_some(self, data: memoryview) -> int:
        def send() -> int:
            with self._calling:
                return self._socket.send(data)

        sent: int = _without_blocking(self._socket, send, _WRITE, lambda: self._sending_until)
        return sent

    def _receive(self, size: int) -> bytes:
        def receive() -> bytes:
            with self._calling:
                return self._socket.recv(size)

        data: bytes = _without_blocking(self._socket, receive, _READ, lambda: self._reading_until)
        return data


def _without_blocking(
    sock: socket.socket, call: Callable[[], Any], direction: int, until: Callable[[], Optional[Deadline]]
) -> Any:
    """Calls until the socket is ready for it.

    Args:
        sock: A socket that doesn't block.
        call: A call of it.
        direction: What the call waits for, unless TLS says otherwise.
        until: Gives the deadline, which may have been set since; `None` for none: `shut_down()` ends the wait.

    Raises:
        TimeoutError: The deadline has passed.
    """
    while True:
        try:
            return call()
        except _WOULD_BLOCK as error:
            if isinstance(error, ssl.SSLError):
                wants_to_read = isinstance(error, ssl.SSLWantReadError)
                direction = _READ if wants_to_read else _WRITE
        deadline = until()
        if not _is_ready(sock, direction, None if deadline is None else deadline.remaining()) and deadline is not None:
            raise TimeoutError("timed out")


def _is_ready(sock: socket.socket, direction: int, timeout: Optional[float]) -> bool:
    """Waits until a socket can be read from or written to, or is broken; `timeout` seconds at most."""
    # Not a selector, which takes longer to make than most waits last; unlike select(), poll() takes any descriptor.
    if not hasattr(select, "poll"):
        reading, writing = ([sock], []) if direction == _READ else ([], [sock])
        return any(select.select(reading, writing, [sock], timeout))
    poll = select.poll()
    poll.register(sock, select.POLLIN if direction == _READ else select.POLLOUT)
    return bool(poll.poll(None if timeout is None else math.ceil(timeout * 1000)))


def _tunnel(sock: socket.socket, proxy: SplitResult, host: str, port: int, deadline: Deadline) -> None:
    """Asks a proxy for a connection to the server (RFC 9110, 9.3.6)."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
    data = (request + "\r\n").encode("ascii")
    # A new connection's buffer takes it whole.
    _without_blocking(sock, lambda: sock.send(data), _WRITE, lambda: deadline)
    status, _ = _parse_head(_read_head(sock, lambda: deadline))
    if not 200 <= status < 300:
        hint = "give its user name and password" if status == 407 else "check the proxy's rules"
        raise ConnectError(f"the proxy {proxy.hostname} refused to connect (HTTP {status}); {hint}", status_code=status)


def _read_head(sock: socket.socket, until: Callable[[], Optional[Deadline]]) -> bytes:
    """Reads an HTTP answer up to its blank line, and not a byte further: what follows are frames, or TLS."""
    # TLS can't look ahead: there, byte by byte, from a buffer of OpenSSL's.
    ahead = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_PEEK
    head = bytearray()
    while True:
        data: bytes = _without_blocking(sock, lambda: sock.recv(MAX_HEAD_BYTES if ahead else 1, ahead), _READ, until)
        if not data:
            raise ConnectionResetError("closed in the middle of the handshake")
        known = len(head)
        head += data
        end = _HEAD_END.search(head, max(0, known - 3))
        if ahead:
            sock.recv((end.end() if end else len(head)) - known)
        if not b"HTTP/".startswith(head[:5]):
            raise ConnectError("the server does not speak HTTP; check the url, its port, and wss against ws")
        if end:
            return bytes(head[: end.end()])
        if len(head) > MAX_HEAD_BYTES:
            raise ConnectError(f"the server's answer has more than {MAX_HEAD_BYTES} bytes of headers; check the url")


def _parse_head(head: bytes) -> Tuple[int, Any]:
    line, _, rest = head.partition(b"\n")
    try:
        status = int(line.split()[1])
        if status == 101:
            return status, {}
        from http.client import HTTPException, parse_headers  # only where it is needed: it imports the email package

        try:
            return status, parse_headers(io.BytesIO(rest))
        except HTTPException:
            return status, {}
    except (IndexError, ValueError) as error:
        raise ConnectError("the server's answer is not HTTP; check the url") from error


def _refusal(status: int, retry_after: Optional[str]) -> ConnectError:
    wait = _seconds(retry_after)
    if status in (401, 403):
        return AuthenticationError(
            f"the server refused the token (HTTP {status}); check that it is whole, valid and of this plan",
            status_code=status,
        )
    if status == 429:
        when = "later" if wait is None else f"in {wait:.0f} s"
        return RateLimitedError(f"too many requests (HTTP 429); try again {when}", status_code=status, retry_after=wait)
    if 300 <= status < 400:
        hint = "redirects are not followed, since the token would go along; set url to the final address"
    elif status >= 500:
        hint = "the service has a problem; try later"
    else:
        hint = "check the url"
    return ConnectError(
        f"the server answered HTTP {status} in place of a WebSocket; {hint}", status_code=status, retry_after=wait
    )


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    """Returns a Retry-After header (seconds, or an HTTP date; RFC 9110, 10.2.3) in seconds from now."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
