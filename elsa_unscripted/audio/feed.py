"""`Feed`: live PCM goes in, in pieces of any size; packets come out, each as soon as it is full.

`live` and `pushed` fill it, and draw packets from it. It has no thread and no lock, and never waits: `live`, which uses
it in two threads, has a lock for that.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Union

from ..exceptions import ConfigError
from .packets import Format, Packet, frames_per_packet
from .wav import header

__all__ = ["BUFFER_SECONDS", "MAX_SECONDS", "NAME", "PATIENCE", "Feed", "checked_limit"]

MAX_SECONDS = 150.0  # s: a forgotten microphone must not be billed for hours; the service is said to take no more
BUFFER_SECONDS = 30.0  # s; the most audio, beside one packet, that waits to be sent: no healthy handshake takes so long

# s: if a source ends within this time after it gave `max_seconds` of audio, it was not cut off by the limit.
_LAST_LOOK = 0.1

NAME = "the live source"  # in messages, if there is no better name for it

PATIENCE = 3600.0  # s; the longest single wait in a loop that waits for a wake-up

Data = Union[bytes, bytearray, memoryview]


class Feed:
    """The audio that a source has given and that was not sent yet.

    Attributes:
        format: The format of the PCM in the packets; `None` until `expect()`.
        began: When the first audio came, on the monotonic clock; `None` before.
        ended_by: What ended the audio: `"source"` or `"limit"`; `None` while it comes.
        warnings: Sentences on audio that was left out.
    """

    def __init__(self, chunk_seconds: float, max_seconds: Optional[float], name: str = NAME) -> None:
        """Makes an empty feed.

        Args:
            chunk_seconds: Seconds of audio in a packet.
            max_seconds: The most seconds of audio, and of time since the first audio; `None` for no bound.
            name: What to call the source in warnings.
        """
        self._name = name
        self.format: Optional[Format] = None
        self.began: Optional[float] = None
        self.ended_by: Optional[str] = None
        self.warnings: List[str] = []
        self._chunk_seconds = chunk_seconds
        self._max_seconds = math.inf if max_seconds is None else max_seconds
        self._packets: Deque[Packet] = deque()
        self._convert: Optional[Callable[[bytes], bytes]] = None
        self._raw = b""  # bytes that are not converted yet: less than a frame
        self._raw_width = 0  # bytes in a frame of `_raw`
        self._pcm = bytearray()  # PCM that is not in a packet yet
        self._width = 1  # bytes in a frame of `_pcm`
        self._full = 0  # bytes of `_pcm` at which the next packet is full
        self._cut_frames = 0  # frames in all packets so far
        self._taken_frames = 0
        self._count = 0  # packets so far
        self._max_frames: float = math.inf
        self._at_limit: Optional[float] = None  # when the last frame came that `max_seconds` allows
        self._frames, self._parts = 0, 1  # their quotient is the number of frames in a packet
        self._header = b""
        self._header_size = -1

    def expect(
        self, audio_format: Format, raw_width: int = 0, convert: Optional[Callable[[bytes], bytes]] = None
    ) -> None:
        """Sets the format; call it before the first `add()`.

        Args:
            audio_format: The format of the PCM in the packets.
            raw_width: Bytes in a frame of the data that `add()` gets.
            convert: Converts whole frames of that data to PCM; at the end, it gets `b""`, and returns the rest that it
                has kept back. `None` if that data needs no conversion.
        """
        self.format = audio_format
        self._raw_width, self._convert = raw_width, convert
        self._width = audio_format.frame_width
        self._max_frames = self._max_seconds * audio_format.sample_rate
        if self._max_frames < math.inf:
            self._max_frames = max(int(self._max_frames), 1)
        self._frames, self._parts = frames_per_packet(audio_format.sample_rate, self._chunk_seconds).as_integer_ratio()
        self._plan()

    @property
    def frame_count(self) -> int:
        """How many frames the source has given so far."""
        return self._cut_frames + len(self._pcm) // self._width

    @property
    def backlog(self) -> float:
        """Seconds of audio that were not taken yet."""
        if self.format is None:
            return 0.0
        return (self.frame_count - self._taken_frames) / self.format.sample_rate

    @property
    def has_packet(self) -> bool:
        """Whether `take()` would return a packet."""
        return bool(self._packets)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added until a packet was taken."""
        return self.has_packet and self.backlog > BUFFER_SECONDS  # a packet may be longer than the buffer

    def add(self, data: Data) -> bool:
        """Takes any number of bytes from the source. The first bytes beyond `max_seconds` end the audio.

        Returns:
            Whether a packet is full, or the audio has ended.
        """
        if self.ended_by is not None or not data:
            return self.has_packet or self.ended_by is not None
        if self.began is None:
            self.began = time.monotonic()
        if self._at_limit is not None:
            self.ended_by = "limit"
            return True
        if self._convert is None:
            self._pcm += data
        else:
            self._raw += bytes(data)
            whole = len(self._raw) - len(self._raw) % self._raw_width
            if whole:
                self._pcm += self._convert(self._raw[:whole])
                self._raw = self._raw[whole:]
        if len(self._pcm) < self._full:
            return bool(self._packets)  # the most frequent case
        self._cut_full_packets()
        return True

    def end(self) -> None:
        """Ends the audio, since the source has ended."""
        if self.ended_by is not None:
            return
        excess = len(self._raw) if self._convert is not None else len(self._pcm) % self._width
        if self._convert is not None and self.began is not None and self._at_limit is None:
            self._pcm += self._convert(b"")
            self._cut_full_packets()
        if excess and self.ended_by is None:
            self.warnings.append(f"the last frame of {self._name} is incomplete, {excess} bytes are left out")
        self._flush("source")

    def look_at_clock(self) -> None:
        """Ends the audio if the time since the first audio has reached `max_seconds`."""
        if self.time_left() <= 0.0:
            self._flush("limit")

    def time_left(self) -> float:
        """Returns the seconds until `look_at_clock()` ends the audio."""
        if self.began is None or self.ended_by is not None:
            return math.inf
        if self._at_limit is not None:
            return self._at_limit + _LAST_LOOK - time.monotonic()
        return self.began + self._max_seconds - time.monotonic()

    def take(self) -> Optional[Packet]:
        """Takes out the next packet, if one is full."""
        if not self._packets:
            return None
        packet = self._packets.popleft()
        self._taken_frames += packet.frames
        return packet

    def _flush(self, ended_by: str) -> None:
        if self.ended_by is None:
            rest = len(self._pcm) - len(self._pcm) % self._width
            if rest:
                self._cut(rest)
            self.ended_by = ended_by
        self._pcm.clear()

    def _cut_full_packets(self) -> None:
        while len(self._pcm) >= self._full:
            self._cut(self._full)
            if self._cut_frames >= self._max_frames:
                self._at_limit = time.monotonic()
                if self._pcm:
                    self.ended_by = "limit"
                    self._pcm.clear()
                return
            self._plan()

    def _plan(self) -> None:
        """Works out where the next packet ends, with the same boundaries as `packets.cut()`."""
        boundary = min((self._count + 1) * self._frames // self._parts, self._max_frames)
        self._full = int(boundary - self._cut_frames) * self._width

    def _cut(self, size: int) -> None:
        assert self.format is not None
        if size != self._header_size:
            self._header, self._header_size = header(*self.format, size), size
        frames = size // self._width
        with memoryview(self._pcm) as view:
            self._packets.append(Packet(b"".join((self._header, view[:size])), frames))
        del self._pcm[:size]
        self._cut_frames += frames
        self._count += 1


def checked_limit(max_seconds: object) -> Optional[float]:
    """Returns `max_seconds` as an option of a live source.

    Raises:
        ConfigError: `max_seconds` is neither a number above 0 nor `None`.
    """
    if max_seconds is None:
        return None
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, (int, float)) or not 0 < max_seconds < 1e9:
        raise ConfigError(f"max_seconds must be a number of seconds above 0, or None for no limit, not {max_seconds!r}")
    return float(max_seconds)
