"""What a `crew` runs for each recording of a batch: in this process, in another, or on another machine."""

from __future__ import annotations

import functools
import hashlib
import time
from typing import Optional

from ..audio.recording import read_file, seconds_in
from ..config import Config
from ..exceptions import AudioError, ConfigError, ElsaError
from ..exchange.client import Client
from ..results.result import ScoreResult
from .ticket import Done


def score_file(client: Client, path: str) -> Done:
    """Reads a recording once, so that the hash is that of the bytes that are scored, and scores it."""
    began = time.monotonic()
    sha256: Optional[str] = None
    audio_seconds: Optional[float] = None
    result: Optional[ScoreResult] = None
    problem: Optional[ElsaError] = None
    try:
        data = read_file(path)
        sha256 = hashlib.sha256(data).hexdigest()
        result = client.score(data, name=path)
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


def score_anywhere(path: str, config: Config, call_id: str) -> Done:
    """Scores a recording wherever an executor runs it, maybe on another machine.

    Args:
        path: The recording.
        config: All options, and the token.
        call_id: Different in each call. Dask takes two calls with equal arguments for one, and runs it once.
    """
    return score_file(_client(config), path)


@functools.lru_cache(maxsize=4)
def _client(config: Config) -> Client:
    """Returns one client for equal options: each loads the system's certificates, which takes milliseconds."""
    return Client(config=config)
