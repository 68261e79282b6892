"""`Feed`: live PCM goes in, in pieces of any size; packets come out, each as soon as it is full.

Filled by whatever gives live audio (`live`, and `exchange.stream`), emptied by who sends it. It has no thread, no lock
and no wait: those who use it from two threads take turns.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Union

from ..exceptions import ConfigError
from .packets import Format, Packet, frames_per_packet
from .wav import header

__all__ = ["BUFFER_SECONDS", "MAX_SECONDS", "PATIENCE", "Feed", "checked_limit"]

MAX_SECONDS = 150.0  # s: a forgotten microphone must not be billed for hours; the service is said to take no more
BUFFER_SECONDS = 30.0  # s of audio that wait to be sent, at most: longer than any healthy handshake

# A source that gives just `max_seconds` has ended by itself, if it ends within this time.
_LAST_LOOK = 0.1  # s

PATIENCE = 3600.0  # s of a wait that only a wake-up ends, and that then begins anew

Data = Union[bytes, bytearray, memoryview]


class Feed:
    """Audio between who gives it and who sends it.

    Attributes:
        format: Of the PCM in the packets; `None` until `expect()`.
        began: When the first audio came, on the monotonic clock; `None` before.
        ended_by: What ended the audio: `"source"` or `"limit"`; `None` while it comes.
        warnings: Sentences on what was left out.
    """

    def __init__(self, chunk_seconds: float, max_seconds: Optional[float]) -> None:
        """Makes an empty one.

        Args:
            chunk_seconds: Seconds of audio in a packet.
            max_seconds: Bounds the audio, and the time since the first of it; `None` for no bound.
        """
        self.format: Optional[Format] = None
        self.began: Optional[float] = None
        self.ended_by: Optional[str] = None
        self.warnings: List[str] = []
        self._chunk_seconds = chunk_seconds
        self._max_seconds = math.inf if max_seconds is None else max_seconds
        self._packets: Deque[Packet] = deque()
        self._convert: Optional[Callable[[bytes], bytes]] = None
        self._raw = b""  # what came and isn't converted yet: less than a frame
        self._raw_width = 0  # bytes in a frame of that
        self._pcm = bytearray()  # what isn't in a packet yet
        self._width = 1  # bytes in a frame of that
        self._full = 0  # bytes of `_pcm` at which the next packet is full
        self._cut_frames = 0  # in all packets so far
        self._taken_frames = 0
        self._count = 0  # packets so far
        self._max_frames: float = math.inf
        self._at_limit: Optional[float] = None  # when the last frame came that `max_seconds` allows
        self._frames, self._parts = 0, 1  # in a packet: their quotient
        self._header = b""
        self._header_size = -1

    def expect(
        self, audio_format: Format, raw_width: int = 0, convert: Optional[Callable[[bytes], bytes]] = None
    ) -> None:
        """Tells what the audio is like, before the first of it.

        Args:
            audio_format: Of the PCM in the packets.
            raw_width: Bytes in a frame of what is added.
            convert: Makes PCM of whole frames of what is added, at each call of `add()`; `b""` asks for what it may
                have kept back, at the end. `None` if what is added is PCM.
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
        """Frames that have been given so far."""
        return self._cut_frames + len(self._pcm) // self._width

    @property
    def backlog(self) -> float:
        """Seconds of audio that wait."""
        if self.format is None:
            return 0.0
        return (self.frame_count - self._taken_frames) / self.format.sample_rate

    @property
    def has_packet(self) -> bool:
        """Whether `take()` would return one."""
        return bool(self._packets)

    def add(self, data: Data) -> None:
        """Takes what the source gives: any number of bytes. Beyond the limit, they end the audio."""
        if self.ended_by is not None or not data:
            return
        if self.began is None:
            self.began = time.monotonic()
        if self._at_limit is not None:
            self.ended_by = "limit"
            return
        if self._convert is None:
            self._pcm += data
        else:
            self._raw += bytes(data)
            whole = len(self._raw) - len(self._raw) % self._raw_width
            if whole:
                self._pcm += self._convert(self._raw[:whole])
                self._raw = self._raw[whole:]
        self._cut_full_packets()

    def end(self) -> None:
        """Takes the end of the source."""
        if self.ended_by is not None:
            return
        excess = len(self._raw)
        if self._convert is not None and self.began is not None:
            self._pcm += self._convert(b"")
            self._cut_full_packets()
        else:
            excess = len(self._pcm) % self._width
        if excess and self.ended_by is None:
            self.warnings.append(f"the last frame of the live source is incomplete, {excess} bytes are left out")
        self._flush("source")

    def look_at_clock(self) -> None:
        """Ends the audio if its time is over."""
        if self.time_left() <= 0.0:
            self._flush("limit")

    def time_left(self) -> float:
        """Returns in how many seconds the audio's time is over."""
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

    def drop(self) -> None:
        """Forgets what wasn't taken."""
        self._packets.clear()
        self._pcm, self._raw, self._convert = bytearray(), b"", None

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
        """Works out where the next packet ends: the boundaries are those of `packets.cut()`."""
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
        ConfigError: It is neither a number above 0 nor `None`.
    """
    if max_seconds is None:
        return None
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, (int, float)) or not 0 < max_seconds < 1e9:
        raise ConfigError(f"max_seconds must be a number of seconds above 0, or None for no limit, not {max_seconds!r}")
    return float(max_seconds)
