"""`Client`: one set of options for many exchanges. Puts together the parts of each exchange."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, BinaryIO, Optional, Protocol, Set, Union, cast

from ..audio.check import refuse
from ..audio.feed import MAX_SECONDS
from ..audio.live import LiveAudio
from ..audio.pushed import Handed, PushedAudio
from ..audio.recording import load, path_name
from ..audio.unpacking import raw_format
from ..config import Config, Options, PathLike, hide
from ..exceptions import ConfigError
from ..results.result import FETCH_MAX_BYTES, FETCH_TIMEOUT, ScoreResult
from ..wire.dial import KnownAddresses, tls_context
from ..wire.messages import Status
from .account import Account
from .callbacks import CallbackFailed, Callbacks, OnEvent, OnProgress, OnStatus
from .connector import Connector
from .conversation import Conversation
from .stream import LiveStream

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack


class Segment(Protocol):
    """A `pydub.AudioSegment`, for type checkers: pydub has no annotations, so they would take anything for one."""

    @property
    def raw_data(self) -> Any: ...

    @property
    def frame_rate(self) -> Any: ...

    @property
    def sample_width(self) -> Any: ...

    @property
    def channels(self) -> Any: ...


AudioSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, Segment, LiveAudio]


class Client:
    """Scores recordings with one set of options; each call of `score()` is one exchange.

    Several threads may call `score()` at once. A client holds no connection between calls.

    Example:
        >>> from elsa_unscripted import Client
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> with Sandbox() as sandbox, Client("any-token", url=sandbox.url) as client:
        ...     client.score("tests/data/wire/short.wav").status
        'success'
    """

    def __init__(
        self, token: Optional[str] = None, *, config: Optional[Config] = None, **options: Unpack[Options]
    ) -> None:
        """Makes a client.

        Args:
            token: The API token; `None` takes `$ELSA_API_TOKEN`, which may be set later, too.
            config: All options at once, in place of `token` and `options`.
            options: What `Config` takes.

        Raises:
            ConfigError: An option is wrong.
        """
        # Hide the secrets: error trackers show the local variables of an error's frames.
        token = hide(token)
        if "proxy" in options:
            options["proxy"] = cast(Any, hide(options["proxy"]))
        if config is not None and (token is not None or options):
            raise ConfigError("give either config, or token and options; dataclasses.replace() changes a config")
        try:
            self.config = config if config is not None else Config(token=token, **options)
        except ConfigError as error:
            raise error.with_traceback(None)  # noqa: B904 - without the frames whose variables hold the token
        # No lock guards these: if another thread held it while this process forks, the child could never take it.
        self._running: Set[Connector] = set()  # one for each exchange that runs
        self._closed = False
        self._tls: Optional[ssl.SSLContext] = None
        self._addresses: KnownAddresses = {}  # the ones that worked last; the next exchange tries them first

    def score(
        self,
        audio: AudioSource,
        *,
        on_status: Optional[OnStatus] = None,
        on_progress: Optional[OnProgress] = None,
        on_event: Optional[OnEvent] = None,
        name: Optional[PathLike] = None,
    ) -> ScoreResult:
        """Streams a recording, or speech as it is spoken, and returns its assessment; see `elsa_unscripted.score()`.

        Args:
            audio: A path, bytes, a binary file object, a `pydub.AudioSegment`, or `LiveAudio`.
            on_status: Called in this thread with each message of the server that has a `status`.
            on_progress: Called in this thread after each packet, with the seconds of audio sent and those in all
                (`None` for live audio).
            on_event: Called in this thread with each internal event, before the client acts on it. For the command
                lines; the events may change in any release.
            name: What log lines call the recording; default: its path.

        Returns:
            The result; the verdict was `success`.

        Raises:
            ElsaError: The exchange ended in any other way.
        """
        self.config = self.config.with_token()
        called = name if name is not None else audio if isinstance(audio, (str, os.PathLike)) else None
        account = Account(self.config, None if called is None else path_name(called))
        connector = Connector(self.config, self._tls_context, self._addresses, account.log)
        conversation = Conversation(self.config, connector, account, Callbacks(on_status, on_progress, on_event))
        # Add, then check; close() sets the flag, then scans. So one of them always notices the other.
        self._running.add(connector)
        try:
            if self._closed:
                raise ConfigError("this Client is closed; make a new one")
            return account.result(self._converse(audio, account, connector, conversation))
        except CallbackFailed as failed:
            error = failed.error
        finally:
            conversation.cut()  # does nothing, unless Ctrl-C came before _converse() could shut it down
            self._running.discard(connector)
            account.drop_audio()
        try:
            raise error  # not in the `except` above, where Python would set `failed` as its context
        finally:
            del error  # its traceback refers to this frame; a circle of the two would keep the audio in memory

    def _converse(
        self, audio: AudioSource, account: Account, connector: Connector, conversation: Conversation
    ) -> Status:
        """Runs an exchange, and returns the verdict `success`.

        Whether it returns or raises, the connection and the threads have ended by then.
        """
        try:
            if isinstance(audio, LiveAudio):
                self._check_nothing()
                audio.claim()
                audio.log = account.log
                account.audio = account.live = audio  # set first: after Ctrl-C in start(), end() must find it
                audio.start(self.config.chunk_seconds, self.config.sample_rate)
            elif self.config.check:
                account.audio = load(audio, self.config.sample_rate, log=account.log)
                refuse(account.audio, account.log.recording)
            else:
                account.audio = load(audio, self.config.sample_rate, connector.connect_early, account.log)
            verdict = conversation.begin()
            while verdict is None:
                verdict = conversation.advance(conversation.deadline)
            conversation.shut_down(self.config.close_timeout)  # inside `try`: after Ctrl-C here, end() shuts down
        except BaseException as error:
            late = conversation.end(error)
            if late is None:
                raise
            return late
        return verdict

    def open_stream(
        self,
        *,
        sample_rate: Optional[int] = None,
        channels: int = 1,
        sample_width: int = 2,
        max_seconds: Optional[float] = MAX_SECONDS,
        save: Union[str, os.PathLike[str], None] = None,
        on_status: Optional[OnStatus] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> LiveStream:
        """Opens a stream for speech that is pushed as it comes; returns when the config has been sent.

        Args:
            sample_rate: Hz of raw little-endian PCM. `None` for a file as it is being written: WAV, and with the extra
                `formats` webm, ogg, mp3, flac, fragmented mp4; it is decoded in a thread.
            channels: Channels of raw PCM.
            sample_width: Bytes in a sample of raw PCM: 1 (unsigned), 2, 3 or 4 (signed).
            max_seconds: The most seconds of audio, and of time since the first audio; `None` for no bound.
            save: The path for a WAV file of exactly what was sent; the file is readable at any time.
            on_status: Called with each message of the server that has a `status`, in the thread that calls a method of
                the stream.
            on_progress: Called after each packet with the seconds of audio sent, and `None`; in the same thread.

        Raises:
            ElsaError: An option is wrong, or no connection could be opened.
        """
        self.config = self.config.with_token()
        self._check_nothing()
        account = Account(self.config)
        connector = Connector(self.config, self._tls_context, self._addresses, account.log)
        intake: Union[PushedAudio, Handed]
        if sample_rate is not None:
            intake = PushedAudio(raw_format(sample_rate, channels, sample_width), max_seconds, save)
            audio: Union[PushedAudio, LiveAudio] = intake
        else:
            intake = Handed()
            audio = intake.audio(max_seconds, save, channels, sample_width)
        callbacks = Callbacks(on_status, on_progress, None)
        takes_turns = sample_rate is not None
        conversation = Conversation(self.config, connector, account, callbacks, takes_turns=takes_turns)
        self._running.add(connector)
        try:
            if self._closed:
                raise ConfigError("this Client is closed; make a new one")
            audio.log = account.log
            account.audio = account.live = audio
            audio.start(self.config.chunk_seconds, self.config.sample_rate)
            verdict = conversation.begin()
            stream = LiveStream(
                intake,
                account,
                connector,
                conversation,
                verdict,
                lambda: self._running.discard(connector),
                self.config.close_timeout,
            )
            return stream  # in `try`, too: Ctrl-C may come here, and the caller would have no stream to cancel
        except BaseException as error:
            self._running.discard(connector)
            intake.close()
            try:
                conversation.end(error)
            finally:
                conversation.cut()
                account.drop_audio()
            if isinstance(error, CallbackFailed):
                raise error.error from None
            raise

    def fetch(
        self, result: ScoreResult, *, timeout: float = FETCH_TIMEOUT, max_bytes: int = FETCH_MAX_BYTES
    ) -> ScoreResult:
        """Downloads the assessment from `result_link`, with this client's `ca_bundle` and `proxy`; without its token.

        See `ScoreResult.fetch()`.
        """
        return result.fetch(
            timeout=timeout, max_bytes=max_bytes, ca_bundle=self.config.ca_bundle, proxy=self.config.proxy
        )

    def cancel(self) -> None:
        """Cancels the exchanges that run now, from any thread; their `score()` raises `ScoreCancelledError`."""
        for connector in self._running.copy():
            connector.cancel()

    def close(self) -> None:
        """Cancels the exchanges that run now; each later `score()` raises `ConfigError`."""
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

    def _check_nothing(self) -> None:
        if self.config.check:
            raise ConfigError("check needs a whole recording: leave it out for live speech, and for what a pipe gives")

    def _tls_context(self) -> Optional[ssl.SSLContext]:
        """Returns what `wss://` needs. Made once, since loading the certificates takes milliseconds.

        Two threads that call this first at the same time may both make one; either will do.
        """
        if self._tls is None and str(self.config.url).lower().startswith("wss:"):
            self._tls = tls_context(self.config.ca_bundle)
        return self._tls
