"""The page of a class: what it shows of many recordings, from a journal. Called by the command line.

A page of 1,000 recordings must stay below 5 MB, so it holds of each only what its section shows, and of long
transcripts of large classes only the beginning. The sections are made by `class.js` when they are looked at.
"""

from __future__ import annotations

import functools
import os
import re
from statistics import median
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ..journal import read
from ..results.assessment import Assessment, Score, Speaker
from ..results.facts import ENOUGH_SPEECH, is_by_sandbox, is_short, printable
from ..results.result import ScoreResult
from . import render
from .bands import BANDS, Thresholds, band, check_thresholds
from .drawing import LEVELS, level

__all__ = ["class_page"]

DEFAULT_TITLE = "Class report"

SKILLS = ("Overall", "Pronunciation", "Intonation", "Fluency", "Grammar", "Vocabulary")
SHORT = {"Pronunciation": "Pron.", "Intonation": "Inton.", "Grammar": "Gram.", "Vocabulary": "Vocab."}  # for a phone
FACTS = (
    "IELTS",
    "TOEFL",
    "TOEIC",
    "PTE",
    "Words per minute",
    "Pausing",
    "Speech",
    "Audio",
    "Quality",
    "Time",
    "Stream",
)

TRANSCRIPTS = 2_500_000  # characters of all transcripts together: half of the page
MAX_TRANSCRIPT, MIN_TRANSCRIPT = 6000, 200  # characters of one
MAX_NAME = 120  # characters; likewise below
MAX_SENTENCE = 300
MAX_WORD = 40
MAX_WORDS = 3000  # of a recording
MAX_LEVEL = 6
MAX_WARNINGS = 5
MAX_WEAK_WORDS = 8
MAX_SOUND_ERRORS = 6
MAX_EXAMPLES = 6
LOOK_AHEAD = 8  # words that may be missing in a transcript before the next one is not found
SHOWN_NAMES = 8  # of a group; the others are folded
FOREVER = 1e9  # s: more is no length of a recording
BINS = 20  # of a histogram, each of 5 %


Spoken = Tuple[str, Optional[float]]  # a word and its score


class Problem(NamedTuple):
    """Why there is no score, and what helps."""

    title: str
    advice: str
    command: str = ""


TOO_SHORT = Problem("Not enough speech", f"Record again, and speak for longer. {ENOUGH_SPEECH}")
NO_SCORE = Problem("No score given", f"Listen to them, then record again. {ENOUGH_SPEECH}")
BAD_QUALITY = Problem("Bad recording quality", "Record again in a quiet room, with the microphone close to the mouth.")
REJECTED = Problem("Turned down by the server", "Listen to them, then record again. The server's reasons are given.")
UNREADABLE = Problem(
    "Not readable as audio", "The file is missing, empty or damaged. Record again, or send a WAV file."
)
BROKEN = Problem(
    "Not scored yet",
    "These recordings may be fine: the exchange with the server broke off. Run the batch again, with",
    "--retry-failed",
)
NOT_INCLUDED = Problem(
    "Scores not included",
    "These were scored, but the assessment did not come along. It comes with the premium plan and with return_json on.",
)
PROBLEMS = (TOO_SHORT, BAD_QUALITY, UNREADABLE, REJECTED, NO_SCORE, BROKEN, NOT_INCLUDED)
AGAIN = (TOO_SHORT, BAD_QUALITY, UNREADABLE, REJECTED, NO_SCORE)  # those that a new recording helps
OF_ERROR = {"BadQualityError": BAD_QUALITY, "ScoringFailedError": REJECTED, "AudioError": UNREADABLE}


class Recording(NamedTuple):
    """What the page shows of one recording."""

    path: str
    scores: Tuple[Score, ...] = (Score(),) * len(SKILLS)
    seconds: Optional[float] = None
    problem: Optional[Problem] = None
    reason: str = ""
    facts: Tuple[Optional[str], ...] = (None,) * len(FACTS)
    warnings: Tuple[str, ...] = ()
    transcript: str = ""
    marks: str = ""  # a letter for each word of the transcript: the first of its band's name
    weak_words: Tuple[Tuple[str, float], ...] = ()
    sound_errors: Tuple[Tuple[Any, ...], ...] = ()
    by_sandbox: bool = False


def class_page(
    journal_path: Union[str, os.PathLike[str]],
    *,
    thresholds: Thresholds = (60, 80),
    title: Optional[str] = None,
) -> str:
    """Renders the journal of a batch as one HTML file that needs nothing else.

    The newest line about each recording counts. One without a score is passed over when the same content was scored
    under whatever name, or another recording took its place under its name. What was scored stays, though.

    Args:
        journal_path: What `score_many(journal=…)` wrote.
        thresholds: Percent from which a score is fair, and from which it is good.
        title: The page's; default: "Class report".

    Raises:
        ValueError: The thresholds make no sense.
        JournalError: The file can't be read, or is no journal.
    """
    limits = check_thresholds(thresholds)
    lines: List[Tuple[str, str, Recording]] = []
    days: Set[str] = set()
    for entry in read(journal_path):
        lines.append((entry.sha256, entry.path, _recording(entry.raw, limits)))
        days.update(re.findall(r"^\d{4}-\d\d-\d\d(?=T)", entry.time[:MAX_WORD], re.ASCII))
    newest = _newest(lines)
    names = _names([recording.path for recording in newest])
    named = sorted(zip(names, newest), key=lambda pair: _natural(pair[0]))
    recordings = [recording for _, recording in named]
    names = [name for name, _ in named]
    room = max(MIN_TRANSCRIPT, min(MAX_TRANSCRIPT, TRANSCRIPTS // max(1, len(named))))
    return render.page(
        "class.html",
        styles=["class.css"],
        scripts=["class.js"],
        title=_text(title, MAX_SENTENCE) or DEFAULT_TITLE,
        limits=limits,
        days=sorted(days),
        skills=[(skill, SHORT.get(skill, skill)) for skill in SKILLS],
        percent=_percent,
        rows=list(enumerate(zip(names, recordings))),
        groups=list(_groups(names, recordings)),
        to_record=sum(recording.problem in AGAIN for recording in recordings),
        shown_names=SHOWN_NAMES,
        histograms=[_histogram(index, recordings, limits) for index in range(len(SKILLS))],
        levels=_levels(recordings),
        sandboxed=sum(recording.by_sandbox for recording in recordings),
        data={
            "skills": SKILLS,
            "facts": FACTS,
            "limits": limits,
            "problems": [(problem.title, f"{problem.advice} {problem.command}".strip()) for problem in PROBLEMS],
            "recordings": [_section(name, recording, room) for name, recording in zip(names, recordings)],
        },
    )


def _newest(lines: Sequence[Tuple[str, str, Recording]]) -> Sequence[Recording]:
    """Returns the recordings that count, of all with the hashes of their contents and their paths, in order."""
    scored = {sha256 for sha256, _, recording in lines if recording.problem is None}
    found: List[Recording] = []
    paths: Set[str] = set()
    known: Set[Tuple[str, str]] = set()
    for sha256, path, recording in reversed(lines):
        if recording.problem is not None:
            replaced = sha256 in scored or path in paths
        else:
            replaced = (sha256, path) in known  # and not by content alone: two may have handed in one file
            known.add((sha256, path))
        paths.add(path)
        if not replaced:
            found.append(recording)
    return found[::-1]


# From a line of the journal to a recording: `read()` has looked at its shape, not at what stands in each place.


def _recording(line: Mapping[str, Any], limits: Thresholds) -> Recording:
    seconds = line.get("audio_seconds")
    if not isinstance(seconds, (int, float)) or not 0 < seconds < FOREVER:
        seconds = None
    known = Recording(_text(line["path"], MAX_SENTENCE) or "unnamed", seconds=seconds)
    if line["outcome"] == "success":
        return _scored(known, line, ScoreResult(line["result"], audio_seconds=known.seconds or 0.0), limits)
    facts = line["error"]
    reason = _text(facts.get("reason"), MAX_SENTENCE) or _text(facts.get("message"), MAX_SENTENCE)
    return known._replace(
        problem=OF_ERROR.get(str(facts.get("type")), BROKEN),
        reason=reason,
        facts=_facts(line, None, None, known.seconds),
    )


def _scored(known: Recording, line: Mapping[str, Any], result: ScoreResult, limits: Thresholds) -> Recording:
    assessment = result.assessment
    speaker = next(iter(assessment.speakers if assessment else ()), None) or Speaker({})
    scores = (speaker.scores.overall, *speaker.scores.skills.values())
    problem = None
    if assessment is None:
        problem = NOT_INCLUDED
    elif scores[0].value is None:
        problem = TOO_SHORT if is_short(speaker, result) else NO_SCORE
    # Views read anew at each look: a class has a million words.
    found_words = [(word.text, word.score) for utterance in speaker.utterances for word in utterance.words]
    words = [(_text(text, MAX_WORD), score) for text, score in found_words[:MAX_WORDS] if text]
    transcript = _transcript(assessment, speaker, words)
    warnings = line.get("warnings")
    found = [_text(warning, MAX_SENTENCE) for warning in (warnings if isinstance(warnings, list) else ())]
    if result.partial_error and problem is not TOO_SHORT:
        found.insert(0, f"partial assessment: {_text(result.partial_error, MAX_WORD)}")
    return known._replace(
        scores=tuple(Score(s.value, _text(s.decision, MAX_WORD), _text(s.cefr, MAX_LEVEL)) for s in scores),
        problem=problem,
        facts=_facts(line, assessment, speaker, known.seconds),
        warnings=tuple(filter(None, found))[:MAX_WARNINGS],
        transcript=transcript,
        marks=_marks(transcript, words, limits),
        weak_words=_weak_words(words, limits),
        sound_errors=_sound_errors(speaker),
        by_sandbox=is_by_sandbox(result),
    )


def _text(value: object, limit: int) -> str:
    """Returns text of the server that is safe to show: on one line, at most `limit` characters, else cut."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 2 * limit].split())
    return printable(line if len(line) <= limit else line[: limit - 1] + "…")


def _facts(
    line: Mapping[str, Any], assessment: Optional[Assessment], speaker: Optional[Speaker], seconds: Optional[float]
) -> Tuple[Optional[str], ...]:
    """Returns a text for each of `FACTS`."""
    speaker = speaker or Speaker({})
    equivalents, metrics = speaker.equivalents, speaker.metrics
    quality = None if assessment is None else _text(assessment.recording_quality, MAX_WORD)
    time = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", _text(line.get("time"), MAX_WORD))
    numbers = (
        *[(equivalents.ielts, ""), (equivalents.toefl, ""), (equivalents.toeic, ""), (equivalents.pte, "")],
        *[(metrics.words_per_minute, ""), (metrics.pausing_score, " %"), (speaker.total_time, " s"), (seconds, " s")],
    )
    shown = [None if value is None else f"{value:.4g}{unit}" for value, unit in numbers]
    return (
        *shown,
        quality or None,
        f"{time[1]} {time[2]} UTC" if time else None,
        _text(line.get("stream_id"), 80) or None,
    )


def _transcript(assessment: Optional[Assessment], speaker: Speaker, words: Sequence[Spoken]) -> str:
    said = " ".join(text for text in (utterance.text for utterance in speaker.utterances) if text)
    whole = (assessment.transcript if assessment else None) or said or " ".join(text for text, _ in words)
    return _text(whole, MAX_TRANSCRIPT)


def _marks(transcript: str, words: Sequence[Spoken], limits: Thresholds) -> str:
    """Returns a letter for each word of the transcript, found among the scored words in the order they were said."""
    spoken = [_bare(text) for text, _ in words]
    marks, done = [], 0
    for token in map(_bare, transcript.split(" ")):
        ahead = range(done, min(done + LOOK_AHEAD, len(spoken)))
        found = next((index for index in ahead if token and spoken[index] == token), None)
        marks.append("n" if found is None else band(words[found][1], limits)[0])
        done = done if found is None else found + 1
    return "".join(marks)


@functools.lru_cache(4096)
def _bare(word: str) -> str:
    return re.sub(r"[^\w']+", "", word).casefold()


def _weak_words(words: Sequence[Spoken], limits: Thresholds) -> Tuple[Tuple[str, float], ...]:
    worst: Dict[str, Tuple[str, float]] = {}
    for text, score in words:
        if score is not None and score < limits[1] and score < worst.get(_bare(text), ("", limits[1]))[1]:
            worst[_bare(text)] = (text, round(score, 1))
    return tuple(sorted(worst.values(), key=lambda pair: pair[1])[:MAX_WEAK_WORDS])


def _sound_errors(speaker: Speaker) -> Tuple[Tuple[Any, ...], ...]:
    """Returns the most frequent: sound, what was heard, kind, count, examples."""
    found = [(error.count or 0, top.phoneme, error) for top in speaker.top_errors for error in top.errors]
    found.sort(key=lambda item: -item[0])
    return tuple(
        (
            _text(phoneme, MAX_WORD),
            _text(error.error_phoneme, MAX_WORD),
            _text(error.type, MAX_WORD),
            count,
            [_text(example.text, MAX_WORD) for example in error.examples[:MAX_EXAMPLES]],
        )
        for count, phoneme, error in found[:MAX_SOUND_ERRORS]
    )


def _percent(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1e4 else f"{value:.3g}"


# Names: of paths, what tells them apart.

# A backslash separates folders on Windows; but `printable()` has spelled out characters with one, too.
BACKSLASH = re.compile(r"\\(?!x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def _names(paths: Sequence[str]) -> List[str]:
    """Returns the paths without the folders, and without the ending, that all of them share."""
    parts = [BACKSLASH.sub("/", path).split("/") for path in paths]
    shared = 0
    while parts and all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    names = ["/".join(part[shared:]) for part in parts]
    endings = {os.path.splitext(name)[1] for name in names}
    if len(endings) == 1 and len(names) > 1:
        names = [os.path.splitext(name)[0] for name in names]
    return [name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…" for name in names]


def _natural(name: str) -> Tuple[Any, ...]:
    """Sorts `Student 9` before `Student 10`."""
    pieces = re.split(r"(\d+)", name.casefold())
    return tuple((int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces)


# What the template and the script are given.


def _groups(
    names: Sequence[str], recordings: Sequence[Recording]
) -> Iterator[Tuple[Problem, str, List[Tuple[int, str, str]]]]:
    """Yields each problem, the reason if all who have it share one, and who has it, with the reason else."""
    for problem in PROBLEMS:
        found = [(index, each.reason) for index, each in enumerate(recordings) if each.problem is problem]
        reasons = {reason for _, reason in found}
        shared = next(iter(reasons)) if len(reasons) == 1 and len(found) > 1 else ""
        if found:
            yield problem, shared, [(index, names[index], "" if shared else reason) for index, reason in found]


def _histogram(skill: int, recordings: Sequence[Recording], limits: Thresholds) -> Dict[str, Any]:
    """Returns how many have which score: counts by band, the median, and columns for a drawing of 100 by 100."""
    values = [recording.scores[skill].value for recording in recordings]
    given = [value for value in values if value is not None]
    heights = {(index, name): 0 for index in range(BINS) for name in BANDS}
    for value in given:
        heights[min(max(int(value * BINS / 100), 0), BINS - 1), band(value, limits)] += 1
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
    counts = {name: sum(band(value, limits) == name for value in values) for name in BANDS}
    return {"name": SKILLS[skill], "counts": counts, "median": median(given) if given else None, "columns": columns}


def _levels(recordings: Sequence[Recording]) -> List[Tuple[str, int, float]]:
    """Returns, of each CEFR level, how many have it overall, and that as percent of the most frequent one."""
    found = [level(recording.scores[0].cefr) for recording in recordings]
    counts = [found.count(index) for index, _ in enumerate(LEVELS, 1)]
    return [(name, count, round(count / max(*counts, 1) * 100, 1)) for name, count in zip(LEVELS, counts)]


def _section(name: str, recording: Recording, room: int) -> Dict[str, Any]:
    """Returns what `class.js` makes the section of; what is empty is left out."""
    cut = recording.transcript if len(recording.transcript) <= room else recording.transcript[: room - 1] + "…"
    found = {
        "name": name,
        "path": recording.path if recording.path != name else "",
        "scores": [
            [None if score.value is None else round(score.value, 1), score.cefr, score.decision]
            for score in recording.scores
        ]
        if recording.scores != Recording("").scores
        else [],
        "problem": PROBLEMS.index(recording.problem) if recording.problem else None,
        "reason": recording.reason,
        "facts": recording.facts if any(recording.facts) else [],
        "warnings": recording.warnings,
        "transcript": cut,
        "marks": recording.marks[: cut.count(" ") + 1].rstrip("n"),
        "weak": recording.weak_words,
        "sounds": recording.sound_errors,
    }
    return {key: value for key, value in found.items() if value not in ("", None, [], ())}
