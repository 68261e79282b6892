"""Where to connect, and how: what the options and the environment say of URL, proxy and certificates. For `network`."""

from __future__ import annotations

import argparse
import os
import ssl
from typing import NamedTuple, Optional, Tuple
from urllib.parse import SplitResult, urlsplit

from ...config import DEFAULT_URL, URL_VARIABLE, is_loopback
from ...wire.causes import may_hold_certificates, missing_certificates
from .check import ERROR, OK, SKIPPED, WARNING, Check


class Way(NamedTuple):
    """Where to connect, and how."""

    url: str
    host: str
    port: int
    proxy: Optional[SplitResult]
    ca_bundle: Optional[str]
    tls: Optional[ssl.SSLContext]

    @property
    def first(self) -> Tuple[str, int]:
        """The host and port that are dialled."""
        return (self.host, self.port) if self.proxy is None else (str(self.proxy.hostname), self.proxy.port or 80)

    @property
    def place(self) -> Tuple[str, str]:
        """What `explain()` calls the two ends: what is dialled; and what is reached through it, if that is a proxy."""
        host, port = self.first
        return f"{host}:{port}", "" if self.proxy is None else f"{self.host}:{self.port}"


def check_url(options: argparse.Namespace, url: str) -> Check:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"  # not the query, which may hold a secret
    if options.url is not None:
        source = "--url"
    elif os.environ.get(URL_VARIABLE):
        source = f"${URL_VARIABLE}"
    else:
        return Check("url", OK, f"{parts.netloc}, the vendor's", "", (shown,))
    usual = urlsplit(DEFAULT_URL)
    if not is_loopback(parts.hostname) and not parts.path.strip("/"):
        hint = f"{parts.scheme}://{parts.netloc}{usual.path}, most likely"
        return Check("url", WARNING, f"{shown}, from {source}: it has no path", hint)
    return Check("url", OK, f"{shown}, from {source}")


def check_proxy(options: argparse.Namespace, parts: SplitResult, proxy: Optional[SplitResult]) -> Check:
    kind = "https" if parts.scheme == "wss" else "http"
    names = [name for each in (f"{kind}_proxy", "all_proxy") for name in (each, each.upper())]
    name = next((f"${name}" for name in names if os.environ.get(name)), "")
    excepted = next((f"${name}" for name in ("no_proxy", "NO_PROXY") if os.environ.get(name)), "")
    if proxy is not None:
        source = "--proxy" if options.proxy is not None else name or "the system's settings"
        login = ", with a login" if proxy.username else ""
        more = (f"{excepted} doesn't name {parts.hostname}",) if excepted and options.proxy is None else ()
        return Check("proxy", OK, f"{proxy.hostname}:{proxy.port or 80}, from {source}{login}", "", more)
    if name and is_loopback(parts.hostname):
        return Check("proxy", OK, f"none: {name} isn't used for this machine itself")
    if name and excepted:
        return Check("proxy", OK, f"none: {excepted} names {parts.hostname}, so {name} isn't used")
    return Check("proxy", OK, "none")


def check_certificates(way: Way) -> Check:
    if way.tls is None:
        return Check("certificates", SKIPPED, "ws:// needs none")
    more = [ssl.OPENSSL_VERSION]
    unread = [f"${name}" for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
    if unread and way.ca_bundle is None:
        more.append(f"{' and '.join(unread)} {'is' if len(unread) == 1 else 'are'} not read here: use --ca-bundle")
    count = way.tls.cert_store_stats()["x509_ca"]
    if way.ca_bundle is not None:
        return Check("certificates", OK, f"{count} in {way.ca_bundle}, from --ca-bundle", "", tuple(more))
    paths = ssl.get_default_verify_paths()
    problem = "" if count else missing_certificates()
    if problem:
        detail, _, hint = problem.rpartition(": ")
        # A folder of certificates is looked into only when one is needed.
        status = WARNING if may_hold_certificates(paths.capath) else ERROR
        if any(map(os.environ.get, (paths.openssl_cafile_env, paths.openssl_capath_env))):
            hint = f"unset {paths.openssl_cafile_env} {paths.openssl_capath_env}"
        return Check("certificates", status, detail, hint, tuple(more))
    variables = [name for name in (paths.openssl_cafile_env, paths.openssl_capath_env) if os.environ.get(name)]
    place = paths.cafile or paths.capath or "the system's store"
    source = f", from ${variables[0]}" if variables else ""
    return Check("certificates", OK, f"{count or 'those'} in {place}{source}", "", tuple(more))
