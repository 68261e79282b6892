"""Waits until a non-blocking socket is ready, or a deadline passes. Used by `dial`, `handshake` and `wire`."""

from __future__ import annotations

import math
import select
import socket
import ssl
from typing import Any, Callable, Iterable, List, Optional

from ..deadline import Deadline
from ..signals import raised_by_handler

READ, WRITE = 1, 2  # directions of a wait
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def without_blocking(
    sock: socket.socket,
    call: Callable[[], Any],
    direction: int,
    until: Callable[[], Optional[Deadline]],
    meanwhile: Callable[[], Optional[float]] = lambda: None,
) -> Any:
    """Repeats a call until it doesn't raise one of `WOULD_BLOCK`; waits in between for the socket to be ready.

    Args:
        sock: A socket that doesn't block.
        call: Calls a method of the socket.
        direction: `READ` or `WRITE`: what to wait for, unless TLS asks for the other.
        until: Returns the deadline; called before each wait, since the deadline may change. `None` means no deadline:
            then only `Socket.shut_down()` ends the wait.
        meanwhile: Called before each wait; returns in how many seconds to call it again, `None` if that isn't needed.

    Raises:
        TimeoutError: The deadline has passed.
    """
    while True:
        try:
            return call()
        except WOULD_BLOCK as error:
            if raised_by_handler(error):
                raise
            if isinstance(error, ssl.SSLError):
                wants_to_read = isinstance(error, ssl.SSLWantReadError)
                direction = READ if wants_to_read else WRITE
        deadline = until()
        waits = [meanwhile(), None if deadline is None else deadline.remaining()]
        ready = is_ready(sock, direction, min((wait for wait in waits if wait is not None), default=None))
        if not ready and deadline is not None and deadline.expired():  # not yet, if it was extended during the wait
            raise TimeoutError("timed out")


def is_ready(sock: socket.socket, direction: int, timeout: Optional[float]) -> bool:
    """Waits until a socket can be read from or written to, or is broken; `timeout` seconds at most.

    Returns:
        Whether it is so now; `False` after `timeout`.
    """
    return bool(wait_for_any([sock], direction, timeout))


def wait_for_any(socks: Iterable[socket.socket], direction: int, timeout: Optional[float]) -> List[socket.socket]:
    """Waits until one or more sockets can be read from or written to, or are broken; `timeout` seconds at most.

    Returns:
        Those sockets; none of them after `timeout`.
    """
    # Not a selector: to make one takes longer than most waits. Not select(), which refuses descriptors from 1024 up.
    if not hasattr(select, "poll"):
        reading, writing = (socks, []) if direction == READ else ([], socks)
        readable, writable, broken = select.select(reading, writing, socks, timeout)
        return [sock for sock in socks if sock in readable or sock in writable or sock in broken]
    by_descriptor = {sock.fileno(): sock for sock in socks}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN if direction == READ else select.POLLOUT)
    ready = poll.poll(None if timeout is None else math.ceil(timeout * 1000))
    return [by_descriptor[descriptor] for descriptor, _ in ready]
