"""`assert_sent()`: says what differs when an expected recording was not what a client sent. For tests."""

from __future__ import annotations

import io
import os
import wave
from typing import Union

from .exchange import Exchange
from .rules import Format


def assert_sent(exchange: Exchange, expected: Union[str, os.PathLike[str], bytes]) -> None:
    """Raises unless an exchange brought a recording, sample for sample, in whatever packets.

    Args:
        exchange: From `Sandbox.exchanges`.
        expected: A WAV file: its path, or its content.

    Raises:
        AssertionError: It brought another; the message names what differs: the format, the length, the first second.
        ValueError: `expected` is no WAV file.
        OSError: It can't be read.
    """
    layout, pcm = _read(expected)
    found = exchange.pcm_format
    if found is None:
        raise AssertionError(f"no audio was sent; expected: {_seconds(layout, pcm)} of {_words(layout)}")
    told = []
    if found != layout:
        told.append(f"the format is {_words(found)}, not {_words(layout)}")
    else:
        sent = exchange.pcm
        if sent == pcm:
            return
        if len(sent) != len(pcm):
            told.append(f"{_seconds(layout, sent)} were sent, not {_seconds(layout, pcm)}")
        same = _common(sent, pcm) // (layout.channels * layout.sample_width)
        if same < min(len(sent), len(pcm)) // (layout.channels * layout.sample_width):
            told.append(f"they differ from {same / layout.sample_rate:.3f} s on")
        else:
            told.append("they are the same as far as both go")
    raise AssertionError(f"another recording was sent: {'; '.join(told)}")


def _read(expected: Union[str, os.PathLike[str], bytes]) -> tuple[Format, bytes]:
    source = io.BytesIO(expected) if isinstance(expected, bytes) else os.fspath(expected)
    try:
        with wave.open(source) as file:
            layout = Format(file.getframerate(), file.getnchannels(), file.getsampwidth())
            return layout, file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"what is expected must be a PCM WAV file: {error}") from None


def _common(one: bytes, other: bytes) -> int:
    """Returns how many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _seconds(layout: Format, pcm: bytes) -> str:
    return f"{len(pcm) / layout.channels / layout.sample_width / layout.sample_rate:.3f} s"


def _words(layout: Format) -> str:
    channels = {1: "mono", 2: "stereo"}.get(layout.channels, f"{layout.channels} channels")
    return f"{layout.sample_rate} Hz {channels} {8 * layout.sample_width} bit"
