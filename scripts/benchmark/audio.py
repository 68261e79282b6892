"""The recordings of the benchmark, made from tests/data/austen.wav: 24.73 s of speech, 16 kHz mono 16 bit."""

from __future__ import annotations

import wave
from pathlib import Path

AUSTEN = Path(__file__).resolve().parents[2] / "tests" / "data" / "austen.wav"
CHUNK = 0.5  # s of audio in a packet


def speech(folder: Path, seconds: float, *, sample_rate: int = 16_000, channels: int = 1) -> Path:
    """Writes a WAV of `seconds`: the speech over and over. At another sample rate or with more channels it is noise."""
    path = folder / f"{seconds:g}s-{sample_rate}-{channels}.wav"
    with wave.open(str(AUSTEN), "rb") as source:
        pcm = source.readframes(source.getnframes())
    size = round(seconds * sample_rate) * channels * 2
    with wave.open(str(path), "wb") as target:
        target.setparams((channels, 2, sample_rate, 0, "NONE", ""))
        target.writeframes((pcm * (size // len(pcm) + 1))[:size])
    return path


def mp3(wav: Path) -> Path:
    """Writes a WAV as MP3.

    Raises:
        ImportError: PyAV isn't installed.
    """
    import av

    path = wav.with_suffix(".mp3")
    with av.open(str(wav)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("mp3", rate=16_000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path
