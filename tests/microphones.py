"""Microphones where there are none: a virtual one, by PulseAudio, and a `sounddevice` that does as it is told.

The virtual one is the real thing from PortAudio on: only the sound comes from a FIFO.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import pytest
from commands import PATIENCE
from recordings import SPEECH

from elsa_unscripted.audio import portaudio

RATE = 16000  # Hz of the virtual microphone
SECOND = 2 * RATE  # bytes
BLOCK = SECOND // 10  # bytes, as much as `Microphone` asks for at once
PIECE = 640  # bytes, 20 ms
SILENCE = bytes(3 * BLOCK)


def _missing() -> list[str]:
    found = {
        "sounddevice": find_spec("sounddevice"),
        "libportaudio2": ctypes.util.find_library("portaudio"),
        "pulseaudio": shutil.which("pulseaudio"),
        "libasound2-plugins": glob.glob("/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so"),
    }
    return [name for name, there in found.items() if not there]


MISSING = _missing()
needs_microphone = pytest.mark.skipif(bool(MISSING), reason=f"no virtual microphone without {', '.join(MISSING)}")


class VirtualMicrophone:
    """A PulseAudio whose only microphone hears what `say()` says.

    Attributes:
        server: What whoever records from it needs in `$PULSE_SERVER`.
        process: The daemon.
    """

    def __init__(self, folder: Path) -> None:
        self._fifo = folder / "fifo"
        self.server = f"unix:{folder}/s"
        source = f"module-pipe-source source_name=pipemic file={self._fifo} format=s16le rate={RATE} channels=1"
        own = {"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PULSE_SERVER": self.server}
        self.process = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
                *("--disable-shm=yes", "--realtime=no", "--high-priority=no"),
                *("-L", source),
                # The last: when the socket is there, the microphone is.
                *("-L", f"module-native-protocol-unix socket={folder}/s auth-anonymous=1"),
            ],
            env={**os.environ, **own},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with socket.socket(socket.AF_UNIX) as client:
            until(lambda: client.connect_ex(f"{folder}/s") == 0)

    def say(self, pcm: bytes) -> None:
        """Gives speech, and a moment of silence, at the pace of speech; it is lost while nobody records.

        Without the silence, the end of the speech would wait in the sound server for what comes next.
        """
        pcm += SILENCE
        fifo = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK)  # else it would hang if nobody records
        try:
            began = time.monotonic()
            for at in range(0, len(pcm), PIECE):
                time.sleep(max(0.0, began + at / SECOND - time.monotonic()))
                os.write(fifo, pcm[at : at + PIECE])
        finally:
            os.close(fifo)

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Lets somebody speak all the time, whether anybody records or not."""
        over = threading.Event()

        def speak() -> None:
            while not over.is_set():
                with contextlib.suppress(BlockingIOError):  # nobody records
                    self.say(SPEECH[:BLOCK])

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(PATIENCE)

    def hang(self) -> None:
        """Stops the sound server as a debugger does: it neither answers nor ends."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Ends the sound server in mid-speech."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def virtual_microphone() -> Iterator[VirtualMicrophone]:
    folder = Path(tempfile.mkdtemp(prefix="mic-"))  # short: the path of a socket may have 107 characters
    made = VirtualMicrophone(folder)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            made.process.send_signal(signal.SIGCONT)
        made.kill()
        shutil.rmtree(folder, ignore_errors=True)


def is_heard(said: bytes, pcm: bytes) -> bool:
    """Returns whether PCM is what `VirtualMicrophone.say()` was given, with at most the silence behind it."""
    return pcm[: len(said)] == said and pcm[len(said) :] == SILENCE[: max(len(pcm) - len(said), 0)]


def until(true: Callable[[], object]) -> None:
    """Waits until something is true."""
    guard = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < guard
        time.sleep(0.005)


class PortAudioError(Exception):
    """As `sounddevice` has it: a text and PortAudio's number."""


class SoundDevice:
    """A module `sounddevice` whose one microphone does what it is told.

    Args:
        give: Called in a thread of its own with the stream once it is started, as PortAudio would give audio.
        rates: The sample rates that it takes; `None` for all.
        refuse: What to open it raises.
        latency: How late its audio is, in seconds.
        devices: What there is in place of one microphone.
    """

    PortAudioError = PortAudioError

    def __init__(
        self,
        give: Callable[[Stream], object] = lambda stream: None,
        *,
        rates: Optional[set[int]] = None,
        refuse: Optional[Exception] = None,
        latency: float = 0.01,
        devices: Optional[list[dict[str, Any]]] = None,
    ) -> None:
        self.give = give
        self.rates = rates
        self.refuse = refuse
        self.latency = latency
        self.devices = [device("mic")] if devices is None else devices
        self.streams: list[Stream] = []

    def query_devices(self, device: Any = None, kind: Optional[str] = None) -> Any:
        if device is None and kind is None:
            return self.devices
        if device is None:
            device = next((number for number, each in enumerate(self.devices) if each["max_input_channels"]), -1)
        if isinstance(device, int):
            device.to_bytes(4, "big", signed=True)  # an `OverflowError` as from cffi
            if not 0 <= device < len(self.devices):
                raise PortAudioError(f"Error querying device {device}")
            found = [device]
        else:
            found = [n for n, each in enumerate(self.devices) if device in each["name"] and each["max_input_channels"]]
        if len(found) > 1:
            raise ValueError(f"Multiple input devices found for {device!r}")
        if not found:
            raise ValueError(f"No input device matching {device!r}")
        if not self.devices[found[0]]["max_input_channels"]:
            raise ValueError(f"Not an input device: {device!r}")
        return {**self.devices[found[0]], "index": found[0]}

    def query_hostapis(self, _number: int) -> dict[str, str]:
        return {"name": "Sound"}

    def RawInputStream(self, **options: Any) -> Stream:
        if self.refuse is not None:
            raise self.refuse
        if self.rates is not None and options["samplerate"] not in self.rates:
            raise PortAudioError("Invalid sample rate", -9997)
        self.streams.append(Stream(self, **options))
        return self.streams[-1]


class Stream:
    """A stream of `SoundDevice`, with what tests ask about it."""

    def __init__(
        self, module: SoundDevice, *, samplerate: float, callback: Any, finished_callback: Any, **options: Any
    ) -> None:
        self.samplerate = samplerate
        self.latency = module.latency
        self.options = options
        self.calls: list[str] = []
        self.finish = finished_callback
        self._callback = callback
        self._thread = threading.Thread(target=module.give, args=(self,))

    def give(self, pcm: bytes, *, at: float = 0.0, overflow: bool = False) -> None:
        """Gives a block."""
        self._callback(
            memoryview(pcm),
            len(pcm) // 2,
            SimpleNamespace(inputBufferAdcTime=at),
            SimpleNamespace(input_overflow=overflow),
        )

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")
        self._thread.join(PATIENCE)


def pretend(monkeypatch: pytest.MonkeyPatch, sounddevice: SoundDevice) -> SoundDevice:
    """Lets this process have another `sounddevice` than the real one."""
    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)
    monkeypatch.setattr(portaudio, "_loaded_in", os.getpid())
    return sounddevice


def device(name: str, inputs: int = 2, rate: float = 44100.0) -> dict[str, Any]:
    return {"name": name, "hostapi": 0, "max_input_channels": inputs, "default_samplerate": rate}
