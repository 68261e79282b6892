"""Makes a connection: names, addresses, a proxy's tunnel, TLS, all before one deadline. For `transport`, and `results`.

But for looking up a name, nothing here waits without end: each wait has a deadline, or is ended by `shut_down()` from
another thread. That is why the socket isn't left to `websocket-client`, whose connecting can be neither bounded nor
ended.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from typing import Optional
from urllib.parse import SplitResult, unquote, urlsplit

from ..config import Config, is_loopback, parse_proxy
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError
from .handshake import parse_head, read_head
from .waiting import READ, WRITE, without_blocking


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
            without_blocking(sock, encrypted.do_handshake, READ, lambda: self._deadline)
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


def find_proxy(config: Config) -> Optional[SplitResult]:
    if config.proxy is not None:
        return parse_proxy(config.proxy)
    parts = urlsplit(str(config.url))
    if is_loopback(parts.hostname):
        return None
    from urllib.request import getproxies, proxy_bypass  # only where it is needed: it imports half of http

    if proxy_bypass(f"{parts.hostname}:{port_of(parts)}"):
        return None
    found = getproxies().get("https" if parts.scheme == "wss" else "http")
    try:
        return parse_proxy(found) if found else None
    except ConfigError as error:
        raise ConfigError(f"{error}, and the environment's is not: set proxy=…, or $no_proxy") from None


def port_of(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "wss" else 80)


def _tunnel(sock: socket.socket, proxy: SplitResult, host: str, port: int, deadline: Deadline) -> None:
    """Asks a proxy for a connection to the server (RFC 9110, 9.3.6)."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
    data = (request + "\r\n").encode("ascii")
    # A new connection's buffer takes it whole.
    without_blocking(sock, lambda: sock.send(data), WRITE, lambda: deadline)
    status, _ = parse_head(read_head(sock, lambda: deadline))
    if not 200 <= status < 300:
        hint = "give its user name and password" if status == 407 else "check the proxy's rules"
        raise ConnectError(f"the proxy {proxy.hostname} refused to connect (HTTP {status}); {hint}", status_code=status)
