"""The bands that scores fall into, by two thresholds; for both pages.

Nobody documents where a score begins to be good: the thresholds are ours, shown on the page and adjustable.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

__all__ = ["BANDS", "Thresholds", "band", "check_thresholds"]

Thresholds = Tuple[float, float]

BANDS = ("weak", "fair", "good", "none")  # the class `band-weak` and so on of theme.css


def check_thresholds(thresholds: Thresholds) -> Thresholds:
    """Returns the thresholds.

    Raises:
        ValueError: They aren't two numbers of percent, the lower one first.
    """
    try:
        low, high = (float(each) for each in thresholds)
        usable = math.isfinite(low) and math.isfinite(high) and 0 <= low <= high <= 100
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"thresholds must be two numbers from 0 to 100, the lower one first, not {thresholds!r}")
    return low, high


def band(value: Optional[float], thresholds: Thresholds) -> str:
    """Returns `weak` below the lower threshold, `good` from the upper one on, `fair` between, `none` if not scored."""
    if value is None:
        return "none"
    low, high = thresholds
    return "weak" if value < low else "fair" if value < high else "good"
