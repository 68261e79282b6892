"""`Conversation`: carries out one exchange, from connecting to the verdict and the close.

`client` makes it, and runs it in the caller's thread, which owns all state of an exchange. The threads of
`wire.transport` and `sender` only put events into the mailbox of the connection. Each step here takes one event out,
asks `protocol` what to do about it, and does that. Every wait has a bound.
"""

from __future__ import annotations

import contextlib
import os
import queue
from typing import Callable, Iterator, List, Optional

from ..audio.packets import Packet
from ..config import Config
from ..deadline import Deadline
from ..exceptions import AudioError, ElsaError, ScoringFailedError, StreamClosedError
from ..log import Log
from ..signals import raised_by_handler
from ..threads import NoThreadError
from ..wire.messages import END_STREAM, Opened, Status, encode_config
from ..wire.transport import Transport
from .account import Account
from .callbacks import CallbackFailed, Callbacks
from .clocks import GrowingDeadline, LiveDeadline, due_times
from .commands import Command, Finish, Report, ReportProgress, SendConfig, StartAudio, StartGrace, StopAudio, StopGrace
from .connector import Connection, Connector
from .events import AudioSent, Event, GraceOver, SendFailed, SourceFailed, TimeOver
from .sender import Sender

LAST_LOOK = 0.1  # s after the deadline, to handle events already in the mailbox; 1,000 events take a tenth of that
LEAVE_TIME = 0.5  # s for a thread to end after its connection was cut
SOURCE_LOOK = 0.1  # s between two looks at a live source before its audio is sent; after that, the sender tells
SHORT_CLOSE_TIMEOUT = 0.5  # s for the closing handshake after Ctrl-C or bad audio: the user may be waiting


class Conversation:
    """One exchange, step by step: `begin()`, then `advance()` until one of them returns the verdict, or raises.

    After that, the caller must call `shut_down()` or, if anything was raised, `end()`: these end the connection and
    the threads.

    Attributes:
        deadline: When the exchange times out.
    """

    def __init__(
        self,
        config: Config,
        connector: Connector,
        account: Account,
        callbacks: Callbacks,
        *,
        takes_turns: bool = False,
    ) -> None:
        """Makes a conversation.

        Args:
            config: The options of the exchange.
            connector: Opens the connection.
            account: Collects the facts; its `audio` must be set before `begin()`.
            callbacks: Called in the thread that calls the methods; an exception in one becomes `CallbackFailed`.
            takes_turns: Whether that thread also calls `account.sender.step()`: then no other thread sends.
        """
        self._takes_turns = takes_turns
        self.deadline = Deadline(config.timeout)
        self._config = config
        self._connector = connector
        self._account = account
        self._callbacks = callbacks
        self._process = os.getpid()
        self._grace: Optional[Deadline] = None
        self._last_look: Optional[Deadline] = None
        self._final = False  # whether no late verdict can replace the error
        self._is_cut = False

    @property
    def _connection(self) -> Connection:
        assert self._connector.connection is not None
        return self._connector.connection

    def begin(self) -> Optional[Status]:
        """Connects, and sends the config; returns the verdict, if there is one by now.

        Raises:
            ElsaError: The exchange has failed.
            CallbackFailed: A callback raised an exception.
        """
        seconds = self._account.seconds if self._account.live is None else None
        self._account.log.info("begin: %s", "live audio" if seconds is None else f"{seconds:.2f} s of audio")
        return self._obey(self._ask(self._connect()))

    def advance(self, until: Deadline) -> Optional[Status]:
        """Waits for the next event, a grace or deadline that expires, or `until`, and acts on it.

        Returns:
            The verdict `success`; `None` if there is none yet.

        Raises:
            ElsaError: The exchange has failed.
            CallbackFailed: A callback raised an exception.
        """
        # Don't keep the event in a local variable: it may hold the error that is raised, whose traceback refers to this
        # frame. Such a circle would keep the caller's recording until the garbage collector comes.
        return self._obey(self._ask(self._next_event(until)))

    def time_is_over(self) -> bool:
        """Returns whether the deadline or a grace has expired: then `advance()` must act, though no event has come."""
        return self.deadline.expired() or (self._grace is not None and self._grace.expired())

    def _connect(self) -> Event:
        event = self._connector.connect()
        self.deadline = Deadline(self._config.timeout)
        if isinstance(event, Opened):
            self._account.note("connect", self._connection.transport.opened_at)
            self._connection.transport.bound_sending(self.deadline)
        return event

    def _next_event(self, until: Deadline) -> Optional[Event]:
        """Waits for an event, a grace or deadline that expires, or `until`; `None` for `until`.

        Events in the mailbox come first: an answer that is there counts, even if its time is over.
        """
        while not self._has_had_last_look():
            bounds = [until, self.deadline] if self._grace is None else [until, self.deadline, self._grace]
            wait = min(bound.remaining() for bound in bounds)
            live = self._account.live
            if live is not None and self._account.sender is None:
                if live.failure is not None:
                    return SourceFailed(live.failure)
                wait = min(wait, SOURCE_LOOK)
            try:
                return self._connection.take(wait)
            except queue.Empty:
                if self._grace is not None and self._grace.expired():
                    self._grace = None
                    return GraceOver()
                if self.deadline.expired():  # not yet, if packets sent during the wait have extended it
                    return TimeOver()
                if until.expired():
                    return None
        return TimeOver()

    def _has_had_last_look(self) -> bool:
        """Returns whether `LAST_LOOK` is over, too: a server that never stops talking must not stop the time-out."""
        if not self.deadline.expired():
            self._last_look = None
            return False
        # Counts from now, not from the deadline: the caller's thread may have been in a callback until long after it.
        self._last_look = self._last_look or Deadline(LAST_LOOK)
        return self._last_look.expired()

    def _ask(self, event: Optional[Event]) -> List[Command]:
        """Gives an event, if there is one, to `on_event` and to the protocol; returns the protocol's commands."""
        if event is None:
            return []
        self._call(self._callbacks.on_event, event)
        if isinstance(event, AudioSent):
            self._account.note("audio_sent")
        elif isinstance(event, SendFailed):
            event = self._why_not_sent(event)
        return self._account.protocol.receive(event)

    def _why_not_sent(self, event: SendFailed) -> Event:
        if isinstance(event.error, AudioError):
            return SourceFailed(event.error)
        if not isinstance(event.error, StreamClosedError):
            raise event.error  # a defect of ours, or no memory
        # A send fails at the deadline of the exchange, too: then the reason is the time-out, not a broken connection.
        return TimeOver() if self.deadline.expired() else event

    def _obey(self, commands: List[Command]) -> Optional[Status]:
        """Carries out commands of the protocol; returns the verdict, or raises the error."""
        for command in commands:
            if isinstance(command, SendConfig):
                failure = self._send_config()
                if failure is not None:
                    return self._obey(self._ask(failure))
            elif isinstance(command, StartAudio):
                self._start_audio()
            elif isinstance(command, StopAudio):
                self._stop_audio()
            elif isinstance(command, StartGrace):
                config = self._config
                self._grace = Deadline(config.close_timeout if command.broken else config.bad_quality_grace)
            elif isinstance(command, StopGrace):
                self._grace = None
            elif isinstance(command, Report):
                self._call(self._callbacks.on_status, command.status)
            elif isinstance(command, ReportProgress):
                self._report_progress(command.frames)
            elif isinstance(command, Finish):
                self._account.note("verdict")
                account = self._account
                account.log.info(
                    "verdict after %.2f s: success, %.2f s of audio sent", account.elapsed, account.seconds_sent
                )
                return command.verdict
            else:
                self._final = command.final
                try:
                    raise command.error
                finally:
                    del command, commands  # else a circle: the error's traceback refers to this frame, see advance()
        return None

    def _send_config(self) -> Optional[SendFailed]:
        config = encode_config(self._config.api_plan, self._config.return_json, self._config.extra)
        try:
            self._connection.transport.send(Transport.frame(config))
        except StreamClosedError as error:
            return SendFailed(error)
        return None

    def _start_audio(self) -> None:
        self._account.note("start")
        self._account.log.info("stream opened after %.2f s", self._account.elapsed)
        speed, audio, live = self._config.speed, self._account.audio, self._account.live
        assert audio is not None
        frame_rate = None if speed is None or live is not None else audio.format.sample_rate * speed
        transport = self._connection.transport
        sender = Sender(
            _framed_packets(audio.packets(self._config.chunk_seconds), transport.frame, self._account),
            transport.frame(END_STREAM),
            transport.send,
            transport.send_now,
            self._connection.put,
            frame_rate,
            tell_progress=self._callbacks.on_progress is not None or self._callbacks.on_event is not None,
            alone=live is not None,
            due=None if live is None or speed is None else due_times(live, speed),
        )
        self._account.sender = sender
        if live is not None:
            self.deadline = LiveDeadline(self._config, sender, live)
        elif frame_rate is not None:
            self.deadline = GrowingDeadline(self.deadline, sender, frame_rate)
        transport.bound_sending(self.deadline)
        if self._takes_turns:
            return
        try:
            sender.start()
        except NoThreadError as no_thread:
            raise StreamClosedError(str(no_thread)) from no_thread.__cause__

    def _stop_audio(self) -> None:
        if self._account.sender is not None:
            self._account.sender.stop()
        if self._account.live is not None:
            self._account.live.close()  # after stop(): a stopped sender doesn't report the error of a closed source

    def _report_progress(self, frames: int) -> None:
        audio = self._account.audio
        assert audio is not None
        self._call(self._callbacks.on_progress, frames / audio.format.sample_rate, audio.seconds)

    def _call(self, callback: Optional[Callable[..., object]], *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            raise CallbackFailed(error) from None

    # Ending the exchange.

    def end(self, error: BaseException) -> Optional[Status]:
        """Shuts down after an error; adds the facts of the exchange to it, if it is an `ElsaError`.

        No facts are added to an `AudioError`: nothing was sent.

        Returns:
            The verdict `success`, if it came before the connection was closed: it counts in place of the error.

        Raises:
            ScoringFailedError: The verdict `failed` came before the connection was closed.
            CallbackFailed: A callback raised an exception when it was told of that verdict.
        """
        timeout = self._config.close_timeout
        if isinstance(error, AudioError) or not isinstance(error, Exception):
            self.shut_down(min(timeout, SHORT_CLOSE_TIMEOUT))
            if isinstance(error, AudioError) and self._account.live is not None:
                self._account.add_facts(error)
            return None
        listen = isinstance(error, ElsaError) and not self._final
        self.shut_down(timeout, listen=listen)
        verdict = self._late_verdict() if listen else None
        if verdict is None and isinstance(error, ElsaError):
            self._account.add_facts(error)
            self._tell(error)
        return verdict

    def _tell(self, error: ElsaError) -> None:
        what = "verdict" if isinstance(error, ScoringFailedError) else "no verdict"
        self._account.log.info("%s after %.2f s: %s", what, self._account.elapsed, error)

    def shut_down(self, timeout: float, *, listen: bool = False) -> None:
        """Ends the sender's thread, the transport's thread and the connection; with a closing handshake, if possible.

        Failures here are logged, not raised: they must not replace the verdict or the error of the exchange.

        Args:
            timeout: Seconds for the handshake.
            listen: Whether messages that the server sends meanwhile still matter.
        """
        deadline = Deadline(timeout)
        connection = self._connector.connection
        if os.getpid() != self._process:  # a callback forked: this is the child, and the connection is the parent's
            if connection is not None:
                connection.transport.abandon()
            return
        if connection is not None:
            connection.ending = True
        try:
            with _logging_failures(self._account.log):
                self._stop_audio()
                if connection is not None and not connection.transport.close(timeout, listen=listen):
                    self._account.log.info(
                        "a thread goes on in the background, most likely in a name look-up, and ends with it"
                    )
        finally:  # also after Ctrl-C during the handshake: cut the connection, and leave nothing open
            self.cut(max(deadline.remaining(), LEAVE_TIME))

    def cut(self, timeout: float = LEAVE_TIME) -> None:
        """Ends the threads and the connection without a closing handshake, unless they have been ended.

        Args:
            timeout: Seconds for the sender's thread to end.
        """
        connection, sender, live = self._connector.connection, self._account.sender, self._account.live
        if self._is_cut or os.getpid() != self._process:
            return
        with _logging_failures(self._account.log):
            self._stop_audio()
            if connection is not None:
                connection.ending = True
                connection.transport.cut()
        with _logging_failures(self._account.log):
            if sender is not None:
                sender.join(timeout)  # what it was sending has been cut off by now: this is a matter of moments
                if self._takes_turns:
                    sender.finish()
        with _logging_failures(self._account.log):
            if live is not None:
                live.join()
        self._is_cut = True

    def _late_verdict(self) -> Optional[Status]:
        """Looks for a verdict among the events that were left in the mailbox when the connection was closed."""
        connection = self._connector.connection
        for event in () if connection is None else connection.take_the_rest():
            if isinstance(event, Status) and event.is_verdict:
                try:
                    verdict = self._obey(self._ask(event))
                except ScoringFailedError as error:
                    self._account.add_facts(error)
                    self._tell(error)
                    raise error from None
                if verdict is not None:
                    return verdict
        return None


@contextlib.contextmanager
def _logging_failures(log: Log) -> Iterator[None]:
    """Logs an exception in place of raising it, so that it can't replace the verdict or the error of the exchange.

    Hosts that patch sockets and threads may cause one. An exception of a signal handler comes through.
    """
    try:
        yield
    except Exception as error:
        if raised_by_handler(error):
            raise
        log.warning("the connection was not shut down as it should be (%r)", error, exc_info=True)


def _framed_packets(
    packets: Iterator[Optional[Packet]], frame: Callable[[bytes], bytes], account: Account
) -> Iterator[Optional[Packet]]:
    """Yields packets with their data as WebSocket frames; runs in the thread that sends.

    A function, not a method: it must not refer to the `Conversation`, whose callbacks may refer to a `LiveStream`. That
    stream would never be noticed as dropped.
    """
    for packet in packets:
        if packet is None:
            yield None
            continue
        sender = account.sender
        assert sender is not None
        before = sender.sent
        try:
            yield Packet(frame(packet.data), packet.frames)
        finally:
            # In `finally`: a stopped sender asks for no further packet, but may have sent this one.
            if account.live is not None and sender.sent > before:
                account.live.note_sent(packet)
