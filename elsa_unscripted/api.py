"""`score()`, `score_many()` and `check_audio()`: one call each for blocking code. Thin functions."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Literal, Mapping, Optional, Union, cast

from .audio import check as checks
from .audio.check import AudioCheck
from .batch import BILLABLE_UNIT_SECONDS, MAX_WORKERS, Batch, BatchProgress
from .config import (
    BAD_QUALITY_GRACE,
    CHUNK_SECONDS,
    CLOSE_TIMEOUT,
    CONNECT_RETRIES,
    CONNECT_TIMEOUT,
    MAX_MESSAGE_BYTES,
    SPEED,
    TIMEOUT,
    Config,
    Options,
    PathLike,
    hide,
)
from .exceptions import ConfigError
from .exchange.callbacks import OnProgress
from .exchange.client import AudioSource, Client
from .results.result import ScoreResult
from .wire.messages import Status

if TYPE_CHECKING:
    from typing_extensions import Unpack


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
    ping_interval: Optional[float] = None,
    check: bool = False,
    on_status: Optional[Callable[[Status], object]] = None,
    on_progress: Optional[OnProgress] = None,
) -> ScoreResult:
    """Streams a recording, or speech as it is spoken, to the server and returns its assessment.

    It blocks for about as long as the audio takes at `speed`, and returns or raises within `connect_timeout` +
    that time + `timeout` + `close_timeout` seconds, whatever the server does. It can be called from any thread. Live
    speech takes its `max_seconds` at most.

    Example:
        >>> from elsa_unscripted import score
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     result = score("tests/data/wire/short.wav", "any-token", url=sandbox.url)
        >>> result.status
        'success'

    Args:
        audio: A path, bytes, a binary file object, or a `pydub.AudioSegment`. A PCM WAV is sent as recorded;
            other formats go as mono 16 kHz 16 bit. Or `LiveAudio`, which is sent as it comes.
        token: The API token; `None` takes `$ELSA_API_TOKEN`.
        api_plan: `"standard"` or `"premium"`.
        return_json: Whether the assessment should come along with the verdict.
        extra: More keys for the config message.
        url: Where to connect; `None` takes `$ELSA_UNSCRIPTED_URL`, else the vendor's address.
        chunk_seconds: Seconds of audio in a packet.
        speed: Seconds of audio sent in a second; `None` sends as fast as the connection takes it.
        timeout: Seconds for the server's answers, beside the time that the audio takes at `speed`.
        connect_timeout: Seconds for all attempts to connect and the waits between them.
        close_timeout: Seconds for the closing handshake.
        bad_quality_grace: Seconds of silence after the audio that make `bad_quality` the verdict.
        connect_retries: Attempts to connect after the first. A stream that has begun is never retried.
        sample_rate: `None` sends a WAV as recorded; a number resamples any input to mono 16 bit at that many
            Hz (extra `formats`).
        ca_bundle: A file with the certificates to trust in place of the system's.
        proxy: `http://[user:password@]host:port`; `None` takes `$https_proxy`, else `$all_proxy`, but neither for the
            hosts in `$no_proxy`.
        max_message_bytes: The longest message that is taken from the server.
        ping_interval: Seconds between WebSocket pings, for load balancers that cut connections on which the client is
            silent; `None` sends none.
        check: Whether a recording is checked as by `check_audio()` before anything is sent, and refused with an
            `AudioError` if it is certain to be worthless. With the extra `check`, one without speech is found, too.
        on_status: Called in this thread with each message of the server that has a `status`.
        on_progress: Called in this thread with the seconds of audio sent and their total, after each packet; the total
            of live speech is `None`.

    Returns:
        The verdict `success`, as a mapping over the server's object with typed views.

    Raises:
        ElsaError: There is no verdict `success`; `elsa_unscripted.exceptions` shows the kinds of errors. What
            `on_status` or `on_progress` raises comes through, after a clean shutdown.
    """
    token, proxy = hide(token), hide(proxy)  # error trackers show the local variables of an error's frames
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
        ping_interval=ping_interval,
        check=check,
    ) as client:
        return client.score(audio, on_status=on_status, on_progress=on_progress)


def score_many(
    audio: Iterable[PathLike],
    token: Optional[str] = None,
    *,
    max_workers: int = MAX_WORKERS,
    executor: Optional[Executor] = None,
    journal: Optional[PathLike] = None,
    retry_failed: Union[bool, Literal["all"]] = False,
    stream_retries: int = 0,
    max_audio_seconds: Optional[float] = None,
    billable_unit_seconds: float = BILLABLE_UNIT_SECONDS,
    on_progress: Optional[Callable[[BatchProgress], object]] = None,
    **options: Unpack[Options],
) -> Batch:
    """Scores recordings, many at once, and yields the outcome of each as it comes.

    One recording's error never stops the others, but for a token that is refused. A path is drawn only when there is
    a free place for its recording.

    Example:
        >>> from elsa_unscripted import score_many
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     for outcome in score_many(["tests/data/wire/short.wav"], "any-token", url=sandbox.url):
        ...         print(outcome.path, outcome.result["status"] if outcome.result else outcome.error)
        tests/data/wire/short.wav success

    Args:
        audio: Paths, from any iterable: a million of them are not listed. They are drawn in the thread that takes
            the outcomes: while the iterable makes that thread wait, nothing else happens in it.
        token: The API token; `None` takes `$ELSA_API_TOKEN`.
        max_workers: How many recordings are in flight at most.
        executor: Where they are scored: any `concurrent.futures.Executor`, such as a process pool or Dask's
            `Client.get_executor()`. It isn't shut down. `None` takes threads: the work waits on the network.
        journal: A file with a line for each finished recording. Those that are in it, by content and options, are
            not sent again.
        retry_failed: Whether recordings that failed in an earlier run, by the journal, are sent again: with `True`
            those whose error is `retryable`; with `"all"` the others, too, such as an unchanged `bad_quality`.
        stream_retries: How often a recording whose stream broke is sent again. A stream is metered.
        max_audio_seconds: A recording that would take the sum of this run beyond so many seconds is not started.
        billable_unit_seconds: For the estimate of the bill: a stream counts in started units of so many seconds.
        on_progress: Called at each change, and at least once a second, in the thread that takes the outcomes.
        options: Those of `score()`, but for its callbacks. `connect_timeout` holds for each attempt to connect.

    Returns:
        The outcomes, as they come: an iterator that can be stopped and closed, and is a context manager.

    Raises:
        ConfigError: An option is wrong; nothing was drawn from `audio`.
        JournalError: The journal is in use, or can't be opened.
    """
    # Error trackers show the local variables of an error's frames.
    token = hide(token)
    if "proxy" in options:
        options["proxy"] = cast(Any, hide(options["proxy"]))
    try:
        config = Config(token=token, **options).with_token()
    except ConfigError as error:
        raise error.with_traceback(None)  # noqa: B904 - the same, without the frames of `Config`
    return Batch(
        audio,
        config,
        max_workers=max_workers,
        executor=executor,
        journal=journal,
        retry_failed=retry_failed,
        stream_retries=stream_retries,
        max_audio_seconds=max_audio_seconds,
        billable_unit_seconds=billable_unit_seconds,
        on_progress=on_progress,
    )


def check_audio(audio: Union[PathLike, bytes, bytearray, memoryview, BinaryIO, Any]) -> AudioCheck:
    """Tells whether a recording is worth sending, before it is paid for. Nothing leaves the machine.

    Without the extra `check`, only the level, the format and the length are looked at: whether somebody speaks, and how
    noisy it is, only the extra can tell. 30 s of audio take 0.2 to 0.3 s of a core; under Python 3.9 and 3.15, four
    times that, unless `$OMP_THREAD_LIMIT` is 1.

    Example:
        >>> from elsa_unscripted import check_audio
        >>> found = check_audio("tests/data/wire/mono8k_u8.wav")
        >>> found.level, [finding.code for finding in found.findings]
        ('error', ['zeros'])

    Args:
        audio: A path, bytes, a binary file object, or a `pydub.AudioSegment`; not live speech.

    Returns:
        What was measured, and what is wrong. A recording that can't be read is a finding, too, and no exception.

    Raises:
        AudioError: A package that is installed can't be imported.
    """
    return checks.check(audio)
