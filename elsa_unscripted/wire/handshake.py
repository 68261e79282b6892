"""Reads and parses the head of an HTTP answer, and makes an error of a refusal. Used by `dial` and `wire`."""

from __future__ import annotations

import io
import re
import socket
import ssl
import time
from typing import Any, Callable, Optional, Tuple

from ..deadline import Deadline
from ..exceptions import AuthenticationError, ConnectError, RateLimitedError
from ..imports import imported
from .waiting import READ, without_blocking

MAX_HEAD_BYTES = 64 * 1024  # of an HTTP answer; http.client allows that many for one line alone

_HEAD_END = re.compile(rb"\r\n\r\n|\n\n")


def read_head(sock: socket.socket, until: Callable[[], Optional[Deadline]]) -> bytes:
    """Reads the head of an HTTP answer.

    Takes no byte after the blank line from the socket: those bytes are WebSocket frames, or TLS.

    Args:
        sock: A socket that doesn't block.
        until: Returns the deadline.

    Raises:
        ConnectError: The answer is not HTTP, or too long.
        OSError: The connection is over; `TimeoutError` at the deadline.
    """
    # A plain socket can be peeked at; a TLS socket can't, and is read byte by byte, out of OpenSSL's buffer.
    ahead = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_PEEK
    head = bytearray()
    data = b""
    try:
        while True:
            data = without_blocking(sock, lambda: sock.recv(MAX_HEAD_BYTES if ahead else 1, ahead), READ, until)
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
                raise ConnectError(
                    f"the server's answer has more than {MAX_HEAD_BYTES} bytes of headers; check the url"
                )
    finally:
        # Empty them: the server may have repeated the token, and error trackers show local variables.
        data, head, end = b"", bytearray(), None


def parse_head(head: bytes) -> Tuple[int, Any]:
    """Returns the status code of an HTTP answer and its headers (none for 101, since nobody needs them).

    Raises:
        ConnectError: The answer is not HTTP.
    """
    line, _, rest = head.partition(b"\n")
    try:
        status = int(line.split()[1])
        if status == 101:
            return status, {}
        client = imported("http.client")  # late: it imports the email package
        try:
            return status, client.parse_headers(io.BytesIO(rest))
        except client.HTTPException:
            return status, {}
    except (IndexError, ValueError) as error:
        raise ConnectError("the server's answer is not HTTP; check the url") from error


def refusal(status: int, retry_after: Optional[str]) -> ConnectError:
    """Returns the error for an answer other than 101; its message says what was refused, and what to do."""
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
    utils = imported("email.utils")
    try:
        at: float = utils.parsedate_to_datetime(retry_after).timestamp()
        return max(0.0, at - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
