"""Opens pages in a real browser, Chromium, through Playwright, for the tests of both pages.

A page that says a word on the console, throws, or asks for anything outside of itself, fails its test. axe-core, which
finds what people who can't see or use a mouse would stumble over, comes from npm, in a pinned version.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, ViewportSize

__all__ = ["PHONE", "TABLET", "WIDE", "_axe", "_browser", "_playwright", "broken_layout", "opened", "violations"]

WIDE: ViewportSize = {"width": 1120, "height": 900}
TABLET: ViewportSize = {"width": 768, "height": 1024}
PHONE: ViewportSize = {"width": 390, "height": 844}

# The first is made to run without a screen, and takes half the processor time.
_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _PROGRAMS)), None)
INSIDE = ("data:", "blob:")  # what is asked for within the page itself
PATIENCE = 30.0  # s: a hang guard

AXE = "axe-core@4.14.1"
AXE_SHA512 = (
    "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73"
    "4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5"
)
KEPT = Path(__file__).resolve().parent.parent / ".venvs"  # where scripts/ keeps what it has downloaded


@pytest.fixture(name="playwright", scope="module")
def _playwright() -> Iterator[Playwright]:
    """Ends with the module: Playwright keeps an event loop running, which no other test should find in its thread."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell")
    with api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(name="browser", scope="module")
def _browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests of a module: to start it takes a second."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(name="axe", scope="session")
def _axe() -> str:
    """The source of axe-core, downloaded once."""
    package = KEPT / f"{AXE.replace('@', '-')}.tgz"
    if not package.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm to fetch axe-core with: apt-get install npm")
        KEPT.mkdir(exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(KEPT), AXE]
        subprocess.run(command, check=True, capture_output=True, timeout=4 * PATIENCE)
    content = package.read_bytes()
    if hashlib.sha512(content).hexdigest() != AXE_SHA512:
        package.unlink()
        pytest.fail(f"what npm calls {AXE} is not what was pinned")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode("utf-8")


@contextlib.contextmanager
def opened(
    browser: Browser,
    path: Path,
    *,
    expected: str = "",
    viewport: ViewportSize = WIDE,
    color_scheme: Any = "light",
    **options: Any,
) -> Iterator[Page]:
    """Opens a file as a page; fails if it complains, or reaches for anything outside of it.

    Args:
        browser: The fixture.
        path: The HTML file.
        expected: A pattern of the complaints that the test is about: there must be some, and no others. What the
            page then asks for is not looked at.
        viewport: The size of the window.
        color_scheme: The reader's theme.
        **options: Of Playwright's `new_context`, such as `java_script_enabled=False`. With any, the page is a new one.
            Else the tests of a module share one page, which is emptied between them: to make a new one takes longer
            than most tests do.
    """
    address = path.resolve().as_uri()
    complaints: List[str] = []
    requests: List[str] = []
    contexts = browser.contexts if not options else []
    context = contexts[0] if contexts else browser.new_context(**options)
    page = context.pages[0] if context.pages else context.new_page()
    handlers: Dict[Any, Callable[[Any], None]] = {
        "console": lambda message: complaints.append(f"console {message.type}: {message.text}"),
        "pageerror": lambda error: complaints.append(f"uncaught: {error}"),
        "request": lambda request: requests.append(request.url),
    }
    assert page.url == "about:blank", "the page is open already"
    has_succeeded = False
    try:
        page.set_default_timeout(1000 * PATIENCE)
        page.set_viewport_size(viewport)
        page.emulate_media(media="null", color_scheme=color_scheme, reduced_motion="reduce")
        for event, handler in handlers.items():
            page.on(event, handler)
        page.goto(address)
        yield page
        page.goto("about:blank")
        has_succeeded = True
    finally:
        for event, handler in handlers.items():
            page.remove_listener(event, handler)
        if options or not has_succeeded:
            context.close()
    assert [text for text in complaints if not (expected and re.search(expected, text))] == []
    assert bool(complaints) == bool(expected)
    if not expected:
        assert [url for url in requests if url.partition("#")[0] != address and not url.startswith(INSIDE)] == []


def violations(page: Page, axe: str) -> List[str]:
    """Returns what axe-core finds wrong with a page as it is now: the rule, and the elements."""
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(axe)
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found["violations"]]


def broken_layout(page: Page) -> List[str]:
    """Returns the elements that stick out of the page at its right side."""
    script = """() => {
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        const out = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > width + 1);
        return out.map(e => `${e.tagName} ${e.className.baseVal ?? e.className}`);
    }"""
    found: List[str] = page.evaluate(script)
    return found
