"""`LevelMeter`: shows on standard error how loud a microphone is and for how long it has listened. Made by `live`.

It has a thread, which owns the screen until `close()`; the caller's thread is in `score()`.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import shutil
import sys
import threading
from typing import TYPE_CHECKING, Deque, NoReturn, Optional

from ..audio.check import THRESHOLDS
from ..threads import NoThreadError, start_thread
from .enter import Enter
from .meter import clock
from .terminal import make_bar, say

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..audio.microphone import Microphone

DRAW_SECONDS = 0.1  # s between two drawings; a microphone gives a block as often
RANGE = 60  # dB, from an empty bar to a full one: speech is in its upper half
WIDE = 60  # columns from which there is room for advice
LONGEST_BAR = 24  # columns
REST = 35  # columns of a line that aren't the bar's, with room for ^C, as terminals show Ctrl-C
HEARD = 30  # drawings (3 s) in one of which the level must reach that of speech; else it is too quiet
CLIPPED = 20  # drawings (2 s) for which clipping is told: it is over in a moment, and must be read
LEAVE_SECONDS = 2.0  # s for the thread to end: for a terminal that takes no more at the moment


class LevelMeter:
    """Tells which device is listened to and what ends that; shows level and clock; on Enter, stops the microphone.

    Attributes:
        stopped_by: `"Enter"` or `"Ctrl-C"`, if one of them has ended the speech; else `None`.
        warned: How many of the microphone's warnings were told.
    """

    def __init__(self, microphone: Microphone, *, bar: bool, lines: bool) -> None:
        """Begins to show.

        Args:
            microphone: What `score()` is about to listen to.
            bar: Whether to draw, which needs a terminal.
            lines: Whether to print lines: at the beginning, and for each warning.
        """
        self.stopped_by: Optional[str] = None
        self.warned = 0
        self._microphone = microphone
        self._lines = lines
        self._heard: Deque[float] = collections.deque(maxlen=HEARD)
        self._clipped = 0  # for how many drawings clipping is still told
        self._bar: Optional[tqdm[NoReturn]] = make_bar(total=RANGE, bar_format="{desc}") if bar else None
        self._enter = Enter()
        self._over = False
        self._shows_end = False  # whether the meter shows that the speech has ended
        # A daemon: a terminal that is stopped, by Ctrl-S, may keep it from ending.
        self._thread = threading.Thread(target=self._run, name="elsa-level", daemon=True)
        with contextlib.suppress(NoThreadError):  # then nothing is shown, and Enter does nothing
            start_thread(self._thread)

    def stop(self, by: str) -> bool:
        """Ends the speech; returns whether it had not ended before. A signal handler may call this."""
        if self._microphone.device is None or self._has_ended:
            return False
        self.stopped_by = by
        self._microphone.stop()
        return True

    def close(self) -> None:
        """Ends the showing, and takes the meter from the screen."""
        self._over = True
        self._enter.wake()
        if self._thread.ident is not None:
            self._thread.join(LEAVE_SECONDS)
        if not self._thread.is_alive():
            self._enter.close()

    @property
    def _has_ended(self) -> bool:
        return self.stopped_by is not None or self._microphone.ended_by is not None

    # In its own thread.

    def _run(self) -> None:
        told = False
        with contextlib.suppress(OSError):  # nobody can see it any more
            while not self._over:
                if not told and self._microphone.device is not None:
                    told = True
                    self._say(self._beginning())
                self._warn()
                self._draw()
                if self._enter.wait(DRAW_SECONDS) and not self._over:
                    if self._enter.is_watched:  # else it was Ctrl-D, which goes to no other line
                        self._go_back()
                    self.stop("Enter")
            if self._bar is not None:
                self._wipe()
                self._bar.close()

    def _beginning(self) -> str:
        ends = ["you press Enter" if self._enter.is_watched else "you press Ctrl-C", "the server hears the end"]
        if self._microphone.max_seconds < math.inf:
            ends.append(f"{self._microphone.max_seconds:g} s are over")
        return f"listening to {self._microphone.device!r}, until {', '.join(ends[:-1])} or {ends[-1]}"

    def _warn(self) -> None:
        for warning in self._microphone.warnings[self.warned :]:
            self.warned += 1
            self._say(f"warning: {warning}")

    def _say(self, text: str) -> None:
        if not self._lines:
            return
        if self._bar is not None:
            self._bar.clear()
        say(text)

    def _draw(self) -> None:
        bar, microphone = self._bar, self._microphone
        if bar is None:
            return
        if microphone.device is None:
            bar.set_description_str("opening the microphone")
            return
        seconds = microphone.frame_count / microphone.format.sample_rate if microphone.frame_count else 0.0
        level = microphone.level
        columns = shutil.get_terminal_size().columns
        bar.n = round(min(max(level, -RANGE), 0.0)) + RANGE
        told = self._problem(level) or (f"{level:3.0f} dB" if level > -RANGE else " quiet")
        if self._has_ended:
            if not self._shows_end:
                self._shows_end = True
                self._wipe()
            advice = ", Ctrl-C gives up" if columns >= WIDE else ""
            bar.bar_format = f"{clock(seconds)}  waiting for the verdict{advice}"
        else:
            end = "Enter ends it" if self._enter.is_watched else "Ctrl-C ends it"
            width = min(max(columns - REST, 1), LONGEST_BAR)
            bar.bar_format = f"{clock(seconds)} |{{bar:{width}}}| {told}  {end}"
        bar.refresh()

    def _problem(self, level: float) -> str:
        """Returns `"clipping"` or `"too quiet"`, by the measures of `check`; `""` if it is neither."""
        self._heard.append(level)
        self._clipped = CLIPPED if self._microphone.is_clipping else max(self._clipped - 1, 0)
        if self._clipped:
            return "clipping"
        full = len(self._heard) == HEARD
        return "too quiet" if full and max(self._heard) < THRESHOLDS["quiet"].value else ""

    def _go_back(self) -> None:
        """Goes back to the meter's line: the terminal has shown Enter, by going to the next one."""
        if self._bar is not None and self._enter.is_terminal and os.name != "nt" and os.environ.get("TERM") != "dumb":
            sys.stderr.write("\x1b[A")

    def _wipe(self) -> None:
        """Empties the meter's line, in which the terminal may have shown Ctrl-C as ^C: tqdm doesn't know of that."""
        sys.stderr.write(f"\r{' ' * (shutil.get_terminal_size().columns - 1)}\r")
