"""Numbers to drawings: the radar of the skills, and time from left to right, as coordinates for the templates' SVG.

Called by `page` and `timeline`. The only text of the server here are the levels, and only those that CEFR knows.
"""

from __future__ import annotations

import math
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..results.facts import LEVELS, Rating, level_number

__all__ = ["Radar", "Span", "gaps", "joined", "radar", "shape", "ticks"]

RADIUS = 100.0
FEWEST_SKILLS = 3  # with fewer, there is no area to look at
LABEL_RADIUS = 1.14  # times the radius
BINS = 360  # bars of the waveform, over its whole width
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)  # s between two ticks
MAX_TICKS = 7
LEAST_HEIGHT = 2.0  # percent of the height: silence is a line, not a gap

Span = Tuple[float, float]  # from, to; s


class Label(NamedTuple):
    """The name of an axis of the radar, and what stands below it."""

    x: float
    y: float
    anchor: str
    name: str
    value: str


class Radar(NamedTuple):
    """A radar around (0, 0).

    Attributes:
        by_level: Whether the rings are CEFR levels; else they are percents.
        rings: The scale's names with the corners of their rings, from the inside.
        spokes: Where the axes end.
        labels: The names of the axes.
        dots: The skills that were scored.
        area: The corners of their polygon; empty if a skill is missing, when there are only `edges`.
        edges: The lines between neighbours that were both scored.
    """

    by_level: bool
    rings: Sequence[Tuple[str, str, float]]
    spokes: Sequence[Tuple[float, float]]
    labels: Sequence[Label]
    dots: Sequence[Tuple[float, float]]
    area: str
    edges: Sequence[str]


def radar(skills: Sequence[Rating]) -> Optional[Radar]:
    """Draws the skills by their CEFR levels: ELSA gives them beside the scores, and documents no rule between the two.

    Returns:
        The radar: by level if enough skills have one, else by percent; `None` if there is too little to draw.
    """
    levels = [level_number(skill.level) for skill in skills]
    by_level = sum(each is not None for each in levels) >= FEWEST_SKILLS
    if by_level:
        ratios = [None if each is None else each / len(LEVELS) for each in levels]
        steps = [(name, (index + 1) / len(LEVELS)) for index, name in enumerate(LEVELS)]
        values = [skill.level.strip() if skill.level and at else "" for skill, at in zip(skills, levels)]
    else:
        ratios = [None if s.value is None else min(max(s.value, 0.0), 100.0) / 100 for s in skills]
        steps = [(f"{percent}", percent / 100) for percent in (20, 40, 60, 80, 100)]
        values = ["" if s.value is None else f"{s.value:.4g} %" for s in skills]
    if sum(each is not None for each in ratios) < FEWEST_SKILLS:
        return None
    count = len(skills)
    points = [None if ratio is None else _point(index, count, ratio) for index, ratio in enumerate(ratios)]
    neighbours = zip(points, [*points[1:], points[0]])
    return Radar(
        by_level,
        [(name, _corners(_point(i, count, ratio) for i in range(count)), -RADIUS * ratio) for name, ratio in steps],
        [_point(index, count, 1.0) for index in range(count)],
        [_label(index, count, skill.name, values[index]) for index, skill in enumerate(skills)],
        [point for point in points if point],
        "" if None in points else _corners(point for point in points if point),
        [_corners((one, other)) for one, other in neighbours if one and other],
    )


def _point(index: int, count: int, ratio: float) -> Tuple[float, float]:
    angle = 2 * math.pi * index / count - math.pi / 2
    return round(RADIUS * ratio * math.cos(angle), 1), round(RADIUS * ratio * math.sin(angle), 1)


def _corners(points: Iterable[Tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _label(index: int, count: int, name: str, value: str) -> Label:
    x, y = _point(index, count, LABEL_RADIUS)
    anchor = "middle" if abs(x) < 1 else "start" if x > 0 else "end"
    if y < -RADIUS:
        y -= 14  # two lines have to fit above the topmost corner
    return Label(x, y + 4, anchor, name, value or "not scored")


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
