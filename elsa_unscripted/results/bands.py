"""The bands that scores fall into, by two thresholds; for the terminal and the pages.

The bands are ours, not ELSA's: nobody documents where a score begins to be good. So the pages show the thresholds, and
whoever makes a page can choose others. In the terminal, bands are only colours.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

from ..signals import raised_by_handler

__all__ = ["BANDS", "THRESHOLDS", "Thresholds", "band", "check_thresholds"]

Thresholds = Tuple[float, float]

THRESHOLDS: Thresholds = (60, 80)  # percent from which a score is fair, and from which it is good
BANDS = ("weak", "fair", "good", "none")  # `none`: not scored


def check_thresholds(thresholds: Thresholds) -> Thresholds:
    """Returns the thresholds.

    Raises:
        ValueError: They aren't two numbers of percent, the lower one first.
    """
    try:
        low, high = (float(each) for each in thresholds)
        usable = math.isfinite(low) and math.isfinite(high) and 0 <= low <= high <= 100
    except (TypeError, ValueError) as error:
        if raised_by_handler(error):
            raise
        usable = False
    if not usable:
        raise ValueError(f"thresholds must be two numbers from 0 to 100, the lower one first, not {thresholds!r}")
    return low, high


def band(value: Optional[float], thresholds: Thresholds = THRESHOLDS) -> str:
    """Returns `weak` below the lower threshold, `good` from the upper one on, `fair` between, `none` if not scored.

    The score counts as it is shown, with one decimal: 79.96 is shown as 80.0, and "80.0 %, fair" would be a riddle
    beside "good from 80".
    """
    if value is None:
        return "none"
    shown = round(value, 1)
    low, high = thresholds
    return "weak" if shown < low else "fair" if shown < high else "good"
