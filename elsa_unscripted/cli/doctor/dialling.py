"""Connects to look at the connection, and closes it: nothing is sent on it but to a proxy. For `network` and `tls`."""

from __future__ import annotations

import ssl
import time
from typing import Callable, NamedTuple, Optional, Union

from ...deadline import Deadline
from ...exceptions import ConnectError, ElsaError
from ...wire.causes import explain
from ...wire.dial import Socket
from .certificate import Certificate, read_certificate
from .waiting import together
from .way import Way

STEP_SECONDS = 4.0  # s for a step; a healthy one takes a tenth of that
LATE = 0.3  # s that a step may take longer, to say by itself what it has waited for


class Reached(NamedTuple):
    """A connection that was made, and closed again."""

    seconds: float
    version: Optional[str] = None  # of TLS
    cipher: str = ""
    certificate: Optional[Certificate] = None


def dial(way: Way, tls: Optional[ssl.SSLContext], budget: Deadline) -> Union[Reached, Exception]:
    """Returns what `Socket.dial()` reaches, or what it raises."""
    seconds = step_seconds(budget)
    (answer,) = together([dialling(seconds, way.host, way.port, way, tls)], seconds + LATE)
    if isinstance(answer, TimeoutError):  # `Socket.dial()` itself ends in time, but for the look-up of the name
        name = way.first[0]
        return ConnectError(f"a second look-up of {name} has taken too long; ask who runs the name servers")
    return answer


def dialling(
    seconds: float, host: str, port: int, way: Optional[Way] = None, tls: Optional[ssl.SSLContext] = None
) -> Callable[[], Reached]:
    """Returns a function that connects, looks at the connection, and closes it."""

    def look() -> Reached:
        began = time.monotonic()
        connection = Socket(Deadline(seconds))
        try:
            proxy, ca_bundle = (way.proxy, way.ca_bundle) if way is not None else (None, None)
            sock = connection.dial(host, port, proxy, tls, ca_bundle)
            took = time.monotonic() - began
            if not isinstance(sock, ssl.SSLSocket):
                return Reached(took)
            der = sock.getpeercert(binary_form=True)
            return Reached(took, sock.version(), (sock.cipher() or ("?",))[0], _readable(der))
        finally:
            connection.close()

    return look


def _readable(der: Optional[bytes]) -> Optional[Certificate]:
    try:
        return read_certificate(der or b"")
    except ValueError:
        return None


def cause_of(error: Exception) -> OSError:
    """Returns what the operating system said."""
    for each in (error.__cause__, error):
        if isinstance(each, OSError):
            return each
    return OSError(str(error))


def as_ours(error: Exception, way: Way) -> ElsaError:
    place, through = way.place
    return error if isinstance(error, ElsaError) else ConnectError(explain(error, place, through=through))


def step_seconds(budget: Deadline) -> float:
    """Returns how long a step may take."""
    return min(STEP_SECONDS, budget.remaining())


def in_ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
