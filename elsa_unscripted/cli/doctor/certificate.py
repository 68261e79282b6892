"""What a server's certificate says of itself, trusted or not. For `network`.

Python reads only certificates that it trusts (`SSLSocket.getpeercert()`), but to mend one that isn't trusted, one needs
to know who issued it, and when it is valid. So this reads those few fields of X.509 (RFC 5280, 4.1) from its DER
encoding (X.690).
"""

from __future__ import annotations

import datetime
from typing import Iterator, NamedTuple, Tuple

_VERSION, _GENERALIZED_TIME = 0xA0, 0x18  # tags
# X.520's object identifiers in an issuer's name: of the organization, 2.5.4.10, and the common name, 2.5.4.3.
_ORGANIZATION, _COMMON_NAME = b"\x55\x04\x0a", b"\x55\x04\x03"

_Element = Tuple[int, bytes]  # its tag and its content


class Certificate(NamedTuple):
    """The fields of a certificate that people need."""

    issuer: str
    begins: datetime.datetime  # in UTC
    ends: datetime.datetime  # in UTC

    def __str__(self) -> str:
        return f"issued by {self.issuer}, valid from {self.begins:%Y-%m-%d %H:%M} to {self.ends:%Y-%m-%d %H:%M} UTC"


def read_certificate(der: bytes) -> Certificate:
    """Reads a certificate.

    Raises:
        ValueError: It is no certificate.
    """
    try:
        (_, whole), *_ = _elements(der)
        (_, signed), *_ = _elements(whole)
        # Version (may be left out), serial number, algorithm, issuer, validity, …
        _, _, (_, issuer), (_, validity), *_ = (field for field in _elements(signed) if field[0] != _VERSION)
        begins, ends = map(_time, _elements(validity))
        return Certificate(_name(issuer), begins, ends)
    except (IndexError, TypeError, UnicodeError) as error:
        raise ValueError("this is no certificate") from error


def _elements(data: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:  # the length takes that many bytes
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield tag, data[at : at + length]
        at += length


def _name(name: bytes) -> str:
    """Returns the organization in a name, or else the common name."""
    found = {}
    for _, relative in _elements(name):
        for _, attribute in _elements(relative):
            (_, kind), (_, value), *_ = _elements(attribute)
            found[kind] = value.decode("utf-8", "replace")
    return repr(found.get(_ORGANIZATION) or found.get(_COMMON_NAME) or "nobody who is named")


def _time(element: _Element) -> datetime.datetime:
    tag, text = element[0], element[1].decode("ascii")
    form = "%Y%m%d%H%M%SZ" if tag == _GENERALIZED_TIME else "%y%m%d%H%M%SZ"
    return datetime.datetime.strptime(text, form).replace(tzinfo=datetime.timezone.utc)
