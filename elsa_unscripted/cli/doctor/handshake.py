"""The handshake with the token, for `doctor --online`: it ends before the config, so that no stream begins."""

from __future__ import annotations

import contextlib
import queue
import ssl
import time
from typing import Optional

from ...config import Config
from ...exceptions import ElsaError
from ...exchange.connector import Connector
from ...quoting import quoted
from ...wire.messages import Closed, Opened, Status
from .check import ERROR, OK, Check, failed

LISTEN = 0.5  # s after the handshake: a server may refuse a token only then
CLOSE_SECONDS = 1.0  # s for the closing handshake
HINT = "check that the token is complete and valid"


def shake_hands(config: Config, tls: Optional[ssl.SSLContext]) -> Check:
    """Opens the WebSocket, listens for a moment, and closes it. Sends nothing but the handshakes."""
    connector = Connector(config, lambda: tls, {})
    began = time.monotonic()
    try:
        event = connector.connect()
        took = time.monotonic() - began
        connection = connector.connection
        if isinstance(event, Opened) and connection is not None:
            with contextlib.suppress(queue.Empty):
                event = connection.take(LISTEN)
    except ElsaError as error:
        return failed("handshake", error)
    finally:
        if connector.connection is not None:
            connector.connection.ending = True
            connector.connection.transport.close(CLOSE_SECONDS, listen=False)
    if isinstance(event, Status) and event.status == "failed":
        detail = (
            f"the server has opened the WebSocket, and says {event.status!r} at once ({quoted(event.reason or '')})"
        )
        return Check("handshake", ERROR, detail, HINT)
    if not isinstance(event, Closed):
        detail = f"the server has taken the token, in {took * 1000:.0f} ms; closed before the config"
        return Check("handshake", OK, detail)
    if isinstance(event.error, ElsaError):
        silent = "connect_timeout" in str(event.error)
        return failed("handshake", event.error, hint="try later, or ask who runs the server" if silent else "")
    said = f", {quoted(event.reason)}" if event.reason else ""
    detail = f"the server has opened the WebSocket, and closed it at once (code {event.code}{said})"
    return Check("handshake", ERROR, detail, HINT)
