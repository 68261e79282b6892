"""What can be measured of audio: whether it is silent, and how loud its channels are. Called by the rest of `audio`."""

from __future__ import annotations

import array
from typing import List, Optional, Union

__all__ = ["Balance", "is_silent"]

_BLOCK_BYTES = 2**16

# A channel alone makes about 1 ÷ channels of a mix: -6 dB in stereo. A mix that is this many times quieter again than
# its loudest channel would be in it by itself, has lost that channel to another one of opposite phase.
_CANCELLED = 4

_AUDIBLE = 30  # of 32768, as root mean square, -61 dB: below it nobody speaks, and rounding may make a mix silent

_STEP = 7  # every seventh sample tells how loud a frame is


def is_silent(pcm: Union[bytes, memoryview], frame_width: int) -> bool:
    """Returns whether all frames are the same, zeros most likely: 0.1 ms for a minute, and for speech no time at all.

    Args:
        pcm: Whole frames.
        frame_width: Bytes in a frame.
    """
    with memoryview(pcm) as view:
        same = bytes(view[:frame_width]) * max(_BLOCK_BYTES // frame_width, 1)
        return all(same.startswith(view[at : at + len(same)]) for at in range(0, len(view), len(same)))


class Balance:
    """How loud the channels of a recording are, and their mix: an estimate, from some of its frames.

    All of them would take as long as the decoding does. At the beginning they are taken a tenth of a second apart,
    later further and further: 90 frames tell of 150 s.
    """

    def __init__(self) -> None:
        self._next = 0.0
        self._count = 0
        self._mix = 0
        self._parts: List[int] = []

    @property
    def channels(self) -> int:
        """How many there are; 0 if they weren't measured."""
        return len(self._parts)

    def is_due(self, seconds: float) -> bool:
        """Returns whether the frame that begins at `seconds` should be added."""
        return seconds >= self._next

    def add(self, seconds: float, all_channels: bytes, mix: bytes) -> None:
        """Adds a frame that begins at `seconds`: its channels, sample by sample, and their mix, both of 16 bit."""
        self._next = 1.05 * seconds + 0.1
        channels = len(all_channels) // len(mix)
        if not self._parts:
            self._parts = [0] * channels
        if channels == len(self._parts):  # else the stream has changed its layout: the first one is measured
            samples, mixed = array.array("h", all_channels), array.array("h", mix)[::_STEP]
            self._count += len(mixed)
            self._mix += _energy(mixed)
            for channel in range(channels):
                self._parts[channel] += _energy(samples[channel :: channels * _STEP])

    def survivor(self) -> Optional[int]:
        """Returns the loudest channel if the channels cancel each other out when they are mixed; else `None`."""
        loudest = max(self._parts, default=0)
        if loudest <= _AUDIBLE**2 * self._count or self._mix * (_CANCELLED * len(self._parts)) ** 2 >= loudest:
            return None
        return self._parts.index(loudest)


def _energy(samples: array.array[int]) -> int:
    return sum(sample * sample for sample in samples)
