"""The audio of a container (mp3, m4a, webm, ogg, …) as PCM, decoded by PyAV as it comes. Called by `decoding`."""

from __future__ import annotations

import array
import io
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from ..exceptions import AudioError
from ..signals import raised_by_handler
from .level import Balance, is_silent

__all__ = ["Decoder", "decode_whole"]

# Hz. Beyond these, which only a broken header gives, to resample a short file can take minutes, or all memory.
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000

# s. Time stamps are rounded, to a millisecond at worst, in webm; the shortest packet that can be missing is one of
# 20 ms.
JITTER = 0.01

# s that a gap may last: what the service is said to take of a whole recording. A longer one is a broken time stamp, or
# a pause that nobody wants to pay for. All gaps together may last as much longer as there is audio.
LONGEST_GAP = 150.0

# Those whose time stamps tell more than how much audio came before. In the others only damage makes a gap.
KEEPS_TIME = {"asf", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg"}  # the first of FFmpeg's names for each

RESTART = 1.0  # s backwards: there a clock begins anew, as in Ogg files that were joined

MOST_TRACKS = 8  # that are tried until something is to be heard: a broken file may claim to have thousands

# Files are untrusted, and playlists name other files and addresses: only formats that hold their own audio.
_PYAV_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,"
    "wav,webm,wv",
    "protocol_whitelist": "none",
}

_CODEC_DELAY = 0.2  # s: lengths in headers may count what decoders cut away again at both ends

# Bytes: who writes AIFF or AU to a pipe claims this length or more, since nothing can be filled in later.
_UNKNOWN_SIZE = 0x7EFE_0000


class Decoder:
    """Decodes a track of a container to mono, 16 bit, at one sample rate.

    Gaps in its time stamps become silence: pauses of the recorder, silence that wasn't recorded (Opus' DTX), and lost
    packets are time that has passed, and pauses are scored. A stream that begins late is not a gap: browsers and
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
    ) -> None:
        """Opens nothing yet.

        Args:
            av: PyAV.
            file: Has `read(n)`, which returns n bytes at most, and `b""` at the end; and `seek`, if it can.
            rate: The sample rate that is wanted, in Hz.
            name: What to call the file in messages.
            track: 0 is the default track, or the best one; the next ones follow.
            channel: Which one to take; `None` mixes them.
            as_it_comes: Whether the file is still being written: then nothing is read ahead to find out more.
            kind: What FFmpeg calls the format, if it is known; else FFmpeg reads ahead to find out.
        """
        self._as_it_comes = as_it_comes
        self._kind = kind
        self.balance = Balance()
        self.tracks: List[str] = []  # what is known of each; the one that is decoded comes first
        self._av = av
        self._file = file
        self._rate = rate
        self._name = name
        self._track = track
        self._channel = channel
        self._errors: Tuple[Type[Exception], ...] = (
            av.FFmpegError, EOFError, LookupError, OSError, RuntimeError, ValueError,
        )  # fmt: skip
        self._clock = _Clock()
        self._written = 0  # samples
        self._promised = 0.0  # s
        self._damages = 0
        self._first_damage: Optional[Exception] = None
        self._after_damage = False
        self._keeps_time = False
        self._shape: Tuple[str, str, int] = ("", "", 0)
        self._time_base = 0.0
        self._resampler: Any = None
        self._measures: Tuple[Any, ...] = ()

    def pieces(self) -> Iterator[bytes]:
        """Yields the PCM, as soon as it is decoded; none of it is empty.

        Raises:
            AudioError: It isn't audio, or nothing in it can be decoded.
        """
        # Before 19, PyAV refuses a file for a title or an artist that isn't UTF-8, unless told not to.
        before_19 = int(self._av.__version__.split(".")[0]) < 19
        options: Dict[str, Any] = {"metadata_errors": "ignore"} if before_19 else {}
        probe: Dict[str, str] = {}
        if self._as_it_comes:
            options["buffer_size"] = 1024
            if self._kind is not None:
                options["format"] = self._kind
                probe = {"probesize": "32", "analyzeduration": "0"}
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
        """Returns sentences on what was promised and isn't there, or was put there; all are known after the end."""
        found = []
        gaps, jumps = self._clock.gaps, self._clock.jumps
        seconds = self._written / self._rate
        if self._damages:
            reason = _reason(self._first_damage)
            found.append(f"{self._damages} part(s) can't be decoded and are left out (first: {reason})")
        # Some lengths count from the first audio, some from time stamp 0.
        elif self._promised > max(seconds, self._clock.end) + _CODEC_DELAY:
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
        if gaps:
            found.append(f"{_places(gaps)} are pauses in its time stamps, where it holds no audio: sent as silence")
        if jumps:
            found.append(
                f"its time stamps jump over {_places(jumps)}, too much for pauses (more than {LONGEST_GAP:.0f} s at "
                "once, or more than there is audio): nothing is sent for that"
            )
        return tuple(f"{self._name}: {sentence}" for sentence in found)

    def _choose(self, opened: Any) -> Any:
        """Returns the stream of the track that is wanted."""
        streams = opened.streams.audio
        if not streams:
            raise AudioError(f"{self._name} holds no audio: it has no audio stream; give the recording itself")
        # Up to 13, PyAV can't tell which one is the best.
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
        """Returns how many seconds the header promises; 0 if it doesn't say, or is known not to know."""
        # The first two tell no length: it would be a guess from the bit rate. WAV is for `wav` to judge.
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
        # A resampler takes one shape of frames; a stream may change its own, as chained Ogg files do.
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            yield from self._flush()
            self._set_shape(shape, frame.layout.nb_channels, float(frame.time_base or stream.time_base or 0))
        if self._keeps_time:
            yield from self._silence_before(frame)
        position = self._written / self._rate
        yield from self._resampled(frame)
        # Second: a filter graph may write the channels' layout into a frame that had none, which the first relies on.
        if self._measures and self.balance.is_due(position):
            converted = [_samples(each) for convert in self._measures for each in convert.resample(frame)]
            if len(converted) == 2 and converted[1]:
                self.balance.add(position, *converted)

    def _silence_before(self, frame: Any) -> Iterator[bytes]:
        start = None if frame.pts is None else frame.pts * self._time_base
        due = self._clock.due(start, frame.samples / frame.sample_rate, self._after_damage)
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
                self._av.AudioResampler(format="s16", rate=sample_rate),
                self._av.AudioResampler(format="s16", layout="mono", rate=sample_rate),
            )

    def _resampled(self, frame: Any) -> Iterator[bytes]:
        if self._resampler is None:
            mono = {"layout": "mono"} if self._channel is None else {}
            self._resampler = self._av.AudioResampler(format="s16", rate=self._rate, **mono)
        for converted in self._resampler.resample(frame):
            if converted.samples:
                self._written += converted.samples
                yield _samples(converted) if self._channel is None else _channel(converted, self._channel)

    def _flush(self) -> Iterator[bytes]:
        if self._resampler is not None:
            yield from self._resampled(None)
            self._resampler = None


class _Clock:
    """Compares the time stamps of frames with the audio that they hold.

    Attributes:
        gaps: What becomes silence: where in the audio it begins, and how long it is, in seconds.
        jumps: The same of what doesn't, since it would be too much.
        played: Seconds of audio up to the frame that was seen last, silence included.
        end: The time stamp at which that frame ends.
    """

    def __init__(self) -> None:
        self.gaps: List[Tuple[float, float]] = []
        self.jumps: List[Tuple[float, float]] = []
        self.played = 0.0
        self.end = 0.0
        self._length = 0.0  # of the last frame
        self._silence = 0.0  # in all gaps
        self._zero: Optional[float] = None  # the time stamp that `played` counts from

    def due(self, start: Optional[float], length: float, after_damage: bool) -> Optional[float]:
        """Takes the next frame; returns where in the audio it is due if there is a gap before it, else `None`.

        Only what is late both compared with the frame before and with all the audio so far is behind a gap: so
        time stamps that come now early, now late, or from a clock that goes wrong by a little, make none.

        Args:
            start: Its time stamp, in seconds; `None` if it has none, and follows the one before.
            length: In seconds.
            after_damage: What can't be decoded is left out, and is not a gap.
        """
        self.played += self._length
        self._length = length
        if start is None:
            start = self.end
        if self._zero is None:
            self._zero = self.end = start
        jump, late = start - self.end, start - self._zero - self.played
        self.end = start + length
        if late < -RESTART or after_damage:
            self._zero = start - self.played
        if jump < JITTER or late < JITTER or after_damage:
            return None
        audio = self.played - self._silence
        if late > LONGEST_GAP or self._silence + late > LONGEST_GAP + audio:
            self.jumps.append((self.played, late))
            self._zero = start - self.played
            return None
        self.gaps.append((self.played, late))
        self._silence += late
        self.played += late
        return self.played


def decode_whole(
    av: Any, data: bytes, rate: int, name: str, recognized: Callable[[], None]
) -> Tuple[bytes, Tuple[str, ...]]:
    """Decodes a file of which all is there: the first track with a sound, in a mix where there is one.

    Returns:
        The PCM and the warnings.

    Raises:
        AudioError: It isn't audio, or nothing in it can be decoded.
    """
    told: List[bool] = []

    def tell() -> None:
        if not told:
            told.append(True)
            recognized()

    def join(decoder: Decoder) -> bytes:
        pcm = io.BytesIO()
        for piece in decoder.pieces():
            tell()
            pcm.write(piece)
        return pcm.getvalue()

    failure: Optional[AudioError] = None
    heard: Optional[Tuple[bytes, Decoder, int]] = None
    for track in range(MOST_TRACKS):
        decoder = Decoder(av, io.BytesIO(data), rate, name, track=track)
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
        raise failure
    pcm, decoder, track = heard
    warnings = decoder.warnings()
    channel = decoder.balance.survivor()
    if channel is not None:
        pcm = join(Decoder(av, io.BytesIO(data), rate, name, track=track, channel=channel))
        warnings += (
            f"{name}: its channels all but vanish when they are mixed, of opposite phase most likely: channel "
            f"{channel + 1} of {decoder.balance.channels} is sent alone",
        )
    return pcm, warnings


def _describe(stream: Any, index: int) -> str:
    """Returns what tells a track from the others; the language is the file's own word, so only if it is one."""
    codec = stream.codec_context
    facts = (
        ["unknown codec"] if codec is None else [str(codec.name), f"{codec.sample_rate} Hz", f"{codec.channels} ch."]
    )
    language = str(stream.language or "")
    if language.isalpha() and len(language) <= 3 and language != "und":
        facts.append(language)
    # Up to 13, PyAV can't tell; in some later versions, it gives a flag that is no number.
    disposition = getattr(stream, "disposition", 0)
    if getattr(disposition, "value", disposition) & 1:
        facts.append("marked default")
    return f"track {index + 1} ({', '.join(facts)})"


def _places(gaps: List[Tuple[float, float]]) -> str:
    """Returns how long gaps are, and where: "4.0 s (4.0 at 1.0 s)"."""
    places = [f"{length:.2g} s at {start:.1f} s" for start, length in gaps[:3]]
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return f"{sum(length for _, length in gaps):.1f} s ({', '.join(places)}{more})"


def _samples(frame: Any) -> bytes:
    """Returns the samples of a frame of 16 bit, of all its channels in turn.

    It must not be planar: PyAV reads beyond the planes of 8 channels and more, and the process dies.
    """
    return bytes(frame.planes[0])[: 2 * frame.layout.nb_channels * frame.samples]


def _channel(frame: Any, channel: int) -> bytes:
    channels = frame.layout.nb_channels
    return array.array("h", _samples(frame))[min(channel, channels - 1) :: channels].tobytes()


def _reason(error: Optional[BaseException]) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
