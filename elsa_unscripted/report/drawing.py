"""Numbers to drawings: time from left to right, as coordinates for the templates' SVG. Called by `timeline`."""

from __future__ import annotations

from typing import Iterable, List, Sequence, Tuple

__all__ = ["Span", "gaps", "joined", "shape", "ticks"]

BINS = 360  # bars of the waveform, over its whole width
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)  # s between two ticks
MAX_TICKS = 7
LEAST_HEIGHT = 2.0  # percent of the height: silence is a line, not a gap

Span = Tuple[float, float]  # from, to; s


def shape(peaks: Sequence[float]) -> str:
    """Draws a waveform as the path of its bars, `BINS` units wide and 100 high.

    Args:
        peaks: Loudness over time, 0 to 1, at equal steps.
    """
    loudest = max(peaks, default=0.0) or 1.0
    bars: List[str] = []
    count = min(BINS, len(peaks))
    for index in range(count):
        part = peaks[index * len(peaks) // count : (index + 1) * len(peaks) // count]
        height = max(100 * max(part) / loudest, LEAST_HEIGHT)
        bars.append(
            f"M{index * BINS / count:g} {50 - height / 2:.1f}h{0.64 * BINS / count:.2f}v{height:.1f}"
            f"h-{0.64 * BINS / count:.2f}z"
        )
    return "".join(bars)


def joined(spans: Iterable[Span], gap: float) -> List[Span]:
    """Joins spans of time that are less than `gap` seconds apart."""
    found: List[Span] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] < gap:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def gaps(spans: Sequence[Span], least: float) -> List[Span]:
    """Returns what lies between spans that are in order, where that is `least` seconds or more."""
    between = ((one[1], other[0]) for one, other in zip(spans, spans[1:]))
    return [(start, end) for start, end in between if end - start >= least]


def ticks(seconds: float) -> List[float]:
    """Returns the times to name below a timeline that is `seconds` long: a few, at round numbers."""
    step = next((step for step in STEPS if seconds / step <= MAX_TICKS), seconds / MAX_TICKS)
    return [index * step for index in range(int(seconds / step) + 1)]
