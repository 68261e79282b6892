"""A line of the benchmark's table: what was measured. The rows make it; `__main__.py` prints it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

SCALES = {"ms": 1e3, "s": 1.0, "KB": 1e-3, "MB": 1e-6, "": 1.0}  # from seconds, bytes, or a number


class Line(NamedTuple):
    """One measurement.

    Attributes:
        what: What was measured.
        unit: Of the next three: `"ms"`, `"s"`, `"KB"` (1,000 bytes), `"MB"`, or `""` for a number.
        median: Or the only value.
        p99: The value that 99 % don't pass.
        worst: The greatest.
        ratio: The median, divided by that of `against`.
        against: What the ratio is to.
        target: What the issue that asked for it wants.
        note: A sentence beside the numbers, or in their place.
    """

    what: str
    unit: str = ""
    median: Optional[float] = None
    p99: Optional[float] = None
    worst: Optional[float] = None
    ratio: Optional[float] = None
    against: str = "bare loop"
    target: str = ""
    note: str = ""


def line(what: str, unit: str, values: Sequence[float], bare: Sequence[float] = (), **rest: Any) -> Line:
    """Makes a line of many measurements.

    Args:
        what: What was measured.
        unit: What to give it in.
        values: In seconds, bytes, or numbers.
        bare: The same of what it is compared with.
        **rest: Attributes of the line.
    """
    scale = SCALES[unit]
    if bare:
        rest["ratio"] = statistics.median(values) / statistics.median(bare)
    return Line(
        what,
        unit,
        statistics.median(values) * scale,
        quantile(values, 0.99) * scale,
        max(values) * scale,
        **rest,
    )


def single(what: str, unit: str, value: float, **rest: Any) -> Line:
    """Makes a line of one value, in seconds, bytes, or a number."""
    return Line(what, unit, value * SCALES[unit], **rest)


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the least of the values that `share` of them don't pass."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
