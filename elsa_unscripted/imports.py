"""Imports what is imported late, that is when it is first needed. For every room that does so.

A process may fork while one of its threads is in such an import. The child would find the import half done, and locked
for ever by a thread that isn't there. So a fork waits until the import is finished, as it does for `logging`'s locks.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from typing import Any, ContextManager

from .files import OUT_OF_FILES, is_out_of_files
from .signals import raised_by_handler
from .threads import held

__all__ = ["another_module", "importing", "not_imported"]

# Reentrant: a signal handler that interrupts an import must not wait for it.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def importing() -> ContextManager[None]:
    """Returns what is held while something is imported late."""
    return held(_lock)


_RENAME = "rename it, or take its folder off sys.path"


def not_imported(name: str, error: BaseException, repair: str) -> str:
    """Returns what to tell of a package that can't be imported.

    Args:
        name: Of the module.
        error: What the import raised.
        repair: The command that installs the right one.
    """
    if sys.is_finalizing():
        return f"{name} can't be imported, since the interpreter is ending; call this earlier"
    if is_out_of_files(error):
        return f"{name} can't be imported: {OUT_OF_FILES}"
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as no_spec:
        if raised_by_handler(no_spec):
            raise
        spec = None
    reason = f"{type(error).__name__}: {error}"
    if spec is None:
        return f"{name} can't be imported ({reason}): {repair}"
    return f"{name} can't be imported from {spec.origin!r} ({reason}). If that file is yours, {_RENAME}; else: {repair}"


def another_module(module: Any, name: str, repair: str = "") -> str:
    """Returns what to tell of a module that is called as a package of ours, and is not that package.

    Args:
        module: What was imported.
        name: Of the module.
        repair: The commands that help if the module is not the user's own.
    """
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "a module without a file")
    other = f"; if it isn't yours: {repair}" if repair else ""
    return f"{where!r} is called {name} and hides the package of that name: {_RENAME}{other}"
