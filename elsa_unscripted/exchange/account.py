"""`Account`: collects the facts of an exchange, and makes a `ScoreResult` of them, or adds them to an error.

`client` makes the account, puts the audio in, and asks for the result; `conversation` notes the rest, in the same
thread.
"""

from __future__ import annotations

import time
from typing import Dict, Optional

from ..audio.packets import LiveSource, Source
from ..config import Config
from ..exceptions import ElsaError
from ..log import Log
from ..results.result import ScoreResult, Timings
from ..version import __version__
from ..wire.messages import Status
from .protocol import Protocol
from .sender import Sender


class Account:
    """The facts of one exchange.

    Attributes:
        protocol: Knows the phase, the stream id and the statuses.
        audio: The source of the audio; `None` until a recording is decoded, and after `drop_audio()`.
        live: The same source, if it is live; else `None`.
        sender: Knows how much audio was sent; `None` until sending starts, and after `drop_audio()`.
        log: Of the exchange.
    """

    def __init__(self, config: Config, recording: Optional[str] = None) -> None:
        """Makes an account; the moments of `Timings` count from now.

        Args:
            config: The options of the exchange.
            recording: What the log calls the recording.
        """
        self.log = Log(recording)
        self.protocol = Protocol(self.log)
        self.audio: Optional[Source] = None
        self.live: Optional[LiveSource] = None
        self.sender: Optional[Sender] = None
        self._config = config
        self._began = time.monotonic()
        self._moments: Dict[str, float] = {}

    def note(self, moment: str, at: Optional[float] = None) -> None:
        """Notes when one of the moments of `Timings` was: now, or `at`, a time of the monotonic clock."""
        self._moments[moment] = (time.monotonic() if at is None else at) - self._began

    @property
    def elapsed(self) -> float:
        """Seconds since the account was made."""
        return time.monotonic() - self._began

    @property
    def seconds_sent(self) -> float:
        """Seconds of audio that were sent so far."""
        if self.sender is None or self.audio is None or not self.sender.sent:
            return 0.0
        return self.sender.sent / self.audio.format.sample_rate

    @property
    def seconds(self) -> Optional[float]:
        """Seconds of audio in a recording, or given so far by a live source; `None` if there is no audio yet."""
        if self.audio is None:
            return None
        return self.audio.frame_count / self.audio.format.sample_rate if self.audio.frame_count else 0.0

    @property
    def ended_by(self) -> str:
        """What ended the audio: `"server"` if its verdict came before all was sent, else `"source"` or `"limit"`."""
        if "audio_sent" not in self._moments:
            return "server"
        return (self.live.ended_by if self.live is not None else None) or "source"

    def result(self, verdict: Status) -> ScoreResult:
        """Returns the result of an exchange that ended with the verdict `success`."""
        assert self.audio is not None
        if self.sender is not None and self.sender.first_sent is not None:
            self.note("first_packet", self.sender.first_sent)
        self.note("total")
        audio_format = self.audio.format if self.audio.frame_count else None
        return ScoreResult(
            raw=verdict.raw,
            text=verdict.text,
            stream_id=self.protocol.stream_id,
            statuses=tuple(self.protocol.statuses),
            timings=Timings(**self._moments),
            audio_seconds=self.seconds or 0.0,
            audio_seconds_sent=self.seconds_sent,
            ended_by=self.ended_by,
            **({} if audio_format is None else audio_format._asdict()),
            api_plan=self._config.api_plan,
            warnings=self.audio.warnings,
            client=f"elsa_unscripted {__version__}",
        )

    def add_facts(self, error: ElsaError) -> None:
        """Fills in the attributes of the error that the exchange ended with."""
        error.phase = self.protocol.phase.value
        error.stream_id = self.protocol.stream_id
        error.statuses = tuple(self.protocol.statuses)
        error.last_message = self.protocol.last_message
        error.audio_seconds = self.seconds
        error.audio_seconds_sent = self.seconds_sent
        error.possibly_billed = self.sender is not None and self.sender.begun > 0

    def drop_audio(self) -> None:
        """Forgets the audio, which is large: a caller who keeps an error keeps this object, too, by its traceback."""
        self.audio = self.live = self.sender = None
