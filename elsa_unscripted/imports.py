"""Guards late imports, which happen when a module is first needed. Used by every room that imports late.

A process may fork while one of its threads is in an import. The child would find the import half done, and locked for
ever by a thread that doesn't exist there. So a fork waits until late imports are finished, as for `logging`'s locks.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from typing import Any, Callable, TypeVar, cast

from .files import OUT_OF_FILES, is_out_of_files
from .signals import raised_by_handler
from .threads import holding

__all__ = ["another_module", "imported", "importing", "not_imported"]

T = TypeVar("T")

# Reentrant: a signal handler that interrupts an import must not wait for it.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def importing(function: Callable[[], T]) -> T:
    """Calls a function that imports something: meanwhile, no other thread imports late, and a fork waits."""
    return cast(T, holding(_lock, function))


def imported(name: str) -> Any:
    """Imports a module that is needed late, and returns it."""
    return importing(lambda: importlib.import_module(name))


_RENAME = "rename it, or take its folder off sys.path"


def not_imported(name: str, error: BaseException, repair: str) -> str:
    """Returns the error message for a package that can't be imported.

    Args:
        name: The module's name.
        error: What the import raised.
        repair: The command that installs the package.
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
    """Returns the error message for a module that has the name of a package that we need, and hides that package.

    Args:
        module: The module that was imported instead.
        name: The name that both have.
        repair: The commands that help if the module is not the user's own.
    """
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "a module without a file")
    other = f"; if it isn't yours: {repair}" if repair else ""
    return f"{where!r} is called {name} and hides the package of that name: {_RENAME}{other}"
