"""Speech that is pushed: `Client.open_stream()` and `LiveStream`, from one thread and from many. Real servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import unmeasured
from hypothesis import given, settings
from hypothesis import strategies as st
from rawserver import CLOSE, STREAM_ID, SUCCESS, Connection, RawServer
from recordings import SPEECH, encoded, wav

import elsa_unscripted
from elsa_unscripted import (
    AudioError,
    AuthenticationError,
    Client,
    ConfigError,
    ElsaError,
    LiveStream,
    ScoreCancelledError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)
from elsa_unscripted.audio.recording import load
from elsa_unscripted.exchange.stream import SHORT_WHILE
from elsa_unscripted.sandbox import Sandbox

TOKEN = "the-secret-token"
SECOND = 32_000  # bytes of SPEECH
PIECE = 640  # 20 ms
SLACK = 3.0  # s that a busy machine may be late
LONG = 30.0  # s: what no test waits out


def pieces(seconds: float, size: int = PIECE) -> Iterator[bytes]:
    for at in range(0, int(seconds * SECOND), size):
        yield SPEECH[at : min(at + size, int(seconds * SECOND))]


def spoken(seconds: float, size: int = PIECE) -> Iterator[bytes]:
    began = time.monotonic()
    for number, piece in enumerate(pieces(seconds, size), 1):
        time.sleep(max(0.0, began + number * size / SECOND - time.monotonic()))
        yield piece


@contextlib.contextmanager
def streaming(script: Callable[[Connection], Any], **options: Any) -> Iterator[LiveStream]:
    """A stream to a scripted server."""
    stream_options = {
        key: options.pop(key) for key in {"on_status", "on_progress", "max_seconds", "save"} & set(options)
    }
    options = {"speed": None, "timeout": 10, "close_timeout": 0.3, **options}
    with RawServer(script) as server, Client(TOKEN, url=server.url, **options) as client:
        with client.open_stream(sample_rate=16000, **stream_options) as stream:
            yield stream


def patient(connection: Connection) -> None:
    connection.start()
    connection.read_until_closed()


def graded(connection: Connection) -> None:
    connection.start()
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.finish()


def endpoint(connection: Connection) -> None:
    connection.start()
    connection.read_frame()
    connection.send(SUCCESS)
    connection.finish()


def push_until_over(stream: LiveStream, within: float = LONG) -> None:
    """Pushes 20 ms at a time, in real time, until it is told to stop."""
    guard = time.monotonic() + within
    while stream.send_audio(bytes(PIECE)):
        assert time.monotonic() < guard
        time.sleep(0.02)


def elsa_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("elsa-"))


def own_threads() -> list[str]:
    """Returns the client's threads, where a sandbox has some of its own."""
    return [name for name in elsa_threads() if "sandbox" not in name]


# What comes out.


def test_speech_as_it_is_pushed() -> None:
    """Each packet leaves in the call that fills it; there is one thread beside the caller's, and none afterwards."""
    arrivals: list[float] = []

    def script(connection: Connection) -> None:
        connection.start()
        while connection.read_frame().opcode == 2:
            arrivals.append(time.monotonic())
        connection.send(SUCCESS)
        connection.finish()

    told: list[tuple[float, None]] = []
    with streaming(script, speed=1.0, on_progress=lambda *at: told.append(at)) as stream:
        began = time.monotonic()
        for piece in spoken(1.7):
            assert stream.send_audio(piece)
        assert elsa_threads() == ["elsa-websocket"]
        result = stream.finish()
        assert elsa_threads() == []
    assert told == [(0.5, None), (1.0, None), (1.5, None), (1.7, None)]
    assert (result.ended_by, result.audio_seconds, result.audio_seconds_sent) == ("source", 1.7, 1.7)
    for due, arrival in zip((0.5, 1.0, 1.5, 1.7), arrivals):
        assert due - 0.05 <= arrival - began < due + 0.5


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 40_000), max_size=12), chunk_seconds=st.sampled_from([0.05, 0.5]))
def test_nothing_is_lost_whatever_the_pieces(sizes: list[int], chunk_seconds: float) -> None:
    """What the server hears is what was pushed, byte for byte."""
    given_bytes, at = b"", 0
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=None, chunk_seconds=chunk_seconds) as client:
        with client.open_stream(sample_rate=16000) as stream:
            for size in [*sizes, 2]:
                assert stream.send_audio(SPEECH[at : at + size])
                at += size
            given_bytes = SPEECH[: at - at % 2]
            result = stream.finish()
        assert sandbox.exchanges[-1].pcm == given_bytes
    assert result.audio_seconds_sent == len(given_bytes) / SECOND


def test_packets_longer_than_what_may_wait() -> None:
    """A packet may be longer than the 30 s that may wait: `send_audio()` doesn't wait until it is full."""
    with streaming(graded, chunk_seconds=40) as stream:
        for second in range(45):
            if second == 35:
                time.sleep(2 * SHORT_WHILE)  # so that it looks at what waits
            assert stream.send_audio(bytes(SECOND))
        assert stream.finish().audio_seconds_sent == 45.0


@pytest.mark.parametrize("kind", ["wav", "webm", "flac"])
def test_containers_that_are_pushed(kind: str) -> None:
    """A file as it is being written may be pushed as well; it is decoded, and sent, in threads that end with it."""
    if kind == "wav":
        data = wav(SPEECH[: 3 * SECOND], size=0xFFFFFFFF)
    else:
        pytest.importorskip("av")
        data = encoded(kind)
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=None) as client:
        with client.open_stream() as stream:
            for at in range(0, len(data), 700):
                assert stream.send_audio(data[at : at + 700])
            assert stream.finish().ended_by == "source"
        assert sandbox.exchanges[-1].pcm == bytes(load(data).pcm)
        assert [name for name in elsa_threads() if name != "elsa-sandbox"] == []


def test_threads_of_a_container() -> None:
    """In mid-stream, three threads beside the caller's decode, send and hear; afterwards none is left."""
    data = wav(SPEECH[: 3 * SECOND], size=0xFFFFFFFF)
    counted: set[str] = set()
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url) as client:
        with client.open_stream() as stream:
            guard = time.monotonic() + LONG
            for at in range(0, 2 * SECOND, PIECE):
                assert stream.send_audio(data[at : at + PIECE])
            while len(sandbox.exchanges[-1].packets) < 3:
                assert time.monotonic() < guard
                time.sleep(0.01)
                assert stream.send_audio(b"")  # acts on what the server has said
                counted.update(own_threads())
                assert len(own_threads()) <= 3
            assert stream.finish().ended_by == "source"
            assert own_threads() == []
    assert counted == {"elsa-audio", "elsa-source", "elsa-websocket"}


def test_container_that_is_none() -> None:
    """What can't be decoded ends the stream; `finish()` tells why."""
    pytest.importorskip("av")
    with RawServer(patient) as server, Client(TOKEN, url=server.url, close_timeout=0.3) as client:
        with client.open_stream() as stream:
            stream.send_audio(b"this is no audio at all, whatever else it is" * 100)
            with pytest.raises(AudioError, match="decoded") as caught:
                stream.finish()
    assert not caught.value.possibly_billed


def test_bytes_that_wait_to_be_decoded_are_bounded() -> None:
    """A container that is pushed faster than it can be sent is an error, if the pusher can't wait."""
    data = wav(bytes(200 * SECOND), size=0xFFFFFFFF)
    with RawServer(patient) as server, Client(TOKEN, url=server.url, close_timeout=0.3) as client:
        with client.open_stream() as stream:
            assert any(not stream.send_audio(data[at : at + 10**5], wait=False) for at in range(0, len(data), 10**5))
            with pytest.raises(AudioError, match="too much audio"):
                stream.finish()


# Its pace.


@pytest.mark.slow(everywhere=True)
def test_what_is_pushed_before_the_stream_id_is_kept() -> None:
    """What is said before the server names the stream is sent when it has, and delays nothing."""
    arrivals: list[float] = []

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        time.sleep(1.2)
        connection.send(STREAM_ID)
        while connection.read_frame().opcode == 2:
            arrivals.append(time.monotonic())
        connection.send(SUCCESS)
        connection.finish()

    with streaming(script, speed=1.0) as stream:
        began = time.monotonic()
        for piece in spoken(2.5):
            assert stream.send_audio(piece)
        assert stream.finish().audio_seconds_sent == 2.5
    assert arrivals[1] - arrivals[0] < 0.3
    assert arrivals[-1] - began < 2.5 + 0.5


def test_pushed_at_once_it_is_sent_at_speed() -> None:
    """What is pushed at once leaves at `speed`; `finish()` waits for it."""
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=4.0) as client:
        with client.open_stream(sample_rate=16000) as stream:
            began = time.monotonic()
            assert stream.send_audio(SPEECH[: 4 * SECOND])
            assert time.monotonic() - began < 0.5
            stream.finish()
        arrivals = sandbox.exchanges[-1].arrival_times
    assert all(arrival - began >= number * 0.125 - 0.005 for number, arrival in enumerate(arrivals))


@pytest.mark.slow(everywhere=True)
def test_pusher_waits_when_30_seconds_wait() -> None:
    """With `wait`, a pusher that is too fast is held up, and nothing is lost."""
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=20.0) as client:
        with client.open_stream(sample_rate=16000) as stream:
            began = time.monotonic()
            for _ in range(40):
                assert stream.send_audio(bytes(SECOND))
            assert 0.4 < time.monotonic() - began < 0.5 + SLACK
            assert stream.finish().audio_seconds_sent == 40.0


def test_overflow() -> None:
    """Who can't wait gets an error that says how much was sent, not a gap."""
    with streaming(patient, speed=1.0) as stream:
        assert any(not stream.send_audio(bytes(SECOND), wait=False) for _ in range(40))
        with pytest.raises(AudioError, match=r"of 3[12]\.0 s of audio") as caught:
            stream.finish()
    assert caught.value.audio_seconds in (31.0, 32.0)


# Its end.


def test_server_ends_it() -> None:
    """The automatic endpoint: `send_audio()` returns `False`, and `finish()` the result, any number of times."""
    with streaming(endpoint) as stream:
        push_until_over(stream)
        assert not stream.send_audio(bytes(PIECE))
        result = stream.finish()
        assert stream.finish() is result
    assert (result.ended_by, result.audio_seconds_sent) == ("server", 0.5)


def test_early_verdict_is_noticed_at_once() -> None:
    """Not only the piece that fills a packet notices what the server says."""
    said: list[float] = []

    def script(connection: Connection) -> None:
        connection.start()
        connection.wait(0.3)
        said.append(time.monotonic())
        connection.send(SUCCESS)
        connection.finish()

    with streaming(script, chunk_seconds=10.0) as stream:
        while stream.send_audio(bytes(32)):
            time.sleep(0.001)
        assert time.monotonic() - said[0] < 0.2
        assert stream.finish().audio_seconds_sent == 0.0


@pytest.mark.parametrize("how", ["audio", "clock"])
def test_limit(how: str) -> None:
    """`max_seconds` of audio, or after the first of it, `send_audio()` returns `False`: an ordinary end."""
    with streaming(graded, max_seconds=1.0) as stream:
        if how == "audio":
            assert not all(stream.send_audio(piece) for piece in pieces(1.5))
        else:
            while stream.send_audio(bytes(2)):
                time.sleep(0.01)
        result = stream.finish()
    assert result.ended_by == "limit"
    assert result.audio_seconds_sent <= 1.0
    assert (result.audio_seconds_sent == 1.0) == (how == "audio")


def test_finished_without_audio() -> None:
    """A stream without a frame of audio is an error, and nothing is billed."""
    with streaming(patient) as stream:
        stream.send_audio(b"x")
        with pytest.raises(AudioError, match="without audio") as caught:
            stream.finish()
    assert (caught.value.possibly_billed, caught.value.phase) == (False, "audio")


@pytest.mark.parametrize("how", ["failed", "close", "cut", "silence"])
def test_other_ends(how: str) -> None:
    """Every other end makes `send_audio()` return `False`, and `finish()` raises it, any number of times."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        if how == "failed":
            connection.send({"status": "failed", "reason": "no"})
        elif how == "close":
            connection.send_close(1011)
        elif how == "cut":
            connection.cut()
        connection.read_until_closed()

    kind = {"failed": ScoringFailedError, "silence": ScoreTimeoutError}.get(how, StreamClosedError)
    with streaming(script, timeout=0.5) as stream:
        if how == "silence":
            assert all(stream.send_audio(piece) for piece in pieces(1.0))
        else:
            push_until_over(stream)
        with pytest.raises(kind) as caught:
            stream.finish()
        with pytest.raises(kind):
            stream.finish()
        assert elsa_threads() == []
    error: Any = caught.value
    assert (error.stream_id, error.possibly_billed) == ("stream-1", True)
    assert error.audio_seconds_sent >= 0.5


def test_refused_token_is_told_at_once() -> None:
    """`open_stream()` raises what keeps the connection from opening; nothing is left."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as server, Client(TOKEN, url=server.url) as client:
        with pytest.raises(AuthenticationError):
            client.open_stream(sample_rate=16000)
    assert elsa_threads() == []


def test_server_that_reads_nothing() -> None:
    """`send_audio()` never blocks for a server that stops reading, and ends after `timeout`."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.wait(LONG)

    with (
        RawServer(script) as server,
        Client(TOKEN, url=server.url, speed=None, timeout=1.0, close_timeout=0.3) as client,
    ):
        with client.open_stream(sample_rate=384_000, channels=8, sample_width=4) as stream:
            began = time.monotonic()
            longest = 0.0
            while time.monotonic() - began < LONG:
                before = time.monotonic()
                if not stream.send_audio(bytes(8 * 4 * 38_400)):
                    break
                longest = max(longest, time.monotonic() - before)
                time.sleep(0.02)
            assert time.monotonic() - began < 2.0 + SLACK
            with pytest.raises(ScoreTimeoutError):
                stream.finish()


def test_block_that_is_left_cancels() -> None:
    """Without `finish()`, the stream is cancelled when its block is left, and the end of the audio isn't sent."""
    frames: list[Any] = []

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_closed()
        frames.extend(connection.frames)

    with streaming(script) as stream:
        assert stream.send_audio(SPEECH[:SECOND])
        while not stream.send_audio(b"") or "stream-1" not in repr(stream):
            time.sleep(0.01)
    assert elsa_threads() == []
    assert [frame.opcode for frame in frames if frame.opcode != 2] == [1, CLOSE]
    with pytest.raises(ScoreCancelledError):
        stream.finish()


@pytest.mark.parametrize("of", ["stream", "client"])
def test_cancel_from_another_thread(of: str) -> None:
    """A `finish()` that waits ends at once when another thread cancels."""
    with RawServer(patient) as server, Client(TOKEN, url=server.url, close_timeout=0.3) as client:
        with client.open_stream(sample_rate=16000) as stream:
            assert stream.send_audio(SPEECH[:SECOND])
            threading.Timer(1.0, (stream if of == "stream" else client).cancel).start()
            began = time.monotonic()
            with pytest.raises(ScoreCancelledError):
                stream.finish()
            assert time.monotonic() - began < 1.0 + SLACK


def test_stream_that_is_dropped() -> None:
    """A stream that nobody refers to any more is closed, though nobody said so."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_closed()
        closed.set()

    def drop(client: Client) -> None:
        stream = client.open_stream(sample_rate=16000, on_status=lambda status: stream.send_audio(b""))
        stream.send_audio(SPEECH[:SECOND])

    with RawServer(script) as server, Client(TOKEN, url=server.url) as client:
        drop(client)
        gc.collect()
        assert closed.wait(5)


@pytest.mark.slow(everywhere=True)
def test_speech_that_begins_late() -> None:
    """A stream may be open for longer than `timeout` before somebody speaks: then no clock is running."""
    with streaming(graded, timeout=0.6, max_seconds=0.5) as stream:
        assert stream.send_audio(b"")
        time.sleep(0.4)
        assert stream.send_audio(b"")  # the stream has been named by now
        time.sleep(1.5)
        for piece in pieces(0.4):
            assert stream.send_audio(piece)
        assert stream.finish().audio_seconds_sent == 0.4


@pytest.mark.slow
@pytest.mark.forks
@pytest.mark.parametrize("how", ["cancel", "drop"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_fork_leaves_the_stream_to_the_parent(how: str) -> None:
    """A forked child that cancels or drops its copy of a stream disturbs nothing: it goes on in the parent."""
    with RawServer(graded) as server, Client(TOKEN, url=server.url, speed=None) as client:
        streams = [client.open_stream(sample_rate=16000)]
        assert streams[0].send_audio(SPEECH[:SECOND])
        child = os.fork()
        if child == 0:
            if how == "cancel":
                streams[0].cancel()
            streams.clear()
            gc.collect()
            time.sleep(0.5)
            os._exit(0)
        os.waitpid(child, 0)
        assert streams[0].send_audio(SPEECH[SECOND : 2 * SECOND])
        assert streams[0].finish().audio_seconds_sent == 2.0


INTERRUPTED = """
import os, sys, threading, time
import elsa_unscripted
from elsa_unscripted import Client, LiveAudio, score
from elsa_unscripted.sandbox import Sandbox

ROOT = os.path.dirname(elsa_unscripted.__file__)
way, step = sys.argv[1], int(sys.argv[2])
piece = bytes(6400)

def trace(frame, event, argument):
    global count, place
    name = frame.f_code.co_filename
    # Not `threads`: at the end of `holding()` runs no signal handler, but a trace function does. See `test_threads`.
    if not name.startswith(ROOT) or "sandbox" in name or name.endswith("threads.py"):
        return None
    if event == "line":
        count += 1
        if count == target:
            place = f"{name}:{frame.f_lineno}"
            raise KeyboardInterrupt
    return trace

def pull(url):
    source = LiveAudio((piece for _ in range(5)), sample_rate=16000, save="speech.wav")
    return score(source, "any", url=url, speed=20, chunk_seconds=0.1, close_timeout=0.5, on_progress=print_nothing)

def push(url):
    with Client("any", url=url, speed=20, chunk_seconds=0.1, close_timeout=0.5) as client:
        with client.open_stream(sample_rate=16000, save="speech.wav", on_progress=print_nothing) as stream:
            for _ in range(5):
                if not stream.send_audio(piece):
                    break
            return stream.finish()

def print_nothing(sent, total):
    pass

def ours():
    return [each.name for each in threading.enumerate() if each.name.startswith("elsa-") and "sandbox" not in each.name]

run = {"pull": pull, "push": push}[way]
with Sandbox() as sandbox:
    run(sandbox.url)
    target = 1
    while True:
        count, place, outcome, began = 0, None, None, time.monotonic()
        sys.settrace(trace)
        try:
            outcome = run(sandbox.url)
        except BaseException as error:
            outcome = error
        finally:
            sys.settrace(None)
        if place is None:
            break
        # Its traceback refers to frames, and they to a stream that Ctrl-C has kept from its `with` block.
        # That stream ends when nothing refers to it any more.
        if isinstance(outcome, BaseException):
            outcome = outcome.with_traceback(None)
            outcome.__context__ = None
        guard = time.monotonic() + 5
        while ours() and time.monotonic() < guard:
            time.sleep(0.01)
        if not isinstance(outcome, KeyboardInterrupt) or ours() or time.monotonic() - began > 10:
            print(place, repr(outcome), ours(), flush=True)
        target += step
print("interrupted at", target // step, "places")
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["pull", "push"])
def test_ctrl_c_anywhere(way: str, tmp_path: Path) -> None:
    """Wherever Ctrl-C comes in live speech, it comes through, in time, and no thread is left."""
    path = os.pathsep.join([str(Path(elsa_unscripted.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, way, "31"],
        cwd=tmp_path,
        env={**unmeasured(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *wrong, last = done.stdout.splitlines()
    assert wrong == []
    assert int(last.split()[2]) > 30


def test_ctrl_c_while_it_waits() -> None:
    """Ctrl-C in `finish()` comes through, after a clean end."""
    with streaming(patient) as stream:
        stream.send_audio(SPEECH[:SECOND])
        threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            stream.finish()
        assert elsa_threads() == []
        assert not stream.send_audio(b"")
        with pytest.raises(ScoreCancelledError):
            stream.finish()


# Callbacks.


@pytest.mark.parametrize("callback", ["on_status", "on_progress"])
def test_callback_that_raises(callback: str) -> None:
    """What a callback raises comes through the call that called it, once, after a clean end."""

    def fail(*_: object) -> None:
        raise LookupError("mine")

    with streaming(patient, **{callback: fail}) as stream:
        with pytest.raises(LookupError, match="mine"):
            push_until_over(stream)
        assert elsa_threads() == []
        assert not stream.send_audio(bytes(PIECE))
        with pytest.raises(ScoreCancelledError, match="mine"):
            stream.finish()


def test_callback_that_pushes() -> None:
    """A callback may push audio: it is sent after what was pushed before."""
    streams: list[LiveStream] = []
    more = [SPEECH[SECOND : 2 * SECOND]]

    def push(*_: object) -> None:
        if more:
            assert streams[0].send_audio(more.pop())

    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=None) as client:
        with client.open_stream(sample_rate=16000, on_progress=push) as stream:
            streams.append(stream)
            assert stream.send_audio(SPEECH[:SECOND])
            while more:
                assert stream.send_audio(b"")
            stream.finish()
        assert sandbox.exchanges[-1].pcm == SPEECH[: 2 * SECOND]


def test_callback_that_cancels_or_finishes() -> None:
    """A callback may cancel; `finish()` waits for the verdict, which a callback can't."""
    told: list[Exception] = []

    def cancel(*_: object) -> None:
        try:
            stream.finish()
        except ConfigError as error:
            told.append(error)
        stream.cancel()

    with streaming(patient, on_progress=cancel) as stream:
        push_until_over(stream)
        with pytest.raises(ScoreCancelledError):
            stream.finish()
    assert "callback" in str(told[0])


# From wherever.


def test_many_threads_push() -> None:
    """Pieces that several threads push are whole, and all there, in some order."""
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=None) as client:
        with client.open_stream(sample_rate=16000) as stream:

            def push(value: int) -> None:
                for _ in range(200):
                    assert stream.send_audio(bytes([value]) * 100)

            threads = [threading.Thread(target=push, args=[value]) for value in range(1, 5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stream.finish()
        pcm = sandbox.exchanges[-1].pcm
    assert len(pcm) == 4 * 200 * 100
    assert all(len(set(pcm[at : at + 100])) == 1 for at in range(0, len(pcm), 100))


def test_asyncio() -> None:
    """With `asyncio.to_thread()`, each call runs in whatever thread is free."""

    async def handler(client: Client) -> float:
        stream = await asyncio.to_thread(client.open_stream, sample_rate=16000)
        with stream:
            for piece in pieces(2.0):
                assert await asyncio.to_thread(stream.send_audio, piece)
            return (await asyncio.to_thread(stream.finish)).audio_seconds_sent

    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=None) as client:
        assert asyncio.run(handler(client)) == 2.0


def test_save(tmp_path: Path) -> None:
    """`save=` gets what was sent, and no more, when the server ends it early; a bad path is told at once."""
    with streaming(endpoint, save=tmp_path / "a.wav") as stream:
        push_until_over(stream)
        sent = stream.finish().audio_seconds_sent
    assert load(tmp_path / "a.wav").seconds == sent == 0.5
    with RawServer(patient) as server, Client(TOKEN, url=server.url) as client:
        with pytest.raises(ConfigError, match="save"):
            client.open_stream(sample_rate=16000, save=tmp_path / "missing" / "a.wav")
        assert server.connections == []


RELEASED = memoryview(b"x")
RELEASED.release()


@pytest.mark.parametrize("data", [None, "text", 7, [1], RELEASED])
def test_what_is_not_bytes(data: Any) -> None:
    """It is refused by the name of the method that was called, and the stream goes on."""
    with streaming(graded) as stream:
        with pytest.raises(AudioError, match=r"^send_audio\(\) was given .* in place of bytes"):
            stream.send_audio(data)
        assert stream.send_audio(SPEECH[:SECOND])
        assert stream.finish().audio_seconds_sent == 1.0


def test_closed_client() -> None:
    """A closed client opens no stream, and its streams have been cancelled."""
    with RawServer(patient) as server:
        client = Client(TOKEN, url=server.url, close_timeout=0.3)
        stream = client.open_stream(sample_rate=16000)
        client.close()
        assert not stream.send_audio(bytes(PIECE))
        with pytest.raises(ScoreCancelledError):
            stream.finish()
        with pytest.raises(ConfigError, match="closed"):
            client.open_stream(sample_rate=16000)


@pytest.mark.parametrize("options", [{"sample_rate": -1}, {"channels": 2}, {"sample_rate": 8000, "max_seconds": -1}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    """They are refused before anything is opened."""
    with RawServer(patient) as server, Client(TOKEN, url=server.url) as client:
        with pytest.raises(ElsaError) as caught:
            client.open_stream(**options)
        assert isinstance(caught.value, ConfigError)
        assert server.connections == []
