"""`elsa-unscripted score` with audio that comes through pipes: `-`, a FIFO, `<(…)`; and what can't be sent as it comes.

Most run `main()` here, with a real pipe as standard input: that shows that nothing is left behind. Where it matters how
the process ends, it is a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import pytest
from commands import COMMAND, PATIENCE, ROOT, SCRIPT, SHORT, WIRE, interrupt, on_terminal, posix, shadow, unmeasured
from conftest import descriptors
from rawserver import CLOSE, SUCCESS, Connection, RawServer
from recordings import ENCODINGS, SPEECH, chunk, encoded, layout, wav
from test_wire import TRANSCRIPTS, described, healthy

from elsa_unscripted.audio.heads import Way, way_to_decode
from elsa_unscripted.cli import main
from elsa_unscripted.cli.inputs import Inputs
from elsa_unscripted.exceptions import ConfigError
from elsa_unscripted.sandbox import Exchange, Sandbox

pytestmark = posix

TOKEN = "a-token-that-is-secret"
SECOND = 32_000  # bytes of SPEECH
LENGTH = 31_992  # bytes: whole frames of any width


class Told(NamedTuple):
    """What `main()` returned and printed."""

    status: int
    out: bytes
    err: str


class Terminal:
    """Runs `score` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self._monkeypatch = monkeypatch
        self._capture = capture
        monkeypatch.setenv("ELSA_API_TOKEN", TOKEN)

    def score(self, server: Any, *arguments: str, audio: str = "-", stdin: Optional[int] = None) -> Told:
        """Scores what comes through a descriptor, which is closed, or what `audio` names; as fast as it goes.

        What it opened is closed, and its threads have ended, whatever the writer of a pipe is doing.
        """
        self._monkeypatch.setenv("ELSA_UNSCRIPTED_URL", server.url)
        command = ["score", audio, "--speed", "max", "--format", "json", *arguments]
        with contextlib.ExitStack() as stack:
            if stdin is not None:
                self._monkeypatch.setattr(sys, "stdin", stack.enter_context(open(stdin, encoding="utf-8")))
            before = _pipes()
            status = main(command)
            assert _pipes() <= before
            _wait_for(lambda: "elsa-source" not in {thread.name for thread in threading.enumerate()})
        out, err = self._capture.readouterr()
        return Told(status, out, err.decode())


def _pipes() -> set[str]:
    return {name for name in descriptors() if "pipe:" in name}


@pytest.fixture(name="terminal")
def _terminal(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Terminal:
    return Terminal(monkeypatch, capfdbinary)


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def last(sandbox: Sandbox) -> Exchange:
    return sandbox.exchanges[-1]


@contextlib.contextmanager
def piped(pieces: Iterable[bytes]) -> Iterator[int]:
    """Writes the pieces into a pipe, in a thread; yields its other end, whose owner closes it."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=_write, args=(writing, pieces))
    thread.start()
    try:
        yield reading
    finally:
        thread.join(PATIENCE)


def _write(writing: int, pieces: Iterable[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError), open(writing, "wb", buffering=0) as pipe:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[pipe.write(view) :]


@contextlib.contextmanager
def fifo(folder: Path, pieces: Iterable[bytes]) -> Iterator[str]:
    """Makes a FIFO into which a thread writes the pieces."""
    path = folder / "fifo"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: _write(os.open(path, os.O_WRONLY), pieces))
    thread.start()
    try:
        yield str(path)
    finally:
        thread.join(PATIENCE)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


# As it comes.


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
def test_frames_are_the_references(terminal: Terminal, name: str) -> None:
    """For each recorded WAV, whatever its pieces, every message of `score -` equals the reference client's."""
    data = (WIRE / name).read_bytes()
    extra = ["--token", "TOKEN"]
    with RawServer(healthy) as server, piped([data[:7], *cut(data[7:], 9_999)]) as pipe:
        assert terminal.score(server, *extra, stdin=pipe).status == 0
    (connection,) = server.connections
    assert [described(frame) for frame in connection.frames if frame.opcode != CLOSE] == TRANSCRIPTS[name]["frames"]


@pytest.mark.parametrize("way", ["stdin", "fifo", "/dev/fd"])
def test_it_is_sent_as_it_comes(terminal: Terminal, tmp_path: Path, way: str) -> None:
    """The first packet is on the wire while the writer goes on, whichever name the pipe has."""
    arrived = threading.Event()

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        arrived.set()
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    def pieces() -> Iterator[bytes]:
        yield wav(SPEECH[:SECOND], size=0xFFFFFFFF)[: 44 + SECOND // 2]
        assert arrived.wait(PATIENCE)
        yield SPEECH[SECOND // 2 : SECOND]

    with RawServer(script) as server, contextlib.ExitStack() as stack:
        if way == "fifo":
            told = terminal.score(server, audio=stack.enter_context(fifo(tmp_path, pieces())))
        else:
            pipe = stack.enter_context(piped(pieces()))
            if way == "stdin":
                told = terminal.score(server, stdin=pipe)
            else:
                stack.callback(os.close, pipe)
                told = terminal.score(server, audio=f"/dev/fd/{pipe}")
    assert (told.status, told.err) == (0, "")
    assert arrived.is_set()


def test_a_container_is_sent_as_it_comes(terminal: Terminal) -> None:
    """So is what PyAV decodes."""
    arrived = threading.Event()
    data = encoded("webm")

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        arrived.set()
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    def pieces() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        assert arrived.wait(PATIENCE)
        yield data[len(data) // 2 :]

    with RawServer(script) as server, piped(pieces()) as pipe:
        assert terminal.score(server, stdin=pipe) == (0, json.dumps(SUCCESS).encode() + b"\n", "")
    assert arrived.is_set()


def test_a_file_as_standard_input_is_a_recording(terminal: Terminal, sandbox: Sandbox, tmp_path: Path) -> None:
    """What `< FILE` gives is known whole: a header that promises too much is told at once, before it is sent."""
    (tmp_path / "cut.wav").write_bytes(wav(SPEECH[:SECOND], size=SECOND + 2))
    told = terminal.score(sandbox, stdin=os.open(tmp_path / "cut.wav", os.O_RDONLY))
    assert (told.status, last(sandbox).pcm) == (0, SPEECH[:SECOND])
    assert "the given file object: it is cut off" in told.err


def test_a_descriptor_that_does_not_block(terminal: Terminal, sandbox: Sandbox) -> None:
    """A pipe that another program has set not to block, as ssh and node do, is waited for all the same."""

    def pieces() -> Iterator[bytes]:
        for piece in cut(wav(SPEECH[:SECOND]), 10_000):
            yield piece
            time.sleep(0.02)

    with piped(pieces()) as pipe:
        os.set_blocking(pipe, False)
        assert terminal.score(sandbox, stdin=pipe).status == 0
    assert last(sandbox).pcm == SPEECH[:SECOND]


def test_a_socket_as_standard_input(terminal: Terminal, sandbox: Sandbox) -> None:
    """A socket, which some programs give their children, is a pipe like others."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(wav(SPEECH[:SECOND]))
        ours.shutdown(socket.SHUT_WR)
        assert terminal.score(sandbox, stdin=theirs.detach()).status == 0
    assert last(sandbox).pcm == SPEECH[:SECOND]


def test_a_writer_that_dies_is_told_by_the_header(terminal: Terminal, sandbox: Sandbox) -> None:
    """What came is scored; if the header promised more, a warning says so, and calls the pipe by its name."""
    with piped([wav(SPEECH[:SECOND])[:-1001]]) as pipe:
        told = terminal.score(sandbox, stdin=pipe)
    assert told.status == 0
    assert "warning: standard input: it is cut off" in told.err
    assert "warning: the last frame of standard input is incomplete, 1 bytes are left out" in told.err


# Raw PCM.


@pytest.mark.parametrize(
    ("pcm", "sent"),
    [
        ("16000", (16000, 1, 2)),
        ("44100:2", (44100, 2, 2)),
        ("8000:1:8", (8000, 1, 1)),
        ("48000:2:24", (48000, 2, 4)),
        ("16000:1:32", (16000, 1, 4)),
    ],
)
@pytest.mark.parametrize("way", ["pipe", "stdin", "file"])
def test_raw_pcm(
    terminal: Terminal, sandbox: Sandbox, tmp_path: Path, pcm: str, sent: tuple[int, int, int], way: str
) -> None:
    """`--pcm` says what raw PCM is like, be it piped, `< FILE`, or a file: the server hears it as the same WAV."""
    data = SPEECH[:LENGTH]
    (tmp_path / "raw").write_bytes(data)
    with contextlib.ExitStack() as stack:
        if way == "file":
            told = terminal.score(sandbox, "--pcm", pcm, audio=str(tmp_path / "raw"))
        else:
            pipe = way == "pipe"
            opened = stack.enter_context(piped([data])) if pipe else os.open(tmp_path / "raw", os.O_RDONLY)
            told = terminal.score(sandbox, "--pcm", pcm, stdin=opened)
    assert (told.status, told.err) == (0, "")
    exchange = last(sandbox)
    assert (exchange.sample_rate, exchange.channels, exchange.sample_width) == sent
    wide = b"".join(bytes([0xFF if data[at + 2] > 0x7F else 0]) + data[at : at + 3] for at in range(0, LENGTH, 3))
    assert exchange.pcm == (wide if pcm.endswith(":24") else data)


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_half_a_frame_of_raw_pcm(terminal: Terminal, sandbox: Sandbox, tmp_path: Path, way: str) -> None:
    """A last half frame is left out, with a warning."""
    (tmp_path / "raw").write_bytes(SPEECH[:1001])
    with contextlib.ExitStack() as stack:
        pipe = stack.enter_context(piped([SPEECH[:1001]])) if way == "pipe" else None
        told = terminal.score(
            sandbox, "--pcm", "16000", audio="-" if pipe is not None else str(tmp_path / "raw"), stdin=pipe
        )
    assert (told.status, last(sandbox).pcm) == (0, SPEECH[:1000])
    assert "incomplete, 1 bytes are left out" in told.err


@pytest.mark.parametrize(
    "text", ["", "16k", "0", "16000:0", "16000:1:12", "16000:1:16:1", "16000:99999", "-16000", "²", "9" * 5000]
)
def test_pcm_that_makes_no_sense(terminal: Terminal, sandbox: Sandbox, text: str) -> None:
    """It is refused before anything is read or sent, by name."""
    told = terminal.score(sandbox, f"--pcm={text}", audio=SHORT)
    assert (told.status, told.out, told.err.count("\n")) == (2, b"", 1)
    assert "--pcm" in told.err
    assert not sandbox.handshakes


# What can't be sent as it comes.


def mp4(*boxes: tuple[bytes, int]) -> bytes:
    return b"".join(struct.pack(">I4s", size, kind) + bytes(max(size - 8, 8)) for kind, size in boxes)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (wav(SPEECH[:100]), Way.AS_IT_COMES),
        (wav(SPEECH[:100], before=chunk(b"LIST", bytes(5000))), Way.AS_IT_COMES),
        (wav(SPEECH[:100], form=layout(7, 1, 8000, 8)), Way.AS_IT_COMES),
        (wav(SPEECH[:100], form=layout(1, 1, 8000, 24, 4)), Way.WHOLE),
        (mp4((b"ftyp", 24), (b"free", 64), (b"moov", 99)), Way.AS_IT_COMES),
        (mp4((b"ftyp", 24), (b"mdat", 99), (b"moov", 99)), Way.WHOLE),
        (mp4((b"wide", 8), (b"mdat", 0)), Way.WHOLE),
        (mp4((b"ftyp", 24), (b"free", 1)), Way.WHOLE),
        (b"ID3\x04\0\0\0\0\x01\x02" + bytes(130) + b"\xff\xfb" + bytes(9), Way.AS_IT_COMES),
        (b"ID3\x04\0\0\0\0\x01\x02" + bytes(130) + b"\xff\xf1" + bytes(9), Way.WHOLE),
        (b"caff" + bytes(99), Way.WHOLE),
        (b"no audio at all", Way.UNKNOWN),
        (SPEECH[:100], Way.UNKNOWN),
    ],
)
def test_way_to_decode(head: bytes, expected: Way) -> None:
    """The first bytes tell whether a file can be decoded as it comes, as soon as they can; more don't change that."""
    check_way(head, expected)


@pytest.mark.parametrize("kind", ENCODINGS)
def test_way_to_decode_what_is_encoded(kind: str) -> None:
    """So do those of a real file."""
    check_way(encoded(kind), Way.WHOLE if kind in ("ipod", "mp4") else Way.AS_IT_COMES)


def check_way(head: bytes, expected: Way) -> None:
    told = [way_to_decode(head[:size], "it") for size in range(min(len(head), 6000) + 1)]
    assert told[-1] is expected
    assert set(told) == {None, expected}
    assert told.index(expected) == told.count(None)


def test_without_pyav_only_wav_is_sent_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyAV isn't installed, ffmpeg must have all of a file."""
    monkeypatch.setitem(sys.modules, "av", None)
    assert way_to_decode(wav(SPEECH[:100]), "it") is Way.AS_IT_COMES
    assert {way_to_decode(encoded(kind)[:5000], "it") for kind in ENCODINGS} == {Way.WHOLE}


def test_an_m4a_with_its_index_at_the_end(terminal: Terminal, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is read to its end, and what is sent is what the file gives: no byte that was looked at is lost."""
    data = encoded("ipod")
    (tmp_path / "speech.m4a").write_bytes(data)
    terminal.score(sandbox, audio=str(tmp_path / "speech.m4a"))
    with piped(cut(data, 1000)) as pipe:
        assert terminal.score(sandbox, stdin=pipe).status == 0
    assert last(sandbox).pcm == sandbox.exchanges[0].pcm
    with piped(cut(data, 1000)) as pipe:
        told = terminal.score(sandbox, "--max-seconds", "9", stdin=pipe)
    assert (told.status, "--max-seconds" in told.err, len(sandbox.exchanges)) == (2, True, 2)


@pytest.mark.slow(everywhere=True)
def test_mp3_without_pyav(tmp_path: Path) -> None:
    """It is read to its end and decoded by ffmpeg, or it is told what to install."""
    missing = shadow(tmp_path, "av", "raise ImportError(name='av')")
    (tmp_path / "av.py").write_text("raise ModuleNotFoundError(name='av')")
    done = subprocess.run(
        [*COMMAND, "score", "-", "--token", "T"],
        input=encoded("mp3"),
        capture_output=True,
        cwd=ROOT,
        env={**unmeasured(), **missing, "PATH": ""},
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (5, 1)
    assert b"pip install 'elsa-unscripted[formats]', or install the ffmpeg program" in done.stderr


@pytest.mark.parametrize("data", [b"no audio at all", SPEECH, b"RIFF\0\0\0\0WAVEfmt ", b"\x1a\x45\xdf\xa3" + bytes(99)])
def test_what_is_no_audio(terminal: Terminal, sandbox: Sandbox, data: bytes) -> None:
    """It ends with status 5 before anything is sent; what may be raw PCM is told of `--pcm`."""
    with piped([data]) as pipe:
        told = terminal.score(sandbox, stdin=pipe)
    assert (told.status, told.out, told.err.count("\n")) == (5, b"", 1)
    assert ("--pcm RATE" in told.err) == (data[:1] not in b"R\x1a")
    assert all(not exchange.packets for exchange in sandbox.exchanges)


def test_raw_pcm_that_has_no_end_is_told_soon(terminal: Terminal, sandbox: Sandbox) -> None:
    """Who forgets `--pcm` isn't kept waiting until the recording ends."""

    def speech() -> Iterator[bytes]:
        while True:
            yield SPEECH

    with piped(speech()) as pipe:
        told = terminal.score(sandbox, stdin=pipe)
    assert (told.status, "--pcm RATE" in told.err, sandbox.handshakes) == (5, True, 0)


# How it ends.


def test_a_pipe_without_audio(terminal: Terminal, sandbox: Sandbox) -> None:
    """A writer that ends before it has written is told before a connection is made; so is `< /dev/null`."""
    with piped([]) as pipe:
        assert "standard input ended without audio" in terminal.score(sandbox, stdin=pipe).err
    told = terminal.score(sandbox, "--pcm", "16000", stdin=os.open(os.devnull, os.O_RDONLY))
    assert (told.status, "ended without audio" in told.err, sandbox.handshakes) == (5, True, 0)


@pytest.mark.parametrize(
    "given",
    [lambda: b"", lambda: wav(SPEECH)[:20], lambda: encoded("ipod")[:-100]],
    ids=["nothing", "half a head", "most of MP4"],
)
def test_a_writer_that_never_writes(terminal: Terminal, sandbox: Sandbox, given: Callable[[], bytes]) -> None:
    """`--source-timeout` is how long it is waited for, also while a file is read to its end; nothing is sent."""
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as pipe:
        pipe.write(given())
        began = time.monotonic()
        told = terminal.score(sandbox, "--source-timeout", "0.2", stdin=reading)
    assert 0.2 <= time.monotonic() - began < PATIENCE / 5
    assert (told.status, sandbox.handshakes) == (5, 0)
    assert "standard input gave nothing for 0.2 s" in told.err
    assert "--source-timeout" in told.err


def test_a_fifo_without_a_writer(terminal: Terminal, sandbox: Sandbox, tmp_path: Path) -> None:
    """To open it doesn't block for ever."""
    os.mkfifo(tmp_path / "fifo")
    told = terminal.score(sandbox, "--source-timeout", "0.2", audio=str(tmp_path / "fifo"))
    assert (told.status, sandbox.handshakes) == (5, 0)
    assert f"{str(tmp_path / 'fifo')!r} gave nothing for 0.2 s" in told.err


@pytest.mark.slow
def test_a_writer_that_stops_in_mid_speech(terminal: Terminal, sandbox: Sandbox) -> None:
    """Half an answer isn't graded: it is an error that says how much may be billed."""
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as pipe:
        pipe.write(wav(SPEECH[:SECOND], size=0))
        told = terminal.score(sandbox, "--source-timeout", "3", stdin=reading)
    assert told.status == 5
    assert "standard input gave nothing for 3 s (--source-timeout)" in told.err
    assert "[1.0 s were sent and may be billed" in told.err
    assert last(sandbox).verdict is None


def test_max_seconds(terminal: Terminal, sandbox: Sandbox) -> None:
    """`--max-seconds` is the most that is sent; the summary says that this was the end. A file has no such end."""
    with piped([wav(SPEECH[: 3 * SECOND])]) as pipe:
        told = terminal.score(sandbox, "--max-seconds", "1.5", "--format", "summary", stdin=pipe)
    assert (told.status, last(sandbox).pcm) == (0, SPEECH[: 3 * SECOND // 2])
    assert re.search(rb"^Ended by +the limit of seconds, after 1.5 s of audio$", told.out, re.MULTILINE)
    told = terminal.score(sandbox, "--max-seconds", "1.5", audio=SHORT)
    assert (told.status, "--max-seconds" in told.err, len(sandbox.exchanges)) == (2, True, 1)


@pytest.mark.parametrize("option", ["--max-seconds", "--source-timeout"])
def test_seconds_that_make_no_sense(terminal: Terminal, sandbox: Sandbox, option: str) -> None:
    """They are refused by name."""
    for text in ("soon", "0", "-1", "nan", "inf"):
        told = terminal.score(sandbox, f"{option}={text}", audio=SHORT)
        assert (told.status, option in told.err) == (2, True)


def test_no_limit_unless_asked_for(terminal: Terminal, sandbox: Sandbox) -> None:
    """A pipe may hold more than the 150 s at which live speech ends by default."""
    with piped([wav(b"\x10" * (160 * 16_000), 8000)]) as pipe:
        assert terminal.score(sandbox, "--source-timeout", "1e20", stdin=pipe).status == 0
    assert last(sandbox).seconds == 160


@contextlib.contextmanager
def process(*arguments: str, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `score`, so that it can be interrupted."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(
            [*COMMAND, "score", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=unmeasured(ELSA_API_TOKEN=TOKEN),
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    with started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("goes_on", [False, True], ids=["silent", "goes on"])
def test_the_server_ends_it_while_the_pipe_goes_on(goes_on: bool) -> None:
    """The verdict is printed at once, and the process ends well, whether its thread waits for the pipe or not."""
    reading, writing = os.pipe()
    with Sandbox("early=1") as sandbox, process("-", "--url", sandbox.url, "--format", "json", stdin=reading) as score:
        os.close(reading)
        with open(writing, "wb", buffering=0) as pipe:
            pipe.write(wav(SPEECH[:SECOND], size=0))
            with contextlib.suppress(BrokenPipeError):
                while goes_on:
                    pipe.write(SPEECH)  # until nobody reads any more
            out, err = score.communicate(timeout=PATIENCE)
    assert (score.returncode, json.loads(out)["status"], err) == (0, "success", b"")


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("when", ["waiting", "sending"])
def test_interrupt(when: str, tmp_path: Path) -> None:
    """Ctrl-C ends it, before the first audio and in mid-speech, with status 130 and without a traceback."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with Sandbox() as sandbox, process(str(path), "--url", sandbox.url, "-v", stdin=subprocess.DEVNULL) as score:
        with open(_when_it_is_read(path), "wb", buffering=0) as pipe:
            if when == "sending":
                pipe.write(wav(SPEECH[:SECOND], size=0))
                _wait_for(lambda: bool(sandbox.exchanges) and last(sandbox).heard > 0)
            status, out, err = interrupt(score)
        if when == "sending":
            _wait_for(lambda: last(sandbox).close_code is not None)
            assert last(sandbox).close_code == 1000
    assert (status, out) == (130, b"")
    assert err.endswith("elsa-unscripted: interrupted\n")
    assert "Traceback" not in err


def _when_it_is_read(path: Path) -> int:
    """Opens a FIFO for writing as soon as somebody reads it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody does
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_progress_without_a_total(sandbox: Sandbox, tmp_path: Path) -> None:
    """On a terminal, the seconds sent are shown, with the latest status beside them; then they go."""

    def pieces() -> Iterator[bytes]:
        time.sleep(0.3)
        yield wav(SPEECH[:SECOND], size=0)

    with fifo(tmp_path, pieces()) as path:
        command = (*COMMAND, "score", path, "--url", sandbox.url)
        status, screen = on_terminal(*command, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    assert status == 0
    shown = [line.strip() for line in screen.split("\r")]
    assert "waiting for audio" in shown
    assert "connecting" in shown
    assert any(re.fullmatch(r"0\.5 s sent +processing", line) for line in shown)
    assert any(re.fullmatch(r"1\.0 s sent +waiting for the verdict", line) for line in shown)
    assert shown[-1] == ""


def test_a_terminal_by_its_path(sandbox: Sandbox) -> None:
    """A terminal is no recording under another name, either."""
    status, screen = on_terminal(*COMMAND, "score", "/dev/stdin", "--url", sandbox.url, ELSA_API_TOKEN=TOKEN)
    assert (status, "is a terminal" in screen, sandbox.handshakes) == (2, True, 0)


def test_closed_standard_input(terminal: Terminal, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started without a standard input, `-` says so."""
    monkeypatch.setattr(sys, "stdin", None)
    told = terminal.score(sandbox)
    assert (told.status, "standard input is closed" in told.err) == (2, True)


@pytest.mark.slow(everywhere=True)
def test_the_drop_in_refuses_a_fifo(tmp_path: Path) -> None:
    """The drop-in sends recordings, as before: it doesn't wait for a FIFO's writer."""
    os.mkfifo(tmp_path / "fifo")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--token", TOKEN, "--audio_path", tmp_path / "fifo"],
        env=unmeasured(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 5
    assert "is not a regular file" in done.stderr


def test_a_list_that_no_thread_can_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no thread can be started, the list of a batch that comes through a pipe is an error like others."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with fifo(tmp_path, [b"a.wav\n"]) as path, contextlib.closing(Inputs([], (), path)) as inputs:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(ConfigError, match="no thread could be started"):
                list(inputs)
