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

from .files import is_out_of_files
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


PASSING_STATUS_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The HTTP statuses whose cause may pass within seconds."""

REFUSING_CLOSE_CODES = frozenset({1008, 3000, 3003, 4001, 4003, *range(4400, 4500)} - {4408, 4425, 4429})
"""The close codes by which a server refuses who asks, or what for: policy (RFC 6455, 7.4.1), unauthorized and forbidden
(IANA's registry); and of the codes that each service chooses for itself (4000 to 4999), those that by custom mean the
same: 4001, 4003, and 4000 + an HTTP status from 400 on whose cause stays. ELSA documents none of its own."""

LASTING_CLOSE_CODES = REFUSING_CLOSE_CODES | {1002, 1003, 1007, 1009, 1010}
"""These, and the close codes by which a peer can't take what it was sent (RFC 6455, 7.4.1)."""


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
        last_message: The beginning of the server's last message, not counting greeting, `processing` and `accepted`,
            which explain no failure; `None` if there was no other. Untrusted text.
        retryable: Whether the same call can succeed later, without a change of the recording, the options or the
            token. If `possibly_billed` is set as well, a stream that is sent again is metered again.
    """

    _can_pass = False  # whether the cause of errors of this kind may go away by itself

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.phase: Optional[str] = None
        self.stream_id: Optional[str] = None
        self.audio_seconds: Optional[float] = None
        self.audio_seconds_sent: float = 0.0
        self.possibly_billed: bool = False
        self.statuses: Tuple[Mapping[str, Any], ...] = ()
        self.last_message: Optional[str] = None
        self._was_retryable: Optional[bool] = None  # set by the journal, which doesn't keep the cause

    @property
    def retryable(self) -> bool:
        return self._is_retryable() if self._was_retryable is None else self._was_retryable

    def _is_retryable(self) -> bool:
        return self._can_pass or is_out_of_files(self)

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

    Attributes:
        missing: Whether there is no file at the given path.
    """

    def __init__(self, message: str = "", *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


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

    def _is_retryable(self) -> bool:
        if isinstance(self.status_code, int):
            return self.status_code in PASSING_STATUS_CODES or self.status_code >= 500
        # Refused, cut, no route, timed out, no thread: this may pass. A certificate that isn't trusted stays, and so
        # does a server that doesn't speak WebSocket. An unknown host name may mean that there is no network just now.
        return not _is_lasting(self.__cause__) or is_out_of_files(self)


class AuthenticationError(ConnectError):
    """The server refused the token: HTTP 401, or 403 without a page. Trying again with the same token won't help."""

    def _is_retryable(self) -> bool:
        return False


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

    def _is_retryable(self) -> bool:
        return not isinstance(self.code, int) or self.code not in LASTING_CLOSE_CODES


class ScoreTimeoutError(ElsaError, TimeoutError):
    """No verdict came within `timeout` seconds on top of the time that the audio takes."""

    _can_pass = True


class ProtocolError(ElsaError):
    """In place of a verdict, the server sent something that the protocol doesn't allow."""

    _can_pass = True


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

    _can_pass = True


class BudgetError(ElsaError):
    """The recording was not started: the batch would have sent more than `max_audio_seconds`."""

    _can_pass = True  # the next run has a budget of its own


class JournalError(ElsaError):
    """The journal of a batch is in use, isn't a journal, or can't be read or written; the message says which."""

    def _is_retryable(self) -> bool:
        # A locked journal raises `BlockingIOError` on POSIX, and `PermissionError` on Windows.
        in_use = isinstance(self.__cause__, (BlockingIOError, PermissionError)) and "in use" in str(self)
        return in_use or is_out_of_files(self)


def _is_lasting(cause: Optional[BaseException]) -> bool:
    # By name: to import `ssl` and `websocket` here would make `import elsa_unscripted` slow.
    names = {kind.__name__ for kind in type(cause).__mro__}
    exact = type(cause).__name__ in ("SSLError", "SSLCertVerificationError")  # subclasses tell of cut connections
    return exact or bool(names & {"WebSocketException", "ImportError", "ValueError", "LookupError"})


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
