"""pydub and PyAV, each imported only when a recording needs it. Called by the other modules of `audio`.

A process may fork while one of its threads is in such an import. The child would find the import half done, and locked
for ever by a thread that isn't there. So a fork waits until the import is finished, as it does for `logging`'s locks.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import warnings
from typing import Any

from ..exceptions import AudioError
from ..signals import raised_by_handler

__all__ = ["INSTALL", "import_audio_segment", "import_pyav", "is_audio_segment"]

INSTALL = "pip install 'elsa-unscripted[formats]'"

_importing = threading.RLock()  # a signal handler that interrupts the import must not wait for it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )


def import_audio_segment() -> Any:
    """Returns pydub's `AudioSegment`.

    Raises:
        AudioError: pydub can't be imported, or another module has its name.
    """
    # pydub warns on import that there is no ffmpeg, which WAV doesn't need, and Python warns of its old syntax. The
    # warning filters are the whole process's: changed for this one import only, by one thread at a time.
    try:
        with _importing:
            if "pydub" not in sys.modules:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    importlib.import_module("pydub")
            import pydub
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        raise _not_imported("pydub", error, "pip install --force-reinstall elsa-unscripted") from error
    kind = getattr(pydub, "AudioSegment", None)
    if not hasattr(kind, "from_file"):
        raise _another_module(pydub, "pydub")
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
        with _importing:
            import av
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name == "av":
            return None
        raise _not_imported("av", error, f"{INSTALL} --force-reinstall") from error
    if all(hasattr(av, name) for name in ("open", "AudioResampler", "FFmpegError", "__version__")):
        return av
    if getattr(av, "__file__", None) is None:
        return None  # a folder called av: Python takes any folder for a package, if it finds no better one
    raise _another_module(av, "av")


_RENAME = "rename it, or take its folder off sys.path"


def _not_imported(name: str, error: Exception, repair: str) -> AudioError:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as no_spec:
        if raised_by_handler(no_spec):
            raise
        spec = None
    where = f" from {spec.origin!r}" if spec is not None else ""
    reason = f"{type(error).__name__}: {error}"
    return AudioError(f"{name} can't be imported{where} ({reason}). If that file is yours, {_RENAME}; else: {repair}")


def _another_module(module: Any, name: str) -> AudioError:
    where = getattr(module, "__file__", None) or "a module without a file"
    return AudioError(f"{where!r} is called {name} and hides the package of that name: {_RENAME}")
