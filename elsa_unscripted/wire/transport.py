"""`Transport`: one WebSocket connection in a thread of its own, which puts events into a mailbox.

`exchange.connector` makes and starts it; `exchange.conversation` sends, closes and cuts.

This is the only module that imports `websocket` (the package `websocket-client`), and the place for all differences
between its releases. `websocket-client` does the WebSocket handshake, masking and frames. It doesn't connect, since
nobody could bound that (see `dial`). It reads and writes through a `Wire`, so that it never sees the token.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, TypeVar, Union
from urllib.parse import urlsplit

from ..config import Config, ascii_url
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError, ElsaError, ProtocolError, StreamClosedError
from ..files import is_out_of_files
from ..imports import another_module, imported, not_imported
from ..log import Log, logger, quiet
from ..mailbox import Mailbox
from ..quoting import cut
from ..signals import raised_by_handler
from ..threads import NoThreadError, start_thread
from .causes import explain
from .dial import KnownAddresses, Socket, find_proxy, port_of
from .frames import MessageTooLongError
from .messages import Closed, ConnectionEvent, Malformed, Message, Opened, Status, describe, parse
from .wire import Wire

if TYPE_CHECKING:
    import websocket

T = TypeVar("T")

THREAD_NAME = "elsa-websocket"
NO_STATUS_RECEIVED = 1005  # RFC 6455, 7.4.1: a close frame without a code
ABNORMAL_CLOSURE = 1006  # RFC 6455, 7.4.1: no close frame


class Transport:
    """One connection: opens it, gives its events to `put`, sends, closes.

    The last event is always `Closed`. Any thread may send; one thread, always the same, closes and cuts.

    Attributes:
        opened_at: When the WebSocket was opened, on the monotonic clock; 0 before.
        ended: Whether the transport's thread has put its last event, or could not be started.
    """

    def __init__(
        self,
        config: Config,
        tls: Optional[ssl.SSLContext],
        put: Callable[[ConnectionEvent], None],
        deadline: Deadline,
        known: Optional[KnownAddresses] = None,
        log: Log = logger,
    ) -> None:
        """Makes a transport; `start()` starts its thread.

        Args:
            config: Where to connect, and with which token.
            tls: For `wss://`.
            put: Takes the events, in the transport's thread.
            deadline: For everything up to the open WebSocket.
            known: The addresses to try first; the one that works is noted there.
            log: Where messages are told; it gets the stream id as soon as the server gives one.

        Raises:
            ConfigError: The environment's proxy can't be used, or `websocket-client` can't.
            ConnectError: Too many files are open.
        """
        _library()
        self._config = config
        self._tls = tls
        self._put = put
        self._deadline = deadline
        self._proxy = find_proxy(str(config.url), config.proxy)
        self._log = log
        self._socket = Socket(deadline, known, log)
        self._wire: Optional[Wire] = None
        self._app: Optional[websocket.WebSocketApp] = None
        # Only the transport's thread sets the next three; other threads read `opened_at`.
        self.opened_at = 0.0
        self._error: Optional[BaseException] = None
        self._close_frame: Optional[Tuple[int, str]] = None
        # Not a threading.Event: it is written in Python, and Ctrl-C at a bad moment would leave its lock taken.
        self.ended = False
        self._end: Mailbox[None] = Mailbox()  # wakes `_wait()`
        # A daemon: a name look-up can't be ended, and must not keep the interpreter from exiting.
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Starts the thread.

        Raises:
            NoThreadError: The thread can't be started.
        """
        try:
            start_thread(self._thread)
        except NoThreadError:
            self._set_ended()
            raise

    @staticmethod
    def frame(message: Union[str, bytes]) -> bytes:
        """Returns a message as a text or binary frame, to be sent once: its mask must be new (RFC 6455, 5.3)."""
        kinds = _library().ABNF
        return _frame(message, kinds.OPCODE_TEXT if isinstance(message, str) else kinds.OPCODE_BINARY)

    def send(self, frame: bytes) -> None:
        """Sends a frame; blocks while the connection takes no more.

        Raises:
            StreamClosedError: The connection is over.
        """
        self._sending(Wire.send_frame, frame)

    def send_now(self, frame: bytes) -> bool:
        """Sends what the connection takes of a frame without waiting.

        Returns:
            Whether the whole frame was sent. If not, call again with the same frame, until it was.

        Raises:
            StreamClosedError: The connection is over, or the deadline has passed.
        """
        return self._sending(Wire.send_now, frame)

    def bound_sending(self, deadline: Deadline) -> None:
        """Sets the deadline for each `send()` and `send_now()` from now on. It may be extended later."""
        if self._wire is not None:
            self._wire.bound_sending(deadline)

    def close(self, timeout: float, *, listen: bool) -> bool:
        """Does the closing handshake with code 1000, if possible; cuts the connection; waits for the thread.

        Args:
            timeout: Seconds for the handshake. After it, the thread gets up to half a second to notice the cut.
            listen: Whether messages that the server sends meanwhile still matter.

        Returns:
            Whether the thread has ended. If not, it is most likely in a name look-up, and ends after that.
        """
        deadline = Deadline(timeout)
        if self.opened_at and self._wire is not None and not self.ended:
            self._wire.bound_sending(Deadline(timeout / 2))  # half, since the server may have stopped reading
            if self._app is not None and not listen:
                # Without this, websocket-client 1.9 logs the server's close frame, a normal answer, as an error.
                self._app.keep_running = False
            try:
                self.send(_frame(struct.pack("!H", _library().STATUS_NORMAL), _library().ABNF.OPCODE_CLOSE))
                stuck = False
            except StreamClosedError as error:
                stuck = isinstance(error.__cause__, TimeoutError)
            if not stuck:
                self._wait(deadline.remaining())
        self.cut(deadline.remaining())
        return self.ended

    def cut(self, timeout: float = 0.0) -> None:
        """Ends the connection without a handshake; waits for the thread, half a second or `timeout` if that is longer.

        If the thread is in a name look-up, which nothing can end, this waits only 0.05 s.
        """
        if self.ended:  # the thread has closed the socket, or never started
            self._wait(0.0)
            return
        if self._wire is not None:
            self._wire.finish_reading()
        try:
            self._socket.shut_down()
        finally:
            self._wait(max(timeout, 0.5) if self._socket.dialled else 0.05)

    def abandon(self) -> None:
        """Closes a forked child's copy of the socket. The parent's connection goes on."""
        self._socket.abandon()

    def _wait(self, timeout: float) -> None:
        # Wait for `_end` first, and join only a thread that is about to end: up to Python 3.12, if Ctrl-C interrupts
        # join(), the thread counts as ended while it still runs.
        if not self.ended:
            with contextlib.suppress(queue.Empty):
                self._end.get(timeout=timeout)
        if self.ended and self._thread.ident is not None:
            self._thread.join(0.5)

    def _set_ended(self) -> None:
        self.ended = True
        self._end.put(None)

    def _sending(self, call: Callable[..., T], *arguments: object) -> T:
        try:
            if not self.opened_at or self._wire is None:
                raise ConnectionError("not open")
            return call(self._wire, *arguments)
        except OSError as error:
            if raised_by_handler(error):
                raise
            raise StreamClosedError("the connection broke while sending", code=ABNORMAL_CLOSURE) from error

    # In the transport's thread.

    def _run(self) -> None:
        for step in (self._connect_and_read, self._release):
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - delivered as the last event, whatever it is
                self._error = self._error or error
        try:
            self._put(self._last_event())
        finally:
            self._set_ended()

    def _last_event(self) -> Closed:
        code, reason = self._close_frame or (ABNORMAL_CLOSURE, "")
        silence = self._wire.silence if self._wire is not None else 0.0
        self._log.debug("< closed %d", code)
        # Don't keep the error: its traceback refers to the frame of _run(), and so to this object. Such a circle would
        # keep the caller's recording until the garbage collector comes.
        error, self._error = self._error, None
        try:
            return Closed(code, reason, None if self._close_frame else self._translated(error), silence)
        except Exception:  # noqa: BLE001 - a foreign error's __str__() may fail in any way
            return Closed(code, reason, error, silence)

    def _connect_and_read(self) -> None:
        url = ascii_url(str(self._config.url))
        parts = urlsplit(url)
        sock = self._socket.dial(str(parts.hostname), port_of(parts), self._proxy, self._tls, self._config.ca_bundle)
        self._wire = Wire(sock, str(self._config.token), self._deadline, self._config.max_message_bytes)
        self._app = _library().WebSocketApp(
            url,
            socket=self._wire,
            on_open=self._on_open,
            on_message=self._on_message,
            on_error=self._on_error,
            on_close=self._on_close,
        )
        _wait_by_wire(self._app, self._wire, self._config.ping_interval)
        # websocket-client validates UTF-8 in pure Python, 170 ms for 460 KB. parse() validates it anyway, by decoding.
        self._app.run_forever(skip_utf8_validation=True)

    def _release(self) -> None:
        try:
            if not self.opened_at:
                self._socket.failed()
            if self._wire is not None:
                self._wire.flush(self._config.close_timeout / 2)
        finally:
            try:
                self._socket.shut_down()
            finally:
                with self._wire.idle() if self._wire is not None else contextlib.nullcontext():
                    self._socket.close()

    def _on_open(self, app: websocket.WebSocketApp) -> None:
        self.opened_at = time.monotonic()
        self._socket.worked()
        self._put(Opened())

    def _on_message(self, app: websocket.WebSocketApp, data: Union[str, bytes]) -> None:
        event: ConnectionEvent
        try:
            event = self._parse(data.encode() if isinstance(data, str) else data)
        except ProtocolError as error:
            event = Malformed(error.with_traceback(None))  # else a circle: its traceback refers to this frame
        if isinstance(event, Status) and self._log.stream_id is None:
            self._log.stream_id = event.stream_id
        self._log.debug("< %s [%d bytes]", describe(event), len(data))
        self._put(event)

    def _parse(self, data: bytes) -> Message:
        """Parses a message, and masks a token that `recv()` couldn't: in two frames, or in two parts."""
        assert self._wire is not None
        return parse(self._wire.mask.masked(data))

    def _on_error(self, app: websocket.WebSocketApp, error: Any) -> None:
        if isinstance(error, _library().ABNF):  # websocket-client 1.9.0 reports the close frame only here
            self._close_frame = _read_close_frame(error.data)
            return
        self._error = self._error or error
        if self._wire is not None:
            self._wire.finish_reading()

    def _on_close(self, app: websocket.WebSocketApp, code: Optional[int], reason: Optional[str]) -> None:
        # websocket-client 1.8 reports the close frame only here; 1.9.1 and later also to _on_error(), as an exception
        # with a `status_code`.
        told = isinstance(self._error, _library().WebSocketException) and hasattr(self._error, "status_code")
        if self.opened_at and self._close_frame is None and (self._error is None or told):
            self._close_frame = (code or NO_STATUS_RECEIVED, reason or "")

    def _translated(self, error: Optional[BaseException]) -> Optional[BaseException]:
        """Returns our error for a foreign one. Errors of the connection are translated only here."""
        if isinstance(error, ElsaError):
            return error
        if not self.opened_at:
            parts = urlsplit(str(self._config.url))
            through = f" through the proxy {self._proxy.hostname}" if self._proxy else ""
            ours: ElsaError = ConnectError(_why_not_connected(error, f"{parts.hostname}:{port_of(parts)}{through}"))
        elif _is_foul(error):
            ours = ProtocolError(f"the server broke the WebSocket protocol ({cut(str(error))}); tell the vendor")
        else:
            return error
        ours.__cause__ = error
        return ours


def _wait_by_wire(app: websocket.WebSocketApp, wire: Wire, interval: Optional[float]) -> None:
    """Makes an app wait for what comes by `Wire.wait_for_data()`, which sends pings, and pongs that had to wait.

    websocket-client knows of no pong that had to wait. It could send pings by itself, but from one thread more, which
    it starts and joins as it likes.
    """
    make = app.create_dispatcher

    def read(sock: object, read_next: Callable[[], bool], check: object) -> None:
        while app.keep_running:
            has_data = wire.wait_for_data(interval, lambda: _frame(b"", _library().ABNF.OPCODE_PING))
            if has_data and not read_next():
                break

    def make_dispatcher(*arguments: Any, **options: Any) -> Any:
        dispatcher = make(*arguments, **options)
        dispatcher.read = read  # type: ignore[method-assign, assignment]
        return dispatcher

    app.create_dispatcher = make_dispatcher  # type: ignore[method-assign]


NEEDED = (
    "ABNF",
    "STATUS_NORMAL",
    "WebSocketApp",
    "WebSocketException",
    "WebSocketPayloadException",
    "WebSocketProtocolException",
    "WebSocketTimeoutException",
)
REPAIR = "pip uninstall websocket websocket-client, and pip install websocket-client"


@functools.cache  # imported late: if that fails, score() raises it, and `import elsa_unscripted` still works
def _library() -> Any:
    """Returns the module `websocket`.

    Raises:
        ConfigError: It can't be imported, or another module has its name.
        ConnectError: Too many files are open.
    """
    try:
        websocket = imported("websocket")
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if is_out_of_files(error):
            raise ConnectError(not_imported("websocket", error, REPAIR)) from error
        raise ConfigError(not_imported("websocket", error, REPAIR)) from error
    if not all(hasattr(websocket, name) for name in NEEDED):
        raise ConfigError(another_module(websocket, "websocket", REPAIR))
    quiet("websocket", THREAD_NAME)
    return websocket


def _frame(payload: Union[str, bytes], opcode: int) -> bytes:
    frame: bytes = _library().ABNF.create_frame(payload, opcode).format()
    return frame


def _read_close_frame(data: Any) -> Tuple[int, str]:
    return int.from_bytes(data[:2], "big") or NO_STATUS_RECEIVED, data[2:].decode("utf-8", "replace")


def _is_foul(error: Optional[BaseException]) -> bool:
    library = _library()
    foul = (library.WebSocketProtocolException, library.WebSocketPayloadException, MessageTooLongError)
    # Not a breach here: a close frame with an invalid code ends the connection like any other close frame.
    return isinstance(error, foul) and "Invalid close" not in str(error)


def _why_not_connected(error: Optional[BaseException], place: str) -> str:
    """Returns the message for an error of the handshake: before the WebSocket was open."""
    if isinstance(error, _library().WebSocketTimeoutException):
        error = TimeoutError("timed out")
    elif isinstance(error, _library().WebSocketException):
        return f"{place} did not answer as a WebSocket server ({cut(str(error))}); check the url"
    return explain(error, place)
