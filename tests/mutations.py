"""Damages audio files at random, and decodes them: an `Recording` or an `AudioError` must come of it, in time.

Used by `test_mutations.py`, briefly, and by `scripts/fuzz_audio.py`, for as long as one likes.
"""

from __future__ import annotations

import random
import time
from functools import cache, partial
from typing import Callable, Dict, Optional

from recordings import (
    ENCODINGS,
    FLOAT_GUID,
    PCM_GUID,
    SPEECH,
    WITH_TIME,
    chunk,
    container,
    encoded,
    layout,
    steady,
    tracks,
    wav,
)

from elsa_unscripted.audio.recording import load
from elsa_unscripted.exceptions import AudioError

TIME_LIMIT = 10.0  # s for a second of audio, on a machine that does other things as well
HEADER_BYTES = 256  # where most damage is done: the rest is only sound
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def _seeds() -> Dict[str, Callable[[], bytes]]:
    pcm = SPEECH[:32000]
    found: Dict[str, Callable[[], bytes]] = {}
    for bits in (8, 16, 24, 32):
        found[f"wav {bits} bit"] = partial(wav, pcm[: 32000 // 12 * 12], bits=bits)
    found["wav stereo"] = partial(wav, pcm, channels=2)
    found["wav with chunks"] = partial(wav, pcm, before=chunk(b"LIST", b"INFOx\0"), after=chunk(b"id3 ", b"y" * 9))
    for name, guid in (("PCM", PCM_GUID), ("float", FLOAT_GUID)):
        form = layout(0xFFFE, 1, 16000, 32) + b"\x16\0\x20\0\0\0\0\0" + guid
        found[f"wav extensible {name}"] = partial(wav, pcm, form=form)
    found["wav 24 bit in 4 bytes"] = partial(wav, pcm, form=layout(1, 1, 16000, 24, align=4))
    found["wav that contradicts itself"] = partial(wav, pcm, form=layout(1, 1, 16000, 16, align=4))
    for kind in ENCODINGS:
        found[kind] = partial(encoded, kind, 1.0)
    for kind in WITH_TIME:
        found[f"{kind} with a pause"] = partial(container, kind, steady(0.4) + steady(0.4, 0.6))
    for kind in ("matroska", "mp4"):
        found[f"{kind} of two tracks"] = partial(tracks, kind, [0, 9000])
    for kind, codec, gains in (("flac", "flac", (1, -1)), ("mov", "pcm_s16le", (1, -1, 0.5, 0, 0, 0))):
        shape = "stereo" if len(gains) == 2 else "5.1"
        found[f"{kind} in {shape}"] = partial(container, kind, steady(1), codec=codec, layout=shape, channels=gains)
    return found


_SEEDS = _seeds()
SEEDS = list(_SEEDS)  # the names of healthy files to begin with: a second of speech in every format, every kind of WAV


@cache
def seed(name: str) -> bytes:
    """Returns one of the healthy files."""
    return _SEEDS[name]()


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Returns a damaged copy: bits, bytes, numbers, cuts, repeats, and pieces of another file."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not damaged:
            break
        end = len(damaged) if rng.random() < 0.3 else min(HEADER_BYTES, len(damaged))
        at = rng.randrange(end)
        kind = rng.randrange(7)
        if kind == 0:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            damaged[at] = rng.randrange(256)
        elif kind == 2:
            size = rng.choice((2, 4))
            value = rng.choice(INTERESTING) % 2 ** (8 * size)
            damaged[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 3:
            del damaged[at : at + rng.choice((1, 4, 100, 10_000))]
        elif kind == 4:
            damaged[at:at] = damaged[at : at + rng.choice((1, 4, 100))]
        elif kind == 5:
            del damaged[at:]
        else:
            start = rng.randrange(len(other))
            damaged[at : at + 64] = other[start : start + 64]
    return bytes(damaged)


def complaint_about(data: bytes, sample_rate: Optional[int]) -> Optional[str]:
    """Decodes a file; returns what is wrong with how that went, or `None`."""
    began = time.monotonic()
    try:
        audio = load(data, sample_rate)
        packets = b"".join(packet.data[44:] for packet in audio.packets(0.5))
        if packets != audio.pcm or not audio.frame_count:
            return "the packets are not the audio"
    except AudioError as error:
        if not str(error):
            return "an error without words"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return repr(error)
    took = time.monotonic() - began
    return f"took {took:.1f} s" if took > TIME_LIMIT else None
