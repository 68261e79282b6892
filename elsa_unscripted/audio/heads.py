"""How audio files begin: FFmpeg's name for the format, and whether it can be decoded as it comes.

Used by `unpacking`, and by `cli.inflow`.
"""

from __future__ import annotations

import enum
import struct
from typing import Optional

from .libraries import import_pyav
from .wav import IncomingWav

__all__ = ["HEAD_BYTES", "Way", "kind_of", "way_to_decode"]

HEAD_BYTES = 12  # enough to tell a format that is known

# How files begin, and FFmpeg's name for their format. Without the name, FFmpeg reads seconds of audio to find out.
_KINDS = {
    b"\x1a\x45\xdf\xa3": "matroska",  # webm
    b"OggS": "ogg",
    b"fLaC": "flac",
    b"ID3": "mp3",
    b"\xff\xfb": "mp3",
    b"\xff\xfa": "mp3",
    b"\xff\xf3": "mp3",
    b"\xff\xf2": "mp3",
    b"\xff\xe3": "mp3",
    b"\xff\xf1": "aac",
    b"\xff\xf9": "aac",
    b".snd": "au",
    b"RF64": "wav",
}

# Other formats that FFmpeg decodes as they come, once it has found out which one it is.
_FOUND_BY_FFMPEG = (
    b"\x0bw",  # ac3
    b"#!AMR",
    b"TTA1",
    b"riff\x2e\x91\xcf\x11",  # w64
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # asf: wma
    b"FLV",
    b"\0\0\1\xba",  # mpeg
    b"G\x40",  # mpegts: a packet that begins a table
)
# Formats that FFmpeg decodes better, or only, when it has the whole file: some have an index at their end.
_ONLY_WHOLE = (b"wvpk", b"MAC ", b"caff")

_BOXES = (b"ftyp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")  # begin an mp4 or a mov
_MOST_BYTES = 2**24  # to look at: a file may have pictures and texts before its audio


class Way(enum.Enum):
    """How a file can be decoded, by its first bytes."""

    AS_IT_COMES = "as it comes"
    WHOLE = "whole"
    UNKNOWN = "unknown"


def kind_of(head: bytes) -> Optional[str]:
    """Returns FFmpeg's name for the format of a file, if it can be given the name without looking further.

    Args:
        head: The first bytes, `HEAD_BYTES` or more.
    """
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "aiff"
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), None)


def way_to_decode(head: bytes, name: str) -> Optional[Way]:
    """Returns how a file that begins with `head` can be decoded here; `None` if more bytes are needed to tell.

    Args:
        head: All bytes of the file that have come.
        name: What to call the file in messages.

    Raises:
        AudioError: It is a WAV file whose header makes no sense.
    """
    if len(head) < HEAD_BYTES:
        return None
    kind: Optional[str] = kind_of(head)
    if kind == "wav" and head[:4] == b"RIFF":
        incoming = IncomingWav(name)
        if not incoming.add(head):
            return None
        if incoming.layout is not None:
            return Way.AS_IT_COMES
        found: Optional[bool] = not incoming.needs_all_samples
    elif head[4:8] in _BOXES:
        found = _has_index_first(head)
    elif head.startswith(b"ID3"):
        found = _has_mp3_behind_tag(head)
    elif kind is not None or head.startswith(_FOUND_BY_FFMPEG) or (head[:4], head[8:12]) == (b"RIFF", b"AVI "):
        found = True
    elif head.startswith(_ONLY_WHOLE):
        found = False
    else:
        return Way.UNKNOWN
    if found is None and len(head) < _MOST_BYTES:
        return None
    return Way.AS_IT_COMES if found and import_pyav() is not None else Way.WHOLE


def _has_index_first(head: bytes) -> Optional[bool]:
    """Returns whether the index of an mp4 comes before its audio, or piece by piece with it; `None` if unknown yet."""
    at = 0
    while at + 16 <= len(head):
        size, kind, long_size = struct.unpack_from(">I4sQ", head, at)
        if kind in (b"moov", b"moof", b"mdat"):
            return bool(kind != b"mdat")
        size = long_size if size == 1 else size
        if size < 8:  # 0: up to the end of the file
            return False
        at += size
    return None


def _has_mp3_behind_tag(head: bytes) -> Optional[bool]:
    """Returns whether mp3 follows the ID3 tag, as it mostly does; `None` if that hasn't come yet."""
    # The tag's length is in four bytes of seven bits each.
    at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
    follows = head[at : at + 2]
    if len(follows) < 2:
        return None
    return any(follows == start for start, kind in _KINDS.items() if kind == "mp3")
