"""`Packet`, and `Source`, which packets are drawn from; cuts PCM into packets. For all of `audio`, and `exchange`."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Dict, Iterator, NamedTuple, Optional, Protocol, Tuple, Union

from ..exceptions import AudioError
from .wav import header

__all__ = ["Format", "LiveSource", "Packet", "Source", "cut", "frames_per_packet", "packet_count"]


class Format(NamedTuple):
    """The format of PCM, as a WAV header tells it.

    Attributes:
        sample_rate: Frames in a second (Hz).
        channels: Samples in a frame.
        sample_width: Bytes in a sample: 1, 2 or 4. Samples of one byte are unsigned, wider ones signed, little-endian.
    """

    sample_rate: int
    channels: int
    sample_width: int

    @property
    def frame_width(self) -> int:
        """Bytes in a frame."""
        return self.sample_width * self.channels


class Packet(NamedTuple):
    """A piece of audio, as it is sent.

    Attributes:
        data: A complete WAV file: a header of 44 bytes, then the PCM.
        frames: Frames of audio in it.
    """

    data: bytes
    frames: int


class Source(Protocol):
    """Audio that can be drawn as packets: a `Recording`, or live audio.

    Attributes:
        format: The format of the PCM in the packets; for a live container, known with the first packet.
        seconds: How long the audio is, in seconds; `None` while nobody knows.
        frame_count: Frames of audio: in all for a recording, given so far for live audio.
        warnings: Sentences on audio that the header promises but that is missing, or that it doesn't promise.
    """

    @property
    def format(self) -> Format: ...

    @property
    def seconds(self) -> Optional[float]: ...

    @property
    def frame_count(self) -> int: ...

    @property
    def warnings(self) -> Tuple[str, ...]: ...

    def packets(self, chunk_seconds: float) -> Iterator[Optional[Packet]]:
        """Yields the audio in packets of `chunk_seconds`, the last one shorter; each has at least one frame.

        Live audio that never waits (`pushed.PushedAudio`) yields `None` while no packet is full.
        """
        ...

    def close(self) -> None:
        """Ends `packets()`; any thread may call this. Doesn't close a file or a device: whoever opened it does."""
        ...


class LiveSource(Source, Protocol):
    """A source whose audio is spoken while it is sent.

    Attributes:
        began: When the first audio came, on the monotonic clock; `None` before.
        ended_by: What ended the audio: `"source"` or `"limit"`; `None` while it comes.
        max_seconds: The most seconds of audio, and of time since the first audio; infinity for no bound.
        failure: Why the source has failed, if it has and `packets()` hasn't raised that yet; else `None`.
    """

    @property
    def failure(self) -> Optional[AudioError]: ...

    @property
    def began(self) -> Optional[float]: ...

    @property
    def ended_by(self) -> Optional[str]: ...

    @property
    def max_seconds(self) -> float: ...

    def note_sent(self, packet: Packet) -> None:
        """Takes a packet that was sent; called in the thread that sends."""
        ...

    def join(self) -> None:
        """Call it after `close()`: waits for the source's thread, if it can be ended, and closes its own files."""
        ...


def packet_count(frames: int, sample_rate: int, chunk_seconds: float) -> int:
    """Returns how many packets `cut()` makes of `frames` frames."""
    return -(-frames // frames_per_packet(sample_rate, chunk_seconds))


def cut(pcm: Union[bytes, memoryview], audio_format: Format, chunk_seconds: float) -> Iterator[Packet]:
    """Cuts PCM into packets, one at a time.

    Packet k holds the frames from ⌊k·chunk_seconds·sample_rate⌋ up to where packet k+1 begins; the last packet, the
    frames that are left. The vendor's reference client cuts likewise, but rounds the last packet to milliseconds.

    Args:
        pcm: Whole frames.
        audio_format: The format of the PCM.
        chunk_seconds: Seconds of audio in a packet; but each packet has at least one frame.
    """
    # Integers: to multiply a `Fraction` for each packet would take longer than all the rest.
    frames, parts = frames_per_packet(audio_format.sample_rate, chunk_seconds).as_integer_ratio()
    width = audio_format.frame_width
    headers: Dict[int, bytes] = {}
    with memoryview(pcm) as view:
        for index in range(packet_count(len(view) // width, audio_format.sample_rate, chunk_seconds)):
            piece = view[index * frames // parts * width : (index + 1) * frames // parts * width]
            size = len(piece)
            if size not in headers:
                headers[size] = header(*audio_format, size)
            yield Packet(headers[size] + piece, size // width)


@functools.lru_cache(64)  # to work with a `Fraction` takes as long as to send two packets
def frames_per_packet(sample_rate: int, chunk_seconds: float) -> Fraction:
    """Returns how many frames a packet has, as a fraction: packet k ends before frame ⌊(k+1) times that⌋."""
    # From the decimal digits: so 0.1 is exactly a tenth, and no packet's boundary drifts, however long the audio.
    return max(Fraction(str(chunk_seconds)) * sample_rate, Fraction(1))
