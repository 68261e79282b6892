"""Measures recordings whose faults are known with `check_audio()`, and prints what it finds, as a table of Markdown.

The recordings are made of tests/data/austen.wav: cut, made louder and quieter, clipped, filtered, with noise; some by
`recordings` of tests/. That of espeak-ng needs its program. elsa_unscripted/audio/README.md has this table; the
thresholds are chosen by it.
"""

from __future__ import annotations

import argparse
import array
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from recordings import SPEECH, wav  # noqa: E402

from elsa_unscripted import AudioCheck, check_audio  # noqa: E402

RATE = 16_000  # Hz
SENTENCES = (
    "Every morning I walk to the station, and read a book while I wait. The weather is usually mild, and I enjoy the "
    "quiet before the day begins. Then I take the train to work, where my colleagues are waiting for me. In the "
    "evening I cook something simple, listen to the radio, and write a letter to my sister, who lives by the sea."
)

Samples = list[float]  # -1 to 1


def main() -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print("| recording | speech, s | level, dBFS | noise, dB | above 4.3 kHz, dB | clipped, % | DC, % | findings |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, audio in recordings():
        print(row(name, check_audio(audio)), flush=True)
    return 0


def row(name: str, found: AudioCheck) -> str:
    """Returns a line of the table."""
    cells = [
        _number(found.speech_seconds, 1),
        _number(found.speech_level, 1),
        _number(found.snr, 1),
        _number(found.high_band, 1),
        _number(None if found.clipped is None else 100 * found.clipped, 2),
        _number(None if found.dc is None else 100 * found.dc, 1),
        ", ".join(f"**{each.code}**" if each.level == "error" else each.code for each in found.findings) or "none",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _number(value: Optional[float], digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".replace("-0.0", "0.0")


def recordings() -> Iterator[tuple[str, bytes]]:
    """Yields what is measured: its name, and a WAV file."""
    clean = [sample / 32768 for sample in array.array("h", SPEECH)]
    power = sum(sample * sample for sample in clean) / len(clean)
    yield "`austen.wav`", _wav(clean)
    for start in range(0, 20, 5):
        yield f"seconds {start} to {start + 5} of it", _wav(clean[start * RATE : (start + 5) * RATE])
    for decibels in (30, 20, 15, 10, 5, 0):
        noise = _noise(math.sqrt(power / 10 ** (decibels / 10)))
        yield f"white noise, {decibels} dB below it", _wav([a + b for a, b in zip(clean, noise)])
    for gain in (0.005, 0.05, 0.2, 5, 25):
        yield f"× {gain:g}", _wav([gain * sample for sample in clean])
    yield "× 8, clipped, then halved", _wav([0.5 * max(-1.0, min(1.0, 8 * sample)) for sample in clean])
    for cut in (3400, 4000):
        yield f"nothing above {cut / 1000:g} kHz", _wav(_low_pass(clean, cut))
    for decibels in (20, 10):
        noise = _noise(math.sqrt(power / 10 ** (decibels / 10)))
        yield (
            f"the latter, white noise {decibels} dB below",
            _wav([a + b for a, b in zip(_low_pass(clean, 4000), noise)]),
        )
    yield "a tenth of full scale off zero", _wav([sample + 0.1 for sample in clean])
    yield "stereo, of opposite phase", _stereo(clean, -1)
    yield "stereo, equal", _stereo(clean, 1)
    yield "8 bit", wav(bytes(round(128 + 127 * sample) for sample in clean), RATE, 1, 8)
    yield "two minutes of silence behind it", _wav([*clean, *([1e-4, -1e-4] * 60 * RATE)])
    if shutil.which("espeak-ng"):
        yield "espeak-ng's speech", subprocess.run(["espeak-ng", "--stdout", SENTENCES], stdout=-1, check=True).stdout
    else:
        print("left out: espeak-ng isn't installed", file=sys.stderr)
    yield "a tone of 440 Hz", _wav(_tones(lambda t: [440]))
    yield "chords", _wav(_tones(lambda t: [root * (1.12 if t % 2 > 1 else 1) for root in (261.6, 329.6, 392.0)]))
    yield "a hum of 50 Hz", _wav(_tones(lambda t: [50 * k for k in range(1, 8)]))
    yield "white noise alone", _wav(list(_noise(0.1)))
    yield "the last bit alone", _wav(list(_noise(1 / 32768)))
    yield "zeros", _wav([0.0] * 10 * RATE)
    yield "zeros of 8 bit", wav(b"\x80" * 10 * RATE, RATE, 1, 8)


def _wav(samples: Samples) -> bytes:
    return wav(array.array("h", (max(-32768, min(32767, round(32768 * sample))) for sample in samples)).tobytes())


def _stereo(samples: Samples, other: int) -> bytes:
    both = [round(32767 * part) for sample in samples for part in (sample, other * sample)]
    return wav(array.array("h", both).tobytes(), RATE, 2)


def _noise(level: float) -> Iterator[float]:
    source = random.Random(1)
    return (source.gauss(0, level) for _ in range(len(SPEECH) // 2))


def _tones(pitches: Callable[[float], list[float]]) -> Samples:
    times = (index / RATE for index in range(len(SPEECH) // 2))
    return [sum(math.sin(2 * math.pi * pitch * time) for pitch in pitches(time)) / 10 for time in times]


def _low_pass(samples: Samples, cut: float) -> Samples:
    """Returns the samples through a windowed sinc of 129 taps."""
    half, ratio = 64, 2 * cut / RATE
    taps = [
        (ratio if k == 0 else math.sin(math.pi * ratio * k) / (math.pi * k))
        * (0.54 + 0.46 * math.cos(math.pi * k / (half + 1)))
        for k in range(-half, half + 1)
    ]
    padded = [0.0] * half + samples + [0.0] * half
    filtered = [0.0] * len(samples)
    for lag, tap in enumerate(taps):
        filtered = [total + tap * sample for total, sample in zip(filtered, padded[lag : lag + len(samples)])]
    return filtered


if __name__ == "__main__":
    sys.exit(main())
