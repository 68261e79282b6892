"""`Exchange`: what one connection brought and how it ended. Filled by `call` and `server`; read by callers."""

from __future__ import annotations

import io
import threading
import time
import wave
from collections.abc import Mapping
from typing import Any

from .rules import WAV_HEADER_BYTES, Format, read_packet

CLOSING_SECONDS = 2.0  # s to wait for a close code: a test may ask for it a moment before the client closes


class Exchange:
    """One connection, from the opening handshake on. Safe to read from any thread while it goes on.

    Attributes:
        stream_id: The id that the sandbox gives the stream.
        scenario: The name of the scenario that is played.
        headers: The headers of the client's request, `Authorization` included.
        config: The config, once it is understood.
        verdict: The last `success`, `failed` or `bad_quality` that was sent.
        assessment: What the verdict's `result_link` leads to.
        breach: What the client did against the protocol, if it did.
        finished: Set when the connection has ended and nothing here changes any more.
    """

    def __init__(self, stream_id: str, scenario: str, headers: Mapping[str, str]) -> None:
        self.stream_id = stream_id
        self.scenario = scenario
        self.headers = headers
        self.config: dict[str, Any] | None = None
        self.verdict: dict[str, Any] | None = None
        self.assessment: dict[str, Any] | None = None
        self.breach: str | None = None
        self.finished = threading.Event()
        self._close_code: int | None = None
        self._format: Format | None = None
        self._arrivals: list[tuple[str | bytes, float]] = []
        self._heard: list[bytes] = []

    @property
    def frames(self) -> tuple[tuple[str, str | bytes], ...]:
        """Every message of the client, in order: `("text", str)` or `("binary", bytes)`."""
        return tuple(("text" if isinstance(message, str) else "binary", message) for message, _ in self._copy())

    @property
    def config_text(self) -> str | None:
        """The first message, as it came, if it was text."""
        first = next(iter(self._copy()), (None, 0.0))[0]
        return first if isinstance(first, str) else None

    @property
    def packets(self) -> tuple[bytes, ...]:
        """Every binary message, as it came."""
        return tuple(message for message, _ in self._copy() if isinstance(message, bytes))

    @property
    def arrival_times(self) -> tuple[float, ...]:
        """When each of `packets` came, on `time.monotonic()`, in seconds."""
        return tuple(at for message, at in self._copy() if isinstance(message, bytes))

    @property
    def heard(self) -> int:
        """How many packets were taken as audio: not those that break a rule, nor those after a verdict."""
        return len(self._heard)

    @property
    def pcm(self) -> bytes:
        """The audio of the packets that were taken, joined."""
        return b"".join(memoryview(packet)[WAV_HEADER_BYTES:] for packet in tuple(self._heard))

    @property
    def pcm_format(self) -> Format | None:
        """How the audio is laid out."""
        return self._format

    @property
    def sample_rate(self) -> int | None:
        """Frames in a second of the audio."""
        return self._format and self._format.sample_rate

    @property
    def channels(self) -> int | None:
        return self._format and self._format.channels

    @property
    def sample_width(self) -> int | None:
        """Bytes in a sample of the audio."""
        return self._format and self._format.sample_width

    @property
    def seconds(self) -> float:
        """How long the audio is."""
        if self._format is None:
            return 0.0
        frame_bytes = self._format.channels * self._format.sample_width
        pcm_bytes = sum(len(packet) - WAV_HEADER_BYTES for packet in tuple(self._heard))
        return pcm_bytes / frame_bytes / self._format.sample_rate

    @property
    def close_code(self) -> int | None:
        """The close code of RFC 6455, 1006 if TCP was cut. Waits up to 2 s for the end; `None` if it doesn't come."""
        self.finished.wait(CLOSING_SECONDS)
        return self._close_code

    def wav(self) -> bytes | None:
        """Returns the audio as one WAV file, without half a frame at its end; `None` if there is none."""
        if self._format is None:
            return None
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setframerate(self._format.sample_rate)
            file.setnchannels(self._format.channels)
            file.setsampwidth(self._format.sample_width)
            pcm = self.pcm
            file.writeframes(pcm[: len(pcm) - len(pcm) % (file.getnchannels() * file.getsampwidth())])
        return buffer.getvalue()

    def record(self, message: str | bytes) -> None:
        """Keeps a message, right or wrong."""
        self._arrivals.append((message, time.monotonic()))

    def hear(self, packet: str | bytes, *, half_frames: bool = False) -> None:
        """Takes a message as the next packet of audio.

        Args:
            packet: The message.
            half_frames: Whether it may end in half a frame.

        Raises:
            Breach: It is no packet, or breaks a rule.
        """
        self._format = read_packet(packet, len(self._heard), self._format, half_frames=half_frames)
        assert isinstance(packet, bytes)
        self._heard.append(packet)

    def finish(self, close_code: int | None) -> None:
        """Tells the readers that the connection has ended."""
        self._close_code = None if close_code is None else int(close_code)
        self.finished.set()

    def _copy(self) -> tuple[tuple[str | bytes, float], ...]:
        return tuple(self._arrivals)
