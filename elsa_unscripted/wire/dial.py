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
import itertools
import os
import socket
import ssl
import threading
from collections import deque
from typing import Any, Dict, Iterable, List, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit

from ..config import is_loopback, parse_proxy
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError
from ..imports import imported, importing
from ..log import Log, logger
from ..signals import raised_by_handler
from ..threads import holding
from .handshake import parse_head, read_head
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

    def dial(self, host: str, port: int, proxy: Optional[SplitResult], tls: Optional[ssl.SSLContext]) -> socket.socket:
        """Connects, and does the TLS handshake; returns the socket, which never blocks.

        Raises:
            ConnectError: The proxy refuses, or doesn't answer with HTTP.
            OSError: DNS, TCP or TLS failed; `TimeoutError` at the deadline.
        """
        if proxy is None:
            sock = self._reach(host, port)
        else:
            sock = self._reach(str(proxy.hostname), proxy.port or 80)
            _tunnel(sock, proxy, host, port, self._deadline)
        if tls is not None:
            encrypted = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock = self._keep_only(encrypted)
            without_blocking(sock, encrypted.do_handshake, READ, lambda: self._deadline)
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
        proxy: The caller's choice; `None` asks the environment ($https_proxy, $http_proxy, $no_proxy), and never uses a
            proxy for loopback.

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
    found = request.getproxies().get("https" if parts.scheme in ("wss", "https") else "http")
    try:
        return parse_proxy(found) if found else None
    except ConfigError as error:
        raise ConfigError(f"{error}, and the environment's is not: set proxy=…, or $no_proxy") from None


def port_of(parts: SplitResult) -> int:
    """Returns a URL's port, or the default port of its scheme."""
    return parts.port or (443 if parts.scheme in ("wss", "https") else 80)


def _connect_request(proxy: SplitResult, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
    return (request + "\r\n").encode("ascii")


def _tunnel(sock: socket.socket, proxy: SplitResult, host: str, port: int, deadline: Deadline) -> None:
    """Asks a proxy for a connection to the server (RFC 9110, 9.3.6)."""
    # One send() is enough: the request fits into a new connection's buffer. It holds the password, so it is never a
    # local variable: error trackers show those.
    without_blocking(sock, lambda: sock.send(_connect_request(proxy, host, port)), WRITE, lambda: deadline)
    status, _ = parse_head(read_head(sock, lambda: deadline))
    if not 200 <= status < 300:
        hint = "give its user name and password" if status == 407 else "check the proxy's rules"
        raise ConnectError(f"the proxy {proxy.hostname} refused to connect (HTTP {status}); {hint}", status_code=status)
