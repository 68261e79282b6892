"""What can be told of a recording without assessing it: length, level, clipping, pauses; for the honest verdict."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

# Imported here and not on first use: `catch_warnings()` changes filters of the whole process, which other threads may
# use by then. pydub warns of a missing ffmpeg, which reading WAV doesn't need, and of its own old syntax.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pydub import AudioSegment
    from pydub.silence import detect_silence

PAUSE_MS = 300  # shorter silences are part of fluent speech
PAUSE_DB = 16.0  # dB: a stretch that is quieter than the whole recording by this much is a pause
SILENCE_DBFS = -60.0  # a quieter stretch is a pause, however quiet the whole recording is
STEP_MS = 50  # the precision of the pauses; at 1 ms, pydub's own, a long recording takes tens of seconds


def measure(wav: bytes | None) -> dict[str, Any]:
    """Returns what can be measured of a WAV file, as JSON values.

    Levels are in dBFS, `None` for digital silence; `clipped_samples` counts those at full scale; `pauses` are
    `[start, end]` in seconds, of at least 0.3 s.
    """
    audio = AudioSegment.from_wav(io.BytesIO(wav)) if wav else AudioSegment.empty()
    pauses = _pauses(audio.set_channels(1))
    seconds = audio.frame_count() / audio.frame_rate
    pause_seconds = min(seconds, sum(end - start for start, end in pauses))
    return {
        "duration_seconds": round(seconds, 3),
        "rms_dbfs": _decibels(audio.dBFS),
        "peak_dbfs": _decibels(audio.max_dBFS),
        "clipped_samples": _clipped(audio),
        "speech_seconds": round(seconds - pause_seconds, 3),
        "pause_seconds": round(pause_seconds, 3),
        "pauses": pauses,
    }


def _decibels(level: float) -> float | None:
    return round(level, 2) if math.isfinite(level) else None


def _clipped(audio: AudioSegment) -> int:
    full = 2 ** (8 * audio.sample_width - 1)
    # The loudest sample of a 24-bit recording, once widened to 32 bit, is 256 steps below the top.
    tops = (full - 1, full - 256) if audio.sample_width == 4 else (full - 1,)
    if audio.max < min(tops):
        return 0
    samples = audio.get_array_of_samples()
    return sum(samples.count(value) for value in (*tops, -full))


def _pauses(mono: AudioSegment) -> list[list[float]]:
    if not len(mono):
        return []
    quiet = max(mono.dBFS - PAUSE_DB, SILENCE_DBFS)
    found = detect_silence(mono, min(PAUSE_MS, len(mono)), quiet, STEP_MS)
    return [[start / 1000, end / 1000] for start, end in found]
