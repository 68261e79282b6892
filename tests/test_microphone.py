"""`Microphone`: a virtual one, recorded from in a process of its own, and what devices do that no test can have."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, ROOT, run, shadow, unmeasured
from microphones import (
    BLOCK,
    MISSING,
    RATE,
    SECOND,
    PortAudioError,
    SoundDevice,
    Stream,
    VirtualMicrophone,
    device,
    is_heard,
    needs_microphone,
    pretend,
    until,
    virtual_microphone,
)
from rawserver import SUCCESS, Connection, RawServer
from recordings import SPEECH

from elsa_unscripted import (
    AudioError,
    Client,
    ConfigError,
    InputDevice,
    Microphone,
    ScoreCancelledError,
    ScoreResult,
    score,
    score_many,
)
from elsa_unscripted.audio.recording import load
from elsa_unscripted.sandbox import Sandbox

TOKEN = "the-secret-token"
SLACK = 3.0  # s that a busy machine may be late

# Records in a process of its own, since PortAudio keeps the devices that it has found first. Says "listening" when it
# does; when `frames` have come, it looks around, and ends the speech. What came of it is the last line.
LISTEN = """
import json, os, sys, threading, time
from elsa_unscripted import ElsaError, Microphone, score
from elsa_unscripted.audio import microphone as module

url, frames, options, constants = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
vars(module).update(constants)
microphone, seen = Microphone(**options), {}

def watch():
    while microphone.device is None:
        time.sleep(0.005)
    print("listening", flush=True)
    while microphone.frame_count < frames:
        time.sleep(0.005)
    seen["level"] = microphone.level
    seen["threads"] = sorted(thread.name for thread in threading.enumerate())
    microphone.stop()

threading.Thread(target=watch, name="watch", daemon=True).start()
began = time.monotonic()
try:
    result = score(microphone, "any-token", url=url, close_timeout=0.5)
    seen.update(ended_by=result.ended_by, seconds=result.audio_seconds, sent=result.audio_seconds_sent,
                rate=result.sample_rate, warnings=result.warnings)
except ElsaError as error:
    seen.update(error=str(error), kind=type(error).__name__, billed=error.possibly_billed, seconds=error.audio_seconds)
seen.update(device=microphone.device, took=time.monotonic() - began)
seen["left"] = [thread.name for thread in threading.enumerate() if thread.name.startswith("elsa-")]
print(json.dumps(seen))
"""


@pytest.fixture(name="mic")
def _mic() -> Iterator[VirtualMicrophone]:
    with virtual_microphone() as microphone:
        yield microphone


def recorded(
    mic: VirtualMicrophone, url: str, frames: int, act: Any, constants: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """Records in another process; calls `act` when it listens; returns what the process has seen."""
    arguments = [url, str(frames), json.dumps(options), json.dumps(constants or {})]
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**unmeasured(), "PULSE_SERVER": mic.server},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            act()
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    seen: dict[str, Any] = json.loads(out.splitlines()[-1])
    return seen


# With a real sound server.


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_what_is_said_is_heard(mic: VirtualMicrophone, tmp_path: Path) -> None:
    """What is said from `score()` on is heard to the bit, also that before the stream is open, and saved; no other
    thread than the documented ones is there in mid-speech, and none after it."""
    said = SPEECH[: 12 * BLOCK]
    slow = threading.Event()

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        slow.wait(PATIENCE)
        connection.send({"status": "processing", "stream_id": "stream-1"})
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    def speak() -> None:
        threading.Timer(0.7, slow.set).start()
        mic.say(said)

    path = tmp_path / "heard.wav"
    with RawServer(script) as server:
        seen = recorded(mic, server.url, len(said) // 2, speak, save=str(path))
    packets = [frame.payload[44:] for frame in server.connections[0].frames if frame.opcode == 2]
    pcm = b"".join(packets)
    assert [len(packet) for packet in packets[:-1]] == [SECOND // 2] * (len(packets) - 1)
    assert is_heard(said, pcm)
    assert bytes(load(path).pcm) == pcm
    assert (seen["ended_by"], seen["seconds"], seen["sent"]) == ("source", len(pcm) / SECOND, len(pcm) / SECOND)
    assert seen["rate"] == RATE
    assert seen["warnings"] == []
    assert seen["threads"] == ["MainThread", "elsa-audio", "elsa-source", "elsa-websocket", "watch"]
    assert seen["left"] == []
    assert seen["level"] < 0.0


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_ends_by_the_limit(mic: VirtualMicrophone) -> None:
    """`max_seconds` of audio is an ordinary end, and the device is closed then."""
    with Sandbox() as sandbox:
        seen = recorded(mic, sandbox.url, 10**9, lambda: mic.say(SPEECH[: 9 * BLOCK]), max_seconds=0.6)
        pcm = sandbox.exchanges[-1].pcm
    assert 0 < len(pcm) <= 6 * BLOCK  # on a busy machine, the time of the limit may come before its audio
    assert SPEECH.startswith(pcm)
    assert (seen["ended_by"], seen["left"]) == ("limit", [])


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_sound_server_that_ends(mic: VirtualMicrophone) -> None:
    """A device that goes away in mid-speech is an error at once, with the bill; half an answer isn't graded."""

    def act() -> None:
        mic.say(SPEECH[: 8 * BLOCK])
        until(lambda: sandbox.exchanges and sandbox.exchanges[-1].heard)
        mic.kill()

    with Sandbox() as sandbox:
        seen = recorded(mic, sandbox.url, 10**9, act)
        assert sandbox.exchanges[-1].verdict is None
    assert "has gone away" in seen["error"]
    assert (seen["kind"], seen["billed"], seen["left"]) == ("AudioError", True, [])


OPEN_LATE = """
import sys
from elsa_unscripted import AudioError, Microphone, score
from elsa_unscripted.audio import microphone as module
module.OPEN_SECONDS = 1.0
print(len(Microphone.list_devices()), flush=True)
sys.stdin.readline()
try: score(Microphone(), "t", url="ws://127.0.0.1:9")
except AudioError as error: print(error)
"""


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_sound_server_that_hangs_at_first(mic: VirtualMicrophone) -> None:
    """PortAudio waits half a minute for a sound server that hangs; neither `score()` nor the end of the process does.

    The bound of 10 s to open the device is shortened here.
    """
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_LATE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**unmeasured(), "PULSE_SERVER": mic.server},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        mic.hang()
        began = time.monotonic()
        out, _ = process.communicate(b"go\n", timeout=PATIENCE)
    assert b"did not open within 1 s" in out
    assert time.monotonic() - began < 1.0 + 2 * SLACK


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_sound_server_that_hangs_in_mid_speech(mic: VirtualMicrophone) -> None:
    """It is an error when there was no audio for 10 s, shortened here; only the thread that PortAudio keeps is left."""
    began = 0.0

    def act() -> None:
        nonlocal began
        mic.say(SPEECH[: 6 * BLOCK])
        began = time.monotonic()
        mic.hang()

    with Sandbox() as sandbox:
        seen = recorded(mic, sandbox.url, 10**9, act, constants={"SILENT_SECONDS": 1.0})
    assert "gave no audio for 1 s" in seen["error"]
    assert seen["left"] == ["elsa-source"]
    assert time.monotonic() - began < 1.0 + 2 * SLACK


@pytest.mark.slow
@needs_microphone
@pytest.mark.parametrize("streaming", [False, True])
def test_in_a_forked_process(mic: VirtualMicrophone, streaming: bool) -> None:
    """After PortAudio was used, a forked child is told that it can't use it, and its end doesn't harm the parent."""
    code = """
import os, sys, threading, time
from elsa_unscripted import *
url, streaming = sys.argv[1], sys.argv[2] == "True"
Microphone.list_devices()
mic, results = Microphone(), []
thread = threading.Thread(target=lambda: results.append(score(mic, "t", url=url)))
if streaming:
    thread.start()
    while mic.device is None:
        time.sleep(0.005)
if not os.fork():
    try: score(Microphone(), "t", url=url)
    except AudioError as error: print(error, flush=True)
    sys.exit(7)
print("child:", os.WEXITSTATUS(os.wait()[1]), flush=True)
if not streaming:
    thread.start()
while mic.device is None:
    time.sleep(0.005)
print("listening", flush=True)
while mic.frame_count < 8000:
    time.sleep(0.005)
mic.stop()
thread.join()
"""
    with (
        Sandbox() as sandbox,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, sandbox.url, str(streaming)],
            stdout=subprocess.PIPE,
            env={**unmeasured(), "PULSE_SERVER": mic.server},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert b"forked" in process.stdout.readline()
            assert process.stdout.readline() == b"child: 7\n"
            assert process.stdout.readline() == b"listening\n"
            mic.say(SPEECH[: 5 * BLOCK])
            process.wait(PATIENCE)
        finally:
            process.kill()
        assert is_heard(SPEECH[: 5 * BLOCK], sandbox.exchanges[-1].pcm)


@pytest.mark.slow(everywhere=True)
@needs_microphone
def test_devices_of_a_real_system(mic: VirtualMicrophone) -> None:
    """The devices that PortAudio finds are listed, one of them as the default; without a sound server there are none,
    which a call of `score()` tells."""
    code = """
from elsa_unscripted import *
print([(each.name, each.is_default) for each in Microphone.list_devices()])
try: score(Microphone(), "t", url="ws://127.0.0.1:9")
except ElsaError as error: print(type(error).__name__, error)
"""
    with_server = run(sys.executable, "-c", code, PULSE_SERVER=mic.server)
    without = run(sys.executable, "-c", code, PULSE_SERVER="unix:/none")
    assert (with_server.status, without.status) == (0, 0)
    devices, end = with_server.out.decode().splitlines()
    assert "('default', True)" in devices
    assert end.startswith("ConnectError")  # it had opened the microphone before
    devices, end = without.out.decode().splitlines()
    assert devices == "[]"
    assert end.startswith("AudioError there is no microphone")


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        (
            "sitecustomize",
            "import ctypes.util; ctypes.util.find_library = lambda name: None",
            ["libportaudio2", "brew"],
        ),
        ("sounddevice", "raise ImportError('broken')", ["broken", "elsa-unscripted[microphone]"]),
        ("sounddevice", "mine = 1", ["hides the package of that name", "sounddevice.py"]),
        ("sounddevice", "raise ModuleNotFoundError('none', name='sounddevice')", ["elsa-unscripted[microphone]"]),
    ],
    ids=["no PortAudio", "broken", "another module", "not installed"],
)
def test_what_is_missing_is_named(tmp_path: Path, name: str, code: str, words: list[str]) -> None:
    """Without PortAudio, the extra or the right module, the error says what to install; nothing else needs them."""
    if name == "sitecustomize" and "sounddevice" in MISSING:
        pytest.skip("needs sounddevice")
    script = """
from elsa_unscripted import *
microphone = Microphone()
for attempt in (Microphone.list_devices, lambda: score(microphone, "t", url="ws://127.0.0.1:9")):
    try: attempt()
    except AudioError as error: print(error)
"""
    done = run(sys.executable, "-c", script, PYTHONPATH=shadow(tmp_path, name, code)["PYTHONPATH"])
    assert done.err == ""
    first, second = done.out.decode().splitlines()
    assert first == second
    assert all(word in first for word in words)


# With a sounddevice that does as it is told.


@pytest.fixture(name="use")
def _use(monkeypatch: pytest.MonkeyPatch) -> Any:
    return functools.partial(pretend, monkeypatch)


def heard(microphone: Microphone, **options: Any) -> tuple[bytes, ScoreResult]:
    with Sandbox() as sandbox:
        result = score(microphone, TOKEN, url=sandbox.url, **options)
        return sandbox.exchanges[-1].pcm, result


def failed(microphone: Microphone, script: Any = None) -> Any:
    """Scores what must fail with an `AudioError`; returns the error, which must have come at once."""

    def patient(connection: Connection) -> None:
        connection.start()
        connection.read_until_closed()

    began = time.monotonic()
    with RawServer(script or patient) as server, pytest.raises(AudioError) as caught:
        score(microphone, TOKEN, url=server.url, close_timeout=0.3)
    assert time.monotonic() - began < SLACK
    return caught.value


def saying(pcm: bytes, microphone: Microphone, block: int = BLOCK) -> Any:
    """Returns what gives PCM in blocks, and then stops the microphone."""

    def give(stream: Stream) -> None:
        for at in range(0, len(pcm), block):
            stream.give(pcm[at : at + block])
        microphone.stop()

    return give


def test_rate_that_is_refused(use: Any) -> None:
    """A device that refuses a rate is opened at its own, which is declared; it is asked for mono, 16 bit, 0.1 s."""
    microphone = Microphone()
    sounddevice = use(SoundDevice(saying(SPEECH[:SECOND], microphone), rates={44100}))
    pcm, result = heard(microphone, speed=None)
    assert (pcm, result.sample_rate) == (SPEECH[:SECOND], 44100)
    (stream,) = sounddevice.streams
    assert stream.options == {"blocksize": 4410, "device": 0, "channels": 1, "dtype": "int16"}
    assert stream.calls == ["abort", "close"]


def test_rate_that_is_asked_for(use: Any) -> None:
    """`sample_rate` is what is recorded at, if the device takes it; that of `score()` is what is sent."""
    microphone = Microphone(sample_rate=48000)
    use(SoundDevice(saying(SPEECH[: 3 * SECOND], microphone)))
    pcm, result = heard(microphone, speed=None, sample_rate=16000)
    assert result.sample_rate == 16000
    assert result.audio_seconds == pytest.approx(1.0, abs=0.01)
    assert abs(len(pcm) - SECOND) < 100


def test_last_words(use: Any) -> None:
    """What was said before `stop()` and is on its way from the device is heard; what comes too late isn't."""
    microphone = Microphone()

    def give(stream: Stream) -> None:
        stream.give(SPEECH[:BLOCK])
        microphone.stop()
        stream.give(SPEECH[BLOCK : 2 * BLOCK])
        until(lambda: stream.calls)
        stream.give(SPEECH[2 * BLOCK : 3 * BLOCK])

    use(SoundDevice(give, latency=0.4))
    assert heard(microphone)[0] == SPEECH[: 2 * BLOCK]


def test_zeros_at_first(use: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Two seconds of zeros are warned of at once; speech after them counts."""
    microphone = Microphone()
    use(SoundDevice(saying(bytes(3 * SECOND) + SPEECH[:SECOND], microphone)))
    _, result = heard(microphone, speed=None)
    (warning,) = result.warnings
    assert "nothing but digital silence for 2 s" in warning
    assert warning in caplog.text


@pytest.mark.parametrize("limit", [None, 1.5])
def test_nothing_but_zeros(use: Any, limit: float | None) -> None:
    """Zeros to the end, whatever the end is, are an error, and the server isn't asked for a verdict."""
    microphone = Microphone(max_seconds=limit)
    use(SoundDevice(saying(bytes(2 * SECOND), microphone)))
    error = failed(microphone)
    assert "nothing but digital silence to the end" in str(error)
    assert error.possibly_billed


def test_stopped_before_any_audio(use: Any) -> None:
    """Without audio there is nothing to score, and nothing is billed."""
    microphone = Microphone()
    microphone.stop()
    use(SoundDevice())
    error = failed(microphone)
    assert "stopped before it gave any audio" in str(error)
    assert not error.possibly_billed


def test_audio_that_the_driver_lost(use: Any) -> None:
    """Audio that the driver could not keep is an error, with how much is missing; it isn't one before the first."""

    def give(stream: Stream) -> None:
        stream.give(SPEECH[:BLOCK], at=100.0, overflow=True)
        stream.give(SPEECH[BLOCK : 2 * BLOCK], at=100.1)
        stream.give(SPEECH[2 * BLOCK : 3 * BLOCK], at=101.5, overflow=True)

    use(SoundDevice(give))
    error = failed(Microphone())
    assert "about 1.3 s of the speech are missing, after 0.2 s" in str(error)


def test_server_that_is_too_slow(use: Any) -> None:
    """More than 30 s that can't be sent are an error, with how much is missing, also while no stream is open."""

    connected = threading.Event()

    def give(stream: Stream) -> None:
        connected.wait(PATIENCE)
        for _ in range(302):
            stream.give(SPEECH[:BLOCK])

    use(SoundDevice(give))
    error = failed(Microphone(), until_connected(connected))
    assert "of 30.1 s of speech, 30.1 s are missing" in str(error)
    assert (error.phase, error.possibly_billed) == ("start", False)


def test_device_that_goes_away_early(use: Any) -> None:
    """A device that goes away before the stream is open is told at once, too."""
    connected = threading.Event()

    def give(stream: Stream) -> None:
        connected.wait(PATIENCE)
        stream.finish()

    use(SoundDevice(give))
    error = failed(Microphone(), until_connected(connected))
    assert "has gone away" in str(error)
    assert error.phase == "start"


def until_connected(connected: threading.Event) -> Any:
    """Returns the script of a server that never gives a stream id."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        connected.set()
        connection.read_until_closed()

    return script


def test_cancelled(use: Any) -> None:
    """`cancel()` ends all at once, and the device is closed; so does the end of the `with` in another thread."""
    for end in ("cancel", "close"):
        microphone = Microphone()
        with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url) as client:
            act = client.cancel if end == "cancel" else microphone.close
            sounddevice = use(SoundDevice(functools.partial(speak_until_heard, sandbox, act)))
            with pytest.raises(ScoreCancelledError if end == "cancel" else AudioError) as caught:
                client.score(microphone)
            assert sandbox.exchanges[-1].verdict is None
        assert caught.value.audio_seconds_sent == 0.5
        assert sounddevice.streams[0].calls == ["abort", "close"]


def speak_until_heard(sandbox: Sandbox, act: Any, stream: Stream) -> None:
    for at in range(0, 6 * BLOCK, BLOCK):
        stream.give(SPEECH[at : at + BLOCK])
    until(lambda: sandbox.exchanges and sandbox.exchanges[-1].heard)
    act()


def test_level(use: Any) -> None:
    """`level` is that of the last block, by pydub's definition of dBFS; minus infinity for zeros, and at the end."""
    microphone = Microphone()
    levels = []

    def has_taken(blocks: int) -> bool:
        return microphone.frame_count == blocks * BLOCK // 2

    def give(stream: Stream) -> None:
        for number, pcm in enumerate((bytes(BLOCK), b"\0\x40" * (BLOCK // 2), b"\0\x80" * (BLOCK // 2)), 1):
            stream.give(pcm)
            until(functools.partial(has_taken, number))
            levels.append(microphone.level)
        microphone.stop()

    use(SoundDevice(give))
    assert microphone.level == -math.inf
    heard(microphone)
    assert levels == [-math.inf, pytest.approx(-6.02, abs=0.01), 0.0]
    assert microphone.level == -math.inf


@pytest.mark.parametrize(
    ("sounddevice", "wanted", "words"),
    [
        ({"refuse": PortAudioError("Device unavailable", -9985)}, None, "another program has taken it"),
        ({"refuse": PortAudioError("Invalid number of channels", -9998)}, None, "fewer channels"),
        ({"refuse": PortAudioError("Illegal combination", -9993)}, None, "Illegal combination.*sound server"),
        ({"rates": set()}, None, "refuses 16000 Hz, and 44100 Hz"),
        ({"devices": []}, None, "there is no microphone: plug one in"),
        ({"devices": []}, "mic", "there is no microphone: plug one in"),
        ({}, "camera", "there is no microphone 'camera'; there are 0 'mic, Sound'"),
        ({}, 7, "there is no microphone 7; there are 0 'mic, Sound'"),
        ({}, 2**31, "there is no microphone 2147483648; there are 0 'mic, Sound'"),
        ({"devices": [device("speaker", 0), device("mic")]}, 0, "there is no microphone 0; there are 1 'mic, Sound'"),
        ({"devices": [device("mic a"), device("mic b")]}, "mic", "several.*0 'mic a, Sound', 1 'mic b, Sound'"),
    ],
)
def test_devices_that_cannot_be_opened(use: Any, sounddevice: dict[str, Any], wanted: Any, words: str) -> None:
    """Each is an `AudioError` that says what to do, before a connection is made."""
    use(SoundDevice(**sounddevice))
    with RawServer(lambda connection: None) as server:
        with pytest.raises(AudioError, match=words) as caught:
            score(Microphone(wanted), TOKEN, url=server.url)
        assert server.connections == []
    assert (caught.value.phase, caught.value.possibly_billed) == ("connect", False)


def test_list_of_devices(use: Any) -> None:
    """Devices that record are listed, with what `Microphone()` takes."""
    use(SoundDevice(devices=[device("speaker", 0), device("mic"), device("headset", 1, 16000.0)]))
    assert Microphone.list_devices() == [
        InputDevice(1, "mic", "Sound", 2, 44100, True),
        InputDevice(2, "headset", "Sound", 1, 16000, False),
    ]


def test_closed_before_it_recorded(use: Any) -> None:
    """A microphone that was left behind by its `with` block is told at once, before a connection is made."""
    use(SoundDevice(lambda stream: stream.give(SPEECH[:BLOCK])))
    with Microphone() as microphone:
        pass
    began = time.monotonic()
    with RawServer(lambda connection: None) as server:
        with pytest.raises(AudioError, match="the microphone was closed before"):
            score(microphone, TOKEN, url=server.url)
        assert server.connections == []
    assert time.monotonic() - began < SLACK


def test_serves_once(use: Any) -> None:
    """A second use is an error, which names what was used."""
    microphone = Microphone()
    use(SoundDevice(saying(SPEECH[:BLOCK], microphone)))
    with microphone as same:
        heard(same)
        with pytest.raises(AudioError, match="this Microphone has been used"):
            score(microphone, TOKEN, url="ws://127.0.0.1:9")


def test_not_for_a_batch(use: Any) -> None:
    """`score_many()` says what a microphone is for, and doesn't open it."""
    sounddevice = use(SoundDevice())
    with Sandbox() as sandbox:
        for given in (Microphone(), [Microphone()]):
            with pytest.raises(ConfigError, match=r"live.*score\(\)"):
                list(score_many(given, TOKEN, url=sandbox.url))  # type: ignore[arg-type]
    assert sounddevice.streams == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": ""}, "device"),
        ({"device": True}, "device"),
        ({"device": 1.5}, "device"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"max_seconds": 0}, "max_seconds"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    """Each is refused when it is given, by name."""
    with pytest.raises(ConfigError, match=words):
        Microphone(**options)


def test_nothing_is_loaded_before_it_is_used() -> None:
    """To import `Microphone`, and to make one, loads no sounddevice."""
    code = "import sys; from elsa_unscripted import Microphone; Microphone(); print('sounddevice' in sys.modules)"
    assert run(sys.executable, "-c", code).out == b"False\n"
