"""Whether a connection that could not be opened is tried again, and when. Used by `connector`, and by `batch`."""

from __future__ import annotations

import random
import socket
import ssl
from typing import Optional

from ..exceptions import ConnectError

RETRIED_STATUS_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})  # those that may pass
FIRST_BACKOFF = 0.25  # s before the first retry; doubled for each after it


def wait_before_retry(error: ConnectError, attempt: int) -> Optional[float]:
    """Returns the seconds to wait before the next attempt; `None` if another one can't help.

    Args:
        error: What the last attempt failed with.
        attempt: How many attempts were made before that one.
    """
    if error.status_code is None:
        # Refused, cut, no route, timed out: may pass. What TLS refuses, or a server that is none, stays so.
        cause = error.__cause__
        if not isinstance(cause, OSError) or isinstance(cause, ssl.SSLError):
            return None
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return None
    elif error.status_code not in RETRIED_STATUS_CODES:
        return None
    if error.retry_after is not None:
        return error.retry_after
    return FIRST_BACKOFF * float(2**attempt) * random.uniform(0.5, 1.5)
