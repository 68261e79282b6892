"""Downloads what `result_link` leads to, without any token, before one deadline. For `ScoreResult.fetch()`.

A thread downloads. The caller's thread waits for it until the deadline, and then cuts its connection. So no name
look-up, proxy, server or redirect can keep the caller beyond the deadline.
"""

from __future__ import annotations

import queue
import socket
import string
import threading
import zlib
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NamedTuple, Optional, Tuple, Union
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from ..config import PathLike, Secret, ascii_host, check_ca_bundle, is_loopback
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError, ElsaError, ProtocolError
from ..mailbox import Mailbox
from ..quoting import MAX_QUOTED, cut, quoted
from ..threads import NoThreadError, start_thread
from ..version import __version__
from ..wire.dial import Socket, find_proxy, port_of, tls_context

LONGEST_TIMEOUT = 1e6  # s, 11 days: what every platform's waits can take
MAX_REDIRECTS = 10  # urllib's bound
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {"User-Agent": f"elsa_unscripted/{__version__}", "Connection": "close", "Accept-Encoding": "gzip"}
BLOCK_BYTES = 65_536
MAX_LINE_BYTES = 65_536  # of a header
GZIP, GZIP_MAGIC = 16 + zlib.MAX_WBITS, b"\x1f\x8b"
HINT = "the link may have expired: score the recording again if it may be billed twice"


class Route(NamedTuple):
    """How to get to a link; `ca_bundle` and `proxy` as in `Config`, the proxy hidden."""

    deadline: Deadline
    max_bytes: int
    ca_bundle: Optional[PathLike]
    proxy: Union[str, Secret, None]


def download(
    link: str,
    *,
    timeout: float,
    max_bytes: int,
    ca_bundle: Optional[PathLike] = None,
    proxy: Union[str, Secret, None] = None,
) -> bytes:
    """Returns what a link leads to, unpacked.

    Args:
        link: `https://`, or `http://` on loopback.
        timeout: Seconds for all of it.
        max_bytes: The longest answer that is taken, unpacked.
        ca_bundle: What to trust in place of the system's certificates.
        proxy: What to connect through, hidden; `None` asks the environment.

    Raises:
        ConfigError: `ca_bundle` or `proxy` is wrong.
        ConnectError: The link is neither, or the download fails or takes too long.
        ProtocolError: The answer is too long, or packed in an unknown way.
    """
    check_ca_bundle(ca_bundle)
    deadline = Deadline(min(timeout, LONGEST_TIMEOUT))
    route = Route(deadline, max_bytes, ca_bundle, proxy)
    connection = Socket(deadline)
    outcome: Mailbox[Union[bytes, BaseException]] = Mailbox()
    # A daemon: a name look-up can't be ended, and must not keep the interpreter from ending.
    thread = threading.Thread(target=_run, args=(link, connection, route, outcome), name="elsa-download", daemon=True)
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
    foreign = isinstance(came, (OSError, ValueError, HTTPException)) and not isinstance(came, ElsaError)
    if deadline.expired() and (foreign or (isinstance(came, ConnectError) and came.__cause__ is not None)):
        raise ConnectError(f"result_link took more than {timeout:g} s to download; raise timeout, or try later")
    if foreign:
        raise ConnectError(f"could not download result_link ({quoted(str(came))}); try again later") from _short(came)
    try:
        raise came
    finally:
        del came  # it refers to this frame by its traceback: a circle, which only the garbage collector would free


def _short(error: BaseException) -> BaseException:
    """Returns a foreign error; a copy if it holds much of the server's text."""
    return error if isinstance(error, OSError) else ValueError(f"{type(error).__name__}: {cut(str(error))}")


def _run(link: str, connection: Socket, route: Route, outcome: Mailbox[Union[bytes, BaseException]]) -> None:
    """Downloads, in the thread, and puts the body or the error into `outcome`."""
    try:
        outcome.put(_follow(link, connection, route))
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread, whatever it is
        outcome.put(error)
    finally:
        connection.close()


def _follow(link: str, connection: Socket, route: Route) -> bytes:
    """Asks for a link, and for those that redirects lead to."""
    plain = True
    for _ in range(MAX_REDIRECTS + 1):
        _check(link, plain=plain)
        plain = urlsplit(link).scheme == "http"  # after https://, a redirect to http:// is refused
        answer = _ask(link, connection, route)
        if isinstance(answer, bytes):
            return answer
        # As browsers and urllib do: a server may leave spaces and other characters in there as they are.
        link = urljoin(link, quote(answer, safe=string.punctuation, encoding="latin-1"))
    raise ConnectError(f"could not download result_link (more than {MAX_REDIRECTS} redirects); try again later")


def _check(link: str, *, plain: bool) -> None:
    """Refuses a link that is neither `https://` nor, if `plain`, `http://` on loopback."""
    parts = urlsplit(link)
    if parts.scheme != "https" and not (plain and parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ConnectError(f"result_link is not fetched: it leads to {quoted(parts.scheme)}, and only https:// is safe")
    if not parts.hostname:
        raise ConnectError("result_link is not fetched: it names no host")


def _ask(link: str, connection: Socket, route: Route) -> Union[bytes, str]:
    """Makes one request; returns the body of the answer, or where it redirects to."""
    parts = urlsplit(link)
    host, port = _host(parts), port_of(parts)
    http: HTTPConnection
    if parts.scheme == "https":
        tls = tls_context(route.ca_bundle)
        tls.set_alpn_protocols(["http/1.1"])
        http = HTTPSConnection(host, port, context=tls)
    else:
        tls, http = None, HTTPConnection(host, port)
    try:
        sock = connection.dial(host, port, _proxy(link, route.proxy), tls, route.ca_bundle)
    except ConnectError as error:
        error.args = (f"could not download result_link: {error}",)
        raise
    sock.settimeout(route.deadline.remaining())  # in case this system's shutdown() doesn't wake a thread that reads
    http.sock = _WithoutClose(sock)
    http.response_class = _Answer
    target = quote(parts.path or "/", safe=string.punctuation) + (
        f"?{quote(parts.query, safe=string.punctuation)}" if parts.query else ""
    )
    http.request("GET", target, headers=HEADERS)
    with http.getresponse() as answer:
        location = answer.getheader("Location")
        if answer.status in REDIRECTS and location is not None:
            return location
        if not 200 <= answer.status < 300:
            raise _refusal(answer)
        body = _read(answer, route.max_bytes)
        if answer.length:
            raise ConnectionResetError(f"closed {answer.length} bytes before the end")
    return body


def _host(parts: SplitResult) -> str:
    try:
        return ascii_host(str(parts.hostname))
    except UnicodeError:
        raise ConnectError("result_link is not fetched: it names a host that can't be") from None


def _read(answer: HTTPResponse, max_bytes: int) -> bytes:
    """Reads a body, and unpacks it if it is packed with gzip: some stores send that unasked."""
    packing = (answer.getheader("Content-Encoding") or "identity").strip().lower()
    if packing not in ("identity", "gzip", "x-gzip"):
        raise ProtocolError(f"what result_link leads to is packed with {quoted(packing)}; only gzip is known here")
    body, unpacker = bytearray(), None
    while block := answer.read(BLOCK_BYTES):
        if not body and unpacker is None and block.startswith(GZIP_MAGIC):
            unpacker = Unpacker()
        body += block if unpacker is None else unpacker.take(block, max_bytes + 1 - len(body))
        if len(body) > max_bytes:
            raise ProtocolError(f"what result_link leads to has more than {max_bytes} bytes; raise max_bytes")
    if unpacker is not None and not unpacker.whole and not answer.length:
        raise ConnectionResetError("its gzip data are cut off")
    return bytes(body)


class Unpacker:
    """Unpacks gzip data as they come; they may consist of several parts (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._part = zlib.decompressobj(GZIP)

    @property
    def whole(self) -> bool:
        """Whether the data end here."""
        return self._part.eof

    def take(self, block: bytes, most: int) -> bytes:
        """Returns what a block unpacks to, or the first `most` bytes of it.

        Raises:
            ConnectError: The data are damaged.
        """
        unpacked = b""
        try:
            while block and len(unpacked) < most:
                if self._part.eof:
                    if not block.startswith(GZIP_MAGIC):
                        break  # padding
                    self._part = zlib.decompressobj(GZIP)
                unpacked += self._part.decompress(block, most - len(unpacked))
                block = self._part.unused_data if self._part.eof else b""
        except zlib.error as error:
            raise ConnectError(f"could not download result_link: its gzip data are damaged ({error})") from error
        return unpacked


def _refusal(answer: HTTPResponse) -> ConnectError:
    """Returns the error for an HTTP status that is no success, with what the server gave as its reason."""
    try:
        beginning = answer.read(4 * MAX_QUOTED)
        beginning = Unpacker().take(beginning, 4 * MAX_QUOTED) if beginning.startswith(GZIP_MAGIC) else beginning
    except (OSError, ValueError, HTTPException, ConnectError):
        beginning = b""  # the status tells enough
    body = beginning.decode("utf-8", "replace").lstrip("\ufeff").strip()
    reason = f"HTTP {answer.status} {cut(answer.reason or '', 100)!r}" if answer.reason else f"HTTP {answer.status}"
    said = f": {quoted(body)}" if body else ""
    hint = "try again later" if answer.status >= 500 or answer.status in (408, 425, 429) else HINT
    return ConnectError(
        f"could not download result_link ({reason}{said}); {hint}", status_code=answer.status, body=body[:1000] or None
    )


def _proxy(link: str, proxy: Union[str, Secret, None]) -> Optional[SplitResult]:
    if proxy is not None:
        return find_proxy(link, proxy.value if isinstance(proxy, Secret) else proxy)
    try:
        return find_proxy(link)
    except ConfigError as error:
        raise ConnectError(f"could not download result_link: {error}") from error


class _Answer(HTTPResponse):
    """Passes over all interim answers (RFC 9110, 15.2); `http.client` does so with 100 alone."""

    def _read_status(self) -> Tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            while self.fp.readline(MAX_LINE_BYTES).strip():
                pass


class _WithoutClose:
    """The socket as `http.client` sees it, which can't close it.

    The caller's thread may be shutting the socket down at any moment. `Socket.close()` takes care of that.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sendall = sock.sendall
        self.makefile = sock.makefile

    def close(self) -> None:
        """Does nothing."""
