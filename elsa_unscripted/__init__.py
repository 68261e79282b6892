"""A client for ELSA's unscripted speech assessment: one call, `score(path, token)`, that always ends.

It streams a recording over a WebSocket as the vendor's sample script does, and returns the verdict or raises an
`ElsaError`. `elsa_unscripted.sandbox` is a local server to test against.
"""

import logging

from .api import score
from .client import Client
from .config import Config
from .exceptions import (
    AudioError,
    AuthenticationError,
    BadQualityError,
    ConfigError,
    ConnectError,
    ElsaError,
    ProtocolError,
    RateLimitedError,
    ScoreCancelledError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)
from .result import ScoreResult
from .version import __version__

__all__ = [
    # .api
    "score",
    # .client
    "Client",
    # .config
    "Config",
    # .exceptions
    "AudioError",
    "AuthenticationError",
    "BadQualityError",
    "ConfigError",
    "ConnectError",
    "ElsaError",
    "ProtocolError",
    "RateLimitedError",
    "ScoreCancelledError",
    "ScoreTimeoutError",
    "ScoringFailedError",
    "StreamClosedError",
    # .result
    "ScoreResult",
    # .version
    "__version__",
]

logging.getLogger("elsa_unscripted").addHandler(logging.NullHandler())
