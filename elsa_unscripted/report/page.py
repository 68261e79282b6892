"""The page of one recording: what it shows, from a result. Called by `ScoreResult.to_html()` and the command line."""

from __future__ import annotations

from typing import Any, Optional

from ..result import ScoreResult
from . import render
from .bands import Thresholds, check_thresholds

__all__ = ["result_page"]

DEFAULT_TITLE = "Speech report"


def result_page(
    result: ScoreResult,
    *,
    audio: Any = None,
    thresholds: Thresholds = (60, 80),
    title: Optional[str] = None,
) -> str:
    """Renders a result as one HTML file that needs nothing else.

    Args:
        result: What `score()` returned.
        audio: The recording, if it is to be heard and seen: whatever `score()` takes.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: The page's; default: "Speech report".

    Raises:
        ValueError: The thresholds make no sense.
        AudioError: The recording can't be read or decoded.
    """
    limits = check_thresholds(thresholds)
    return render.page(
        "page.html", styles=["page.css"], scripts=["page.js"], title=title or DEFAULT_TITLE, limits=limits
    )
