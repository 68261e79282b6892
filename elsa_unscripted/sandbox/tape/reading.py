"""`read()`: what is on a tape, checked line by line; used by `player`, and by `recorder` before it adds to a tape.

What passes these checks can be replayed: a mistake in a tape that was written by hand is told here, with its line, and
not amid a test.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from .answer import LEFT_OUT
from .format import (
    AUDIO,
    BINARY,
    CAUSES,
    CLIENT,
    CLOSE,
    CUT,
    ENDS,
    RAW,
    REFUSED,
    RESET,
    TEXT,
    VERSION,
    Cause,
    End,
    Fetched,
    Said,
    Taped,
    TapeError,
)
from .frames import close_frame, is_close

_SHA256 = re.compile("[0-9a-f]{64}")
_FIRST_BYTES = b'{"v": '  # of the lines that a recorder writes first
_HEADER_NAME = re.compile(r"[!#-'*+.^`|~\w-]+", re.ASCII)


def read(path: str | os.PathLike[str]) -> tuple[list[Taped], list[Fetched]]:
    """Returns all that is on a tape, in its order.

    Raises:
        TapeError: It is no tape, or of another version; the message names the line.
        OSError: It can't be read.
    """
    exchanges: list[Taped] = []
    fetched: list[Fetched] = []
    begun: dict[str, Any] | None = None
    begun_at = 0  # the number of its line
    said: list[Said] = []
    # At line feeds alone: text may hold what `splitlines()` takes for an end of line.
    for number, text in enumerate(Path(path).read_bytes().rstrip().split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            try:
                line = _parse(text)
            except ValueError as error:
                if begun is None and text[: len(_FIRST_BYTES)] != _FIRST_BYTES[: len(text)]:
                    raise  # no recorder has written this line, nor a part of it
                raise ValueError(f"{error}; {_torn(begun_at if begun else number, number)}") from None
            if begun is not None and ("begin" in line or "fetched" in line):
                why = f"the exchange of line {begun_at} has no end line before it"
                raise ValueError(f"{why}; {_torn(begun_at, number - 1)}")
            if "fetched" in line:
                fetched.append(_read_fetched(line))
            elif begun is not None and "end" in line:
                exchanges.append(_taped(begun, said, _read_end(line, begun["frames"])))
                begun = None
            elif begun is not None:
                said.append(_read_said(line, begun["frames"]))
            else:
                begun, begun_at, said = _read_begin(line), number, []
        except (KeyError, TypeError, ValueError) as error:
            why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise TapeError(f"{os.fspath(path)!r} is not a tape: line {number}: {why}") from None
    if begun is not None:
        why = f"that of line {begun_at} lacks its end line"
        raise TapeError(f"{os.fspath(path)!r} ends amid an exchange: {why}; {_torn(begun_at, number)}")
    return exchanges, fetched


def _torn(first: int, last: int) -> str:
    """Returns what to do about half a block."""
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    return f"if its recorder was killed here, delete {lines}"


def _parse(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text, object_pairs_hook=_object)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        line = None
    if not isinstance(line, dict):
        raise ValueError("it is not a JSON object")
    return line


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is there twice")
        found[key] = value
    return found


def _read_begin(line: dict[str, Any]) -> dict[str, Any]:
    if "begin" not in line:
        raise ValueError("an exchange must begin here, with a begin line")
    _check_version(line)
    _check_keys(line, "v begin config format frames seconds sha256 steps whole", "pcm")
    if line["begin"] != "exchange":
        raise ValueError('"begin" must be "exchange"')
    layout = line["format"]
    if layout is not None and not (
        isinstance(layout, list) and len(layout) == 3 and all(type(part) is int and part > 0 for part in layout)
    ):
        raise ValueError('"format" must be sample rate, channels and bytes in a sample, or null')
    frames = _natural(line, "frames")
    if frames and layout is None:
        raise ValueError('"format" must not be null where there are frames')
    sha256 = _sha256(line, frames)
    _seconds(line, "seconds")
    _typed(line, "whole", bool)
    steps = line["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise ValueError('"steps" must be a list of strings')
    if "pcm" in line:
        line["pcm"] = _bytes(line, "pcm")
        size = frames * layout[1] * layout[2] if layout else 0
        if frames and hashlib.sha256(line["pcm"][:size]).hexdigest() != sha256:
            raise ValueError('"sha256" is not that of "pcm"')
    return line


def _taped(begun: dict[str, Any], said: list[Said], end: End) -> Taped:
    layout = begun["format"]
    return Taped(
        begun["config"],
        (layout[0], layout[1], layout[2]) if layout else None,
        begun["frames"],
        begun["sha256"],
        tuple(begun["steps"]),
        begun["whole"],
        tuple(said),
        end,
        begun.get("pcm"),
    )


def _read_said(line: dict[str, Any], frames: int) -> Said:
    kind = next((each for each in (TEXT, BINARY, RAW) if each in line), None)
    if kind is None:
        raise ValueError("neither a message nor an end")
    _check_keys(line, f"{kind} after at delay", "frames sha256")
    data = _text(line, TEXT).encode() if kind == TEXT else _bytes(line, kind)
    return Said(kind, data, *_read_moment(line, frames))


def _read_end(line: dict[str, Any], frames: int) -> End:
    how, moment = line["end"], _read_moment(line, frames)
    if how not in ENDS:
        raise ValueError(f'"end" must be one of {", ".join(ENDS)}')
    common = "end after at delay"
    if how == CLOSE:
        _check_keys(line, f"{common} code reason", "frames sha256")
        code = line["code"] if line["code"] is None else _natural(line, "code")
        reason = _text(line, "reason")
        if code is None and reason:
            raise ValueError('"reason" must be empty where "code" is null')
        if len(reason.encode()) > 123:
            raise ValueError('"reason" must have at most 123 bytes (RFC 6455, 5.5)')
        if code is not None and (code >= 2**16 or not is_close(close_frame(code, reason)[2:])):
            raise ValueError(f'"code" {code} never goes over the wire (RFC 6455, 7.4)')
        return End(how, *moment, code=code, reason=reason)
    if how == CLIENT:
        _check_keys(line, f"{common} unread", "frames sha256")
        return End(how, *moment, unread=_typed(line, "unread", bool))
    if how != REFUSED:
        _check_keys(line, common, "frames sha256")
        return End(how, *moment)
    if line["status"] is None:
        _check_keys(line, f"{common} status raw then")
        if line["then"] not in (CUT, RESET, CLIENT):
            raise ValueError(f'"then" must be one of {CUT}, {RESET}, {CLIENT}')
        return End(how, *moment, body=_bytes(line, RAW), then=line["then"])
    _check_keys(line, f"{common} status headers", "body base64")
    status = _natural(line, "status")
    if not 200 <= status < 600:
        raise ValueError('"status" must be one of HTTP, from 200 to 599')
    return End(how, *moment, status=status, headers=_read_headers(line["headers"]), body=_read_body(line) or b"")


def _read_headers(headers: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(headers, list) or not all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(part, str) for part in each) for each in headers
    ):
        raise ValueError('"headers" must be a list of pairs of strings')
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name) or re.search("[\r\n\0\ud800-\udfff]", value):
            raise ValueError(f'the header {name!r} in "headers" is none of HTTP')
        if name.lower() in LEFT_OUT:
            raise ValueError(f'the header {name!r} does not belong in "headers": it is a secret, or "body" tells it')
    return tuple((name, value) for name, value in headers)


def _read_fetched(line: dict[str, Any]) -> Fetched:
    _check_version(line)
    _check_keys(line, "v fetched status type", "body base64")
    status = _natural(line, "status")
    return Fetched(_text(line, "fetched"), status, _text(line, "type"), _read_body(line))


def _read_body(line: dict[str, Any]) -> bytes | None:
    if ("body" in line) == ("base64" in line):
        raise ValueError('either "body" or "base64" is needed')
    if "base64" in line:
        return _bytes(line, "base64")
    return None if line["body"] is None else _text(line, "body").encode()


def _read_moment(line: dict[str, Any], most: int) -> tuple[Cause, float, float]:
    """Returns what a line followed, and its times; `most` is how many frames the exchange has."""
    after = line["after"]
    if after not in CAUSES:
        raise ValueError(f'"after" must be one of {", ".join(CAUSES)}')
    if after == AUDIO:
        frames = _natural(line, "frames")
        if frames > most:
            raise ValueError(f'"frames" must be at most the {most} of the exchange')
        cause = Cause(after, frames, _sha256(line, frames))
    elif "frames" in line or "sha256" in line:
        raise ValueError('"frames" and "sha256" belong to what came after "audio"')
    else:
        cause = Cause(after)
    return cause, _seconds(line, "at"), _seconds(line, "delay")


def _check_version(line: dict[str, Any]) -> None:
    if line["v"] != VERSION or type(line["v"]) is not int:
        raise ValueError(f"it is of version {line['v']!r}; this sandbox reads version {VERSION}")


def _check_keys(line: dict[str, Any], needed: str, optional: str = "") -> None:
    for key in needed.split():
        if key not in line:
            raise KeyError(key)
    for key in line:
        if key not in f"{needed} {optional}".split():
            raise ValueError(f"{key!r} does not belong here")


def _typed(line: dict[str, Any], key: str, kind: type) -> Any:
    if not isinstance(line[key], kind):
        raise ValueError(f'"{key}" must be a {kind.__name__}')
    return line[key]


def _text(line: dict[str, Any], key: str) -> str:
    value: str = _typed(line, key, str)
    if re.search("[\ud800-\udfff]", value):
        raise ValueError(f'"{key}" has half a surrogate pair, which is no text')
    return value


def _sha256(line: dict[str, Any], frames: int) -> str:
    value: str = _typed(line, "sha256", str)
    if bool(value) != bool(frames) or (value and not _SHA256.fullmatch(value)):
        raise ValueError('"sha256" must be 64 hex digits in lower case, or empty without audio')
    return value


def _natural(line: dict[str, Any], key: str) -> int:
    value = line[key]
    if type(value) is not int or value < 0:
        raise ValueError(f'"{key}" must be a whole number, from 0')
    return value


def _seconds(line: dict[str, Any], key: str) -> float:
    value = line[key]
    if type(value) not in (int, float) or not 0 <= value < 1e9:
        raise ValueError(f'"{key}" must be seconds, from 0')
    return float(value)


def _bytes(line: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_typed(line, key, str), validate=True)
    except binascii.Error:
        raise ValueError(f'"{key}" is not base64') from None
