"""The recordings of a class, for its page to play: found in a folder, checked, bounded in size. For `classroom`.

A recording is found by its file's name. The journal has the hash of its content: no other one than was scored is
played.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

from ..audio.recording import load
from ..exceptions import AudioError, ConfigError
from ..log import logger
from .names import MAX_NAME
from .rows import Row, shown
from .sound import PLAYED_RATE, playable

__all__ = ["MAX_BYTES", "Voice", "voices"]

MAX_BYTES = 64 * 2**20  # of all recordings of a page: many phones would not open a larger one
MAX_PLAIN = 2**20  # bytes of a recording that goes in as it is, if browsers play it; others become mono 16 kHz 16 bit
SHOWN_NAMES = 5


class Voice(NamedTuple):
    """A recording for the page: its MIME type, and its bytes in base64."""

    kind: str
    data: str


def voices(folder: Union[str, os.PathLike[str]], rows: Sequence[Row]) -> Tuple[Dict[int, Voice], List[str]]:
    """Returns the recordings by the indexes of their rows, and sentences on those that aren't there.

    Raises:
        ConfigError: The folder can't be read.
    """
    if not os.path.isdir(folder):
        raise ConfigError(f"{os.fspath(folder)!r} is no folder: give the one that has the recordings of this journal")
    by_name: Dict[str, List[str]] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            by_name.setdefault(name, []).append(os.path.join(place, name))
    found: Dict[int, Voice] = {}
    absent: List[str] = []
    other: List[str] = []
    unplayable: List[str] = []
    left_out: List[str] = []
    size = 0
    for index, row in enumerate(rows):
        if not row.content:
            continue
        name = shown(row.file_name, MAX_NAME)
        paths = by_name.get(row.file_name, [])
        path = next((path for path in paths if _digest(path) == row.content), None)
        if path is None:
            (other if paths else absent).append(name)
            continue
        try:
            voice = _read(path)
        except AudioError:
            unplayable.append(name)
            continue
        if size + len(voice.data) > MAX_BYTES:
            left_out.append(name)
            continue
        size += len(voice.data)
        found[index] = voice
    told = [
        *_told(absent, f"not found in {os.fspath(folder)!r}"),
        *_told(other, "not those that were scored: their content is another one"),
        *_told(unplayable, "can't be decoded"),
        *_told(left_out, f"left out: the page would have more than {MAX_BYTES // 2**20} MB of sound"),
    ]
    for sentence in told:
        logger.warning("%s", sentence)
    return found, told


def _told(names: Sequence[str], what: str) -> List[str]:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return [f"Recordings {what}: {', '.join(names[:SHOWN_NAMES])}{more}"] if names else []


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _read(path: str) -> Voice:
    found = playable(path)
    if found is None or len(found[1]) > MAX_PLAIN:
        found = "audio/wav", load(path, PLAYED_RATE).to_wav()
    kind, data = found
    return Voice(kind, base64.b64encode(data).decode("ascii"))
