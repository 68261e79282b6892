"""Tells when a process has used up the files and sockets that it may have open. For every room that opens some."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Optional, Tuple

__all__ = ["OUT_OF_FILES", "is_out_of_files"]

OUT_OF_FILES = "too many files and sockets are open; use fewer at once, or raise the limit (ulimit -n)"
_ERRNOS = (errno.EMFILE, errno.ENFILE)  # of the process, of the system


def is_out_of_files(error: Optional[BaseException]) -> bool:
    """Returns whether an error, or one of its causes, came only from too many open files and sockets."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if isinstance(error, _unexplained()) and _none_is_left():
            return True
        error = error.__cause__
    return False


def _unexplained() -> Tuple[type, ...]:
    """Returns the errors of a resolver or of OpenSSL that find no configuration or certificates, and don't say why."""
    # Whoever has raised one has imported its module. To import both here would make `import elsa_unscripted` slow.
    kinds = (("socket", "gaierror"), ("ssl", "SSLCertVerificationError"))
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def _none_is_left() -> bool:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno in _ERRNOS
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return False
