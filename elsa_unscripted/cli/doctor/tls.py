"""The TLS handshake: which version, and whose certificate; if it fails, what to do. For `network`."""

from __future__ import annotations

import socket
import ssl
import sys
from datetime import datetime, timezone
from typing import Sequence

from ...deadline import Deadline
from ...wire.dial import Address
from .check import ERROR, OK, SKIPPED, WARNING, Check, failed
from .dialling import Reached, as_ours, cause_of, dial, in_ms
from .way import Way

SOON = 7  # days; whoever renews certificates by a program does so weeks before they end
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL's numbers of what is wrong with a certificate


def shake_tls(way: Way, addresses: Sequence[Address], budget: Deadline) -> Check:
    if way.tls is None:
        return Check("tls", SKIPPED, "ws:// has none")
    answer = dial(way, way.tls, budget)
    if not isinstance(answer, Reached):
        return _explain_tls(way, answer, budget)
    more = [f"handshake in {in_ms(answer.seconds)}", f"cipher {answer.cipher}"]
    certificate = answer.certificate
    if certificate is None:
        return Check("tls", OK, str(answer.version), "", tuple(more))
    days = (certificate.ends - datetime.now(timezone.utc)).days
    detail = f"{answer.version}, certificate issued by {certificate.issuer}, {days} days left"
    more.append(str(certificate))
    if days < SOON:
        return Check("tls", WARNING, detail, "ask who runs the server to renew it", tuple(more))
    return Check("tls", OK, detail, "", tuple(more))


def _explain_tls(way: Way, error: Exception, budget: Deadline) -> Check:
    cause = cause_of(error)
    if isinstance(cause, (TimeoutError, socket.timeout)):
        detail = f"{way.host}:{way.port} takes connections, and then doesn't answer TLS"
        return Check("tls", ERROR, detail, "check host and port; a firewall may block it: ask who runs the network")
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return failed("tls", as_ours(error, way))
    # Only to read the certificate that isn't trusted, and say who issued it: nothing is sent on this connection.
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    answer = dial(way, blind, budget)
    certificate = answer.certificate if isinstance(answer, Reached) else None
    more = [str(certificate)] if certificate is not None else []
    hint = ""
    if cause.verify_code in (_NOT_YET_VALID, _EXPIRED):
        more.append(f"this machine's clock says {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC")
        clock = _set_clock()
        hint = f"set this machine's clock: {clock}"
        if cause.verify_code == _EXPIRED:
            hint = f"whoever runs the server must renew it; if the clock is wrong: {clock}"
    return failed("tls", as_ours(error, way), *more, hint=hint)


def _set_clock() -> str:
    return {
        "darwin": "sudo sntp -sS time.apple.com",
        "win32": "w32tm /resync",
    }.get(sys.platform, "sudo timedatectl set-ntp true")
