"""What a tape is: JSON Lines, one block for each exchange. Writes them; `reading` reads them, `README.md` of the room
documents them.

A block is one `begin` line, one line for each message of the server, and one `end` line. Blocks are whole in
themselves, so tapes that are joined are a tape. Beside the blocks there are `fetched` lines, with what links led to.
"""

from __future__ import annotations

import base64
import json
import os
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
        end = size
        try:
            while rest:
                written = file.write(rest) or 0
                end, rest = end + written, rest[written:]
        except OSError:
            # A disk is full: half a block would make the whole file no tape.
            if end > size and file.seek(0, os.SEEK_END) == end:
                file.truncate(size)
            raise


def _moment(line: Said | End) -> dict[str, Any]:
    cause = line.cause
    audio = {"frames": cause.frames, "sha256": cause.sha256} if cause.after == AUDIO else {}
    return {"after": cause.after, **audio, "at": round(line.at, 6), "delay": round(line.delay, 6)}


def _spell(kind: str, data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass") if kind == TEXT else base64.b64encode(data).decode()


def _body(body: bytes | None) -> dict[str, Any]:
    try:
        return {"body": body if body is None else body.decode()}
    except UnicodeDecodeError:
        return {"base64": _spell(RAW, body or b"")}
