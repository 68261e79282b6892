"""`Microphone`: speech from a microphone, by sounddevice and PortAudio (extra `microphone`). Made by the caller.

    PortAudio's thread: block → mailbox ──► the source's thread: _capture() → Feed ──► the thread that sends: packets()

A microphone is live audio whose source is our own generator. It gives a WAV as it comes, whose header tells at which
rate the device was opened. Only the source's thread opens and closes the device: if the sound server hangs, each takes
half a minute or more, and the caller's thread must not wait for that without a bound.
"""

from __future__ import annotations

import array
import math
import os
import queue
import time
from typing import TYPE_CHECKING, Generator, Iterator, List, Optional, Union

from ..deadline import Deadline
from ..exceptions import AudioError, ConfigError
from ..mailbox import Mailbox
from .check import THRESHOLDS
from .feed import MAX_SECONDS
from .live import LiveAudio
from .measures import clipped_ratio
from .packets import Packet
from .portaudio import BLOCK_SECONDS, Block, Gone, InputDevice, Stream, list_devices, load, skip_last_call
from .unpacking import raw_format
from .wav import header

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Microphone"]

SAMPLE_RATE = 16000  # Hz; the server converts all audio to that
OPEN_SECONDS = 10.0  # s to open the device; a headset without a cable takes some
SILENT_SECONDS = 10.0  # s without audio after which the device counts as broken; it gives audio even in silence
ZEROS_SECONDS = 2.0  # s of nothing but zeros before the warning

_FULL_SCALE = 32768  # the largest sample of 16 bit


class Microphone(LiveAudio):
    """Speech from a microphone, mono and 16 bit: give it to `score()` in place of a recording. It serves only once.

    It records from when `score()` is called, and so also what is said while the connection is made. The speech ends
    when the server has heard its end, by `stop()`, or after `max_seconds`.

    Example:
        >>> from elsa_unscripted import Microphone, score
        >>> with Microphone() as microphone:  # doctest: +SKIP
        ...     result = score(microphone, "any-token")

    Attributes:
        device: The name of the device, while and after it is recorded from; `None` before.
    """

    name = "the microphone"

    def __init__(
        self,
        device: Union[int, str, None] = None,
        *,
        sample_rate: Optional[int] = None,
        max_seconds: Optional[float] = MAX_SECONDS,
        save: Union[str, os.PathLike[str], None] = None,
    ) -> None:
        """Chooses a microphone; `score()` opens it.

        Args:
            device: Its number in `list_devices()`, or its name or a part of that, in any case; `None` is the default.
            sample_rate: Hz to record at; `None` is 16,000, which the server wants. A device that refuses the rate is
                opened at its own. The audio is sent at the rate at which the device was opened.
            max_seconds: The most seconds of audio, and of time since the first audio; `None` for no bound.
            save: The path for a WAV file of exactly what was sent; the file is readable at any time.

        Raises:
            ConfigError: An option is wrong.
        """
        super().__init__((), max_seconds=max_seconds, source_timeout=math.inf, save=save)
        if isinstance(device, bool) or not isinstance(device, (int, str, type(None))) or device == "":
            raise ConfigError(f"device must be the number or the name of a microphone, or None, not {device!r}")
        self._wanted = device
        self._rate = SAMPLE_RATE if sample_rate is None else raw_format(sample_rate, 1, 2).sample_rate
        self.device: Optional[str] = None
        # From PortAudio's thread; `None` only wakes the source's thread.
        self._blocks: Mailbox[Union[Block, Gone, None]] = Mailbox()
        self._stream: Optional[Stream] = None
        self._latest = b""  # the PCM of the last block; empty while nothing is recorded
        self._stopped_at: Optional[float] = None  # when `stop()` was called, on the monotonic clock
        self._has_sound = False  # whether a sample was other than zero

    @staticmethod
    def list_devices() -> List[InputDevice]:
        """Returns the devices to record from that there were when the process first asked for them.

        Raises:
            AudioError: sounddevice or PortAudio is missing.
        """
        return list_devices(load())

    @property
    def level(self) -> float:
        """How loud the last tenth of a second was, in dBFS: the root mean square beside the largest sample that can be.

        0 is the loudest, speech is at -40 to -10, and minus infinity is digital silence, or nothing that is recorded.
        """
        samples = array.array("h", self._latest)
        if not any(samples):
            return -math.inf
        return 10 * math.log10(sum(sample * sample for sample in samples) / len(samples) / _FULL_SCALE**2)

    @property
    def is_clipping(self) -> bool:
        """Whether the last tenth of a second was too loud for the microphone: clipped, as `check_audio()` counts it."""
        return clipped_ratio(self._latest) > THRESHOLDS["clipped"].value

    def stop(self) -> None:
        """Ends the speech, from any thread or signal handler; `score()` goes on to wait for the verdict."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
        self._blocks.put(None)

    def start(self, chunk_seconds: float, sample_rate: Optional[int]) -> None:
        """Opens the device, and begins to record. Called by `Client.score()`.

        Args:
            chunk_seconds: Seconds of audio in a packet.
            sample_rate: Hz to resample to (extra `formats`); `None` sends the audio at the rate of the device.

        Raises:
            AudioError: The device can't be opened, or no thread could be started.
            ConfigError: `save` can't be written.
        """
        self._source = self._capture()
        super().start(chunk_seconds, sample_rate)
        until = Deadline(OPEN_SECONDS)
        while self.device is None and self._failure is None:
            if self._closed:
                raise AudioError(f"{self.name} was closed before it recorded: call score() within its `with` block")
            try:
                self._arrival.get(until.remaining())
            except queue.Empty:
                raise AudioError(
                    f"the microphone did not open within {OPEN_SECONDS:g} s: does the sound server hang? Start it "
                    "again, or choose another device"
                ) from None
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback refers to this frame; a circle would keep the audio

    def packets(self, chunk_seconds: float) -> Iterator[Packet]:
        """Yields packets as they come; see `LiveAudio.packets()`.

        Raises:
            AudioError: Also if the audio has ended, and all of it was zeros.
        """
        yield from super().packets(chunk_seconds)
        if not self._has_sound:
            raise AudioError(f"{self._name} gave nothing but digital silence to the end; {_MUTED}")

    def close(self) -> None:
        """Makes `packets()` raise an error, and ends the recording; any thread may call this."""
        super().close()
        self._blocks.put(None)

    def join(self) -> None:
        """Call it after `close()`: waits a moment for the device to be closed; closes `save`."""
        super().join()
        if self._thread is not None and self._thread.is_alive():
            # The sound server hangs, and the thread in PortAudio with it. So would sounddevice at the end of this
            # process, in its last call of PortAudio.
            skip_last_call()

    def enter_source(self) -> None:
        """Does nothing: here the source is our own code, and `join()` may wait for it."""

    def __enter__(self) -> Microphone:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Microphone({self.device or self._wanted!r})"

    @property
    def _name(self) -> str:
        return f"the microphone {self.device!r}"

    # In the source's thread.

    def _run(self, sample_rate: Optional[int]) -> None:
        try:
            super()._run(sample_rate)
        finally:
            # Last, after other threads have been told of the end or of the failure: closing may take a minute.
            stream, self._stream = self._stream, None
            if stream is not None:
                stream.close()

    def _capture(self) -> Generator[bytes, None, None]:
        """Records; yields a WAV as it comes."""
        self._stream = stream = Stream(load(), self._wanted, self._rate, self._blocks)
        yield header(stream.sample_rate, 1, 2, 0)  # of unknown length
        # Only now, when whoever has taken the header can send that audio.
        self.device = stream.name
        self._arrival.put(None)
        try:
            yield from self._listen(stream)
        finally:
            self._latest = b""

    def _listen(self, stream: Stream) -> Iterator[bytes]:
        frames = 0
        before: Optional[Block] = None
        for block in self._draw_blocks(stream.lag):
            if frames and block.after_gap:
                assert before is not None
                raise AudioError(_gap(self._name, before, block, frames, stream.sample_rate))
            if self._feed.is_full:
                given = frames / stream.sample_rate
                raise AudioError(
                    f"of {given:.1f} s of speech, {self._feed.backlog:.1f} s are missing: they wait to be sent, since "
                    "the server, or the network, is too slow"
                )
            before, self._latest = block, block.pcm
            frames += len(block.pcm) // 2
            if not self._has_sound:
                self._has_sound = bool(block.pcm.strip(b"\0"))
                due = round(ZEROS_SECONDS * stream.sample_rate)
                if not self._has_sound and frames - len(block.pcm) // 2 < due <= frames:
                    self._warn(f"{self._name} has given nothing but digital silence for {ZEROS_SECONDS:g} s; {_MUTED}")
            yield block.pcm
        if not frames and not self._closed:
            raise AudioError(f"{self._name} was stopped before it gave any audio")

    def _draw_blocks(self, lag: float) -> Iterator[Block]:
        """Yields blocks until `close()`, or until those are there that were recorded before `stop()`.

        Args:
            lag: How late blocks come, in seconds.

        Raises:
            AudioError: The device gives no more audio.
        """
        while not self._closed:
            stopped_at = self._stopped_at
            last = math.inf if stopped_at is None else stopped_at + lag  # when the last block comes
            try:
                block = self._blocks.get(min(max(last - time.monotonic(), 0.0), SILENT_SECONDS))
            except queue.Empty:
                if last < math.inf:
                    return
                raise AudioError(
                    f"{self._name} gave no audio for {SILENT_SECONDS:g} s: does the sound server hang, or was the "
                    "device unplugged?"
                ) from None
            if isinstance(block, Gone):
                if last < math.inf:
                    return
                raise AudioError(f"{self._name} has gone away: it was unplugged, or the sound server has ended")
            if block is not None:
                if block.came > last:
                    return
                yield block


_MUTED = (
    "is it muted, is it the wrong one, or does the system refuse it to this program (on macOS: System Settings, "
    "Privacy & Security, Microphone)?"
)


def _gap(name: str, before: Block, block: Block, frames: int, sample_rate: int) -> str:
    missing = block.at - before.at - len(before.pcm) / 2 / sample_rate if block.at and before.at else 0.0
    return (
        f"about {max(missing, BLOCK_SECONDS):.1f} s of the speech are missing, after {frames / sample_rate:.1f} s: "
        f"the computer was too busy to take them from {name}"
    )
