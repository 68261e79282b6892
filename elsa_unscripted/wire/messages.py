"""The messages of the wire as frozen dataclasses, both directions, and what else happens to a connection.

`transport` parses with `parse()` and hands on the outcome; `exchange.conversation` sends what the encoders give;
`exchange.protocol` decides on the events. Sources of the literals: PROTOCOL.md's tables, in turn the vendor's public
documentation (D) and the reference client's own frames (R).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Iterator, List, Mapping, Optional, Union

from ..exceptions import ProtocolError

END_STREAM = '{"type": "ELSA:end_stream"}'  # R: with exactly this space

MAX_DESCRIBED = 80  # characters of the server's text in a log line
MAX_DEPTH = 100  # levels: the documented assessment has about 10; what may be nested deeper can't be written or pickled
_NEXT = "; try again later, and if it stays so, tell ELSA's support"


def encode_config(api_plan: str, return_json: bool, extra: Optional[Mapping[str, Any]] = None) -> str:
    """Returns the first message of an exchange: `{"api_plan":"standard","return_json":true}` (R), then `extra`."""
    config = {"api_plan": api_plan, "return_json": return_json, **(extra or {})}
    return json.dumps(config, separators=(",", ":"))


@dataclass(frozen=True, eq=False, repr=False)
class Status(Mapping[str, Any]):
    """A message of the server that has a `status`: a read-only mapping over the whole object.

    Attributes:
        raw: The server's object.
        text: The same as it came, JSON text.
    """

    raw: Mapping[str, Any]
    text: str = ""

    @property
    def status(self) -> str:
        """`processing`, `success`, …; for a status that isn't a string, its JSON."""
        status = self.raw.get("status")
        return status if isinstance(status, str) else json.dumps(status)

    @property
    def is_verdict(self) -> bool:
        """Whether it is `success` or `failed`, which end the exchange. `bad_quality` alone doesn't: see `protocol`."""
        return self.status in ("success", "failed")

    @property
    def stream_id(self) -> Optional[str]:
        value = self.raw.get("stream_id")
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
        return None

    @property
    def reason(self) -> Optional[str]:
        return _text(self.raw.get("reason"))

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
    """A message without a `status`: a greeting, or server information (D). Nothing depends on it.

    Attributes:
        type: The object's `type`, if it has one.
        raw: The server's object.
    """

    type: Optional[str]
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Malformed:
    """A message that isn't a JSON object."""

    error: ProtocolError


@dataclass(frozen=True)
class Opened:
    """The WebSocket is open."""


@dataclass(frozen=True)
class Closed:
    """The connection is over, or never came about: the last event of a transport.

    Attributes:
        code: The close code (RFC 6455, 7.4); 1005 for a close frame without one, 1006 for no close frame.
        reason: The server's words with it.
        error: What broke the connection: a `ConnectError` where it never opened, a `ProtocolError` where the
            server broke the WebSocket protocol, else the foreign error, or `None` after a close frame.
    """

    code: int = 1006
    reason: str = ""
    error: Optional[BaseException] = None


Message = Union[Status, Info]
ConnectionEvent = Union[Opened, Message, Malformed, Closed]  # what a transport puts


def parse(data: Union[str, bytes, bytearray]) -> Message:
    """Reads one message of the server.

    Fields of the object aren't looked at: strange ones are the protocol's to tolerate.

    Raises:
        ProtocolError: It is not UTF-8, not JSON, not an object, or nested deeper than 100 levels.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
        value = json.loads(text)
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise ProtocolError(f"the server's message is not UTF-8 ({where}){_NEXT}") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the server's message is not JSON ({error}){_NEXT}") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"the server's message is not a JSON object but {_json_kind(value)}{_NEXT}")
    if _too_deep(value):
        raise ProtocolError(f"the server's message is nested deeper than {MAX_DEPTH} levels{_NEXT}")
    if "status" in value:
        return Status(value, text)
    return Info(_text(value.get("type")), value)


def describe(event: object) -> str:
    """Returns an event as one short word for a log line: payloads elided, text of the server escaped."""
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
    # The interpreter's own limit won't do: it depends on the version and on how deep the stack is already.
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
