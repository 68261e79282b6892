"""Speech from a browser: the recipe in elsa_unscripted/exchange/README.md, word for word, in Chromium, with Flask.

The browser's microphone is a file: it plays the first words of tests/data/austen.wav from the moment at which a page
opens it.
"""

from __future__ import annotations

import contextlib
import json
import re
import runpy
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple

import pytest
import websocket
from browser import CHROMIUM, PATIENCE, _playwright  # noqa: F401 - a fixture
from commands import ROOT
from recordings import SPEECH, wav

from elsa_unscripted.audio.recording import load
from elsa_unscripted.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Playwright

pytestmark = pytest.mark.browser

README = ROOT / "elsa_unscripted" / "exchange" / "README.md"
RATE = 16_000  # Hz: of the recording, and of what a decoded container is sent as
SECONDS = 12.0  # of the recording that the microphone plays
SAID = SPEECH[: int(SECONDS * RATE) * 2]
SLACK = 3.0  # s that a busy machine may be late
LOST = 0.1  # s of the recording that may be lost while the microphone opens
TOKEN = "the-secret-token"


class Recipe(NamedTuple):
    """The recipe as it runs: where the app listens, and the sandbox in place of the service."""

    host: str
    sandbox: Sandbox

    def heard(self) -> float:
        """Returns how many seconds the sandbox has heard in the newest exchange."""
        return self.sandbox.exchanges[-1].seconds if self.sandbox.exchanges else 0.0


@contextlib.contextmanager
def recipe(folder: Path, monkeypatch: pytest.MonkeyPatch, scenario: str = "success") -> Iterator[Recipe]:
    """Writes the README's two files, as it says, and serves them with Flask's own server."""
    pytest.importorskip("av")
    from werkzeug.serving import make_server

    section = README.read_text(encoding="utf-8").partition("\n## Speech from a browser\n")[2].partition("\n## ")[0]
    files = dict(
        zip(re.findall(r"`((?:static/)?speech\.\w+)`[,:]", section), re.findall(r"```\w+\n([\s\S]*?)```", section))
    )
    (folder / "static").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with Sandbox(scenario) as sandbox:
        monkeypatch.setenv("ELSA_UNSCRIPTED_URL", sandbox.url)
        monkeypatch.setenv("ELSA_API_TOKEN", TOKEN)
        app = runpy.run_path(str(folder / "speech.py"), run_name="speech")["app"]
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Recipe(f"127.0.0.1:{server.server_port}", sandbox)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            # The threads of simple-websocket: one whose socket Flask's server has closed sees that at its next ping.
            for thread in threading.enumerate():
                if "simple_websocket" in thread.name:
                    thread.join(PATIENCE)


@pytest.fixture(name="browser", scope="module")
def _browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with a microphone that plays the recording, and whose user allows it."""
    said = tmp_path_factory.mktemp("microphone") / "said.wav"
    said.write_bytes(wav(SAID))
    microphone = f"--use-file-for-fake-audio-capture={said}%noloop"
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", microphone]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield browser
    browser.close()


class Seen(NamedTuple):
    """A page, and what it said and got meanwhile."""

    page: Page
    complaints: List[str]
    messages: List[str]


@contextlib.contextmanager
def opened(browser: Browser, running: Recipe) -> Iterator[Seen]:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        seen = Seen(page, [], [])
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on(
            "websocket", lambda socket: socket.on("framereceived", lambda payload: seen.messages.append(str(payload)))
        )
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        page.goto(f"http://{running.host}/static/speech.html")
        yield seen
    finally:
        context.close()
    # Flask's development server answers the request of a WebSocket once more when it has closed it.
    seen.complaints[:] = [text for text in seen.complaints if "Invalid frame header" not in text]


def wait_until(page: Page, condition: Any, patience: float = PATIENCE) -> None:
    guard = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < guard
        page.wait_for_timeout(250)  # each look costs processor time, and one test looks for 12 s


def answer_of(page: Page) -> Any:
    """Waits for what the page shows in the end; the button then begins anew."""
    page.wait_for_function("document.querySelector('output').textContent")
    assert page.inner_text("button") == "Speak"
    text = page.inner_text("output")
    assert text.startswith("{"), text
    return json.loads(text)


def correlations(heard: bytes, said: bytes, late: float, seconds: float = 2.0) -> List[float]:
    """Compares by windows: returns for each the best correlation with what was said there.

    Hearing may have begun up to `late` seconds after speaking, and a window may lie up to 0.2 s beside that.
    """
    numpy = pytest.importorskip("numpy")
    ours = numpy.frombuffer(heard, numpy.int16).astype(float)
    theirs = numpy.frombuffer(said, numpy.int16).astype(float)
    size, most, earlier = int(seconds * RATE), int(0.2 * RATE), int((0.2 + late) * RATE)
    found = []
    for start in range(earlier, min(len(ours) - most, len(theirs)) - size, size):
        window, around = theirs[start : start + size], ours[start - earlier : start + size + most]
        # Through Fourier, as numpy's own correlate() would take seconds: products at each shift, and sums of squares.
        length = len(around) + size
        products = numpy.fft.irfft(numpy.fft.rfft(around, length) * numpy.fft.rfft(window, length).conj(), length)
        squares = numpy.concatenate(([0.0], numpy.cumsum(around**2)))
        norms = numpy.sqrt((squares[size:] - squares[:-size]) * (window**2).sum())
        found.append(float((products[: len(norms)] / norms).max()))
    return found


# Keeps what the page sends.
KEEP = """() => {
  window.kept = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (data instanceof Blob) window.kept.push(data);
    return send.call(this, data);
  };
}"""
KEPT = "async () => Array.from(new Uint8Array(await new Blob(window.kept).arrayBuffer()))"


@pytest.mark.slow
def test_speech_from_a_browser(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page's microphone hears arrives whole, as it is spoken; the page gets the result, and not the token."""
    with recipe(tmp_path, monkeypatch) as running, opened(browser, running) as (page, complaints, messages):
        page.evaluate(KEEP)
        clicked = time.monotonic()
        page.click("button")
        page.wait_for_function("document.querySelector('button').textContent === 'Stop'")
        began = time.monotonic()
        wait_until(page, lambda: running.heard() > SECONDS)
        took = time.monotonic() - began
        page.click("button")
        answer = answer_of(page)
        exchange = running.sandbox.exchanges[-1]
        assert exchange.breach is None
        assert exchange.close_code == 1000
        content = page.content()
        recorded = load(bytes(page.evaluate(KEPT)), RATE)
    assert (answer["status"], answer["ended_by"]) == ("success", "source")
    assert complaints == []
    assert TOKEN not in content + "".join(messages)
    assert (exchange.sample_rate, exchange.channels, exchange.sample_width) == (RATE, 1, 2)
    first = exchange.arrival_times[0]
    assert all(at - first - number * 0.5 < SLACK for number, at in enumerate(exchange.arrival_times))
    assert SECONDS - LOST <= exchange.seconds <= took + SLACK
    assert exchange.pcm == recorded.pcm
    # The microphone plays from the click on, and the page records as soon as its WebSocket is open.
    found = correlations(exchange.pcm, SAID, late=began - clicked)
    assert len(found) >= 2
    # On a busy machine, Chromium's fake microphone drops some milliseconds, and such a window then is two halves.
    assert sorted(found)[len(found) // 2] > 0.9, found


def test_page_that_goes_away(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the page is closed in mid-speech, the stream is cancelled, and its threads end; the app goes on."""
    with recipe(tmp_path, monkeypatch) as running:
        before = set(threading.enumerate())
        with opened(browser, running) as (page, _, _):
            page.click("button")
            wait_until(page, lambda: running.heard() >= 1.0)
            during = {thread.name for thread in set(threading.enumerate()) - before}
            assert {"elsa-source", "elsa-audio", "elsa-websocket"} < during
        exchange = running.sandbox.exchanges[-1]
        assert exchange.close_code == 1000
        assert exchange.verdict is None
        assert "end_stream" not in str(exchange.frames[-1])
        guard = time.monotonic() + PATIENCE
        while left := {each.name for each in set(threading.enumerate()) - before if "asyncio" not in each.name}:
            assert time.monotonic() < guard, left
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("early=2", {"ended_by": "server", "status": "success"}),
        ("drop-after=2", {"error": "That did not work. Please try again."}),
        ("401", {"error": "That did not work. Please try again."}),
    ],
)
def test_server_that_ends_early(
    scenario: str, told: Dict[str, str], browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the service ends it in mid-speech, with a verdict or without, the page is told, and stops recording."""
    with recipe(tmp_path, monkeypatch, scenario) as running, opened(browser, running) as (page, complaints, _):
        page.click("button")
        answer = answer_of(page)
        assert told.items() <= answer.items()
        page.wait_for_timeout(300)  # a page that still recorded would complain of the socket by now
    assert complaints == []


# simple-websocket's thread may find its socket closed by Flask's server, at once, and not be prepared for that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_page_of_another_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't speak at the app's cost: the app ends the WebSocket, and opens no stream."""
    with recipe(tmp_path, monkeypatch) as running:
        page: Any = websocket.create_connection(f"ws://{running.host}/speech", origin="https://elsewhere.example")
        try:
            assert page.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
        finally:
            page.shutdown()
        assert running.sandbox.exchanges == ()


@pytest.mark.slow
@pytest.mark.parametrize("given", ["nothing", "text"])
def test_page_that_is_not_the_recipes(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that keeps the WebSocket open and gives nothing, or no audio, is told so; the stream is cancelled."""
    with recipe(tmp_path, monkeypatch) as running:
        page = websocket.create_connection(f"ws://{running.host}/speech", origin=f"http://{running.host}", timeout=60)
        try:
            if given == "text":
                page.send("speech")
            assert "error" in json.loads(page.recv())
        finally:
            page.close()
        (exchange,) = running.sandbox.exchanges
        assert (exchange.close_code, exchange.verdict) == (1000, None)
