"""Measures whether audio is silent, and how loud its channels are. For `container` and `recording`."""

from __future__ import annotations

import array
from typing import List, Optional, Union

__all__ = ["Balance", "is_silent"]

_BLOCK_BYTES = 2**16

# If only one channel has sound, the mix is about 1 ÷ channels as loud as that channel: -6 dB in stereo. A mix at least
# this many times quieter than that has lost its loudest channel to another one of opposite phase.
_CANCELLED = 4

_AUDIBLE = 30  # of 32768, root mean square, -61 dB: quieter audio is no speech, and rounding may make its mix silent

_STEP = 7  # to measure every seventh sample of a frame is enough


def is_silent(pcm: Union[bytes, memoryview], frame_width: int) -> bool:
    """Returns whether all frames are the same, most likely zeros. Takes 0.1 ms for a silent minute, less for speech.

    Args:
        pcm: Whole frames.
        frame_width: Bytes in a frame.
    """
    with memoryview(pcm) as view:
        same = bytes(view[:frame_width]) * max(_BLOCK_BYTES // frame_width, 1)
        return all(same.startswith(view[at : at + len(same)]) for at in range(0, len(view), len(same)))


class Balance:
    """Estimates from some frames of a recording how loud its channels are, and how loud their mix is.

    To measure all frames would take as long as to decode them. The first frames are taken a tenth of a second apart,
    later ones further and further apart: 90 frames for 150 s.
    """

    def __init__(self) -> None:
        self._next = 0.0
        self._count = 0
        self._mix = 0
        self._parts: List[int] = []

    @property
    def channels(self) -> int:
        """How many channels there are; 0 if none was measured."""
        return len(self._parts)

    def is_due(self, seconds: float) -> bool:
        """Returns whether the frame that begins at `seconds` should be added."""
        return seconds >= self._next

    def add(self, seconds: float, all_channels: bytes, mix: bytes) -> None:
        """Adds a frame that begins at `seconds`: its channels interleaved, and their mix, both of 16 bit."""
        self._next = 1.05 * seconds + 0.1
        channels = len(all_channels) // len(mix)
        if not self._parts:
            self._parts = [0] * channels
        if channels == len(self._parts):  # else the number of channels has changed: only the first layout is measured
            samples, mixed = array.array("h", all_channels), array.array("h", mix)[::_STEP]
            self._count += len(mixed)
            self._mix += _energy(mixed)
            for channel in range(channels):
                self._parts[channel] += _energy(samples[channel :: channels * _STEP])

    def survivor(self) -> Optional[int]:
        """Returns the loudest channel (from 0) if the channels cancel each other out in the mix; else `None`."""
        loudest = max(self._parts, default=0)
        if loudest <= _AUDIBLE**2 * self._count or self._mix * (_CANCELLED * len(self._parts)) ** 2 >= loudest:
            return None
        return self._parts.index(loudest)


def _energy(samples: array.array[int]) -> int:
    return sum(sample * sample for sample in samples)
