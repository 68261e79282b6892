"""The file of a saved result: writes it; reads it, and checks its types. For `ScoreResult.save()` and `load()`."""

from __future__ import annotations

import errno
import os
from typing import Any, Collection, Dict, Mapping, Union

from ..files import holds_no_text, read_text, replacing
from ..signals import raised_by_handler
from ..strict_json import dumps, loads

FILE_VERSION = 1

LONGEST_TIME = 1e9  # s, 32 years: a file with a longer one is damaged
LARGEST_NUMBER = 2**32  # of what is counted: the sizes in a WAV header are below it
REQUIRED_FIELDS = {"raw", "statuses", "warnings", "timings"}
ITEM_TYPES: Dict[str, type] = {"statuses": dict, "warnings": str}
FIELD_TYPES: Dict[str, type] = {
    **dict.fromkeys(("raw", "fetched"), dict),
    **dict.fromkeys(("text", "client", "stream_id", "api_plan", "ended_by"), str),
}
COUNTS = ("sample_rate", "channels", "sample_width")


def write(path: Union[str, os.PathLike[str]], content: Mapping[str, Any]) -> None:
    """Writes what `ScoreResult.to_dict()` returns.

    Raises:
        OSError: The file can't be written.
        TypeError: JSON can't hold a value; the file is left as it was.
    """
    whole = dumps(content, indent=1)
    if holds_no_text(path):
        raise FileExistsError(errno.EEXIST, "it is no saved result, and would be overwritten", os.fspath(path))
    with replacing(path) as file:
        file.write(whole.encode("ascii") + b"\n")


def read(path: Union[str, os.PathLike[str]], fields: Collection[str], timings: Collection[str]) -> Dict[str, Any]:
    """Reads the fields of a result.

    Args:
        path: The file.
        fields: The fields to return. A later version's file may have more, an earlier one's fewer.
        timings: The names in the field `timings`, likewise.

    Raises:
        OSError: The file can't be read.
        ValueError: The file holds something else.
    """
    try:
        saved = loads(read_text(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if raised_by_handler(error):
            raise
        raise ValueError(f"not a saved result: {os.fspath(path)!r} ({error})") from error
    if not isinstance(saved, dict) or "v" not in saved or not set(saved) >= REQUIRED_FIELDS:
        raise ValueError(f"not a saved result: {os.fspath(path)!r}")
    values = {name: saved[name] for name in fields if name in saved}
    if isinstance(saved["timings"], dict):
        values["timings"] = {name: saved["timings"].get(name) for name in timings}
    for name, value in values.items():
        if not has_its_type(name, value):
            raise ValueError(f"not a saved result: {os.fspath(path)!r} (its {name!r} is strange)")
    return values


def has_its_type(name: str, value: Any) -> bool:
    """Returns whether a field of a file has the type that `ScoreResult` promises for it; also asked by the journal."""
    if value is None:
        return name in (*COUNTS, "stream_id", "api_plan", "ended_by", "fetched")
    if name == "timings":
        return isinstance(value, dict) and all(item is None or is_seconds(item) for item in value.values())
    if name in ITEM_TYPES:
        return isinstance(value, list) and all(isinstance(item, ITEM_TYPES[name]) for item in value)
    if name in ("audio_seconds", "audio_seconds_sent"):
        return is_seconds(value)
    if name in COUNTS:
        return is_count(value)
    return isinstance(value, FIELD_TYPES[name])


def is_seconds(value: Any) -> bool:
    """Returns whether something is a time that can be shown and calculated with, in seconds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LONGEST_TIME


def is_count(value: Any) -> bool:
    """Returns whether something is a whole number from 0 that can be shown: Python refuses to print 5,000 digits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_NUMBER
