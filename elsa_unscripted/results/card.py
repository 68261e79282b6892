"""The card that a notebook shows for a result: scores, transcript with its weakest words, and what is to be known.

Called by `ScoreResult._repr_html_()`. All style is inline and without colours of the ground, since the card stands in
somebody else's page, which may be light or dark. The page that stands by itself is `report`'s.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, AbstractSet, Iterator, List, Optional, Sequence

from . import facts
from .text import find_words, percent, printable

if TYPE_CHECKING:
    from .assessment import Assessment, Speaker, Word
    from .result import ScoreResult

__all__ = ["card"]

MAX_TEXT = 600  # characters of the transcript: a card is for a glance
MAX_WARNING = 200  # characters of a warning
MAX_WORD = 24  # characters of a level
MAX_STATED = 60  # characters of a level and a word
MAX_WARNINGS = 5
MAX_WEAK_WORDS = 8

MADE_UP = "The sandbox made this result, not ELSA: any score is made up."

FILLS = {"weak": "#d9534a", "fair": "#c08a1e", "good": "#3a9d63", "none": "transparent"}
MUTED = "opacity:.7;font-size:.85em"
CARD = (
    "max-width:42em;padding:12px 16px;border:1px solid rgba(128,128,128,.4);border-radius:10px;"
    "font:14px/1.45 system-ui,sans-serif;overflow-wrap:anywhere"
)


def card(result: ScoreResult) -> str:
    """Returns the card as HTML. Text of the server is text in it, whatever it is."""
    assessment = result.assessment
    speaker = assessment.speakers[0] if assessment is not None and assessment.speakers else None
    parts: List[str] = []
    if assessment is None:
        parts.append(_div(facts.no_assessment(result)))
    elif speaker is None:
        parts.append(_div(facts.NO_SPEAKER))
    else:
        parts.append(_scores(speaker))
        if not speaker.scores.any_scored:
            parts.append(_div(facts.reason(result, speaker), "margin-top:6px"))
        parts.append(_transcript(speaker, assessment.transcript if len(assessment.speakers) == 1 else None))
    notes = "".join(_div(note) for note in _notes(result, assessment))
    parts.append(_div(notes, f"margin-top:6px;{MUTED}", raw=True))
    return f'<div style="{CARD}">{"".join(filter(None, parts))}</div>'


def _scores(speaker: Speaker) -> str:
    overall, *skills = facts.ratings(speaker)
    stated = facts.by_elsa(overall.level, overall.word)
    level = f'<div style="font-size:1.1em">{_text(stated, MAX_STATED)}</div>' if stated else ""
    value = "not scored" if overall.value is None else f"{percent(overall.value)} %"
    size = "1.2em" if overall.value is None else "2em"
    left = (
        f'<div style="min-width:7em"><div style="{MUTED}">Overall</div>'
        f'<div style="font-size:{size};font-weight:600;line-height:1.2">{value}</div>{level}</div>'
    )
    rows = "".join(map(_row, skills)) if speaker.scores.any_scored else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 24px;align-items:center">{left}<div>{rows}</div></div>'


def _row(rating: facts.Rating) -> str:
    width = 0.0 if rating.value is None else min(max(rating.value, 0.0), 100.0)
    value = "not scored" if rating.value is None else f"{percent(rating.value)} %"
    return (
        '<div style="display:flex;gap:10px;align-items:center">'
        f'<span style="width:8em">{escape(rating.name)}</span>'
        '<span style="width:9em;height:8px;border-radius:4px;background:rgba(128,128,128,.25);display:inline-block">'
        f'<span style="display:block;height:8px;border-radius:4px;width:{width:.1f}%;background:{FILLS[rating.band]}">'
        f'</span></span><span style="width:6em;text-align:right;white-space:nowrap">{value}</span>'
        f"<span>{_text(facts.by_elsa(rating.level), MAX_WORD)}</span></div>"
    )


def _transcript(speaker: Speaker, whole: Optional[str]) -> str:
    text = printable(" ".join(facts.transcript(speaker, whole).split()))
    if not text:
        return ""
    shown = text[:MAX_TEXT]
    words = facts.words(speaker)
    weak = set(list(facts.weakest([word.score for word in words]))[:MAX_WEAK_WORDS])
    return _div(_marked(shown, words, weak) + ("…" if len(text) > MAX_TEXT else ""), "margin-top:8px", raw=True)


def _marked(text: str, words: Sequence[Word], weak: AbstractSet[int]) -> str:
    """Returns the text with its weak words underlined; their scores are told when the mouse is over them."""
    html, done = "", 0
    for index, place in enumerate(find_words(text, [printable(word.text or "") for word in words[:MAX_TEXT]])):
        if place and index in weak:
            start, end = place
            html += escape(text[done:start])
            html += (
                f'<span title="{percent(words[index].score or 0.0)} %" style="text-decoration:underline 2px '
                f'{FILLS["weak"]};text-underline-offset:3px">{escape(text[start:end])}</span>'
            )
            done = end
    return html + escape(text[done:])


def _notes(result: ScoreResult, assessment: Optional[Assessment]) -> Iterator[str]:
    if facts.is_by_sandbox(result):
        yield MADE_UP
    if assessment is not None and len(assessment.speakers) > 1:
        yield f"The first of {len(assessment.speakers)} speakers."
    if result.partial_error:
        shortfall = facts.shortfall(result)
        yield f"Partial assessment: {result.partial_error}" + (f" ({shortfall})" if shortfall else "")
    yield from result.warnings[:MAX_WARNINGS]
    told = [f"{result.audio_seconds:.1f} s of audio"] if result.audio_seconds else []
    yield ", ".join([*told, *([f"stream {result.stream_id}"] if result.stream_id else [])])


def _div(text: str, style: str = "", *, raw: bool = False) -> str:
    return f'<div style="{style}">{text if raw else _text(text, MAX_WARNING)}</div>' if text else ""


def _text(text: Optional[str], limit: int) -> str:
    shown = text or ""
    return escape(printable(shown[: limit - 1] + "…" if len(shown) > limit else shown))
