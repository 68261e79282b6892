"""Imports pydub, PyAV and sounddevice, each only when it is needed. Called by the rest of `audio`."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import warnings
from typing import Any

from ..exceptions import AudioError
from ..files import is_out_of_files
from ..imports import another_module, imported, importing, not_imported
from ..signals import raised_by_handler

__all__ = ["INSTALL", "import_audio_segment", "import_pyav", "import_sounddevice", "is_audio_segment"]

INSTALL = "pip install 'elsa-unscripted[formats]'"
INSTALL_MICROPHONE = "pip install 'elsa-unscripted[microphone]'"


@functools.cache  # each recording asks twice
def import_audio_segment() -> Any:
    """Returns pydub's `AudioSegment`.

    Raises:
        AudioError: pydub can't be imported, or another module has its name.
    """
    # On import, pydub warns if there is no ffmpeg, which WAV doesn't need, and Python warns of pydub's old syntax. The
    # warning filters belong to the whole process: change them for this import only, in one thread at a time.
    try:
        pydub = importing(_pydub)
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        raise AudioError(not_imported("pydub", error, "pip install --force-reinstall elsa-unscripted")) from error
    kind = getattr(pydub, "AudioSegment", None)
    if not hasattr(kind, "from_file"):
        raise AudioError(another_module(pydub, "pydub"))
    return kind


def _pydub() -> Any:
    if "pydub" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pydub")
    return importlib.import_module("pydub")


def is_audio_segment(source: object) -> bool:
    """Returns whether a source is a `pydub.AudioSegment`. Doesn't import pydub: whoever has a segment has done so."""
    kind = getattr(sys.modules.get("pydub"), "AudioSegment", None)
    return isinstance(kind, type) and isinstance(source, kind)


def import_pyav() -> Any:
    """Returns PyAV, the module `av`; `None` if it isn't installed.

    Raises:
        AudioError: PyAV is installed but can't be imported, or another module has its name.
    """
    try:
        av = importing(_pyav)
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == "av":
            return None
        raise AudioError(not_imported("av", error, f"{INSTALL} --force-reinstall")) from error
    if all(hasattr(av, name) for name in ("open", "AudioFrame", "FFmpegError", "filter", "__version__")):
        return av
    if getattr(av, "__file__", None) is None:
        return None  # a folder named av: Python takes it for a package if it finds no other
    raise AudioError(another_module(av, "av"))


def _pyav() -> Any:
    av = importlib.import_module("av")
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("av.subtitles.stream")  # else av.open() would import it unguarded, see `imports`
    return av


def import_sounddevice() -> Any:
    """Returns the module `sounddevice`, which loads the system's library PortAudio, and looks for devices.

    Raises:
        AudioError: It isn't installed, or can't be imported; PortAudio is missing; or another module has its name.
    """
    try:
        sounddevice = imported("sounddevice")
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if isinstance(error, OSError) and "portaudio" in str(error).lower() and not is_out_of_files(error):
            raise AudioError(
                f"the microphone needs the system's library PortAudio ({error}): apt install libportaudio2 on Debian "
                "and Ubuntu, dnf install portaudio on Fedora, brew install portaudio on macOS"
            ) from error
        raise AudioError(not_imported("sounddevice", error, INSTALL_MICROPHONE)) from error
    if all(hasattr(sounddevice, name) for name in ("RawInputStream", "query_devices", "PortAudioError")):
        return sounddevice
    if getattr(sounddevice, "__file__", None) is None:  # a folder: Python takes it for a package if it finds no other
        raise AudioError(f"the microphone needs sounddevice: {INSTALL_MICROPHONE}")
    raise AudioError(another_module(sounddevice, "sounddevice"))
