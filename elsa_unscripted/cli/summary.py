"""A result as terminal text: its sections, from top to bottom, laid out on a `Sheet`. Called by `result`.

What the sections say is worked out in `results.facts`. Every text of the server is untrusted: it goes through
`Sheet.paragraph()` or `Sheet.piece()`.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..results import facts
from ..results.assessment import Assessment, Speaker, Word
from ..results.bands import THRESHOLDS
from ..results.facts import Measure, Rating
from ..results.problems import NOT_INCLUDED, TOO_SHORT, problem_of
from ..results.result import ScoreResult
from ..results.text import find_words, number, percent
from .sheet import (
    BAD,
    DIM,
    FINE,
    MAX_CHARACTERS,
    MIDDLING,
    MIN_WIDTH,
    PLAIN,
    STRONG,
    TIE,
    Sheet,
    cells,
    chunks,
    pad,
    wrap,
)
from .terminal import PROGRAM

__all__ = ["summarize"]

BAR_WIDTH = 20  # columns at most
MAX_WEAK_WORDS = 10
MAX_SOUND_ERRORS = 5
MAX_EXAMPLES = 8
MAX_MEASURES = 3  # of the delivery: what fits on a line
COLORS = {"good": FINE, "fair": MIDDLING, "weak": BAD}
SHORTER = {"stream opened": "stream", "end of stream": "audio sent"}  # names of moments here, where room is scarce

Section = Sequence[str]


def summarize(
    result: ScoreResult,
    *,
    width: int = 80,
    color: bool = False,
    ascii_only: bool = False,
    verbose: bool = False,
    has_page: bool = False,
) -> str:
    """Renders a result as lines of text, without a line break at the end.

    Args:
        result: What `score()` returned.
        width: Columns of the terminal; 40 at least.
        color: Whether to use ANSI colours. Nothing is told by colour alone.
        ascii_only: Whether to keep to ASCII, for a C locale; other characters become `\\xe9` and the like.
        verbose: Whether to add the links, the stream and the timing.
        has_page: Whether somebody has made the page of the result, so that nobody needs to be told how.
    """
    sheet = Sheet(max(width, MIN_WIDTH), ascii_only)
    text = "\n\n".join("\n".join(section) for section in _sections(sheet, result, verbose, has_page) if section)
    return sheet.finish(text, color=color)


def _sections(sheet: Sheet, result: ScoreResult, verbose: bool, has_page: bool) -> Iterator[Section]:
    assessment = result.assessment
    yield _sandbox(sheet, result)
    if assessment is None:
        yield sheet.row("Assessment", f"{STRONG}none{PLAIN}", facts.no_assessment(result))
    else:
        yield from _assessment(sheet, assessment, result)
    yield _quality(sheet, result, assessment)
    ended_by = facts.ended_by(result)
    yield sheet.row("Ended by", _tied(ended_by)) if ended_by else ()
    if verbose:
        yield _exchange(sheet, result)
    if not has_page or problem_of(result) is not None:
        yield sheet.row("Next", _next_step(result))


def _next_step(result: ScoreResult) -> str:
    """Returns what to do next, in a sentence or two."""
    problem = problem_of(result)
    if problem is None:
        return f"A page: {PROGRAM} report FILE, of a result that was saved with score --format saved -o FILE."
    if problem is NOT_INCLUDED:
        return "Score again with --plan premium, which has the assessment."
    return f"Record again, {'and speak for longer' if problem is TOO_SHORT else 'after listening to this one'}."


def _assessment(sheet: Sheet, assessment: Assessment, result: ScoreResult) -> Iterator[Section]:
    speakers = assessment.speakers
    if not speakers:
        yield _nothing_scored(sheet, f"{facts.NO_SPEAKER} {facts.reason(result)}")
    for speaker in speakers:
        if len(speakers) > 1:
            yield sheet.row("Speaker", f"{STRONG}{sheet.paragraph(speaker.speaker_id or 'unnamed')}{PLAIN}")
        yield from _scores(sheet, speaker, result)
        yield _measures(sheet, speaker, result.audio_seconds)
        yield _transcript(sheet, speaker, assessment.transcript if len(speakers) == 1 else None)
        yield _sound_errors(sheet, speaker)
    if len(speakers) != 1 and assessment.transcript:
        yield sheet.row("Transcript", sheet.paragraph(assessment.transcript))


def _sandbox(sheet: Sheet, result: ScoreResult) -> Section:
    if not facts.is_by_sandbox(result):
        return ()
    lines = sheet.row("Sandbox", f"{MIDDLING}{facts.SANDBOX}{PLAIN}")
    named = [f"{sheet.piece(name, 30)} {sheet.piece(value, 30)}" for name, value in facts.measured(result)]
    return [*lines, *sheet.row("  measured", ", ".join(named))] if named else lines


def _scores(sheet: Sheet, speaker: Speaker, result: ScoreResult) -> Iterator[Section]:
    overall, *skills = facts.ratings(speaker)
    reason = facts.reason(result, speaker)
    if not speaker.scores.any_scored:
        yield _nothing_scored(sheet, reason if facts.is_short(speaker, result) else f"{facts.NO_SCORE} {reason}")
        return
    stated = facts.by_elsa(sheet.piece(overall.level, 6), sheet.piece(overall.word, sheet.body))
    parts = (_percent(overall.value), "" if overall.value is None else overall.band, stated)
    yield sheet.row("Overall", STRONG + "  ".join(filter(None, parts)) + PLAIN)
    bars = [line for skill in skills for line in sheet.row(skill.name, *_bar(sheet, skill))]
    if any(skill.value is None for skill in skills):
        bars += sheet.row("", f"{DIM}{_tied(reason)}{PLAIN}")
    low, high = THRESHOLDS
    legend = f"weak below {low:g}, fair from {low:g}, good from {high:g}{TIE}%: ours, not ELSA's"
    yield bars + sheet.row("", f"{DIM}{legend}{PLAIN}")


def _nothing_scored(sheet: Sheet, why: str) -> Section:
    return sheet.row("Overall", f"{STRONG}not scored{PLAIN}", _tied(why))


def _tied(sentence: str) -> str:
    return sentence.replace(" s of", f"{TIE}s of")


def _bar(sheet: Sheet, skill: Rating) -> Sequence[str]:
    """Returns the lines of a skill: our band beside the bar, then what ELSA says, below if there is no room beside."""
    if skill.value is None:
        return [f"{DIM}not enough speech{PLAIN}"]
    size = min(BAR_WIDTH, sheet.body - 15)
    full = round(min(max(skill.value, 0.0), 100.0) / 100 * size)
    row = f"{COLORS[skill.band]}{'█' * full}{DIM}{'░' * (size - full)}{PLAIN} {_percent(skill.value):>8}  {skill.band}"
    stated = facts.by_elsa(sheet.piece(skill.level, 6), sheet.piece(skill.word, sheet.body))
    if cells(row) + 2 + cells(stated) <= sheet.body:
        return [f"{row}  {stated}".rstrip(" ")]
    return [row, stated] if stated else [row]


def _measures(sheet: Sheet, speaker: Speaker, audio_seconds: float) -> Section:
    equivalents = [f"{each.name} {number(each.value)}" for each in facts.equivalents(speaker) if each.value is not None]
    delivery = facts.delivery(speaker)[:MAX_MEASURES]
    lengths = (("audio", audio_seconds or None), ("speech", speaker.total_time))
    rows = {
        "Equivalents": [*equivalents[:-1], f"{equivalents[-1]} (estimated)"] if equivalents else [],
        "Delivery": [_measure(sheet, each, each.value) for each in delivery if each.value is not None],
        "Length": [f"{number(seconds)} s of {what}" for what, seconds in lengths if seconds is not None],
    }
    return [line for label, told in rows.items() if told for line in sheet.row(label, ", ".join(told))]


def _measure(sheet: Sheet, measure: Measure, value: float) -> str:
    name = measure.name.lower()
    level = f" ({facts.by_elsa(sheet.piece(measure.level, 6))})" if measure.level else ""
    return f"{name} {number(value)} {measure.unit}{level}" if measure.unit else f"{number(value)} {name}"


def _transcript(sheet: Sheet, speaker: Speaker, whole: Optional[str]) -> Section:
    text = facts.transcript(speaker, whole)
    if not text.strip():
        return ()
    words = facts.words(speaker)
    most = min(MAX_WEAK_WORDS, 1 + len(words) // 5)  # a text full of marks shows nothing
    weak = [words[index] for index in facts.weakest([word.score for word in words])[:most]]
    lines = sheet.row("Transcript", _mark(sheet, sheet.paragraph(text), words, weak))
    if weak:
        worst: Dict[str, Word] = {}  # by word: one that is weak in several places is shown once
        for word in weak:
            worst.setdefault((word.text or "").casefold(), word)
        told = ", ".join(f"{sheet.piece(word.text, 24)} {_percent(word.score)}" for word in worst.values())
        lines += sheet.row("  [weakest]", f"{DIM}{told}{PLAIN}")
    return lines


def _mark(sheet: Sheet, text: str, words: Sequence[Word], weak: Sequence[Word]) -> str:
    """Puts brackets around the weak words."""
    marked, done = "", 0
    spelled = [sheet.paragraph(word.text or "") for word in words[:MAX_CHARACTERS]]
    for word, place in zip(words, find_words(text, spelled)):
        if place and any(word is other for other in weak):
            start, end = place
            marked += f"{text[done:start]}{BAD}[{text[start:end]}]{PLAIN}"
            done = end
    return marked + text[done:]


def _sound_errors(sheet: Sheet, speaker: Speaker) -> Section:
    found = facts.sound_errors(speaker)
    rows: List[Tuple[str, str, str, str]] = []
    for phoneme, error in found[:MAX_SOUND_ERRORS]:
        heard = f" → {sheet.piece(error.error_phoneme, 6)}" if error.error_phoneme else ""
        examples = ", ".join(facts.examples(error)[:MAX_EXAMPLES])
        times = f"{error.count}{TIE}x" if error.count else ""
        rows.append((sheet.piece(phoneme or "?", 6) + heard, sheet.piece(error.type, 14), times, examples))
    if not rows:
        return ()
    widths = [max(cells(row[column]) for row in rows) for column in range(3)]
    gap = "  " if sum(widths) + 4 <= sheet.body else " "  # on a narrow terminal
    lines = []
    for sound, kind, times, examples in rows:
        start = gap.join((pad(sound, widths[0]), pad(kind, widths[1]), f"{times:>{widths[2]}}")).rstrip(" ")
        room = sheet.body - cells(start) - 2
        shown = sheet.paragraph(examples)
        if shown and cells(shown) <= room:
            lines.append(f"{start}  {DIM}{shown}{PLAIN}")
        else:  # below, with an indent
            lines += [start, *(f"  {DIM}{each}{PLAIN}" for each in wrap(shown, sheet.body - 2) if each)]
    if len(found) > len(rows):
        lines.append(f"{DIM}and {len(found) - len(rows)} more{PLAIN}")
    return sheet.row("Sound errors", *lines)


def _quality(sheet: Sheet, result: ScoreResult, assessment: Optional[Assessment]) -> Section:
    stated = [] if assessment is None else [assessment.recording_quality, assessment.assessment_quality]
    named = [f"{name} {sheet.piece(word, 40)}" for name, word in zip(("recording", "assessment"), stated) if word]
    told = facts.by_elsa(*named)
    warnings = [sheet.paragraph(warning) for warning in result.warnings]
    if result.partial_error:
        shortfall = facts.shortfall(result)
        more = f" ({_tied(shortfall)})" if shortfall else ""
        warnings.insert(0, f"partial assessment: {sheet.piece(result.partial_error, 40)}{more}")
    lines = [told] if told else []
    return sheet.row("Quality", *lines, *(f"{MIDDLING}! {warning}{PLAIN}" for warning in warnings))


def _exchange(sheet: Sheet, result: ScoreResult) -> Section:
    lines: List[str] = []
    for label, link in (("Result link", result.result_link), ("Audio link", result.audio_link)):
        if link:
            lines += _whole(sheet, label, link)
    if result.stream_id:
        lines += _whole(sheet, "Stream", result.stream_id)
    moments = [(SHORTER.get(name, name), seconds) for name, seconds in facts.moments(result)]
    timings = ", ".join(f"{name} {seconds:.2f}{TIE}s" for name, seconds in moments)
    return lines + (sheet.row("Timing", timings) if timings else [])


def _whole(sheet: Sheet, label: str, text: str) -> List[str]:
    """Lays out what people copy: a link, or a stream's name."""
    safe = sheet.paragraph(text)
    if cells(safe) <= sheet.body:
        return sheet.row(label, safe)
    # Not indented, so that it is whole when somebody copies the lines and joins them.
    return [*sheet.row(label, "on the next lines"), *chunks(safe, sheet.width)]


def _percent(value: Optional[float]) -> str:
    return "not scored" if value is None else f"{percent(value)}{TIE}%"
