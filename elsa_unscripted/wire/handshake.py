"""Reads HTTP answers, and makes errors of refusals that say what to do about them. Used by `dial` and `wire`."""

from __future__ import annotations

import codecs
import datetime
import functools
import io
import re
import socket
import ssl
import time
import zlib
from typing import Any, Callable, NamedTuple, Optional

from ..deadline import Deadline
from ..exceptions import AuthenticationError, ConnectError, RateLimitedError
from ..imports import imported, importing
from ..quoting import quoted
from ..signals import raised_by_handler
from .waiting import READ, without_blocking

MAX_HEAD_BYTES = 64 * 1024  # of an HTTP answer; http.client allows that many for one line alone
MAX_BODY_BYTES = 16 * 1024  # of a refusal; no more of it is read
MAX_BODY = 1000  # characters of it that an error keeps
BODY_SECONDS = 1.0  # s for the body of a refusal: without it, the status tells enough
LONGEST_WAIT = 366 * 86_400.0  # s; a Retry-After of more than a year isn't meant as we read it

_HEAD_END = re.compile(rb"\r\n\r\n|\n\n")
_INTERIM = re.compile(rb"HTTP/[0-9.]+[ \t]+1(?!01)[0-9][0-9](?![0-9])")  # but 101, which is final here


class Answer(NamedTuple):
    """An HTTP answer, without its body."""

    status: int
    headers: Any  # a `Message` of the email package, or a dict: nobody needs those of a 101


def read_head(sock: socket.socket, until: Callable[[], Optional[Deadline]], who: str = "server") -> bytes:
    """Reads the head of an HTTP answer. Passes over interim answers, such as 100 and 103 (RFC 9110, 15.2).

    Takes no byte after the blank line from the socket: those bytes are WebSocket frames, or TLS.

    Args:
        sock: A socket that doesn't block.
        until: Returns the deadline.
        who: What messages call the other end.

    Raises:
        ConnectError: The answer is not HTTP, or too long.
        OSError: The connection is over; `TimeoutError` at the deadline.
    """
    # A plain socket can be peeked at; a TLS socket can't, and is read byte by byte, out of OpenSSL's buffer.
    ahead = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_PEEK
    head = bytearray()
    passed_over = 0  # bytes of interim answers
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
                raise ConnectError(f"the {who} does not speak HTTP; check the url, its port, and wss against ws")
            if passed_over + (end.end() if end else len(head)) > MAX_HEAD_BYTES:
                raise ConnectError(f"the {who}'s answer has more than {MAX_HEAD_BYTES} bytes of headers; check the url")
            if end and not _INTERIM.match(head):
                return bytes(head[: end.end()])
            if end:
                passed_over += end.end()
                head.clear()
    finally:
        # Empty them: the server may have repeated the token, and error trackers show local variables.
        data, head, end = b"", bytearray(), None


def parse_head(head: bytes, who: str = "server") -> Answer:
    """Returns the status code and the headers of an HTTP answer.

    Raises:
        ConnectError: The answer is not HTTP.
    """
    line, _, rest = head.partition(b"\n")
    try:
        status = int(line.split()[1])
    except (IndexError, ValueError) as error:
        raise ConnectError(f"the {who}'s answer is not HTTP; check the url") from error
    if status == 101:
        return Answer(status, {})
    client = imported("http.client")  # late: it imports the email package
    try:
        return Answer(status, client.parse_headers(io.BytesIO(rest)))
    except client.HTTPException:
        return Answer(status, {})


def read_body(
    sock: socket.socket, answer: Answer, until: Callable[[], Optional[Deadline]], masked: Callable[[bytes], bytes]
) -> str:
    """Reads the beginning of an answer's body as text, without secrets; gives up after `BODY_SECONDS`.

    Args:
        sock: A socket that doesn't block.
        answer: The answer.
        until: Returns the deadline.
        masked: Replaces secrets.

    Returns:
        At most `MAX_BODY` characters; `""` if there is no body, or it can't be read.
    """
    headers, limit = answer.headers, until()
    deadline = Deadline(BODY_SECONDS if limit is None else min(BODY_SECONDS, limit.remaining()))
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    declared = re.match(r"\s*(\d{1,15})\s*$", headers.get("Content-Length", ""))
    size = min(MAX_BODY_BYTES, int(declared[1])) if declared and not chunked else MAX_BODY_BYTES
    data = bytearray()
    try:
        while len(data) < (0 if answer.status in (204, 304) else size):
            receive = functools.partial(sock.recv, size - len(data))
            part = without_blocking(sock, receive, READ, lambda: deadline)
            data += part
            if not part or (chunked and data.endswith(b"\r\n0\r\n\r\n")):
                break
    except OSError as error:  # then what has come is the body
        if raised_by_handler(error):
            raise
    whole = _unpacked(_without_chunks(bytes(data)) if chunked else bytes(data), headers.get("Content-Encoding", ""))
    charset = re.search(r"charset\s*=\s*\"?([\w.:-]+)", headers.get("Content-Type", ""), re.IGNORECASE)
    try:
        encoding = charset[1] if charset else "utf-8"
        importing(lambda: codecs.lookup(encoding))
        text = masked(whole).decode(encoding, "replace")
    except (LookupError, ValueError) as error:
        if raised_by_handler(error):
            raise
        text = masked(whole).decode("utf-8", "replace")
    text = masked(text.encode("utf-8", "replace")).decode("utf-8")  # again: it may have been in UTF-16, for example
    # Cut first: where reading has stopped, there may be half a secret, which no mask has found.
    return text.lstrip("\ufeff")[:MAX_BODY].strip()


def _without_chunks(data: bytes) -> bytes:
    """Joins the chunks of a body, as many as have come (RFC 9112, 7.1)."""
    joined = bytearray()
    while chunk := re.match(rb"([0-9A-Fa-f]{1,8})[^\n]*\n", data):
        size = int(chunk[1], 16)
        joined += data[chunk.end() : chunk.end() + size]
        data = data[chunk.end() + size :].lstrip(b"\r\n")
    return bytes(joined)


def _unpacked(data: bytes, packing: str) -> bytes:
    """Unpacks the beginning of a body: some firewalls pack it unasked. Returns nothing if it can't."""
    gzipped = data.startswith(b"\x1f\x8b")
    if not gzipped and packing.strip().lower() in ("", "identity", "gzip"):
        return data
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | (16 if gzipped else 0)).decompress(data, MAX_BODY_BYTES)
    except zlib.error:
        return b""


# What to do about an HTTP status in place of a WebSocket.
_HINTS = {
    400: "check the url and the token",
    402: "check the account's credit and plan, or ask ELSA's support",
    403: "a firewall or a proxy on the way seems to forbid it: ask who runs the network, or check the url",
    404: "there is no service at this place: check the url's path",
    405: "there is no WebSocket at this place: check the url's path",
    407: "a proxy on the way wants a login: give it in proxy",
    408: "the server has waited too long for the request: try later",
    410: "the service has moved away from here: check the url",
    425: "the server isn't ready for it yet: try later",
    426: "a proxy on the way may drop the request for a WebSocket: ask who runs the network, or check the url",
    431: "the request's headers are too long for it: check the token",
    451: "the server refuses for legal reasons: ask ELSA's support",
    501: "there is no WebSocket at this place: check the url",
    502: "a gateway can't reach the service: try later",
    503: "the service is overloaded or being maintained: try later",
    504: "the service doesn't answer its gateway: try later",
    511: "the network wants a login: open any page in a browser here",
}


def refusal(answer: Answer, body: str) -> ConnectError:
    """Returns the error for an answer other than 101; its message says what was refused, why, and what to do.

    Args:
        answer: The answer.
        body: From `read_body()`.
    """
    status = answer.status
    wait = seconds_to_wait(answer.headers.get("Retry-After"))
    said = f": {quoted(body)}" if body else ""
    error: ConnectError
    if status == 401 or (status == 403 and not _is_page(answer, body)):
        error = AuthenticationError(
            f"the server refused the token (HTTP {status}){said}; check that it is whole, valid and of this plan"
        )
    elif status == 429:
        when = "later" if wait is None else f"in {wait:.0f} s"
        error = RateLimitedError(f"too many requests (HTTP 429){said}; try again {when}")
    else:
        if 300 <= status < 400:
            target = answer.headers.get("Location")
            said = (f", and points to {quoted(target)}" if target else "") + said
            hint = "redirects are not followed, since the token would go along; set url to the final address"
        elif status < 300:
            hint = "check the url; a network that wants a login answers like this, too"
        else:
            hint = _HINTS.get(status, "the service has a problem: try later" if status >= 500 else "check the url")
            if wait is not None:
                hint = hint.replace("try later", f"try again in {wait:.0f} s")
        error = ConnectError(f"the server answered HTTP {status} in place of a WebSocket{said}; {hint}")
    error.status_code, error.retry_after, error.body = status, wait, body or None
    return error


def _is_page(answer: Answer, body: str) -> bool:
    """Returns whether a body is for people, as a firewall's; the service itself answers with JSON, or with nothing."""
    declared = "html" in answer.headers.get("Content-Type", "").lower()
    none = answer.headers.get("Content-Length", "").strip() == "0"
    return body.startswith("<") or (declared and not none and not body.startswith(("{", "[")))


def seconds_to_wait(retry_after: Optional[str]) -> Optional[float]:
    """Returns a Retry-After header in seconds from now.

    It is seconds, or a date (RFC 9110, 10.2.3). Some servers send a point in time as a number: seconds, milliseconds or
    smaller parts since 1970. A wait of more than a year can only be that.

    Returns:
        The seconds; `None` if there is no such header, or nobody could mean it.
    """
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,30}(\.[0-9]*)?", text):
        seconds = float(text)
        if seconds <= LONGEST_WAIT:
            return seconds
        while seconds > 1e11:  # the year 5138
            seconds /= 1000
        if seconds < 1e9:  # the year 2001
            return None
    else:
        moment = _moment(text)
        if moment is None:
            return None
        seconds = moment.timestamp()
    wait = seconds - time.time()
    return max(0.0, wait) if wait <= LONGEST_WAIT else None


def _moment(text: str) -> Optional[datetime.datetime]:
    """Returns the moment that an HTTP date names, or one as in `2026-11-26T18:00:00Z`."""
    utils = imported("email.utils")
    for read in (utils.parsedate_to_datetime, datetime.datetime.fromisoformat):
        try:
            moment = read(re.sub("[zZ]$", "+00:00", text) if read is datetime.datetime.fromisoformat else text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
            return moment.astimezone(datetime.timezone.utc)
        except (TypeError, ValueError, OverflowError, IndexError, AttributeError):
            continue
    return None
