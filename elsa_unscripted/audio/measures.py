"""Measures audio: level, clipping, offset, channels, and the frames that speech is looked for in. Called by `check`.

All loops over samples are those of `audioop`, which pydub needs anyway: 30 s take some 50 ms, and need no numpy.
"""

from __future__ import annotations

import array
import math
import re
import sys
from typing import Any, List, Literal, NamedTuple, Optional, Sequence, Tuple, Union

from ..imports import imported
from .libraries import import_audio_segment
from .packets import Format

__all__ = ["FRAME_SECONDS", "RATE", "Voice", "clipped_ratio", "decibels", "high_band", "percentile", "signal_to_noise"]

RATE = 16_000  # Hz of the copy that is measured; the server converts all audio to it, and the VAD was trained with it
FRAME = 512  # samples of that copy in a frame, the VAD's window
FRAME_SECONDS = FRAME / RATE
LOUD_FRAMES = 4  # the copy for the VAD is normalised by the fourth loudest frame: three may be clicks
LOUD = 0.18  # of full scale, root mean square (-15 dBFS): what that frame is brought to; the peaks of speech still fit
AWAY = 2  # frames (64 ms) that a pause must be away from speech: nearer ones hold its reverberation
MIN_PAUSES = 5  # frames (160 ms) of pauses, from which the noise can be told
HIGH_BAND = 4500.0  # Hz, where the high-pass filter is at -6 dB; below 4.1 kHz it lets nothing through
TAPS = 31  # on each side
BLOCK = 32  # frames that are filtered at a time
MIN_BAND_SECONDS = 2.0  # s of speech, from which its bandwidth can be told
BLOCKS = 6  # so many blocks, those with the most speech, tell the bandwidth
MIN_STEPS = 64  # steps of the recording's resolution: in quieter audio, a few equal samples at the extreme are normal

_FULL = 2.0**31  # the largest sample of 32 bit
_HALF = 0.5  # the measured copy is halved, so that it can be shifted by its offset without an overflow


class Channels(NamedTuple):
    """What the channels of a recording are like.

    Attributes:
        relation: `"equal"`, `"opposite"`, or `None`.
        clipped: The part of the samples that is clipped, of the channel that has the most.
        peak: The largest sample of any channel, 0 to 1.
        rms: The root mean square of the loudest channel, 0 to 1.
        dc: The offset that is the furthest from zero, -1 to 1.
    """

    relation: Optional[Literal["equal", "opposite"]]
    clipped: float
    peak: float
    rms: float
    dc: float


class Voice:
    """The copy of a recording that speech is looked for in: mono, 16 kHz, without its offset, in frames of 32 ms.

    Attributes:
        channels: What the channels are like.
        powers: The mean power of each frame, 1.0 being that of a square wave at full scale.
    """

    def __init__(self, pcm: Union[bytes, memoryview], audio_format: Format) -> None:
        self._audioop = audioop = _audioop()
        self.channels, mono = _split(audioop, pcm, audio_format)
        mono = audioop.mul(mono, 4, _HALF)
        mono = audioop.bias(mono, 4, -audioop.avg(mono, 4))
        self._pcm = pcm = _to_rate(audioop, mono, audio_format.sample_rate)
        scale = (_FULL * _HALF) ** 2
        self.powers = [audioop.rms(pcm[at : at + 4 * FRAME], 4) ** 2 / scale for at in range(0, len(pcm), 4 * FRAME)]

    def normalised(self) -> bytes:
        """Returns the copy in 16 bit, as loud as speech usually is; whole frames, the last filled up with zeros."""
        audioop = self._audioop
        loud = math.sqrt(sorted(self.powers)[-min(LOUD_FRAMES, len(self.powers))])
        louder = audioop.mul(self._pcm, 4, LOUD / max(loud, 1e-9) / _HALF)
        pcm: bytes = audioop.lin2lin(louder, 4, 2)
        return pcm + bytes(-len(pcm) % (2 * FRAME))

    def high_bands(self, speech: Sequence[bool]) -> List[float]:
        """Returns, for frames of speech, which part of the energy is above 4.3 kHz."""
        starts = sorted(range(0, len(speech), BLOCK), key=lambda at: -sum(speech[at : at + BLOCK]))[:BLOCKS]
        found = []
        for start in starts:
            block = self._pcm[start * 4 * FRAME : (start + BLOCK) * 4 * FRAME]
            filtered = _high_pass(self._audioop, block)
            # The filter leaves out its length at both ends: so do these frames.
            for index in range(1, len(block) // (4 * FRAME) - 1):
                if speech[start + index]:
                    at = index * 4 * FRAME
                    whole = self._audioop.rms(block[at : at + 4 * FRAME], 4)
                    high = self._audioop.rms(filtered[at - 4 * TAPS : at - 4 * TAPS + 4 * FRAME], 4)
                    found.append((high / max(whole, 1)) ** 2)
        return found


def high_band(parts: Sequence[float]) -> Optional[float]:
    """Returns the 95th percentile of `Voice.high_bands()` in dB; `None` if so little speech may have no s in it."""
    return decibels(percentile(parts, 0.95)) if len(parts) * FRAME_SECONDS >= MIN_BAND_SECONDS else None


def signal_to_noise(powers: Sequence[float], speech: Sequence[bool]) -> Optional[float]:
    """Returns the mean power of speech over the median power of pauses, in dB; `None` if there are no pauses.

    Not over their mean power: a breath or a chair in one pause would count as the noise of all of them. Frames of
    nothing but zeros are left out: a program has put them there.
    """
    spoken = [power for power, is_speech in zip(powers, speech) if is_speech]
    pauses = [
        power
        for index, power in enumerate(powers)
        if power and not any(speech[max(0, index - AWAY) : index + AWAY + 1])
    ]
    if not spoken or len(pauses) < MIN_PAUSES:
        return None
    return decibels(sum(spoken) / len(spoken) / percentile(pauses, 0.5))


def percentile(values: Sequence[float], part: float) -> float:
    """Returns the value that `part` (0 to 1) of the values aren't above."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def decibels(power: float) -> Optional[float]:
    """Returns a power in dB; `None` for nothing."""
    return 10 * math.log10(power) if power > 0 else None


def clipped_ratio(pcm: bytes, step: int = 1) -> float:
    """Returns which part of samples is clipped: at full scale, or in runs of three and more at their own extreme.

    The second finds what was clipped first, and made quieter then.

    Args:
        pcm: Samples of one channel, signed, 16 bit.
        step: The smallest difference of two samples: 256 for audio that was recorded with 8 bit.
    """
    if not pcm:
        return 0.0
    low, high = _audioop().minmax(pcm, 2)
    samples = array.array("h", pcm)
    ends = {-32768, step - 32768, 32768 - step}
    full = sum(map(samples.count, ends)) if low <= step - 32768 or high >= 32768 - step else 0
    flat = sum(_in_runs(pcm, extreme) for extreme in (low, high) if abs(extreme) >= MIN_STEPS * step)
    return max(full, flat) / len(samples)


def _in_runs(pcm: bytes, value: int) -> int:
    sample = value.to_bytes(2, sys.byteorder, signed=True)
    first = pcm.find(3 * sample)
    if first < 0:  # as in most recordings; a regular expression takes twenty times as long to say so
        return 0
    # A run that begins at an odd byte is made of halves of two samples.
    runs = (run.span() for run in re.compile(b"(?:%b){3,}" % re.escape(sample), re.DOTALL).finditer(pcm, first))
    return sum((stop - start) // 2 for start, stop in runs if start % 2 == 0)


def _audioop() -> Any:
    import_audio_segment()  # imports `audioop`, without the warning that Python 3.13 drops it
    return imported("audioop")


def _split(audioop: Any, pcm: Union[bytes, memoryview], audio_format: Format) -> Tuple[Channels, bytes]:
    """Returns what the channels are like, and their mix, or the loudest one if they cancel each other out; 32 bit."""
    count, width = audio_format.channels, audio_format.sample_width
    signed = audioop.bias(pcm, 1, 128) if width == 1 else pcm
    channels = _channels(signed, count, width)
    wide = [audioop.lin2lin(channel, width, 4) for channel in channels]
    levels = [audioop.rms(channel, 4) for channel in wide]
    loudest = levels.index(max(levels))
    mono = wide[0]
    relation: Optional[Literal["equal", "opposite"]] = None
    if count > 1:
        mono = bytes(len(wide[0]))
        for channel in wide:
            mono = audioop.add(mono, audioop.mul(channel, 4, 1 / count), 4)
        if len(set(channels)) == 1:
            relation = "equal"
        elif audioop.rms(mono, 4) * 4 * count < levels[loudest]:  # see `level.Balance`
            mono, relation = wide[loudest], "opposite"
    found = Channels(
        relation,
        max(clipped_ratio(audioop.lin2lin(each, width, 2), 256 if width == 1 else 1) for each in set(channels)),
        max(audioop.max(each, 4) for each in wide) / _FULL,
        levels[loudest] / _FULL,
        max((audioop.avg(each, 4) / _FULL for each in wide), key=abs),
    )
    return found, mono


def _channels(pcm: Union[bytes, memoryview], count: int, width: int) -> List[bytes]:
    if count == 1:
        return [bytes(pcm)]
    samples = array.array({1: "b", 2: "h", 4: "i"}[width], bytes(pcm))
    return [samples[channel::count].tobytes() for channel in range(count)]


def _to_rate(audioop: Any, pcm: bytes, sample_rate: int) -> bytes:
    if sample_rate == RATE:
        return pcm
    # The mean of neighbours: else frequencies above 8 kHz would be taken for lower ones.
    near = sample_rate // RATE
    if near > 1 and len(pcm) > 4 * near:
        length = len(pcm) - 4 * (near - 1)
        parts = [audioop.mul(pcm[4 * at : 4 * at + length], 4, 1 / near) for at in range(near)]
        pcm = parts[0]
        for part in parts[1:]:
            pcm = audioop.add(pcm, part, 4)
    converted: Tuple[bytes, Any] = audioop.ratecv(pcm, 4, 1, sample_rate, RATE, None)
    return converted[0] or bytes(4)


def _taps() -> List[float]:
    """Returns half of a symmetric high-pass filter, its middle first: a windowed sinc."""
    cut = 2 * HIGH_BAND / RATE
    low = [cut] + [math.sin(math.pi * cut * k) / (math.pi * k) for k in range(1, TAPS + 1)]
    window = [0.54 + 0.46 * math.cos(math.pi * k / (TAPS + 1)) for k in range(TAPS + 1)]
    taps = [-tap * weight for tap, weight in zip(low, window)]
    return [1 + taps[0], *taps[1:]]


def _high_pass(audioop: Any, pcm: bytes) -> bytes:
    """Returns the part above `HIGH_BAND`, shorter by `TAPS` samples at both ends."""
    length = len(pcm) - 8 * TAPS
    if length <= 0:
        return b""
    middle, *sides = _taps()
    filtered: bytes = audioop.mul(pcm[4 * TAPS : 4 * TAPS + length], 4, middle)
    for lag, tap in enumerate(sides, 1):
        before, behind = 4 * (TAPS - lag), 4 * (TAPS + lag)
        pair = audioop.add(pcm[before : before + length], pcm[behind : behind + length], 4)
        filtered = audioop.add(filtered, audioop.mul(pair, 4, tap), 4)
    return filtered
