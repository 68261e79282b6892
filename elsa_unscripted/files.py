"""Tells when a process has used up the files and sockets that it may have open. For every room that opens some."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from typing import Optional

__all__ = ["OUT_OF_FILES", "is_out_of_files"]

OUT_OF_FILES = "too many files and sockets are open; use fewer at once, or raise the limit (ulimit -n)"
_ERRNOS = (errno.EMFILE, errno.ENFILE)  # of the process, of the system


def is_out_of_files(error: Optional[BaseException]) -> bool:
    """Returns whether an error, or one of its causes, came only from too many open files and sockets."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        # The resolver doesn't find its configuration then, nor OpenSSL its certificates, and neither says why.
        if isinstance(error, (socket.gaierror, ssl.SSLCertVerificationError)) and _none_is_left():
            return True
        error = error.__cause__
    return False


def _none_is_left() -> bool:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno in _ERRNOS
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return False
