"""`Connector`: opens the connection of one exchange, in one or more attempts, within `connect_timeout`.

`client` makes it, and has `connect_early()` called while the audio is being decoded; `conversation` calls `connect()`
after that. Both run in the caller's thread.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import time
from typing import Callable, Iterator, Optional
from urllib.parse import urlsplit

from ..config import DEFAULT_URL, Config
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError
from ..log import Log, logger
from ..mailbox import Mailbox
from ..threads import NoThreadError
from ..wire.dial import KnownAddresses
from ..wire.messages import Closed, ConnectionEvent, Info, Status
from ..wire.transport import Transport
from .events import Cancelled, Event, SenderEvent
from .retry import wait_before_retry

# Of events that wait in the mailbox. At these bounds, the transport's thread waits for room. A waiting message takes
# several times as much memory as it has characters.
MAX_WAITING_EVENTS = 1000
MAX_WAITING_CHARACTERS = 2 * 2**20
ALIKE = 0.8  # from 0 to 1: how much a URL's path must be like the usual one to be taken for a slip of it
SHORTEST_IDLING = 1.0  # s; a server that closes an unused connection sooner than this refuses it


class Connection:
    """One attempt to connect, and the connection that it opens: a transport, and the mailbox for its events.

    Attributes:
        transport: Its thread puts events into the mailbox, and `Closed` as the last one.
        ending: Whether the connection is being shut down: then the transport's thread never waits for room in the
            mailbox.
    """

    def __init__(
        self,
        config: Config,
        tls: Optional[ssl.SSLContext],
        deadline: Deadline,
        addresses: KnownAddresses,
        log: Log = logger,
    ) -> None:
        """Makes a connection; the caller starts its transport.

        Args:
            config: Where to connect, and with which token.
            tls: For `wss://`.
            deadline: For everything up to the open WebSocket.
            addresses: The addresses that worked last, which are tried first.
            log: Of the exchange.
        """
        self.transport = Transport(config, tls, self._hear, deadline, addresses, log)
        self.ending = False
        self._mailbox: Mailbox[Optional[Event]] = Mailbox()  # `None` only wakes the thread that waits
        # Characters of the messages put in, and of those taken out. Each number is written by one thread only.
        self._characters_in = self._characters_out = 0
        self._cancelled = False
        self._gave_result = False  # written by the transport's thread

    def put(self, event: SenderEvent) -> None:
        """Puts an event of the sender into the mailbox, from any thread; never waits."""
        self._mailbox.put(event)

    def _hear(self, event: ConnectionEvent) -> None:
        """Puts an event of the transport into the mailbox, in the transport's thread.

        While the mailbox is full, because the caller's thread is in a slow callback, this waits: so memory is bounded.
        Once the connection is being shut down, only a verdict matters.
        """
        if self.ending and isinstance(event, (Status, Info)) and not (isinstance(event, Status) and event.is_verdict):
            return
        self._gave_result = self._gave_result or (isinstance(event, Status) and event.status == "success")
        self._characters_in += _characters(event)
        self._mailbox.put(event)
        while self._is_full() and not self.ending:
            time.sleep(0.01)

    def _is_full(self) -> bool:
        waiting = self._characters_in - self._characters_out
        return len(self._mailbox) > MAX_WAITING_EVENTS or (waiting > MAX_WAITING_CHARACTERS and len(self._mailbox) > 0)

    def cancel(self) -> None:
        """Makes `take()` return `Cancelled` from now on; any thread may call this."""
        self._cancelled = True
        self._mailbox.put(None)

    def take(self, timeout: float) -> Event:
        """Takes the next event; waits for one, `timeout` seconds at most. A cancellation overtakes all other events.

        Raises:
            queue.Empty: No event came in time.
        """
        event = None if self._cancelled else self._mailbox.get(timeout)
        self._characters_out += _characters(event)
        return Cancelled() if event is None or self._cancelled else event

    @property
    def has_event(self) -> bool:
        """Whether `take()` would return at once."""
        return self._cancelled or bool(self._mailbox)

    def take_the_rest(self) -> Iterator[Event]:
        """Yields the events that are in the mailbox, without waiting."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._mailbox.get_nowait()
                if event is not None:
                    yield event

    def idled_out(self) -> bool:
        """Returns whether the server closed the connection because nobody used it for a while.

        A connection on which a result came doesn't count: that result is taken.
        """
        transport = self.transport
        if not transport.ended or not transport.opened_at or self._gave_result:
            return False
        # A connection that is closed sooner was most likely refused: the caller must hear of that.
        return time.monotonic() - transport.opened_at >= SHORTEST_IDLING


def _characters(event: Optional[Event]) -> int:
    return len(event.text) if isinstance(event, (Status, Info)) else 0


class Connector:
    """Makes one connection after the other until one opens. Only `cancel()` may be called from other threads.

    Attributes:
        connection: The newest connection; `None` before the first.
    """

    def __init__(
        self,
        config: Config,
        tls_context: Callable[[], Optional[ssl.SSLContext]],
        addresses: KnownAddresses,
        log: Log = logger,
    ) -> None:
        """Makes a connector.

        Args:
            config: Where to connect, with which token, how often and for how long.
            tls_context: Returns what `wss://` needs; called for each connection; may raise `ConfigError` or
                `ConnectError`.
            addresses: The addresses that worked last, shared by all exchanges of a client.
            log: Of the exchange.
        """
        self._log = log
        self._config = config
        self._tls_context = tls_context
        self._addresses = addresses
        self._cancelled = False
        self._deadline = Deadline(0)  # for all attempts together; set when the first one starts
        self._began = 0.0  # when the first attempt started, on the monotonic clock
        self.connection: Optional[Connection] = None

    def cancel(self) -> None:
        """Cancels the exchange, even before its first connection is made; any thread may call this."""
        self._cancelled = True
        connection = self.connection
        if connection is not None:
            connection.cancel()

    def connect_early(self) -> None:
        """Begins to connect while the audio is being decoded. A wrong option raises later, in `connect()`."""
        if self.connection is None:
            with contextlib.suppress(ConfigError, ConnectError):
                self._start()

    def connect(self) -> Event:
        """Opens the WebSocket. This is the only step that is tried again, since nothing is metered yet.

        Returns:
            `Opened`, `Cancelled`, or the `Closed` of the last attempt, with the error.

        Raises:
            ConfigError: An option that is only checked now is wrong: `ca_bundle`, or the environment's proxy; or
                `websocket-client` can't be used.
            ConnectError: No thread could be started, or too many files are open.
        """
        connection = self._early_connection()
        attempt = 0
        while True:
            connection = connection or self._start()
            event = self._outcome(connection)
            if not isinstance(event, Closed) or not isinstance(event.error, ConnectError):
                return event
            wait = wait_before_retry(event.error, attempt)
            if wait is None or wait >= self._deadline.remaining() or attempt >= self._config.connect_retries:
                _name_url(event.error, str(self._config.url))
                return event
            self._log.info("%s; trying again in %.1f s", event.error, wait)
            with contextlib.suppress(queue.Empty):
                return connection.take(wait)  # only `Cancelled` can come: `Closed` was the transport's last event
            connection = None
            attempt += 1

    def _early_connection(self) -> Optional[Connection]:
        """Returns the connection that `connect_early()` began, if it can be used; else `None`."""
        if self.connection is None:
            return None
        # Decoding must not use up `connect_timeout`.
        self._deadline.extend(time.monotonic() - self._began)
        if self.connection.idled_out():
            self._log.info("the server closed the connection while the audio was being decoded; connecting again")
            self.connection = None
        return self.connection

    def _start(self) -> Connection:
        if self.connection is None:
            self._deadline = Deadline(self._config.connect_timeout)
            self._began = time.monotonic()
        connection = Connection(self._config, self._tls_context(), self._deadline, self._addresses, self._log)
        # Set it before it starts: after a Ctrl-C in `start()`, shut_down() must find the connection here.
        self.connection = connection
        # Set, then check; cancel() sets its flag, then looks for a connection. So one of them always notices the other.
        if self._cancelled:
            connection.cancel()
        try:
            connection.transport.start()
        except NoThreadError as no_thread:
            self.connection = None  # connect() must not wait for a connection that never began
            raise ConnectError(str(no_thread)) from no_thread.__cause__
        return connection

    def _outcome(self, connection: Connection) -> Event:
        """Waits for the first event of a connection, which says whether it was opened, and returns that event."""
        try:
            return connection.take(self._deadline.remaining())
        except queue.Empty:
            message = f"timed out connecting, after {self._config.connect_timeout:g} s"
            return Closed(error=ConnectError(f"{message}; check the network, or raise connect_timeout"))


def _name_url(error: ConnectError, url: str) -> None:
    """Adds the URL to an error that means that it may be wrong; without its query, which may hold a secret."""
    if error.status_code not in (400, 404):
        return
    parts = urlsplit(url)
    asked = f"{parts.scheme}://{parts.netloc}{parts.path}"
    usual = urlsplit(DEFAULT_URL).path
    hint = f"; did you mean {parts.scheme}://{parts.netloc}{usual}?" if _is_nearly(parts.path, usual) else ""
    error.args = (f"{error} ({asked}{hint})",)


def _is_nearly(path: str, usual: str) -> bool:
    """Returns whether a path may have been meant to be the usual one: a part of it, or one with a slip."""
    import difflib  # late: hardly anybody needs it

    near = usual.startswith(path.rstrip("/")) or difflib.SequenceMatcher(None, path, usual).ratio() > ALIKE
    return near and path != usual
