"""What is shown while a batch runs: a bar on a terminal, else a line a minute. Made by `batch`, which tells it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, List, NoReturn, Optional

from .terminal import make_bar, say

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..batch import BatchProgress

LINE_SECONDS = 60.0  # s between two lines, where there is no terminal
BAR_SECONDS = 0.1  # s between two drawings of the bar; more often, and a fast batch would spend its time on it


class Meter:
    """Shows how far a batch is, on standard error.

    Args:
        total: How many recordings there are, if that is known.
        shown: Whether to show progress; `say()` prints in any case.
        every: Seconds between two lines.
    """

    def __init__(self, total: Optional[int], *, shown: bool = True, every: float = LINE_SECONDS) -> None:
        self.stopping = False  # whether to say that nothing new is started
        self._total = total
        self._began = time.monotonic()
        self._every = every
        self._lines = shown
        self._line_at = self._began
        self._bar: Optional[tqdm[NoReturn]] = None
        if shown and sys.stderr is not None and sys.stderr.isatty():
            self._lines = False
            self._bar = make_bar(total=total, bar_format="{desc}")
            self._bar_at = 0.0

    def show(self, progress: BatchProgress, *, last: bool = False) -> None:
        """Shows how far the batch is, if it is time to do so; with `last`, in any case."""
        now = time.monotonic()
        if self._bar is not None:
            if last or now - self._bar_at >= BAR_SECONDS:
                self._bar_at = now
                self._draw(self._bar, progress)
        elif self._lines and (last or now >= self._line_at):
            self._line_at = now + self._every
            say(f"{self._done(progress)} done, {', '.join(self._facts(progress))}")

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar is None:
            say(text)
            return
        self._bar.clear()
        say(text)
        self._bar.refresh()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _draw(self, bar: tqdm[NoReturn], progress: BatchProgress) -> None:
        facts = ", ".join(self._facts(progress))
        middle = "  " if self._total is None else " |{bar}| "
        # The two spaces at the end leave room for the ^C that a terminal shows on Ctrl-C. If ^C went to the next line,
        # this line would stay on the screen.
        bar.bar_format = f"{self._done(progress)}{middle}{facts}  "
        bar.n = _finished(progress)
        bar.refresh()

    def _done(self, progress: BatchProgress) -> str:
        return str(_finished(progress)) if self._total is None else f"{_finished(progress)} of {self._total}"

    def _facts(self, progress: BatchProgress) -> List[str]:
        seconds = time.monotonic() - self._began
        facts = [f"{progress.failed} failed", f"{progress.in_flight} in flight"]
        if self.stopping:
            return [*facts, "stopping"]
        if progress.waiting > 0:
            return [*facts, f"rate limited, waiting {progress.waiting:.0f} s"]
        pace = progress.audio_seconds / max(seconds, 1e-9)
        facts.append(f"{pace:.{0 if pace >= 3 else 1}f}× real time")
        # The pace is that of the recordings that were scored or failed: those from the journal took no time.
        left = 0 if self._total is None else self._total - _finished(progress)
        if left > 0 and progress.audio_seconds:
            facts.append(f"{clock(left * seconds / (progress.succeeded + progress.failed))} left")
        return facts


def clock(seconds: float) -> str:
    """Returns a duration as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(max(round(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _finished(progress: BatchProgress) -> int:
    return progress.succeeded + progress.failed + progress.resumed + progress.skipped
