"""`Heard`: what a client has sent so far, and the hashes of its audio; used by `recorder` and `player` alike."""

from __future__ import annotations

import hashlib
import io
import json
import time
import wave
from collections.abc import Collection, Mapping
from typing import Any, Callable, Optional

from ..exchange import Exchange
from ..rules import Breach
from .format import AUDIO, CONFIG, END, OPEN, STEP_DIGITS, STEPS_PER_SECOND, Cause
from .frames import BINARY, TEXT, Message

END_TYPE = "ELSA:end_stream"
GREETING = "ELSA:wsConnect"
Opened = Callable[[Exchange], object]  # told of an exchange whose handshake was accepted
Finished = Callable[[Exchange, Optional[int]], object]  # told of one that has ended, with its close code
VERDICTS = ("success", "failed", "bad_quality")


class Heard:
    """The client's side of one exchange, as it comes.

    Args:
        exchange: What shows it to the users of the sandbox.
        keep_pcm: Whether to keep the audio.

    Attributes:
        config: The first message, as JSON; as a string if it is none. `None` before it.
        after: What the client has come to: a cause's `after`.
        format: Sample rate in Hz, channels, bytes in a sample; `None` before the audio.
        frames: Of audio so far.
        steps: As on a tape.
        hashes: Number of frames → SHA-256, for each checkpoint that was passed.
        pcm: The audio so far, if it is kept.
        since: When the client came to where it is, on `time.monotonic()`.
        configured: When its config came, on `time.monotonic()`; 0 before it.
    """

    def __init__(self, exchange: Exchange, *, keep_pcm: bool = False) -> None:
        self.exchange = exchange
        self.config: Any = None
        self.after = OPEN
        self.format: tuple[int, int, int] | None = None
        self.frames = 0
        self.steps: list[str] = []
        self.hashes: dict[int, str] = {}
        self.since = time.monotonic()
        self.configured = 0.0
        self.pcm = bytearray()
        self._keep_pcm = keep_pcm
        self._checkpoints: list[int] = []
        self._sha256 = hashlib.sha256()
        self._rest = b""  # a part of a frame

    @property
    def sha256(self) -> str:
        """Of the audio so far."""
        return self._sha256.hexdigest() if self.frames else ""

    @property
    def cause(self) -> Cause:
        """What the server has got so far."""
        return Cause(AUDIO, self.frames, self.sha256) if self.after == AUDIO else Cause(self.after)

    def watch(self, checkpoints: Collection[int]) -> None:
        """Sets the numbers of frames at which the hash is to be kept."""
        self._checkpoints = sorted(each for each in set(checkpoints) if each > self.frames)

    def take(self, message: Message) -> None:
        """Takes a message of the client."""
        if message.opcode == TEXT:
            self._take_text(message.data.decode("utf-8", "replace"))
        elif message.opcode == BINARY:
            self.exchange.record(message.data)
            self._take_packet(message.data)

    def _take_text(self, text: str) -> None:
        self.exchange.record(text)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = text
        if self.after == OPEN:
            self.config, self.after, self.configured = content, CONFIG, time.monotonic()
            self.exchange.config = content if isinstance(content, dict) else None
        elif isinstance(content, dict) and content.get("type") == END_TYPE:
            self.after = END
        else:
            return
        self.since = time.monotonic()

    def _take_packet(self, packet: bytes) -> None:
        try:
            self.exchange.hear(packet, half_frames=True)
        except Breach as breach:
            self.exchange.breach = str(breach)
        layout, pcm = _unpack(packet, self.format)
        if self.format is None:
            self.format = layout
        self.after, self.since = AUDIO, time.monotonic()
        if self._keep_pcm:
            self.pcm += pcm
        data = self._rest + pcm
        frame_bytes = self.format[1] * self.format[2]
        whole = len(data) - len(data) % frame_bytes
        self._rest = data[whole:]
        at = 0
        while at < whole:
            stop = min(self._next_stop(), self.frames + (whole - at) // frame_bytes)
            size = (stop - self.frames) * frame_bytes
            self._sha256.update(data[at : at + size])
            at, self.frames = at + size, stop
            self._keep_hash()

    def _next_stop(self) -> int:
        """Returns the number of frames at which the hash is wanted next."""
        step = _step(self.format, len(self.steps) + 1)
        return min(step, self._checkpoints[0]) if self._checkpoints else step

    def _keep_hash(self) -> None:
        if self.frames == _step(self.format, len(self.steps) + 1):
            self.steps.append(self.sha256[:STEP_DIGITS])
        if self._checkpoints and self.frames == self._checkpoints[0]:
            self.hashes[self._checkpoints.pop(0)] = self.sha256


def _step(layout: tuple[int, int, int] | None, number: int) -> int:
    assert layout is not None
    return max(1, number * layout[0] // STEPS_PER_SECOND)


def _unpack(packet: bytes, known: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], bytes]:
    """Returns the format and the PCM of a packet; the packet itself, byte for byte, if it is no WAV file."""
    try:
        with wave.open(io.BytesIO(packet)) as file:
            layout = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            if packet[36:40] == b"data":  # all of it: `readframes` leaves half a frame out
                return layout, packet[44:]
            return layout, file.readframes(file.getnframes())
    except (wave.Error, EOFError, ValueError, ZeroDivisionError):
        return known or (1, 1, 1), packet


def says(text: str, key: str) -> Any:
    """Returns a member of a message of the server; `None` if it is no object, or has none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content.get(key) if isinstance(content, dict) else None


def show(exchange: Exchange, text: str) -> None:
    """Shows a message of the server to those who look at the exchange: its stream id, its verdict."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(content, Mapping):
        return
    if isinstance(content.get("stream_id"), str):
        exchange.stream_id = content["stream_id"]
    if content.get("status") in VERDICTS:
        exchange.verdict = dict(content)
