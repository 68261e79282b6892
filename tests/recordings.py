"""Makes recordings: WAV files, right and wrong, and real speech in compressed formats."""

from __future__ import annotations

import array
import functools
import io
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import pytest

AUSTEN = Path(__file__).parent / "data" / "austen.wav"
SPEECH = AUSTEN.read_bytes()[44:]
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
FLOAT_GUID = b"\x03" + PCM_GUID[1:]

ENCODINGS = {  # name of the format in PyAV: its codec
    "mp3": "mp3",
    "flac": "flac",
    "ipod": "aac",  # m4a
    "mp4": "aac",
    "ogg": "libopus",
    "webm": "libopus",
    "aiff": "pcm_s16be",
}


def chunk(kind: bytes, body: bytes, size: Optional[int] = None) -> bytes:
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def layout(tag: int, channels: int, rate: int, bits: int, align: Optional[int] = None) -> bytes:
    align = channels * bits // 8 if align is None else align
    return struct.pack("<HHIIHH", tag, channels, rate, rate * align % 2**32, align, bits)


def wav(
    pcm: bytes,
    rate: int = 16000,
    channels: int = 1,
    bits: int = 16,
    *,
    size: Optional[int] = None,
    form: Optional[bytes] = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Returns a WAV file; `size` is a lie of its data chunk, `form` the body of its fmt chunk."""
    body = (
        b"WAVE" + chunk(b"fmt ", form or layout(1, channels, rate, bits)) + before + chunk(b"data", pcm, size) + after
    )
    return chunk(b"RIFF", body)


@functools.cache
def encoded(container: str, seconds: float = 3.0, rate: int = 48000) -> bytes:
    """Returns real speech, compressed."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(wav(SPEECH[: int(seconds * 16000) * 2]))) as source,
        av.open(file, "w", container) as target,
    ):
        target.metadata["title"] = "Sense"
        stream = target.add_stream(ENCODINGS[container], rate=rate, layout="mono")
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate)
        for frame in [*source.decode(audio=0), None]:
            for converted in resampler.resample(frame):
                target.mux(stream.encode(converted))
        target.mux(stream.encode(None))
    return file.getvalue()


WITH_TIME = {"webm": "libopus", "matroska": "libopus", "mp4": "aac", "mov": "pcm_s16le", "ogg": "libopus"}
WITH_TIME["mpegts"] = "aac"


@functools.cache
def tone(frames: int, loud: int = 9000, first: int = 0) -> List[int]:
    return [int(loud * math.sin((first + index) / 20)) for index in range(frames)]


def container(
    kind: str,
    starts: Sequence[float],
    *,
    codec: Optional[str] = None,
    rate: int = 48000,
    layout: str = "mono",
    channels: Sequence[float] = (1.0,),
    options: Optional[Dict[str, str]] = None,
) -> bytes:
    """Returns a file with a packet of 20 ms of a tone at each of `starts` (s), on each channel as loud as it says."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options=options or {}) as target:
        stream = target.add_stream(codec or WITH_TIME[kind], rate=rate, layout=layout)
        size = rate // 50
        encode = stream.codec_context
        encode.open()
        fifo = av.AudioResampler(encode.format, layout, rate, frame_size=encode.frame_size)
        for number, start in enumerate(starts):
            frame = av.AudioFrame(format="s16", layout=layout, samples=size)
            values = tone(size, first=number * size)
            pcm = array.array("h", [int(value * gain) for value in values for gain in channels])
            frame.planes[0].update(pcm.tobytes())
            frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
            # Encoders whose packets are longer would move a gap to the border of one: those get whole ones.
            for piece in [frame] if encode.frame_size in (0, size) else fifo.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return file.getvalue()


def steady(seconds: float, start: float = 0.0) -> List[float]:
    return [start + number / 50 for number in range(round(50 * seconds))]


def tracks(kind: str, loudness: Sequence[int], default: Optional[int] = None, codec: str = "aac") -> bytes:
    """Returns a file with a track of each loudness, of 2 s; one may be marked as the default."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as target:
        streams = [target.add_stream(codec, rate=16000, layout="mono") for _ in loudness]
        if default is not None:
            for index, stream in enumerate(streams):
                flag = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
                try:
                    stream.disposition = flag
                except TypeError:  # up to version 15, PyAV wants the number
                    stream.disposition = flag.value
        for stream, loud in zip(streams, loudness):
            for number in range(31):
                frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
                frame.planes[0].update(array.array("h", tone(1024, loud, number * 1024)).tobytes())
                frame.sample_rate, frame.pts = 16000, number * 1024
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
    return file.getvalue()
