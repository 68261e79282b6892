"""Hosts with several addresses, and addresses that swallow every packet; for tests of dialling."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

needs_black_holes = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs Linux, where a full backlog drops SYNs"
)

BROADCAST = ("255.255.255.255", 1)  # to which no TCP connection has a way


@contextlib.contextmanager
def black_holes(count: int) -> Iterator[list[int]]:
    """Ports whose backlog is full: the kernel drops every SYN."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            # Not at a port that the system chooses: it may have been another test's, whose client still dials it.
            listener.bind(("127.0.0.1", closed_port()))
            listener.listen(0)
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
        time.sleep(0.2)  # for the kernel to take them
        yield [listener.getsockname()[1] for listener in listeners]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """One such port."""
    with black_holes(1) as (port,):
        yield port


def connecting_to(port: int) -> int:
    """Returns how many sockets of this machine are waiting for an answer of a port (state SYN_SENT)."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


def closed_port() -> int:
    """Returns a port that refuses connections until the test listens on it.

    It isn't one of those that the system gives to whoever asks for any port: the tests beside this one do so all the
    time, and would soon get it.
    """
    range_of_system = range(32768, 61000)  # by Linux's default
    with contextlib.suppress(OSError), open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as setting:
        first, last = map(int, setting.read().split())
        range_of_system = range(first, last + 1)
    others = [port for port in range(1024, 49152) if port not in range_of_system] or range(1024, 65536)
    while True:
        port = random.SystemRandom().choice(others)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: int | tuple[str, int]) -> None:
    """Lets the system's resolver give these addresses for `localhost`; a port alone is one of 127.0.0.1.

    No name server of ours could: the addresses differ in their ports, so that each can be a test's own listener.
    """
    real = socket.getaddrinfo
    pairs = [("127.0.0.1", address) if isinstance(address, int) else address for address in addresses]
    infos = [info for host, port in pairs for info in real(host, port, type=socket.SOCK_STREAM)]

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return infos if host == "localhost" else real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
