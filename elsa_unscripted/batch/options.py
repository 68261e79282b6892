"""The options of a batch: checks them for `run`, and tells which of them change a result."""

from __future__ import annotations

import math
import os
from typing import Any, Iterable, Iterator, Mapping, Type

from ..config import Config, PathLike
from ..exceptions import ConfigError


def options_of_the_result(config: Config) -> Mapping[str, Any]:
    """Returns the options that change the result."""
    return {
        "url": config.url,
        "api_plan": config.api_plan,
        "return_json": config.return_json,
        "extra": dict(config.extra or {}),
        "sample_rate": config.sample_rate,
    }


def checked_paths(audio: Iterable[PathLike]) -> Iterator[PathLike]:
    single = isinstance(audio, (str, bytes, os.PathLike))
    check(
        not single and isinstance(audio, Iterable),
        "audio must be an iterable of paths; for one recording, or for live speech, use score()",
    )
    return iter(audio)


def check(good: bool, complaint: str) -> None:
    if not good:
        raise ConfigError(complaint)


def checked(name: str, value: Any, least: float, kind: Type[float] = float) -> Any:
    number = isinstance(value, (int, kind)) and not isinstance(value, bool) and least <= value < math.inf
    what = "whole number" if kind is int else "finite number"
    check(number, f"{name} must be a {what} of {least:g} or more, not {value!r}")
    return value
