"""The page of one recording, in a real browser: what is seen, heard and reached, and what hostile text can't do."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping

import pytest
from browser import PHONE, TABLET, WIDE, _axe, _browser, _playwright, broken_layout, opened, violations  # noqa: F401 - fixtures
from recordings import AUSTEN, SPEECH, wav

from elsa_unscripted.report import result_page
from elsa_unscripted.results.result import ScoreResult, Timings
from elsa_unscripted.sandbox.verdict import example, honest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

EXAMPLE = example()
WORDS: List[Dict[str, Any]] = [word for part in EXAMPLE["speakers"][0]["utterances"] for word in part["words"]]
WEAK = "leisure"
START, END = next((word["start_time"], word["end_time"]) for word in WORDS if word["text"] == WEAK)

HANDLER = "<img src=x onerror=\"window.ran='handler'\"><script>window.ran='script'</script>"
EVIL = f"</script></style>{HANDLER}\" onmouseover=\"window.ran='attribute'\" x='\u202e\u0007\ud800{{{{7*7}}}}"


def scored(assessment: Any = EXAMPLE, **fields: Any) -> ScoreResult:
    """Returns a result as the sandbox's, with a real exchange's timings."""
    raw = {"status": "success", "result_link": "https://elsa.example/r/1", "audio_link": "", "result": assessment}
    moments = Timings(0.1, 0.2, 0.21, 24.5, 26.1, 26.2)
    given: Dict[str, Any] = {"audio_seconds": 24.73, "audio_seconds_sent": 24.73, "timings": moments, **fields}
    return ScoreResult(raw, **given)


@pytest.fixture(name="example_html", scope="module")
def _example_html() -> str:
    return scored().to_html(audio=AUSTEN)


@pytest.fixture(name="example_page")
def _example_page(tmp_path: Path, example_html: str) -> Path:
    return written(tmp_path, example_html)


def written(folder: Path, html: str) -> Path:
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


def position(page: Page) -> float:
    at: float = page.evaluate("document.getElementById('sound').currentTime")
    return at


# What is seen.


def test_example(example_page: Path, browser: Browser) -> None:
    """The scores, the level, the equivalents, the words, the sounds and the metrics are on the page."""
    with opened(browser, example_page) as page:
        shown = page.inner_text("body")
        for text in (
            "81.4",
            "79.6 %",
            "88.9 %",
            "IELTS",
            "6.5",
            "790",
            "169.8",
            "74.2",
            "ELSA: C1, excellent",
            "said d for th",
        ):
            assert text in shown
        assert page.locator(".ladder .here").inner_text() == "B2"
        assert page.locator(".word").count() == len(WORDS)
        assert page.locator(".transcript").inner_text() == EXAMPLE["transcript"]
        assert page.get_by_role("link").count() == 0  # the server's links are folded away
        page.locator(".raw summary").click()
        assert page.get_by_role("link").get_attribute("href") == "https://elsa.example/r/1"
        assert "/ð/ → /d/" in page.locator(".sounds").inner_text()
        page.locator(".arpabet summary").click()
        assert "DH → D ELSA: substitution" in page.locator(".arpabet").inner_text()


def test_made_up_scores_are_called_so(example_page: Path, browser: Browser) -> None:
    """Nobody takes the sandbox's scores for a person's: it stands above the scores."""
    with opened(browser, example_page) as page:
        assert "The sandbox made this result, not ELSA" in page.locator(".masthead .notice").inner_text()


def test_words_are_marked_beside_colour(example_page: Path, browser: Browser) -> None:
    """Each band has an underline of its own, and what it means stands below."""
    with opened(browser, example_page) as page:
        styles = {
            name: page.locator(f".word.band-{name}").first.evaluate("e => getComputedStyle(e).textDecorationStyle")
            for name in ("weak", "fair")
        }
        good = page.locator(".word:not(.marked)").first
        assert styles == {"weak": "wavy", "fair": "dotted"}
        assert good.evaluate("e => getComputedStyle(e).textDecorationLine") == "none"
        assert good.evaluate("e => getComputedStyle(e).color === getComputedStyle(e.parentElement).color")
        legend = page.locator(".transcript ~ .legend").inner_text().split()
        assert legend[:10] == ["weak", "below", "60", "fair", "from", "60", "good", "from", "80", "%"]


def test_dark_is_dark(example_page: Path, browser: Browser) -> None:
    """The page follows the reader's theme."""
    paper = []
    for scheme in ("light", "dark"):
        with opened(browser, example_page, color_scheme=scheme) as page:
            paper.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (sum(map(int, color[4:-1].split(","))) for color in paper)
    assert light > 3 * 230
    assert dark < 3 * 40


@pytest.mark.parametrize("width", [320, 390, 768, 1120])
def test_nothing_sticks_out(width: int, example_page: Path, browser: Browser) -> None:
    """No width makes the page scroll sideways."""
    with opened(browser, example_page, viewport={"width": width, "height": 800}) as page:
        page.locator(".word").nth(3).click()
        for folded in page.locator("summary").all():
            folded.click()
        assert broken_layout(page) == []


def test_paper(tmp_path: Path, browser: Browser) -> None:
    """On paper there is nothing to press, and black on white even in the dark; two sheets, also with a warning."""
    example_page = written(tmp_path, scored(warnings=("The recording is very quiet.",)).to_html(audio=AUSTEN))
    with opened(browser, example_page, color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator("#play").is_visible()
        assert page.locator(".transcript").is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert len(re.findall(rb"/Type ?/Page\b", page.pdf(format="A4", print_background=True))) == 2
        assert not page.locator(".raw").is_visible()
        fill = page.locator(".bars .fill").first.evaluate("element => getComputedStyle(element).fill")
    with opened(browser, example_page, color_scheme="light") as page:
        assert page.locator(".bars .fill").first.evaluate("element => getComputedStyle(element).fill") == fill


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(scheme: str, example_page: Path, browser: Browser, axe: str) -> None:
    """axe-core finds no violation, colour contrast included, with a word chosen and everything unfolded."""
    with opened(browser, example_page, color_scheme=scheme) as page:
        page.locator(".word", has_text=WEAK).click()
        page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        for size in (WIDE, TABLET, PHONE) if scheme == "light" else (PHONE,):
            page.set_viewport_size(size)
            assert violations(page, axe) == []
        if scheme == "light":
            page.emulate_media(media="print")
            assert violations(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_null_scores(scheme: str, tmp_path: Path, browser: Browser, axe: str) -> None:
    """Where nothing was scored, no number pretends otherwise, and the documented reason is told."""
    result = scored(honest(12.0), audio_seconds=12.0)
    page_file = written(tmp_path, result.to_html(audio=wav(SPEECH[: 12 * 32000])))
    with opened(browser, page_file, color_scheme=scheme) as page:
        shown = page.inner_text("main")
        assert "Not scored" in shown
        assert "There was not enough speech. The metrics need more than about 20 s of speech" in shown
        assert "0.0 %" not in shown
        assert page.locator(".bars, .exercises, .word").count() == 0
        assert page.locator(".pause").count() > 1  # judged by loudness
        assert violations(page, axe) == []


def uneven() -> ScoreResult:
    """Returns the result of two speakers, one of another script, who were hardly scored, with an early verdict."""
    assessment = copy.deepcopy(EXAMPLE)
    first = assessment["speakers"][0]
    general = first["metrics"]["general_scores"]
    general.update(cefr={"overall_cefr": "B2"}, other_scores=None)
    general["elsa"].update(grammar_score=None, vocabulary_score=None, fluency_score=41)
    second = copy.deepcopy(first)
    second.update(speaker_id="שלום")
    second["utterances"] = [{"text": "مرحبا, said he", "words": [{"text": "مرحبا", "score": 50}, {"text": "said"}]}]
    assessment["speakers"].append(second)
    early = Timings(0.1, 0.2, 0.21, None, 15.3, 15.4)
    return scored(assessment, audio_seconds_sent=15.0, timings=early, warnings=("The recording is very quiet.",))


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_uneven(scheme: str, size: Any, tmp_path: Path, browser: Browser, axe: str) -> None:
    """Gaps, several speakers, other scripts and an early verdict leave the page whole and accessible."""
    page_file = written(tmp_path, uneven().to_html(audio=AUSTEN))
    with opened(browser, page_file, color_scheme=scheme, viewport=size) as page:
        assert page.locator(".speaker").all_inner_texts() == ["Speaker 1", "Speaker שלום"]
        assert page.locator(".bars").first.locator(".fill").count() == 3
        assert page.locator(".unsent").count() == 1
        assert page.locator(".waiting").count() == 0
        page.locator(".word", has_text="مرحبا").click()
        assert "50.0 %, weak" in page.locator("#detail").inner_text()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        assert "not scored" in page.locator("#detail").inner_text()
        assert broken_layout(page) == []
        assert violations(page, axe) == []


def test_no_assessment(tmp_path: Path, browser: Browser) -> None:
    """A result without an assessment says what would bring one."""
    with opened(browser, written(tmp_path, result_page(ScoreResult({"status": "success"})))) as page:
        assert "premium plan" in page.inner_text("main")


def test_nothing_runs_without_script(example_page: Path, browser: Browser) -> None:
    """A mail program that runs no script still shows everything that can be read."""
    with opened(browser, example_page, java_script_enabled=False) as page:
        assert page.locator(".transcript").is_visible()
        assert page.locator(".wave").is_visible()
        assert not page.locator("#play").is_visible()


# What is heard.


def test_click_plays_the_word(example_page: Path, browser: Browser) -> None:
    """A click on a word plays it: from its start, and no further than a moment after its end."""
    with opened(browser, example_page) as page:
        assert page.evaluate("document.getElementById('sound').src") == ""  # nothing is decoded before it is needed
        page.locator(".word", has_text=WEAK).click()
        page.wait_for_function("at => document.getElementById('sound').currentTime >= at", arg=START + 0.01)
        assert position(page) < END + 0.5
        page.wait_for_function("() => document.getElementById('sound').paused")
        assert END - 0.05 <= position(page) < END + 1
        assert page.locator("#play").inner_text() == "Play"


def test_what_is_spoken_is_marked(example_page: Path, browser: Browser) -> None:
    """While the recording plays, the word that is being spoken is marked, and no other; so are those to practise."""
    with opened(browser, example_page) as page:
        page.get_by_role("button", name="Hear leisure").click()
        page.wait_for_function("() => document.querySelector('.spoken')")
        assert page.locator(".spoken").all_inner_texts() in ([WEAK], [])
        page.wait_for_function("() => document.getElementById('sound').paused")
        page.wait_for_function("() => !document.querySelector('.spoken')")
        assert page.locator(".exercises h3").all_inner_texts() == ["Said d for th", "Said s for z", f"The word {WEAK}"]


def test_word_shows_its_sounds(example_page: Path, browser: Browser) -> None:
    """A chosen word tells its score and those of its sounds."""
    with opened(browser, example_page) as page:
        word = page.locator(".word", has_text=WEAK)
        word.click()
        assert word.get_attribute("aria-pressed") == "true"
        detail = page.locator("#detail").inner_text().split()
        assert detail[:4] == [WEAK, "57.3", "%,", "weak"]
        assert detail[detail.index("ʒ") + 2 :][:2] == ["as", "ʃ"]


def test_keyboard(example_page: Path, browser: Browser) -> None:
    """Tab reaches the button, the line of time and the words; arrows go on, Enter plays, and the focus is seen."""
    with opened(browser, example_page) as page:
        focused = "document.activeElement"
        for heard in ("then", "than", "them", "rather", "was", "his", "disposed", WEAK):  # "Practise first"
            page.keyboard.press("Tab")
            assert page.evaluate(f"{focused}.getAttribute('aria-label')") == f"Hear {heard}"
        page.keyboard.press("Tab")
        assert page.evaluate(f"{focused}.id") == "play"
        page.keyboard.press("Tab")
        assert page.evaluate(f"{focused}.id") == "seek"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => Math.abs(document.getElementById('sound').currentTime - 2) < 0.01")
        assert page.locator("#seek").get_attribute("aria-valuenow") == "2.0"
        page.keyboard.press("Tab")
        for _ in range(6):
            page.keyboard.press("ArrowRight")
        assert page.evaluate(f"{focused}.textContent") == WEAK
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_function("at => document.getElementById('sound').currentTime >= at", arg=START)
        page.keyboard.press("Tab")
        assert page.evaluate(f"{focused}.tagName") in ("A", "SUMMARY")  # not word after word


def test_waveform_seeks(example_page: Path, browser: Browser) -> None:
    """A click in the waveform goes there."""
    with opened(browser, example_page) as page:
        box = page.locator("#area").bounding_box()
        assert box is not None
        page.locator("#area").click(position={"x": box["width"] / 2, "y": 20})
        page.wait_for_function("() => document.getElementById('sound').currentTime > 0")
        assert position(page) == pytest.approx(24.73 / 2, abs=0.2)


def test_ten_minutes(tmp_path: Path, browser: Browser) -> None:
    """The page of ten minutes, with 1,680 words and the recording in it, opens and plays its last word."""
    assessment = copy.deepcopy(EXAMPLE)
    repeated: List[Dict[str, Any]] = []
    for turn in range(24):
        for word in WORDS:
            moved = {key: round(word[key] + 24.73 * turn, 2) for key in ("start_time", "end_time")}
            repeated.append({**word, **moved})
    assessment["speakers"][0]["utterances"] = [{"words": repeated}]
    result = scored(assessment, audio_seconds=593.5)
    page_file = written(tmp_path, result.to_html(audio=wav(SPEECH * 24)))
    with opened(browser, page_file) as page:
        assert page.locator(".word").count() == 24 * len(WORDS)
        page.locator(".word").last.click()
        page.wait_for_function("() => document.getElementById('sound').currentTime > 590")


# What hostile text can't do.


def hostile() -> Mapping[str, Any]:
    """The example, with a trap in each of its texts."""

    def trapped(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: trapped(item) for key, item in value.items()}, EVIL: EVIL}
        if isinstance(value, list):
            return [trapped(item) for item in value]
        return EVIL if isinstance(value, str) else value

    assessment: Dict[str, Any] = trapped(EXAMPLE)
    assessment["measured"] = {EVIL: EVIL}
    assessment["sandbox"] = True
    assessment["speakers"][0]["utterances"][0]["words"][0]["text"] = "m" * 1_000_000
    return assessment


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_hostile_text_is_text(size: Any, tmp_path: Path, browser: Browser) -> None:
    """Script, attribute breakers, a word of 1 MB and bidi controls are shown as text, and break nothing."""
    raw = {"status": EVIL, "result": hostile(), "partial_error": EVIL}
    raw.update(result_link=f"javascript:window.ran='link'//{EVIL}", audio_link=f"https://x/{EVIL}")
    result = ScoreResult(raw, stream_id=EVIL, api_plan=EVIL, client=EVIL, warnings=(EVIL, "w" * 100_000))
    with opened(browser, written(tmp_path, result.to_html(title=EVIL)), viewport=size) as page:
        page.locator(".word").nth(1).click()
        for folded in page.locator("summary").all():
            folded.click()
        assert page.evaluate("window.ran") is None
        assert page.locator("img, iframe, object, embed").count() == 0
        assert [link.get_attribute("href") or "" for link in page.get_by_role("link").all()] != []
        for link in page.get_by_role("link").all():
            assert (link.get_attribute("href") or "").startswith("https://")
        shown = page.inner_text("body")
        assert HANDLER in shown
        assert "\\u202e" in shown
        assert "{{7*7}}" in shown
        assert not set("\u202e\u0007") & set(shown)
        assert "m" * 120 in shown
        assert broken_layout(page) == []


def test_policy_holds_without_escaping(example_page: Path, browser: Browser) -> None:
    """If text of the server ever got into the page as markup, the policy would still keep it from running."""
    html = example_page.read_text(encoding="utf-8")
    injected = html.replace(">leisure</span>", f">{HANDLER}</span>", 1)
    assert injected != html
    example_page.write_text(injected, encoding="utf-8")
    with opened(browser, example_page, expected="Content.Security.Policy") as page:
        assert page.evaluate("window.ran") is None
        assert page.locator("#play").is_visible()  # the page's own script runs
    # Without the policy it does run: the trap is real.
    example_page.write_text(injected.replace("Content-Security-Policy", "X"), encoding="utf-8")
    with opened(browser, example_page, expected="ERR_FILE_NOT_FOUND") as page:
        page.wait_for_function("() => window.ran")


STRANGE: List[Any] = [
    None,
    True,
    -1,
    1e308,
    12345678901234567890,
    "text",
    "",
    [],
    {},
    [[]],
    {"a": {}},
    [None, 1, "x", {}],
]


@pytest.mark.parametrize("depth", range(2, 9))
def test_strange_types(depth: int, tmp_path: Path, browser: Browser) -> None:
    """Whatever stands in a field's place, its place stays empty, and the page whole."""
    strange = itertools.cycle(STRANGE)

    def replaced(value: Any, depth: int) -> Any:
        if depth > 0 and isinstance(value, dict):
            return {key: replaced(item, depth - 1) for key, item in value.items()}
        if depth > 0 and isinstance(value, list):
            return [replaced(item, depth - 1) for item in value]
        return next(strange)

    result = scored({**replaced(EXAMPLE, depth), "speakers": replaced(EXAMPLE["speakers"], depth - 1)})
    with opened(browser, written(tmp_path, result.to_html())) as page:
        assert page.get_by_role("heading", name="How it was scored").is_visible()
        assert broken_layout(page) == []
