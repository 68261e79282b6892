"""A recording for the page: how loud it is over time, and its bytes in a form that browsers play. Called by `page`."""

from __future__ import annotations

import array
import base64
import os
import struct
import sys
from dataclasses import dataclass, field
from typing import Any, List, Optional, Sequence, Tuple

from ..audio.recording import Recording, load

__all__ = ["PLAYED_RATE", "Sound", "playable", "read"]

STEP = 0.02  # s between two peaks; a little less, if that isn't a whole number of frames
FEWEST_STEPS = 360  # as many as the drawing has bars; so the steps of a short recording are shorter than `STEP`
QUIET = 0.12  # of the way from the quiet moments to the loud ones: below it nobody speaks
MAX_PLAIN = 16 * 2**20  # bytes; a larger recording is embedded as mono 16 kHz 16 bit, 2 MB a minute
MAX_EMBEDDED = 64 * 2**20  # bytes, half an hour as mono 16 kHz 16 bit; many phones would not open a larger page
PLAYED_RATE = 16_000  # Hz: what the service hears

_WAV_PCM, _WAV_FLOAT, _WAV_EXTENSIBLE = 1, 3, 0xFFFE
_MP3 = (b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")


@dataclass(frozen=True)
class Sound:
    """A recording as the page shows and plays it.

    Attributes:
        seconds: How long it is.
        step: Seconds between two of `peaks`.
        peaks: The loudest moment of each step, 0 to 1.
        kind: The MIME type of `data`.
        data: What the page plays, in base64; empty if it would be too large.
        warnings: What is wrong with the recording.
    """

    seconds: float
    step: float
    peaks: Sequence[float] = field(repr=False)
    kind: str
    data: str = field(repr=False)
    warnings: Tuple[str, ...] = ()

    def sounds(self) -> List[Tuple[float, float]]:
        """Returns where something is to be heard, judged by loudness alone: from, to (s)."""
        ordered = sorted(self.peaks)
        quiet, loud = ordered[len(ordered) // 10], ordered[len(ordered) * 19 // 20]
        limit = quiet + QUIET * (loud - quiet)
        return [(i * self.step, (i + 1) * self.step) for i, peak in enumerate(self.peaks) if peak > limit]


def read(source: Any) -> Sound:
    """Decodes a recording, and takes its bytes as they are if browsers play them and they are not too many.

    Args:
        source: Whatever `score()` takes.

    Raises:
        AudioError: It can't be read, holds no audio, or nothing installed decodes or resamples it.
    """
    audio = load(source)
    found = None if audio.warnings else playable(source)
    kind, data = found or ("audio/wav", audio.to_wav())
    if len(data) > MAX_PLAIN:
        kind, data = "audio/wav", load(audio.to_wav(), PLAYED_RATE).to_wav()
    if len(data) > MAX_EMBEDDED:
        data = b""
    frames = max(int(min(STEP, audio.seconds / FEWEST_STEPS) * audio.format.sample_rate), 1)
    return Sound(
        seconds=audio.seconds,
        step=frames / audio.format.sample_rate,
        peaks=_peaks(audio, frames),
        kind=kind,
        data=base64.b64encode(data).decode("ascii"),
        warnings=audio.warnings,
    )


def playable(source: Any) -> Optional[Tuple[str, bytes]]:
    """Returns the MIME type and the bytes of a file that every browser plays; `None` for any other.

    Ogg and WebM are others: older Safaris don't play them.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            data = file.read()
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        return None
    if data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt ":
        (tag,) = struct.unpack_from("<H", data, 20)
        return ("audio/wav", data) if tag in (_WAV_PCM, _WAV_FLOAT, _WAV_EXTENSIBLE) else None
    if data.startswith(_MP3):
        return "audio/mpeg", data
    if data.startswith(b"fLaC"):
        return "audio/flac", data
    if data[4:8] == b"ftyp" and b"mp4a" in data:  # AAC; Apple Lossless, in the same container, is for Safari alone
        return "audio/mp4", data
    return None


def _peaks(audio: Recording, frames: int) -> List[float]:
    unsigned = audio.format.sample_width == 1
    samples = array.array({1: "B", 2: "h", 4: "i"}[audio.format.sample_width])
    samples.frombytes(audio.pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    size = frames * audio.format.channels
    middle, full = (128, 128) if unsigned else (0, 1 << (8 * audio.format.sample_width - 1))
    parts = (samples[start : start + size] for start in range(0, len(samples), size))
    return [max(max(part) - middle, middle - min(part)) / full for part in parts]
