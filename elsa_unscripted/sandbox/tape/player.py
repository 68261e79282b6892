"""`Player`: says again what is on a tape, without any network. `server` makes one for a sandbox that replays."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from websockets.http11 import Request, Response

from ..connection import Connection
from ..exchange import Exchange
from ..pages import page
from . import format as tape
from .format import AUDIO, CONFIG, END, OPEN, End, Said, TapeError
from .frames import BINARY, CLOSE, PING, PONG, TEXT, Frames, Message, close_frame, frame
from .heard import Finished, Heard, Opened, show
from .links import lead_to
from .reading import read
from .shelf import Shelf, checkpoints, describe, is_refuted, is_the_one

CHUNK = 65536  # bytes
LEAVE_SECONDS = 2.0  # s: for a client to leave when the closing handshake is done
KINDS = {tape.TEXT: TEXT, tape.BINARY: BINARY}


class Player:
    """Replays exchanges.

    Args:
        path: The tape.
        strict: Whether each exchange is replayed once only.
        speed: How fast the server answers, against the tape; `None` is at once.
        opened: Called with each exchange whose handshake is accepted.
        finished: Called with it and its close code when it has ended.

    Raises:
        TapeError: It is no tape, or there is none.
    """

    def __init__(self, path: Path, strict: bool, speed: float | None, opened: Opened, finished: Finished) -> None:
        try:
            exchanges, fetched = read(path)
        except OSError as error:
            raise TapeError(
                f"the tape {str(path)!r} can't be read ({error.strerror}); record it, with the mode 'once' or 'all'"
            ) from error
        self.shelf = Shelf(exchanges, strict)
        self.speed = speed
        self.opened = opened
        self.finished = finished
        self._fetched = {each.link: each for each in fetched}

    @property
    def unplayed(self) -> tuple[str, ...]:
        """What is on the tape and was not replayed, in words."""
        return tuple(map(describe, self.shelf.left))

    async def hold(self, connection: Connection, request: Request, host: str) -> Response:
        """Holds one connection to its end; returns the answer if the request is for no WebSocket."""
        play = _Play(self, connection, request, host)
        try:
            return await play.run()
        finally:
            self.shelf.release(play)

    async def find(self, path: str) -> Response:
        """Returns what a link led to while the tape was recorded."""
        fetched = self._fetched.get(path)
        if fetched is None:
            return page(404, "This is not on the tape: nobody fetched it while the tape was recorded.")
        if fetched.body is None:
            return page(404, "This is not on the tape: audio is kept only with keep_audio (--keep-audio).")
        try:
            return page(fetched.status, fetched.body, fetched.content_type or "application/octet-stream")
        except ValueError:  # a status that nobody knows
            return page(502, f"The link led to HTTP {fetched.status}.")


class _Play:
    """One connection of a sandbox that replays."""

    def __init__(self, player: Player, connection: Connection, request: Request, host: str) -> None:
        self._player = player
        self._shelf = player.shelf
        self._connection = connection
        self._request = request
        self._host = host
        self._exchange = Exchange("", "replay", request.headers)
        self._heard = Heard(self._exchange)
        self._begun = 0  # of `_queue`: how many lines were put there
        self._queue: asyncio.Queue[tuple[float, Callable[[], object]]] = asyncio.Queue()
        self._said: set[int] = set()  # ids of the lines that were said or are queued
        self._claimed: int | None = None  # the position of the exchange that is being replayed
        self._over = False  # whether an end is said or queued: nothing follows it
        self._unread = False  # whether to read nothing more, as the recorded server did
        self._close_code: int | None = None

    async def run(self) -> Response:
        self._mine = self._shelf.reserve_first(self)
        if self._mine is not None and self._shelf[self._mine].end.how == tape.REFUSED:
            self._shelf.use(self._mine)
            await self._refuse(self._shelf[self._mine].end)
            return page(408, "The connection has ended.")
        response = self._connection.protocol.accept(self._request)
        if response.status_code != 101:
            return response
        client = self._connection.take_over()
        self._connection.transport.write(response.serialize())
        self._player.opened(self._exchange)
        self._heard.since = time.monotonic()
        speaker = asyncio.ensure_future(self._speak())
        try:
            self._say_of(self._mine, OPEN)
            await self._listen(client)
        finally:
            speaker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await speaker
        self._note_what_was_left()
        await self._connection.cut()
        self._player.finished(self._exchange, self._close_code or 1006)
        return page(408, "The connection has ended.")

    async def _listen(self, client: asyncio.StreamReader) -> None:
        """Takes what the client sends, until it leaves."""
        frames = Frames(masked=True)
        while True:
            if self._unread:
                self._connection.stop_reading()
                await self._connection.wait_closed()
                return
            try:
                data = await client.read(CHUNK)
            except OSError:
                return
            if not data:
                return
            for message, _ in frames.feed(data):
                if message.opcode == CLOSE:
                    await self._leave(int.from_bytes(message.data[:2], "big") if message.data else None)
                    return
                if message.opcode == PING:
                    self._write(frame(PONG, message.data))
                else:
                    self._take(message)
            if frames.broken and not self._over:
                await self._leave(1002)
                return

    async def _leave(self, code: int | None) -> None:
        """Sends a close frame, unless one was sent; ends the connection."""
        if self._close_code is None:
            self._write(close_frame(code, ""))
            self._close_code = 1005 if code is None else code
        self._connection.transport.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), LEAVE_SECONDS)

    def _take(self, message: Message) -> None:
        """Takes a message of the client, and says what followed it on the tape."""
        before = self._heard.after
        self._heard.take(message)
        after = self._heard.after
        if self._over:
            return
        if before == OPEN and after == CONFIG:
            self._mine = self._shelf.reserve_with(self, self._heard.config)
            wanted = self._shelf.candidates(self, self._heard.config)
            self._heard.watch([frames for at in wanted for frames, _ in checkpoints(self._shelf[at])])
            if self._mine is None:
                made_up = {"status": "processing", "stream_id": str(uuid.uuid4()), "sandbox": True}
                self._say(0.0, functools.partial(self._send_text, json.dumps(made_up)))
            else:
                self._say_of(self._mine, CONFIG)
        elif after == AUDIO or (after == END and before != END):
            self._follow(final=after == END)

    def _follow(self, *, final: bool) -> None:
        """Says what the exchange said that the audio so far is likeliest of."""
        fits = is_the_one if final else _may_be
        wanted = self._shelf.candidates(self, self._heard.config)
        if self._claimed is not None:
            wanted = [self._claimed, *(at for at in wanted if at != self._claimed)]
        best = next((at for at in wanted if fits(self._shelf[at], self._heard)), None)
        if self._claimed is not None and self._claimed != best:
            self._shelf.give_back(self._claimed)
            self._claimed = None
        if best is None:
            if final:
                reason = self._shelf.explain(self._heard.config, self._heard)
                failed = {"status": "failed", "reason": reason, "sandbox": True}
                self._say(0.0, functools.partial(self._send_text, json.dumps(failed)))
            return
        taped = self._shelf[best]
        due = [line for line in taped.lines if self._is_due(line) and id(line) not in self._said]
        if final or due:
            self._shelf.use(best)
            self._claimed = best
        self._say_lines(due)

    def _is_due(self, line: Said | End) -> bool:
        after, frames, _ = line.cause
        if after == END:
            return self._heard.after == END
        return after == AUDIO and frames <= self._heard.frames

    def _say_of(self, position: int | None, after: str) -> None:
        """Says what an exchange said after the handshake, or after the config."""
        if position is None:
            return
        taped = self._shelf[position]
        self._say_lines([line for line in taped.lines if line.cause.after == after])
        if self._over:
            self._shelf.use(position)

    def _say_lines(self, lines: list[Said | End]) -> None:
        speed = self._player.speed
        for line in lines:
            self._said.add(id(line))
            delay = 0.0 if speed is None else line.delay / speed
            if isinstance(line, Said):
                self._say(delay, functools.partial(self._send, line))
            elif line.how == tape.CLIENT:
                self._unread = line.unread
            else:
                self._say(delay, functools.partial(self._end, line))
                self._over = True

    def _say(self, delay: float, action: Callable[[], object]) -> None:
        self._queue.put_nowait((self._heard.since + delay, action))

    async def _speak(self) -> None:
        """Does what is queued, when it is due."""
        while True:
            due, action = await self._queue.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            action()
            with contextlib.suppress(OSError):
                await self._connection.drain()

    def _send(self, said: Said) -> None:
        if said.kind == tape.RAW:
            self._write(said.data)
        elif said.kind == tape.TEXT:
            self._send_text(lead_to(self._host, said.data.decode("utf-8", "surrogatepass")))
        else:
            self._write(frame(KINDS[said.kind], said.data))

    def _send_text(self, text: str) -> None:
        show(self._exchange, text)
        self._write(frame(TEXT, text.encode("utf-8", "surrogatepass")))

    def _end(self, end: End) -> None:
        if end.how == tape.CLOSE:
            self._write(close_frame(end.code, end.reason))
            self._close_code = 1005 if end.code is None else end.code
        elif end.how == tape.RESET:
            self._connection.reset()
        else:
            self._connection.transport.close()

    async def _refuse(self, end: End) -> None:
        if self._player.speed is not None:
            await asyncio.sleep(end.delay / self._player.speed)
        if end.status is None:
            self._write(end.body)
        else:
            phrase = HTTPStatus(end.status).phrase if end.status in set(HTTPStatus) else "Refused"
            headers = [*end.headers, ("Content-Length", str(len(end.body))), ("Connection", "close")]
            head = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self._write(f"HTTP/1.1 {end.status} {phrase}\r\n{head}\r\n".encode() + end.body)
        if end.status is None and end.then == tape.RESET:
            with contextlib.suppress(OSError):
                await self._connection.drain()
            self._connection.reset()
        elif end.status is not None or end.then == tape.CUT:
            self._connection.transport.close()
        await self._connection.wait_closed()

    def _note_what_was_left(self) -> None:
        """Notes which exchange this was, if its client left in the same way as the recorded one."""
        heard = self._heard
        if heard.after in (OPEN, CONFIG):
            if self._mine is not None:
                taped = self._shelf[self._mine]
                if taped.end.how == tape.CLIENT and taped.end.cause.after == heard.after:
                    self._shelf.use(self._mine)
        elif self._claimed is None and heard.after == AUDIO:
            wanted = self._shelf.candidates(self, heard.config)
            broken_off = [at for at in wanted if not self._shelf[at].whole and _may_be(self._shelf[at], heard)]
            for at in broken_off[:1]:
                self._shelf.use(at)

    def _write(self, data: bytes) -> None:
        if not self._connection.transport.is_closing():
            self._connection.transport.write(data)


def _may_be(taped: tape.Taped, heard: Heard) -> bool:
    return not is_refuted(taped, heard)
