"""Makes PCM of the bytes of a live source, as they come: of raw PCM, of WAV, and of what PyAV decodes.

Used by `live`, `pushed` and `exchange.client`. `unpack()` draws the bytes in the thread that draws the PCM.
"""

from __future__ import annotations

from typing import Any, Callable, Generator, Iterable, Iterator, Optional, Tuple

from ..exceptions import AudioError, ConfigError
from .container import Decoder
from .decoding import DECODED_RATE, widen
from .feed import NAME
from .heads import HEAD_BYTES, kind_of
from .libraries import INSTALL, import_pyav
from .packets import Format
from .resampling import Resampler
from .wav import IncomingWav, Layout

__all__ = ["Expect", "plan", "raw_format", "unpack"]

# FFmpeg's layouts for a WAV without a channel mask, by the number of channels.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SAMPLE_FORMATS = {1: "u8", 2: "s16", 4: "s32"}

Convert = Callable[[bytes], bytes]
Expect = Callable[[Format, int, Optional[Convert]], object]


def raw_format(sample_rate: object, channels: object, sample_width: object) -> Layout:
    """Returns the layout of raw PCM, from the caller's options.

    Raises:
        ConfigError: An option is out of range, or no WAV header can tell all three.
    """
    for name, value in (("sample_rate", sample_rate), ("channels", channels), ("sample_width", sample_width)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} of a live source must be a whole number above 0, not {value!r}")
    assert isinstance(sample_rate, int)
    assert isinstance(channels, int)
    assert isinstance(sample_width, int)
    if sample_width not in (1, 2, 3, 4):
        raise ConfigError(f"sample_width of a live source must be 1, 2, 3 or 4 bytes, not {sample_width}")
    layout = Layout(sample_rate, channels, 8 * sample_width, sample_width)
    width = 4 if sample_width == 3 else sample_width
    if channels * width >= 2**16 or sample_rate * channels * width >= 2**32:
        raise ConfigError(f"no WAV header can tell {channels} channels of {8 * width} bit at {sample_rate} Hz")
    return layout


def plan(layout: Layout, sample_rate: Optional[int], name: str = NAME) -> Tuple[Format, int, Optional[Convert]]:
    """Returns the arguments of `Feed.expect()` for PCM.

    Args:
        layout: The layout of the PCM that comes.
        sample_rate: Hz to resample to, mono and 16 bit; `None` sends the PCM as it is.
        name: What to call the source in messages.

    Raises:
        AudioError: The PCM can't be resampled.
    """
    width = 4 if layout.bits == 24 else layout.width
    sent, raw_width = Format(layout.sample_rate, layout.channels, width), layout.channels * layout.width
    convert = widen if layout.bits == 24 else None
    wanted = Format(sample_rate or layout.sample_rate, 1, 2)
    if sample_rate is None or sent == wanted:
        return sent, raw_width, convert
    return wanted, raw_width, _Resampler(sent, wanted.sample_rate, convert, name)


class _Resampler:
    """Converts whole frames of PCM to mono, 16 bit, at another rate; a call with `b""` returns the rest."""

    def __init__(self, given: Format, rate: int, widened: Optional[Convert], name: str) -> None:
        self._av = import_pyav()
        if self._av is None:
            raise AudioError(f"resampling {name} to {rate} Hz needs PyAV: {INSTALL}")
        if given.channels not in _LAYOUTS:
            raise AudioError(f"{name} has {given.channels} channels, too many to resample: give one of them")
        self._given = given
        self._widened = widened
        self._resampler = Resampler(self._av, rate, mono=True)
        self._frames = 0

    def __call__(self, pcm: bytes) -> bytes:
        frame = None
        if pcm:
            pcm = self._widened(pcm) if self._widened else pcm
            count = len(pcm) // self._given.frame_width
            kind, layout = _SAMPLE_FORMATS[self._given.sample_width], _LAYOUTS[self._given.channels]
            frame = self._av.AudioFrame(format=kind, layout=layout, samples=count)
            plane = frame.planes[0]
            plane.update(pcm + bytes(plane.buffer_size - len(pcm)))  # the plane is padded
            frame.sample_rate = self._given.sample_rate
            frame.pts = self._frames
            self._frames += count
        converted = self._resampler.resample(frame)
        return b"".join(bytes(each.planes[0])[: 2 * each.samples] for each in converted)


def unpack(
    given: Iterable[bytes],
    raw: Optional[Layout],
    sample_rate: Optional[int],
    expect: Expect,
    warn: Callable[[str], object],
    name: str = NAME,
) -> Generator[Any, None, None]:
    """Yields PCM as its bytes come, in pieces of any size.

    Args:
        given: The bytes, in pieces of any size.
        raw: The layout of raw PCM; `None` for a file, whose header tells it.
        sample_rate: Hz to resample to, mono and 16 bit; `None` sends raw PCM and WAV as it is.
        expect: `Feed.expect()`; called before the first piece.
        warn: Called with each sentence on what is wrong with the file.
        name: What to call the source in messages.

    Raises:
        AudioError: The bytes can't be decoded.
    """
    if raw is not None:
        expect(*plan(raw, sample_rate, name))
        yield from given
        return
    rest, head = iter(given), b""
    try:
        while len(head) < HEAD_BYTES:
            piece = next(rest, None)
            if piece is None:
                break
            head += piece
        if not head:
            return
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            incoming = IncomingWav(name)
            while not incoming.add(head):
                piece = next(rest, None)
                if piece is None:
                    incoming.end()
                    return
                head = piece
            if incoming.layout is not None:
                expect(*plan(incoming.layout, sample_rate, name))
                yield from incoming.pcm(rest, warn)
                return
            head = incoming.head
        yield from _decoded(head, rest, sample_rate or DECODED_RATE, expect, warn, name)
    finally:
        _close(rest)


def _close(iterator: Any) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _decoded(
    head: bytes, rest: Iterator[bytes], rate: int, expect: Expect, warn: Callable[[str], object], name: str
) -> Iterator[bytes]:
    av = import_pyav()
    if av is None:
        raise AudioError(f"{name} is neither raw PCM (its sample_rate was not given) nor a PCM WAV: {INSTALL}")
    pipe = Pipe(head, rest)
    kind = kind_of(head)
    decoder = Decoder(av, pipe, rate, name, as_it_comes=True, kind=kind)
    expect(Format(rate, 1, 2), 2, None)
    try:
        yield from decoder.pieces()
    except AudioError as error:
        if pipe.failure is not None:
            raise pipe.failure from None
        if kind == "mov":
            advice = "score one with its index at its end as a recording, or write it in fragments"
            raise AudioError(f"{error}. An mp4 or m4a can't always be decoded as it comes: {advice}") from error
        if kind is None:
            raise AudioError(f"{error}; if it is raw PCM, give its sample_rate") from error.__cause__
        raise
    if pipe.failure is not None:
        raise pipe.failure
    for sentence in decoder.warnings():
        warn(sentence)


class Pipe:
    """A file object for PyAV that gives bytes as they come. It must have no `seek`, and no `mode`.

    Attributes:
        failure: The exception of the source, kept here since PyAV swallows some exceptions of `read()`.
    """

    def __init__(self, head: bytes, rest: Iterator[bytes]) -> None:
        self.failure: Optional[BaseException] = None
        self._there = memoryview(head)
        self._rest = rest
        self._ended = False

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes: with more, the process would die. After the end, returns `b""`."""
        while not self._there and not self._ended:
            try:
                self._there = memoryview(next(self._rest))
            except StopIteration:
                self._ended = True
            except BaseException as error:  # noqa: BLE001 - `_decoded()` raises it when PyAV has returned
                self.failure = error
                self._ended = True
        given, self._there = bytes(self._there[:size]), self._there[size:]
        return given
