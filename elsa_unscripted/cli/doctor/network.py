"""The way to the server, step by step: URL, proxy, certificates, DNS, TCP, the proxy's tunnel, TLS, the handshake.

Each step goes the way that `wire.dial` would, and is done only if those before it went well. No token leaves this
machine but with `--online`, and never any audio.
"""

from __future__ import annotations

import argparse
import errno
import functools
import ipaddress
import socket
import time
from typing import Iterator, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ...config import (
    DEFAULT_URL,
    URL_VARIABLE,
    Config,
    Secret,
    ascii_host,
    ascii_url,
    check_ca_bundle,
    is_loopback,
)
from ...deadline import Deadline
from ...exceptions import ConfigError, ConnectError, ElsaError
from ...wire.causes import explain
from ...wire.dial import Address, find_proxy, most_telling, port_of, tls_context
from ..statuses import explain as explain_error
from .check import ERROR, OK, SKIPPED, WARNING, Check, failed
from .dialling import LATE, STEP_SECONDS, Reached, as_ours, cause_of, dial, dialling, in_ms, step_seconds
from .handshake import shake_hands
from .tls import shake_tls
from .waiting import together
from .way import Way, check_certificates, check_proxy, check_url

TCP_SECONDS = 3.0  # s for all addresses; the slowest is waited for
ALL_SECONDS = 10.0  # s for all steps: with what else is checked, under 15 s on a machine without a network
MAX_ADDRESSES = 10  # of a host that are tried
STEPS = ("url", "proxy", "certificates", "dns", "tcp", "tunnel", "tls", "handshake")

FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # from this machine
_PROXY_HINT = "export https_proxy=http://HOST:PORT"


def checks(options: argparse.Namespace, token: Optional[Secret]) -> Iterator[Check]:
    """Yields a check for each of `STEPS`.

    Args:
        options: The command line.
        token: For the handshake; `None` if there is none that can be sent.
    """
    left, stopped = list(STEPS), ""
    for check in _steps(options, token):
        left.remove(check.name)
        stopped = check.name if check.status == ERROR else stopped
        yield check
    for name in left:
        yield Check(name, SKIPPED, f"not tried, because of {stopped}")


def _steps(options: argparse.Namespace, token: Optional[Secret]) -> Iterator[Check]:
    """Yields the checks up to the first without which there is no going on."""
    try:
        config = Config(token="none", url=options.url)  # checks the URL
    except ConfigError as error:
        more = (f"it comes from ${URL_VARIABLE}",) if options.url is None else ()
        usual = f"unset {URL_VARIABLE}" if options.url is None else f"--url {DEFAULT_URL}"
        yield failed("url", error, *more, hint="" if "did you mean" in str(error) else usual)
        return
    url = ascii_url(str(config.url))
    yield check_url(options, url)
    parts = urlsplit(url)
    try:
        proxy = find_proxy(url, options.proxy)
    except ConfigError as error:
        yield failed("proxy", error, hint=_PROXY_HINT if options.proxy is None else "--proxy http://HOST:PORT")
        return
    yield check_proxy(options, parts, proxy)
    try:
        check_ca_bundle(options.ca_bundle)
        context = tls_context(options.ca_bundle) if parts.scheme == "wss" else None
    except ElsaError as error:
        if "; " in str(error):
            yield failed("certificates", error)
        else:
            yield Check("certificates", ERROR, explain_error(error), "give --ca-bundle a file of PEM certificates")
        return
    way = Way(url, str(parts.hostname), port_of(parts), proxy, options.ca_bundle, context)
    yield check_certificates(way)

    budget = Deadline(ALL_SECONDS)
    check, addresses = _look_up(way, budget)
    yield check
    if not addresses:
        return
    for step in (_connect, _tunnel, shake_tls):
        check = step(way, addresses, budget)
        yield check
        if check.status == ERROR:
            return
    if not options.online:
        yield Check("handshake", SKIPPED, "only with --online: opens the WebSocket with the token")
    elif token is None:
        yield Check("handshake", SKIPPED, "there is no token that can be sent")
    else:
        yield shake_hands(
            Config(
                token=token,  # type: ignore[arg-type]  # `Config` takes it out of its `Secret`
                url=url,
                proxy=options.proxy,
                ca_bundle=options.ca_bundle,
                connect_timeout=step_seconds(budget) or STEP_SECONDS,
                connect_retries=0,
            ),
            context,
        )


def _look_up(way: Way, budget: Deadline) -> Tuple[Check, List[Address]]:
    host, port = way.first
    place, through = way.place

    def look_up(family: int) -> Tuple[List[Address], float]:
        began = time.monotonic()
        infos = socket.getaddrinfo(ascii_host(host), port, family, socket.SOCK_STREAM)
        return list(dict.fromkeys(info[4] for info in infos if info[0] == family)), time.monotonic() - began

    seconds = step_seconds(budget)
    answers = together([functools.partial(look_up, family) for family in FAMILIES.values()], seconds)
    found = {name: answer for name, answer in zip(FAMILIES, answers) if not isinstance(answer, Exception)}
    late = [name for name, answer in zip(FAMILIES, answers) if isinstance(answer, TimeoutError)]
    addresses = [address for name in found for address in found[name][0]]
    if not addresses:
        telling = [
            answer for answer in answers if isinstance(answer, Exception) and not isinstance(answer, TimeoutError)
        ]
        if not telling:
            hint = "check the network, and the name servers that this machine asks"
            return Check("dns", ERROR, f"no name server has answered within {seconds:.0f} s for {host}", hint), []
        error = ConnectError(explain(telling[0], place, through=through))
        return failed("dns", error, hint="" if way.proxy else _hint_of_dns()), []
    if _is_address(host):
        return Check("dns", SKIPPED, f"{host} is an address"), addresses
    counts = " and ".join(f"{len(found[name][0])} of {name}" for name in found if found[name][0])
    slowest = max(took for _, took in found.values())
    detail = f"{host} has {counts}, found in {in_ms(slowest)}"
    more = tuple(f"{name} in {in_ms(found[name][1])}: {_listed(found[name][0])}" for name in found)
    if late:
        detail += f"; but no answer for {late[0]} in {seconds:.0f} s, and each connection waits for it"
        return Check("dns", WARNING, detail, "ask who runs the network's name servers", more), addresses
    return Check("dns", OK, detail, "", more), addresses


def _hint_of_dns() -> str:
    return f"check the network, and the host's name; if only a proxy knows names: {_PROXY_HINT}"


def _connect(way: Way, addresses: Sequence[Address], budget: Deadline) -> Check:
    tried, seconds = addresses[:MAX_ADDRESSES], min(TCP_SECONDS, budget.remaining())
    answers = together([dialling(seconds, str(address[0]), address[1]) for address in tried], seconds + LATE)
    took = [answer.seconds for answer in answers if isinstance(answer, Reached)]
    causes = {address: cause_of(answer) for address, answer in zip(tried, answers) if isinstance(answer, Exception)}
    more = tuple(
        f"{address[0]} in {in_ms(answer.seconds)}"
        if isinstance(answer, Reached)
        else f"{address[0]}: {cause_of(answer).strerror or cause_of(answer)}"
        for address, answer in zip(tried, answers)
    )
    place, through = way.place
    if not took:
        cause = most_telling(list(causes.values()))
        error = ConnectError(explain(cause, place, through=through))
        return failed("tcp", error, *(more if len(tried) > 1 else ()), hint=_hint_of_tcp(way, cause))
    lost = [str(address[0]) for address, cause in causes.items() if cause.errno not in _NO_WAY]
    if lost and not is_loopback(way.first[0]):  # a local server mostly listens at one of the two of localhost
        hint = "ask who runs the network" if way.proxy is None else "ask who runs the proxy"
        detail = f"{len(lost)} of {len(tried)} addresses can't be reached; those that can are used"
        return Check("tcp", WARNING, detail, hint, more)
    return Check("tcp", OK, f"connected to {place} in {in_ms(min(took))}", "", more)


def _hint_of_tcp(way: Way, cause: OSError) -> str:
    """Returns what to do, where that isn't what the error says."""
    if isinstance(cause, ConnectionRefusedError) and way.proxy is None and is_loopback(way.host):
        return f"elsa-unscripted sandbox --port {way.port}"
    if not isinstance(cause, (TimeoutError, socket.timeout)):
        return ""
    if way.proxy is not None:
        return "check the proxy's address, and ask who runs it"
    return f"a firewall seems to drop it: ask who runs the network; if that has a proxy: {_PROXY_HINT}"


def _tunnel(way: Way, addresses: Sequence[Address], budget: Deadline) -> Check:
    if way.proxy is None:
        return Check("tunnel", SKIPPED, "there is no proxy")
    answer = dial(way, None, budget)
    if isinstance(answer, Reached):
        return Check("tunnel", OK, f"{way.first[0]} connects to {way.host}:{way.port}, in {in_ms(answer.seconds)}")
    hint = ""
    if isinstance(answer, ConnectError) and answer.status_code == 407 and "only Basic" not in str(answer):
        hint = f"export https_proxy=http://USER:PASSWORD@{way.place[0]}"
    elif isinstance(cause_of(answer), (TimeoutError, socket.timeout)):
        hint = "ask who runs the proxy whether it lets wss:// through"
        return Check("tunnel", ERROR, f"the proxy {way.place[0]} takes connections, and then doesn't answer", hint)
    return failed("tunnel", as_ours(answer, way), hint=hint)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _listed(addresses: Sequence[Address]) -> str:
    return ", ".join(str(address[0]) for address in addresses) or "none"
