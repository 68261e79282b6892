"""The RIFF WAV container: finds the PCM in a file, and makes the header of a packet. For the rest of `audio`."""

from __future__ import annotations

import struct
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from ..exceptions import AudioError

# Bytes; a claimed length from here on means "unknown". A program that writes to a pipe can't fill in the length later,
# and claims the most that there could be, in whole frames (of less than 0x10000 bytes): ffmpeg 0xFFFFFFFF, libsndfile a
# little less, arecord and players 0x7FFFFFFF or 0x7FFFFF00, SoX and espeak 0x7FFFF000.
_UNKNOWN_SIZE = 0x7FFE_0000

_PCM, _EXTENSIBLE = 1, 0xFFFE

# The possible highest bytes of floats between 2**-10 and 2**24, and of zero: Adobe's programs write 24-bit samples as
# such floats.
_FLOATS = bytes([0, *range(0x3A, 0x4C), 0x80, *range(0xBA, 0xCC)])
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


_MOST_HEADER = 2**24  # bytes before the audio; a file may have pictures and texts there


class Pcm(NamedTuple):
    """Where a WAV file holds its PCM (from byte `start` to `stop`), its format, and warnings about it.

    Each sample takes `width` bytes in the file; it is in the first `bits` ÷ 8 of them, and the rest is ignored.
    """

    start: int
    stop: int
    sample_rate: int
    channels: int
    bits: int
    width: int
    warnings: Tuple[str, ...]


def find_pcm(data: bytes, name: str) -> Optional[Pcm]:
    """Finds the PCM in a WAV file.

    A header says some things twice. If its numbers contradict each other, this believes the channels and the bits, as
    all players do: the phones that get the other numbers wrong record 16 bit.

    pydub's own search is not used: it gives up after ten chunks, takes float for PCM, and doesn't know pad bytes or
    wrong lengths.

    Returns:
        `None` if the file isn't a WAV, or isn't clearly PCM of 8, 16, 24 or 32 bit: a decoder must read it, then.

    Raises:
        AudioError: The WAV is cut off before its audio, or its header makes no sense.
    """
    if not _is_wav(data):
        return None
    layout, start, size = _find_chunks(data)
    if not start:
        raise AudioError(f"{name} is a WAV file that is cut off before its audio: record or copy it again")
    told = _read_layout(layout, name)
    if told is None:
        return None
    channels, sample_rate, byte_rate, frame_width, bits, problems = told
    stop, problem = _end_of_pcm(data, start, size)
    width = bits // 8
    if bits == 24 and frame_width == 4 * channels:
        lowest, highest = data[start:stop:4], data[start + 3 : stop : 4]
        if highest.strip(b"\x00\xff"):  # else the fourth byte is only the sign of the lower three
            if lowest.strip(b"\0") or not highest.translate(None, _FLOATS):
                return None
            bits = 32  # the samples are in the upper three bytes: read them as 32 bit
        width = 4
        problems.append("its samples of 24 bit lie in 4 bytes each")
    else:
        problems += _contradictions(channels, sample_rate, byte_rate, frame_width, bits)
    excess = (stop - start) % (channels * width)
    if excess and not problem:
        problem = f"its last frame is incomplete, {excess} bytes are left out"
    if problem:
        problems.append(problem)
    found = tuple(f"{name}: {problem}" for problem in problems)
    return Pcm(start, stop - excess, sample_rate, channels, bits, width, found)


class Layout(NamedTuple):
    """The layout of live PCM. Each sample takes `width` bytes; it is in the first `bits` ÷ 8 of them."""

    sample_rate: int
    channels: int
    bits: int
    width: int


class IncomingWav:
    """A WAV file that is still being written: first its header, then its PCM.

    Attributes:
        head: The bytes that `add()` got: the header, and perhaps the first of the PCM.
        layout: The layout of the PCM; `None` if this isn't PCM that can be read as it comes.
        needs_all_samples: Whether that is so because only all samples together tell the layout.
    """

    def __init__(self, name: str) -> None:
        """Makes a file of which nothing has come yet.

        Args:
            name: What to call the file in messages.
        """
        self.head = b""
        self.layout: Optional[Layout] = None
        self.needs_all_samples = False
        self._name = name
        self._start = 0
        self._size = 0
        self._warnings: Tuple[str, ...] = ()

    def add(self, data: bytes) -> bool:
        """Takes the next bytes of the file; returns whether the whole header has come.

        Raises:
            AudioError: The header makes no sense, or is too long.
        """
        self.head += data
        form, self._start, self._size = _find_chunks(self.head)
        if not self._start:
            if len(self.head) > _MOST_HEADER:
                raise AudioError(f"{self._name} is a WAV file without audio in its first {_MOST_HEADER} bytes")
            return False
        told = _read_layout(form, self._name)
        if told is not None:
            channels, sample_rate, byte_rate, frame_width, bits, problems = told
            # 24 bit in 4 bytes: which of the bytes hold the 24 bits, only all samples together could tell.
            self.needs_all_samples = bits == 24 and frame_width == 4 * channels
            if not self.needs_all_samples:
                problems += _contradictions(channels, sample_rate, byte_rate, frame_width, bits)
                self.layout = Layout(sample_rate, channels, bits, bits // 8)
                self._warnings = tuple(f"{self._name}: {problem}" for problem in problems)
        return True

    def end(self) -> None:
        """Raises the error for a file that ends before its header is complete."""
        raise AudioError(f"{self._name} is a WAV file that is cut off before its audio")

    def pcm(self, rest: Iterator[bytes], warn: Callable[[str], object]) -> Iterator[bytes]:
        """Yields the PCM as it comes, up to where the header says that it ends.

        Args:
            rest: The pieces that come after `head`.
            warn: Called with each sentence on what is wrong with the file.
        """
        for warning in self._warnings:
            warn(warning)
        # A length of 0 means that the recorder hasn't filled it in yet.
        known = 0 < self._size < _UNKNOWN_SIZE
        left = self._size
        piece: Optional[bytes] = self.head[self._start :]
        while piece is not None:
            if known and len(piece) >= left:
                yield piece[:left]
                behind = piece[left:]
                if behind and not _only_chunks_follow(behind, 0):
                    excess = f"what comes behind the {self._size} bytes that its header calls audio is left out"
                    warn(f"{self._name}: {excess}")
                return
            left -= len(piece)
            if piece:
                yield piece
            piece = next(rest, None)
        if known:
            warn(
                f"{self._name}: it is cut off, its header promises {self._size} bytes of audio; "
                f"the {self._size - left} bytes there are sent"
            )


def _read_layout(layout: bytes, name: str) -> Optional[Tuple[int, int, int, int, int, List[str]]]:
    """Reads a fmt chunk: channels, sample rate, bytes in a second and in a frame, bits, and what is wrong with it.

    Returns:
        `None` if the audio isn't PCM of 8, 16, 24 or 32 bit.

    Raises:
        AudioError: The chunk makes no sense.
    """
    if len(layout) < 14:
        raise AudioError(f"{name} is a WAV file that doesn't say what its audio is like: export it again")
    tag, channels, sample_rate, byte_rate, frame_width, bits = struct.unpack_from("<HHIIHH", layout + b"\0\0")
    if tag != _PCM and not (tag == _EXTENSIBLE and layout[24:40] == _PCM_GUID):
        return None
    if not channels or not sample_rate:
        facts = f"{channels} channels, {sample_rate} Hz, {bits} bit, {frame_width} bytes in a frame"
        raise AudioError(f"{name} has a WAV header that makes no sense ({facts}): export it again")
    problems: List[str] = []
    if not bits and frame_width % channels == 0:
        bits = 8 * frame_width // channels
        problems.append(f"its header doesn't say of how many bits its samples are: {bits} fit the rest of it")
    if bits not in (8, 16, 24, 32):
        return None
    return channels, sample_rate, byte_rate, frame_width, bits, problems


def _contradictions(channels: int, sample_rate: int, byte_rate: int, frame_width: int, bits: int) -> List[str]:
    width = channels * bits // 8
    if (frame_width, byte_rate) == (width, sample_rate * width % 2**32):
        return []
    return [
        f"its header contradicts itself ({frame_width} bytes in a frame, {byte_rate} in a second): "
        f"read as {channels} channel(s) of {bits} bit at {sample_rate} Hz"
    ]


def problem_with_length(data: bytes) -> str:
    """Returns what is wrong with the length that a WAV file, PCM or not, claims for its audio; "" if nothing."""
    _, start, size = _find_chunks(data) if _is_wav(data) else (b"", 0, 0)
    return _end_of_pcm(data, start, size)[1] if start else ""


def _is_wav(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def _find_chunks(data: bytes) -> Tuple[bytes, int, int]:
    """Returns the fmt chunk before the audio, the audio's start (0 if there is none), and its claimed length."""
    layout = b""
    for kind, start, size in _chunks(data, 12):
        if kind == b"fmt ":
            layout = data[start : start + size]
        if kind == b"data":
            return layout, start, size
    return layout, 0, 0


def _chunks(data: bytes, position: int) -> Iterator[Tuple[bytes, int, int]]:
    """Yields each RIFF chunk's kind, its start and its claimed length (both in bytes)."""
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        yield kind, position + 8, size
        position += 8 + size
        # A zero byte pads an odd chunk, but some programs forget it. No chunk's kind begins with a zero byte.
        if size % 2 and data[position : position + 1] == b"\0":
            position += 1


def _end_of_pcm(data: bytes, start: int, size: int) -> Tuple[int, str]:
    """Returns where the PCM of a data chunk ends, and what is wrong with the chunk's length, if anything is."""
    there = len(data) - start
    if size >= _UNKNOWN_SIZE and size > there:
        return len(data), ""
    if size > there:
        return len(data), f"it is cut off, its header promises {size} bytes of audio; the {there} bytes there are sent"
    if _only_chunks_follow(data, start + size):
        return start + size, ""
    if size == 0:
        return len(data), f"its recorder never finished it (a length of 0); all {there} bytes there are sent"
    return start + size, f"the {there - size} bytes behind the {size} that its header calls audio are left out"


def _only_chunks_follow(data: bytes, position: int) -> bool:
    """Returns whether nothing but whole chunks lies from `position` to the end, and no more audio."""
    position += data[position : position + 1] == b"\0"
    for kind, start, size in _chunks(data, position):
        if kind == b"data" or not kind.decode("latin-1").isprintable():
            return False
        position = start + size
    return len(data) - position in (0, 1) and not any(data[position:])


def header(sample_rate: int, channels: int, sample_width: int, size: int) -> bytes:
    """Returns the 44 bytes before the PCM in a WAV file.

    Args:
        sample_rate: In Hz.
        channels: How many channels.
        sample_width: Bytes in a sample.
        size: Bytes of PCM.
    """
    width = channels * sample_width
    layout = struct.pack("<HHIIHH", _PCM, channels, sample_rate, sample_rate * width, width, 8 * sample_width)
    return struct.pack("<4sI4s4sI16s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, layout, b"data", size)
