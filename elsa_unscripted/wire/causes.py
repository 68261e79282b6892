"""Says why no connection was made, and what to do about it, by the cause. For `dial` and `transport`."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Optional

from ..files import OUT_OF_FILES, is_out_of_files
from ..quoting import cut, quoted

# OpenSSL's numbers of what is wrong with a certificate (`man 3 X509_STORE_CTX_get_error`).
HINTS = {
    9: "check this machine's clock",
    10: "whoever runs the server must renew it, unless this machine's clock is wrong",
    23: "it was revoked: ask who runs the server",
    62: "it is that of another host: check the host name in the url",
    64: "it is not for this address: check the host in the url",
}
UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 27})
ONLY_STRICT = frozenset(range(77, 100))  # breaches of RFC 5280
STRICT_HINT = "since Python 3.13, certificates and their CAs must obey RFC 5280: whoever issued it must do so anew"

TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"})
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})
WANTS_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"})


def explain(error: Optional[BaseException], place: str, *, ca_bundle: object = None, through: str = "") -> str:
    """Returns the message for an error of DNS, TCP or TLS.

    Args:
        error: What was raised.
        place: What couldn't be reached: the host and the port.
        ca_bundle: The option: what is trusted in place of the system's certificates.
        through: Where `place` is a proxy: what was to be reached through it.
    """
    whole = f"{through} through the proxy {place}" if through else place
    what = f"the proxy {place}" if through else place
    if is_out_of_files(error):
        return f"could not connect to {whole}: {OUT_OF_FILES}"
    if isinstance(error, socket.gaierror):
        check = "proxy" if through else "host name"
        return f"could not find {whole} ({error.strerror}); check the {check} and the network"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _about_certificate(error, place, ca_bundle)
    if isinstance(error, ssl.SSLError):
        return f"TLS with {whole} failed ({error.reason or cut(str(error))}); {_about_tls(error.reason or '')}"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"timed out connecting to {whole}; check the network, or raise connect_timeout"
    if isinstance(error, ConnectionRefusedError):
        runs = "that the proxy runs" if through else "that the server runs"
        return f"{whole} refused the connection; check host and port, and {runs}"
    if isinstance(error, ConnectionError):
        return f"{whole} cut the connection ({_reason(error)}); check the network, and try later"
    if isinstance(error, UnicodeError):
        return f"{what} has no valid host name; check the {'proxy' if through else 'url'}"
    if isinstance(error, OSError):
        return f"could not connect to {whole} ({_reason(error)}); check the network"
    return f"could not connect to {whole} ({type(error).__name__}: {quoted(str(error))}); check the url"


def _reason(error: OSError) -> str:
    return cut(error.strerror or str(error))


def _about_tls(reason: str) -> str:
    if reason in TOO_OLD:
        return "the server must speak TLS 1.2 or newer: ask who runs it"
    if reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        return "it has no TLS 1.2 or newer, or no cipher, in common with this machine: ask who runs the server"
    if reason in WANTS_CERTIFICATE:
        return "the server wants a certificate from its clients, which can't be given here: check the url"
    return "check the port, and wss against ws"


def _about_certificate(error: ssl.SSLCertVerificationError, place: str, ca_bundle: object) -> str:
    code = error.verify_code
    if code in UNKNOWN_ISSUER and ca_bundle is not None:
        hint = "its CA is not in ca_bundle; a firewall that reads along has one of its own: ask who runs the network"
    elif code in UNKNOWN_ISSUER:
        hint = missing_certificates() or "for a private CA set ca_bundle"
        unread = [f"${name}" for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
        hint += f" ({' and '.join(unread)} are not read here)" if unread else ""
    else:
        hint = HINTS.get(code, STRICT_HINT if code in ONLY_STRICT else "ask who runs the server")
    return f"the certificate of {place} is not trusted ({error.verify_message.rstrip('.')}); {hint}"


def missing_certificates() -> str:
    """Returns why no certificate is trusted at all, and what to do; `""` if some are.

    OpenSSL itself gives no error when the file of trusted certificates is missing.
    """
    paths = ssl.get_default_verify_paths()
    file, folder = (os.environ.get(name) for name in (paths.openssl_cafile_env, paths.openssl_capath_env))
    if file is not None and not _holds_certificates(file):
        return f"${paths.openssl_cafile_env} is {quoted(file)}, where no certificates are: correct it, or unset it"
    if folder is not None and not os.path.isdir(folder):
        return f"${paths.openssl_capath_env} is {quoted(folder)}, which is no folder: correct it, or unset it"
    if not (paths.cafile or may_hold_certificates(paths.capath)):
        return "this system has no certificates to trust: install its package ca-certificates, or set ca_bundle"
    return ""


def may_hold_certificates(folder: Optional[str]) -> bool:
    """Returns whether anything is in a folder, in which OpenSSL looks for a certificate only when it needs one."""
    try:
        return folder is not None and bool(os.listdir(folder))
    except OSError:  # whoever may not list it may be able to read the files in it
        return os.path.isdir(str(folder))


def _holds_certificates(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"-----BEGIN" in file.read(2**20)
    except OSError:
        return False
