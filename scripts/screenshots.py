"""Makes the screenshots of the READMEs anew, from what the sandbox's example gives, so that they stay true.

    .venv/bin/python scripts/screenshots.py

Needs the project's environment (`scripts/check.py` makes it) and Chromium. Takes half a minute: the recording is
streamed in real time, as its picture shows the exchange.

Uses `classes` of tests/: it makes up the class that is in the picture of a class's page.
"""

from __future__ import annotations

import html
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

from _venv import ROOT
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from elsa_unscripted import ScoreResult, score
from elsa_unscripted.cli.summary import summarize
from elsa_unscripted.report import class_page
from elsa_unscripted.sandbox import Sandbox

sys.path.insert(0, str(ROOT / "tests"))

from classes import classroom, write

AUDIO = ROOT / "tests" / "data" / "austen.wav"
IMAGES = ROOT / "scripts" / "screenshots"
MAX_BYTES = 120_000  # of an image: they are in the repository for good

TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1b1b1f; color: #e4e2dd; }}
pre {{ margin: 0; padding: 28px 32px 0; font: 14px/1.45 "DejaVu Sans Mono", monospace; }}
.strong {{ font-weight: bold; color: #fff; }} .dim {{ color: #8f8d88; }} .bad {{ color: #ff8f84; }}
.middling {{ color: #e5b55a; }} .fine {{ color: #7fcf9b; }}
</style><pre>{text}</pre>"""


def main() -> int:
    """Makes all images; returns the exit status."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with Sandbox("example") as sandbox:
        result = score(AUDIO, "any token", url=sandbox.url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        report(browser, result)
        class_report(browser)
        terminal(browser, result)
        browser.close()
    too_large = [image.name for image in IMAGES.glob("*.png") if image.stat().st_size > MAX_BYTES]
    if too_large:
        print(f"larger than {MAX_BYTES} bytes: {', '.join(too_large)}", file=sys.stderr)
    return 1 if too_large else 0


def report(browser: Browser, result: ScoreResult) -> None:
    """Takes the page of one recording, from its head to the end of the transcript, with a word chosen."""
    page = result.to_html(audio=AUDIO, title="Sense and Sensibility, read aloud")
    shoot(browser, page, "report.png", last=".transcript ~ .legend")


def class_report(browser: Browser) -> None:
    """Takes the page of a class that the tests make up, down to the first rows of its table."""
    with tempfile.TemporaryDirectory() as folder:
        journal = write(Path(folder) / "scores.jsonl", classroom(60))
        page = class_page(journal, title="Class 7b, autumn term")
    shoot(browser, page, "class.png", last="#recordings tbody tr:nth-child(6)", width=1120)


def terminal(browser: Browser, result: ScoreResult) -> None:
    """Takes the summary, in the colours that a terminal would give it."""
    text = html.escape(summarize(result, color=True))
    for code, name in {"1": "strong", "2": "dim", "31": "bad", "32": "fine", "33": "middling"}.items():
        text = text.replace(f"\x1b[{code}m", f'<span class="{name}">')
    # A new colour ends the one before it, which HTML has to be told.
    text = re.sub(r"(<span[^>]*>)([^<\x1b]*)(?=<span)", r"\1\2</span>", text).replace("\x1b[0m", "</span>")
    shoot(browser, TERMINAL.format(text=text), "terminal.png", last="pre", width=780)


def shoot(browser: Browser, content: str, name: str, *, last: str, width: int = 960) -> None:
    """Takes the top of a page.

    Args:
        browser: Chromium.
        content: The page, as HTML.
        name: The image's file.
        last: What is the lowest thing to be seen: a CSS selector.
        width: Of the window, in pixels.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(content, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
        page.goto(file.as_uri())
        box = page.locator(last).first.bounding_box()
        assert box is not None
        taken = page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": width, "height": box["y"] + box["height"] + 32}
        )
        page.close()
    # 128 colours are enough for a page, and a third of the bytes.
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(128).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
