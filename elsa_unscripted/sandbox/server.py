"""`Sandbox`: the server, with its thread and the exchanges that it keeps. For tests, demos and `cli.sandbox`."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # now: else a fork while asyncio imports it late would lock it for ever in the child
import functools
import json
import logging
import socket
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Callable
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .call import Assess, Call, hold
from .connection import MAX_MESSAGE_BYTES, Connection
from .exchange import Exchange
from .pages import PATH, find, page
from .rules import AUTHORIZATION
from .scenarios import Choice, choose
from .tape.deck import PathLike, put_in
from .tape.recorder import Recorder

KEEP = 1000  # exchanges; one with 25 s of speech takes 0.8 MB
START_SECONDS = 10.0  # s: for the thread to begin serving; it takes milliseconds
CLOSE_SECONDS = 5.0  # s: for all of `close`
GOODBYE_SECONDS = 0.3  # s: for clients to answer the close frame when the sandbox closes; then TCP is cut
HANDSHAKE_SECONDS = 2.0  # s: for a client to answer the close frame in an exchange
ACCEPT_TURNS = 3  # turns of asyncio's loop from accept() to `Connection.connection_made()`
PATIENCE_SECONDS = 3600.0  # s: no connection is held longer
BACKLOG = 1024  # clients that connect in the same moment
TOKEN_PREFIX = "sandbox:"

logger = logging.getLogger("elsa_unscripted.sandbox")

# Kept silent, whatever level the application sets: at DEBUG, websockets logs the request's headers, with the token.
_wire_logger = logging.getLogger("elsa_unscripted.sandbox.websockets")
_wire_logger.setLevel(logging.CRITICAL)


class Sandbox:
    """A server that speaks the unscripted streaming protocol, strictly, in a thread of its own.

        with Sandbox("failed=too noisy") as sandbox:
            ...  # connect to sandbox.url

    A token `sandbox:NAME[=VALUE]` gets the scenario of that name; every other token gets the sandbox's own. The
    scenario `greeting-off=NAME[=VALUE]` is any scenario, without the greeting.

    Args:
        scenario: What to do, as `NAME` or `NAME=VALUE`; `SCENARIOS` has the names.
        host: Where to listen; loopback unless told otherwise.
        port: Where to listen; 0 takes a free one.
        greeting: Whether to send a greeting first, as ELSA's documentation shows. The vendor's own script hangs up on
            it. Without it, the sandbox takes all that this script sends: any plan, and half a frame at the end.
        assessment: What each success gives as its assessment, whatever the scenario: an object for JSON; or a callable
            that gets the `Exchange`, in a thread of its own, and returns such an object, or `None` for the scenario's.
        on_exchange: Called with each exchange that has ended, in the sandbox's thread.
        keep: How many exchanges to keep; the oldest go first.
        record: A tape to record on: exchanges are passed on to the real service, and what was said is added to it.
        replay: A tape to replay, without any network. With a tape, there is no scenario.
        upstream: The real service to record from, `wss://…`; the vendor's if not given. `ws://` to this machine alone.
        mode: `"none"`, to replay alone; `"once"`, to record if there is no tape; `"all"`, to record anew.
        keep_audio: Whether to record the audio, too.
        strict: Whether a recorded exchange is replayed once only. If not, the last of a recording is replayed again.
        speed: How fast a tape is replayed: 1.0 is as recorded, `None` at once.

    Attributes:
        handshakes: How many WebSocket handshakes were asked for, refused ones included.

    Raises:
        ValueError: There is no such scenario; the message lists them. Or the options for a tape can't be; or there is
            no tape, or it is none (`TapeError`).
        TypeError: The assessment is neither a callable, nor an object that JSON can hold.
    """

    def __init__(
        self,
        scenario: str = "success",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        greeting: bool = True,
        assessment: Mapping[str, Any] | Callable[[Exchange], Mapping[str, Any] | None] | None = None,
        on_exchange: Callable[[Exchange], object] | None = None,
        keep: int = KEEP,
        record: PathLike | None = None,
        replay: PathLike | None = None,
        upstream: str | None = None,
        mode: str | None = None,
        keep_audio: bool = False,
        strict: bool = False,
        speed: float | None = None,
    ) -> None:
        self.handshakes = 0
        self._choice = choose(scenario)
        self._host = host
        self._port = port
        self._greeting = greeting
        self._assess = _assess(assessment)
        self._on_exchange = on_exchange
        self._keep = keep
        self._exchanges: list[Exchange] = []
        self._connections: set[Connection] = set()
        self._tokens_seen: set[str] = set()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self._deck = put_in(
            record=record,
            replay=replay,
            upstream=upstream,
            mode=mode,
            keep_audio=keep_audio,
            strict=strict,
            speed=speed,
            opened=self._keep_exchange,
            finished=self._finish,
        )
        if self._deck is not None and (scenario != "success" or assessment is not None):
            raise ValueError("with a tape there is no scenario and no assessment: the tape has the answers")

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begins to serve.

        Raises:
            OSError: The port is taken, or the host isn't this machine's.
            RuntimeError: It is serving already.
        """
        if self._thread is not None:
            raise RuntimeError("this sandbox was started already")
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        self._port = listener.getsockname()[1]
        ready: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(listener, ready), name="elsa-sandbox", daemon=True)
        self._thread.start()
        try:
            self._stop = ready.result(START_SECONDS)
        except BaseException:
            self.close()
            raise
        logger.info("serving at %s", self.url)

    def close(self) -> None:
        """Ends every connection and the thread, within 5 s, usually at once. Does nothing the second time."""
        if self._thread is None:
            return
        self._stop()
        self._thread.join(CLOSE_SECONDS)
        self._thread = None

    @property
    def url(self) -> str:
        """The WebSocket's address."""
        return f"ws://{self._authority}{PATH}"

    @property
    def port(self) -> int:
        """Where it listens; 0 before the start, if none was asked for."""
        return self._port

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange whose handshake was accepted, the newest last, live ones included."""
        return tuple(self._exchanges)

    @property
    def records(self) -> bool:
        """Whether it passes exchanges on to the real service, and records them."""
        return isinstance(self._deck, Recorder)

    @property
    def unplayed(self) -> tuple[str, ...]:
        """What is on the tape that is replayed, and was not asked for: each exchange, in words."""
        return self._deck.unplayed if self._deck is not None else ()

    @property
    def _authority(self) -> str:
        # A wildcard address can't be connected to.
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    def _run(self, listener: socket.socket, ready: concurrent.futures.Future[Callable[[], object]]) -> None:
        with listener:
            try:
                asyncio.run(self._serve(listener, ready))
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)

    async def _serve(self, listener: socket.socket, ready: concurrent.futures.Future[Callable[[], object]]) -> None:
        stop = asyncio.Event()
        server = await serve(
            self._handle,
            sock=listener,
            backlog=BACKLOG,
            create_connection=functools.partial(Connection, self._connections),  # type: ignore[arg-type]
            process_request=self._process_request,
            process_response=self._process_response,
            compression=None,
            open_timeout=PATIENCE_SECONDS,
            close_timeout=HANDSHAKE_SECONDS,
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            # Scenarios alone decide when reading stops.
            max_queue=None,
            logger=_wire_logger,
        )
        ready.set_result(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
        await stop.wait()
        # Accept no more, and wait for what was accepted: a socket that asyncio has accepted, but not yet given to a
        # `Connection`, is never closed if the server closes now (seen on 3.11).
        with suppress(NotImplementedError):  # on Windows, where clients may still connect
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        server.close()
        closed = asyncio.ensure_future(server.wait_closed())
        await asyncio.wait({closed}, timeout=GOODBYE_SECONDS)
        await asyncio.gather(*(connection.cut() for connection in tuple(self._connections)))
        await asyncio.wait({closed}, timeout=CLOSE_SECONDS / 2)

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path != PATH:
            return find(path, self.exchanges) if self._deck is None else await self._deck.find(path)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return page(426, "This is the address of a WebSocket.", Upgrade="websocket")
        self.handshakes += 1
        if self._deck is not None:
            assert isinstance(connection, Connection)
            return await self._deck.hold(connection, request, self._host_for(request))
        token = _token(request)
        if token is None:
            return page(401, "Authorization must be: ELSA <token>", WWW_Authenticate="ELSA")
        try:
            choice = self._choose(token)
        except ValueError as error:
            return page(400, str(error))
        first = token not in self._tokens_seen
        self._tokens_seen.add(token)
        if choice.scenario.gate is None:
            return None
        assert isinstance(connection, Connection)
        return await choice.scenario.gate(connection, choice.value, first)

    def _process_response(self, connection: ServerConnection, request: Request, response: Response) -> None:
        # Here, and not in `_handle`, so that `exchanges` has it before the client knows that it is connected.
        if response.status_code == 101:
            assert isinstance(connection, Connection)
            name = self._choose(_token(request)).name
            connection.exchange = Exchange(str(uuid.uuid4()), name, request.headers)
            self._keep_exchange(connection.exchange)

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert connection.exchange is not None
        assert connection.request is not None
        exchange, request = connection.exchange, connection.request
        choice = self._choose(_token(request))
        links = f"http://{self._host_for(request)}"
        call = Call(connection, exchange, links, self._greeting and choice.greeting, self._assess)
        try:
            await asyncio.wait_for(hold(call, choice.scenario.script, choice.value), PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            await connection.cut()
        except Exception:
            logger.exception("the scenario %s went wrong", choice.name)
            await connection.cut()
        finally:
            if connection.refused_length:
                exchange.breach = f"a message longer than {MAX_MESSAGE_BYTES} bytes"
            self._finish(exchange, connection.close_code)

    def _host_for(self, request: Request) -> str:
        """Returns the name that the client has for this machine, so that the links work where the client is."""
        return next(iter(request.headers.get_all("Host")), self._authority)

    def _keep_exchange(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)
        del self._exchanges[: -self._keep]

    def _finish(self, exchange: Exchange, close_code: int | None) -> None:
        exchange.finish(close_code)
        logger.info("%s: %.1f s of audio, closed with %s", exchange.scenario, exchange.seconds, close_code)
        if self._on_exchange is None:
            return
        try:
            self._on_exchange(exchange)
        except Exception:
            logger.exception("on_exchange went wrong")

    def _choose(self, token: str | None) -> Choice:
        if token is not None and token.startswith(TOKEN_PREFIX):
            return choose(token[len(TOKEN_PREFIX) :])
        return self._choice


def _assess(given: Any) -> Assess:
    """Returns a function that returns a copy of the given assessment, or of what the given callable returns."""
    if not callable(given):
        kept = _plain(given)
        return lambda _: kept
    return lambda exchange: _plain(given(exchange))


def _plain(assessment: Any) -> dict[str, Any] | None:
    if assessment is None:
        return None
    if not isinstance(assessment, Mapping):
        raise TypeError(f"the assessment must be an object, as a mapping, not {type(assessment).__name__}")
    copy: dict[str, Any] = json.loads(json.dumps(dict(assessment)))
    return copy


def _token(request: Request) -> str | None:
    values: list[Any] = request.headers.get_all("Authorization")
    match = AUTHORIZATION.fullmatch(values[0]) if len(values) == 1 else None
    return match and match[1]
