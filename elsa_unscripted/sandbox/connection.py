"""`Connection`: one TCP connection of the sandbox, which can also be cut, or not be read; used by `call`, `server`."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection

from .exchange import Exchange

SMALL_BUFFER_BYTES = 4096  # so small that a sender is soon held up when nobody reads


class Connection(ServerConnection):
    """A connection that is in its sandbox's set from accept to end, whether or not the handshake succeeds.

    Args:
        connections: The set, for the sandbox to cut what is left in it when it closes.
        *args: For `ServerConnection`.
        **kwargs: For `ServerConnection`.

    Attributes:
        exchange: What happens on it, once the handshake is accepted.
    """

    def __init__(self, connections: set[Connection], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exchange: Exchange | None = None
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # asyncio sets TCP_NODELAY only on connections of a listener that it opened itself. Without it, a message that
        # is sent right after another comes 40 ms late.
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    async def cut(self) -> None:
        """Ends the TCP connection, now, without a close frame."""
        # Closing is not enough if this process was forked meanwhile: the child's copy of the socket keeps TCP open.
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
