"""The packages that this one needs, and those of its extras: their versions, and whether they are the right ones.

Most are imported in the same way as when they are used. So another module of the same name, found first, is noticed.
"""

from __future__ import annotations

import importlib.util
import os
import re
from importlib import metadata
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from ...audio import vad
from ...audio.libraries import import_audio_segment, import_pyav
from ...exceptions import ElsaError
from ...signals import raised_by_handler
from ...wire.transport import REPAIR, Transport
from ..terminal import make_bar
from .check import ERROR, OK, SKIPPED, WARNING, Check

DISTRIBUTION = "elsa-unscripted"


class Package(NamedTuple):
    """A package that is needed.

    Attributes:
        distribution: Its name for pip.
        module: Its name in Python.
        load: Imports it; raises `ElsaError` or `ImportError`, which say what to do.
        mend: The command that installs it anew.
        brings: What an extra is for.
        extra: The extra that it comes with.
    """

    distribution: str
    module: str
    load: Callable[[], object]
    mend: str
    brings: str = ""
    extra: str = ""


def _extra(name: str, distribution: str, module: str, load: Callable[[], object], brings: str) -> Package:
    return Package(distribution, module, load, f"pip install '{DISTRIBUTION}[{name}]'", brings, name)


def _load_report() -> None:
    from ... import report  # noqa: F401 - looks whether Jinja2 is the right one


def _load_sandbox() -> None:
    from ... import sandbox  # noqa: F401 - looks whether websockets is the right one


def finding_speech() -> Package:
    """Returns the extra `check`: which of two packages it brings depends on the Python."""
    packages = list(vad.PACKAGES.items())
    there = next((each for each in packages if importlib.util.find_spec(each[1]) is not None), packages[0])
    return _extra("check", *there, vad.package, "finding speech before it is sent")


# `Transport.frame()` and `make_bar()` import what they need, and check it.
RUNTIME = (
    Package("websocket-client", "websocket", lambda: Transport.frame(""), REPAIR),
    Package("pydub", "pydub", import_audio_segment, "pip install --force-reinstall pydub"),
    Package("tqdm", "tqdm", lambda: make_bar(disable=True), "pip install --force-reinstall tqdm"),
)
EXTRAS = (
    _extra("formats", "av", "av", import_pyav, "mp3, flac, m4a, ogg, webm"),
    # Not imported: that asks the sound server, which may hang. The check of the microphone does so, in another process.
    _extra("microphone", "sounddevice", "sounddevice", lambda: None, "speech from a microphone"),
    finding_speech(),
    _extra("report", "Jinja2", "jinja2", _load_report, "pages of results"),
    _extra("sandbox", "websockets", "websockets", _load_sandbox, "a local server for tests"),
    # Not imported: that takes a second.
    _extra("dask", "distributed", "distributed", lambda: None, "batches on many machines"),
)


def check_package(package: Package) -> Check:
    """Returns the check of a package that is always needed."""
    return _check(package, package.distribution)


def check_extra(package: Package) -> Check:
    """Returns the check of a package that comes with an extra: without it, nothing is wrong."""
    name = f"extra {package.extra}"
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:  # not there; or a folder of that name, which Python takes for a package
        return Check(name, SKIPPED, f"not installed; for {package.brings}", package.mend)
    return _check(package, name)


def _check(package: Package, name: str) -> Check:
    try:
        package.load()
    except Exception as error:  # a module of the same name may raise anything
        if raised_by_handler(error):
            raise
        text = str(error) if isinstance(error, (ElsaError, ImportError)) else f"{type(error).__name__}: {error}"
        detail, rename, advice = text.partition(": rename it")
        return Check(name, ERROR, detail, f"rename it{advice}" if rename else package.mend)
    version = _version(package.distribution)
    wanted = _wanted(package)
    module = importlib.util.find_spec(package.module)
    more = (str(module.origin).replace(f"{os.sep}__init__.py", ""),) if module is not None else ()
    shown = f"{package.distribution} {version or 'of an unknown version'}"
    detail = f"{shown}, for {package.brings}" if package.extra else version or "of an unknown version"
    if version is not None and not fits(version, wanted):
        command = f"pip install '{package.distribution}{','.join(wanted)}'"
        return Check(name, WARNING, f"{shown}, but {' and '.join(wanted)} is needed", command, more)
    return Check(name, OK, detail, "", more)


def _version(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _wanted(package: Package) -> List[str]:
    """Returns which versions of a package this one needs, by its own metadata: `[">=1.8.0", "!=1.9.1", "<2"]`."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # not installed, but run from its folder
        return []
    for requirement in requirements:
        found = re.match(r"([\w.-]+)(?:\[.*?\])?\s*\(?([^;)]*)", requirement)
        if found and found[1].lower() == package.distribution.lower():
            return sorted(filter(None, (part.strip() for part in found[2].split(","))), reverse=True)
    return []


_COMPARED: Dict[str, Callable[[Tuple[int, ...], Tuple[int, ...]], bool]] = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
}


def fits(version: str, wanted: List[str]) -> bool:
    """Returns whether a version is among those that are wanted, as far as its numbers tell."""
    for each in wanted:
        found = re.fullmatch(r"(>=|<=|==|!=|>|<)\s*([\d.]+)", each)
        if found and not _COMPARED[found[1]](_numbers(version), _numbers(found[2])):
            return False
    return True


def _numbers(version: str) -> Tuple[int, ...]:
    """Returns the numbers that a version begins with; without zeros at the end, so that 2.0 equals 2."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
