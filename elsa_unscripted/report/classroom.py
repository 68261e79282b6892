"""The page of a class: many recordings, from a journal. Called by `cli.report`.

The page of 1,000 recordings must stay below 5 MB. So it holds of each recording only what its section shows, and of
long transcripts of large classes only the beginning. `class.js` makes a section when somebody opens it.
"""

from __future__ import annotations

import os
from collections import Counter
from statistics import median
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..exceptions import ConfigError
from ..results.bands import BANDS, THRESHOLDS, Thresholds, band, check_thresholds
from ..results.facts import LEVELS, RATED, SANDBOX, level_number, sandboxed
from ..results.problems import PROBLEMS, RECORD_AGAIN, Problem, counted
from ..results.sounds import sound
from ..results.text import rounded
from . import render
from .course import Pupil, pupils
from .names import natural_order, short_names
from .practice import SHOWN_EXAMPLES, SoundRow, cut_at, cut_examples
from .rows import EQUIVALENTS, FACTS, MAX_SENTENCE, MAX_TRANSCRIPT, UNRATED, First, Listed, Row, read_rows, shown
from .voices import voices

__all__ = ["class_page"]

DEFAULT_TITLE = "Class report"

# On phones.
ABBREVIATED = {"Pronunciation": "Pron.", "Intonation": "Inton.", "Grammar": "Gram.", "Vocabulary": "Vocab."}
TRANSCRIPTS = 2_500_000  # characters of all transcripts together: half of the page
MIN_TRANSCRIPT = 200  # characters of one transcript, however many there are
SHOWN_NAMES = 8  # of a group; the other names are folded away
MAX_SHOWN_COLUMNS = 2  # of a list, in the table; a recording's section has all of them
BINS = 20  # of a histogram, each of 5 %
MAX_SOUNDS = 10  # of the class, to practise
MAX_EXAMPLES = 6  # of a sound
MAX_GROUPS = 40  # of a column, to choose from


def class_page(
    journal_path: Union[str, os.PathLike[str], Sequence[Union[str, os.PathLike[str]]]],
    *,
    thresholds: Thresholds = THRESHOLDS,
    title: Optional[str] = None,
    listed: Sequence[Listed] = (),
    audio: Optional[Union[str, os.PathLike[str]]] = None,
) -> str:
    """Renders the journal of a batch as one HTML file that needs nothing else.

    The newest line about each recording counts. A recording without a score is left out when the same content was
    scored, under whatever name, or when another recording took its place under its name. What was scored always stays.

    Args:
        journal_path: What `score_many(journal=…)` wrote. Of several, one a term, the page is about the newest, and
            shows how each pupil did in the others: the same name is the same pupil.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: Of the page; default: "Class report".
        listed: Paths, each with what a list says of it: names of columns → cells. Whom the newest journal doesn't know
            is on the page, too.
        audio: The folder that has the recordings, if they are to be heard: 64 MiB of them at most.

    Raises:
        ValueError: The thresholds make no sense.
        JournalError: A file can't be read, or is no journal.
        ConfigError: The folder can't be read, or a journal is given twice.
    """
    limits = check_thresholds(thresholds)
    paths = [journal_path] if isinstance(journal_path, (str, os.PathLike)) else list(journal_path)
    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise ConfigError("a journal is given twice: a page of several journals is that of several terms")
    terms = sorted(
        (_term(path, name, limits, listed) for path, name in zip(paths, _term_names(paths))),
        key=lambda each: tuple(each.days[-1:]),
    )
    newest = terms[-1]
    days = newest.days
    names = [name for name, _ in newest.found]
    rows = [row for _, row in newest.found]
    course: Sequence[Pupil] = pupils([each.found for each in terms]) if len(terms) > 1 else []
    heard, untold = voices(audio, rows) if audio is not None else ({}, [])
    room = max(MIN_TRANSCRIPT, min(MAX_TRANSCRIPT, TRANSCRIPTS // max(1, len(rows))))
    twins = _twins(names, rows)
    listed_columns = _shown_columns(rows)
    made_up = sum(row.by_sandbox for row in rows)
    lesson = _sounds(rows)
    cells = [[dict(row.columns).get(column, "") for column in listed_columns] for row in rows]
    recordings = [_section(name, row, twins[index], room) for index, (name, row) in enumerate(newest.found)]
    for pupil in course:
        if pupil.place is not None:
            recordings[pupil.place]["course"] = [
                None if ratings is None else [rounded(rating.value) for rating in ratings] for ratings in pupil.courses
            ]
    return render.page(
        "class.html",
        styles=["person.css", "class.css"],
        scripts=["person.js", "class.js"],
        title=shown(title, MAX_SENTENCE) or DEFAULT_TITLE,
        limits=limits,
        days=days,
        skills=[(name, ABBREVIATED.get(name, name)) for name in RATED],
        rows=[(index, name, cells[index], row, twins[index]) for index, (name, row) in enumerate(newest.found)],
        columns=listed_columns,
        summary=counted(Counter(row.problem for row in rows)),
        groups=list(_groups(names, rows)),
        choices=[(column, _choices([each[place] for each in cells])) for place, column in enumerate(listed_columns)],
        sounds=lesson,
        names=names,
        to_record=sum(row.problem in RECORD_AGAIN for row in rows),
        shown_names=SHOWN_NAMES,
        histograms=[_histogram(index, rows, limits) for index in range(len(RATED))],
        levels=_levels(rows),
        sandboxed=sandboxed(made_up, len(rows)) if made_up else "",
        terms=[(each.name, each.days[-1] if each.days else "") for each in terms],
        course=course,
        voices=heard,
        megabytes=sum(len(voice.data) for voice in heard.values()) / 1e6,
        untold=[shown(sentence, MAX_SENTENCE) for sentence in untold],
        data={
            "skills": RATED,
            "facts": FACTS,
            "equivalents": EQUIVALENTS,
            "levels": LEVELS,
            "notice": SANDBOX,
            "sounds": _notations(rows),
            "lesson": [
                [each.meant.arpabet if each.meant else "", each.heard.arpabet if each.heard else ""]
                for each, _ in lesson
            ],
            "columns": listed_columns,
            "terms": [each.name for each in terms],
            "limits": limits,
            "problems": [(problem.title, f"{problem.advice} {problem.command}".strip()) for problem in PROBLEMS],
            "again": [PROBLEMS.index(problem) for problem in RECORD_AGAIN],
            "recordings": recordings,
        },
    )


class _Journal(NamedTuple):
    """A journal that was read: its name, the days of its lines, its recordings with their names, in order."""

    name: str
    days: Sequence[str]
    found: Sequence[Tuple[str, Row]]


def _term_names(paths: Sequence[Union[str, os.PathLike[str]]]) -> Sequence[str]:
    """Returns the names of the journals; of some that have one name, the folders that tell them apart, too."""
    stems = [os.path.splitext(os.path.basename(os.fsdecode(path)))[0] for path in paths]
    unique = len(set(stems)) == len(stems)
    return stems if unique else short_names([os.path.abspath(os.fsdecode(path)) for path in paths])


def _term(path: Union[str, os.PathLike[str]], name: str, limits: Thresholds, listed: Sequence[Listed]) -> _Journal:
    found, days = read_rows(path, limits, listed)
    named = zip(short_names([row.path for row in found]), found)
    rows = sorted(
        ((row.name or short or "unnamed", row) for short, row in named), key=lambda pair: natural_order(pair[0])
    )
    return _Journal(shown(name, MAX_SENTENCE), days, rows)


def _twins(names: Sequence[str], rows: Sequence[Row]) -> Sequence[str]:
    """Returns, for each recording, the name of another of the same content; empty if there is none."""
    owners: Dict[str, List[int]] = {}
    for index, row in enumerate(rows):
        owners.setdefault(row.content, []).append(index)
    found = [""] * len(rows)
    for content, places in owners.items():
        if content and len(places) > 1:
            for place in places:
                found[place] = names[places[1] if place == places[0] else places[0]]
    return found


def _shown_columns(rows: Sequence[Row]) -> Sequence[str]:
    """Returns the columns of the list that the table has room for: those that group recordings, a class for example."""
    cells: Dict[str, Set[str]] = {}
    for row in rows:
        for column, cell in row.columns:
            if cell and cell != row.name and cell not in row.name.split():
                cells.setdefault(column, set()).add(cell)
    # A school or a teacher that all have in common makes no groups: such a column comes last.
    return sorted(cells, key=lambda column: (len(cells[column]) == 1, len(cells[column])))[:MAX_SHOWN_COLUMNS]


def _groups(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Tuple[Problem, str, List[Tuple[int, str, str]]]]:
    """Yields each problem; its reason, if all recordings share it; and the recordings, each with a reason if not."""
    for problem in PROBLEMS:
        found = [(index, row.reason) for index, row in enumerate(rows) if row.problem is problem]
        reasons = {reason for _, reason in found}
        shared = next(iter(reasons)) if len(reasons) == 1 and len(found) > 1 else ""
        if found:
            yield problem, shared, [(index, names[index], "" if shared else reason) for index, reason in found]


def _choices(cells: Sequence[str]) -> Sequence[str]:
    """Returns the groups that a column of the list makes; none if it has nearly as many cells as recordings."""
    found = sorted({cell for cell in cells if cell}, key=natural_order)
    return found if 1 < len(found) <= min(MAX_GROUPS, len(cells) - 1) else []


def _sounds(rows: Sequence[Row]) -> List[Tuple[SoundRow, List[int]]]:
    """Returns the sounds that most pupils have to practise, and the indexes of these pupils."""
    pupils: Dict[Tuple[str, str], List[int]] = {}
    times: Counter[Tuple[str, str]] = Counter()
    examples: Dict[Tuple[str, str], Counter[str]] = {}
    spelled: Dict[str, str] = {}
    for index, row in enumerate(rows):
        for phoneme, heard, _, count, words in row.sound_errors:
            key = (sound(phoneme).arpabet if phoneme else "", sound(heard).arpabet if heard else "")
            found = pupils.setdefault(key, [])
            if index not in found[-1:]:
                found.append(index)
            times[key] += count or 1
            examples.setdefault(key, Counter()).update(spelled.setdefault(word.casefold(), word) for word in words)
    ranked = sorted(pupils, key=lambda key: (-len(pupils[key]), -times[key], key))[:MAX_SOUNDS]
    return [
        (
            SoundRow(
                sound(key[0]) if key[0] else None,
                sound(key[1]) if key[1] else None,
                bool(key[0] and key[1]) and sound(key[0]).letters == sound(key[1]).letters,
                "",
                times[key],
                cut_examples([word for word, _ in examples[key].most_common()], key[0])[:MAX_EXAMPLES],
            ),
            pupils[key],
        )
        for key in ranked
    ]


def _notations(rows: Sequence[Row]) -> Dict[str, Sequence[str]]:
    """Returns, of each sound that a recording names, its ARPAbet, IPA, letters, and a word that has it, if known."""
    named = {name for row in rows for phoneme, heard, *_ in row.sound_errors for name in (phoneme, heard) if name}
    return {name: sound(name) for name in sorted(named) if sound(name).example}


def _histogram(skill: int, rows: Sequence[Row], limits: Thresholds) -> Dict[str, Any]:
    """Returns how many have which score: counts by band, the median, and columns for a drawing of 100 by 100.

    `highest` is how many the highest column stands for. `class.js` draws it anew for a group.
    """
    found = [row.ratings[skill].value for row in rows]
    # Into the scale before anything is calculated: the mean of two scores of 1e308 is infinite.
    given = [round(min(max(value, 0.0), 100.0), 1) for value in found if value is not None]
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
    return {
        "name": RATED[skill],
        "counts": counts,
        "median": median(given) if given else None,
        "columns": columns,
        "highest": highest,
    }


def _levels(rows: Sequence[Row]) -> List[Tuple[str, int, float]]:
    """Returns, of each CEFR level, how many have it overall, and that as percent of the most frequent one."""
    found = [level_number(row.ratings[0].level) for row in rows]
    counts = [found.count(number) for number, _ in enumerate(LEVELS, 1)]
    return [(name, count, round(count / max(*counts, 1) * 100, 1)) for name, count in zip(LEVELS, counts)]


def _section(name: str, row: Row, twin: str, room: int) -> Dict[str, Any]:
    """Returns what `class.js` needs to make the section of a recording, without what is empty.

    Args:
        name: The recording's, as the page shows it.
        row: What is known of the recording.
        twin: The name of another of the same content, if there is one.
        room: How many characters of its transcript the page holds.
    """
    cut = row.transcript if len(row.transcript) <= room else row.transcript[: room - 1] + "…"
    found = {
        "name": name,
        "path": row.path if row.path != name else "",
        "scores": [(rounded(rating.value), rating.level, rating.word) for rating in row.ratings]
        if row.ratings is not UNRATED
        else [],
        "problem": PROBLEMS.index(row.problem) if row.problem else None,
        "reason": row.reason,
        "facts": row.facts if any(row.facts) else [],
        "columns": row.columns,
        "twin": twin,
        "warnings": row.warnings,
        "transcript": cut,
        "marks": row.marks[: cut.count(" ") + 1].rstrip("n"),
        "weak": row.weak_words,
        "sounds": [(*told, cut_examples(words, told[0])) for *told, words in row.sound_errors],
        "first": [_exercise(each, row) for each in row.first],
        "day": row.day,
        "sandbox": 1 if row.by_sandbox else None,
    }
    return {key: value for key, value in found.items() if value not in ("", None, [], ())}


def _exercise(first: First, row: Row) -> Sequence[Any]:
    """Returns something to practise: a sound's place or `None`, the words to hear it in, cut, and a word's score."""
    place, words, score = first
    if place is None:
        return None, [cut_at(word, None) for word in words], score
    symbol, *_, examples = row.sound_errors[place]
    cuts = [cut_at(word, symbol) for word in words]
    return place, cuts or cut_examples(examples, symbol)[:SHOWN_EXAMPLES], None
