"""The errors that this package raises on purpose.

ElsaError
├── ConfigError (ValueError)         a bad option; nothing was sent
├── AudioError                       unreadable, empty or undecodable audio; a live source that failed or fell silent
├── ConnectError                     no WebSocket was opened: DNS, refused, TLS, proxy, time out, HTTP status ≠ 101
│   ├── AuthenticationError          HTTP 401 or 403: the token was not accepted (not a 403 with a firewall's page)
│   └── RateLimitedError             HTTP 429
├── StreamClosedError                closed or cut before a verdict
├── ScoreTimeoutError (TimeoutError) no verdict in time
├── ProtocolError                    the server said something that is not the protocol
├── ScoringFailedError               the verdict is `failed`
│   └── BadQualityError              the verdict is `bad_quality`
├── ScoreCancelledError              `Client.cancel()` or `close()` ended the exchange
├── BudgetError                      in a batch: the recording would pass `max_audio_seconds`; nothing was sent
└── JournalError                     the journal of a batch can't be opened, read or written

Each survives `pickle`, so that a worker process can hand it back.
"""

from __future__ import annotations

import pickle
from typing import Any, Mapping, Optional, Tuple, Type

from .signals import raised_by_handler

__all__ = [
    "AudioError",
    "AuthenticationError",
    "BadQualityError",
    "BudgetError",
    "ConfigError",
    "ConnectError",
    "ElsaError",
    "JournalError",
    "ProtocolError",
    "RateLimitedError",
    "ScoreCancelledError",
    "ScoreTimeoutError",
    "ScoringFailedError",
    "StreamClosedError",
]


class ElsaError(Exception):
    """The base of every error of this package.

    Attributes:
        phase: How far the exchange had come: `"connect"` (opening the socket), `"start"` (waiting for a
            stream id), `"audio"` (sending), `"result"` (waiting for the verdict); `None` if it had not begun.
        stream_id: The server's name for the stream, if it gave one by then: quote it to the vendor.
        audio_seconds: How long the recording is, in seconds; `None` if that wasn't known yet. For live speech, the
            seconds that its source had given.
        audio_seconds_sent: Seconds of audio that were sent before the error.
        possibly_billed: Whether an audio packet may have been sent, at least in part: the server may meter the stream.
        statuses: The server's messages that carry a `status`, in order of arrival.
        last_message: The beginning of what the server said last, but for words that it is at work; `None` if it said
            nothing else. Untrusted text.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.phase: Optional[str] = None
        self.stream_id: Optional[str] = None
        self.audio_seconds: Optional[float] = None
        self.audio_seconds_sent: float = 0.0
        self.possibly_billed: bool = False
        self.statuses: Tuple[Mapping[str, Any], ...] = ()
        self.last_message: Optional[str] = None

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> Tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__), _picklable(self.__cause__))


class ConfigError(ElsaError, ValueError):
    """An option is wrong. Raised before anything is opened or sent; no token is ever in the message."""


class AudioError(ElsaError):
    """The audio can't be read, is empty, or nothing installed decodes it: raised before anything is sent.

    Or a live source failed, fell silent or was too slow to be taken: then `possibly_billed` says whether a part of it
    was sent.
    """


class ConnectError(ElsaError):
    """No WebSocket could be opened within `connect_timeout` and `connect_retries`.

    Attributes:
        status_code: The HTTP status that the server gave in place of 101; `None` without an HTTP answer.
        retry_after: Seconds that the server's `Retry-After` header asks to wait; `None` without that header, or if it
            makes no sense.
        body: The beginning of what the server, or a proxy, gave as its reason; `None` if it gave none. Untrusted text.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: Optional[int] = None,
        retry_after: Optional[float] = None,
        body: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after
        self.body = body


class AuthenticationError(ConnectError):
    """The server refused the token: HTTP 401, or 403 without a page. Trying again with the same token won't help."""


class RateLimitedError(ConnectError):
    """The server asks for fewer requests (HTTP 429); `retry_after` says for how long, if the server did."""


class StreamClosedError(ElsaError):
    """The connection was closed or cut before a verdict.

    Attributes:
        code: The close code of RFC 6455: the server's own; 1005 if its close frame had none; 1006 if the
            connection was cut without a close frame.
        reason: The text in the server's close frame; often empty.
    """

    def __init__(self, message: str = "", *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ScoreTimeoutError(ElsaError, TimeoutError):
    """No verdict came within `timeout` seconds on top of the time that the audio takes."""


class ProtocolError(ElsaError):
    """In place of a verdict, the server sent something that the protocol doesn't allow."""


class ScoringFailedError(ElsaError):
    """The server's verdict is `failed`.

    Attributes:
        reason: The server's reason, if it gave one. Untrusted text.
    """

    def __init__(self, message: str = "", *, reason: Optional[str] = None) -> None:
        super().__init__(message)
        self.reason = reason


class BadQualityError(ScoringFailedError):
    """The server's verdict is `bad_quality`: the recording can't be assessed."""


class ScoreCancelledError(ElsaError):
    """`Client.cancel()` or `close()` ended this exchange."""


class BudgetError(ElsaError):
    """The recording was not started: the batch would have sent more than `max_audio_seconds`."""


class JournalError(ElsaError):
    """The journal of a batch is in use, isn't a journal, or can't be read or written; the message says which."""


def _picklable(cause: Optional[BaseException]) -> Optional[BaseException]:
    try:
        pickle.loads(pickle.dumps(cause))
    except Exception as error:  # pickling a foreign cause may fail in any way; then our error is pickled without it
        if raised_by_handler(error):
            raise
        return None
    return cause


def _rebuild(
    kind: Type[ElsaError], args: Tuple[Any, ...], facts: Mapping[str, Any], cause: Optional[BaseException]
) -> ElsaError:
    error = kind(*args)
    error.__dict__.update(facts)
    error.__cause__ = cause
    return error
