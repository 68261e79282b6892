"""`Recording`: audio that is decoded as a whole before any is sent. `load()` makes one of whatever a caller gives.

Called by `exchange`, `batch` and `report`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Callable, Iterator, Optional, Tuple, Union

from ..exceptions import AudioError
from ..log import Log, logger
from ..signals import raised_by_handler
from . import packets
from .decoding import DECODED_RATE, decode, from_samples, from_segment, resample, wav_samples
from .level import is_silent
from .libraries import import_audio_segment, is_audio_segment
from .packets import Format, Packet
from .wav import find_pcm, header

__all__ = ["SILENT", "Recording", "load", "path_name", "read_file", "seconds_in"]

SILENT = "it is silent, all samples are zero or the same: was the microphone muted, or the wrong one?"

_LONGEST_NAME = 200  # characters in a message; text that was passed in place of a path may have millions


@dataclass(frozen=True)
class Recording:
    """Decoded audio, ready to be sent: a `Source` that has all its frames from the start.

    Attributes:
        pcm: Whole frames, little-endian; 8-bit samples are unsigned (WAV's convention), wider ones signed. A view
            of the file's own bytes where these need no conversion.
        format: The format of the PCM.
        warnings: Sentences on audio that the header promises but that is missing, or that it doesn't promise.
    """

    pcm: Union[bytes, memoryview] = field(repr=False)
    format: Format
    warnings: Tuple[str, ...] = ()

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return len(self.pcm) // self.format.frame_width

    @property
    def seconds(self) -> float:
        """How long the audio is, in seconds."""
        return self.frame_count / self.format.sample_rate

    def packet_count(self, chunk_seconds: float) -> int:
        """Returns how many packets `packets(chunk_seconds)` makes."""
        return packets.packet_count(self.frame_count, self.format.sample_rate, chunk_seconds)

    def packets(self, chunk_seconds: float) -> Iterator[Packet]:
        """Cuts the audio into packets; see `packets.cut()`."""
        return packets.cut(self.pcm, self.format, chunk_seconds)

    def close(self) -> None:
        """Does nothing: `packets()` never waits, and holds nothing open."""

    def to_wav(self) -> bytes:
        """Returns all of the audio as a WAV file."""
        return header(*self.format, len(self.pcm)) + self.pcm


def load(
    source: Union[str, os.PathLike[str], bytes, bytearray, memoryview, BinaryIO, Any],
    sample_rate: Optional[int] = None,
    recognized: Callable[[], None] = lambda: None,
    log: Log = logger,
) -> Recording:
    """Reads and decodes audio; logs its warnings.

    A PCM WAV of 8, 16, 24 or 32 bit and an `AudioSegment` stay as recorded (24-bit samples become 32-bit ones, as
    in pydub). Other audio is decoded to mono, 16 bit, 16 kHz by PyAV, if that is installed; else by pydub and ffmpeg,
    to the rate, channels and width that these give.

    Args:
        source: A path, the bytes of a file, a binary file object (read from its position to its end; not closed), or
            a `pydub.AudioSegment`.
        sample_rate: `None`, or the Hz to resample to, always to mono and 16 bit. Needs PyAV, unless the audio has that
            format already.
        recognized: Called as soon as it is clear that there is audio that can be decoded; not called if ffmpeg decodes
            it. Must not raise.
        log: Where its warnings go.

    Raises:
        AudioError: The source can't be read, holds no audio, or nothing installed decodes it.
    """
    if is_audio_segment(source):
        name = "the given AudioSegment"
        audio = from_segment(source, name)
        recognized()
    else:
        name, data = _read(source)
        wav = find_pcm(data, name)
        if wav is None:
            audio = decode(data, sample_rate or DECODED_RATE, name, recognized)
        else:
            # Import before recognized() starts a thread: while another one runs, Python can lose Ctrl-C in an import.
            import_audio_segment()
            if wav.start < wav.stop:
                recognized()
            samples = wav_samples(memoryview(data)[wav.start : wav.stop], wav)
            del data  # don't keep a large file in memory while its converted samples are worked on
            audio = from_samples(samples, wav, name)
    if sample_rate is not None:
        audio = resample(audio, sample_rate, name)
    if is_silent(audio.pcm, audio.format.frame_width):
        audio = audio._replace(warnings=(*audio.warnings, f"{name}: {SILENT}"))
    for warning in audio.warnings:
        log.warning("%s", warning)
    return Recording(*audio)


def seconds_in(data: bytes) -> float:
    """Returns how long a file's audio is. Reads that from a PCM WAV's header and size; decodes any other file.

    Raises:
        AudioError: The file holds no audio, or nothing installed decodes it.
    """
    wav = find_pcm(data, "the given bytes")
    if wav is None:
        return load(data).seconds
    return (wav.stop - wav.start) / (wav.channels * wav.width) / wav.sample_rate


def _read(source: Any) -> Tuple[str, bytes]:
    """Returns what to call the source in messages, and its bytes."""
    hint = "check the recording"
    if isinstance(source, (str, os.PathLike)):
        name, data = path_name(source), read_file(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name, data = "the given bytes", bytes(source)
    elif callable(getattr(source, "read", None)):
        name, data = "the given file object", _read_file_object(source)
        hint = "or is it at its end? seek(0) goes back to its beginning"
    else:
        accepted = "a path (str or os.PathLike), bytes, a binary file object or a pydub.AudioSegment"
        raise AudioError(f"audio must be {accepted}, not {type(source).__name__}")
    if not data:
        raise AudioError(f"{name} holds no audio: it is empty; {hint}")
    return name, data


def read_file(path: Union[str, os.PathLike[str]]) -> bytes:
    """Returns the bytes of a regular file.

    Raises:
        AudioError: The file can't be read, or is not a regular file.
    """
    name = path_name(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{name} is a directory: give the path of one audio file")
        if not stat.S_ISREG(mode):
            # To open a pipe or a device can block for ever, even without reading.
            raise AudioError(f"{name} is not a regular file: open it yourself and pass the file object")
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError, MemoryError) as error:
        if raised_by_handler(error):
            raise
        failure = error
    # Raise it outside the `except`, with a new cause: the system's error quotes the path, which may be long or secret.
    raise _unreadable(path, name, failure) from _without_path(failure)


def _unreadable(path: Union[str, os.PathLike[str]], name: str, error: Exception) -> AudioError:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://|data:", os.fsdecode(path))
    if scheme:
        if scheme[1] is None:
            return AudioError(f"{name} is a data: URL: decode it, and give its bytes")
        if scheme[1].lower() == "file":
            return AudioError(f"{name} is a URL: give the path of the file")
        return AudioError(f"{name} is a URL: download it first, and give the path of the file, or its bytes")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        twin = _twin(os.fsdecode(path))
        if twin is not None:
            return AudioError(
                f"no such file: {name}; but {twin!a} is there, which looks the same and is spelt in another form "
                f"of Unicode than {os.fsdecode(path)!a}: give its name as the folder has it",
                missing=True,
            )
        return AudioError(f"no such file: {name}; check the path{_working_directory(path)}", missing=True)
    if isinstance(error, MemoryError):
        return AudioError(f"{name} is too large for this machine's memory: is it audio? If so, cut it up")
    reason = getattr(error, "strerror", None) or error
    return AudioError(f"{name} can't be read ({reason}): check the path and its permissions")


def _without_path(error: Exception) -> Exception:
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror)  # Python picks the same subclass, by the number
    return type(error)(str(error)) if type(error) is ValueError else ValueError(str(error))


def path_name(path: Union[str, os.PathLike[str]]) -> str:
    """Returns a path as messages quote it: shortened if it is long; a URL without its user, password and query."""
    text: Union[str, bytes] = os.fspath(path)
    if isinstance(text, str):
        url = re.match(r"([A-Za-z][A-Za-z0-9+.-]+://)(?:[^/?#]*@)?([^?#]*)", text)
        if url:
            text = url[1] + url[2]
    if len(text) <= _LONGEST_NAME:
        return repr(text)
    start, end = repr(text[: _LONGEST_NAME // 2]), repr(text[-_LONGEST_NAME // 4 :])
    return f"{start}…{end} ({len(text)} characters)"


def _working_directory(path: Union[str, os.PathLike[str]]) -> str:
    if os.path.isabs(path):
        return ""
    try:
        return f", it is looked up from {os.getcwd()!r}"
    except OSError as error:
        if raised_by_handler(error):
            raise
        return ": it is looked up from the working directory, and that was deleted"


def _twin(path: str) -> Optional[str]:
    """Returns the path of an existing file whose name differs from a missing one's only in its Unicode form."""
    if path.isascii() or len(path) > 4096:
        return None
    folder, name = os.path.split(path)
    if not name:
        return None
    if folder and not os.path.isdir(folder):
        found = _twin(folder)
        if found is None:
            return None
        folder = found
    wanted = unicodedata.normalize("NFC", name)
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if unicodedata.normalize("NFC", entry.name) == wanted:
                    return os.path.join(folder, entry.name)
    except (OSError, ValueError) as error:
        if raised_by_handler(error):
            raise
    return None


def _read_file_object(file: Any) -> bytes:
    name = "the given file object"
    data: Any = ""
    try:
        if not isinstance(file, io.TextIOBase):
            data = file.read()
    except Exception as error:  # a caller's object may raise anything
        if raised_by_handler(error):
            raise
        raise AudioError(f"{name} can't be read ({error!r}): is it open, and for reading?") from error
    if isinstance(data, str):
        raise AudioError(f"{name} is in text mode: open it with 'rb'")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise AudioError(f"{name}'s read() returned {type(data).__name__}, not bytes: make it blocking and binary")
    return bytes(data)
