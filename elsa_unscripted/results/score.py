"""`Score`: one skill's score, which behaves as the number that it is. Made by `assessment`; read by everyone."""

from __future__ import annotations

import numbers
import operator
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Tuple, cast

__all__ = ["Score"]


@dataclass(frozen=True, eq=False)
class Score:
    """One skill's score; it compares, hashes, converts and calculates as its value.

    Without a value it equals only another score without one. To compare it by size, to convert it or to calculate with
    it is then a `TypeError` that says "not scored".

    Example:
        >>> score = Score(81.4, "good", "B2")
        >>> score > 80, score == 81.4, round(score), f"{score:.0f} % ({score.cefr})"
        (True, True, 81, '81 % (B2)')

    Attributes:
        value: Percent; `None` if the skill was not scored, which is not 0.
        decision: The server's judgement in words.
        cefr: The CEFR level, such as `"B2"`.
        raw: The server's object that holds the scores of every skill.
    """

    value: Optional[float] = None
    decision: Optional[str] = None
    cefr: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Score):
            return self.value == other.value
        return NotImplemented if self.value is None else self._compared(operator.eq, other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __lt__(self, other: Any) -> bool:
        return self._compared(operator.lt, other)

    def __le__(self, other: Any) -> bool:
        return self._compared(operator.le, other)

    def __gt__(self, other: Any) -> bool:
        return self._compared(operator.gt, other)

    def __ge__(self, other: Any) -> bool:
        return self._compared(operator.ge, other)

    def __float__(self) -> float:
        if self.value is None:
            raise TypeError("not scored: this Score has no value")
        return float(self.value)

    def __int__(self) -> int:
        return int(float(self))

    def __round__(self, digits: Optional[int] = None) -> Any:
        return round(float(self), digits)

    def __trunc__(self) -> int:
        return int(float(self))

    def __floor__(self) -> int:
        return int(float(self) // 1)

    def __ceil__(self) -> int:
        return -int(-float(self) // 1)

    def as_integer_ratio(self) -> Tuple[int, int]:
        """Returns the value as a fraction; `statistics.mean()` asks for it."""
        return float(self).as_integer_ratio()

    def __str__(self) -> str:
        return "not scored" if self.value is None else f"{self.value:g}"

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)

    def __add__(self, other: Any) -> Any:
        return float(self) + _plain(other)

    def __radd__(self, other: Any) -> Any:
        return other + float(self)

    def __sub__(self, other: Any) -> Any:
        return float(self) - _plain(other)

    def __rsub__(self, other: Any) -> Any:
        return other - float(self)

    def __mul__(self, other: Any) -> Any:
        return float(self) * _plain(other)

    def __rmul__(self, other: Any) -> Any:
        return other * float(self)

    def __truediv__(self, other: Any) -> Any:
        return float(self) / _plain(other)

    def __rtruediv__(self, other: Any) -> Any:
        return other / float(self)

    def __floordiv__(self, other: Any) -> Any:
        return float(self) // _plain(other)

    def __rfloordiv__(self, other: Any) -> Any:
        return other // float(self)

    def __mod__(self, other: Any) -> Any:
        return float(self) % _plain(other)

    def __rmod__(self, other: Any) -> Any:
        return other % float(self)

    def __pow__(self, other: Any) -> Any:
        return float(self) ** _plain(other)

    def __rpow__(self, other: Any) -> Any:
        return other ** float(self)

    def __neg__(self) -> float:
        return -float(self)

    def __pos__(self) -> float:
        return float(self)

    def __abs__(self) -> float:
        return abs(float(self))

    def _compared(self, compare: Callable[[Any, Any], object], other: object) -> bool:
        if not isinstance(other, (Score, numbers.Number)):
            return cast(bool, NotImplemented)  # then Python asks `other`: an array compares each of its elements
        return bool(compare(float(self), _plain(other)))


def _plain(other: Any) -> Any:
    return float(other) if isinstance(other, Score) else other
