"""`Gaps`: the gaps in the time stamps of audio, and which of them become silence. For `container`."""

from __future__ import annotations

from typing import List, Optional, Tuple

# s; a shorter gap is a rounding error. Time stamps are rounded to a millisecond at worst (webm), and the shortest
# packet that can be missing has 20 ms.
JITTER = 0.01

# s; the service is said to accept recordings up to this length, so a longer gap is a broken time stamp, or a pause that
# nobody wants to pay for. All gaps together may last this long, plus the length of the audio.
LONGEST_GAP = 150.0

RESTART = 1.0  # s; if time stamps jump back further, the clock has begun anew, as in Ogg files that were joined


class Gaps:
    """Finds gaps: compares the time stamps of frames with the length of the audio in them.

    Attributes:
        gaps: The gaps that become silence: for each, where in the audio it begins, and its length, in seconds.
        jumps: The same for the gaps that are too long to become silence.
        played: Seconds of audio before the frame that came last, with the silence in gaps.
        end: The time stamp at which the frame that came last ends.
    """

    def __init__(self) -> None:
        self.gaps: List[Tuple[float, float]] = []
        self.jumps: List[Tuple[float, float]] = []
        self.played = 0.0
        self.end = 0.0
        self._length = 0.0  # of the last frame
        self._silence = 0.0  # in all gaps
        self._zero: Optional[float] = None  # the time stamp that `played` counts from

    def due(self, start: Optional[float], length: float, after_damage: bool) -> Optional[float]:
        """Takes the next frame; returns where in the audio it belongs if there is a gap before it, else `None`.

        There is a gap only if the frame is late compared with the frame before, and also with all the audio so far. So
        time stamps that jitter, or come from a clock that is a little too fast or slow, make no gap.

        Args:
            start: The frame's time stamp, in seconds; `None` if it has none: then it follows the frame before.
            length: The frame's length, in seconds.
            after_damage: Whether damaged audio before the frame was left out: that is not a gap.
        """
        self.played += self._length
        self._length = length
        if start is None:
            start = self.end
        if self._zero is None:
            self._zero = self.end = start
        jump, late = start - self.end, start - self._zero - self.played
        self.end = start + length
        if late < -RESTART or after_damage:
            self._zero = start - self.played
        if jump < JITTER or late < JITTER or after_damage:
            return None
        audio = self.played - self._silence
        if late > LONGEST_GAP or self._silence + late > LONGEST_GAP + audio:
            self.jumps.append((self.played, late))
            self._zero = start - self.played
            return None
        self.gaps.append((self.played, late))
        self._silence += late
        self.played += late
        return self.played

    def warnings(self) -> List[Tuple[str, float]]:
        """Returns sentences on the gaps, each without its subject, the file; and how many seconds each is about."""
        found = []
        if self.gaps:
            said = f"{_places(self.gaps)} are pauses in its time stamps, where it holds no audio: sent as silence"
            found.append((said, _seconds(self.gaps)))
        if self.jumps:
            said = (
                f"its time stamps jump over {_places(self.jumps)}, too much for pauses (more than {LONGEST_GAP:.0f} s "
                "at once, or more than there is audio): nothing is sent for that"
            )
            found.append((said, _seconds(self.jumps)))
        return found


def _seconds(gaps: List[Tuple[float, float]]) -> float:
    return sum(length for _, length in gaps)


def _places(gaps: List[Tuple[float, float]]) -> str:
    """Returns how long gaps are, and where: "4.0 s (4 s at 1.0 s)"."""
    places = [f"{length:.2g} s at {start:.1f} s" for start, length in gaps[:3]]
    more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
    return f"{_seconds(gaps):.1f} s ({', '.join(places)}{more})"
