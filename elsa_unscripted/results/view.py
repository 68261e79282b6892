"""What the views of the server's objects are made of: fields that are read when looked at, and never raise.

Used by `assessment`, which has the views. A value that is missing, `null` or of a strange type reads as `None`, a list
as `()`; a strange type is logged once per field and process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # for isinstance(), on every value: typing.Mapping takes ten times as long
from dataclasses import dataclass, field
from typing import Any, Callable, Generic, Optional, Set, Tuple, Type, TypeVar, cast

from ..log import logger

__all__ = ["View", "as_count", "as_identifier", "as_number", "as_text", "made", "many", "one", "part"]

T = TypeVar("T")
V = TypeVar("V", bound="View")


# Each returns a value in the type of a field, or `None` if the value is of a strange type.


def as_number(value: object) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_count(value: object) -> Optional[int]:
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() else None


def as_text(value: object) -> Optional[str]:
    return value if isinstance(value, str) else None


def as_identifier(value: object) -> Optional[str]:
    # An int stays an int: beyond 2**53, a float would change its last digits.
    number = value if isinstance(value, int) and as_number(value) is not None else as_count(value)
    return as_text(value) if number is None else str(number)


def _is_object(value: object) -> bool:
    # A dict nearly always, and that is the quicker question: the page of a class asks it a million times.
    return type(value) is dict or isinstance(value, Mapping)


def _object(value: object) -> Optional[Mapping[str, Any]]:
    return cast("Mapping[str, Any]", value) if _is_object(value) else None


def _items(value: object) -> Optional[Tuple[object, ...]]:
    return tuple(value) if isinstance(value, list) else None


# Stays small: the paths are spelled in `assessment`, with `[]` for every index, and hold no text of the server.
_reported: Set[str] = set()


def _report_once(path: str, value: object) -> None:
    if path not in _reported:
        _reported.add(path)
        logger.warning("%s: cannot read a %s here, taken as not given", path, type(value).__name__)


@dataclass(frozen=True, repr=False)
class View:
    """An object of the server, and the path that names it in the log."""

    raw: Mapping[str, Any]
    _path: str = field(default="assessment", compare=False)

    def read(self, accept: Callable[[object], Optional[T]], key: str) -> Optional[T]:
        """Returns what `accept` makes of the value at `key`. A dot in `key` leads one level down."""
        if "." in key:
            first, _, rest = key.partition(".")
            return self.part(View, first).read(accept, rest)
        value = self.raw.get(key) if _is_object(self.raw) else None
        if value is None:
            return None
        accepted = accept(value)
        if accepted is None:
            _report_once(f"{self._path}.{key}", value)
        return accepted

    def part(self, cls: Type[V], key: str) -> V:
        return cls(self.read(_object, key) or {}, f"{self._path}.{key}")

    def parts(self, cls: Type[V], key: str) -> Tuple[V, ...]:
        path = f"{self._path}.{key}[]"
        items = self.read(_items, key) or ()
        for item in items:
            if not _is_object(item):
                _report_once(path, item)
        return tuple(cls(cast("Mapping[str, Any]", item), path) for item in items if _is_object(item))

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name, item in vars(type(self)).items() if isinstance(item, _Field)}
        given = {name: value for name, value in values.items() if value is not None and not isinstance(value, tuple)}
        shown = (f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({', '.join(shown)})"


class _Field(Generic[T]):
    """A field of a view: how to read it."""

    def __init__(self, read: Callable[[View], T]) -> None:
        self._read = read

    def __get__(self, view: Optional[View], owner: object = None) -> T:
        return cast(T, self) if view is None else self._read(view)


def made(read: Callable[[View], T]) -> _Field[T]:
    """Returns a field that is what `read` makes of the view."""
    return _Field(read)


def one(accept: Callable[[object], Optional[T]], *keys: str) -> _Field[Optional[T]]:
    def read(view: View) -> Optional[T]:
        # Not a generator, which takes longer: the page of a class reads a million fields.
        for key in keys:
            value = view.read(accept, key)
            if value is not None:
                return value
        return None

    return _Field(read)


def part(cls: Type[V], key: str) -> _Field[V]:
    return _Field(lambda view: view.part(cls, key))


def many(cls: Type[V], *keys: str) -> _Field[Tuple[V, ...]]:
    return _Field(lambda view: next((got for key in keys if (got := view.parts(cls, key))), ()))
