"""`Line`: one TCP connection of the sandbox, with the rudeness that websockets has no methods for; used by `call`."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection

from .exchange import Exchange

SMALL_BUFFER_BYTES = 4096  # so that a sender feels at once that nobody reads


class Line(ServerConnection):
    """A connection that its sandbox knows from accept to end, whether or not a handshake comes about.

    Args:
        lines: Where to be found while it lives.
        *args: For `ServerConnection`.
        **kwargs: For `ServerConnection`.

    Attributes:
        exchange: What it is for, once the handshake is accepted.
    """

    def __init__(self, lines: set[Line], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exchange: Exchange | None = None
        self._lines = lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # asyncio does so too, but not below a listener that it was handed; without, a second message is 40 ms late.
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)
        super().connection_lost(exc)

    async def cut(self) -> None:
        """Ends the TCP connection, now, without a close frame."""
        # Closing alone isn't enough: a process that was forked meanwhile holds a copy of the socket.
        with suppress(OSError):
            self._socket().shutdown(socket.SHUT_RDWR)
        self.transport.abort()
        await self.wait_closed()

    def stop_reading(self) -> None:
        """Lets the network's buffers fill up."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found
