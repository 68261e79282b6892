"""`Relay`: one connection on its way through a sandbox that records, with a task for each direction.

Bytes pass as they come, so that also what no library would send reaches the client. Whole messages are noted; of those
of the service that are text, the links are replaced. Used by `recorder`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import re
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.http11 import Request

from ..connection import Connection
from ..exchange import Exchange
from . import format as tape
from .answer import Answer
from .format import Cause, End, Said, Taped
from .frames import BINARY, CLOSE, TEXT, Frames, Message, frame
from .heard import GREETING, Heard, says, show
from .links import ON_TAPE, replace_links
from .redact import Redaction

if TYPE_CHECKING:
    from .recorder import Recorder

HOLD_SECONDS = 2.0  # s: so long the beginning of a message is held back, to replace its links
HOLD_BYTES = 4 * 2**20  # a longer message passes through with its links as they are
UNREAD_SECONDS = 0.2  # s: the service has stopped reading if it has taken nothing for so long when the client leaves
GREETING_SECONDS = 0.1  # s: so long the config is held back, so that a greeting isn't taken for an answer to it
REST_SECONDS = 1.0  # s: for the rest of a refusal whose client has left
LEAVE_SECONDS = 2.0  # s: for a client to leave when the service has ended the connection
SHORTEST_TOKEN = 4  # characters; to mask a shorter one, such as a number, could break the service's JSON
SHORTEST_COOKIE = 8  # characters; a shorter part of a cookie may be any word
MAX_TAPED_BYTES = 256 * 2**20  # of one exchange's messages
CHUNK = 65536  # bytes
NOT_PASSED_ON = ("host", "sec-websocket-extensions", "proxy-authorization", "proxy-connection", "content-length")

logger = logging.getLogger("elsa_unscripted.sandbox")


class Relay:
    """One connection on its way through.

    Args:
        recorder: Where the service is, and the tape.
        connection: The client's.
        request: Its handshake.
        host: The name that it has for this machine.
        reader: From the service.
        writer: To it.
    """

    def __init__(
        self,
        recorder: Recorder,
        connection: Connection,
        request: Request,
        host: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._recorder = recorder
        self._connection = connection
        self._request = request
        self._host = host
        self._reader = reader
        self._writer = writer
        self._exchange = Exchange("", "record", request.headers)
        self._heard = Heard(self._exchange, keep_pcm=recorder.keep_audio)
        self._secrets = Redaction(_secrets_in(request.headers.raw_items()))
        self._answer = Answer(next(iter(request.headers.get_all("Sec-WebSocket-Key")), ""))
        self._refused = asyncio.Event()  # set when a refusal has come as a whole
        self._greeted = asyncio.Event()  # set when the service has said anything
        self._frames = Frames(masked=False)  # the service's
        self._released = False  # whether what `_frames` holds was passed on as it came
        self._hold_until = 0.0  # on `time.monotonic()`
        self._held_since = Cause(tape.OPEN), 0.0, 0.0  # of what `_frames` holds
        self._begun = time.monotonic()
        self._said: list[Said] = []
        self._size = 0
        self._close: tuple[tuple[Cause, float, float], int | None, str] | None = None  # the service's close frame
        self._client_code: int | None = None
        self._client_closed = False
        self._blocked_since: float | None = None  # when the service began to take nothing more

    async def run(self) -> None:
        client = self._connection.take_over()
        self._writer.write(self._make_request())
        up = asyncio.ensure_future(self._pass_up(client))
        down = asyncio.ensure_future(self._pass_down())
        # While the service takes nothing, `up` waits for it, and doesn't see that the client is gone.
        gone = asyncio.ensure_future(self._connection.wait_closed())
        try:
            await asyncio.wait({up, down, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not down.done() and self._answer.status is not None:
                # The client has left amid a refusal: it is recorded as a whole all the same.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._refused.wait(), REST_SECONDS)
            now = self._moment()
            how = down.result() if down.done() and not self._client_closed else tape.CLIENT
            if down.done():
                await self._end_client(how)
        finally:
            for task in (up, down, gone):
                task.cancel()
            self._writer.transport.abort()
            await asyncio.gather(up, down, gone, return_exceptions=True)
        self._record(how, now)
        await self._connection.cut()

    def _make_request(self) -> bytes:
        """Returns the client's request, to the service; the key is the client's, so that the answer fits it."""
        upstream = self._recorder.upstream
        lines = [f"GET {upstream.target} HTTP/1.1", f"Host: {upstream.authority}"]
        for name, value in self._request.headers.raw_items():
            if name.lower() not in NOT_PASSED_ON:
                lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    async def _pass_up(self, client: asyncio.StreamReader) -> None:
        """Passes on what the client sends, until it leaves."""
        frames = Frames(masked=True)
        gone = False
        while True:
            try:
                data = await client.read(CHUNK)
            except OSError:
                return
            if not data:
                return
            if self._heard.after == tape.OPEN:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._greeted.wait(), GREETING_SECONDS)
            # Noted before it is passed on: the answer to it may come at once.
            for message, _ in frames.feed(data):
                if message.opcode == CLOSE:
                    self._client_closed = True
                    self._client_code = int.from_bytes(message.data[:2], "big") if message.data else None
                else:
                    self._heard.take(message)
            if gone:
                continue  # `_pass_down` tells how it went; the client may still be sending
            try:
                self._writer.write(data)
                self._blocked_since = time.monotonic()
                await self._writer.drain()
                self._blocked_since = None
            except OSError:
                gone = True

    async def _pass_down(self) -> str:
        """Passes on what the service sends, until it ends the connection; returns how."""
        while True:
            try:
                data = await self._read_down()
            except (OSError, ssl.SSLError) as error:
                self._release()
                return tape.RESET if isinstance(error, ConnectionResetError) else tape.CUT
            if not data:
                self._answer.end()
                self._refused.set()
                self._release()
                return tape.CUT
            if not self._answer.accepted:
                rest = self._answer.feed(data)
                if self._answer.whole:
                    self._refused.set()
                self._write(data[: len(data) - len(rest or b"")])
                if rest is not None:
                    self._recorder.opened(self._exchange)
                    self._heard.since = time.monotonic()
                data = rest or b""
            if data:
                self._take(data)
            with suppress(OSError):
                await self._connection.drain()

    async def _read_down(self) -> bytes:
        """Returns what comes next; passes on meanwhile what was held back for too long."""
        while self._frames.held and not self._released:
            try:
                return await asyncio.wait_for(self._reader.read(CHUNK), max(0, self._hold_until - time.monotonic()))
            except asyncio.TimeoutError:
                self._release()
        return await self._reader.read(CHUNK)

    def _take(self, data: bytes) -> None:
        """Notes the service's messages, and passes them on."""
        self._greeted.set()
        if not self._frames.held:
            self._held_since = self._moment()
        found = self._frames.feed(data)
        if self._released:
            self._write(data)
        for message, spelled in found:
            passed_on = self._note(message)
            if not self._released:
                self._write(spelled if passed_on is None else passed_on)
        held = self._frames.held
        if found:
            self._held_since = self._moment()
        if not held:
            self._released = False
        elif not self._released:
            if found or self._hold_until < time.monotonic():
                self._hold_until = time.monotonic() + HOLD_SECONDS
            if self._frames.broken or held[0] & 0x0F != TEXT or len(held) > HOLD_BYTES:
                self._release()

    def _release(self) -> None:
        if self._frames.held and not self._released:
            self._write(bytes(self._frames.held))
            self._released = True

    def _note(self, message: Message) -> bytes | None:
        """Notes a whole message; returns the frame to pass on in its place, if it must be another."""
        moment = self._moment()
        if message.opcode == CLOSE:
            if self._close is None and not self._client_closed:
                code = int.from_bytes(message.data[:2], "big") if message.data else None
                self._close = moment, code, message.data[2:].decode()
        elif message.opcode == BINARY:
            self._keep(Said(tape.BINARY, message.data, *moment))
        elif message.opcode == TEXT:
            try:
                text = message.data.decode()
            except UnicodeDecodeError:
                self._keep(Said(tape.RAW, frame(TEXT, message.data), *moment))
                return None
            return self._note_text(text, moment)
        return None

    def _note_text(self, text: str, moment: tuple[Cause, float, float]) -> bytes | None:
        paths: list[str] = []

        def lead(key: str, link: str) -> str:
            paths.append(self._recorder.link(key, link, self._secrets))
            return ON_TAPE + paths[-1]

        taped = text if self._released else replace_links(text, lead)
        self._keep(Said(tape.TEXT, taped.encode(), *self._caused(text, moment)))
        for path in paths:
            text = taped = taped.replace(f"{ON_TAPE}{path}", f"http://{self._host}{path}")
        show(self._exchange, text)
        return frame(TEXT, text.encode()) if paths else None

    def _caused(self, text: str, moment: tuple[Cause, float, float]) -> tuple[Cause, float, float]:
        """Returns a message's moment, with what caused it by the protocol, if more was heard since.

        Some clients send without waiting. Those that wait would wait for ever if a greeting were replayed after the
        config, or the stream id after audio.
        """
        _, at, _ = moment
        heard = self._heard
        if self._exchange.stream_id or heard.after == tape.OPEN:
            return moment
        if says(text, "type") == GREETING:
            return Cause(tape.OPEN), at, at
        if heard.after != tape.CONFIG and says(text, "stream_id") is not None:
            return Cause(tape.CONFIG), at, max(0.0, self._begun + at - heard.configured)
        return moment

    def _keep(self, said: Said) -> None:
        self._size += len(said.data) + 200  # bytes, roughly, of the line's other fields
        if self._size <= MAX_TAPED_BYTES:
            self._said.append(said)

    def _moment(self) -> tuple[Cause, float, float]:
        now = time.monotonic()
        return self._heard.cause, now - self._begun, now - self._heard.since

    def _write(self, data: bytes) -> None:
        if data and not self._connection.transport.is_closing():
            self._connection.transport.write(data)

    async def _end_client(self, how: str) -> None:
        """Ends the client's connection as the service has ended its own."""
        transport = self._connection.transport
        if how == tape.RESET:
            with suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(self._connection.drain(), LEAVE_SECONDS)
            self._connection.reset()
        else:
            transport.close()  # what was written is still sent
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), LEAVE_SECONDS)

    def _record(self, how: str, moment: tuple[Cause, float, float]) -> None:
        if self._answer.accepted:
            if self._frames.held:
                self._keep(Said(tape.RAW, bytes(self._frames.held), *self._held_since))
            end = self._how_it_ended(how, moment)
        elif self._answer.status is not None:
            body, headers = self._answer.body, self._answer.kept_headers
            cleaned = tuple((name, self._clean(value)) for name, value in headers)
            body = self._secrets.clean(body)
            end = End(tape.REFUSED, *moment, status=self._answer.status, headers=cleaned, body=body)
        else:
            raw = self._secrets.mask(bytes(self._answer.raw))
            end = End(tape.REFUSED, *moment, body=raw, then=how)
        heard = self._heard
        config = None
        if heard.config is not None:
            config = json.loads(self._clean(json.dumps(heard.config)))
        taped = Taped(
            config,
            heard.format,
            heard.frames,
            heard.sha256,
            tuple(heard.steps),
            heard.after == tape.END,
            tuple(map(self._without_secrets, self._said)),
            end,
            bytes(heard.pcm) if self._recorder.keep_audio and heard.format else None,
        )
        if self._size > MAX_TAPED_BYTES:
            logger.error("an exchange is not on the tape: the service said more than %d bytes", MAX_TAPED_BYTES)
        else:
            self._recorder.write(tape.write_exchange(taped))
        if self._answer.accepted:
            code = 1006 if how != tape.CLIENT or not self._client_closed else self._client_code or 1005
            self._recorder.finished(self._exchange, end.code if end.how == tape.CLOSE else code)

    def _how_it_ended(self, how: str, moment: tuple[Cause, float, float]) -> End:
        if self._close is not None:
            when, code, reason = self._close
            return End(tape.CLOSE, *when, code=code, reason=self._clean(reason))
        if how != tape.CLIENT and not self._client_closed:
            return End(how, *moment)
        blocked = self._blocked_since
        unread = blocked is not None and time.monotonic() - blocked > UNREAD_SECONDS
        return End(tape.CLIENT, *moment, unread=unread)

    def _without_secrets(self, said: Said) -> Said:
        clean = self._secrets.clean if said.kind == tape.TEXT else self._secrets.mask
        return dataclasses.replace(said, data=clean(said.data))

    def _clean(self, text: str) -> str:
        return self._secrets.clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _secrets_in(headers: Iterable[tuple[str, str]]) -> list[bytes]:
    """Returns what a client's headers say of itself that no tape may hold."""
    found: set[str] = set()
    for name, value in headers:
        if name.lower() == "authorization":
            scheme, _, token = value.strip().partition(" ")
            token = token.strip() or scheme
            found |= {each for each in (value, token, token.rstrip("=")) if len(each) >= SHORTEST_TOKEN}
        elif name.lower() in ("proxy-authorization", "cookie"):
            parts = [value, *re.split(r"[\s;,]+", value), *re.split(r"[\s;,=]+", value)]
            found |= {each for each in parts if len(each) >= SHORTEST_COOKIE}
    # The longest first: a shorter one may be a part of it.
    return sorted(map(_as_it_came, found), key=len, reverse=True)


def _as_it_came(value: str) -> bytes:
    """Returns a header's bytes; releases of websockets differ in how they read what isn't ASCII."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
