"""`Connector`: opens the connection of one exchange, in as many attempts as it takes and `connect_timeout` allows.

Made by `client`, and used in the caller's thread: `connect_early()` while the audio is being decoded, `connect()` by
`conversation` after that.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import time
from typing import Callable, Iterator, Optional

from ..config import Config
from ..deadline import Deadline
from ..exceptions import ConfigError, ConnectError
from ..log import logger
from ..mailbox import Mailbox
from ..threads import NoThreadError
from ..wire.dial import KnownAddresses
from ..wire.messages import Closed, ConnectionEvent, Status
from ..wire.transport import Transport
from .protocol import Cancelled, Event, SenderEvent
from .retry import wait_before_retry

MAX_WAITING_EVENTS = 1000  # in the mailbox, before the transport's thread is made to wait
SHORTEST_IDLING = 1.0  # s for which no server closes a connection because nobody uses it


class Connection:
    """One attempt to connect and what comes of it: a transport, and the mailbox for whatever happens on it.

    Attributes:
        transport: Its thread puts events into the mailbox, and `Closed` as the last one.
        ending: Whether the connection is being shut down: then nothing holds back the transport's thread.
    """

    def __init__(
        self, config: Config, tls: Optional[ssl.SSLContext], deadline: Deadline, addresses: KnownAddresses
    ) -> None:
        """Makes a connection, whose transport is yet to be started.

        Args:
            config: Where to, and with which token.
            tls: For `wss://`.
            deadline: For everything up to the open WebSocket.
            addresses: Those that worked last, to begin with.
        """
        self.transport = Transport(config, tls, self._hear, deadline, addresses)
        self.ending = False
        self._mailbox: Mailbox[Optional[Event]] = Mailbox()  # `None` only wakes the thread that waits
        self._cancelled = False
        self._gave_result = False  # written by the transport's thread

    def put(self, event: SenderEvent) -> None:
        """Takes an event of the sender, from any thread; never waits."""
        self._mailbox.put(event)

    def _hear(self, event: ConnectionEvent) -> None:
        """Takes an event of the transport; makes its thread wait while a slow callback keeps ours from the mailbox."""
        self._gave_result = self._gave_result or (isinstance(event, Status) and event.status == "success")
        self._mailbox.put(event)
        while len(self._mailbox) > MAX_WAITING_EVENTS and not self.ending:
            time.sleep(0.01)

    def cancel(self) -> None:
        """Lets `take()` return `Cancelled` from now on; from any thread."""
        self._cancelled = True
        self._mailbox.put(None)

    def take(self, timeout: float) -> Event:
        """Takes an event; waits for it, `timeout` seconds at most. A cancellation overtakes those that are there.

        Raises:
            queue.Empty: None has come.
        """
        event = None if self._cancelled else self._mailbox.get(timeout)
        return Cancelled() if event is None or self._cancelled else event

    @property
    def has_event(self) -> bool:
        """Whether `take()` would return at once."""
        return self._cancelled or bool(self._mailbox)

    def take_the_rest(self) -> Iterator[Event]:
        """Yields what is in the mailbox, without waiting."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._mailbox.get_nowait()
                if event is not None:
                    yield event

    def idled_out(self) -> bool:
        """Returns whether it stood open unused until the server closed it. One that gave a result was of use."""
        transport = self.transport
        if not transport.ended or not transport.opened_at or self._gave_result:
            return False
        # One that is closed sooner is a refusal, most likely, and the caller's to hear.
        return time.monotonic() - transport.opened_at >= SHORTEST_IDLING


class Connector:
    """Makes one connection after the other until one opens. All but `cancel()` belongs to the caller's thread.

    Attributes:
        connection: The newest; `None` before the first.
    """

    def __init__(
        self, config: Config, tls_context: Callable[[], Optional[ssl.SSLContext]], addresses: KnownAddresses
    ) -> None:
        """Makes a connector.

        Args:
            config: Where to, with which token, how often and for how long.
            tls_context: Gives what `wss://` needs; called for each connection, may raise a `ConfigError`.
            addresses: Those that worked last, of all exchanges of a client.
        """
        self._config = config
        self._tls_context = tls_context
        self._addresses = addresses
        self._cancelled = False
        self._deadline = Deadline(0)  # of all attempts; begins with the first
        self._began = 0.0  # when that was, on the monotonic clock
        self.connection: Optional[Connection] = None

    def cancel(self) -> None:
        """Cancels the exchange, from any thread: connections that are yet to be made, too."""
        self._cancelled = True
        connection = self.connection
        if connection is not None:
            connection.cancel()

    def connect_early(self) -> None:
        """Begins to connect while the audio is being decoded. What is wrong with the options is told later."""
        if self.connection is None:
            with contextlib.suppress(ConfigError, ConnectError):
                self._start()

    def connect(self) -> Event:
        """Opens the WebSocket: the only thing that is tried again, since nothing is metered yet.

        Returns:
            `Opened`, `Cancelled`, or the `Closed` of the last attempt, with the error.

        Raises:
            ConfigError: An option that is only looked at now is wrong: `ca_bundle`, or the environment's proxy.
            ConnectError: No thread could be started.
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
                return event
            logger.info("%s; trying again in %.1f s", event.error, wait)
            with contextlib.suppress(queue.Empty):
                return connection.take(wait)  # a cancellation: `Closed` was the last of everything else
            connection = None
            attempt += 1

    def _early_connection(self) -> Optional[Connection]:
        """Returns the connection that was begun during the decoding, if it can be used."""
        if self.connection is None:
            return None
        # The time that decoding took is not the connection's.
        self._deadline.extend(time.monotonic() - self._began)
        if self.connection.idled_out():
            logger.info("the server closed the connection while the audio was being decoded; connecting again")
            self.connection = None
        return self.connection

    def _start(self) -> Connection:
        if self.connection is None:
            self._deadline = Deadline(self._config.connect_timeout)
            self._began = time.monotonic()
        connection = Connection(self._config, self._tls_context(), self._deadline, self._addresses)
        # Before it starts: Ctrl-C may come while it does, and whoever shuts down must find it here.
        self.connection = connection
        # Set, then check; cancel() sets its flag, then looks for a connection. So one of them notices the other.
        if self._cancelled:
            connection.cancel()
        try:
            connection.transport.start()
        except NoThreadError as no_thread:
            raise ConnectError(str(no_thread)) from no_thread.__cause__
        return connection

    def _outcome(self, connection: Connection) -> Event:
        """Waits for the first event of a connection: whether it could be opened."""
        try:
            return connection.take(self._deadline.remaining())
        except queue.Empty:
            message = f"timed out connecting, after {self._config.connect_timeout:g} s"
            return Closed(error=ConnectError(f"{message}; check the network, or raise connect_timeout"))
