"""Shows what is logged: all of it, for `-v`; or a batch's own warnings. Used by `score`, `batch` and `report`."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Callable, Iterator

from ..results.text import printable
from .list_file import READER

_package = logging.getLogger("elsa_unscripted")


@contextlib.contextmanager
def everything() -> Iterator[None]:
    """Shows whatever is logged, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter("%(relativeCreated)7d ms %(levelname)s %(name)s: %(message)s"))
    before = _package.level
    _package.setLevel(logging.DEBUG)
    try:
        with _added(handler):
            yield
    finally:
        _package.setLevel(before)


@contextlib.contextmanager
def warnings(tell: Callable[[str], None]) -> Iterator[None]:
    """Tells the warnings about a journal or a list, but not the warnings of a batch's single exchanges."""
    with _added(_Told(tell)):
        yield


@contextlib.contextmanager
def _added(handler: logging.Handler) -> Iterator[None]:
    _package.addHandler(handler)
    try:
        yield
    finally:
        _package.removeHandler(handler)


class _LineFormatter(logging.Formatter):
    """Keeps each record on a line of its own, whatever text of the server is in it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Told(logging.Handler):
    """Tells the warnings of the thread that made it, and of the list's reader. Exchanges run in other threads."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread or record.threadName == READER:
            self._tell(f"{record.levelname.lower()}: {record.getMessage()}")
