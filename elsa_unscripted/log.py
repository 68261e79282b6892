"""The package's logger, `logging.getLogger("elsa_unscripted")`, for all of its rooms.

Exceptions of the host's log handlers and filters end here: a log line that can't be written must not cost a verdict,
nor a connection's last event. An exception of a signal handler comes through.
"""

from __future__ import annotations

import logging
from typing import Any

from .signals import raised_by_handler

__all__ = ["logger"]


class _Logger:
    """Logs as `logging.Logger` does, and never fails."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

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
            # 3: the record names the file and line that called debug(), info(), …, not this class.
            self._logger.log(level, message, *arguments, exc_info=exc_info, stacklevel=3)
        except Exception as error:  # the host's log handlers may raise anything
            if raised_by_handler(error):
                raise


logger = _Logger("elsa_unscripted")
