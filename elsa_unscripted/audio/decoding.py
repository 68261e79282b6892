"""PCM from anything: WAV samples and segments by pydub, all other formats by PyAV, or by pydub and ffmpeg.

Called by `recording`. The only user of pydub and PyAV: both are imported only when a source needs them.
"""

from __future__ import annotations

import importlib
import io
import shutil
import sys
import threading
import warnings
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple, Type, Union

from ..exceptions import AudioError
from .packets import Format
from .wav import Pcm, header

__all__ = [
    "Decoded",
    "decode",
    "from_samples",
    "from_segment",
    "import_audio_segment",
    "is_audio_segment",
    "resample",
    "wav_samples",
]

DECODED_RATE = 16_000  # Hz: what the server converts everything to; more would only take longer to send

# Hz. Beyond these, which only a broken header gives, to resample a short file can take minutes, or all memory.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000

_FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))
_LOWEST_BYTE = bytes(0xFF if highest > 0x7F else 0x00 for highest in range(256))  # pydub's, of a widened sample
_BLOCK_BYTES = 3 * 2**18  # whole 24-bit samples; small, so that little of the audio is held twice

# Files are untrusted, and playlists name other files and addresses: only formats that hold their own audio.
_PYAV_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,"
    "wav,webm,wv",
    "protocol_whitelist": "none",
}

# pydub can't tell ffmpeg which formats to open; but what begins like this, ffmpeg never takes for a playlist.
_SELF_CONTAINED = (*b"RIFF RIFX RF64 FORM fLaC OggS caff .snd #!AMR".split(), b"\x1a\x45\xdf\xa3")
_MPEG_FRAMES = tuple(bytes([0xFF, second]) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xF1, 0xF9))

_INSTALL = "pip install 'elsa-unscripted[formats]'"

_CODEC_DELAY = 0.2  # s: lengths in headers may count what decoders cut away again at both ends

_pydub_import = threading.RLock()  # a signal handler that interrupts the import must not wait for it


class Decoded(NamedTuple):
    """Audio as PCM.

    Attributes:
        pcm: Whole frames. A view of the file's own bytes where these need no conversion.
        format: How to read it.
        warnings: Sentences on audio that was promised but isn't here, or that is here but wasn't promised.
    """

    pcm: Union[bytes, memoryview]
    format: Format
    warnings: Tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The time it takes to play, in seconds."""
        return len(self.pcm) // self.format.frame_width / self.format.sample_rate


# WAV, by pydub


def from_samples(samples: Union[bytes, memoryview], wav: Pcm, name: str) -> Decoded:
    """Returns the audio of a WAV file whose samples were taken out by `wav_samples()`."""
    width = 4 if wav.bits == 24 else wav.bits // 8
    segment = import_audio_segment()(samples, sample_width=width, frame_rate=wav.sample_rate, channels=wav.channels)
    return from_segment(segment, name)._replace(warnings=wav.warnings)


def wav_samples(view: memoryview, bits: int) -> Union[bytes, memoryview]:
    """Returns a WAV's samples as `AudioSegment` holds them: 8-bit ones signed, 24-bit ones in 32 bit."""
    if bits in (16, 32):
        return view  # not a copy: recordings are large, and there may be a thousand of them
    convert = _flip_sign if bits == 8 else _widen
    samples = io.BytesIO()
    for start in range(0, len(view), _BLOCK_BYTES):
        samples.write(convert(bytes(view[start : start + _BLOCK_BYTES])))
    return samples.getvalue()


def _flip_sign(samples: bytes) -> bytes:
    return samples.translate(_FLIP_SIGN)


def _widen(samples: bytes) -> bytes:
    # To the bytes that pydub makes; its own loop takes seconds for a minute of music.
    lowest, middle, highest = samples[0::3], samples[1::3], samples[2::3]
    wide = bytearray(4 * len(lowest))
    wide[0::4], wide[1::4], wide[2::4], wide[3::4] = highest.translate(_LOWEST_BYTE), lowest, middle, highest
    return bytes(wide)


def import_audio_segment() -> Any:
    # pydub warns on import that there is no ffmpeg, which WAV doesn't need, and Python warns of its old syntax. The
    # warning filters are the whole process's: changed for this one import only, by one thread at a time.
    try:
        with _pydub_import:
            if "pydub" not in sys.modules:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    importlib.import_module("pydub")
        from pydub import AudioSegment
    except ImportError as error:
        raise AudioError(f"pydub can't be imported ({error}): pip install --force-reinstall elsa-unscripted") from error
    return AudioSegment


def is_audio_segment(source: object) -> bool:
    # Whoever has one has imported pydub, so the question needs no import.
    return isinstance(source, getattr(sys.modules.get("pydub"), "AudioSegment", ()))


def from_segment(segment: Any, name: str) -> Decoded:
    pcm, rate, channels, width = segment.raw_data, segment.frame_rate, segment.channels, segment.sample_width
    if not (isinstance(pcm, memoryview) and pcm.readonly):
        pcm = bytes(pcm)  # the caller's own buffer may change while it is sent
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
    av = _import_pyav()
    if av is not None:
        return _decode_with_pyav(av, data, rate, name, recognized)
    if shutil.which("ffmpeg") is None:
        raise AudioError(
            f"{name} is not a PCM WAV, and nothing installed decodes it: {_INSTALL}, or install the ffmpeg program"
        )
    if not _is_self_contained(data):
        raise AudioError(f"{name} isn't audio that is safe to give to ffmpeg; if it is audio: {_INSTALL}")
    try:
        segment = import_audio_segment().from_file(io.BytesIO(data))
    except AudioError:
        raise
    except Exception as error:  # pydub lets out whatever ffprobe's and ffmpeg's output makes it stumble over
        reason = (str(error).strip() or repr(error)).splitlines()[-1]
        raise AudioError(f"{name} can't be decoded by ffmpeg ({reason}): is it audio? If so: {_INSTALL}") from error
    return from_segment(segment, name)


def _is_self_contained(data: bytes) -> bool:
    if data[:3] == b"ID3" and len(data) > 10:
        # ffmpeg judges by what lies behind the tag, whose length is in four bytes of seven bits.
        length = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0)))
        data = data[10 + length : 26 + length]
    return data.startswith(_SELF_CONTAINED + _MPEG_FRAMES) or data[4:8] == b"ftyp"


def resample(audio: Decoded, rate: int, name: str) -> Decoded:
    if audio.format == (rate, 1, 2):
        return audio
    av = _import_pyav()
    if av is None:
        raise AudioError(f"resampling {name} to {rate} Hz needs PyAV: {_INSTALL}")
    resampled = _decode_with_pyav(av, header(*audio.format, len(audio.pcm)) + audio.pcm, rate, name, lambda: None)
    return resampled._replace(warnings=audio.warnings + resampled.warnings)


def _import_pyav() -> Any:
    try:
        import av
    except ImportError:
        return None
    return av


def _decode_with_pyav(av: Any, data: bytes, rate: int, name: str, recognized: Callable[[], None]) -> Decoded:
    """Decodes the first audio stream to mono, 16 bit, at `rate` Hz; what can't be decoded becomes a warning."""
    problems: List[Exception] = []
    pcm = io.BytesIO()
    # Before 19, PyAV refuses a file for a title or an artist that isn't UTF-8, unless told not to.
    options: Dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
    try:
        with av.open(io.BytesIO(data), options=_PYAV_OPTIONS, **options) as container:
            if not container.streams.audio:
                raise AudioError(f"{name} holds no audio: it has no audio stream; give the recording itself")
            stream = container.streams.audio[0]
            if stream.codec_context is None:  # up to version 17, PyAV would crash in decode()
                raise AudioError(f"{name} can't be decoded: PyAV doesn't know its codec; export it as WAV")
            promised = _promised_seconds(container, stream)
            for frame in _resampled(av, _decoded_frames(av, container, stream, problems), rate):
                if not pcm.tell():
                    recognized()
                pcm.write(bytes(frame.planes[0])[: 2 * frame.samples])
    except _pyav_errors(av) as error:
        hint = "is it audio? If a player plays it, export it as WAV"
        raise AudioError(f"{name} can't be decoded ({_reason(error)}): {hint}") from error
    audio = Decoded(pcm.getvalue(), Format(rate, 1, 2))
    cause = problems[0] if problems else None
    if not audio.pcm:
        why = f"nothing in it can be decoded ({_reason(cause)})" if cause else "not one frame is there"
        raise AudioError(f"{name} holds no audio: {why}; check the recording") from cause
    if cause:
        found = f"{name}: {len(problems)} part(s) can't be decoded and are left out (first: {_reason(cause)})"
    elif promised > audio.seconds + _CODEC_DELAY:
        found = (
            f"{name}: it is cut off or damaged, of {promised:.1f} s of audio {audio.seconds:.1f} s are there and sent"
        )
    else:
        return audio
    return audio._replace(warnings=(found,))


def _promised_seconds(container: Any, stream: Any) -> float:
    if container.format.name in ("aac", "mp3"):
        return 0.0  # their headers tell no length: it would be a guess from the bit rate
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _decoded_frames(av: Any, container: Any, stream: Any, problems: List[Exception]) -> Iterator[Any]:
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except _pyav_errors(av) as error:
                problems.append(error)
    except _pyav_errors(av) as error:
        problems.append(error)


def _resampled(av: Any, frames: Iterator[Any], rate: int) -> Iterator[Any]:
    resampler: Any = None
    shape = None
    for frame in frames:
        if not LOWEST_RATE <= frame.sample_rate <= HIGHEST_RATE:
            raise ValueError(f"a sample rate of {frame.sample_rate} Hz")
        # A resampler takes one shape of frames; a stream may change its own, as chained Ogg files do.
        if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            if resampler is not None:
                yield from resampler.resample(None)
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


def _pyav_errors(av: Any) -> Tuple[Type[Exception], ...]:
    return (av.FFmpegError, EOFError, LookupError, OSError, RuntimeError, ValueError)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
