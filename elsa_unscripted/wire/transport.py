"""The WebSocketApp thread: its callbacks put events into a mailbox. The only module that imports `websocket`.

Made by `exchange.connector`, used by `exchange.conversation`.

`websocket-client` does the WebSocket: handshake, masking, frames. It doesn't connect, since nothing could bound that
(see `dial`), and reads and writes through a `Wire`, so that it never sees the token (see `wire`). All that is known
about its releases is here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import queue
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, TypeVar, Union
from urllib.parse import urlsplit

from ..config import Config
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError, ElsaError, ProtocolError, StreamClosedError
from ..files import OUT_OF_FILES, is_out_of_files
from ..imports import another_module, importing, not_imported
from ..log import logger
from ..mailbox import Mailbox
from ..signals import raised_by_handler
from ..threads import NoThreadError, start_thread
from .dial import KnownAddresses, Socket, find_proxy, port_of
from .messages import Closed, ConnectionEvent, Malformed, Message, Opened, describe, parse
from .wire import MessageTooLongError, Wire

if TYPE_CHECKING:
    import websocket

T = TypeVar("T")

NO_STATUS_RECEIVED = 1005  # RFC 6455, 7.4.1: a close frame without a code
ABNORMAL_CLOSURE = 1006  # RFC 6455, 7.4.1: no close frame


class Transport:
    """One connection: opens it, gives what happens on it to `put`, sends, closes.

    The thread's last event is always `Closed`. Any thread may send; one thread, always the same, closes and cuts.

    Attributes:
        opened_at: When the WebSocket was open, on the monotonic clock; 0 before.
        ended: Whether the connection is over, and `Closed` was put.
    """

    def __init__(
        self,
        config: Config,
        tls: Optional[ssl.SSLContext],
        put: Callable[[ConnectionEvent], None],
        deadline: Deadline,
        known: Optional[KnownAddresses] = None,
    ) -> None:
        """Makes a transport; `start()` starts its thread.

        Args:
            config: Where to, and with which token.
            tls: For `wss://`.
            put: Takes the events, in the transport's thread.
            deadline: For everything up to the open WebSocket.
            known: The addresses to begin with; what is learnt here is noted there.

        Raises:
            ConfigError: The environment's proxy is none, or `websocket-client` can't be used.
            ConnectError: Too many files are open.
        """
        _library()
        self._config = config
        self._tls = tls
        self._put = put
        self._deadline = deadline
        self._proxy = find_proxy(str(config.url), config.proxy)
        self._socket = Socket(deadline, known)
        self._wire: Optional[Wire] = None
        self._app: Optional[websocket.WebSocketApp] = None
        # The thread alone sets the next three; other threads read `opened_at`.
        self.opened_at = 0.0
        self._error: Optional[BaseException] = None
        self._close_frame: Optional[Tuple[int, str]] = None
        # No threading.Event: it is written in Python, and Ctrl-C at a bad moment would leave its lock taken.
        self.ended = False
        self._end: Mailbox[None] = Mailbox()  # wakes whoever waits for that
        # A daemon: a name look-up can't be ended, and must not keep the interpreter.
        self._thread = threading.Thread(target=self._run, name="elsa-websocket", daemon=True)

    def start(self) -> None:
        """Starts the thread.

        Raises:
            NoThreadError: It can't be started.
        """
        try:
            start_thread(self._thread)
        except NoThreadError:
            self._set_ended()
            raise

    @staticmethod
    def frame(message: Union[str, bytes]) -> bytes:
        """Returns a message as a text or binary frame. Its mask is random: a frame is sent once (RFC 6455, 5.3)."""
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
            Whether the whole frame has left. If not, call again with the same frame, until it has.

        Raises:
            StreamClosedError: The connection is over, or the deadline has passed.
        """
        return self._sending(Wire.send_now, frame)

    def bound_sending(self, deadline: Deadline) -> None:
        """Bounds each `send()` from now on, by a deadline that may be extended."""
        if self._wire is not None:
            self._wire.bound_sending(deadline)

    def close(self, timeout: float, *, listen: bool) -> bool:
        """Does the closing handshake with code 1000, if the peer lets us; cuts the connection; waits for the thread.

        Args:
            timeout: Seconds for the handshake. The thread gets up to half a second more to notice the cut.
            listen: Whether what the server says meanwhile still matters.

        Returns:
            Whether the thread has ended. If not, it is most likely in a name look-up, and ends after that.
        """
        deadline = Deadline(timeout)
        if self.opened_at and self._wire is not None and not self.ended:
            self._wire.bound_sending(Deadline(timeout / 2))  # the server may have stopped reading
            if self._app is not None and not listen:
                # Otherwise websocket-client 1.9 logs the server's answer, a normal close frame, as an error.
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

        A thread that is in a name look-up is not waited for: nothing can end it.
        """
        if self._wire is not None:
            self._wire.finish_reading()
        try:
            self._socket.shut_down()
        finally:
            self._wait(max(timeout, 0.5) if self._socket.dialled else 0.05)

    def abandon(self) -> None:
        """Closes the copy of the socket that a forked child has. The parent's connection goes on."""
        self._socket.abandon()

    def _wait(self, timeout: float) -> None:
        # The wait is for `_end`, and join() only for what is left of the thread then: up to Python 3.12, a thread
        # whose join() is interrupted by Ctrl-C counts as ended while it still runs.
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

    # The thread.

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
        logger.debug("< closed %d", code)
        # An error that is raised refers, by its traceback, to those who used this object, and to the frame of _run().
        # Neither keeps it, then: the caller's recording would stay in the circle until the garbage collector comes.
        error, self._error = self._error, None
        try:
            return Closed(code, reason, None if self._close_frame else self._translated(error))
        except Exception:  # noqa: BLE001 - a foreign error may fail in any way when it is asked what it says
            return Closed(code, reason, error)

    def _connect_and_read(self) -> None:
        url = str(self._config.url)
        parts = urlsplit(url)
        sock = self._socket.dial(
            str(parts.hostname), port_of(parts), self._proxy, self._tls if parts.scheme == "wss" else None
        )
        self._wire = Wire(sock, str(self._config.token), self._deadline, self._config.max_message_bytes)
        self._app = _library().WebSocketApp(
            url,
            socket=self._wire,
            on_open=self._on_open,
            on_message=self._on_message,
            on_ping=self._on_control_frame,
            on_pong=self._on_control_frame,
            on_error=self._on_error,
            on_close=self._on_close,
        )
        # websocket-client validates UTF-8 in pure Python, 170 ms for 460 KB. parse() decodes it, and so validates it.
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

    def _on_control_frame(self, app: websocket.WebSocketApp, data: Union[str, bytes]) -> None:
        if self._wire is not None:
            self._wire.discount_control_frame(len(data))

    def _on_message(self, app: websocket.WebSocketApp, data: Union[str, bytes]) -> None:
        assert self._wire is not None
        self._wire.message_ended()
        event: ConnectionEvent
        try:
            event = self._parse(data.encode() if isinstance(data, str) else data)
        except ProtocolError as error:
            event = Malformed(error.with_traceback(None))  # which refers to this frame, and so to the event
        logger.debug("< %s [%d bytes]", describe(event), len(data))
        self._put(event)

    def _parse(self, data: bytes) -> Message:
        """Parses a message, and masks the token where `recv()` couldn't: when it came in two frames, or escaped."""
        assert self._wire is not None
        data = self._wire.mask.masked(data)
        message = parse(data)
        if b"\\" in data and self._wire.mask.may_hold_token(data):
            plain = json.dumps(message.raw, ensure_ascii=False).encode("utf-8", "surrogatepass")
            masked = self._wire.mask.masked(plain)
            if masked != plain:
                return parse(masked.decode("utf-8", "surrogatepass"))
        return message

    def _on_error(self, app: websocket.WebSocketApp, error: Any) -> None:
        if isinstance(error, _library().ABNF):  # 1.9.0 tells the server's close frame here, and nowhere else
            self._close_frame = _read_close_frame(error.data)
            return
        self._error = self._error or error
        if self._wire is not None:
            self._wire.finish_reading()

    def _on_close(self, app: websocket.WebSocketApp, code: Optional[int], reason: Optional[str]) -> None:
        # 1.8 tells a close frame here, and nowhere else; 1.9.1 and later also as an error, which has a status_code.
        told = isinstance(self._error, _library().WebSocketException) and hasattr(self._error, "status_code")
        if self.opened_at and self._close_frame is None and (self._error is None or told):
            self._close_frame = (code or NO_STATUS_RECEIVED, reason or "")

    def _translated(self, error: Optional[BaseException]) -> Optional[BaseException]:
        """Returns our error for a foreign one; nowhere else is one translated."""
        if isinstance(error, ElsaError):
            return error
        if not self.opened_at:
            parts = urlsplit(str(self._config.url))
            through = f" through the proxy {self._proxy.hostname}" if self._proxy else ""
            ours: ElsaError = ConnectError(_why_not_connected(error, f"{parts.hostname}:{port_of(parts)}{through}"))
        elif _is_foul(error):
            ours = ProtocolError(f"the server broke the WebSocket protocol ({error}); tell the vendor")
        elif is_out_of_files(error):
            ours = StreamClosedError(f"the connection can't be read: {OUT_OF_FILES}", code=ABNORMAL_CLOSURE)
        else:
            return error
        ours.__cause__ = error
        return ours


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


@functools.cache  # not with `import` above: what is wrong with it is an error of `score()`
def _library() -> Any:
    """Returns the module `websocket`.

    Raises:
        ConfigError: It can't be imported, or is another one.
        ConnectError: Too many files are open.
    """
    try:
        with importing():
            import websocket
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if is_out_of_files(error):
            raise ConnectError(not_imported("websocket", error, REPAIR)) from error
        raise ConfigError(not_imported("websocket", error, REPAIR)) from error
    if not all(hasattr(websocket, name) for name in NEEDED):
        raise ConfigError(another_module(websocket, "websocket", REPAIR))
    return websocket


def _frame(payload: Union[str, bytes], opcode: int) -> bytes:
    frame: bytes = _library().ABNF.create_frame(payload, opcode).format()
    return frame


def _read_close_frame(data: Any) -> Tuple[int, str]:
    return int.from_bytes(data[:2], "big") or NO_STATUS_RECEIVED, data[2:].decode("utf-8", "replace")


def _is_foul(error: Optional[BaseException]) -> bool:
    library = _library()
    foul = (library.WebSocketProtocolException, library.WebSocketPayloadException, MessageTooLongError)
    # A close frame with an invalid code ends the connection like any other.
    return isinstance(error, foul) and "Invalid close" not in str(error)


def _why_not_connected(error: Optional[BaseException], place: str) -> str:
    """Returns what to tell for what DNS, TCP, TLS or websocket-client raised before the WebSocket was open."""
    if is_out_of_files(error):
        return f"could not connect to {place}: {OUT_OF_FILES}"
    if isinstance(error, socket.gaierror):
        return f"could not find {place} ({error.strerror}); check the host name and the network"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {place} is not trusted ({error.verify_message}); for a private CA set ca_bundle"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {place} failed ({error.reason or error}); check the port, and wss against ws"
    if isinstance(error, (TimeoutError, socket.timeout, _library().WebSocketTimeoutException)):
        return f"timed out connecting to {place}; check the network, or raise connect_timeout"
    if isinstance(error, ConnectionRefusedError):
        return f"{place} refused the connection; check host and port, and that the server runs"
    if isinstance(error, OSError):
        return f"could not connect to {place} ({error.strerror or error}); check the network"
    if isinstance(error, _library().WebSocketException):
        return f"{place} did not answer as a WebSocket server ({error}); check the url"
    return f"could not connect to {place} ({type(error).__name__}: {error}); check the url"
