"""Downloads what `result_link` leads to, without any token, before one deadline. For `ScoreResult.fetch()`.

A thread downloads. The caller's thread waits for it until the deadline, and then cuts its connection. So no name
look-up, proxy, server or redirect can keep the caller beyond the deadline.
"""

from __future__ import annotations

import queue
import socket
import ssl
import string
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Optional, Union
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from ..config import is_loopback
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError, ProtocolError
from ..mailbox import Mailbox
from ..threads import NoThreadError, start_thread
from ..version import __version__
from ..wire.dial import Socket, find_proxy, port_of

LONGEST_TIMEOUT = 1e6  # s, 11 days: what every platform's waits can take
MAX_REDIRECTS = 10  # urllib's bound
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {"User-Agent": f"elsa_unscripted/{__version__}", "Connection": "close"}
BLOCK_BYTES = 65_536


def download(link: str, *, timeout: float, max_bytes: int) -> bytes:
    """Returns what a link leads to.

    Args:
        link: `https://`, or `http://` on loopback.
        timeout: Seconds for all of it.
        max_bytes: The longest answer that is taken.

    Raises:
        ConnectError: The link is neither, or the download fails or takes too long.
        ProtocolError: The answer is too long.
    """
    deadline = Deadline(min(timeout, LONGEST_TIMEOUT))
    connection = Socket(deadline)
    outcome: Mailbox[Union[bytes, BaseException]] = Mailbox()
    # A daemon: a name look-up can't be ended, and must not keep the interpreter from ending.
    thread = threading.Thread(
        target=_run, args=(link, connection, deadline, max_bytes, outcome), name="elsa-download", daemon=True
    )
    try:
        try:
            start_thread(thread)
        except NoThreadError as no_thread:
            raise ConnectError(str(no_thread)) from no_thread.__cause__
        came = outcome.get(deadline.remaining())
    except queue.Empty:
        came = TimeoutError("timed out")
    finally:  # also on Ctrl-C, even while the thread is being started
        connection.shut_down()
        if thread.ident is not None:
            thread.join(0.5 if connection.dialled else 0.05)  # a name look-up is not waited for
    if isinstance(came, bytes):
        return came
    if isinstance(came, (OSError, ValueError, HTTPException)):
        if deadline.expired():
            raise ConnectError(f"result_link took more than {timeout:g} s to download; raise timeout, or try later")
        raise ConnectError(f"could not download result_link ({came}); try again later") from came
    try:
        raise came
    finally:
        del came  # it refers to this frame by its traceback: a circle, which only the garbage collector would free


def _run(
    link: str,
    connection: Socket,
    deadline: Deadline,
    max_bytes: int,
    outcome: Mailbox[Union[bytes, BaseException]],
) -> None:
    """Downloads, in the thread, and puts the body or the error into `outcome`."""
    try:
        outcome.put(_follow(link, connection, deadline, max_bytes))
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, whatever it is
        outcome.put(error)
    finally:
        connection.close()


def _follow(link: str, connection: Socket, deadline: Deadline, max_bytes: int) -> bytes:
    """Asks for a link, and for those that redirects lead to."""
    plain = True
    for _ in range(MAX_REDIRECTS + 1):
        _check(link, plain=plain)
        plain = urlsplit(link).scheme == "http"  # after https://, a redirect to http:// is refused
        answer = _ask(link, connection, deadline, max_bytes)
        if isinstance(answer, bytes):
            return answer
        # As browsers and urllib do: a server may leave spaces and other characters in there as they are.
        link = urljoin(link, quote(answer, safe=string.punctuation, encoding="latin-1"))
    raise ConnectError(f"could not download result_link (more than {MAX_REDIRECTS} redirects); try again later")


def _check(link: str, *, plain: bool) -> None:
    """Refuses a link that is neither `https://` nor, if `plain`, `http://` on loopback."""
    parts = urlsplit(link)
    if parts.scheme != "https" and not (plain and parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ConnectError(f"result_link is not fetched: it leads to {parts.scheme!r}, and only https:// is safe")
    if not parts.hostname:
        raise ConnectError("result_link is not fetched: it names no host")


def _ask(link: str, connection: Socket, deadline: Deadline, max_bytes: int) -> Union[bytes, str]:
    """Makes one request; returns the body of the answer, or where it redirects to."""
    parts = urlsplit(link)
    host, port = str(parts.hostname), port_of(parts)
    http: HTTPConnection
    if parts.scheme == "https":
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
        http = HTTPSConnection(host, port, context=tls)
    else:
        tls, http = None, HTTPConnection(host, port)
    sock = connection.dial(host, port, _proxy(link), tls)
    sock.settimeout(deadline.remaining())  # in case this system's shutdown() doesn't wake a thread that reads
    http.sock = _WithoutClose(sock)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    http.request("GET", target, headers=HEADERS)
    with http.getresponse() as answer:
        location = answer.getheader("Location")
        if answer.status in REDIRECTS and location is not None:
            return location
        if not 200 <= answer.status < 300:
            reason = answer.reason or f"HTTP {answer.status}"
            raise ConnectError(f"could not download result_link ({reason}); try again later", status_code=answer.status)
        body = bytearray()
        while block := answer.read(BLOCK_BYTES):
            body += block
            if len(body) > max_bytes:
                raise ProtocolError(f"what result_link leads to has more than {max_bytes} bytes; raise max_bytes")
        if answer.length:
            raise ConnectionResetError(f"closed {answer.length} bytes before the end")
    return bytes(body)


def _proxy(link: str) -> Optional[SplitResult]:
    try:
        return find_proxy(link)
    except ConfigError as error:
        raise ConnectError(
            "$https_proxy must be http://[user:password@]host[:port]; correct it, or set $no_proxy"
        ) from error


class _WithoutClose:
    """The socket as `http.client` sees it, which can't close it.

    The caller's thread may be shutting the socket down at any moment. `Socket.close()` takes care of that.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sendall = sock.sendall
        self.makefile = sock.makefile

    def close(self) -> None:
        """Does nothing."""
