"""Decides whether and when to try again after a connection could not be opened. For `connector` and `batch`."""

from __future__ import annotations

import random
import socket
import ssl
from typing import Optional

from ..exceptions import PASSING_STATUS_CODES, ConnectError

FIRST_BACKOFF = 0.25  # s before the first retry; doubled for each after it


def wait_before_retry(error: ConnectError, attempt: int) -> Optional[float]:
    """Returns the seconds to wait before the next attempt; `None` if another one can't help.

    Args:
        error: The error of the last attempt.
        attempt: How many attempts were made before that one.
    """
    if error.status_code is None:
        # Refused, cut, no route, timed out: this may pass. A TLS error, an unknown host name, or a server that doesn't
        # speak WebSocket stays.
        cause = error.__cause__
        if not isinstance(cause, OSError) or isinstance(cause, ssl.SSLError):
            return None
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return None
    elif error.status_code not in PASSING_STATUS_CODES:
        return None
    if error.retry_after is not None:
        return error.retry_after
    return FIRST_BACKOFF * float(2**attempt) * random.uniform(0.5, 1.5)
