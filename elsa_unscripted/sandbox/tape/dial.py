"""Connects to the real service, as clients do: TLS verified, through the environment's proxy. Used by `recorder`."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from typing import Callable, NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from ..pages import PATH

SERVICE = "wss://api.elsanow.io" + PATH
CONNECT_SECONDS = 10.0  # s: for TCP, the proxy and TLS
MAX_PROXY_ANSWER = 65536  # bytes

T = TypeVar("T")


class Upstream(NamedTuple):
    """Where the real service is.

    Attributes:
        host: Its name or address.
        port: Its port.
        tls: Whether it is `wss://`.
        target: What the request line asks for: path and query.
    """

    host: str
    port: int
    tls: bool
    target: str

    @property
    def authority(self) -> str:
        """For the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_upstream(url: str) -> Upstream:
    """Returns the parts of a URL; a path that is missing is the service's.

    Raises:
        ValueError: It is none of a WebSocket, or would send the token in clear over a network.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None:
        raise ValueError(f"upstream must be a URL as wss://host[:port]/path, not {url!r}")
    tls = parts.scheme == "wss"
    if not tls and not is_loopback(parts.hostname):
        raise ValueError("upstream must be wss://; ws:// is for this machine alone, since the token is sent there")
    target = (parts.path or PATH) + (f"?{parts.query}" if parts.query else "")
    return Upstream(parts.hostname, port or (443 if tls else 80), tls, target)


def is_loopback(host: str | None) -> bool:
    """Returns whether a host is this machine, by its name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


async def dial(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects, within 10 s.

    Raises:
        OSError: The service can't be reached; its TLS and the proxy included.
    """
    try:
        return await asyncio.wait_for(_dial(upstream), CONNECT_SECONDS)
    except asyncio.TimeoutError:
        raise TimeoutError("timed out") from None


async def _dial(upstream: Upstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = ssl.create_default_context() if upstream.tls else None
    # In a thread, since the standard library's streams know no proxies.
    sock = await in_thread(lambda: _reach(upstream), discard=socket.socket.close)
    try:
        sock.setblocking(False)
        return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=upstream.host if tls else None)
    except BaseException:
        sock.close()
        raise


async def in_thread(function: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Returns what a function returns that blocks, such as on a name look-up. It may raise these two errors, no other.

    Its thread is a daemon, and not one of the loop's: a sandbox that closes doesn't wait for it.

    Args:
        function: What to call.
        discard: Called with what it returns when nobody waits for that any more.

    Raises:
        OSError: The function raised it.
        ValueError: The function raised it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def give(result: T) -> None:
        if future.done():
            discard(result)
        else:
            future.set_result(result)

    def fail(error: OSError | ValueError) -> None:
        if not future.done():
            future.set_exception(error)

    def run() -> None:
        try:
            result = function()
        except (OSError, ValueError) as error:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(fail, error)
            return
        try:
            loop.call_soon_threadsafe(give, result)
        except RuntimeError:
            discard(result)

    threading.Thread(target=run, name="elsa-sandbox-network", daemon=True).start()
    return await future


def _reach(upstream: Upstream) -> socket.socket:
    proxy = _find_proxy(upstream)
    place = (upstream.host, upstream.port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
    sock = socket.create_connection(place, timeout=CONNECT_SECONDS)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy is not None:
            _tunnel(sock, proxy, upstream)
    except BaseException:
        sock.close()
        raise
    return sock


def _find_proxy(upstream: Upstream) -> SplitResult | None:
    if is_loopback(upstream.host) or urllib.request.proxy_bypass(f"{upstream.host}:{upstream.port}"):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get("https" if upstream.tls else "http") or proxies.get("all")
    if not found:
        return None
    try:
        proxy = urlsplit(found if "//" in found else f"http://{found}")
        usable = proxy.scheme == "http" and proxy.hostname and proxy.port != 0
    except ValueError:  # an odd port, or half an IPv6 address
        usable = False
    if not usable:
        raise OSError("the environment's proxy is not http://[user:password@]host[:port]")
    return proxy


def _tunnel(sock: socket.socket, proxy: SplitResult, upstream: Upstream) -> None:
    """Asks a proxy for a connection to the service (RFC 9110, 9.3.6)."""
    target = f"[{upstream.host}]:{upstream.port}" if ":" in upstream.host else f"{upstream.host}:{upstream.port}"
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        request += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
    sock.sendall(f"{request}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        part = sock.recv(1)  # not more: what follows is the service's
        answer += part
        if not part or len(answer) > MAX_PROXY_ANSWER:
            raise OSError(f"the proxy {proxy.hostname} did not answer as one")
    status = answer.split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        told = status[0].decode("latin-1") if status else "no HTTP"
        raise OSError(f"the proxy {proxy.hostname} refused to connect (HTTP {told})")
