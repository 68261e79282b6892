"""The page of a class: many recordings, from a journal. Called by `cli.report`.

The page of 1,000 recordings must stay below 5 MB. So it holds of each recording only what its section shows, and of
long transcripts of large classes only the beginning. `class.js` makes a section when somebody opens it.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..results.bands import BANDS, THRESHOLDS, Thresholds, band, check_thresholds
from ..results.facts import LEVELS, RATED, level_number, sandboxed
from . import render
from .names import natural_order, short_names
from .problems import PROBLEMS, RECORD_AGAIN, Problem
from .rows import FACTS, MAX_SENTENCE, MAX_TRANSCRIPT, UNRATED, Row, read_rows, shown

__all__ = ["class_page"]

DEFAULT_TITLE = "Class report"

# On phones.
ABBREVIATED = {"Pronunciation": "Pron.", "Intonation": "Inton.", "Grammar": "Gram.", "Vocabulary": "Vocab."}
TRANSCRIPTS = 2_500_000  # characters of all transcripts together: half of the page
MIN_TRANSCRIPT = 200  # characters of one transcript, however many there are
SHOWN_NAMES = 8  # of a group; the other names are folded away
BINS = 20  # of a histogram, each of 5 %


def class_page(
    journal_path: Union[str, os.PathLike[str]],
    *,
    thresholds: Thresholds = THRESHOLDS,
    title: Optional[str] = None,
) -> str:
    """Renders the journal of a batch as one HTML file that needs nothing else.

    The newest line about each recording counts. A recording without a score is left out when the same content was
    scored, under whatever name, or when another recording took its place under its name. What was scored always stays.

    Args:
        journal_path: What `score_many(journal=…)` wrote.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: Of the page; default: "Class report".

    Raises:
        ValueError: The thresholds make no sense.
        JournalError: The file can't be read, or is no journal.
    """
    limits = check_thresholds(thresholds)
    found, days = read_rows(journal_path, limits)
    named = sorted(zip(short_names([row.path for row in found]), found), key=lambda pair: natural_order(pair[0]))
    names = [name for name, _ in named]
    rows = [row for _, row in named]
    room = max(MIN_TRANSCRIPT, min(MAX_TRANSCRIPT, TRANSCRIPTS // max(1, len(rows))))
    made_up = sum(row.by_sandbox for row in rows)
    return render.page(
        "class.html",
        styles=["class.css"],
        scripts=["class.js"],
        title=shown(title, MAX_SENTENCE) or DEFAULT_TITLE,
        limits=limits,
        days=days,
        skills=[(name, ABBREVIATED.get(name, name)) for name in RATED],
        rows=list(enumerate(named)),
        groups=list(_groups(names, rows)),
        to_record=sum(row.problem in RECORD_AGAIN for row in rows),
        shown_names=SHOWN_NAMES,
        histograms=[_histogram(index, rows, limits) for index in range(len(RATED))],
        levels=_levels(rows),
        sandboxed=sandboxed(made_up, len(rows)) if made_up else "",
        data={
            "skills": RATED,
            "facts": FACTS,
            "limits": limits,
            "problems": [(problem.title, f"{problem.advice} {problem.command}".strip()) for problem in PROBLEMS],
            "recordings": [_section(name, row, room) for name, row in named],
        },
    )


def _groups(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Tuple[Problem, str, List[Tuple[int, str, str]]]]:
    """Yields each problem; its reason, if all recordings share it; and the recordings, each with a reason if not."""
    for problem in PROBLEMS:
        found = [(index, row.reason) for index, row in enumerate(rows) if row.problem is problem]
        reasons = {reason for _, reason in found}
        shared = next(iter(reasons)) if len(reasons) == 1 and len(found) > 1 else ""
        if found:
            yield problem, shared, [(index, names[index], "" if shared else reason) for index, reason in found]


def _histogram(skill: int, rows: Sequence[Row], limits: Thresholds) -> Dict[str, Any]:
    """Returns how many have which score: counts by band, the median, and columns for a drawing of 100 by 100."""
    found = [row.ratings[skill].value for row in rows]
    # Into the scale before anything is calculated: the mean of two scores of 1e308 is infinite.
    given = [min(max(value, 0.0), 100.0) for value in found if value is not None]
    heights = {(index, name): 0 for index in range(BINS) for name in BANDS}
    for value in given:
        heights[min(int(value * BINS / 100), BINS - 1), band(value, limits)] += 1
    totals = [sum(heights[index, name] for name in BANDS) for index in range(BINS)]
    highest = max(*totals, 1)
    columns = []
    for index in range(BINS):
        top = 100.0
        for name in BANDS:
            height = heights[index, name] / highest * 100
            top -= height
            if height:
                columns.append((name, index * 100 // BINS, round(top, 2), round(height, 2)))
    counts = {name: sum(row.ratings[skill].band == name for row in rows) for name in BANDS}
    return {"name": RATED[skill], "counts": counts, "median": median(given) if given else None, "columns": columns}


def _levels(rows: Sequence[Row]) -> List[Tuple[str, int, float]]:
    """Returns, of each CEFR level, how many have it overall, and that as percent of the most frequent one."""
    found = [level_number(row.ratings[0].level) for row in rows]
    counts = [found.count(number) for number, _ in enumerate(LEVELS, 1)]
    return [(name, count, round(count / max(*counts, 1) * 100, 1)) for name, count in zip(LEVELS, counts)]


def _section(name: str, row: Row, room: int) -> Dict[str, Any]:
    """Returns what `class.js` needs to make the section of a recording, without what is empty.

    Args:
        name: The recording's, as the page shows it.
        row: What is known of the recording.
        room: How many characters of its transcript the page holds.
    """
    cut = row.transcript if len(row.transcript) <= room else row.transcript[: room - 1] + "…"
    found = {
        "name": name,
        "path": row.path if row.path != name else "",
        "scores": [
            [None if rating.value is None else round(rating.value, 1), rating.level, rating.word]
            for rating in row.ratings
        ]
        if row.ratings is not UNRATED
        else [],
        "problem": PROBLEMS.index(row.problem) if row.problem else None,
        "reason": row.reason,
        "facts": row.facts if any(row.facts) else [],
        "warnings": row.warnings,
        "transcript": cut,
        "marks": row.marks[: cut.count(" ") + 1].rstrip("n"),
        "weak": row.weak_words,
        "sounds": row.sound_errors,
    }
    return {key: value for key, value in found.items() if value not in ("", None, [], ())}
