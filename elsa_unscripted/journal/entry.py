"""`Entry`: what a line of a journal says of a finished recording. From JSON for `file`, to JSON for `batch.job`.

The object's keys, in this order: `v` (1), `sha256`, `options`, `outcome`, `path`, `time`, `audio_seconds`,
`audio_seconds_sent`, `attempts`, `seconds`, `timings`, `stream_id`, `warnings`, `client`; of a result
`sample_rate`, `channels`, `sample_width`, `statuses`; and last `result` or `error`. The token is in none of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from .. import exceptions
from ..exceptions import ElsaError, JournalError
from ..log import logger
from ..results.result import ScoreResult, Timings
from ..signals import raised_by_handler
from ..strict_json import loads
from ..version import __version__

VERSION = 1
SUCCESS, ERROR = "success", "error"
DIGITS = 64  # hexadecimal, of a SHA-256


@dataclass(frozen=True)
class Entry:
    """What a line of a journal says of a recording that was finished.

    Attributes:
        path: Of the recording, as it was given.
        sha256: Of the file's bytes, 64 hexadecimal digits.
        options: Those of the exchange that change the result: `url`, `api_plan`, `return_json`, `extra`, `sample_rate`.
        outcome: `"success"` or `"error"`.
        time: When it was finished, UTC: `2026-11-22T11:02:42.123Z`.
        audio_seconds: How long the recording is; `None` if that never became known.
        attempts: Exchanges that were begun for it in the run that wrote the line.
        seconds: How long they took together.
        result: The result of a success; else `None`.
        error: The error of a failure; else `None`.
        raw: The whole object of the line.
    """

    path: str
    sha256: str
    options: Mapping[str, Any]
    outcome: str
    time: str
    audio_seconds: Optional[float]
    attempts: int
    seconds: float
    result: Optional[ScoreResult] = field(repr=False)
    error: Optional[ElsaError] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)


def to_raw(
    path: str,
    sha256: str,
    options: Mapping[str, Any],
    conclusion: Union[ScoreResult, ElsaError],
    *,
    attempts: int,
    seconds: float,
    audio_seconds: Optional[float] = None,
) -> Dict[str, Any]:
    """Returns the object that a line consists of.

    Args:
        path: Of the recording, as it was given.
        sha256: Of its bytes.
        options: Those that change the result.
        conclusion: The result, or the error.
        attempts: Exchanges that were begun for it.
        seconds: How long they took together.
        audio_seconds: How long it is, where that is known.
    """
    result = conclusion if isinstance(conclusion, ScoreResult) else None
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return {
        "v": VERSION,
        "sha256": sha256,
        "options": dict(options),
        "outcome": ERROR if result is None else SUCCESS,
        "path": path,
        "time": now.replace("+00:00", "Z"),
        "audio_seconds": audio_seconds,
        "audio_seconds_sent": conclusion.audio_seconds_sent,
        "attempts": attempts,
        "seconds": round(seconds, 3),
        "timings": {} if result is None else asdict(result.timings),
        "stream_id": conclusion.stream_id,
        "warnings": [] if result is None else list(result.warnings),
        "client": f"elsa_unscripted {__version__}",
        **(_facts(conclusion) if isinstance(conclusion, ScoreResult) else {"error": _facts_of_error(conclusion)}),
    }


def parse(line: bytes, name: str, *, warn: bool = True) -> Optional[Dict[str, Any]]:
    """Returns the object that a line consists of; `None` if the line is torn, or isn't ours.

    Args:
        line: As it stands in the file.
        name: What messages call the journal.
        warn: Whether to log a warning when it returns `None`.

    Raises:
        JournalError: A later version of the package has written the line.
    """
    try:
        raw = loads(line)
    except (ValueError, RecursionError) as error:
        if raised_by_handler(error):
            raise
        raw = None
    if isinstance(raw, dict) and isinstance(raw.get("v"), int) and raw["v"] > VERSION:
        raise JournalError(f"the journal {name} is of version {raw['v']}: read it with a later elsa_unscripted")
    if isinstance(raw, dict) and _is_entry(raw):
        return raw
    if warn:
        logger.warning("passing over a line of the journal %s that is torn or strange, of %d bytes", name, len(line))
    return None


def _is_entry(raw: Mapping[str, Any]) -> bool:
    sha256, outcome = raw.get("sha256"), raw.get("outcome")
    return (
        raw.get("v") == VERSION
        and isinstance(sha256, str)
        and len(sha256) == DIGITS
        and not sha256.strip("0123456789abcdef")
        and isinstance(raw.get("path"), str)
        and isinstance(raw.get("options"), dict)
        and outcome in (SUCCESS, ERROR)
        and isinstance(raw.get("result" if outcome == SUCCESS else "error"), dict)
    )


def to_entry(raw: Mapping[str, Any]) -> Entry:
    """Returns the entry of an object that `parse()` has read."""
    good = raw["outcome"] == SUCCESS
    return Entry(
        path=raw["path"],
        sha256=raw["sha256"],
        options=raw["options"],
        outcome=raw["outcome"],
        time=str(raw.get("time", "")),
        audio_seconds=_number(raw.get("audio_seconds")),
        attempts=raw["attempts"] if isinstance(raw.get("attempts"), int) else 0,
        seconds=_number(raw.get("seconds")) or 0.0,
        result=_result(raw) if good else None,
        error=None if good else _error(raw["error"]),
        raw=raw,
    )


def _facts(result: ScoreResult) -> Dict[str, Any]:
    return {
        "sample_rate": result.sample_rate,
        "channels": result.channels,
        "sample_width": result.sample_width,
        "statuses": [dict(status) for status in result.statuses[:-1]],  # the last one is `result`
        "result": dict(result.raw),
    }


def _facts_of_error(error: ElsaError) -> Dict[str, Any]:
    facts = {name: value for name, value in vars(error).items() if value is not None and not name.startswith("_")}
    statuses = [dict(status) for status in error.statuses]
    return {"type": type(error).__name__, "message": str(error), **facts, "statuses": statuses}


def _number(value: object) -> Optional[float]:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _result(raw: Mapping[str, Any]) -> ScoreResult:
    timings, warnings = raw.get("timings"), raw.get("warnings")
    known = timings if isinstance(timings, dict) else {}
    return ScoreResult(
        raw=raw["result"],
        stream_id=raw.get("stream_id"),
        statuses=(*_statuses(raw), raw["result"]),
        timings=Timings(**{name: known.get(name) for name in Timings.__dataclass_fields__}),
        audio_seconds=_number(raw.get("audio_seconds")) or 0.0,
        audio_seconds_sent=_number(raw.get("audio_seconds_sent")) or 0.0,
        sample_rate=raw.get("sample_rate"),
        channels=raw.get("channels"),
        sample_width=raw.get("sample_width"),
        api_plan=raw["options"].get("api_plan"),
        warnings=tuple(warnings) if isinstance(warnings, list) else (),
        client=str(raw.get("client", "")),
    )


def _error(facts: Mapping[str, Any]) -> ElsaError:
    kind = facts.get("type")
    known = isinstance(kind, str) and kind in exceptions.__all__
    error: ElsaError = (getattr(exceptions, str(kind)) if known else ElsaError)(str(facts.get("message", "")))
    vars(error).update({name: facts[name] for name in vars(error) if name in facts})
    error.statuses = _statuses(facts)
    return error


def _statuses(raw: Mapping[str, Any]) -> Tuple[Mapping[str, Any], ...]:
    statuses = raw.get("statuses")
    return tuple(each for each in statuses if isinstance(each, dict)) if isinstance(statuses, list) else ()
