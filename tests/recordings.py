"""Makes recordings: WAV files, right and wrong, and real speech in compressed formats."""

from __future__ import annotations

import functools
import io
import struct
from pathlib import Path
from typing import Optional

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
