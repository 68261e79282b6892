"""Where the exchanges of a batch run: in threads of its own, or on any `concurrent.futures.Executor`. Used by `run`.

A `Ticket` stands for one exchange. The batch's thread hands it over with `start()`, looks at it after each token in
the mailbox `wake`, and shares no lock with those who fill it in: Ctrl-C in the batch's thread could leave one locked.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Dict, Optional

from ..audio.recording import read_file, seconds_in
from ..config import Config
from ..deadline import Deadline
from ..exceptions import AudioError, ConfigError, ConnectError, ElsaError
from ..exchange.client import Client
from ..mailbox import Mailbox
from ..results.result import ScoreResult

THREADS_END = 3.0  # s beyond `close_timeout`: for exchanges that were cancelled to end


@dataclass(frozen=True)
class Done:
    """What came of one exchange: a result or an error, never both.

    Attributes:
        result: The result.
        error: The error.
        sha256: Of the bytes that were scored; `None` when they couldn't be read.
        began: Whether there was an exchange: not if the audio was unreadable.
        seconds: How long it took.
        audio_seconds: How long the recording is; `None` if no packet of it was sent.
    """

    result: Optional[ScoreResult]
    error: Optional[ElsaError]
    sha256: Optional[str]
    began: bool
    seconds: float
    audio_seconds: Optional[float]


class Ticket:
    """One exchange that was handed over.

    Attributes:
        path: The recording.
        done: What came of it, once it has ended.
        lost: Why nothing can come of it, if whoever ran it broke.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.done: Optional[Done] = None
        self.lost: Optional[BaseException] = None

    @property
    def ended(self) -> bool:
        return self.done is not None or self.lost is not None


def score_file(client: Client, path: str) -> Done:
    """Reads a recording once, and scores what was read."""
    began = time.monotonic()
    sha256: Optional[str] = None
    audio_seconds: Optional[float] = None
    result: Optional[ScoreResult] = None
    problem: Optional[ElsaError] = None
    try:
        data = read_file(path)
        sha256 = hashlib.sha256(data).hexdigest()
        result = client.score(data)
        audio_seconds = result.audio_seconds
    except AudioError as error:
        error.args = (str(error).replace("the given bytes", repr(path), 1),)
        problem = error
    except ElsaError as error:
        problem = error
        if error.audio_seconds_sent:
            audio_seconds = seconds_in(data)
    begun = not isinstance(problem, (AudioError, ConfigError))
    return Done(result, problem, sha256, begun, time.monotonic() - began, audio_seconds)


def _score_one(path: str, config: Config, ticket: str) -> Done:
    """What an executor runs, maybe on another machine.

    Args:
        path: The recording.
        config: All options, and the token.
        ticket: Different each time. Dask takes two calls with equal arguments for one, and gives both one outcome.
    """
    return score_file(_client(config), path)


@functools.lru_cache(maxsize=4)
def _client(config: Config) -> Client:
    """Kept from one recording to the next: it loads the system's certificates, which takes milliseconds."""
    return Client(config=config)


class Threads:
    """Threads of the batch's own, one for each exchange that runs.

    Not a `ThreadPoolExecutor`: its locks, and those of its futures, can be lost to Ctrl-C, and its threads then keep
    the interpreter from ending.
    """

    def __init__(self, config: Config, wake: Mailbox[None]) -> None:
        self._client = Client(config=config)
        self._close_timeout = config.close_timeout
        self._wake = wake
        self._threads: Dict[Ticket, threading.Thread] = {}

    def start(self, ticket: Ticket) -> None:
        """Begins to score.

        Raises:
            ConnectError: No thread could be started.
        """
        # A daemon: an exchange that nobody waits for any more must not keep the interpreter.
        thread = threading.Thread(target=_work, args=(self._client, ticket, self._wake), name="elsa-batch", daemon=True)
        self._threads[ticket] = thread
        try:
            thread.start()
        except RuntimeError as no_thread:
            del self._threads[ticket]
            raise ConnectError(f"no thread could be started ({no_thread}); lower max_workers") from no_thread

    def forget(self, ticket: Ticket) -> None:
        """Drops what is kept for an exchange that has ended."""
        thread = self._threads.pop(ticket, None)
        if thread is not None:
            thread.join(THREADS_END)  # it has nothing left to do

    def close(self) -> None:
        """Cancels the exchanges, and waits for the threads to end."""
        self._client.close()
        deadline = Deadline(self._close_timeout + THREADS_END)
        for thread in list(self._threads.values()):
            # It is this one where the garbage collector closes a batch, and happens to run in one of its threads.
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(deadline.remaining())


def _work(client: Client, ticket: Ticket, wake: Mailbox[None]) -> None:
    try:
        ticket.done = score_file(client, ticket.path)
    except BaseException as error:  # noqa: BLE001 - told to the batch, whatever it is
        ticket.lost = error
    wake.put(None)


class Crew:
    """Somebody else's executor: it is never shut down here."""

    def __init__(self, executor: Executor, config: Config, wake: Mailbox[None]) -> None:
        self._executor = executor
        self._config = config
        self._wake = wake
        self._name = f"{time.time_ns():x}"
        self._count = 0
        self._futures: Dict[Ticket, Future[Done]] = {}

    def start(self, ticket: Ticket) -> None:
        """Hands an exchange over.

        Raises:
            RuntimeError: The executor is broken or was shut down. Others may raise what they like.
        """
        self._count += 1
        future = self._executor.submit(_score_one, ticket.path, self._config, f"{self._name}-{self._count}")
        self._futures[ticket] = future
        future.add_done_callback(functools.partial(_deliver, ticket, self._wake))

    def forget(self, ticket: Ticket) -> None:
        """Drops what is kept for an exchange that has ended."""
        self._futures.pop(ticket, None)

    def close(self) -> None:
        """Cancels what has not begun. What runs is left alone, and ends by itself."""
        for future in list(self._futures.values()):
            with contextlib.suppress(Exception):  # it may be broken, or have ended
                future.cancel()


def _deliver(ticket: Ticket, wake: Mailbox[None], future: Future[Done]) -> None:
    """Runs in some thread of the executor."""
    try:
        ticket.done = future.result(0)
    except BaseException as error:  # noqa: BLE001 - told to the batch, whatever it is: a Ctrl-C there is none here
        ticket.lost = error
    wake.put(None)
