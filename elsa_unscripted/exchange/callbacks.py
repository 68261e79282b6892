"""The caller's callbacks, and what carries the exception of one back to the caller. For the modules beside it."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

from ..wire.messages import Status

OnStatus = Callable[[Status], object]
OnProgress = Callable[[float, Any], object]  # seconds of audio sent, and in all (`None` while nobody knows)
OnEvent = Callable[[object], object]


class Callbacks(NamedTuple):
    """The caller's callbacks; see `Client.score()`."""

    on_status: Optional[OnStatus]
    on_progress: Optional[OnProgress]
    on_event: Optional[OnEvent]


class CallbackFailed(Exception):
    """Carries an exception of a callback to `Client.score()`, so that no `except` on the way takes it for our own.

    The callback's exception may be an `ElsaError` of another exchange.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
