"""Opens pages in a real browser: Debian's Chromium, through Playwright, for the tests of both pages.

A page that says a word on the console, throws, or asks for anything outside of itself, fails its test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

__all__ = ["PHONE", "WIDE", "_browser", "_playwright", "opened"]

WIDE = {"width": 1120, "height": 900}
PHONE = {"width": 390, "height": 844}

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
INSIDE = ("data:", "blob:")  # what is asked for within the page itself
LOAD_TIMEOUT = 30_000.0  # ms: a hang guard


@pytest.fixture(name="playwright", scope="session")
def _playwright() -> Iterator[Playwright]:
    api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(name="browser", scope="session")
def _browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests: to start it takes a second."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@contextlib.contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """Opens a file as a page; fails if it complains, or reaches for anything outside of it.

    Args:
        browser: The fixture.
        path: The HTML file.
        **options: Of Playwright's `new_context`, such as `viewport=PHONE`, `color_scheme="dark"`.
    """
    address = path.resolve().as_uri()
    complaints: List[str] = []
    requests: List[str] = []
    settings: Dict[str, Any] = {"viewport": WIDE, "reduced_motion": "reduce", **options}
    context: BrowserContext = browser.new_context(**settings)
    try:
        page = context.new_page()
        page.set_default_timeout(LOAD_TIMEOUT)
        page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        yield page
    finally:
        context.close()
    assert complaints == []
    assert [each for each in requests if not each.startswith((address, *INSIDE))] == []
