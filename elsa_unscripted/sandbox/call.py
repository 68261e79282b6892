"""`Call`: the server's side of one exchange, as verbs that scenarios are written in; `hold` runs one to its end."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Callable

from websockets.exceptions import ConnectionClosed

from .connection import Connection
from .exchange import Exchange
from .rules import END_STREAM, Breach, read_config

ATTENTION_SECONDS = 0.02  # s: the stream id is held back so long, to catch a client that doesn't wait for it


Assess = Callable[[Exchange], "dict[str, Any] | None"]


class Call:
    """What a scenario can do on its connection.

    Attributes:
        exchange: What has been received so far.
        links: What the links of a verdict begin with: `http://`, and the host and port by which the client came.
        greeting: Whether the server greets. If not, it also takes what only the vendor's script sends, which hangs up
            on a greeting: any plan, and half frames.
        assess: Returns the assessment that each success gets; `None` leaves it to the scenario.
    """

    def __init__(self, connection: Connection, exchange: Exchange, links: str, greeting: bool, assess: Assess) -> None:
        self.assess = assess
        self.exchange = exchange
        self.links = links
        self.greeting = greeting
        self._connection = connection
        self._stream_ended = False

    async def open(self) -> None:
        """Greets, takes the config and gives the stream its id."""
        if self.greeting:
            await self.say({"type": "ELSA:wsConnect", "message": "This is a sandbox.", "sandbox": True})
        self.exchange.config = read_config(await self._next(), any_plan=not self.greeting)
        await self.wait(ATTENTION_SECONDS, breach="a message came before the stream id was sent")
        await self.say({"status": "processing", "stream_id": self.exchange.stream_id})

    async def hear(self, packets: float = math.inf) -> bool:
        """Takes packets until there are so many, or until the stream ends. Returns whether it has ended."""
        while self.exchange.heard < packets:
            message = await self._next()
            if message == END_STREAM:
                if not self.exchange.heard:
                    raise Breach("the stream ended without audio")
                self._stream_ended = True
                break
            self.exchange.hear(message, half_frames=not self.greeting)
        return self._stream_ended

    async def confirm(self) -> None:
        """Says that the audio has come."""
        await self.say({"status": "processing", "message": "Finished receiving audio"})
        await self.say({"status": "accepted"})

    async def say(self, message: dict[str, Any]) -> None:
        await self.send(json.dumps(message))

    async def send(self, text: str) -> None:
        """Sends a text that need not be JSON."""
        await self._connection.send(text)

    async def decide(self, verdict: dict[str, Any]) -> None:
        """Says the verdict."""
        # Kept before it is sent: as soon as the client has the verdict, a test may look for it in `exchange`.
        self.exchange.verdict = verdict
        await self.say(verdict)

    async def wait(self, seconds: float, breach: str = "") -> None:
        """Lets time pass, in which no message may come."""
        try:
            await asyncio.wait_for(self._next(), seconds)
        except asyncio.TimeoutError:
            return
        raise Breach(breach or "a message came that nobody asked for")

    async def close(self, code: int) -> None:
        """Ends the connection with a closing handshake."""
        await self._connection.close(code)

    async def cut(self) -> None:
        """Ends the connection by cutting TCP, without a closing handshake."""
        await self._connection.cut()

    async def read_nothing(self, seconds: float) -> None:
        """Leaves what the client sends in the network's buffers, until they are full and it can't send."""
        self._connection.stop_reading()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), seconds)
        self._connection.resume_reading()

    async def linger(self) -> None:
        """Waits for the client to close; takes what still comes."""
        while True:
            await self._next()

    async def reject(self, breach: str) -> None:
        """Answers a breach of the protocol."""
        self.exchange.breach = breach
        if self.exchange.verdict is None:
            await self.decide({"status": "failed", "reason": f"protocol: {breach}", "sandbox": True})
        await self.close(1002)

    async def drain(self) -> None:
        """Records the messages that no scenario has taken, until the connection has ended."""
        with suppress(ConnectionClosed):
            while True:
                self.exchange.record(await self._connection.recv())

    async def _next(self) -> str | bytes:
        message = await self._connection.recv()
        self.exchange.record(message)
        if self._stream_ended:
            raise Breach("a message came after the end of the stream")
        return message


Script = Callable[[Call, Any], Awaitable[None]]


async def hold(call: Call, script: Script, value: Any) -> None:
    """Runs a scenario on a connection, until the connection has ended."""
    with suppress(ConnectionClosed):
        try:
            await script(call, value)
            await call.linger()
        except Breach as breach:
            await call.reject(str(breach))
    await call.drain()
