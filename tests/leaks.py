"""Looks for a token in all that an exchange can show: log lines, websocket-client's own trace, errors, reprs."""

from __future__ import annotations

import contextlib
import logging
import pickle
import traceback
from typing import Any, Iterator, List

import websocket


class Leaks(logging.Handler):
    """Keeps the beginning of each text that shows the token.

    Attributes:
        found: Those texts.
        lines: How many log lines were looked at.
    """

    def __init__(self, token: str) -> None:
        super().__init__(logging.DEBUG)
        self.found: List[str] = []
        self.lines = 0
        self._token = token

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        self.look_at(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            self.look_at_error(record.exc_info[1])

    def look_at(self, text: str) -> None:
        if self._token in text:
            self.found.append(text[:200])

    def look_at_error(self, error: BaseException) -> None:
        """Looks at all that an error can show: itself, its attributes, its causes and contexts, its traceback."""
        self.look_at("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        link: Any = error
        while link is not None:
            self.look_at(repr(link) + str(link) + repr(link.args) + repr(vars(link)))
            self._look_at_frames(link)
            link = link.__cause__ or link.__context__
        with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
            self.look_at(repr(vars(pickle.loads(pickle.dumps(error)))))

    def _look_at_frames(self, error: BaseException) -> None:
        """Looks at the local variables of our frames, which error trackers show."""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("elsa_unscripted"):
                for name, value in frame.f_locals.items():
                    if self._token in repr(value):
                        self.found.append(f"{frame.f_code.co_name}: {name}")


@contextlib.contextmanager
def watching_for(token: str) -> Iterator[Leaks]:
    """Listens to every logger at DEBUG, and turns websocket-client's trace on."""
    leaks = Leaks(token)
    root = logging.getLogger()
    level = root.level
    root.addHandler(leaks)
    root.setLevel(logging.DEBUG)
    websocket.enableTrace(True, handler=logging.NullHandler())
    try:
        yield leaks
    finally:
        websocket.enableTrace(False)
        logging.getLogger("websocket").setLevel(logging.NOTSET)  # as it was: enableTrace() leaves a level of its own
        root.setLevel(level)
        root.removeHandler(leaks)
