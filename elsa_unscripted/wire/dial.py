"""Connects: name look-up, TCP, a proxy's tunnel, TLS, all within one deadline. For `transport` and `results`.

Each wait here ends at the deadline, or when another thread calls `shut_down()`; only the operating system's name
look-up can't be ended, and has a bound of its own. `websocket-client` could connect by itself, but nobody could bound
or end that; so `transport` gives it a socket from here.

Of several addresses the first that answers wins (RFC 8305, "Happy Eyeballs"): each address is tried 250 ms after the
one before it, or as soon as that fails; earlier attempts go on meanwhile.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import functools
import itertools
import os
import re
import socket
import ssl
import threading
from collections import deque
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from ..config import PathLike, ascii_host, is_loopback, parse_proxy
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError
from ..files import OUT_OF_FILES, is_out_of_files
from ..imports import imported, importing
from ..log import Log, logger
from ..quoting import quoted
from ..signals import raised_by_handler
from ..threads import holding
from .causes import explain
from .handshake import Answer, parse_head, read_body, read_head
from .secrets import Mask
from .waiting import READ, WRITE, wait_for_any, without_blocking

ATTEMPT_DELAY = 0.25  # s from the start of one connection attempt to the next: what RFC 8305, 5 recommends

Address = Tuple[Any, ...]  # what `socket.connect()` takes
AddressInfo = Tuple[int, int, int, str, Address]  # what `socket.getaddrinfo()` gives
KnownAddresses = Dict[Tuple[str, int], Address]  # by host and port: the address that worked last


class Socket:
    """A connection that one thread makes step by step: TCP, proxy, TLS. Any thread may call `shut_down()` meanwhile.

    Attributes:
        dialled: Whether a socket was made. Before that, a name is being looked up, which nothing can end.
    """

    def __init__(self, deadline: Deadline, known: Optional[KnownAddresses] = None, log: Log = logger) -> None:
        """Prepares a connection; `dial()` makes it.

        Args:
            deadline: For all of `dial()` but the name look-up.
            known: The addresses to try first. `worked()` and `failed()` change it. Threads share it without a lock:
                each access is one atomic operation of a dict.
            log: Where failed attempts are told.
        """
        self.dialled = False
        self._log = log
        self._deadline = deadline
        self._known: KnownAddresses = {} if known is None else known
        self._place = ("", 0)  # the host and port that were dialled: the proxy's, if there is one
        self._address: Address = ()
        self._lock = threading.Lock()  # guards `_sockets` and `_down`
        self._sockets: List[socket.socket] = []  # several while connecting, later one
        self._down = False

    def dial(
        self,
        host: str,
        port: int,
        proxy: Optional[SplitResult],
        tls: Optional[ssl.SSLContext],
        ca_bundle: object = None,
    ) -> socket.socket:
        """Connects, and does the TLS handshake; returns the socket, which never blocks.

        Args:
            host: The server's name or address.
            port: The server's port.
            proxy: What to connect through, if not directly.
            tls: `None` for no TLS.
            ca_bundle: What `tls` trusts, if it was given; for the error.

        Raises:
            ConnectError: DNS, TCP, TLS or the proxy failed, or the deadline has passed. Its cause is an `OSError`;
                it has none if the proxy refused.
        """
        place, through = f"{host}:{port}", ""
        try:
            host = ascii_host(host)
            if proxy is None:
                sock = self._reach(host, port)
            else:
                place, through = f"{proxy.hostname}:{proxy.port or 80}", place
                sock = self._reach(str(proxy.hostname), proxy.port or 80)
                _tunnel(sock, proxy, host, port, self._deadline)
                place, through = f"{through} through the proxy {place}", ""
            if tls is not None:
                encrypted = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
                sock = self._keep_only(encrypted)
                without_blocking(sock, encrypted.do_handshake, READ, lambda: self._deadline)
        except (OSError, UnicodeError) as error:
            if raised_by_handler(error):
                raise
            raise ConnectError(explain(error, place, ca_bundle=ca_bundle, through=through)) from error
        return sock

    def worked(self) -> None:
        """Makes the next connections to this host and port try this address first."""
        self._known[self._place] = self._address

    def failed(self) -> None:
        """Forgets the address that worked last: it may accept connections, and then not answer."""
        self._known.pop(self._place, None)

    def shut_down(self) -> None:
        """Cuts the connection: every thread that waits for it wakes up, and its call fails."""

        def shut_down() -> None:
            self._down = True
            for sock in self._sockets:
                _shut_down(sock)

        holding(self._lock, shut_down)

    def close(self) -> None:
        """Closes the socket. No other thread may be using it: its descriptor could be another file's right after."""

        def close() -> None:
            for sock in self._sockets:
                sock.close()

        holding(self._lock, close)

    def abandon(self) -> None:
        """Closes a forked child's copy of the socket."""
        # Without the lock: a thread of the parent may have held it during the fork. The child has only one thread.
        for sock in self._sockets:
            sock.close()

    def _reach(self, host: str, port: int) -> socket.socket:
        """Connects to that address of a host which answers first."""
        self._place = (host, port)
        importing(lambda: codecs.lookup("idna"))  # getaddrinfo() would import it unguarded, see `imports`
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        untried = deque(in_order(infos, self._known.get(self._place)))
        connecting: Dict[socket.socket, Address] = {}
        failures: List[OSError] = []
        pause = Deadline(0)  # until the next attempt
        patience = self._deadline  # until when to wait for silent addresses, once all were tried

        def note(error: OSError, address: Address) -> None:
            nonlocal pause, patience
            self._log.debug("could not connect to %s: %s", address, error)
            failures.append(error)
            pause = Deadline(0)
            if isinstance(error, ConnectionError):
                # A refusal shows that the host is there: leave time for a retry, rather than wait for silent addresses.
                patience = Deadline(self._deadline.remaining() / 2)

        while untried or connecting:
            if untried and (pause.expired() or not connecting):
                family, kind, number, _, address = untried.popleft()
                # With little time, each address gets its share: a black hole on IPv6 must not starve IPv4.
                pause = Deadline(min(ATTEMPT_DELAY, self._deadline.remaining() / (len(untried) + 1)))
                try:
                    connecting[self._begin_to_connect(family, kind, number, address)] = address
                except OSError as error:
                    note(error, address)
            # Wait briefly, then check `_down`: on some systems, shutdown() doesn't wake a socket that isn't connected.
            longest = min(pause.remaining() if untried else ATTEMPT_DELAY, self._deadline.remaining())
            answered = wait_for_any(connecting, WRITE, longest) if connecting else []
            if self._down:
                raise TimeoutError("abandoned")
            for sock in answered:
                address = connecting.pop(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    self._address = address
                    return self._keep_only(sock)
                note(OSError(code, os.strerror(code)), address)
            if self._deadline.expired() or (patience.expired() and not untried):
                failures.append(TimeoutError("timed out"))
                break
        raise most_telling(failures) if failures else OSError(f"{host!r} has no address")

    def _begin_to_connect(self, family: int, kind: int, number: int, address: Address) -> socket.socket:
        sock = socket.socket(family, kind, number)
        with self._lock:
            self._sockets.append(sock)
            self.dialled = True
            if self._down:
                raise TimeoutError("abandoned")
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        return sock

    def _keep_only(self, sock: socket.socket) -> socket.socket:
        """Closes all sockets but this one; from now on, `shut_down()` cuts this one."""
        with self._lock:
            for other in self._sockets:
                if other is not sock:
                    other.close()
            self._sockets = [sock]
            if self._down:
                raise TimeoutError("abandoned")
        return sock


def _shut_down(sock: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown(): after that, the reading thread's next recv() would return encrypted bytes.
        # Nor `socket.socket.shutdown`: eventlet's class has no such attribute, only its instances have.
        plain: Any = super(ssl.SSLSocket, sock) if isinstance(sock, ssl.SSLSocket) else sock
        plain.shutdown(socket.SHUT_RDWR)
    except OSError as error:  # not connected yet, or not any more
        if raised_by_handler(error):
            raise


def in_order(infos: Iterable[AddressInfo], known: Optional[Address]) -> List[AddressInfo]:
    """Returns addresses in the order in which to try them.

    Args:
        infos: The addresses from the resolver, which has sorted them by preference (RFC 6724).
        known: The address that worked last; it comes first, if it is among `infos`.

    Returns:
        Each address once. IPv6 and IPv4 take turns; the family of the resolver's first address begins (RFC 8305, 4).
    """
    families: Dict[int, List[AddressInfo]] = {}
    for info in dict.fromkeys(infos):
        families.setdefault(info[0], []).append(info)
    turns = itertools.zip_longest(*families.values())
    mixed = [info for turn in turns for info in turn if info is not None]
    return sorted(mixed, key=lambda info: info[4] != known)


def most_telling(failures: List[OSError]) -> OSError:
    """Returns the failure to report for a host when none of its addresses can be reached.

    A refusal shows that the host is there, and so tells most; then a time-out. The other failures mostly mean that this
    machine has no route, such as one for IPv6, which tells nothing about the host. Among equals, the last failure.
    """

    def rank(error: OSError) -> int:
        return 2 if isinstance(error, ConnectionError) else int(isinstance(error, (TimeoutError, socket.timeout)))

    return max(reversed(failures), key=rank)


def find_proxy(url: str, proxy: Optional[str] = None) -> Optional[SplitResult]:
    """Returns the proxy for a URL; `None` for a direct connection.

    Args:
        url: With the scheme `ws`, `wss`, `http` or `https`.
        proxy: The caller's choice; `None` asks the environment: $https_proxy or $http_proxy, else $all_proxy, but none
            of them for loopback and for the hosts in $no_proxy.

    Raises:
        ConfigError: The proxy's address is not `http://[user:password@]host[:port]`.
    """
    if proxy is not None:
        return parse_proxy(proxy)
    parts = urlsplit(url)
    if is_loopback(parts.hostname):
        return None
    request = imported("urllib.request")  # late: it imports half of `http`
    if request.proxy_bypass(f"{parts.hostname}:{port_of(parts)}"):
        return None
    proxies, kind = request.getproxies(), "https" if parts.scheme in ("wss", "https") else "http"
    kind = kind if proxies.get(kind) else "all"
    try:
        return parse_proxy(proxies[kind]) if proxies.get(kind) else None
    except ConfigError as error:
        names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
        where = next((f"${name}" for name in names if os.environ.get(name)), "the system's proxy")
        raise ConfigError(f"{error}, and {where} is not: correct it, or set proxy=… or $no_proxy") from None
    finally:
        proxies = {}  # error trackers show local variables, and they may hold a password


def port_of(parts: SplitResult) -> int:
    """Returns a URL's port, or the default port of its scheme."""
    return parts.port or (443 if parts.scheme in ("wss", "https") else 80)


def tls_context(ca_bundle: Optional[PathLike] = None) -> ssl.SSLContext:
    """Returns what `wss://` and `https://` need.

    Args:
        ca_bundle: A file with the certificates to trust in place of the system's.

    Raises:
        ConfigError: The file can't be read as PEM certificates.
        ConnectError: Too many files are open.
    """
    try:
        # Fail here if no file can be opened: OpenSSL would silently load no certificates, and a client would keep that
        # context.
        os.close(os.open(os.devnull, os.O_RDONLY))
        context = ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        if raised_by_handler(error):
            raise
        if is_out_of_files(error):
            raise ConnectError(f"the certificates can't be read: {OUT_OF_FILES}") from error
        raise ConfigError(f"ca_bundle can't be read as PEM certificates ({error})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _login(proxy: SplitResult) -> bytes:
    """Returns the proxy's user name and password, as RFC 7617 joins them; empty if there are none."""
    # Bytes that the environment can't spell as text are surrogates in a str.
    given = [(part or "").encode("utf-8", "surrogateescape") for part in (proxy.username, proxy.password)]
    return b":".join(map(unquote_to_bytes, given)) if proxy.username else b""


def _connect_request(proxy: SplitResult, host: str, port: int) -> bytes:
    target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
    request = b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n" % (target, target)
    if proxy.username:
        request += b"Proxy-Authorization: Basic %s\r\n" % base64.b64encode(_login(proxy))
    return request + b"\r\n"


def _tunnel(sock: socket.socket, proxy: SplitResult, host: str, port: int, deadline: Deadline) -> None:
    """Asks a proxy for a connection to the server (RFC 9110, 9.3.6)."""
    # One send() is enough: the request fits into a new connection's buffer. It holds the password, so it is never a
    # local variable: error trackers show those.
    without_blocking(sock, lambda: sock.send(_connect_request(proxy, host, port)), WRITE, lambda: deadline)
    masked = _login_mask(proxy)
    answer = parse_head(masked(read_head(sock, lambda: deadline, "proxy")), "proxy")
    if 200 <= answer.status < 300:
        return
    body = read_body(sock, answer, lambda: deadline, masked)
    said = f": {quoted(body)}" if body else ""
    raise ConnectError(
        f"the proxy {proxy.hostname} refused to connect (HTTP {answer.status}){said}; {_proxy_hint(proxy, answer)}",
        status_code=answer.status,
        body=body or None,
    )


def _login_mask(proxy: SplitResult) -> Callable[[bytes], bytes]:
    """Returns a function that masks, in what a proxy answers, its password, however short, and the login as sent."""
    masks = [
        Mask(base64.b64encode(_login(proxy)).decode(), shortest=1),
        Mask(_login(proxy).partition(b":")[2].decode("utf-8", "surrogateescape"), shortest=1),
        Mask(proxy.password or "", shortest=1),
    ]
    return lambda data: functools.reduce(lambda masked, mask: mask.masked(masked), masks, data)


def _proxy_hint(proxy: SplitResult, answer: Answer) -> str:
    """Returns what to do about a proxy's refusal."""
    if answer.status == 407:
        schemes = _schemes(answer.headers.get_all("Proxy-Authenticate", []) if answer.headers else [])
        if schemes and "basic" not in map(str.lower, schemes):
            wanted = " or ".join(schemes)
            return f"it wants {wanted}, and only Basic can be given: run a proxy here that logs in there (cntlm, px)"
        return "it doesn't take this user name and password" if proxy.username else "give its user name and password"
    if answer.status in (502, 503, 504):
        return "it can't reach the server: check the url, and the proxy's rules"
    if answer.status in (400, 404, 405, 501):
        return "it may be no proxy, or none for wss://: check its address and port, and the proxy's rules"
    return "check the proxy's rules"


def _schemes(challenges: Iterable[str]) -> List[str]:
    """Returns the schemes of a proxy's challenges, such as `Negotiate, NTLM, Basic realm="a, b"` (RFC 9110, 11.6.1)."""
    parts = (part.split() for value in challenges for part in re.sub('"[^"]*"', "", value).split(","))
    found = (words[0][:20] for words in parts if words and re.fullmatch(r"[\w-]+", words[0]))
    return list(dict.fromkeys(found))[:5]
