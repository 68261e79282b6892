"""`Connection`: one TCP connection of the sandbox, which can also be cut, or not be read; used by `call`, `server`."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event

from .exchange import Exchange

MAX_MESSAGE_BYTES = 64 * 2**20  # of a client's message; a packet of half a second has some hundred thousand
MAX_FRAGMENTS = 10_000  # of a message
REQUEST_SECONDS = 10.0  # s: for the whole HTTP request to come
REFUSAL_SECONDS = 2.0  # s: for a client to answer the close frame after a message that was too long
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
        self._fragments = 0  # of the message that is coming
        self._cuts: list[asyncio.TimerHandle] = []  # each cuts the connection, if it lasts so long
        self._taker: asyncio.StreamReader | None = None  # who gets the bytes, in place of websockets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # asyncio sets TCP_NODELAY only on connections of a listener that it opened itself. Without it, a message that
        # is sent right after another comes 40 ms late.
        self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(self)
        self._cuts.append(self.loop.call_later(REQUEST_SECONDS, self._cut_half_request))

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        for cut in self._cuts:
            cut.cancel()
        if self._taker is not None:
            self._taker.feed_eof()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._taker is not None:
            self._taker.feed_data(data)
            return
        super().data_received(data)
        if self.refused_length and len(self._cuts) == 1:  # the client may go on sending, and never answer the close
            self._cuts.append(self.loop.call_later(REFUSAL_SECONDS, self.transport.abort))

    def eof_received(self) -> None:
        if self._taker is None:
            super().eof_received()
        else:
            self._taker.feed_eof()

    def take_over(self) -> asyncio.StreamReader:
        """Gives out all bytes that come after the handshake's request; websockets sees no more of the connection."""
        self._taker = asyncio.StreamReader()
        self._taker.set_transport(self.transport)
        if self.transport.is_closing():
            self._taker.feed_eof()
        return self._taker

    def process_event(self, event: Event) -> None:
        """Counts the fragments of a message, which has a bound in bytes already: empty ones have none."""
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments = 0 if event.fin else self._fragments + 1
            if self._fragments > MAX_FRAGMENTS:
                if self.exchange is not None:
                    self.exchange.breach = f"a message in more than {MAX_FRAGMENTS} fragments"
                self.transport.abort()
                return
        super().process_event(event)

    @property
    def refused_length(self) -> bool:
        """Whether it was ended because a message was too long."""
        sent = self.protocol.close_sent
        return sent is not None and sent.code == CloseCode.MESSAGE_TOO_BIG

    async def cut(self) -> None:
        """Ends the TCP connection, now, without a close frame."""
        # Closing is not enough if this process was forked meanwhile: the child's copy of the socket keeps TCP open.
        with suppress(OSError):
            self._socket().shutdown(socket.SHUT_RDWR)
        self.transport.abort()
        await self.wait_closed()

    def reset(self) -> None:
        """Ends the TCP connection with a reset."""
        with suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def stop_reading(self) -> None:
        """Lets the network's buffers fill up."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def _cut_half_request(self) -> None:
        if self.request is None:
            self.transport.abort()

    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found
