"""The package's logger, `logging.getLogger("elsa_unscripted")`, for all of its rooms.

Each exchange has a `Log` of its own, which puts behind each line which exchange it is about: many run at once. Lines
that are about none, such as a batch's or a journal's, go through `logger`.

Exceptions of the host's log handlers and filters end here: a log line that can't be written must not cost a verdict,
nor a connection's last event. An exception of a signal handler comes through.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Optional

from .signals import raised_by_handler

__all__ = ["Log", "logger", "quiet"]

_logger = logging.getLogger("elsa_unscripted")

MAX_STREAM_ID = 80  # characters: it is the server's text


class Log:
    """Logs as `logging.Logger` does, and never fails.

    Attributes:
        recording: What lines call the recording: its path, most often; `None` if it has no name.
        stream_id: The server's name for the stream, once it is known. Each record has both as attributes, too.
    """

    def __init__(self, recording: Optional[str] = None) -> None:
        self.recording = recording
        self.stream_id: Optional[str] = None

    def debug(self, message: str, *arguments: object) -> None:
        self._log(logging.DEBUG, message, *arguments)

    def info(self, message: str, *arguments: object) -> None:
        self._log(logging.INFO, message, *arguments)

    def warning(self, message: str, *arguments: object, exc_info: Any = None) -> None:
        self._log(logging.WARNING, message, *arguments, exc_info=exc_info)

    def error(self, message: str, *arguments: object) -> None:
        self._log(logging.ERROR, message, *arguments)

    def _log(self, level: int, message: str, *arguments: object, exc_info: Any = None) -> None:
        try:
            if not _logger.isEnabledFor(level):
                return
            about = {"recording": self.recording, "stream_id": self.stream_id}
            if self.recording is not None or self.stream_id is not None:
                message, arguments = f"{message} [%s]", (*arguments, self._exchange())
            # 3: the record names the file and line that called debug(), info(), …, not this class.
            _logger.log(level, message, *arguments, exc_info=exc_info, stacklevel=3, extra=about)
        except Exception as error:  # the host's log handlers may raise anything
            if raised_by_handler(error):
                raise

    def _exchange(self) -> str:
        stream = None if self.stream_id is None else f"stream {repr(self.stream_id[:MAX_STREAM_ID])[1:-1]}"
        return ", ".join(filter(None, (self.recording, stream)))


logger = Log()


def quiet(library: str, thread: str) -> None:
    """Keeps a library's logger from logging in our threads, where it repeats what we raise.

    Whoever sets that logger's level asks for its lines, and gets them. Elsewhere in the process nothing changes.

    Args:
        library: The name of its logger.
        thread: The name of our threads in which it works.
    """
    theirs = logging.getLogger(library)
    theirs.addFilter(lambda _: threading.current_thread().name != thread or theirs.level != logging.NOTSET)
