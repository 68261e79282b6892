"""The events of a connection as frozen dataclasses, and the JSON messages of both directions.

`transport` makes the events, those for the server's messages with `parse()`; `exchange.conversation` sends the config
and `END_STREAM`; `exchange.protocol` decides on the events. Sources of the literals: the vendor's public documentation
(D), and the frames that the vendor's reference client sends (R).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Iterator, List, Mapping, Optional, Union

from ..exceptions import ProtocolError
from ..quoting import MAX_QUOTED, cut, quoted
from ..signals import raised_by_handler
from ..strict_json import loads

END_STREAM = '{"type": "ELSA:end_stream"}'  # R: with the space

MAX_DESCRIBED = 80  # characters of the server's text in a log line
REASONS = ("reason", "message", "error", "errors", "detail")  # keys of a verdict under which its reason may be
MAX_DEPTH = 100  # levels; the documented assessment has about 10. Much deeper ones can't be saved or pickled
_NEXT = "; try again later, and if it stays so, tell ELSA's support"


def encode_config(api_plan: str, return_json: bool, extra: Optional[Mapping[str, Any]] = None) -> str:
    """Returns the first message of an exchange: `{"api_plan":"standard","return_json":true}` (R), then `extra`."""
    config = {"api_plan": api_plan, "return_json": return_json, **(extra or {})}
    return json.dumps(config, separators=(",", ":"))


@dataclass(frozen=True, eq=False, repr=False)
class Status(Mapping[str, Any]):
    """A message of the server that has a `status`; a read-only mapping of the whole JSON object.

    Attributes:
        raw: The JSON object.
        text: The message's JSON text, as it came.
    """

    raw: Mapping[str, Any]
    text: str = ""

    @property
    def status(self) -> str:
        """The status: `processing`, `success`, …; one that isn't a string as JSON text."""
        status = self.raw.get("status")
        return status if isinstance(status, str) else json.dumps(status)

    @property
    def is_verdict(self) -> bool:
        """Whether the status is `success` or `failed`. For `bad_quality`, see `exchange.protocol`."""
        return self.status in ("success", "failed")

    @property
    def stream_id(self) -> Optional[str]:
        value = self.raw.get("stream_id")
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
        return None

    @property
    def reason(self) -> Optional[str]:
        """The server's reason: for a verdict against, wherever in the object it is; an object as JSON text."""
        for key in REASONS if self.status in ("failed", "bad_quality") else REASONS[:1]:
            value = self.raw.get(key)
            if isinstance(value, str) and value.strip():
                return value
            if isinstance(value, (dict, list)) and value:
                return json.dumps(value, ensure_ascii=False)
        return None

    @property
    def message(self) -> Optional[str]:
        return _text(self.raw.get("message"))

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Status({self.status!r})"


@dataclass(frozen=True)
class Info:
    """A message of the server without a `status`: a greeting, or server information (D). Nothing depends on it.

    Attributes:
        type: The `type` in the JSON object, if there is one.
        raw: The JSON object.
        text: The message's JSON text, as it came.
    """

    type: Optional[str]
    raw: Mapping[str, Any] = field(repr=False)
    text: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True)
class Malformed:
    """A message of the server that `parse()` can't read."""

    error: ProtocolError


@dataclass(frozen=True)
class Opened:
    """The WebSocket is open."""


@dataclass(frozen=True)
class Closed:
    """The connection has ended, or could not be opened: the last event of a transport.

    Attributes:
        code: The close code (RFC 6455, 7.4); 1005 for a close frame without a code, 1006 without a close frame.
        reason: The text in the server's close frame.
        silence: Seconds for which nothing had been sent to the server when the connection ended.
        error: What ended the connection: `None` after a close frame, a `ConnectError` if it never opened, a
            `ProtocolError` if the server broke the WebSocket protocol, else any other error.
    """

    code: int = 1006
    reason: str = ""
    error: Optional[BaseException] = None
    silence: float = 0.0


Message = Union[Status, Info]
ConnectionEvent = Union[Opened, Message, Malformed, Closed]  # the events of a transport


def parse(data: Union[str, bytes, bytearray]) -> Message:
    """Reads one message of the server.

    Doesn't check the object's fields: `exchange.protocol` tolerates strange ones.

    Raises:
        ProtocolError: The message is not UTF-8, not JSON, not an object, or nested deeper than 100 levels.
    """
    text, problem = "", ""
    cause: Optional[ValueError] = None
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
        value = loads(text)
    except (ValueError, RecursionError) as error:
        if raised_by_handler(error):
            raise
        # A copy, since those of Python hold the whole message.
        cause = ValueError(cut(str(error)))
        if isinstance(error, UnicodeDecodeError):
            text = bytes(data[: 4 * MAX_QUOTED]).decode("utf-8", "backslashreplace")  # type: ignore[arg-type]
            problem = f"is not UTF-8 ({error.reason} at byte {error.start})"
        else:
            problem = f"is not JSON ({cause})"
    else:
        if not isinstance(value, dict):
            problem = f"is not a JSON object but {_json_kind(value)}"
        elif _too_deep(value):
            problem = f"is nested deeper than {MAX_DEPTH} levels"
    if problem:  # raised here, where no error of Python's can become the context of this one
        raise ProtocolError(f"the server's message {problem}: {quoted(text)}{_NEXT}") from cause
    if "status" in value:
        return Status(value, text)
    return Info(_text(value.get("type")), value, text)


def describe(event: object) -> str:
    """Returns a short description of an event for a log line: no payload, the server's text escaped."""
    if isinstance(event, Status):
        return f"status {event.status[:MAX_DESCRIBED]!r}"
    if isinstance(event, Info):
        return f"type {event.type[:MAX_DESCRIBED] if event.type else None!r}"
    if isinstance(event, Malformed):
        return str(event.error)
    return type(event).__name__


def _text(value: object) -> Optional[str]:
    return value if isinstance(value, str) else None


def _too_deep(value: object) -> bool:
    # Don't rely on RecursionError: its limit depends on Python's version and on how deep the stack is already.
    level: List[Any] = [value]
    for _ in range(MAX_DEPTH):
        children = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for items in children for child in items if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _json_kind(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


__all__ = [
    "END_STREAM",
    "Closed",
    "ConnectionEvent",
    "Info",
    "Malformed",
    "Message",
    "Opened",
    "Status",
    "describe",
    "encode_config",
    "parse",
]
