"""The rows of a class: a recording's line in the journal, read and reduced to what the page shows of it.

Called by `classroom`. All text of the server and of the journal is made harmless and short here.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..exceptions import ElsaError
from ..journal import Entry, name_in, read
from ..results import facts
from ..results.assessment import Assessment, PhonemeError, Speaker
from ..results.bands import Thresholds, band
from ..results.facts import RATED, Measure, Practice, Rating, SoundError
from ..results.problems import NOT_BEGUN, NOT_HANDED_IN, TOO_SHORT, Problem, problem_of
from ..results.result import ScoreResult
from ..results.text import number, printable, rounded

__all__ = [
    "EQUIVALENTS",
    "FACTS",
    "MAX_CELL",
    "MAX_SENTENCE",
    "MAX_TRANSCRIPT",
    "UNRATED",
    "First",
    "Listed",
    "Row",
    "read_rows",
    "shown",
]

MAX_TRANSCRIPT = 6000  # characters; likewise below
MAX_SENTENCE = 300
MAX_STREAM_ID = 80
MAX_WORD = 40
MAX_LEVEL = 6
MAX_WORDS = 3000  # of a recording; likewise below
MAX_WARNINGS = 5
MAX_WEAK_WORDS = 8
MAX_SOUND_ERRORS = 6
MAX_EXAMPLES = 6
LOOK_AHEAD = 8  # scored words among which the next word of the transcript is looked for
MAX_COLUMNS = 8  # of a list
MAX_CELL = 80  # characters of a name, or of any other cell of a list
LONGEST_RECORDING = 1e9  # s: a line with a longer one is damaged


def _measures(speaker: Speaker) -> Sequence[Measure]:
    return [*facts.equivalents(speaker), *facts.delivery(speaker)[:2]]


FACTS = (*(measure.name for measure in _measures(Speaker({}))), "Speech", "Audio", "Quality", "Time", "Stream")
EQUIVALENTS = len(facts.equivalents(Speaker({})))  # how many of `FACTS` they are, the first ones
UNRATED = tuple(Rating(name) for name in RATED)  # of a recording that has no result

Spoken = Tuple[str, Optional[float]]  # a word and its score
First = Tuple[Optional[int], Tuple[str, ...], Optional[float]]
Listed = Tuple[str, Mapping[str, str]]  # a row of a list: a path, and what the other columns say of it


class Row(NamedTuple):
    """What the page shows of one recording.

    Attributes:
        path: Of the file, ready to be shown.
        file_name: The file's, without its folder: as it is, to be looked for, not shown.
        ratings: One for each of `RATED`.
        seconds: How long the recording is.
        problem: Why there is no overall score, if there is none.
        reason: What the server or the error says of that.
        facts: A text for each of `FACTS`, or `None`.
        warnings: What is wrong with the recording or its result.
        transcript: What was heard.
        marks: A letter for each word of the transcript: the first letter of its band's name.
        weak_words: The weakest words, with their scores.
        sound_errors: The most frequent ones: sound, what was heard, kind, count, examples.
        first: What to practise first: a sound's place among `sound_errors`, or `None` for a word; the words to hear it
            in; and the word's score.
        by_sandbox: Whether the sandbox made the result.
        day: When it was scored.
        columns: What a list says of the recording: names of columns, and cells.
        name: Whose it is, by that list; else empty.
        content: Equal in recordings of the same content; empty if that isn't known.
    """

    path: str
    file_name: str = ""
    ratings: Tuple[Rating, ...] = UNRATED
    seconds: Optional[float] = None
    problem: Optional[Problem] = None
    reason: str = ""
    facts: Tuple[Optional[str], ...] = (None,) * len(FACTS)
    warnings: Tuple[str, ...] = ()
    transcript: str = ""
    marks: str = ""
    weak_words: Tuple[Tuple[str, float], ...] = ()
    sound_errors: Tuple[Tuple[Any, ...], ...] = ()
    first: Tuple[First, ...] = ()
    by_sandbox: bool = False
    day: str = ""
    columns: Tuple[Tuple[str, str], ...] = ()
    name: str = ""
    content: str = ""


def read_rows(
    journal_path: Union[str, os.PathLike[str]], limits: Thresholds, listed: Sequence[Listed] = ()
) -> Tuple[Sequence[Row], Sequence[str]]:
    """Reads a journal.

    Args:
        journal_path: The journal.
        limits: Percent from which a score is fair, and from which it is good.
        listed: A list of those who were to hand in a recording, if the journal was made without it, or with an older
            one. Whom the journal doesn't know is a row, too.

    Returns:
        The rows that count, in the order of the journal; and the days on which its lines were written, in order.

    Raises:
        JournalError: The file can't be read, or is no journal.
    """
    found: List[_Found] = []
    days: Set[str] = set()
    columns: Dict[str, Mapping[str, str]] = {}  # by path: a later line without columns takes those of an earlier one
    for entry in read(journal_path):
        columns[entry.path] = entry.columns or columns.get(entry.path, {})
        row = _with_columns(_row(entry, limits), columns[entry.path])
        found.append(_Found(entry.sha256, entry.path, name_in(columns[entry.path]), entry.renamed_from, row))
        days.update(filter(None, [row.day]))
    newest = _newest(found)
    return (_join(newest, listed) if listed else [each.row for each in newest]), sorted(days)


class _Found(NamedTuple):
    """A line of the journal, as far as it matters for which lines count, and its row."""

    sha256: Optional[str]
    path: str
    name: str
    renamed_from: Optional[str]
    row: Row


def _newest(found: Sequence[_Found]) -> Sequence[_Found]:
    """Returns the lines that count, in order.

    Args:
        found: All lines, from the oldest on.
    """
    scored = {each.sha256 for each in found if each.row.problem is None}
    with_score = {each.path for each in found if each.row.problem is None}
    newest: List[_Found] = []
    later: Set[Tuple[str, str]] = set()  # the path and the name of each later line; and each path without a name
    known: Set[Tuple[Optional[str], str, str]] = set()
    # Content and path → how many later lines say that a recording had that path before. Two people may share it.
    renamed: Counter[Tuple[Optional[str], str]] = Counter()
    for each in reversed(found):
        who = (each.path, each.name)
        if each.row.problem is None:
            # Not by content alone: two pupils may have handed in the same file.
            replaced = (each.sha256, *who) in known
            known.add((each.sha256, *who))
        elif each.sha256 is None:
            replaced = who in later or each.path in with_score
        else:
            replaced = who in later or each.sha256 in scored
        if not replaced and renamed[each.sha256, each.path]:
            renamed[each.sha256, each.path] -= 1
        elif not replaced:
            newest.append(each)
        later.update((who, (each.path, "")))
        if each.renamed_from is not None:
            renamed[each.sha256, each.renamed_from] += 1
    return newest[::-1]


def _join(found: Sequence[_Found], listed: Sequence[Listed]) -> Sequence[Row]:
    """Returns the rows with what a list says of them; and a row for each of the list that has none."""
    rows: List[Row] = []
    by_path: Dict[str, List[_Found]] = {}
    for each in found:
        by_path.setdefault(os.path.abspath(each.path), []).append(each)
    elsewhere = _elsewhere([path for path, _ in listed if path], [each.path for each in found if each.path])
    taken: Set[int] = set()
    for path, columns in listed:
        name = name_in(columns)
        if path:
            places = by_path.get(os.path.abspath(elsewhere.get(path, path)), [])
            mine = [each for each in places if each.name == name]
            mine = mine or [each for each in places if not each.name] or list(places[-1:])
        else:
            mine = places = [each for each in found if not each.path and each.name == name]
        taken.update(map(id, places))  # also those that the list now has under another name
        rows += [_with_columns(each.row, columns) if columns else each.row for each in mine]
        if not mine:
            problem = NOT_BEGUN if path and os.path.exists(path) else NOT_HANDED_IN
            rows.append(_with_columns(Row(shown(path, MAX_SENTENCE), _file_name(path), problem=problem), columns))
    return [*(each.row for each in found if id(each) not in taken), *rows]


def _elsewhere(listed: Sequence[str], known: Sequence[str]) -> Dict[str, str]:
    """Returns the journal's paths of recordings that the list names as from another folder: listed path → known path.

    One of the two must be the end of the other, as `7b/Ana.wav` is of `answers/7b/Ana.wav`, and no other path may fit:
    else somebody who has handed in nothing would get another's score.
    """
    ours, theirs = (set(map(os.path.abspath, paths)) for paths in (listed, known))
    free: Dict[str, List[str]] = {}
    for path in dict.fromkeys(known):
        if os.path.abspath(path) not in ours:
            free.setdefault(os.path.basename(path), []).append(path)
    fitting: Dict[str, List[str]] = {}  # known path → listed paths
    for path in dict.fromkeys(listed):
        if os.path.abspath(path) not in theirs:
            fits = [each for each in free.get(os.path.basename(path), []) if _is_end(path, each)]
            for each in fits:
                fitting.setdefault(each, []).extend([path] * len(fits))  # several entries: the fit isn't the only one
    return {paths[0]: each for each, paths in fitting.items() if len(paths) == 1}


def _is_end(path: str, other: str) -> bool:
    """Returns whether one of two paths is the end of the other, by whole names."""
    parts = [os.path.normpath(each).replace("\\", "/").strip("/").split("/") for each in (path, other)]
    shorter, longer = sorted(([name for name in names if name != ".."] for names in parts), key=len)
    return longer[-len(shorter) :] == shorter


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _with_columns(row: Row, columns: Mapping[str, str]) -> Row:
    told = tuple((shown(name, MAX_WORD), shown(cell, MAX_CELL)) for name, cell in list(columns.items())[:MAX_COLUMNS])
    return row._replace(columns=told, name=shown(name_in(columns), MAX_CELL))


def shown(value: object, limit: int) -> str:
    """Returns text of the server that is safe to show: on one line, at most `limit` characters, else cut."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 2 * limit].split())
    return printable(line if len(line) <= limit else line[: limit - 1] + "…")


# From a line to a row. `read()` has checked that the line is one of a journal, but not the types of all its values.


def _row(entry: Entry, limits: Thresholds) -> Row:
    line = entry.raw
    seconds = line.get("audio_seconds")
    if not isinstance(seconds, (int, float)) or not 0 < seconds < LONGEST_RECORDING:
        seconds = None
    day = re.match(r"\d{4}-\d\d-\d\d(?=T)", entry.time[:MAX_WORD], re.ASCII)
    known = Row(
        shown(line["path"], MAX_SENTENCE) or "unnamed",
        _file_name(entry.path),
        seconds=seconds,
        content=entry.sha256 or "",
        day=day[0] if day else "",
    )
    if line["outcome"] == "success":
        warnings = tuple(each for each in line.get("warnings") or () if isinstance(each, str))
        return _scored(
            known, line, ScoreResult(line["result"], audio_seconds=known.seconds or 0.0, warnings=warnings), limits
        )
    problem, error = problem_of(entry.error or ElsaError()), line["error"]
    reason = shown(error.get("reason"), MAX_SENTENCE) or shown(error.get("message"), MAX_SENTENCE)
    return known._replace(
        problem=problem,
        reason="" if problem is NOT_HANDED_IN else reason,  # it would only repeat that
        facts=_facts(line, None, Speaker({}), known.seconds),
    )


def _scored(known: Row, line: Mapping[str, Any], result: ScoreResult, limits: Thresholds) -> Row:
    assessment = result.assessment
    speaker = next(iter(assessment.speakers if assessment else ()), None) or Speaker({})
    ratings = facts.ratings(speaker, limits)
    problem = problem_of(result)
    # A view reads the server's object anew at each access, and a class has a million words: so read each one once.
    heard = facts.words(speaker)[:MAX_WORDS]
    spoken = [(shown(word.text, MAX_WORD), word.score) for word in heard]
    transcript = shown(facts.transcript(speaker, assessment.transcript if assessment else None), MAX_TRANSCRIPT)
    told = [shown(warning, MAX_SENTENCE) for warning in result.warnings]
    if result.partial_error and problem is not TOO_SHORT:
        told.insert(0, f"partial assessment: {shown(result.partial_error, MAX_WORD)}")
    found = facts.sound_errors(speaker)[:MAX_SOUND_ERRORS]
    return known._replace(
        first=_first(facts.practise(speaker, heard, limits), spoken, found),
        ratings=tuple(
            each._replace(level=shown(each.level, MAX_LEVEL), word=shown(each.word, MAX_WORD)) for each in ratings
        ),
        problem=problem,
        facts=_facts(line, assessment, speaker, known.seconds),
        warnings=tuple(filter(None, told))[:MAX_WARNINGS],
        transcript=transcript,
        marks=_marks(transcript, spoken, limits),
        weak_words=_weak_words(spoken, limits),
        sound_errors=tuple(_sound_error(*each) for each in found),
        by_sandbox=facts.is_by_sandbox(result),
    )


def _facts(
    line: Mapping[str, Any], assessment: Optional[Assessment], speaker: Speaker, seconds: Optional[float]
) -> Tuple[Optional[str], ...]:
    """Returns a text for each of `FACTS`."""
    quality = None if assessment is None else shown(assessment.recording_quality, MAX_WORD)
    time = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", shown(line.get("time"), MAX_WORD))
    numbers = [(measure.value, measure.unit) for measure in _measures(speaker)]
    numbers += [(speaker.total_time, "s"), (seconds, "s")]
    return (
        *(None if value is None else f"{number(value)} {unit}".rstrip() for value, unit in numbers),
        facts.by_elsa(quality) or None,
        f"{time[1]} {time[2]} UTC" if time else None,
        shown(line.get("stream_id"), MAX_STREAM_ID) or None,
    )


def _marks(transcript: str, spoken: Sequence[Spoken], limits: Thresholds) -> str:
    """Returns a letter for each word of the transcript, found among the scored words in the order they were said."""
    bare = [facts.bare(text) for text, _ in spoken]
    marks, done = [], 0
    for token in map(facts.bare, transcript.split(" ")):
        ahead = bare[done : done + LOOK_AHEAD]
        found = done + ahead.index(token) if token and token in ahead else None
        marks.append("n" if found is None else band(spoken[found][1], limits)[0])
        done = done if found is None else found + 1
    return "".join(marks)


def _weak_words(spoken: Sequence[Spoken], limits: Thresholds) -> Tuple[Tuple[str, float], ...]:
    worst: Dict[str, Tuple[str, float]] = {}  # by word: one that is weak in several places is shown once
    for index in facts.weakest([score for _, score in spoken], limits):
        text, score = spoken[index]
        worst.setdefault(facts.bare(text), (text, round(score or 0.0, 1)))
    return tuple(worst.values())[:MAX_WEAK_WORDS]


def _first(practised: Sequence[Practice], spoken: Sequence[Spoken], found: Sequence[SoundError]) -> Tuple[First, ...]:
    return tuple(
        (
            None if each.sound is None else found.index(each.sound),
            tuple(spoken[index][0] for index in each.words),
            None if each.sound else rounded(spoken[each.words[0]][1]),
        )
        for each in practised
    )


def _sound_error(phoneme: Optional[str], error: PhonemeError) -> Tuple[Any, ...]:
    return (
        shown(phoneme, MAX_WORD),
        shown(error.error_phoneme, MAX_WORD),
        shown(error.type, MAX_WORD),
        error.count or 0,
        [shown(word, MAX_WORD) for word in facts.examples(error)[:MAX_EXAMPLES]],
    )
