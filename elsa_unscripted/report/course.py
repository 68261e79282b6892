"""How the pupils of a class did over several terms: one journal a term, the same name being the same pupil.

Called by `classroom`.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..results.facts import Rating
from .names import natural_order
from .rows import Row

__all__ = ["Pupil", "pupils"]


class Pupil(NamedTuple):
    """One pupil over the terms.

    Attributes:
        name: As in the latest term.
        place: Of the pupil's row in the last term; `None` if there is none.
        courses: The ratings in each term, the overall one first; `None` where the pupil has no score.
        line: The overall scores as points of a drawing, 100 wide and 30 high; `""` if there are fewer than two.
        change: Of the overall score, from the first term that has one to the last; `None` if there are fewer than two.
    """

    name: str
    place: Optional[int]
    courses: Sequence[Optional[Sequence[Rating]]]
    line: str
    change: Optional[float]


def pupils(terms: Sequence[Sequence[Tuple[str, Row]]]) -> List[Pupil]:
    """Returns everybody who is in any of the terms, in the order of their names.

    Args:
        terms: The recordings of each term, the newest last, each with the name that the page gives it.
    """
    names: Dict[str, str] = {}
    places: Dict[str, int] = {}
    courses: Dict[str, List[Optional[Sequence[Rating]]]] = {}
    for number, term in enumerate(terms):
        keys = _keys(term)
        for index, (name, row) in enumerate(term):
            key = keys[index]
            names[key] = row.name or name
            course = courses.setdefault(key, [None] * len(terms))
            if row.ratings[0].value is not None:
                course[number] = row.ratings
            if number == len(terms) - 1 and (key not in places or row.ratings[0].value is not None):
                places[key] = index
    found = []
    for key in sorted(names, key=lambda key: natural_order(names[key])):
        values = [ratings[0].value or 0.0 for ratings in courses[key] if ratings]
        change = values[-1] - values[0] if len(values) > 1 else None
        found.append(Pupil(names[key], places.get(key), courses[key], _line(courses[key]), change))
    return found


def _line(course: Sequence[Optional[Sequence[Rating]]]) -> str:
    width = 100 / max(len(course) - 1, 1)
    scored = [(place, ratings[0].value) for place, ratings in enumerate(course) if ratings]
    points = [f"{place * width:.4g},{30 - 0.3 * min(max(value or 0.0, 0.0), 100.0):.3g}" for place, value in scored]
    return " ".join(points) if len(points) > 1 else ""


def _keys(term: Sequence[Tuple[str, Row]]) -> Sequence[str]:
    """Returns what is equal for the same pupil: a list's name; else that of the file, without folder and ending.

    Where files of different folders have one name, as in `Ana/answer.wav` and `Ben/answer.wav`, the folders that the
    page names tell the pupils apart.
    """
    paths: Dict[str, Set[str]] = {}
    for _, row in term:
        paths.setdefault(row.file_name, set()).add(row.path)
    keys = []
    for name, row in term:
        folder = name.replace("\\", "/").rpartition("/")[0] if len(paths[row.file_name]) > 1 else ""
        given = row.name or f"{folder}/{os.path.splitext(row.file_name)[0]}"
        keys.append(" ".join(unicodedata.normalize("NFKC", given).strip("/").casefold().split()))
    return keys
