"""`Entry`: what a line of a journal says of a finished recording. From JSON for `file`, to JSON for `batch.job`.

The object's keys, in this order: `v` (1), `sha256`, `options`, `outcome`, maybe `same_as` or `renamed_from`, `path`,
maybe `columns`, `time`, `audio_seconds`, `audio_seconds_sent`, `attempts`, `seconds`, `timings`, `stream_id`,
`warnings`, `client`; of a result `sample_rate`, `channels`, `sample_width`, `statuses`; and last `result` or `error`.
The token is in none of them.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Union

from .. import exceptions
from ..exceptions import ElsaError, JournalError
from ..files import readable
from ..log import logger
from ..results.result import ScoreResult, Timings
from ..results.saved import has_its_type, is_count, is_seconds
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
        sha256: Of the file's bytes, 64 hexadecimal digits; `None` if nothing was learned of them: the file isn't there
            or can't be read, it was over budget, or the server turned it away.
        options: Those of the exchange that change the result: `url`, `api_plan`, `return_json`, `extra`, `sample_rate`.
        outcome: `"success"` or `"error"`.
        time: When it was finished, UTC: `2026-11-22T11:02:42.123Z`.
        audio_seconds: How long the recording is; `None` if that never became known.
        attempts: Exchanges that were begun for it in the run that wrote the line.
        seconds: How long they took together.
        result: The result of a success; else `None`.
        error: The error of a failure; else `None`.
        raw: The whole object of the line.
        columns: What the list that named the recording says of it: names of columns → cells.
        same_as: The path of another recording of the same content, whose exchange this line tells.
        renamed_from: The path that the recording had in an earlier run.
    """

    path: str
    sha256: Optional[str]
    options: Mapping[str, Any]
    outcome: str
    time: str
    audio_seconds: Optional[float]
    attempts: int
    seconds: float
    result: Optional[ScoreResult] = field(repr=False)
    error: Optional[ElsaError] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)
    columns: Mapping[str, str] = field(default_factory=dict)
    same_as: Optional[str] = None
    renamed_from: Optional[str] = None


def to_raw(
    path: str,
    sha256: Optional[str],
    options: Mapping[str, Any],
    conclusion: Union[ScoreResult, ElsaError],
    *,
    attempts: int,
    seconds: float,
    audio_seconds: Optional[float] = None,
    columns: Optional[Mapping[str, str]] = None,
    kin: Optional[Mapping[str, str]] = None,
) -> Dict[str, Any]:
    """Returns the object that a line consists of.

    Args:
        path: Of the recording, as it was given.
        sha256: Of its bytes; `None` if nothing was learned of them: then the next run tries the recording anew.
        options: Those that change the result.
        conclusion: The result, or the error.
        attempts: Exchanges that were begun for it.
        seconds: How long they took together.
        audio_seconds: How long it is, where that is known.
        columns: What a list says of it.
        kin: `same_as` or `renamed_from`: the recording of the same content that the journal had before.
    """
    result = conclusion if isinstance(conclusion, ScoreResult) else None
    return {
        "v": VERSION,
        "sha256": sha256,
        "options": dict(options),
        "outcome": ERROR if result is None else SUCCESS,
        **(kin or {}),
        "path": readable(path),
        **({"columns": dict(columns)} if columns else {}),
        "time": _now(),
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


class Who(NamedTuple):
    """Whose recording a line is about: a path, and the name beside it in a list. Two pupils may have made one together.

    Attributes:
        path: Of the recording.
        name: `""` if no list names it.
    """

    path: str
    name: str = ""


_NAMES = ("name", "full name", "pupil", "student", "learner", "candidate")
_PARTS = (("first name", "last name"), ("first name", "surname"), ("given name", "family name"))


def name_in(columns: Mapping[str, str]) -> str:
    """Returns the name that a list's row has, in whichever column lists usually have it; `""` if there is none."""
    cells = {column.strip().casefold().replace("_", " "): cell.strip() for column, cell in columns.items()}
    for column in _NAMES:
        if cells.get(column):
            return cells[column]
    for parts in _PARTS:
        if all(cells.get(part) for part in parts):
            return " ".join(cells[part] for part in parts)
    return ""


def who(raw: Mapping[str, Any]) -> Who:
    """Returns whose recording the object of a line is about."""
    return Who(raw["path"], name_in(raw.get("columns", {})))


def copied(
    raw: Mapping[str, Any], path: str, kin: Mapping[str, str], columns: Optional[Mapping[str, str]] = None
) -> Dict[str, Any]:
    """Returns the object of a line for another path of the same content, for which nothing was sent.

    Args:
        raw: The line that tells the exchange.
        path: Of the other recording.
        kin: `same_as` or `renamed_from`, and the path of the recording that the journal had before.
        columns: What a list says of the other recording.
    """
    rest = {key: value for key, value in raw.items() if key not in _OF_PATH}
    error = rest.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        rest["error"] = {**error, "message": error["message"].replace(repr(raw["path"]), repr(path))}
    return {
        **{key: raw[key] for key in ("v", "sha256", "options", "outcome")},
        **kin,
        "path": readable(path),
        **({"columns": dict(columns)} if columns else {}),
        "time": _now(),
        **rest,
        "attempts": 0,
        "seconds": 0.0,
    }


_OF_PATH = ("v", "sha256", "options", "outcome", "same_as", "renamed_from", "path", "columns", "time")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(line: bytes, name: str, *, warn: bool = True) -> Optional[Dict[str, Any]]:
    """Returns the object that a line consists of; `None` if the line is torn, or isn't ours.

    A fact that isn't needed and has another type than we write is left out of the object: somebody has edited the line.

    Args:
        line: As it stands in the file.
        name: What messages call the journal.
        warn: Whether to log a warning when it returns `None`, or leaves something out.

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
        strange = [*_drop_strange(raw, _FACTS), *_drop_strange(raw.get("error", {}), _FACTS_OF_ERROR)]
        if strange and warn:
            logger.warning(
                "a line of the journal %s was edited or damaged: passing over its %s", name, ", ".join(strange)
            )
        return raw
    if warn:
        logger.warning(
            "passing over a line of the journal %s that is torn, damaged or strange, of %d bytes", name, len(line)
        )
    return None


def _is_entry(raw: Mapping[str, Any]) -> bool:
    sha256, outcome = raw.get("sha256"), raw.get("outcome")
    return (
        raw.get("v") == VERSION
        and (_is_digest(sha256) or (sha256 is None and outcome == ERROR))
        and isinstance(raw.get("path"), str)
        and isinstance(raw.get("options"), dict)
        and outcome in (SUCCESS, ERROR)
        and isinstance(raw.get("result" if outcome == SUCCESS else "error"), dict)
    )


def _is_digest(sha256: object) -> bool:
    return isinstance(sha256, str) and len(sha256) == DIGITS and not sha256.strip("0123456789abcdef")


def _drop_strange(raw: Dict[str, Any], known: Mapping[str, Callable[[Any], bool]]) -> List[str]:
    """Takes out what has another type than we write; returns the names."""
    strange = [name for name, value in raw.items() if name in known and not known[name](value)]
    for name in strange:
        del raw[name]
    return strange


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


def _as_saved(*names: str) -> Dict[str, Callable[[Any], bool]]:
    return {name: functools.partial(has_its_type, name) for name in names}


# What a line may say beside what `_is_entry()` asks for.
_FACTS: Mapping[str, Callable[[Any], bool]] = {
    **_as_saved("audio_seconds_sent", "timings", "stream_id", "warnings", "client", "statuses"),
    **_as_saved("ended_by", "sample_rate", "channels", "sample_width"),
    **dict.fromkeys(("same_as", "renamed_from", "time"), _is_text),
    "columns": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "audio_seconds": _or_none(is_seconds),
    "attempts": is_count,
    "seconds": is_seconds,
}
_FACTS_OF_ERROR: Mapping[str, Callable[[Any], bool]] = {
    **_as_saved("audio_seconds_sent", "stream_id", "statuses"),
    **dict.fromkeys(("type", "message"), _is_text),
    **dict.fromkeys(("phase", "reason", "last_message", "body"), _or_none(_is_text)),
    **dict.fromkeys(("audio_seconds", "retry_after"), _or_none(is_seconds)),
    **dict.fromkeys(("code", "status_code"), _or_none(is_count)),
    **dict.fromkeys(("possibly_billed", "missing", "retryable"), lambda value: isinstance(value, bool)),
}


def to_entry(raw: Mapping[str, Any]) -> Entry:
    """Returns the entry of an object that `parse()` has read."""
    good = raw["outcome"] == SUCCESS
    return Entry(
        path=raw["path"],
        sha256=raw["sha256"],
        options=raw["options"],
        outcome=raw["outcome"],
        time=raw.get("time", ""),
        audio_seconds=raw.get("audio_seconds"),
        attempts=raw.get("attempts", 0),
        seconds=raw.get("seconds", 0.0),
        result=_result(raw) if good else None,
        error=None if good else _error(raw["error"]),
        raw=raw,
        columns=raw.get("columns", {}),
        same_as=raw.get("same_as"),
        renamed_from=raw.get("renamed_from"),
    )


@dataclass(frozen=True)
class Line:
    """A line of a journal, checked. It keeps the text, which takes less memory: ten thousand lines may be a gigabyte.

    Attributes:
        good: Whether it has a result and no error.
        new: Whether it was written since the journal was opened.
        who: Whose recording it is about.
        text: The line as it stands in the file.
        name: What the journal is called.
        begin: Where in the file it begins, in bytes.
    """

    good: bool
    new: bool
    who: Who
    text: bytes
    name: str
    begin: int

    def entry(self) -> Entry:
        """Returns what the line says."""
        return to_entry(self.raw())

    def raw(self) -> Mapping[str, Any]:
        """Returns the object that the line consists of."""
        raw = parse(self.text, self.name, warn=False)
        assert raw is not None
        return raw


def _facts(result: ScoreResult) -> Dict[str, Any]:
    return {
        "ended_by": result.ended_by,
        "sample_rate": result.sample_rate,
        "channels": result.channels,
        "sample_width": result.sample_width,
        "statuses": [dict(status) for status in result.statuses[:-1]],  # the last one is `result`
        "result": dict(result.raw),
    }


def _facts_of_error(error: ElsaError) -> Dict[str, Any]:
    facts = {name: value for name, value in vars(error).items() if value is not None and not name.startswith("_")}
    statuses = [dict(status) for status in error.statuses]
    told = {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
    return {**told, **facts, "statuses": statuses}


def _result(raw: Mapping[str, Any]) -> ScoreResult:
    timings, plan = raw.get("timings", {}), raw["options"].get("api_plan")
    return ScoreResult(
        raw=raw["result"],
        stream_id=raw.get("stream_id"),
        statuses=(*raw.get("statuses", ()), raw["result"]),
        timings=Timings(**{name: timings.get(name) for name in Timings.__dataclass_fields__}),
        audio_seconds=raw.get("audio_seconds") or 0.0,
        audio_seconds_sent=raw.get("audio_seconds_sent", 0.0),
        ended_by=raw.get("ended_by"),
        sample_rate=raw.get("sample_rate"),
        channels=raw.get("channels"),
        sample_width=raw.get("sample_width"),
        api_plan=plan if isinstance(plan, str) else None,
        warnings=tuple(raw.get("warnings", ())),
        client=raw.get("client", ""),
    )


def _error(facts: Mapping[str, Any]) -> ElsaError:
    kind = facts.get("type")
    known = kind in exceptions.__all__
    error: ElsaError = (getattr(exceptions, str(kind)) if known else ElsaError)(facts.get("message", ""))
    vars(error).update({name: facts[name] for name in vars(error) if name in facts})
    error.statuses = tuple(facts.get("statuses", ()))
    error._was_retryable = facts.get("retryable")
    return error
