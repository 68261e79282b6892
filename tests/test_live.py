"""Speech as it is spoken: sources of every kind, how they end, and what comes of it. Real servers and pipes."""

from __future__ import annotations

import array
import contextlib
import io
import itertools
import json
import os
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rawserver import CLOSE, STREAM_ID, SUCCESS, Connection, RawServer
from recordings import SPEECH, container, encoded, layout, steady, wav
from test_wire import TRANSCRIPTS, WIRE, described, healthy

from elsa_unscripted import (
    AudioError,
    Client,
    ConfigError,
    ElsaError,
    LiveAudio,
    ScoreCancelledError,
    ScoreResult,
    ScoreTimeoutError,
    StreamClosedError,
    score,
    score_many,
)
from elsa_unscripted.audio.recording import load
from elsa_unscripted.sandbox import Sandbox

TOKEN = "the-secret-token"
SECOND = 32_000  # bytes of SPEECH
PIECE = 640  # 20 ms
SLACK = 3.0  # s that a busy machine may be late
LONG = 30.0  # s: what no test waits out


def pieces(seconds: float, size: int = PIECE) -> Iterator[bytes]:
    """Speech at once, in pieces."""
    for at in range(0, int(seconds * SECOND), size):
        yield SPEECH[at : min(at + size, int(seconds * SECOND))]


def spoken(seconds: float, size: int = PIECE) -> Iterator[bytes]:
    """Speech as it is spoken."""
    began = time.monotonic()
    for number, piece in enumerate(pieces(seconds, size), 1):
        time.sleep(max(0.0, began + number * size / SECOND - time.monotonic()))
        yield piece


class Stuck:
    """An iterator that gives what it is told to, and then blocks until it is released."""

    def __init__(self, *given: Any) -> None:
        self.release = threading.Event()
        self.reached = threading.Event()
        self._given = iter(given)

    def __iter__(self) -> Stuck:
        return self

    def __next__(self) -> Any:
        for piece in self._given:
            return piece
        self.reached.set()
        self.release.wait(LONG)
        raise StopIteration


@pytest.fixture
def stuck() -> Iterator[Any]:
    """Makes sources that block; they are released after the test."""
    made: list[Stuck] = []

    def make(*given: Any) -> Stuck:
        made.append(Stuck(*given))
        return made[-1]

    yield make
    for each in made:
        each.release.set()


def live(source: Any, **options: Any) -> LiveAudio:
    return LiveAudio(source, **{"sample_rate": 16000, **options})


def failed(kind: type[ElsaError], audio: LiveAudio, script: Any = None, **options: Any) -> Any:
    """Scores what must fail; returns the error, which must have come in time."""
    began = time.monotonic()
    with RawServer(script or healthy) as server, pytest.raises(kind) as caught:
        score(audio, TOKEN, url=server.url, **{"timeout": 10, "close_timeout": 0.3, **options})
    assert type(caught.value) is kind
    assert time.monotonic() - began < LONG / 2
    return caught.value


def heard(source: Any, *, of: dict[str, Any] | None = None, **options: Any) -> tuple[bytes, ScoreResult]:
    """Scores a source; returns what the sandbox heard of it."""
    with Sandbox() as sandbox:
        result = score(
            LiveAudio(source, **({"sample_rate": 16000} if of is None else of)), TOKEN, url=sandbox.url, **options
        )
        return sandbox.exchanges[-1].pcm, result


# What comes out.


def test_speech_as_it_is_spoken() -> None:
    """Each packet leaves when it is full, not later; the result tells what ended the speech, and how long it was."""
    arrivals: list[float] = []
    began = time.monotonic()

    def script(connection: Connection) -> None:
        connection.start()
        while connection.read_frame().opcode == 2:
            arrivals.append(time.monotonic() - began)
        connection.send(SUCCESS)
        connection.finish()

    told: list[tuple[float, None]] = []
    with RawServer(script) as server:
        result = score(
            live(spoken(2.2)), TOKEN, url=server.url, on_progress=lambda sent, total: told.append((sent, total))
        )
    assert told == [(0.5, None), (1.0, None), (1.5, None), (2.0, None), (2.2, None)]
    assert (result.ended_by, result.audio_seconds, result.audio_seconds_sent) == ("source", 2.2, 2.2)
    assert (result.sample_rate, result.channels, result.sample_width, result.warnings) == (16000, 1, 2, ())
    for due, arrival in zip((0.5, 1.0, 1.5, 2.0, 2.2), arrivals):
        assert due - 0.05 <= arrival < due + 0.5


@pytest.mark.parametrize("size", [1, 7, 333, 1_000_000])
def test_nothing_is_lost_whatever_the_pieces(size: int) -> None:
    """What the server hears is what the source gave, byte for byte, empty pieces in between or not."""
    seconds = 0.1 if size == 1 else 3.3
    source = itertools.chain.from_iterable((b"", piece) for piece in pieces(seconds, size))
    pcm, result = heard(source, speed=None)
    assert pcm == SPEECH[: int(seconds * SECOND)]
    assert result.audio_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pieces_are_anything_like_bytes(kind: Any) -> None:
    """Whatever has a buffer will do, also one that the source uses again and again."""
    given: Any = [kind(piece) for piece in pieces(1.0)]
    if kind is bytearray:

        def refilled() -> Iterator[bytearray]:
            buffer = bytearray()
            for piece in pieces(1.0):
                buffer += piece
                yield buffer
                buffer.clear()

        given = refilled()
    assert heard(given, speed=None)[0] == SPEECH[:SECOND]


def _pipe(write: Any) -> Any:
    ours, theirs = os.pipe()

    def run() -> None:
        with os.fdopen(theirs, "wb", buffering=0) as file:
            write(file)

    threading.Thread(target=run, daemon=True).start()
    return os.fdopen(ours, "rb")


class OnlyRead:
    """A file object of somebody else, with `read(n)` and no more."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def test_pipe() -> None:
    """What comes through a pipe in pieces is sent as it comes; the pipe stays open, since it is the caller's."""
    pipe = _pipe(lambda file: [file.write(piece) for piece in spoken(1.2)])
    with pipe:
        pcm, result = heard(pipe)
        assert not pipe.closed
    assert pcm == SPEECH[: int(1.2 * SECOND)]
    assert result.timings.first_packet is not None
    assert result.timings.audio_sent is not None
    assert result.timings.audio_sent - result.timings.first_packet > 0.4


def test_socket_file() -> None:
    """So is what comes over a socket."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as file:
        with theirs:
            theirs.sendall(SPEECH[:SECOND])
        assert heard(file, speed=None)[0] == SPEECH[:SECOND]


@pytest.mark.parametrize("kind", [io.BytesIO, OnlyRead])
def test_file_objects(kind: Any) -> None:
    """Whatever has `read(n)` will do."""
    assert heard(kind(SPEECH[:SECOND]), speed=None)[0] == SPEECH[:SECOND]


def test_queue_through_a_generator() -> None:
    """A queue that another thread fills is a source by `iter(queue.get, None)`."""
    waiting: queue.Queue[bytes | None] = queue.Queue()
    for piece in [*pieces(1.0), None]:
        waiting.put(piece)
    assert heard(iter(waiting.get, None), speed=None)[0] == SPEECH[:SECOND]


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
def test_frames_of_a_live_wav_are_the_references(name: str) -> None:
    """For each recorded WAV, every message of the live source's exchange equals the reference client's."""
    data = (WIRE / name).read_bytes()
    with RawServer(healthy) as server:
        score(LiveAudio(data[at : at + 1000] for at in range(0, len(data), 1000)), "T", url=server.url, speed=None)
    (connection,) = server.connections
    sent = [described(frame) for frame in connection.frames if frame.opcode != CLOSE]
    assert sent == TRANSCRIPTS[name]["frames"]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFF00 - 44])
@pytest.mark.parametrize("piece", [5, 100_000])
def test_wav_of_unknown_length(size: int, piece: int) -> None:
    """What ffmpeg, SoX, arecord and others claim in a pipe is no length: all that comes is audio, with no warning."""
    data = wav(SPEECH[:SECOND], size=size, before=b"LIST" + (5).to_bytes(4, "little") + b"INFOx\0")
    pcm, result = heard([data[at : at + piece] for at in range(0, len(data), piece)], of={}, speed=None)
    assert (pcm, result.warnings) == (SPEECH[:SECOND], ())


def test_wav_of_wrong_length() -> None:
    """Audio that the header promises and that doesn't come is told; what comes behind what it promises is left out."""
    pcm, result = heard([wav(SPEECH[:SECOND], size=2 * SECOND)], of={}, speed=None)
    assert pcm == SPEECH[:SECOND]
    assert "cut off" in result.warnings[0]
    pcm, result = heard([wav(SPEECH[:SECOND], size=SECOND // 2)], of={}, speed=None)
    assert pcm == SPEECH[: SECOND // 2]
    assert "left out" in result.warnings[0]
    tail = b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    pcm, result = heard([wav(SPEECH[:SECOND], after=tail)], of={}, speed=None)
    assert (pcm, result.warnings) == (SPEECH[:SECOND], ())


@pytest.mark.parametrize("kind", ["webm", "ogg", "mp3", "flac", "aiff", "matroska", "fragmented mp4"])
@pytest.mark.parametrize("piece", [100, 5000, 10**6])
def test_containers_as_they_come(kind: str, piece: int) -> None:
    """However a container is cut, what is sent is what the whole file gives, its pauses included."""
    pytest.importorskip("av")
    if kind == "matroska":
        data = container("matroska", steady(1) + steady(2, 3.0))
    elif kind == "fragmented mp4":
        data = container("mp4", steady(2), options={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    else:
        data = encoded(kind)
    pcm, _ = heard((data[at : at + piece] for at in range(0, len(data), piece)), of={}, speed=None)
    whole = bytes(load(data).pcm)
    if kind == "mp3":  # only the whole file tells how much of its last frame is padding
        assert len(whole) <= len(pcm) <= len(whole) + 2 * 1152
        whole = whole[:-200]
        pcm = pcm[: len(whole)]
    assert pcm == whole


@pytest.mark.slow(everywhere=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["webm", "flac", "ogg", "wav", "float wav"]),
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=20),
)
def test_decoding_as_it_comes_is_decoding_the_whole(kind: str, sizes: list[int]) -> None:
    """Wherever a file is cut into pieces, its packets are those of the recording."""
    pytest.importorskip("av")
    data = _FILES[kind]() if kind in _FILES else encoded(kind)
    cuts = itertools.accumulate(itertools.cycle(sizes), initial=0)
    ends = list(itertools.takewhile(lambda at: at < len(data), cuts))
    source = LiveAudio(data[at:to] for at, to in zip(ends, [*ends[1:], len(data)]))
    source.claim()
    source.start(0.5, None)
    try:
        found = list(source.packets(0.5))
    finally:
        source.close()
        source.join()
    assert found == list(load(data).packets(0.5))


@pytest.mark.parametrize("pcm", [SPEECH[: 10 * SECOND], bytes(10 * SECOND)])
def test_raw_pcm_without_its_sample_rate(pcm: bytes) -> None:
    """Who forgets `sample_rate` is told so after some 2 s of speech, not when it has ended."""
    pytest.importorskip("av")
    given = 0

    def source() -> Iterator[bytes]:
        nonlocal given
        for at in range(0, len(pcm), PIECE):
            given += PIECE
            yield pcm[at : at + PIECE]

    error = failed(AudioError, LiveAudio(source()), _patient)
    assert "if it is raw PCM, give its sample_rate" in str(error)
    assert given < 3 * SECOND


def _float_wav() -> bytes:
    samples = array.array("f", [value / 32768 for value in array.array("h", SPEECH[:SECOND])])
    return wav(samples.tobytes(), bits=32, form=layout(3, 1, 16000, 32))


_FILES = {
    "wav": lambda: wav(SPEECH[:SECOND], before=b"LIST" + (2).to_bytes(4, "little") + b"xy"),
    "float wav": _float_wav,
}


@pytest.mark.parametrize(("kind", "seconds"), [("webm", 0.8), ("mp3", 1.1)])
def test_first_packet_of_a_container_is_early(kind: str, seconds: float) -> None:
    """The first packet is there when a chunk of audio, and a little more, has come: nothing is read ahead."""
    pytest.importorskip("av")
    data = container("webm", steady(4), options={"live": "1"}) if kind == "webm" else encoded(kind, 4.0)
    given: list[int] = []

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(data), 500):
            given.append(at + 500)
            yield data[at : at + 500]
            time.sleep(0.02)

    source = LiveAudio(slowly())
    source.claim()
    source.start(0.5, None)
    try:
        next(source.packets(0.5))
        assert given[-1] / len(data) * 4 < seconds
    finally:
        source.close()
        source.join()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampling(width: int, channels: int) -> None:
    """`sample_rate=` of `score()` resamples raw PCM as it comes, to what the whole of it would become."""
    pytest.importorskip("av")
    data = wav(SPEECH[: 12 * 2000], 22050, channels, 8 * width)
    options = {"sample_rate": 22050, "channels": channels, "sample_width": width}
    pcm, result = heard(
        (data[44 + at : 144 + at] for at in range(0, len(data) - 44, 100)), of=options, sample_rate=8000
    )
    assert (result.sample_rate, result.channels, result.sample_width) == (8000, 1, 2)
    assert pcm == bytes(load(data, 8000).pcm)


# Its pace.


def test_never_faster_than_speed() -> None:
    """A source that gives everything at once is sent at `speed`, as a recording is."""
    with Sandbox() as sandbox:
        began = time.monotonic()
        score(live(pieces(4.0)), TOKEN, url=sandbox.url, speed=4.0)
        arrivals = sandbox.exchanges[-1].arrival_times
    assert all(arrival - began >= number * 0.125 - 0.005 for number, arrival in enumerate(arrivals))
    assert arrivals[-1] - began < 0.875 + SLACK


@pytest.mark.slow(everywhere=True)
def test_what_piled_up_catches_up() -> None:
    """What was said before the server named the stream is sent at once, and delays nothing of what comes later."""
    arrivals: list[float] = []
    began = time.monotonic()

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        time.sleep(1.6)
        connection.send(STREAM_ID)
        while connection.read_frame().opcode == 2:
            arrivals.append(time.monotonic() - began)
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        result = score(live(spoken(3.0)), TOKEN, url=server.url)
    assert len(arrivals) == 6
    assert arrivals[2] - arrivals[0] < 0.4
    assert arrivals[5] < 3.0 + 0.5
    assert result.audio_seconds_sent == 3.0


def test_producer_waits_when_30_seconds_wait() -> None:
    """What waits to be sent is bounded: then nothing more is drawn from the source, and its silence isn't counted."""
    drawn: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            drawn.append(PIECE)
            yield bytes(PIECE)

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        connection.wait(1.5)
        assert 30 * SECOND <= sum(drawn) <= 31 * SECOND
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        audio = live(endless(), max_seconds=40.0, source_timeout=1.0)
        result = score(audio, TOKEN, url=server.url, speed=None)
    assert (result.ended_by, result.audio_seconds_sent) == ("limit", 40.0)


def test_packets_longer_than_what_may_wait() -> None:
    """A packet may be longer than the 30 s that may wait: the source isn't held up until it is full."""
    with Sandbox() as sandbox:
        result = score(
            live([bytes(SECOND)] * 45, max_seconds=50.0), TOKEN, url=sandbox.url, speed=None, chunk_seconds=40
        )
    assert (result.ended_by, result.audio_seconds_sent) == ("source", 45.0)


def test_threads() -> None:
    """In mid-stream it takes three threads beside the caller's; afterwards none is left."""
    counted: list[list[str]] = []

    def own() -> list[str]:
        names = (thread.name for thread in threading.enumerate())
        return sorted(name for name in names if name.startswith("elsa-") and "sandbox" not in name)

    with Sandbox() as sandbox:
        score(live(spoken(1.7)), TOKEN, url=sandbox.url, on_progress=lambda *_: counted.append(own()))
        assert own() == []
    assert counted[:3] == [["elsa-audio", "elsa-source", "elsa-websocket"]] * 3


# Its end.


def endpoint(packets: int) -> Any:
    """A server that hears the end of the speech after so many packets."""

    def script(connection: Connection) -> None:
        connection.start()
        for _ in range(packets):
            connection.read_frame()
        connection.send(SUCCESS)
        connection.finish()

    return script


def test_server_ends_it_while_the_source_blocks(stuck: Any, tmp_path: Path) -> None:
    """The automatic endpoint: the verdict is returned at once, whatever the source is doing; it is left alone."""
    source = stuck(*pieces(1.2))
    with RawServer(endpoint(2)) as server:
        began = time.monotonic()
        result = score(live(source, save=tmp_path / "a.wav"), TOKEN, url=server.url, speed=None)
        assert time.monotonic() - began < SLACK
    assert result.ended_by == "server"
    assert result.audio_seconds == pytest.approx(1.2)
    assert result.audio_seconds_sent == 1.0
    assert bytes(load(tmp_path / "a.wav").pcm) == SPEECH[:SECOND]
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("elsa-")] == ["elsa-source"]


def test_server_ends_it_while_it_is_spoken(tmp_path: Path) -> None:
    """A generator that is abandoned is closed, in the thread that ran it; the file has what was sent, and no more."""
    closed: list[str] = []

    def generator() -> Iterator[bytes]:
        try:
            yield from spoken(20.0)
        finally:
            closed.append(threading.current_thread().name)

    with RawServer(endpoint(2)) as server:
        result = score(live(generator(), save=tmp_path / "a.wav"), TOKEN, url=server.url)
    assert result.ended_by == "server"
    assert closed == ["elsa-source"]
    assert load(tmp_path / "a.wav").seconds == result.audio_seconds_sent
    assert 1.0 <= result.audio_seconds_sent <= 1.5


def test_what_waits_for_its_time_is_not_saved(tmp_path: Path) -> None:
    """A packet that was waiting to be due when the server ended it wasn't sent, and isn't in the file."""
    with RawServer(endpoint(2)) as server:
        result = score(live(pieces(5.0), save=tmp_path / "a.wav"), TOKEN, url=server.url, speed=1.0)
    assert load(tmp_path / "a.wav").seconds == result.audio_seconds_sent == 1.0


def test_limit_by_the_clock() -> None:
    """`max_seconds` after the first audio it ends, however little came; what came is sent to the last frame."""

    def trickle() -> Iterator[bytes]:
        while True:
            yield bytes(PIECE)
            time.sleep(0.1)

    began = time.monotonic()
    pcm, result = heard(trickle(), of={"sample_rate": 16000, "max_seconds": 1.0})
    assert result.ended_by == "limit"
    assert 0.9 < time.monotonic() - began < 1.0 + SLACK
    assert len(pcm) == round(result.audio_seconds_sent * SECOND)
    assert 0 < len(pcm) <= 11 * PIECE


def test_limit_while_the_source_blocks(stuck: Any) -> None:
    """So does a source that blocks: it needn't come back for that."""
    pcm, result = heard(stuck(*pieces(0.7)), of={"sample_rate": 16000, "max_seconds": 1.0})
    assert (len(pcm), result.ended_by) == (int(0.7 * SECOND), "limit")


@pytest.mark.parametrize(("seconds", "ended_by"), [(1.0, "source"), (1.02, "limit"), (5.0, "limit")])
def test_limit_by_audio(seconds: float, ended_by: str) -> None:
    """No frame beyond `max_seconds` is sent; a source that ends just there has ended by itself."""
    pcm, result = heard(pieces(seconds), of={"sample_rate": 16000, "max_seconds": 1.0}, speed=None)
    assert (pcm, result.ended_by) == (SPEECH[:SECOND], ended_by)


@pytest.mark.parametrize("said", [0.0, 0.7])
def test_silent_source(stuck: Any, said: float) -> None:
    """A source that gives nothing for `source_timeout` is an error: to grade half an answer would be worse."""
    began = time.monotonic()
    error = failed(AudioError, live(stuck(*pieces(said)), source_timeout=0.6), _patient)
    assert "source_timeout" in str(error)
    assert 0.5 < time.monotonic() - began < 0.6 + SLACK
    assert (error.phase, error.stream_id) == ("audio", "stream-1")
    assert error.audio_seconds == pytest.approx(said)
    assert error.audio_seconds_sent == (0.5 if said else 0.0)
    assert error.possibly_billed == bool(said)


@pytest.mark.parametrize(("limit", "patience"), [(0.3, 0.6), (0.6, 0.3)])
def test_source_that_never_comes_to_its_audio(limit: float, patience: float) -> None:
    """A container that goes on for ever before its first audio isn't waited for without a bound."""
    gone_on = True

    def headers() -> Iterator[bytes]:
        yield b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\x7f\0\0\0free"
        while gone_on:
            time.sleep(0.05)
            yield bytes(100)

    began = time.monotonic()
    error = failed(AudioError, LiveAudio(headers(), max_seconds=limit, source_timeout=patience), _patient)
    gone_on = False
    assert "no audio in them" in str(error)
    assert not error.possibly_billed
    assert 0.5 < time.monotonic() - began < 0.6 + SLACK


def _patient(connection: Connection) -> None:
    connection.start()
    connection.read_until_closed()


class Odd(BaseException):
    """Not an `Exception`."""


def _raising(error: BaseException) -> Iterator[bytes]:
    yield from pieces(1.2)
    raise error


@pytest.mark.parametrize("error", [ValueError("broken"), OSError(5, "unplugged"), Odd("odd"), SystemExit(3)])
def test_source_that_raises(error: BaseException) -> None:
    """What it raises is the cause of an `AudioError`; nothing of what it gave before is sent."""
    caught = failed(AudioError, live(_raising(error)), _patient)
    assert caught.__cause__ is error
    assert caught.audio_seconds == pytest.approx(1.2)
    assert not caught.possibly_billed


class Mute(Exception):
    """Can't say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("error", "words"), [(Mute(), r"\(Mute\)"), (Odd(), r"\(Odd\)"), (OSError(5, "unplugged"), "unplugged")]
)
def test_what_a_source_raised_is_told(error: BaseException, words: str) -> None:
    """The message says what the source raised, even if that says nothing itself, or fails to."""
    caught = failed(AudioError, live(_raising(error)), _patient)
    assert caught.__cause__ is error
    assert re.search(words, str(caught))


def test_source_that_raises_in_mid_speech() -> None:
    """What was sent before may be billed; the end of the stream is not told, so that half an answer isn't graded."""

    def source() -> Iterator[bytes]:
        yield from spoken(1.2)
        raise ValueError("broken")

    frames: list[Any] = []

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_closed()
        frames.extend(connection.frames)

    caught = failed(AudioError, live(source()), script)
    assert caught.possibly_billed
    assert caught.audio_seconds_sent >= 0.5
    assert [frame.opcode for frame in frames if frame.opcode == 1] == [1]  # the config
    assert frames[-1].opcode == CLOSE


@pytest.mark.parametrize(
    ("piece", "words"), [(None, "None"), ("text", "text"), (7, "int"), ([b"x"], "list"), (memoryview(b"x")[:0], "")]
)
def test_strange_pieces(piece: Any, words: str) -> None:
    """What isn't bytes is an error that says what it is; an empty piece is nothing, and not the end."""
    if not words:
        assert heard([SPEECH[:SECOND], piece, SPEECH[SECOND : 2 * SECOND]], speed=None)[0] == SPEECH[: 2 * SECOND]
        return
    assert words in str(failed(AudioError, live([SPEECH[:SECOND], piece]), _patient))


def test_floats_are_refused() -> None:
    """Floating point samples, as numpy's recordings have, would be noise."""
    assert "floating" in str(failed(AudioError, live([array.array("f", [0.5] * 100)]), _patient))
    pcm, _ = heard([array.array("h", SPEECH[:SECOND])], speed=None)
    assert pcm == SPEECH[:SECOND]


@pytest.mark.parametrize("given", [[], [b""], [b"x"], io.BytesIO(b"")])
def test_source_without_audio(given: Any) -> None:
    """A source that ends before its first frame is an error, and nothing is billed."""
    error = failed(AudioError, live(given), _patient)
    assert "without audio" in str(error)
    assert not error.possibly_billed


def test_half_a_frame() -> None:
    """A last half frame is left out, with a warning."""
    pcm, result = heard([SPEECH[: SECOND + 1]], speed=None)
    assert pcm == SPEECH[:SECOND]
    assert "incomplete" in result.warnings[0]


def test_file_that_is_closed_meanwhile() -> None:
    """A file that its owner closes while it is being read is a source that raises."""
    file = io.BytesIO(SPEECH)
    file.close()
    assert isinstance(failed(AudioError, live(file), _patient).__cause__, ValueError)


def test_closed_by_its_owner(stuck: Any) -> None:
    """`close()` from another thread is the end of everything: an error, not half an answer."""
    source = stuck(*pieces(0.7))
    audio = live(source)
    threading.Timer(0.8, audio.close).start()
    assert "closed" in str(failed(AudioError, audio, _patient))


def test_serves_once() -> None:
    """A second use is an error, and doesn't disturb the first."""
    audio = live(pieces(0.6))
    with Sandbox() as sandbox:
        score(audio, TOKEN, url=sandbox.url)
        with pytest.raises(AudioError, match="serves once"):
            score(audio, TOKEN, url=sandbox.url)
        assert len(sandbox.exchanges) == 1


def test_cancel_while_the_source_blocks(stuck: Any) -> None:
    """`cancel()` is seen while the source blocks."""
    source = stuck(*pieces(0.7))
    with RawServer(_patient) as server, Client(TOKEN, url=server.url, close_timeout=0.3) as client:
        threading.Timer(0.9, client.cancel).start()
        began = time.monotonic()
        with pytest.raises(ScoreCancelledError) as caught:
            client.score(live(source))
        assert time.monotonic() - began < 0.9 + SLACK
    assert caught.value.audio_seconds_sent == 0.5


def test_ctrl_c_while_the_source_blocks(stuck: Any) -> None:
    """Ctrl-C is seen while the source blocks, and all but the source has ended when it comes through."""
    source = stuck(*pieces(0.7))
    with RawServer(_patient) as server:
        threading.Timer(0.9, os.kill, [os.getpid(), signal.SIGINT]).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            score(live(source), TOKEN, url=server.url)
        assert time.monotonic() - began < 0.9 + SLACK
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("elsa-")]
    assert left == ["elsa-source"]


@pytest.mark.parametrize("callback", ["on_status", "on_progress"])
def test_callback_that_raises(callback: str, stuck: Any) -> None:
    """What a callback raises comes through, after a clean end."""

    def fail(*_: object) -> None:
        raise LookupError("mine")

    options: dict[str, Any] = {callback: fail}
    with RawServer(_patient) as server, pytest.raises(LookupError, match="mine"):
        score(live(stuck(*pieces(0.7))), TOKEN, url=server.url, close_timeout=0.2, **options)


@pytest.mark.parametrize("how", ["close", "cut"])
def test_server_that_closes_while_the_source_blocks(how: str, stuck: Any) -> None:
    """A close is seen while the source blocks."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        if how == "close":
            connection.send_close(1011, "restarting")
            connection.read_until_closed()
        else:
            connection.cut()

    error = failed(StreamClosedError, live(stuck(*pieces(0.7))), script)
    assert error.code == (1011 if how == "close" else 1006)
    assert error.audio_seconds_sent == 0.5


def test_connection_that_is_refused(stuck: Any) -> None:
    """Where no connection comes about, the source is left, and nothing was sent."""
    source = stuck(*pieces(0.7))

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as server, pytest.raises(ElsaError, match="401"):
        score(live(source), TOKEN, url=server.url)
    source.release.set()


# Its clocks.


@pytest.mark.slow(everywhere=True)
def test_timeout_counts_from_the_last_audio() -> None:
    """While audio comes, `timeout` doesn't run; after the last of it, all of it is there."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.wait(0.5)
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        result = score(live(spoken(2.5)), TOKEN, url=server.url, timeout=1.5)
    assert result.audio_seconds_sent == 2.5


@pytest.mark.slow(everywhere=True)
def test_no_verdict() -> None:
    """Without a verdict, it ends `timeout` after the last audio."""
    began = time.monotonic()
    error = failed(ScoreTimeoutError, live(spoken(1.2)), _patient, timeout=0.7)
    assert 1.8 < time.monotonic() - began < 1.9 + SLACK
    assert error.phase == "result"


def test_server_that_reads_nothing() -> None:
    """A server that stops reading gains no time by that, however much the source has to say."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.wait(LONG)

    began = time.monotonic()
    endless = itertools.repeat(bytes(96_000))
    error = failed(ScoreTimeoutError, live(endless, sample_rate=48000), script, timeout=1.0, speed=None)
    assert time.monotonic() - began < 1.3 + SLACK
    assert error.possibly_billed


def test_not_for_a_batch() -> None:
    """`score_many()` sends recordings: what is live is refused, with what to use for it."""
    with Sandbox() as sandbox:
        with pytest.raises(ConfigError, match=r"live speech, use score\(\)"):
            score_many(live([]), TOKEN, url=sandbox.url)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="live source is not for score_many"):
            list(score_many([live([])], TOKEN, url=sandbox.url))  # type: ignore[list-item]


# `save=`


def test_save_is_what_was_sent(tmp_path: Path) -> None:
    """The file is a WAV of exactly what was sent."""
    path = tmp_path / "a.wav"
    pcm, _ = heard(pieces(2.3), of={"sample_rate": 16000, "save": path}, speed=None)
    assert bytes(load(path).pcm) == pcm == SPEECH[: int(2.3 * SECOND)]


def test_save_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told before anything is sent: no connection is made, and nothing is drawn."""
    source = pieces(1.0)
    with RawServer(healthy) as server:
        with pytest.raises(ConfigError, match="save"):
            score(live(source, save=tmp_path / "missing" / "a.wav"), TOKEN, url=server.url)
        assert server.connections == []
    assert next(source) == SPEECH[:PIECE]


def test_save_on_a_full_disk() -> None:
    """A disk that is full is a warning, and never costs the verdict."""
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    _, result = heard(pieces(1.0), of={"sample_rate": 16000, "save": "/dev/full"}, speed=None)
    assert "save" in result.warnings[0]


# Options.


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (b"bytes", {}, "itself"),
        ("speech.wav", {}, "itself"),
        (io.StringIO("x"), {}, "text mode"),
        (7, {}, "iterable"),
        ([], {"sample_rate": 0}, "sample_rate"),
        ([], {"sample_rate": 16000.0}, "sample_rate"),
        ([], {"channels": 0}, "channels"),
        ([], {"channels": 40_000}, "header"),
        ([], {"sample_width": 5}, "sample_width"),
        ([], {"sample_rate": None, "channels": 2}, "sample_rate"),
        ([], {"max_seconds": 0}, "max_seconds"),
        ([], {"max_seconds": float("nan")}, "max_seconds"),
        ([], {"source_timeout": 0}, "source_timeout"),
        ([], {"source_timeout": None}, "source_timeout"),
    ],
)
def test_options_that_make_no_sense(source: Any, options: dict[str, Any], words: str) -> None:
    """Each is refused when it is given, by name."""
    with pytest.raises(ConfigError, match=words):
        live(source, **options)


class _Aiterable:
    def __aiter__(self) -> Any:
        return self


class _AsyncRead:
    async def read(self, size: int = -1) -> bytes:
        return b""


class _Both(_Aiterable):
    def __iter__(self) -> Iterator[bytes]:
        return pieces(0.6)


@pytest.mark.parametrize("source", [_Aiterable(), _AsyncRead()])
def test_asynchronous_source(source: Any) -> None:
    """An asynchronous source, as asyncio's streams and FastAPI's uploads are, is refused with what to use for it."""
    with pytest.raises(ConfigError, match="open_stream"):
        LiveAudio(source)


def test_source_for_both_worlds() -> None:
    """What can be iterated without asyncio, too, is iterated."""
    assert heard(_Both(), speed=None)[0] == SPEECH[: int(0.6 * SECOND)]


def test_ended_by_is_saved(tmp_path: Path) -> None:
    """What ended the speech is in a saved result; one from before has nothing there. A recording ends by itself."""
    _, result = heard(pieces(0.6), speed=None)
    result.save(tmp_path / "r.json")
    assert ScoreResult.load(tmp_path / "r.json").ended_by == "source"
    old = json.loads((tmp_path / "r.json").read_text())
    del old["ended_by"]
    (tmp_path / "r.json").write_text(json.dumps(old))
    assert ScoreResult.load(tmp_path / "r.json").ended_by is None
    with contextlib.closing(io.BytesIO(wav(SPEECH[:SECOND]))) as file, Sandbox() as sandbox:
        assert score(file, TOKEN, url=sandbox.url, speed=None).ended_by == "source"
