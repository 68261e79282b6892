"""Decodes the audio of a container (mp3, m4a, webm, ogg, …) to PCM, piece by piece, with PyAV. For `decoding`."""

from __future__ import annotations

import array
import io
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from ..exceptions import AudioError
from ..signals import raised_by_handler
from .decoder_thread import Watch, in_own_thread
from .gaps import Gaps
from .level import Balance, is_silent
from .resampling import Resampler

__all__ = ["Decoder", "Warned", "decode_whole"]

# Hz. Only a broken header gives a rate beyond these; to resample such a file can take minutes, or all memory.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000

# Formats whose time stamps can show a pause. In others, stamps only count the audio, and only damage makes a gap.
KEEPS_TIME = {"asf", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg"}  # the first of FFmpeg's names for each

MOST_TRACKS = 8  # to try until one isn't silent; a broken file may claim to have thousands

# Allow only formats that hold their own audio: an untrusted playlist could name other files or addresses.
_PYAV_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,"
    "wav,webm,wv",
    "protocol_whitelist": "none",
}

_CODEC_DELAY = 0.2  # s; the length in a header may include padding at both ends, which decoders remove

# Bytes of a file as it comes, in which a format must show itself. If it is raw PCM, who forgot to say so is told after
# 2 s of it; by default, FFmpeg takes 1 MiB, which is half a minute.
_ENOUGH_BYTES = 2**16

# Bytes. A program that writes AIFF or AU to a pipe can't fill in the length later, and claims this length or more.
_UNKNOWN_SIZE = 0x7EFE_0000


class Warned(str):
    """A warning that `check` has a finding of its own for.

    Attributes:
        code: The finding's code.
        seconds: How many seconds it is about, if any.
    """

    code: str
    seconds: float

    def __new__(cls, sentence: str, code: str = "", seconds: float = 0.0) -> Warned:
        self = super().__new__(cls, sentence)
        self.code, self.seconds = code, seconds
        return self


class Decoder:
    """Decodes a track of a container to mono, 16 bit, at one sample rate.

    Gaps in its time stamps become silence, since the service scores pauses. Gaps come from a recorder that paused, from
    silence that wasn't recorded (Opus' DTX), and from lost packets. A late first time stamp is no gap: browsers and
    broadcasts begin their clocks anywhere.
    """

    def __init__(
        self,
        av: Any,
        file: Any,
        rate: int,
        name: str,
        *,
        track: int = 0,
        channel: Optional[int] = None,
        as_it_comes: bool = False,
        kind: Optional[str] = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepares the decoding; `pieces()` opens the file.

        Args:
            av: The module of PyAV.
            file: Has `read(n)`, which returns at most n bytes, and `b""` at the end; may have `seek`.
            rate: The sample rate of the PCM, in Hz.
            name: What to call the file in messages.
            track: 0 takes the best track by FFmpeg's choice; higher numbers take the others.
            channel: The channel to take, from 0; `None` mixes all.
            as_it_comes: Whether the file is still being written: then FFmpeg reads in small blocks.
            kind: FFmpeg's name for the format of such a file, if known; without it, FFmpeg reads ahead to find out.
            look: Called before each packet is decoded; what it raises ends the decoding.
        """
        self._as_it_comes = as_it_comes
        self._kind = kind
        self._look = look
        self.balance = Balance()
        self.tracks: List[str] = []  # a description of each; the decoded track comes first
        self._av = av
        self._file = file
        self._rate = rate
        self._name = name
        self._track = track
        self._channel = channel
        self._errors: Tuple[Type[Exception], ...] = (
            av.FFmpegError, EOFError, LookupError, OSError, RuntimeError, ValueError,
        )  # fmt: skip
        self._gaps = Gaps()
        self._written = 0  # samples
        self._promised = 0.0  # s of audio that the header promises
        self._damages = 0
        self._first_damage: Optional[Exception] = None
        self._after_damage = False
        self._keeps_time = False
        self._shape: Tuple[str, str, int] = ("", "", 0)
        self._time_base = 0.0
        self._resampler: Optional[Resampler] = None
        self._measures: Tuple[Resampler, ...] = ()

    def pieces(self) -> Iterator[bytes]:
        """Yields the PCM in pieces, each as soon as it is decoded; no piece is empty.

        Raises:
            AudioError: The file isn't audio, or nothing in it can be decoded.
        """
        # Before 19, PyAV refuses a file whose title or artist isn't UTF-8, without this option.
        before_19 = int(self._av.__version__.split(".")[0]) < 19
        options: Dict[str, Any] = {"metadata_errors": "ignore"} if before_19 else {}
        probe: Dict[str, str] = {}
        if self._as_it_comes:
            options["buffer_size"] = 1024
            if self._kind is not None:
                options["format"] = self._kind
                probe = {"probesize": "32", "analyzeduration": "0"}
            else:
                probe = {"formatprobesize": str(_ENOUGH_BYTES)}
        try:
            with self._av.open(self._file, options={**_PYAV_OPTIONS, **probe}, **options) as opened:
                self._keeps_time = opened.format.name.split(",")[0] in KEEPS_TIME
                stream = self._choose(opened)
                for frame in self._frames(opened, stream):
                    yield from self._convert(frame, stream)
                yield from self._flush()
        except self._errors as error:
            if raised_by_handler(error):
                raise
            hint = "is it audio? If a player plays it, export it as WAV"
            raise AudioError(f"{self._name} can't be decoded ({_reason(error)}): {hint}") from error
        if not self._written:
            cause = self._first_damage
            why = f"nothing in it can be decoded ({_reason(cause)})" if cause else "not one frame is there"
            raise AudioError(f"{self._name} holds no audio: {why}; check the recording") from cause

    def warnings(self) -> Tuple[str, ...]:
        """Returns sentences on audio that is missing or was put in; complete once `pieces()` has ended."""
        found = []
        seconds = self._written / self._rate
        if self._damages:
            reason = _reason(self._first_damage)
            found.append(f"{self._damages} part(s) can't be decoded and are left out (first: {reason})")
        # A header's length may count from the first audio, or from time stamp 0: so compare with both.
        elif self._promised > max(seconds, self._gaps.end) + _CODEC_DELAY:
            found.append(
                f"it is cut off or damaged, of {self._promised:.1f} s of audio {seconds:.1f} s are there and sent"
            )
        if len(self.tracks) > 1:
            chosen, *others = self.tracks
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            found.append(
                f"it has {len(self.tracks)} audio tracks: {chosen} is sent, not {', '.join(others[:3])}{more}; "
                "to send another one, export it by itself"
            )
        return (
            *(f"{self._name}: {sentence}" for sentence in found),
            *(Warned(f"{self._name}: {said}", "gaps", seconds) for said, seconds in self._gaps.warnings()),
        )

    def _choose(self, opened: Any) -> Any:
        """Returns the stream of the track that the caller wants."""
        streams = opened.streams.audio
        if not streams:
            raise AudioError(f"{self._name} holds no audio: it has no audio stream; give the recording itself")
        # Up to version 13, PyAV can't tell which stream is the best.
        best = opened.streams.best("audio") if hasattr(opened.streams, "best") else None
        ranked = sorted(
            range(len(streams)),
            key=lambda index: (streams[index].codec_context is None, streams[index] is not best, index),
        )
        ranked.insert(0, ranked.pop(self._track))
        self.tracks = [_describe(streams[index], index) for index in ranked]
        stream = streams[ranked[0]]
        if stream.codec_context is None:  # up to version 17, PyAV would crash in decode()
            raise AudioError(f"{self._name} can't be decoded: PyAV doesn't know its codec; export it as WAV")
        self._promised = self._promise(opened, stream)
        return stream

    def _promise(self, opened: Any, stream: Any) -> float:
        """Returns how many seconds the header promises; 0 if it doesn't tell, or the length is a placeholder."""
        # aac and mp3 hold no length: PyAV would guess it from the bit rate. `wav` checks the length of a WAV.
        if opened.format.name in ("aac", "mp3", "wav"):
            return 0.0
        if stream.duration:
            promised = float(stream.duration * stream.time_base)
        else:
            promised = (opened.duration or 0) / 1e6 if len(opened.streams) == 1 else 0.0
        size = promised * (stream.codec_context.bit_rate or 0) / 8
        return promised if size < _UNKNOWN_SIZE else 0.0

    def _frames(self, opened: Any, stream: Any) -> Iterator[Any]:
        try:
            for packet in opened.demux(stream):
                self._look()
                try:
                    yield from packet.decode()
                except self._errors as error:
                    self._note_damage(error)
        except self._errors as error:
            self._note_damage(error)

    def _note_damage(self, error: Exception) -> None:
        if raised_by_handler(error):
            raise error
        self._first_damage = self._first_damage or error
        self._damages += 1
        self._after_damage = True

    def _convert(self, frame: Any, stream: Any) -> Iterator[bytes]:
        # A resampler takes frames of one shape only; the frames of a stream may change theirs, as in chained Ogg files.
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self._flush()
            self._set_shape(shape, frame.layout.nb_channels, float(frame.time_base or stream.time_base or 0))
        if self._keeps_time:
            yield from self._silence_before(frame)
        position = self._written / self._rate
        yield from self._resampled(frame)
        # Measure after resampling: to measure may write a channel layout into a frame that had none, and resampling
        # must get the frame without it.
        if self._measures and self.balance.is_due(position):
            converted = [_samples(each) for convert in self._measures for each in convert.resample(frame)]
            if len(converted) == 2 and converted[1]:
                self.balance.add(position, *converted)

    def _silence_before(self, frame: Any) -> Iterator[bytes]:
        start = None if frame.pts is None else frame.pts * self._time_base
        due = self._gaps.due(start, frame.samples / frame.sample_rate, self._after_damage)
        self._after_damage = False
        if due is not None:
            yield from self._flush()
            missing = round(due * self._rate) - self._written
            if missing > 0:
                self._written += missing
                yield bytes(2 * missing)

    def _set_shape(self, shape: Tuple[str, str, int], channels: int, time_base: float) -> None:
        self._shape, sample_rate = shape, shape[2]
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise ValueError(f"a sample rate of {sample_rate} Hz")
        self._time_base = time_base
        self._measures = ()
        if self._channel is None and channels > 1:
            self._measures = (
                Resampler(self._av, sample_rate, mono=False),
                Resampler(self._av, sample_rate, mono=True),
            )

    def _resampled(self, frame: Any) -> Iterator[bytes]:
        if self._resampler is None:
            self._resampler = Resampler(self._av, self._rate, mono=self._channel is None)
        for converted in self._resampler.resample(frame):
            if converted.samples:
                self._written += converted.samples
                yield _samples(converted) if self._channel is None else _channel(converted, self._channel)

    def _flush(self) -> Iterator[bytes]:
        if self._resampler is not None:
            yield from self._resampled(None)
            self._resampler = None


def decode_whole(
    av: Any, data: bytes, rate: int, name: str, recognized: Callable[[], None]
) -> Tuple[bytes, Tuple[str, ...]]:
    """Decodes a whole file: the first track that isn't silent.

    Mixes its channels; but if they cancel each other out, takes the loudest channel alone.

    Args:
        av: The module of PyAV.
        data: The file.
        rate: The sample rate of the PCM, in Hz.
        name: What to call the file in messages.
        recognized: Called once, as soon as a first piece of audio is decoded.

    Returns:
        The PCM and the warnings.

    Raises:
        AudioError: The file isn't audio, or nothing in it can be decoded.
    """
    return in_own_thread(lambda watch: _decode_whole(av, data, rate, name, watch), recognized)


def _decode_whole(av: Any, data: bytes, rate: int, name: str, watch: Watch) -> Tuple[bytes, Tuple[str, ...]]:
    has_told = False

    def join(decoder: Decoder) -> bytes:
        nonlocal has_told
        pcm = io.BytesIO()
        for piece in decoder.pieces():
            if not has_told:
                has_told = True
                watch.tell()
            pcm.write(piece)
        return pcm.getvalue()

    failure: Optional[AudioError] = None
    heard: Optional[Tuple[bytes, Decoder, int]] = None
    for track in range(MOST_TRACKS):
        decoder = Decoder(av, io.BytesIO(data), rate, name, track=track, look=watch.look)
        try:
            pcm = join(decoder)
        except AudioError as error:
            failure = failure or error
        else:
            silent = is_silent(pcm, 2) and decoder.balance.survivor() is None
            if heard is None or not silent:
                heard = pcm, decoder, track
            if not silent:
                break
        if track + 1 >= len(decoder.tracks):
            break
    if heard is None:
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # its traceback refers to this frame; a circle of the two would keep the audio
    pcm, decoder, track = heard
    warnings = decoder.warnings()
    channel = decoder.balance.survivor()
    if channel is not None:
        pcm = join(Decoder(av, io.BytesIO(data), rate, name, track=track, channel=channel, look=watch.look))
        said = (
            f"{name}: its channels all but vanish when they are mixed, of opposite phase most likely: channel "
            f"{channel + 1} of {decoder.balance.channels} is sent alone"
        )
        warnings += (Warned(said, "channels"),)
    return pcm, warnings


def _describe(stream: Any, index: int) -> str:
    """Describes a track for a message. Leaves out a language that isn't a code: the file may claim any text."""
    codec = stream.codec_context
    facts = (
        ["unknown codec"] if codec is None else [str(codec.name), f"{codec.sample_rate} Hz", f"{codec.channels} ch."]
    )
    language = str(stream.language or "")
    if language.isalpha() and len(language) <= 3 and language != "und":
        facts.append(language)
    # Up to version 13, PyAV's streams have no `disposition`; in some later versions, it is a flag, not a number.
    disposition = getattr(stream, "disposition", 0)
    if getattr(disposition, "value", disposition) & 1:
        facts.append("marked default")
    return f"track {index + 1} ({', '.join(facts)})"


def _samples(frame: Any) -> bytes:
    """Returns the samples of a 16-bit frame, its channels interleaved.

    The frame must not be planar: with 8 channels or more, PyAV reads beyond the planes, and the process dies.
    """
    return bytes(frame.planes[0])[: 2 * frame.layout.nb_channels * frame.samples]


def _channel(frame: Any, channel: int) -> bytes:
    channels = frame.layout.nb_channels
    return array.array("h", _samples(frame))[min(channel, channels - 1) :: channels].tobytes()


def _reason(error: Optional[BaseException]) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
