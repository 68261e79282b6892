"""Waits of a socket that never blocks, each with a bound; used by `dial`, `handshake` and `wire`."""

from __future__ import annotations

import math
import select
import socket
import ssl
from typing import Any, Callable, Optional

from ..deadline import Deadline

READ, WRITE = 1, 2  # directions of a wait
WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def without_blocking(
    sock: socket.socket, call: Callable[[], Any], direction: int, until: Callable[[], Optional[Deadline]]
) -> Any:
    """Calls until the socket is ready for it.

    Args:
        sock: A socket that doesn't block.
        call: A call of it.
        direction: What the call waits for, unless TLS says otherwise.
        until: Gives the deadline, which may have been set since; `None` for none: `shut_down()` ends the wait.

    Raises:
        TimeoutError: The deadline has passed.
    """
    while True:
        try:
            return call()
        except WOULD_BLOCK as error:
            if isinstance(error, ssl.SSLError):
                wants_to_read = isinstance(error, ssl.SSLWantReadError)
                direction = READ if wants_to_read else WRITE
        deadline = until()
        ready = is_ready(sock, direction, None if deadline is None else deadline.remaining())
        if not ready and deadline is not None and deadline.expired():  # it may have been extended during the wait
            raise TimeoutError("timed out")


def is_ready(sock: socket.socket, direction: int, timeout: Optional[float]) -> bool:
    """Waits until a socket can be read from or written to, or is broken; `timeout` seconds at most."""
    # Not a selector, which takes longer to make than most waits last; unlike select(), poll() takes any descriptor.
    if not hasattr(select, "poll"):
        reading, writing = ([sock], []) if direction == READ else ([], [sock])
        return any(select.select(reading, writing, [sock], timeout))
    poll = select.poll()
    poll.register(sock, select.POLLIN if direction == READ else select.POLLOUT)
    return bool(poll.poll(None if timeout is None else math.ceil(timeout * 1000)))
