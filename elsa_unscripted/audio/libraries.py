"""pydub and PyAV, each imported only when a recording needs it. Called by the other modules of `audio`."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

from ..exceptions import AudioError
from ..imports import another_module, importing, not_imported
from ..signals import raised_by_handler

__all__ = ["INSTALL", "import_audio_segment", "import_pyav", "is_audio_segment"]

INSTALL = "pip install 'elsa-unscripted[formats]'"


def import_audio_segment() -> Any:
    """Returns pydub's `AudioSegment`.

    Raises:
        AudioError: pydub can't be imported, or another module has its name.
    """
    # pydub warns on import that there is no ffmpeg, which WAV doesn't need, and Python warns of its old syntax. The
    # warning filters are the whole process's: changed for this one import only, by one thread at a time.
    try:
        with importing():
            if "pydub" not in sys.modules:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    importlib.import_module("pydub")
            import pydub
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        raise AudioError(not_imported("pydub", error, "pip install --force-reinstall elsa-unscripted")) from error
    kind = getattr(pydub, "AudioSegment", None)
    if not hasattr(kind, "from_file"):
        raise AudioError(another_module(pydub, "pydub"))
    return kind


def is_audio_segment(source: object) -> bool:
    """Returns whether a source is a `pydub.AudioSegment`. Whoever has one has imported pydub: this doesn't."""
    kind = getattr(sys.modules.get("pydub"), "AudioSegment", None)
    return isinstance(kind, type) and isinstance(source, kind)


def import_pyav() -> Any:
    """Returns PyAV, the module `av`; `None` if it isn't installed.

    Raises:
        AudioError: It is installed and can't be imported, or another module has its name.
    """
    try:
        with importing():
            import av
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == "av":
            return None
        raise AudioError(not_imported("av", error, f"{INSTALL} --force-reinstall")) from error
    if all(hasattr(av, name) for name in ("open", "AudioResampler", "FFmpegError", "__version__")):
        return av
    if getattr(av, "__file__", None) is None:
        return None  # a folder called av: Python takes any folder for a package, if it finds no better one
    raise AudioError(another_module(av, "av"))
