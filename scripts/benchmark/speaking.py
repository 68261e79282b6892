"""Live streams in a process of their own, for the benchmark's rows on speech as it is spoken.

`run()` starts the process, and returns what the process noted. The server records when packets came. Speech comes in
pieces, each of which is given when it has been spoken: piece k of a stream, (k+1) times its length after the beginning.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

from audio import CHUNK
from load import PATIENCE, TOKEN, Sample

RATE = 16_000  # Hz; mono, 16 bit
OPENERS = 8  # threads that open the streams, and end them, where one thread pushes all


@dataclasses.dataclass(frozen=True)
class Speech:
    """What the process is to do.

    Attributes:
        url: Where to; each stream adds its number, as a path.
        way: One of `WAYS`.
        streams: How many.
        seconds: How long each speaks.
        piece: Seconds of audio in a piece.
        chunk: Seconds of audio in a packet.
        ramp: Seconds in which they begin to speak, evenly.
        samples: Seconds after the first beginning at which to look at the process; only where one thread pushes all.
    """

    url: str
    way: str
    streams: int = 1
    seconds: float = 30.0
    piece: float = 0.02
    chunk: float = CHUNK
    ramp: float = 0.0
    samples: tuple[float, ...] = ()

    def begins(self, number: int) -> float:
        """Returns when a stream begins to speak, in seconds after the first."""
        return number * self.ramp / self.streams


@dataclasses.dataclass
class Told:
    """What the process noted. The times are seconds on the monotonic clock; the keys are those of the server's records.

    Attributes:
        began: When each stream began to speak.
        given: For each stream, when each piece was given that filled a packet.
        over: When each stream gave its last piece, or was told to stop.
        errors: How often each error ended a stream.
        samples: The first is taken before all streams, the last after them.
    """

    began: dict[str, float] = dataclasses.field(default_factory=dict)
    given: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    over: dict[str, float] = dataclasses.field(default_factory=dict)
    errors: dict[str, int] = dataclasses.field(default_factory=Counter)
    samples: list[Sample] = dataclasses.field(default_factory=list)


def run(speech: Speech) -> Told:
    """Speaks to the end.

    Raises:
        subprocess.SubprocessError: The process failed, or took too long.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(dataclasses.asdict(speech))]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True, encoding="utf-8")
    told = Told(**json.loads(done.stdout))
    told.samples = [Sample(**dict(sample)) for sample in told.samples]  # type: ignore[call-overload]
    return told


# The process.


def main() -> None:
    speech = Speech(**json.loads(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    open_stream, speak = WAYS[speech.way]
    stream = open_stream(speech, "warm-up")
    if stream is not None:
        stream.send_audio(bytes(640))
        stream.finish()
    told = Told(samples=[Sample.now()])
    speak(speech, open_stream, told)
    told.samples.append(Sample.now())
    print(json.dumps(dataclasses.asdict(told)), flush=True)


class Bare:
    """What a caller of `websocket-client` alone would write; it handles no errors, and bounds no wait."""

    def __init__(self, speech: Speech, name: str) -> None:
        import websocket

        self._connection = websocket.create_connection(speech.url + name, header=[f"Authorization: ELSA {TOKEN}"])
        self._connection.send('{"api_plan":"standard","return_json":true}')
        self._connection.recv()
        self._size = int(RATE * speech.chunk) * 2
        self._pcm = bytearray()

    def send_audio(self, piece: bytes) -> bool:
        self._pcm += piece
        while len(self._pcm) >= self._size:
            self._send(self._size)
        return True

    def _send(self, size: int) -> None:
        head = struct.pack(
            "<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", size
        )
        self._connection.send_binary(head + self._pcm[:size])
        del self._pcm[:size]

    def finish(self) -> Any:
        if self._pcm:
            self._send(len(self._pcm))
        self._connection.send('{"type": "ELSA:end_stream"}')
        try:
            return json.loads(self._connection.recv())
        finally:
            self._connection.close()


def pushed_stream(speech: Speech, name: str) -> Any:
    from elsa_unscripted import Client

    client = Client(TOKEN, url=speech.url + name, chunk_seconds=speech.chunk)
    return client.open_stream(sample_rate=RATE, max_seconds=None)


def no_stream(speech: Speech, name: str) -> None:
    """Opens nothing, since `score()` opens its stream itself."""


def by_one_thread(speech: Speech, open_stream: Callable[[Speech, str], Any], told: Told) -> None:
    """One thread pushes all: at each tick, a piece of each stream that speaks. Other threads open and end them."""
    piece = bytes(round(RATE * speech.piece) * 2)
    pieces = round(speech.seconds / speech.piece)
    fills = round(speech.chunk / speech.piece)  # pieces in a packet
    names = [str(number) for number in range(speech.streams)]
    with ThreadPoolExecutor(OPENERS) as pool:
        streams = list(pool.map(lambda name: open_stream(speech, name), names))
        first = [round(speech.begins(number) / speech.piece) for number in range(speech.streams)]  # ticks
        began = time.monotonic()
        told.began = {name: began + tick * speech.piece for name, tick in zip(names, first)}
        told.given = {name: [] for name in names}
        samples = list(speech.samples)
        for tick in range(first[-1] + pieces):
            time.sleep(max(0.0, began + (tick + 1) * speech.piece - time.monotonic()))
            for number, stream in enumerate(streams):
                spoken = tick + 1 - first[number]
                if 0 < spoken <= pieces:
                    if not spoken % fills:
                        told.given[names[number]].append(time.monotonic())
                    if not stream.send_audio(piece):
                        told.errors["send_audio() returned False"] += 1
            if samples and time.monotonic() >= began + samples[0]:
                del samples[0]
                told.samples.append(Sample.now())
        pool.map(lambda stream: noting(told, stream.finish), streams)


def a_thread_each(speech: Speech, open_stream: Callable[[Speech, str], Any], told: Told) -> None:
    """Each stream is opened, pushed and ended by a thread of its own."""

    def talk(name: str) -> None:
        stream = open_stream(speech, name)
        for piece in spoken(speech, name, told):
            if not stream.send_audio(piece):
                break
        told.over[name] = time.monotonic()
        stream.finish()

    in_threads(speech, talk, told)


def pulled(speech: Speech, open_stream: Callable[[Speech, str], Any], told: Told) -> None:
    """Each stream is a generator that `score()` draws from, in a thread of its own."""
    from elsa_unscripted import LiveAudio, score

    def talk(name: str) -> None:
        def source() -> Iterator[bytes]:
            yield from spoken(speech, name, told)
            told.over[name] = time.monotonic()

        audio = LiveAudio(source(), sample_rate=RATE, max_seconds=None)
        score(audio, TOKEN, url=speech.url + name, chunk_seconds=speech.chunk)

    in_threads(speech, talk, told)


def spoken(speech: Speech, name: str, told: Told) -> Iterator[bytes]:
    """Yields the pieces of a stream, each when it has been spoken."""
    piece = bytes(round(RATE * speech.piece) * 2)
    fills = round(speech.chunk / speech.piece)
    told.began[name] = began = time.monotonic()
    told.given[name] = given = []
    for number in range(1, round(speech.seconds / speech.piece) + 1):
        time.sleep(max(0.0, began + number * speech.piece - time.monotonic()))
        if not number % fills:
            given.append(time.monotonic())
        yield piece


def in_threads(speech: Speech, talk: Callable[[str], None], told: Told) -> None:
    """Runs each stream in a thread."""
    threads = [
        threading.Thread(target=noting, args=(told, talk, str(number)), daemon=True) for number in range(speech.streams)
    ]
    began = time.monotonic()
    for number, thread in enumerate(threads):
        time.sleep(max(0.0, began + speech.begins(number) - time.monotonic()))
        thread.start()
    for thread in threads:
        thread.join()


def noting(told: Told, call: Callable[..., object], *arguments: str) -> None:
    """Calls a function, and notes the error that it raises."""
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        told.errors[f"{type(error).__name__}: {error}"] += 1


WAYS: dict[str, tuple[Callable[[Speech, str], Any], Callable[..., None]]] = {
    "by one thread": (pushed_stream, by_one_thread),
    "a thread each": (pushed_stream, a_thread_each),
    "pulled": (no_stream, pulled),
    "bare, by one thread": (Bare, by_one_thread),
    "bare, a thread each": (Bare, a_thread_each),
}

if __name__ == "__main__":
    main()
