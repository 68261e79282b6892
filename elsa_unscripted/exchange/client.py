"""`Client`: runs an exchange in the caller's thread, which owns all state of it.

The other threads (`transport`, `sender`) only put events on the exchange's queue; the caller's thread drains it,
asks `protocol` what to do, and does it. Every wait has a bound; when `score()` leaves, the threads have ended.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import random
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Dict, Optional, Set, Union

from ..audio.packets import Format, Packet
from ..audio.recording import Recording, load
from ..config import Config
from ..deadline import Deadline
from ..exceptions import (
    AudioError,
    ConfigError,
    ConnectError,
    ElsaError,
    ScoreCancelledError,
    ScoringFailedError,
    StreamClosedError,
)
from ..mailbox import Mailbox
from ..results.result import ScoreResult, Timings
from ..version import __version__
from ..wire import messages
from ..wire.dial import KnownAddresses
from ..wire.transport import Transport
from . import protocol, sender

if TYPE_CHECKING:
    from types import TracebackType

    from pydub import AudioSegment

logger = logging.getLogger("elsa_unscripted")

AudioSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, "AudioSegment"]
OnStatus = Callable[[messages.Status], object]
OnProgress = Callable[[float, float], object]

NO_AUDIO = Recording(b"", Format(1, 1, 1))

RETRIED_STATUS_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})  # those that may pass
MAX_WAITING_EVENTS = 1000  # on the queue
FIRST_BACKOFF = 0.25  # s before the first retry; doubled for each after it
SHORTEST_IDLING = 1.0  # s for which nobody closes a connection because it is not used
SHORT_CLOSE_TIMEOUT = 0.5  # s for the closing handshake after Ctrl-C or bad audio, when somebody may be waiting


class Client:
    """Scores recordings with one set of options, one exchange to each call of `score()`.

    It can be used again, and from several threads at once; it holds no connection between calls.

    Example:
        >>> from elsa_unscripted import Client
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> with Sandbox() as sandbox, Client("any-token", url=sandbox.url) as client:
        ...     client.score("tests/data/wire/short.wav").status
        'success'
    """

    def __init__(self, token: Optional[str] = None, *, config: Optional[Config] = None, **options: Any) -> None:
        """Makes a client.

        Args:
            token: The API token; `None` takes `$ELSA_API_TOKEN`.
            config: All options at once, in place of `token` and `options`.
            options: What `Config` takes.

        Raises:
            ConfigError: An option is wrong.
        """
        if config is not None and (token is not None or options):
            raise ConfigError("give either config, or token and options; dataclasses.replace() changes a config")
        self.config = config if config is not None else Config(token=token, **options)
        # No lock: one that another thread holds while this process forks is never released in the child.
        self._running: Set[_Exchange] = set()
        self._closed = False
        self._tls: Optional[ssl.SSLContext] = None
        self._addresses: KnownAddresses = {}  # those that worked last, for the next exchange to begin with

    def score(
        self,
        audio: AudioSource,
        *,
        on_status: Optional[OnStatus] = None,
        on_progress: Optional[OnProgress] = None,
        on_event: Optional[Callable[[object], object]] = None,
    ) -> ScoreResult:
        """Streams a recording and returns its assessment; see `elsa_unscripted.score()`.

        Args:
            audio: A path, bytes, a binary file object, or a `pydub.AudioSegment`.
            on_status: Called in this thread with each message of the server that has a `status`.
            on_progress: Called in this thread with the seconds of audio sent and their total, after each packet.
            on_event: Called in this thread with each internal event, before it is acted on. For the command lines;
                the events may change in any release.

        Returns:
            The verdict `success`.

        Raises:
            ElsaError: Anything else.
        """
        exchange = _Exchange(self.config, self._tls_context, self._addresses, on_status, on_progress, on_event)
        # First added, then asked, while close() does it the other way round: one of the two sees the other.
        self._running.add(exchange)
        try:
            if self._closed:
                raise ConfigError("this Client is closed; make a new one")
            return exchange.run(audio)
        finally:
            self._running.discard(exchange)

    def cancel(self) -> None:
        """Ends the exchanges that run now, from any thread: their `score()` raises `ScoreCancelledError`."""
        for exchange in self._running.copy():
            exchange.cancel()

    def close(self) -> None:
        """Cancels what runs, and refuses more."""
        self._closed = True
        self.cancel()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.config!r})"

    def _tls_context(self) -> Optional[ssl.SSLContext]:
        """Made once, or twice if two threads are the first: loading the system's certificates takes milliseconds."""
        if self._tls is None and str(self.config.url).startswith("wss:"):
            self._tls = _make_tls_context(self.config)
        return self._tls


class _CallbackFailed(Exception):
    """Carries what a callback raised, which may be an `ElsaError` of another exchange, past our own handling."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Exchange:
    """One call of `score()`. All but `cancel()`, `_put()` and what they use belongs to the calling thread."""

    def __init__(
        self,
        config: Config,
        tls_context: Callable[[], Optional[ssl.SSLContext]],
        addresses: KnownAddresses,
        on_status: Optional[OnStatus],
        on_progress: Optional[OnProgress],
        on_event: Optional[Callable[[object], object]],
    ) -> None:
        self._config = config
        self._tls_context = tls_context
        self._addresses = addresses
        self._on_status = on_status
        self._on_progress = on_progress
        self._on_event = on_event
        self._began = time.monotonic()
        self._process = os.getpid()
        self._queue: Mailbox[object] = Mailbox()
        self._cancelled = False
        self._ending = False
        self._protocol = protocol.Protocol()
        self._audio = NO_AUDIO
        self._transport: Optional[Transport] = None
        self._sender: Optional[sender.Sender] = None
        self._deadline = Deadline(0)
        self._connecting_since = self._began
        self._grace: Optional[Deadline] = None
        self._timings: Dict[str, float] = {}

    def cancel(self) -> None:
        self._cancelled = True
        self._queue.put(None)  # wakes whoever waits for an event

    def _put(self, event: object) -> None:
        """Takes the events of the other threads; makes them wait while a slow callback keeps ours from the queue."""
        self._queue.put(event)
        while len(self._queue) > MAX_WAITING_EVENTS and not self._ending:
            time.sleep(0.01)

    def run(self, source: AudioSource) -> ScoreResult:
        try:
            return self._result(self._verdict(source))
        except _CallbackFailed as failed:
            raise failed.error from failed.error.__cause__
        finally:
            # Large, and its objects refer to each other: they would wait for the garbage collector, which may not
            # come before a thousand recordings are held.
            self._audio, self._sender = NO_AUDIO, None

    def _verdict(self, source: AudioSource) -> messages.Status:
        """Makes the exchange; when it leaves, in whatever way, the connection and the threads have ended."""
        try:
            self._audio = load(source, self._config.sample_rate, self._connect_early)
            self._connect()
            verdict = self._converse()
            self._shut_down(self._config.close_timeout)  # in here: Ctrl-C may come before it has begun
        except AudioError:
            self._shut_down(min(self._config.close_timeout, SHORT_CLOSE_TIMEOUT))
            raise
        except ElsaError as error:
            final = isinstance(error, (ConnectError, ScoreCancelledError)) or type(error) is ScoringFailedError
            self._shut_down(self._config.close_timeout, listen=not final)
            late = None if final else self._late_verdict()
            if late is None:
                raise self._with_facts(error) from error.__cause__
            return late
        except BaseException as error:
            interrupted = not isinstance(error, Exception)
            limit = SHORT_CLOSE_TIMEOUT if interrupted else self._config.close_timeout
            self._shut_down(min(self._config.close_timeout, limit))
            raise
        return verdict

    # Connecting.

    def _connect_early(self) -> None:
        """Begins to connect while the audio is being decoded. What is wrong with the options is told later."""
        if self._transport is None:
            with contextlib.suppress(ConfigError):
                self._start_connecting()

    def _connect(self) -> None:
        """Opens the WebSocket: the only thing that is tried again, since nothing is metered yet."""
        # The time that decoding took is not the connection's.
        self._deadline.extend(time.monotonic() - self._connecting_since)
        if self._idled_out():
            logger.info("the server closed the connection while the audio was being decoded; connecting again")
            self._transport = None
        for attempt in itertools.count():
            if attempt or self._transport is None:
                self._start_connecting()
            error = self._opening(self._deadline)
            if error is None:
                return
            wait = wait_before_retry(error, attempt)
            if wait is None or wait >= self._deadline.remaining() or attempt >= self._config.connect_retries:
                raise error
            logger.info("%s; trying again in %.1f s", error, wait)
            with contextlib.suppress(queue.Empty):
                self._take(Deadline(wait))  # nothing comes but a cancellation

    def _idled_out(self) -> bool:
        """Returns whether the early connection stood open unused until it was closed: then its events are dropped."""
        transport = self._transport
        if transport is None or not transport.ended or not transport.opened_at:
            return False
        if time.monotonic() - transport.opened_at < SHORTEST_IDLING:
            return False  # a refusal, most likely, and the caller's to hear
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._queue.get_nowait())
        if any(isinstance(event, messages.Status) and event.status == "success" for event in events):
            for event in events:
                self._queue.put(event)
            return False
        if self._cancelled:
            self._queue.put(None)  # what wakes us may have been among them
        return True

    def _start_connecting(self) -> None:
        if self._transport is None:
            self._deadline = Deadline(self._config.connect_timeout)
            self._connecting_since = time.monotonic()
        transport = Transport(self._config, self._tls_context(), self._put, self._deadline, self._addresses)
        self._transport = transport  # before it runs: Ctrl-C may come while it starts, and it must be ended then
        try:
            transport.start()
        except RuntimeError as no_thread:
            raise ConnectError(f"no thread could be started ({no_thread}); use fewer at once") from no_thread

    def _opening(self, deadline: Deadline) -> Optional[ConnectError]:
        """Waits for the end of an attempt; returns what failed, or `None` when the WebSocket is open."""
        try:
            event = self._take(deadline)
        except queue.Empty:
            return ConnectError(
                f"timed out connecting, after {self._config.connect_timeout:g} s; "
                "check the network, or raise connect_timeout"
            )
        if isinstance(event, messages.Closed):
            if isinstance(event.error, ConnectError):
                return event.error
            raise event.error or AssertionError("a transport that never opened gave no error")
        self._timings["connect"] = self._open_transport().opened_at - self._began
        self._observe(event)
        return None

    # The exchange.

    def _converse(self) -> messages.Status:
        """Feeds the protocol with events and does as it says, until the verdict."""
        self._deadline = Deadline(self._config.timeout)
        self._open_transport().bound_sending(self._deadline)
        verdict = self._obey(messages.Opened())
        while verdict is None:
            event = self._next_event()
            self._observe(event)
            if isinstance(event, sender.Progress):
                self._progress(event)
            elif isinstance(event, sender.Sent):
                self._timings["audio_sent"] = self._elapsed()
                verdict = self._obey(protocol.AudioSent())
            elif isinstance(event, sender.Failed):
                if not isinstance(event.error, StreamClosedError):
                    raise event.error
                verdict = self._obey(self._send_failure(event.error))
            else:
                verdict = self._obey(event)
        return verdict

    def _obey(self, event: Any) -> Optional[messages.Status]:
        """Gives an event to the protocol and carries out its commands; returns the verdict, or raises the error."""
        for command in self._protocol.receive(event):
            if isinstance(command, protocol.SendConfig):
                config = messages.encode_config(self._config.api_plan, self._config.return_json, self._config.extra)
                try:
                    self._open_transport().send(Transport.frame(config))
                except StreamClosedError as error:
                    return self._obey(self._send_failure(error))
            elif isinstance(command, protocol.StartAudio):
                self._start_audio()
            elif isinstance(command, protocol.StopAudio):
                if self._sender is not None:
                    self._sender.stop()
            elif isinstance(command, protocol.StartGrace):
                broken = command.broken
                self._grace = Deadline(self._config.close_timeout if broken else self._config.bad_quality_grace)
            elif isinstance(command, protocol.StopGrace):
                self._grace = None
            elif isinstance(command, protocol.Report):
                self._call(self._on_status, command.status)
            elif isinstance(command, protocol.Finish):
                self._timings["verdict"] = self._elapsed()
                return command.verdict
            else:
                try:
                    raise command.error
                finally:
                    del command  # its error holds this frame, and so the caller's, with the recording
        return None

    def _send_failure(self, error: BaseException) -> Union[protocol.TimeOver, protocol.SendFailed]:
        """A send has the same deadline as the exchange: where it ran into that, nothing else is wrong."""
        return protocol.TimeOver() if self._deadline.expired() else protocol.SendFailed(error)

    def _start_audio(self) -> None:
        self._timings["start"] = self._elapsed()
        chunk, speed = self._config.chunk_seconds, self._config.speed
        if speed is not None:
            self._deadline.extend(self._audio.seconds / speed)
        transport = self._open_transport()
        self._sender = sender.Sender(
            (Packet(transport.frame(data), frames) for data, frames in self._audio.packets(chunk)),
            transport.frame(messages.END_STREAM),
            transport.send,
            transport.send_now,
            self._queue.put,
            None if speed is None else self._audio.format.sample_rate * speed,
            tell_progress=self._on_progress is not None or self._on_event is not None,
        )
        try:
            self._sender.start()
        except RuntimeError as no_thread:
            raise _no_thread(no_thread) from no_thread

    def _progress(self, event: sender.Progress) -> None:
        self._call(self._on_progress, event.frames / self._audio.format.sample_rate, self._audio.seconds)

    def _next_event(self) -> Any:
        if self._deadline.expired():
            return protocol.TimeOver()  # whatever is on the queue: _late_verdict() will look for a verdict there
        grace = self._grace
        if grace is None or grace.remaining() > self._deadline.remaining():
            grace = None
        try:
            return self._take(grace or self._deadline)
        except queue.Empty:
            if grace is None:
                return self._next_event()
            self._grace = None
            return protocol.GraceOver()

    def _take(self, deadline: Deadline) -> Any:
        """Waits for an event.

        Raises:
            queue.Empty: The deadline has passed, and there is none.
            ScoreCancelledError: `cancel()` was called.
        """
        event = self._queue.get(deadline.remaining())
        if self._cancelled:
            raise ScoreCancelledError("cancelled by Client.cancel() or Client.close()")
        return event

    # The end.

    def _shut_down(self, timeout: float, *, listen: bool = False) -> None:
        """Ends both threads: with a closing handshake, if the connection lets us."""
        deadline = Deadline(timeout)
        self._ending = True
        if os.getpid() != self._process:  # a callback has forked, and the child leaves it
            if self._transport is not None:
                self._transport.abandon()
            return
        try:
            if self._sender is not None:
                self._sender.stop()
            if self._transport is not None and not self._transport.close(timeout, listen=listen):
                logger.info("a thread goes on in the background, most likely in a name look-up, and ends with it")
        finally:  # Ctrl-C while we wait: at once, then, but as clean
            if self._transport is not None:
                self._transport.cut()
            if self._sender is not None:
                # Whatever it was sending has been cut off by now: this is a matter of moments.
                self._sender.join(max(deadline.remaining(), 0.5))

    def _late_verdict(self) -> Optional[messages.Status]:
        """Looks for a verdict among what arrived before the connection was closed, and wasn't taken yet."""
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._queue.get_nowait()
                if isinstance(event, messages.Status) and event.status in ("success", "failed"):
                    self._observe(event)
                    try:
                        verdict = self._obey(event)
                    except ScoringFailedError as error:
                        raise self._with_facts(error) from None
                    if verdict is not None:
                        return verdict
        return None

    def _result(self, verdict: messages.Status) -> ScoreResult:
        if self._sender is not None and self._sender.first_sent is not None:
            self._timings["first_packet"] = self._sender.first_sent - self._began
        return ScoreResult(
            raw=verdict.raw,
            text=verdict.text,
            stream_id=self._protocol.stream_id,
            statuses=tuple(self._protocol.statuses),
            timings=Timings(**self._timings, total=self._elapsed()),
            audio_seconds=self._audio.seconds,
            audio_seconds_sent=self._seconds_sent(),
            **self._audio.format._asdict(),
            api_plan=self._config.api_plan,
            warnings=self._audio.warnings,
            client=f"elsa_unscripted {__version__}",
        )

    def _with_facts(self, error: ElsaError) -> ElsaError:
        error.phase = self._protocol.phase.value
        error.stream_id = self._protocol.stream_id
        error.statuses = tuple(self._protocol.statuses)
        error.audio_seconds_sent = self._seconds_sent()
        error.possibly_billed = self._sender is not None and self._sender.begun > 0
        return error

    def _seconds_sent(self) -> float:
        return 0.0 if self._sender is None else self._sender.sent / self._audio.format.sample_rate

    def _open_transport(self) -> Transport:
        assert self._transport is not None
        return self._transport

    def _observe(self, event: object) -> None:
        self._call(self._on_event, event)

    def _call(self, callback: Optional[Callable[..., object]], *arguments: object) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            raise _CallbackFailed(error) from None

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _no_thread(error: RuntimeError) -> StreamClosedError:
    return StreamClosedError(f"no thread could be started ({error}); use fewer at once")


def wait_before_retry(error: ConnectError, attempt: int) -> Optional[float]:
    """Returns the seconds to wait before the next attempt; `None` if another one can't help."""
    if error.status_code is None:
        # Refused, cut, no route, timed out: may pass. What TLS refuses, or a server that is none, stays so.
        cause = error.__cause__
        if not isinstance(cause, OSError) or isinstance(cause, ssl.SSLError):
            return None
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return None
    elif error.status_code not in RETRIED_STATUS_CODES:
        return None
    if error.retry_after is not None:
        return error.retry_after
    return FIRST_BACKOFF * float(2**attempt) * random.uniform(0.5, 1.5)


def _make_tls_context(config: Config) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"ca_bundle can't be read as PEM certificates ({error})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
