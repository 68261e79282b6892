"""What happens in an exchange, for `protocol`.

The first three come from `sender` (`SendFailed` for the config from `conversation`), the others from `connector` and
`conversation`. The events of the connection itself are in `wire.messages`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ..exceptions import AudioError
from ..wire.messages import ConnectionEvent


@dataclass(frozen=True)
class Progress:
    """A packet was sent.

    Attributes:
        frames: Frames of audio sent so far.
    """

    frames: int


@dataclass(frozen=True)
class AudioSent:
    """The last packet was sent; the end of the stream follows at once."""


@dataclass(frozen=True)
class SendFailed:
    """A message could not be sent, so no other can be."""

    error: BaseException


@dataclass(frozen=True)
class SourceFailed:
    """A live source failed before the speech was over, so a verdict on what was sent would be worth nothing."""

    error: AudioError


@dataclass(frozen=True)
class Cancelled:
    """The caller has cancelled the exchange."""


@dataclass(frozen=True)
class GraceOver:
    """The server stayed silent for the grace that `StartGrace` began."""


@dataclass(frozen=True)
class TimeOver:
    """The exchange has reached its deadline."""


SenderEvent = Union[Progress, AudioSent, SendFailed]
Event = Union[ConnectionEvent, SenderEvent, SourceFailed, Cancelled, GraceOver, TimeOver]
