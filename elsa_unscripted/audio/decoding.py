"""Makes PCM of audio: of WAV samples and segments with pydub, of other formats with PyAV, or with pydub and ffmpeg.

Called by `recording`.
"""

from __future__ import annotations

import io
import shutil
from typing import Any, Callable, NamedTuple, Tuple, Union

from ..exceptions import AudioError
from ..signals import raised_by_handler
from .container import decode_whole
from .libraries import INSTALL, import_audio_segment, import_pyav
from .packets import Format
from .wav import Pcm, header, problem_with_length

__all__ = ["DECODED_RATE", "Decoded", "decode", "from_samples", "from_segment", "resample", "wav_samples", "widen"]

DECODED_RATE = 16_000  # Hz; the server converts all audio to it, so a higher rate would only make packets larger

_FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))
# By the highest byte of a 24-bit sample: the lowest byte that pydub adds when it widens the sample to 32 bit.
_LOWEST_BYTE = bytes(0xFF if highest > 0x7F else 0x00 for highest in range(256))
_BLOCK_BYTES = 3 * 2**18  # whole samples of 3 and 4 bytes; small, so that little of the audio is held twice

# pydub can't restrict the formats that ffmpeg opens, but ffmpeg takes no file that begins like this for a playlist.
_SELF_CONTAINED = (*b"RIFF RIFX RF64 FORM fLaC OggS caff .snd #!AMR".split(), b"\x1a\x45\xdf\xa3")
_MPEG_FRAMES = tuple(bytes([0xFF, second]) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xF1, 0xF9))


class Decoded(NamedTuple):
    """Audio as PCM.

    Attributes:
        pcm: Whole frames. A view of the file's own bytes where these need no conversion.
        format: The format of the PCM.
        warnings: Sentences on audio that the header promises but that is missing, or that it doesn't promise.
    """

    pcm: Union[bytes, memoryview]
    format: Format
    warnings: Tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the audio is, in seconds."""
        return len(self.pcm) // self.format.frame_width / self.format.sample_rate


# WAV, by pydub


def from_samples(samples: Union[bytes, memoryview], wav: Pcm, name: str) -> Decoded:
    """Returns the audio of a WAV file.

    Args:
        samples: The samples, from `wav_samples()`.
        wav: What `find_pcm()` found.
        name: What to call the file in messages.
    """
    width = 4 if wav.bits == 24 else wav.bits // 8
    segment = import_audio_segment()(samples, sample_width=width, frame_rate=wav.sample_rate, channels=wav.channels)
    return from_segment(segment, name)._replace(warnings=wav.warnings)


def wav_samples(view: memoryview, wav: Pcm) -> Union[bytes, memoryview]:
    """Returns a WAV's samples as `AudioSegment` holds them: 8-bit samples signed, 24-bit samples widened to 32 bit."""
    if wav.bits in (16, 32):
        return view  # not a copy: recordings are large, and there may be a thousand of them
    convert = _flip_sign if wav.bits == 8 else widen if wav.width == 3 else _raise
    samples = io.BytesIO()
    for start in range(0, len(view), _BLOCK_BYTES):
        samples.write(convert(bytes(view[start : start + _BLOCK_BYTES])))
    return samples.getvalue()


def _flip_sign(samples: bytes) -> bytes:
    return samples.translate(_FLIP_SIGN)


def widen(samples: bytes) -> bytes:
    """Returns 24-bit samples as 32-bit samples, as pydub would."""
    # pydub's own loop takes seconds for a minute of music.
    lowest, middle, highest = samples[0::3], samples[1::3], samples[2::3]
    wide = bytearray(4 * len(lowest))
    wide[0::4], wide[1::4], wide[2::4], wide[3::4] = highest.translate(_LOWEST_BYTE), lowest, middle, highest
    return bytes(wide)


def _raise(samples: bytes) -> bytes:
    # Moves each sample from the lower three of its four bytes to the upper three.
    raised = bytearray(len(samples))
    raised[1::4], raised[2::4], raised[3::4] = samples[0::4], samples[1::4], samples[2::4]
    raised[0::4] = raised[3::4].translate(_LOWEST_BYTE)
    return bytes(raised)


def from_segment(segment: Any, name: str) -> Decoded:
    pcm, rate, channels, width = segment.raw_data, segment.frame_rate, segment.channels, segment.sample_width
    if not (isinstance(pcm, memoryview) and pcm.readonly):
        pcm = bytes(pcm)  # a copy: the caller may change its own buffer while it is sent
    frame_width = channels * width
    if width not in (1, 2, 4) or not 0 < frame_width < 2**16 or not 0 < rate * frame_width < 2**32:
        facts = f"{channels} channels, {rate} Hz, {8 * width} bit"
        raise AudioError(f"{name} is in a format that no WAV header can tell ({facts}): export it again")
    excess = len(pcm) % frame_width
    if len(pcm) == excess:
        raise AudioError(f"{name} holds no audio: not one frame is there; check the recording")
    found = (f"{name}: its last frame is incomplete, {excess} bytes are left out",) if excess else ()
    pcm = pcm[: len(pcm) - excess]
    return Decoded(_flip_sign(bytes(pcm)) if width == 1 else pcm, Format(int(rate), channels, width), found)


# Other formats


def decode(data: bytes, rate: int, name: str, recognized: Callable[[], None]) -> Decoded:
    """Decodes a file that isn't a plain PCM WAV.

    Args:
        data: The file.
        rate: The sample rate to decode to, in Hz; but pydub and ffmpeg keep the file's own rate.
        name: What to call the file in messages.
        recognized: Called as soon as PyAV has decoded a first piece of audio; never called with ffmpeg.

    Raises:
        AudioError: Nothing in the file can be decoded, or nothing installed decodes it.
    """
    av = import_pyav()
    if av is not None:
        try:
            pcm, found = decode_whole(av, data, rate, name, recognized)
        except AudioError as error:
            raise AudioError(f"{error}{_look(data)}") from error.__cause__
        audio = Decoded(pcm, Format(rate, 1, 2), found)
    else:
        audio = _decode_with_ffmpeg(data, name)
    problem = problem_with_length(data)
    return audio._replace(warnings=(*audio.warnings, f"{name}: {problem}")) if problem else audio


def _decode_with_ffmpeg(data: bytes, name: str) -> Decoded:
    if shutil.which("ffmpeg") is None:
        raise AudioError(
            f"{name} is not a plain PCM WAV{_look(data)}, and nothing installed decodes it: {INSTALL}, "
            "or install the ffmpeg program"
        )
    if not _is_self_contained(data):
        raise AudioError(f"{name} isn't audio that is safe to give to ffmpeg{_look(data)}; if it is audio: {INSTALL}")
    try:
        segment = import_audio_segment().from_file(io.BytesIO(data))
    except AudioError:
        raise
    except Exception as error:  # pydub may raise anything over the output of ffprobe and ffmpeg
        if raised_by_handler(error):
            raise
        reason = (str(error).strip() or repr(error)).splitlines()[-1]
        raise AudioError(f"{name} can't be decoded by ffmpeg ({reason}): is it audio? If so: {INSTALL}") from error
    return from_segment(segment, name)


def _is_self_contained(data: bytes) -> bool:
    if data[:3] == b"ID3" and len(data) > 10:
        # ffmpeg judges by the bytes after the tag, whose length is in four bytes of seven bits each.
        length = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0)))
        data = data[10 + length : 26 + length]
    return data.startswith(_SELF_CONTAINED + _MPEG_FRAMES) or data[4:8] == b"ftyp"


def _look(data: bytes) -> str:
    """Returns a hint for a message if the bytes are text, such as a failed download or a file's name; else ""."""
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start or any(byte < 32 and byte not in b"\t\n\r" for byte in start):
        return ""
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else only the last character was cut in two
            return ""
    kind = "HTML or XML" if start[:1] == b"<" else "JSON" if start[:1] in (b"{", b"[") else "text"
    return f" (it looks like {kind})"


def resample(audio: Decoded, rate: int, name: str) -> Decoded:
    """Converts to mono, 16 bit, at `rate` Hz."""
    if audio.format == (rate, 1, 2):
        return audio
    av = import_pyav()
    if av is None:
        raise AudioError(f"resampling {name} to {rate} Hz needs PyAV: {INSTALL}")
    pcm, found = decode_whole(av, header(*audio.format, len(audio.pcm)) + audio.pcm, rate, name, lambda: None)
    return Decoded(pcm, Format(rate, 1, 2), audio.warnings + found)
