"""PortAudio by sounddevice: finds and opens devices, and gives what they record in blocks. For `microphone`."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import Any, List, NamedTuple, Optional, Union

from ..exceptions import AudioError
from ..mailbox import Mailbox
from ..signals import raised_by_handler
from .libraries import import_sounddevice

__all__ = ["BLOCK_SECONDS", "Block", "Gone", "InputDevice", "Stream", "list_devices", "load", "skip_last_call"]

BLOCK_SECONDS = 0.1  # s of audio that PortAudio gives at once; if not told, it may give one frame at a time
MOST_LAG = 0.5  # s; if a device reports a longer delay, it is not believed

_MOST_NAMED = 20  # devices in a message

# PortAudio's numbers of errors.
_INVALID_SAMPLE_RATE, _INVALID_CHANNELS, _UNAVAILABLE = -9997, -9998, -9985

_portaudio = threading.Lock()  # PortAudio may be called by one thread at a time; never taken in the main thread
_loaded_in: Optional[int] = None  # the process that loaded PortAudio


class InputDevice(NamedTuple):
    """A microphone, or another device that audio can be recorded from.

    Attributes:
        number: What `Microphone(device=…)` takes, as it takes the name or a part of it.
        name: The device's name, by the operating system.
        system: The sound system that it is reached by, such as "ALSA" or "Core Audio"; several may know one device.
        channels: The most channels that it records.
        sample_rate: The rate that it is set to, in Hz.
        is_default: Whether it is what `Microphone()` records from.
    """

    number: int
    name: str
    system: str
    channels: int
    sample_rate: int
    is_default: bool


class Block(NamedTuple):
    """A tenth of a second of audio, as PortAudio gave it."""

    pcm: bytes
    came: float  # when, on the monotonic clock
    after_gap: bool  # whether audio was lost just before it
    at: float  # when its first frame was recorded, in s on the stream's clock; 0 if the sound system doesn't tell


class Gone:
    """PortAudio says that no block will follow."""


class Stream:
    """A stream of PortAudio that records from a device. The thread that makes it must also close it.

    Attributes:
        name: The name of the device.
        sample_rate: The rate that it records at, in Hz.
        lag: How long after the last frame of a block was spoken the block comes, in seconds.
    """

    def __init__(
        self,
        sounddevice: Any,
        device: Union[int, str, None],
        sample_rate: int,
        blocks: Mailbox[Union[Block, Gone, None]],
    ) -> None:
        """Opens a device, and begins to record.

        Args:
            sounddevice: The module.
            device: What `Microphone()` takes.
            sample_rate: Hz to record at, if the device takes that; else it is its own rate.
            blocks: Gets a `Block` for each tenth of a second, and `Gone` if the device stops.

        Raises:
            AudioError: The device can't be opened.
        """
        self._errors = (sounddevice.PortAudioError, ValueError, OSError)

        # Called in PortAudio's thread. They must not log: `logging` would register that thread as one of Python's.
        def take(data: Any, _frames: int, times: Any, status: Any) -> None:
            blocks.put(Block(bytes(data), time.monotonic(), bool(status.input_overflow), times.inputBufferAdcTime))

        def note_end() -> None:
            blocks.put(Gone())

        with _portaudio:
            info = _find(sounddevice, device)
            self.name = str(info["name"])
            self._stream = self._open(sounddevice, info, sample_rate, callback=take, finished_callback=note_end)
            self.sample_rate = round(self._stream.samplerate)
            self.lag = min(max(self._stream.latency, BLOCK_SECONDS), MOST_LAG)
            try:
                self._stream.start()
            except self._errors as error:
                self._stream.close()
                raise self._refusal(error) from error

    def close(self) -> None:
        """Closes the device."""
        # Not stop(): it would wait for audio, which a device that hangs doesn't give.
        with _portaudio:
            self._stream.abort()
            self._stream.close()

    def _open(self, sounddevice: Any, info: Any, sample_rate: int, **callbacks: Any) -> Any:
        own_rate = round(info["default_samplerate"])
        for rate in (sample_rate, own_rate):
            try:
                return sounddevice.RawInputStream(
                    samplerate=rate,
                    blocksize=max(round(BLOCK_SECONDS * rate), 1),
                    device=info["index"],
                    channels=1,
                    dtype="int16",
                    **callbacks,
                )
            except self._errors as error:
                if _code(error) != _INVALID_SAMPLE_RATE:
                    raise self._refusal(error) from error
        raise AudioError(f"the microphone {self.name!r} refuses {sample_rate} Hz, and {own_rate} Hz, its own rate, too")

    def _refusal(self, error: Exception) -> AudioError:
        code = _code(error)
        if code == _UNAVAILABLE or "busy" in str(error).lower():
            why = "another program has taken it, or it was unplugged"
        elif code == _INVALID_CHANNELS:
            why = "it has fewer channels than are asked of it: choose another one"
        else:
            why = "is it plugged in, and does the sound server run?"
        return AudioError(f"the microphone {self.name!r} can't be opened ({error}): {why}")


def load() -> Any:
    """Returns the module `sounddevice`.

    Raises:
        AudioError: It can't be used in this process.
    """
    global _loaded_in  # noqa: PLW0603 - there is one PortAudio for each process
    if _loaded_in not in (None, os.getpid()):
        raise AudioError(
            "the microphone was used, or asked for, before this process was forked, and the system's sound libraries "
            "don't work in a forked process: use it here first, or start the process with 'spawn'"
        )
    sounddevice = import_sounddevice()
    if _loaded_in is None:
        _loaded_in = os.getpid()
        if hasattr(os, "register_at_fork"):  # a child must not end the streams of its parent
            os.register_at_fork(after_in_child=skip_last_call)
    return sounddevice


def skip_last_call() -> None:
    """Lets sounddevice not end PortAudio when this process ends: the system closes everything anyway."""
    atexit.unregister(getattr(sys.modules.get("sounddevice"), "_exit_handler", skip_last_call))


def list_devices(sounddevice: Any) -> List[InputDevice]:
    default = _default(sounddevice)
    return [
        InputDevice(
            number=number,
            name=str(info["name"]),
            system=str(sounddevice.query_hostapis(info["hostapi"])["name"]),
            channels=info["max_input_channels"],
            sample_rate=round(info["default_samplerate"]),
            is_default=number == default,
        )
        for number, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]


def _default(sounddevice: Any) -> Optional[int]:
    try:
        return int(sounddevice.query_devices(None, "input")["index"])
    except (sounddevice.PortAudioError, ValueError, OverflowError) as error:
        if raised_by_handler(error):
            raise
        return None


def _find(sounddevice: Any, device: Union[int, str, None]) -> Any:
    """Returns what PortAudio knows of a device.

    Raises:
        AudioError: There is no such device, or several have such a name.
    """
    try:
        return sounddevice.query_devices(device, "input")
    except (sounddevice.PortAudioError, ValueError, OverflowError) as error:
        several = str(error).startswith("Multiple")
        cause = error
    devices = list_devices(sounddevice)
    if not devices:
        raise AudioError(
            "there is no microphone: plug one in, or let the sound server run, then start this program again"
        ) from cause
    named = ", ".join(f"{each.number} {f'{each.name}, {each.system}'!r}" for each in devices[:_MOST_NAMED])
    if len(devices) > _MOST_NAMED:
        named += f", and {len(devices) - _MOST_NAMED} more"
    if device is None:
        raise AudioError(f"no microphone is the default one: choose one by its number: {named}") from cause
    if several:
        raise AudioError(f"several microphones are called {device!r}: choose one by its number: {named}") from cause
    raise AudioError(f"there is no microphone {device!r}; there are {named}") from cause


def _code(error: Exception) -> Optional[int]:
    """Returns PortAudio's number of an error."""
    code = error.args[1] if len(error.args) > 1 else None
    return code if isinstance(code, int) else None
