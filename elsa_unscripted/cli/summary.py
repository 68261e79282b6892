"""A result as terminal text, for the command lines.

Every text of the server is untrusted: it goes through `printable()`, so that it can neither move the
cursor nor turn the line around. As no control character is left in it, this file uses some of them as
marks for colour, which count no cells and become escape sequences, or nothing, at the very end.
"""

from __future__ import annotations

import unicodedata
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..results.assessment import Assessment, Score, Speaker, Word
from ..results.facts import (
    NO_ASSESSMENT,
    SANDBOX,
    find_words,
    is_by_sandbox,
    is_short,
    measured,
    printable,
    reason,
)
from ..results.result import ScoreResult

__all__ = ["summarize"]

MIN_WIDTH = 40  # columns; below it there is no room for a bar and its number
LABEL_WIDTH = 15  # columns of the left-hand labels
BAR_WIDTH = 24  # columns at most
GOOD, FAIR = 80.0, 60.0  # percent from which a score is good or fair; ours, the server documents none
MAX_WEAK_WORDS = 10
MAX_SOUND_ERRORS = 5
MAX_EXAMPLES = 8
MAX_CHARACTERS = 6000  # of a transcript: 150 s of speech, the documented cap, have some 2,500

TIE = "\u00a0"  # keeps a number and its unit on one line; a plain space at the end
STRONG, DIM, BAD, MIDDLING, FINE, PLAIN = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06"
ANSI = {STRONG: "\x1b[1m", DIM: "\x1b[2m", BAD: "\x1b[31m", MIDDLING: "\x1b[33m", FINE: "\x1b[32m", PLAIN: "\x1b[0m"}
COLORED = str.maketrans({**ANSI, TIE: " "})
COLORLESS = str.maketrans({**dict.fromkeys(ANSI, ""), TIE: " "})
IN_ASCII = str.maketrans({"█": "#", "░": "-", "…": "~", "→": ">"})


Section = Sequence[str]


def summarize(result: ScoreResult, *, width: int = 80, color: bool = False, ascii_only: bool = False) -> str:
    """Renders a result as lines of text, without a line break at the end.

    Args:
        result: What `score()` returned.
        width: Columns of the terminal; 40 at least.
        color: Whether to use ANSI colours. Nothing is told by colour alone.
        ascii_only: Whether to keep to ASCII, for a C locale; other characters become `\\xe9` and the like.
    """
    page = _Page(max(width, MIN_WIDTH), ascii_only)
    text = "\n\n".join("\n".join(section) for section in _sections(page, result) if section)
    if ascii_only:
        text = text.translate(IN_ASCII)
    return text.translate(COLORED if color else COLORLESS)


# The page: text to cells


class _Page(NamedTuple):
    width: int
    ascii_only: bool

    @property
    def body(self) -> int:
        """Columns to the right of the labels."""
        return self.width - LABEL_WIDTH

    def paragraph(self, text: str) -> str:
        """Makes server text safe to wrap: on one line, no longer than `MAX_CHARACTERS`."""
        more = "…" if len(text) > MAX_CHARACTERS else ""
        safe = printable(" ".join(text[:MAX_CHARACTERS].split()) + more)
        return safe.replace("…", "...").encode("ascii", "backslashreplace").decode() if self.ascii_only else safe

    def piece(self, text: Optional[str], limit: int) -> str:
        """Makes server text safe to stand beside other columns: at most `limit` cells."""
        short = _cut(self.paragraph((text or "")[: limit * 8]), limit)
        # A right-to-left run would pull the numbers beside it to its other side: isolate it.
        rightward = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in short)
        return f"\u2068{short}\u2069" if rightward else short

    def row(self, label: str, *paragraphs: str) -> List[str]:
        """Wraps text to the right of a label."""
        lines = [line for text in paragraphs for line in _wrap(text, self.body)]
        # Only the first line has a mark here: a colour that began on it goes on below.
        starts = [f"{DIM}{label:<{LABEL_WIDTH}}{PLAIN}"] + [" " * LABEL_WIDTH] * len(lines)
        return [start + line for start, line in zip(starts, lines)]


def _cells(text: str) -> int:
    return sum(map(_char_cells, text))


def _char_cells(char: str) -> int:
    if char.isascii():
        return 0 if char < " " else 1
    if char == "\ufe0f":  # makes the sign before it an emoji, which is a cell wider
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, limit: int) -> str:
    if _cells(text) <= limit:
        return text
    return next(_chunks(text, limit - 1), "") + "…" if limit > 0 else ""


def _pad(text: str, cells: int) -> str:
    return text + " " * (cells - _cells(text))


def _chunks(text: str, limit: int) -> Iterator[str]:
    """Cuts text into pieces of at most `limit` cells."""
    start, used = 0, 0
    for index, char in enumerate(text):
        size = _char_cells(char)
        if used + size > limit:
            yield text[start:index]
            start, used = index, 0
        used += size
    yield text[start:]


def _wrap(text: str, limit: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if _cells(candidate) <= limit:
            line = candidate
            continue
        if line:
            yield line
        *full, line = _chunks(word, limit)
        yield from full
    yield line


# The sections, in the order of the page


def _sections(page: _Page, result: ScoreResult) -> Iterator[Section]:
    assessment = result.assessment
    yield _sandbox(page, result)
    if assessment is None:
        yield page.row("Assessment", f"{STRONG}none{PLAIN}", NO_ASSESSMENT)
    else:
        yield from _assessment(page, assessment, result)
    yield _quality(page, result, assessment)
    yield _exchange(page, result)


def _assessment(page: _Page, assessment: Assessment, result: ScoreResult) -> Iterator[Section]:
    speakers = assessment.speakers
    if not speakers:
        yield _nothing_scored(page, f"The server found no speaker. {reason(result)}")
    for speaker in speakers:
        if len(speakers) > 1:
            yield page.row("Speaker", f"{STRONG}{page.piece(speaker.speaker_id or 'unnamed', page.body)}{PLAIN}")
        yield from _scores(page, speaker, result)
        yield _facts(page, speaker, result.audio_seconds)
        yield _transcript(page, speaker, assessment.transcript if len(speakers) == 1 else None)
        yield _sound_errors(page, speaker)
    if len(speakers) != 1 and assessment.transcript:
        yield page.row("Transcript", page.paragraph(assessment.transcript))


def _sandbox(page: _Page, result: ScoreResult) -> Section:
    if not is_by_sandbox(result):
        return ()
    lines = page.row("Sandbox", f"{MIDDLING}{SANDBOX}{PLAIN}")
    facts = measured(result)
    if not facts:
        return lines
    named = (f"{page.piece(key, 30)} {page.piece(_plain(value), 30)}" for key, value in facts)
    return [*lines, *page.row("  measured", ", ".join(named).replace("_", " "))]


def _scores(page: _Page, speaker: Speaker, result: ScoreResult) -> Iterator[Section]:
    scores = speaker.scores
    if not scores.any_scored:
        lead = "" if is_short(speaker, result) else "The server gave no score. "
        yield _nothing_scored(page, lead + reason(result, speaker))
        return
    overall = scores.overall
    parts = (_percent(overall.value), page.piece(overall.cefr, 6), page.piece(overall.decision, page.body - 18))
    yield page.row("Overall", STRONG + "  ".join(filter(None, parts)) + PLAIN)
    cefr_width = max(_cells(page.piece(score.cefr, 6)) for score in scores.skills.values())
    bars = [
        line
        for name, score in scores.skills.items()
        for line in page.row(name.capitalize(), _bar(page, score, cefr_width))
    ]
    if any(score.value is None for score in scores.skills.values()):
        bars += page.row("", f"{DIM}{_tied(reason(result, speaker))}{PLAIN}")
    yield bars


def _nothing_scored(page: _Page, why: str) -> Section:
    return page.row("Overall", f"{STRONG}not scored{PLAIN}", _tied(why))


def _tied(sentence: str) -> str:
    return sentence.replace(" s of", f"{TIE}s of")


def _bar(page: _Page, score: Score, cefr_width: int) -> str:
    if score.value is None:
        return f"{DIM}not enough speech{PLAIN}"
    size = min(BAR_WIDTH, page.body - 17)
    full = round(min(max(score.value, 0.0), 100.0) / 100 * size)
    style = FINE if score.value >= GOOD else MIDDLING if score.value >= FAIR else BAD
    level = _pad(page.piece(score.cefr, 6), cefr_width)
    row = f"{style}{'█' * full}{DIM}{'░' * (size - full)}{PLAIN} {_percent(score.value):>8}  {level}"
    return f"{row}  {page.piece(score.decision, page.body - _cells(row) - 2)}".rstrip(" ")


def _facts(page: _Page, speaker: Speaker, audio_seconds: float) -> Section:
    equivalents, metrics = speaker.equivalents, speaker.metrics
    prominence = f" ({page.piece(metrics.word_prominence_cefr, 6)})" if metrics.word_prominence_cefr else ""
    rows = {
        "Equivalents": (
            ("IELTS {}", equivalents.ielts),
            ("TOEFL {}", equivalents.toefl),
            ("TOEIC {}", equivalents.toeic),
            ("PTE {}", equivalents.pte),
        ),
        "Delivery": (
            ("{} words per minute", metrics.words_per_minute),
            ("pausing {} %", metrics.pausing_score),
            (f"word prominence {{}} %{prominence}", metrics.word_prominence_score),
        ),
        "Length": (("{} s of audio", audio_seconds or None), ("{} s of speech", speaker.total_time)),
    }
    given = {
        label: ", ".join(form.format(_plain(value)) for form, value in facts if value is not None)
        for label, facts in rows.items()
    }
    return [line for label, text in given.items() if text for line in page.row(label, text)]


def _transcript(page: _Page, speaker: Speaker, transcript: Optional[str]) -> Section:
    words = [word for utterance in speaker.utterances for word in utterance.words if word.text]
    said = (utterance.text for utterance in speaker.utterances if utterance.text)
    text = transcript or " ".join(said) or " ".join(word.text or "" for word in words)
    if not text.strip():
        return ()
    weak = _weakest(words)
    lines = page.row("Transcript", _mark(page, page.paragraph(text), words, weak))
    if weak:
        worst: Dict[str, Word] = {}  # a word that is weak in several places is told once
        for word in weak:
            worst.setdefault((word.text or "").casefold(), word)
        told = ", ".join(f"{page.piece(word.text, 24)} {_percent(word.score)}" for word in worst.values())
        lines += page.row("  [weakest]", f"{DIM}{told}{PLAIN}")
    return lines


def _weakest(words: Sequence[Word]) -> Sequence[Word]:
    """Returns the worst of the words that are not good: a fifth of all words, and a handful, at most."""
    scored = [(word.score, index) for index, word in enumerate(words) if word.score is not None]
    below = sorted((score, index) for score, index in scored if score < GOOD)
    return [words[index] for _, index in below[: min(MAX_WEAK_WORDS, 1 + len(words) // 5)]]


def _mark(page: _Page, text: str, words: Sequence[Word], weak: Sequence[Word]) -> str:
    """Puts brackets around the weak words."""
    marked, done = "", 0
    spelled = [page.paragraph(word.text or "") for word in words[:MAX_CHARACTERS]]
    for word, place in zip(words, find_words(text, spelled)):
        if place and any(word is other for other in weak):
            start, end = place
            marked += f"{text[done:start]}{BAD}[{text[start:end]}]{PLAIN}"
            done = end
    return marked + text[done:]


def _sound_errors(page: _Page, speaker: Speaker) -> Section:
    found = [(error.count or 0, top.phoneme, error) for top in speaker.top_errors for error in top.errors]
    found.sort(key=lambda item: -item[0])
    rows: List[Tuple[str, str, str, str]] = []
    for count, phoneme, error in found[:MAX_SOUND_ERRORS]:
        heard = f" → {page.piece(error.error_phoneme, 6)}" if error.error_phoneme else ""
        examples = ", ".join(example.text for example in error.examples[:MAX_EXAMPLES] if example.text)
        times = f"{_plain(count)}{TIE}x" if count else ""
        rows.append((page.piece(phoneme or "?", 6) + heard, page.piece(error.type, 14), times, examples))
    if not rows:
        return ()
    sound_width, type_width, times_width = (max(_cells(row[column]) for row in rows) for column in range(3))
    lines = []
    for sound, kind, times, examples in rows:
        start = f"{_pad(sound, sound_width)}  {_pad(kind, type_width)}  {times:>{times_width}}"
        shown = page.piece(examples, page.body - _cells(start) - 2)
        lines.append(f"{start}  {DIM}{shown}{PLAIN}" if shown else start.rstrip(" "))
    if len(found) > len(rows):
        lines.append(f"{DIM}and {len(found) - len(rows)} more{PLAIN}")
    return page.row("Sound errors", *lines)


def _quality(page: _Page, result: ScoreResult, assessment: Optional[Assessment]) -> Section:
    stated = [] if assessment is None else [assessment.recording_quality, assessment.assessment_quality]
    named = [f"{name} {page.piece(word, 40)}" for name, word in zip(("recording", "assessment"), stated) if word]
    warnings = [page.paragraph(warning) for warning in result.warnings]
    if result.partial_error:
        reason = f" (more than about 20{TIE}s of speech needed)" if result.partial_error == "too_short" else ""
        warnings.insert(0, f"partial assessment: {page.piece(result.partial_error, 40)}{reason}")
    lines = [", ".join(named)] if named else []
    return page.row("Quality", *lines, *(f"{MIDDLING}! {warning}{PLAIN}" for warning in warnings))


def _exchange(page: _Page, result: ScoreResult) -> Section:
    lines: List[str] = []
    for label, link in (("Result link", result.result_link), ("Audio link", result.audio_link)):
        if link:
            lines += _link(page, label, link)
    if result.stream_id:
        lines += page.row("Stream", page.piece(result.stream_id, page.body))
    moments = {
        "connected": result.timings.connect,
        "stream": result.timings.start,
        "first packet": result.timings.first_packet,
        "audio sent": result.timings.audio_sent,
        "verdict": result.timings.verdict,
        "closed": result.timings.total,
    }
    timings = ", ".join(f"{name} {seconds:.2f}{TIE}s" for name, seconds in moments.items() if seconds is not None)
    return lines + (page.row("Timing", timings) if timings else [])


def _link(page: _Page, label: str, link: str) -> List[str]:
    safe = page.paragraph(link)
    if _cells(safe) <= page.body:
        return page.row(label, safe)
    # Without an indent, so that the whole of it can be copied by joining the lines.
    return [*page.row(label, "on the next lines"), *_chunks(safe, page.width)]


def _percent(value: Optional[float]) -> str:
    if value is None:
        return "not scored"
    return f"{value:.1f}{TIE}%" if abs(value) < 1e4 else f"{value:.3g}{TIE}%"


def _plain(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"
