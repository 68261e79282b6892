"""What `protocol` decides, and `conversation` carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ..exceptions import ElsaError
from ..wire.messages import Status


class SendConfig:
    """Send the config message."""


class StartAudio:
    """Start sending packets, and the end of the stream right after the last."""


class StopAudio:
    """Stop sending packets, at once."""


@dataclass(frozen=True)
class StartGrace:
    """Wait for `GraceOver` from now on, also if a grace runs already.

    Attributes:
        broken: Whether a send has failed. The grace lasts `close_timeout` seconds then, else `bad_quality_grace`.
    """

    broken: bool


class StopGrace:
    """Don't wait for the end of the grace any more."""


@dataclass(frozen=True)
class Report:
    """Call the caller's `on_status`."""

    status: Status


@dataclass(frozen=True)
class ReportProgress:
    """Call the caller's `on_progress`."""

    frames: int


@dataclass(frozen=True)
class Finish:
    """End the exchange: the verdict is `success`."""

    verdict: Status


@dataclass(frozen=True)
class Fail:
    """End the exchange with an error.

    Attributes:
        final: Whether no verdict can replace the error: then nobody listens for one while the connection is closed.
    """

    error: ElsaError
    final: bool = False


Command = Union[SendConfig, StartAudio, StopAudio, StartGrace, StopGrace, Report, ReportProgress, Finish, Fail]
