"""What a tape is: JSON Lines, one block for each exchange. Reads and writes them; `README.md` of the room documents it.

A block is one `begin` line, one line for each message of the server, and one `end` line. Blocks are whole in
themselves, so tapes that are joined are a tape. Beside the blocks there are `fetched` lines, with what links led to.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

VERSION = 1
STEPS_PER_SECOND = 2  # of `steps`: how often in a second of audio its prefix is hashed
STEP_DIGITS = 12  # hex digits of a step; they tell recordings apart, and prove nothing

OPEN, CONFIG, AUDIO, END = "open", "config", "audio", "end"  # what a message of the server followed
CAUSES = (OPEN, CONFIG, AUDIO, END)
TEXT, BINARY, RAW = "text", "binary", "raw"
CLOSE, CUT, RESET, CLIENT, REFUSED = "close", "cut", "reset", "client", "refused"
ENDS = (CLOSE, CUT, RESET, CLIENT, REFUSED)


class TapeError(ValueError):
    """A file is no tape, or can't be used as it was asked for."""


class Cause(NamedTuple):
    """What a server had got when it said something.

    Attributes:
        after: `open` (the handshake), `config`, `audio`, or `end` (of the stream).
        frames: Of audio heard before; 0 unless `after` is `audio`.
        sha256: Of these frames, in hex; "" unless `after` is `audio`.
    """

    after: str
    frames: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Said:
    """A message of the server: `text`, `binary`, or `raw` for bytes that are no whole and valid message.

    Attributes:
        kind: Which of these.
        data: The content; of `text`, in UTF-8.
        cause: What it followed.
        at: Seconds since the handshake's request.
        delay: Seconds since the cause.
    """

    kind: str
    data: bytes
    cause: Cause
    at: float
    delay: float


@dataclass(frozen=True)
class End:
    """How an exchange ended.

    Attributes:
        how: `close` (the server's close frame), `cut` or `reset` (TCP, by the server), `client` (it closed or left
            first), `refused` (the handshake).
        cause: What it followed.
        at: Seconds since the handshake's request.
        delay: Seconds since the cause.
        code: Of the close frame; `None` if it had none.
        reason: Of the close frame.
        unread: Whether the server had stopped reading when the client left.
        status: The HTTP status of a refusal; `None` if what came was no whole answer, and is in `body`.
        headers: Of a refusal.
        body: Of a refusal.
        then: How the connection ended after what was no whole answer: `cut`, `reset` or `client`.
    """

    how: str
    cause: Cause
    at: float
    delay: float
    code: int | None = None
    reason: str = ""
    unread: bool = False
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    then: str = CUT


@dataclass(frozen=True)
class Taped:
    """An exchange on a tape.

    Attributes:
        config: The client's first message, as JSON; `None` if none came.
        format: Sample rate in Hz, channels, bytes in a sample; `None` without audio.
        frames: Of audio.
        sha256: Of the PCM, joined; "" without audio.
        steps: The beginning of the SHA-256 of the first half second, the first second, and so on.
        whole: Whether the client came to the end of its stream.
        said: The server's messages.
        end: How it ended.
        pcm: The audio, if it was to be kept.
    """

    config: Any
    format: tuple[int, int, int] | None
    frames: int
    sha256: str
    steps: tuple[str, ...]
    whole: bool
    said: tuple[Said, ...]
    end: End
    pcm: bytes | None = field(default=None, repr=False)

    @property
    def lines(self) -> list[Said | End]:
        """What the server did, in its order."""
        return [*self.said, self.end]

    @property
    def seconds(self) -> float:
        return self.frames / self.format[0] if self.format else 0.0


class Fetched(NamedTuple):
    """What a link led to while the tape was recorded; `body` is `None` if it is not kept, as audio isn't."""

    link: str
    status: int
    content_type: str
    body: bytes | None


def write_exchange(taped: Taped) -> str:
    """Returns the block of an exchange."""
    first: dict[str, Any] = {
        "v": VERSION,
        "begin": "exchange",
        "config": taped.config,
        "format": list(taped.format) if taped.format else None,
        "frames": taped.frames,
        "seconds": round(taped.seconds, 6),
        "sha256": taped.sha256,
        "steps": list(taped.steps),
        "whole": taped.whole,
    }
    if taped.pcm is not None:
        first["pcm"] = base64.b64encode(taped.pcm).decode()
    lines = [first]
    lines += [{said.kind: _spell(said.kind, said.data), **_moment(said)} for said in taped.said]
    end = taped.end
    last: dict[str, Any] = {"end": end.how, **_moment(end)}
    if end.how == CLOSE:
        last.update(code=end.code, reason=end.reason)
    elif end.how == CLIENT:
        last.update(unread=end.unread)
    elif end.how == REFUSED and end.status is not None:
        last.update(status=end.status, headers=[list(each) for each in end.headers], **_body(end.body))
    elif end.how == REFUSED:
        last.update(status=None, raw=_spell(RAW, end.body), then=end.then)
    return "".join(json.dumps(line) + "\n" for line in [*lines, last])


def write_fetched(fetched: Fetched) -> str:
    """Returns the line of what a link led to."""
    head = {"v": VERSION, "fetched": fetched.link, "status": fetched.status, "type": fetched.content_type}
    return json.dumps({**head, **_body(fetched.body)}) + "\n"


def append(path: Path, text: str, *, anew: bool = False) -> None:
    """Writes a block at the end of a tape, at once, so that parallel recorders don't mix; `anew` empties it before.

    Raises:
        OSError: The file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w+b" if anew else "a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        missing = b"\n" if size and file.read(1) != b"\n" else b""  # an editor may have left it out
        rest = memoryview(missing + text.encode())
        while rest:
            rest = rest[file.write(rest) or 0 :]


def read(path: str | os.PathLike[str]) -> tuple[list[Taped], list[Fetched]]:
    """Returns all that is on a tape, in its order.

    Raises:
        TapeError: It is no tape, or of another version; the message names the line.
        OSError: It can't be read.
    """
    exchanges: list[Taped] = []
    fetched: list[Fetched] = []
    begun: dict[str, Any] | None = None
    said: list[Said] = []
    for number, line in _lines(path):
        try:
            if begun is None and "fetched" in line:
                fetched.append(_read_fetched(line))
            elif begun is None:
                begun, said = _read_begin(line), []
            elif "end" in line:
                exchanges.append(_taped(begun, tuple(said), _read_end(line)))
                begun = None
            else:
                said.append(_read_said(line))
        except (KeyError, TypeError, ValueError) as error:
            why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise TapeError(f"{os.fspath(path)!r} is not a tape: line {number}: {why}") from None
    if begun is not None:
        raise TapeError(f"{os.fspath(path)!r} ends amid an exchange: it lacks its end line")
    return exchanges, fetched


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    # Split at line feeds alone: text may hold what `splitlines()` takes for an end of line.
    for number, text in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise TapeError(f"{os.fspath(path)!r} is not a tape: line {number} is not a JSON object")
        yield number, line


def _read_begin(line: dict[str, Any]) -> dict[str, Any]:
    _check_version(line)
    _check_keys(line, "v begin config format frames seconds sha256 steps whole", "pcm")
    if line["begin"] != "exchange":
        raise ValueError('"begin" must be "exchange"')
    layout = line["format"]
    if layout is not None and not (
        isinstance(layout, list) and len(layout) == 3 and all(type(part) is int and part > 0 for part in layout)
    ):
        raise ValueError('"format" must be sample rate, channels and bytes in a sample, or null')
    _natural(line, "frames")
    _typed(line, "sha256", str)
    _typed(line, "whole", bool)
    steps = line["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise ValueError('"steps" must be a list of strings')
    return line


def _taped(begun: dict[str, Any], said: tuple[Said, ...], end: End) -> Taped:
    layout = begun["format"]
    return Taped(
        begun["config"],
        (layout[0], layout[1], layout[2]) if layout else None,
        begun["frames"],
        begun["sha256"],
        tuple(begun["steps"]),
        begun["whole"],
        said,
        end,
        _bytes(begun, "pcm") if "pcm" in begun else None,
    )


def _read_said(line: dict[str, Any]) -> Said:
    kind = next((each for each in (TEXT, BINARY, RAW) if each in line), None)
    if kind is None:
        raise ValueError("neither a message nor an end")
    _check_keys(line, f"{kind} after at delay", "frames sha256")
    data = _typed(line, TEXT, str).encode("utf-8", "surrogatepass") if kind == TEXT else _bytes(line, kind)
    return Said(kind, data, *_read_moment(line))


def _read_end(line: dict[str, Any]) -> End:
    how, moment = line["end"], _read_moment(line)
    if how not in ENDS:
        raise ValueError(f'"end" must be one of {", ".join(ENDS)}')
    common = "end after at delay"
    if how == CLOSE:
        _check_keys(line, f"{common} code reason", "frames sha256")
        code = line["code"] if line["code"] is None else _natural(line, "code")
        return End(how, *moment, code=code, reason=_typed(line, "reason", str))
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
    headers = line["headers"]
    if not isinstance(headers, list) or not all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(part, str) for part in each) for each in headers
    ):
        raise ValueError('"headers" must be a list of pairs of strings')
    status = _natural(line, "status")
    pairs = tuple((name, value) for name, value in headers)
    return End(how, *moment, status=status, headers=pairs, body=_read_body(line) or b"")


def _read_fetched(line: dict[str, Any]) -> Fetched:
    _check_version(line)
    _check_keys(line, "v fetched status type", "body base64")
    status = _natural(line, "status")
    return Fetched(_typed(line, "fetched", str), status, _typed(line, "type", str), _read_body(line))


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


def _moment(line: Said | End) -> dict[str, Any]:
    cause = line.cause
    audio = {"frames": cause.frames, "sha256": cause.sha256} if cause.after == AUDIO else {}
    return {"after": cause.after, **audio, "at": round(line.at, 6), "delay": round(line.delay, 6)}


def _read_moment(line: dict[str, Any]) -> tuple[Cause, float, float]:
    after = line["after"]
    if after not in CAUSES:
        raise ValueError(f'"after" must be one of {", ".join(CAUSES)}')
    if after == AUDIO:
        cause = Cause(after, _natural(line, "frames"), _typed(line, "sha256", str))
    elif "frames" in line or "sha256" in line:
        raise ValueError('"frames" and "sha256" belong to what came after "audio"')
    else:
        cause = Cause(after)
    return cause, _seconds(line, "at"), _seconds(line, "delay")


def _spell(kind: str, data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass") if kind == TEXT else base64.b64encode(data).decode()


def _bytes(line: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_typed(line, key, str), validate=True)
    except binascii.Error:
        raise ValueError(f'"{key}" is not base64') from None


def _body(body: bytes | None) -> dict[str, Any]:
    try:
        return {"body": body if body is None else body.decode()}
    except UnicodeDecodeError:
        return {"base64": _spell(RAW, body or b"")}


def _read_body(line: dict[str, Any]) -> bytes | None:
    if ("body" in line) == ("base64" in line):
        raise ValueError('either "body" or "base64" is needed')
    if "base64" in line:
        return _bytes(line, "base64")
    return None if line["body"] is None else _typed(line, "body", str).encode("utf-8", "surrogatepass")
