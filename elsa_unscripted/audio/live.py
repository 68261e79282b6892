"""`LiveAudio`: audio that is still coming, from whatever gives bytes. Made by the caller, drawn from by `exchange`.

    the source's thread: piece → Feed ──► the thread that sends: packets()

The source is the caller's code, and may block for ever. So a daemon thread of its own draws from it; the thread that
sends notices when the source has been silent for too long. `close()` waits for neither thread. A thread that is stuck
in the source's code can't be ended: nobody waits for it, and it ends when the source returns.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
from typing import Any, Generator, Iterable, Iterator, Optional, Tuple, Union

from ..exceptions import AudioError, ConfigError
from ..log import logger
from ..mailbox import Mailbox
from ..quoting import cut
from ..threads import NoThreadError, start_thread
from .feed import MAX_SECONDS, NAME, PATIENCE, Data, Feed, checked_limit
from .growing import GrowingWav
from .packets import Format, Packet
from .pieces import MOST_BYTES, Readable, check_source, draw
from .unpacking import raw_format, unpack

__all__ = ["SOURCE_TIMEOUT", "Live", "LiveAudio"]

SOURCE_TIMEOUT = 10.0  # s without audio: speakers pause for less, and a microphone gives audio even in silence

_LAST_WAIT = 0.05  # s for which join() waits for a thread that is in the source's code


class Live:
    """The common part of `LiveAudio` and `pushed.PushedAudio`; each adds the rest of `packets.LiveSource`.

    Attributes:
        name: What messages call it.
        seconds: `None`, since nobody knows how long the audio will be.
        log: Where its warnings go; an exchange sets its own.
    """

    name = NAME
    seconds: Optional[float] = None
    log = logger

    def __init__(self, max_seconds: Optional[float], save: Union[str, os.PathLike[str], None]) -> None:
        self._max_seconds = checked_limit(max_seconds)
        self._save = save
        self._copy: Optional[GrowingWav] = None
        self._feed = Feed(1.0, None)  # begin() replaces it

    def begin(self, chunk_seconds: float) -> None:
        """Opens `save`, and makes the feed.

        Args:
            chunk_seconds: Seconds of audio in a packet.

        Raises:
            ConfigError: `save` can't be written.
        """
        if self._save is not None:
            self._copy = GrowingWav(self._save)
        self._feed = Feed(chunk_seconds, self._max_seconds, self.name)

    @property
    def format(self) -> Format:
        """The format of the PCM that is sent. Raises `AudioError` before it is known: see `Feed.expect()`."""
        if self._feed.format is None:
            raise AudioError(f"{self.name} hasn't said yet what its audio is like")
        return self._feed.format

    @property
    def frame_count(self) -> int:
        """How many frames the source has given so far."""
        return self._feed.frame_count

    @property
    def warnings(self) -> Tuple[str, ...]:
        """Sentences on audio that was left out, and on other problems."""
        return tuple(self._feed.warnings)

    @property
    def ended_by(self) -> Optional[str]:
        """What ended the audio: `"source"` or `"limit"`; `None` while audio comes."""
        return self._feed.ended_by

    @property
    def began(self) -> Optional[float]:
        """When the source gave the first audio, on the monotonic clock; `None` before."""
        return self._feed.began

    @property
    def max_seconds(self) -> float:
        """The option `max_seconds`; infinity for no bound."""
        return math.inf if self._max_seconds is None else self._max_seconds

    @property
    def failure(self) -> Optional[AudioError]:
        """Why the source has failed, if it has and `packets()` hasn't raised that yet; else `None`."""
        return None

    def note_sent(self, packet: Packet) -> None:
        """Writes a packet that was sent to `save`; called in the thread that sends."""
        if self._copy is not None:
            problem = self._copy.add(packet.data, self.format)
            if problem is not None:
                self._warn(problem)

    def join(self) -> None:
        """Closes `save`."""
        if self._copy is not None:
            self._copy.close()

    def _warn(self, sentence: str) -> None:
        self.log.warning("%s", sentence)
        self._feed.warnings.append(sentence)


class LiveAudio(Live):
    """Speech as it is spoken: give it to `score()` in place of a recording. It can be used only once.

    Packets are sent as soon as they are full; those that pile up while connecting are sent at once after that. The
    audio ends when the source ends, when the server has heard the end of the speech, or after `max_seconds`.

    Example:
        >>> from elsa_unscripted import LiveAudio, score
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> chunks = (bytes(640) for _ in range(50))  # 20 ms each, of 16 kHz, mono, 16 bit
        >>> with Sandbox() as sandbox:
        ...     result = score(LiveAudio(chunks, sample_rate=16000), "any-token", url=sandbox.url)
        >>> result.ended_by, result.audio_seconds
        ('source', 1.0)
    """

    timeout_option = "source_timeout"  # what messages call it

    def __init__(
        self,
        source: Union[Iterable[Data], Readable],
        *,
        sample_rate: Optional[int] = None,
        channels: int = 1,
        sample_width: int = 2,
        max_seconds: Optional[float] = MAX_SECONDS,
        source_timeout: float = SOURCE_TIMEOUT,
        save: Union[str, os.PathLike[str], None] = None,
    ) -> None:
        """Keeps the source; `score()` begins to draw from it.

        Args:
            source: An iterable of bytes-like pieces of any size, or an object with `read(n)` or `read1(n)`: raw
                little-endian PCM, or a file as it is being written. It is drawn from in a thread of its own. It ends
                when the iterable does, or when `read` returns `b""`. A file is not closed; an iterator is, if it has
                `close()`.
            sample_rate: Hz of raw PCM. `None` for a file, whose header tells it: WAV, and with the extra `formats`
                webm, ogg, mp3, flac, fragmented mp4.
            channels: Channels of raw PCM.
            sample_width: Bytes in a sample of raw PCM: 1 (unsigned), 2, 3 or 4 (signed).
            max_seconds: The most seconds of audio, and of time since the first audio; `None` for no bound.
            source_timeout: Seconds without audio after which the source counts as failed.
            save: The path for a WAV file of exactly what was sent; the file is readable at any time.

        Raises:
            ConfigError: An option is wrong, or `source` isn't one.
        """
        super().__init__(max_seconds, save)
        check_source(source)
        if sample_rate is None and (channels, sample_width) != (1, 2):
            raise ConfigError("channels and sample_width say what raw PCM is like: give its sample_rate, too")
        self._raw = None if sample_rate is None else raw_format(sample_rate, channels, sample_width)
        if isinstance(source_timeout, bool) or not isinstance(source_timeout, (int, float)) or not source_timeout > 0:
            raise ConfigError(f"source_timeout must be a number of seconds above 0, not {source_timeout!r}")
        self._source: Any = source
        self._source_timeout = float(source_timeout)
        self._turn = threading.Lock()  # guards the feed and `_failure`; no thread waits while it holds this
        self._failure: Optional[AudioError] = None
        self._used = False
        self._closed = False
        self._first_given: Optional[float] = None  # when the source gave its first bytes, on the monotonic clock
        # Since when the source has given nothing; `None` while its thread waits for room in the feed.
        self._silent_since: Optional[float] = None
        self._is_in_source = False  # its thread is in the source's code
        self._thread: Optional[threading.Thread] = None
        self._gone = False  # the thread has nothing left to do
        self._arrival: Mailbox[None] = Mailbox()  # wakes `packets()`
        self._room: Mailbox[None] = Mailbox()  # wakes the source's thread when there is room again
        self._leave: Mailbox[None] = Mailbox()  # wakes `join()`

    def claim(self) -> None:
        """Notes that this is used now. Called by `Client.score()`.

        Raises:
            AudioError: It was used before.
        """
        used, self._used = self._used, True
        if used:
            kind = type(self).__name__
            raise AudioError(f"a live source serves once, and this {kind} has been used: make a new one")

    def start(self, chunk_seconds: float, sample_rate: Optional[int]) -> None:
        """Begins to draw from the source. Called by `Client.score()`.

        Args:
            chunk_seconds: Seconds of audio in a packet.
            sample_rate: Hz to resample to, mono and 16 bit (extra `formats`); `None` sends raw PCM and WAV as it is.

        Raises:
            AudioError: No thread could be started.
            ConfigError: `save` can't be written.
        """
        self.begin(chunk_seconds)
        self._silent_since = time.monotonic()
        # A daemon: it may be stuck in the source's code when the interpreter exits.
        self._thread = threading.Thread(target=self._run, args=(sample_rate,), name="elsa-source", daemon=True)
        try:
            start_thread(self._thread)
        except NoThreadError as error:
            self._thread = None
            raise AudioError(str(error)) from error.__cause__

    @property
    def failure(self) -> Optional[AudioError]:
        """Why the source has failed, if it has and `packets()` hasn't raised that yet; else `None`."""
        return self._failure

    def packets(self, chunk_seconds: float) -> Iterator[Packet]:
        """Yields packets as they come, in the thread that sends; waits for them.

        Args:
            chunk_seconds: Not used: `start()` got it.

        Raises:
            AudioError: The source failed, fell silent, gave no audio, or was closed. Raised even if packets are left:
                to grade half an answer would be worse.
        """
        while True:
            with self._turn:
                self._feed.look_at_clock()
                ended = self._feed.ended_by is not None
                failure, self._failure = self._failure, None
                packet = self._feed.take()
            if failure is not None:
                try:
                    raise failure
                finally:
                    del failure  # its traceback refers to this frame; a circle would keep the audio
            if self._closed:
                raise AudioError(f"{self.name} was closed before the speech had ended")
            if not ended and self._silence() > self._source_timeout:
                raise AudioError(
                    f"{self.name} gave nothing for {self._source_timeout:g} s ({self.timeout_option}); "
                    "check what it is fed by, or end it where the speech ends"
                )
            if not ended and self._time_for_audio() <= 0.0:
                raise AudioError(
                    f"{self.name} gave bytes for {self._longest_prelude:g} s, but no audio in them: check what it is "
                    "fed by"
                )
            if packet is not None:
                self._room.put(None)
                yield packet
            elif ended:
                if not self._feed.frame_count:
                    raise AudioError(f"{self.name} ended without audio; check what it is fed by")
                return
            else:
                until = min(self._source_timeout - self._silence(), self._feed.time_left(), self._time_for_audio())
                with contextlib.suppress(queue.Empty):
                    self._arrival.get(max(min(until, PATIENCE), 0.0))

    def close(self) -> None:
        """Makes `packets()` raise an error; any thread may call this. Doesn't close the source."""
        self._closed = True
        for bell in (self._arrival, self._room):
            bell.put(None)

    def join(self) -> None:
        """Call it after `close()`: waits for the source's thread, if it isn't stuck in the source; closes `save`."""
        thread = self._thread
        if thread is not None and not self._gone:
            with contextlib.suppress(queue.Empty):
                self._leave.get(_LAST_WAIT if self._is_in_source else 0.5)
        if thread is not None and self._gone:
            thread.join(0.5)
        super().join()
        self._source = None

    def __repr__(self) -> str:
        return f"LiveAudio({type(self._source).__name__}, {self._raw!r})"

    def _silence(self) -> float:
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def _longest_prelude(self) -> float:
        """Seconds for which a source may give bytes before the first audio; endless headers must not go on for ever."""
        return max(self.max_seconds, self._source_timeout)

    def _time_for_audio(self) -> float:
        """Returns the seconds that are left of `_longest_prelude`."""
        if self._first_given is None or self._feed.began is not None:
            return math.inf
        return self._first_given + self._longest_prelude - time.monotonic()

    # In the source's thread.

    def _run(self, sample_rate: Optional[int]) -> None:
        source = self._source
        try:
            self._draw(unpack(draw(source, self), self._raw, sample_rate, self._expect, self._warn, self.name))
            with self._turn:
                self._feed.end()
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            self._fail(error)
        finally:
            del source
            self._arrival.put(None)
            self._gone = True
            self._leave.put(None)

    def _draw(self, pieces: Generator[Any, None, None]) -> None:
        with contextlib.closing(pieces):  # which also closes the source's iterator, in this thread
            for piece in pieces:
                if len(piece) <= MOST_BYTES:
                    if not self._add(piece):
                        return
                    continue
                view = memoryview(piece)
                for start in range(0, len(view), MOST_BYTES):
                    if not self._add(view[start : start + MOST_BYTES]):
                        return

    def _add(self, data: Data) -> bool:
        """Waits until the feed has room, and adds bytes to it; returns whether to go on."""
        self._wait_for_room()
        with self._turn:
            has_news = self._feed.add(data)
        if not has_news:
            return True  # the most frequent case; draw() notices if this was closed
        self._arrival.put(None)
        return not self._closed and self._feed.ended_by is None

    def _expect(self, *what: Any) -> None:
        with self._turn:
            self._feed.expect(*what)

    def _wait_for_room(self) -> None:
        while self._feed.is_full and not self._closed and self._feed.ended_by is None:
            self._silent_since = None
            with contextlib.suppress(queue.Empty):
                self._room.get(PATIENCE)
        if self._silent_since is None:
            self._silent_since = time.monotonic()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, AudioError):
            failure = error
        else:
            failure = AudioError(f"{self.name} failed ({_describe(error)})")
            failure.__cause__ = error
        with self._turn:
            if self._feed.ended_by is None:
                self._failure = failure

    def enter_source(self) -> None:
        """Notes that the source's code is about to run."""
        self._is_in_source = True

    def leave_source(self, size: int) -> bool:
        """Notes how many bytes the source's code gave; returns whether to draw more."""
        self._is_in_source = False
        if size:
            self._silent_since = time.monotonic()
            self._first_given = self._first_given or self._silent_since
        return not self._closed and self._feed.ended_by is None


def _describe(error: BaseException) -> str:
    """Returns the kind of a foreign exception, and what it says."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a defect of its class must not hide that it was raised
        text = ""
    return cut(f"{type(error).__name__}: {text}" if text else type(error).__name__)
