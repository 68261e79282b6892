"""`score()`: one call for blocking code. A thin function around `Client`."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, Callable, Iterable, Mapping, Optional

from .batch import Batch, BatchProgress
from .client import AudioSource, Client
from .config import (
    BAD_QUALITY_GRACE,
    CHUNK_SECONDS,
    CLOSE_TIMEOUT,
    CONNECT_RETRIES,
    CONNECT_TIMEOUT,
    MAX_MESSAGE_BYTES,
    SPEED,
    TIMEOUT,
    PathLike,
)
from .messages import Status
from .result import ScoreResult


def score(
    audio: AudioSource,
    token: Optional[str] = None,
    *,
    api_plan: str = "standard",
    return_json: bool = True,
    extra: Optional[Mapping[str, Any]] = None,
    url: Optional[str] = None,
    chunk_seconds: float = CHUNK_SECONDS,
    speed: Optional[float] = SPEED,
    timeout: float = TIMEOUT,
    connect_timeout: float = CONNECT_TIMEOUT,
    close_timeout: float = CLOSE_TIMEOUT,
    bad_quality_grace: float = BAD_QUALITY_GRACE,
    connect_retries: int = CONNECT_RETRIES,
    sample_rate: Optional[int] = None,
    ca_bundle: Optional[PathLike] = None,
    proxy: Optional[str] = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    on_status: Optional[Callable[[Status], object]] = None,
    on_progress: Optional[Callable[[float, float], object]] = None,
) -> ScoreResult:
    """Streams a recording to the server and returns its assessment.

    It blocks for about as long as the audio takes at `speed`, and returns or raises within `connect_timeout` +
    that time + `timeout` + `close_timeout` seconds, whatever the server does. It can be called from any thread.

    Example:
        >>> from elsa_unscripted import score
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     result = score("tests/data/wire/short.wav", "any-token", url=sandbox.url)
        >>> result.status
        'success'

    Args:
        audio: A path, bytes, a binary file object, or a `pydub.AudioSegment`. A PCM WAV is sent as recorded;
            other formats go as mono 16 kHz 16 bit.
        token: The API token; `None` takes `$ELSA_API_TOKEN`.
        api_plan: `"standard"` or `"premium"`.
        return_json: Whether the assessment should come along with the verdict.
        extra: More keys for the config message.
        url: Where to; `None` takes `$ELSA_UNSCRIPTED_URL`, else the vendor's address.
        chunk_seconds: Seconds of audio in a packet.
        speed: Seconds of audio sent in a second; `None` sends as fast as the connection takes it.
        timeout: Seconds for the server's answers, beside the time that the audio takes at `speed`.
        connect_timeout: Seconds for all attempts to connect and the waits between them.
        close_timeout: Seconds for the closing handshake.
        bad_quality_grace: Seconds of silence after the audio that make `bad_quality` the verdict.
        connect_retries: Attempts to connect after the first. A stream that has begun is never retried.
        sample_rate: `None` sends a WAV as recorded; 16000 resamples any input to mono 16 bit at that many Hz
            (extra `formats`).
        ca_bundle: A file with the certificates to trust in place of the system's.
        proxy: `http://[user:password@]host:port`; `None` takes `$https_proxy` and `$no_proxy`.
        max_message_bytes: The longest message that is taken from the server.
        on_status: Called in this thread with each message of the server that has a `status`.
        on_progress: Called in this thread with the seconds of audio sent and their total, after each packet.

    Returns:
        The verdict `success`, as a mapping over the server's object with typed views.

    Raises:
        ElsaError: Anything else; see `elsa_unscripted.exceptions` for the tree. What `on_status` and
            `on_progress` raise comes through, after a clean shutdown.
    """
    with Client(
        token,
        api_plan=api_plan,
        return_json=return_json,
        extra=extra,
        url=url,
        chunk_seconds=chunk_seconds,
        speed=speed,
        timeout=timeout,
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
        bad_quality_grace=bad_quality_grace,
        connect_retries=connect_retries,
        sample_rate=sample_rate,
        ca_bundle=ca_bundle,
        proxy=proxy,
        max_message_bytes=max_message_bytes,
    ) as client:
        return client.score(audio, on_status=on_status, on_progress=on_progress)


def score_many(
    audio: Iterable[PathLike],
    token: Optional[str] = None,
    *,
    max_workers: int = 16,
    executor: Optional[Executor] = None,
    journal: Optional[PathLike] = None,
    retry_failed: bool = False,
    stream_retries: int = 0,
    max_audio_seconds: Optional[float] = None,
    billable_unit_seconds: float = 15.0,
    on_progress: Optional[Callable[[BatchProgress], object]] = None,
    **options: Any,
) -> Batch:
    """Scores recordings, many at once, and yields the outcome of each as it comes."""
    raise NotImplementedError
