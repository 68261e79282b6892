"""A client for ELSA's unscripted speech assessment: one call, `score(path, token)`, that always ends.

It streams a recording over a WebSocket as the vendor's sample script does, and returns the verdict or raises an
`ElsaError`. `elsa_unscripted.sandbox` is a local server to test against.

Each name is imported when it is first used. So the command line starts, and can handle Ctrl-C, at once.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from .imports import importing
from .version import __version__

if TYPE_CHECKING:
    from .api import check_audio, score, score_many
    from .audio.check import AudioCheck, Finding
    from .audio.live import LiveAudio
    from .audio.microphone import Microphone
    from .audio.portaudio import InputDevice
    from .batch import Batch, BatchProgress, Outcome
    from .config import Config, Options
    from .exceptions import (
        AudioError,
        AuthenticationError,
        BadQualityError,
        BudgetError,
        ConfigError,
        ConnectError,
        ElsaError,
        JournalError,
        ProtocolError,
        RateLimitedError,
        ScoreCancelledError,
        ScoreTimeoutError,
        ScoringFailedError,
        StreamClosedError,
    )
    from .exchange.callbacks import OnProgress, OnStatus
    from .exchange.client import AudioSource, Client
    from .exchange.stream import LiveStream
    from .results.assessment import (
        Assessment,
        Equivalents,
        Example,
        Feedback,
        GrammarSuggestion,
        LowLevelWord,
        Metrics,
        Phoneme,
        PhonemeError,
        Scores,
        Speaker,
        TopError,
        Utterance,
        Word,
        WordStress,
        WordSuggestion,
    )
    from .results.result import ScoreResult, Timings
    from .results.score import Score
    from .wire.messages import Status

__all__ = [  # noqa: RUF022 - grouped by where they come from
    # .api
    "check_audio",
    "score",
    "score_many",
    # .audio.check
    "AudioCheck",
    "Finding",
    # .audio.live
    "LiveAudio",
    # .audio.microphone
    "Microphone",
    # .audio.portaudio
    "InputDevice",
    # .batch
    "Batch",
    "BatchProgress",
    "Outcome",
    # .exchange.client
    "AudioSource",
    "Client",
    # .exchange.callbacks
    "OnProgress",
    "OnStatus",
    # .exchange.stream
    "LiveStream",
    # .config
    "Config",
    "Options",
    # .exceptions
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
    # .results.assessment
    "Assessment",
    "Equivalents",
    "Example",
    "Feedback",
    "GrammarSuggestion",
    "LowLevelWord",
    "Metrics",
    "Phoneme",
    "PhonemeError",
    "Scores",
    "Speaker",
    "TopError",
    "Utterance",
    "Word",
    "WordStress",
    "WordSuggestion",
    # .results.result
    "ScoreResult",
    "Timings",
    # .results.score
    "Score",
    # .wire.messages
    "Status",
    # .version
    "__version__",
]

_HOMES = {
    **dict.fromkeys(["check_audio", "score", "score_many"], "api"),
    **dict.fromkeys(["Batch", "BatchProgress", "Outcome"], "batch"),
    **dict.fromkeys(["AudioCheck", "Finding"], "audio.check"),
    "LiveAudio": "audio.live",
    "Microphone": "audio.microphone",
    "InputDevice": "audio.portaudio",
    **dict.fromkeys(["AudioSource", "Client"], "exchange.client"),
    **dict.fromkeys(["OnProgress", "OnStatus"], "exchange.callbacks"),
    "LiveStream": "exchange.stream",
    **dict.fromkeys(["Config", "Options"], "config"),
    **dict.fromkeys(
        [
            *("Assessment", "Equivalents", "Example", "Feedback", "GrammarSuggestion", "LowLevelWord", "Metrics"),
            *("Phoneme", "PhonemeError", "Scores", "Speaker", "TopError", "Utterance", "Word"),
            *("WordStress", "WordSuggestion"),
        ],
        "results.assessment",
    ),
    **dict.fromkeys(["ScoreResult", "Timings"], "results.result"),
    "Score": "results.score",
    "Status": "wire.messages",
}

logging.getLogger("elsa_unscripted").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importing(lambda: importlib.import_module(f".{_HOMES.get(name, 'exceptions')}", __name__))
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
