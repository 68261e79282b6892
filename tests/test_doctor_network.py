"""`elsa-unscripted doctor`: each fault of a network has a line of its own, with what to do, in bounded time."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from addresses import black_hole, closed_port, needs_black_holes, resolve
from rawserver import CLOSE, Connection, RawServer
from test_transport import proxy_to, server_tls

from elsa_unscripted.cli.doctor import dialling, network
from elsa_unscripted.cli.doctor.check import Check
from elsa_unscripted.cli.parser import make_parser
from elsa_unscripted.config import Secret
from elsa_unscripted.sandbox import Sandbox

TOKEN = "a-token/that=nobody-may-see"
PASSWORD = "s3cret-of-the-proxy"
DAY = datetime.timedelta(days=1)
HURRY = 2.0  # s
GUARD = 20.0  # s beyond what is promised, for a busy machine
HEALTHY = "url ok, proxy ok, certificates ok, dns ok, tcp ok, tunnel skipped, tls ok, handshake skipped"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own set-up, beside its certificates."""
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("ELSA_UNSCRIPTED_URL", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="authority", scope="module")
def _authority() -> trustme.CA:
    return trustme.CA(organization_name="Zürich Paper Mill")


@pytest.fixture(name="bundle", scope="module")
def _bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(name="hurried")
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits less for what never comes; but so long that a busy machine does in this time what does come."""
    monkeypatch.setattr(dialling, "STEP_SECONDS", HURRY)
    monkeypatch.setattr(network, "TCP_SECONDS", HURRY)


def look(*arguments: str, token: str | None = None) -> dict[str, Check]:
    """Returns the checks of the way to the server, by name."""
    options = make_parser().parse_args(["doctor", *arguments])
    found = list(network.checks(options, None if token is None else Secret(token)))
    assert [check.name for check in found if not check.detail] == []
    assert [check.name for check in found if check.is_wrong and not check.hint] == []
    assert sorted(check.name for check in found) == sorted(network.STEPS)
    return {check.name: check for check in found}


def statuses(found: dict[str, Check]) -> str:
    return ", ".join(f"{name} {check.status}" for name, check in found.items())


def words(check: Check) -> str:
    return "\n".join([check.detail, *check.more, f"-> {check.hint}"])


def the_error(found: dict[str, Check]) -> Check:
    """Returns the one error; no step before it is wrong, and none behind it was tried."""
    names = [name for name, check in found.items() if check.status == "error"]
    assert len(names) == 1, statuses(found)
    steps = list(network.STEPS)
    at = steps.index(names[0])
    assert [found[name].status for name in steps[at + 1 :]] == ["skipped"] * (len(steps) - at - 1)
    assert all(names[0] in found[name].detail for name in steps[at + 1 :])
    return found[names[0]]


def quiet(connection: Connection) -> None:
    """Takes a connection, and says nothing until the client closes it."""
    while connection.sock.recv(65536):
        pass


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext, script: Callable[[Connection], Any] = quiet) -> Iterator[RawServer]:
    with RawServer(script, context) as server:
        yield server


# DNS and TCP.


def test_no_such_name() -> None:
    """A host name that no name server knows is told as that; a proxy may be what is missing."""
    error = the_error(look("--url", "wss://nowhere.invalid/api"))
    assert error.name == "dns"
    assert "nowhere.invalid" in error.detail
    assert "export https_proxy=" in error.hint


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_name_servers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that hangs, which nothing can end, costs a step and no more."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait(60) or [])
    began = time.monotonic()
    error = the_error(look("--url", "wss://api.example/api"))
    assert time.monotonic() - began < HURRY + GUARD
    over.set()
    assert (error.name, "no name server" in error.detail) == ("dns", True)


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_one_family_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that never answers for IPv6 is a warning: every connection waits for it."""
    over, real = threading.Event(), socket.getaddrinfo

    def look_up(host: Any, port: Any, family: int = 0, *rest: Any, **options: Any) -> Any:
        if family == socket.AF_INET6:
            over.wait(60)
            return []
        return real(host, port, family, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with RawServer(quiet) as server:
        found = look("--url", f"ws://localhost:{server.port}/api")
    over.set()
    assert statuses(found).startswith("url ok, proxy ok, certificates skipped, dns warning, tcp ok")
    assert "IPv6" in found["dns"].detail


@needs_black_holes
@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_black_hole() -> None:
    """An address that swallows packets is told within a step, as what a firewall does."""
    with black_hole() as port:
        began = time.monotonic()
        error = the_error(look("--url", f"wss://127.0.0.1:{port}/api"))
        assert time.monotonic() - began < HURRY + GUARD
    assert (error.name, "timed out" in error.detail) == ("tcp", True)
    assert "firewall" in error.hint
    assert "export https_proxy=" in error.hint
    assert "timeout" not in words(error)  # there is no such option here


def test_refused() -> None:
    """A port at which nobody listens is told; on this machine, the sandbox may be what is meant."""
    port = closed_port()
    error = the_error(look("--url", f"wss://127.0.0.1:{port}/api"))
    assert (error.name, "refused the connection" in error.detail) == ("tcp", True)
    assert error.hint == f"elsa-unscripted sandbox --port {port}"


@needs_black_holes
@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_every_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address has its own fact, and the step is wrong only if none answers."""
    with black_hole() as hole, RawServer(quiet) as server:
        resolve(monkeypatch, hole, server.port, closed_port())
        found = look("--url", "ws://localhost:1/api")
        assert found["tcp"].status == "ok"
        assert [fact.partition(" in ")[0].partition(": ")[2] for fact in found["tcp"].more] == [
            "timed out",
            "",
            "Connection refused",
        ]
        resolve(monkeypatch, hole, closed_port())
        assert "refused" in the_error(look("--url", "ws://localhost:1/api")).detail


# TLS.


def test_healthy_tls(authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all is well, TLS tells its version, who issued the certificate, and how many days are left."""
    ends = datetime.datetime.now(datetime.timezone.utc) + 30 * DAY + DAY / 2
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=ends).configure_cert(context)
    with tls_server(context) as server:
        resolve(monkeypatch, server.port)
        found = look("--url", server.url, "--ca-bundle", bundle)
    assert statuses(found) == HEALTHY
    assert found["tls"].detail == "TLSv1.3, certificate issued by 'Zürich Paper Mill', 30 days left"
    assert f"{ends:%Y-%m-%d %H:%M}" in words(found["tls"])
    assert found["certificates"].detail == f"1 in {bundle}, from --ca-bundle"


def test_certificate_that_ends_soon(authority: trustme.CA, bundle: str) -> None:
    """A certificate that ends in some days is a warning."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.datetime.now(datetime.timezone.utc) + 3 * DAY
    authority.issue_cert("localhost", not_after=ends).configure_cert(context)
    with tls_server(context) as server:
        found = look("--url", server.url, "--ca-bundle", bundle)
    assert (found["tls"].status, "2 days left" in found["tls"].detail) == ("warning", True)


def test_certificate_of_a_stranger(authority: trustme.CA) -> None:
    """A certificate of an unknown authority is told with who issued it, which may be a firewall."""
    with tls_server(server_tls(authority, "localhost")) as server:
        error = the_error(look("--url", server.url))
        assert all(not connection.frames and not connection.request for connection in server.connections)
    assert error.name == "tls"
    assert "is not trusted" in error.detail
    assert "issued by 'Zürich Paper Mill'" in words(error)
    assert "--ca-bundle" in error.hint


def test_certificate_of_another_host(authority: trustme.CA, bundle: str) -> None:
    """A certificate for another host is told as that."""
    with tls_server(server_tls(authority, "other.example")) as server:
        error = the_error(look("--url", server.url, "--ca-bundle", bundle))
    assert (error.name, "another host" in error.hint) == ("tls", True)


@pytest.mark.parametrize("fault", ["expired", "not yet valid"])
def test_certificate_out_of_time(fault: str, authority: trustme.CA, bundle: str) -> None:
    """One that has expired, or isn't valid yet, is told with its times and this machine's clock, and how to set it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    begins, ends = (now - 9 * DAY, now - DAY) if fault == "expired" else (now + DAY, now + 9 * DAY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_before=begins, not_after=ends).configure_cert(context)
    with tls_server(context) as server:
        error = the_error(look("--url", server.url, "--ca-bundle", bundle))
    assert (error.name, fault in error.detail) == ("tls", True)
    assert f"valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC" in words(error)
    assert f"this machine's clock says {now:%Y-%m-%d}" in words(error)
    assert "clock" in error.hint
    assert "timedatectl" in error.hint or "sntp" in error.hint or "w32tm" in error.hint
    assert ("must renew it" in error.hint) == (fault == "expired")


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_tls_that_is_never_answered() -> None:
    """A server that accepts and never shakes hands is told within a step."""
    with RawServer(quiet) as server:
        began = time.monotonic()
        error = the_error(look("--url", f"wss://127.0.0.1:{server.port}/api"))
        assert time.monotonic() - began < HURRY + GUARD
    assert (error.name, "doesn't answer TLS" in error.detail) == ("tls", True)


def test_no_tls_at_all() -> None:
    """A server that answers TLS in clear is told as one for ws://."""

    def script(connection: Connection) -> None:
        connection.send_raw(b"HTTP/1.1 400 Bad\r\n\r\n")
        quiet(connection)

    with RawServer(script) as server:
        error = the_error(look("--url", f"wss://127.0.0.1:{server.port}/api"))
    assert (error.name, error.hint) == ("tls", "check the port, and wss against ws")


# Certificates of this machine.


@pytest.mark.parametrize("content", [None, "nothing"])
def test_ca_bundle_that_is_none(content: str | None, tmp_path: Path) -> None:
    """A --ca-bundle that isn't there, or holds no certificates, is told before the network is asked."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    error = the_error(look("--url", "wss://nowhere.invalid/api", "--ca-bundle", str(path)))
    assert (error.name, "--ca-bundle" in error.detail) == ("certificates", True)


def test_certificates_of_the_environment(monkeypatch: pytest.MonkeyPatch, bundle: str, tmp_path: Path) -> None:
    """$SSL_CERT_FILE is named where it decides, and where it leads nowhere; what isn't read is told, too."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    found = look("--url", "wss://nowhere.invalid/api")["certificates"]
    assert (found.status, found.detail) == ("ok", f"1 in {bundle}, from $SSL_CERT_FILE")
    assert "$REQUESTS_CA_BUNDLE is not read here" in words(found)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    found = look("--url", "wss://nowhere.invalid/api")["certificates"]
    assert (found.status, "$SSL_CERT_FILE" in found.detail, "unset" in found.hint) == ("error", True, True)
    assert found.hint == "unset SSL_CERT_FILE SSL_CERT_DIR"


# URL and proxy.


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("url", ["https://api.example/path", "ws://api.example/", "wss://", "nonsense", ""])
def test_url_that_can_not_be(url: str, variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong URL is told, with where it comes from."""
    if variable:
        monkeypatch.setenv("ELSA_UNSCRIPTED_URL", url or " ")
        error = the_error(look())
        assert "it comes from $ELSA_UNSCRIPTED_URL" in words(error)
    else:
        error = the_error(look("--url", url))
        assert "ELSA_UNSCRIPTED_URL" not in words(error)
    assert error.name == "url"


def test_url_without_its_query() -> None:
    """The query of a URL, which may hold a secret, isn't shown; a URL without a path is doubted."""
    found = look("--url", f"wss://nowhere.invalid?key={PASSWORD}")
    assert (found["url"].status, PASSWORD in str(found)) == ("warning", False)
    for wrong in ("https://api.example/api?key={}", "ws://api.example/?key={}", "wss://api.example/?key={}#end"):
        refused = look("--url", wrong.format(PASSWORD))
        assert (refused["url"].status, PASSWORD in str(refused)) == ("error", False)
    assert "wss://nowhere.invalid/api/v1/ws/score_audio_plus" in found["url"].hint


def test_proxy_that_works(authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy, its name is looked up, and not the server's; the tunnel has a line of its own."""
    with tls_server(server_tls(authority, "api.example")) as server, proxy_to(server.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.example")
        found = look("--url", "wss://api.example/api", "--ca-bundle", bundle)
        assert all(request.startswith(b"CONNECT api.example:443 ") for request in requests(proxy))
    assert statuses(found) == HEALTHY.replace("tunnel skipped", "tunnel ok").replace("dns ok", "dns skipped")
    assert found["proxy"].detail == f"127.0.0.1:{proxy.port}, from $https_proxy, with a login"
    assert "$no_proxy doesn't name api.example" in words(found["proxy"])
    assert PASSWORD not in str(found)


def requests(server: RawServer) -> list[bytes]:
    return [connection.request for connection in server.connections if connection.request]


def test_proxy_that_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where $no_proxy names the host, or the host is this machine, the variable of the proxy is told as not used."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", ".invalid")
    found = look("--url", "wss://nowhere.invalid/api")
    assert found["proxy"].detail == "none: $no_proxy names nowhere.invalid, so $HTTPS_PROXY isn't used"
    found = look("--url", f"wss://127.0.0.1:{closed_port()}/api")
    assert found["proxy"].detail == "none: $HTTPS_PROXY isn't used for this machine itself"


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", f"http://me:{PASSWORD}#@127.0.0.1:1"])
def test_proxy_that_can_not_be(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of another kind, or whose password isn't percent-encoded, is told with its variable, and not quoted."""
    monkeypatch.setenv("https_proxy", address)
    error = the_error(look("--url", "wss://api.example/api"))
    assert (error.name, "$https_proxy" in error.detail, PASSWORD in words(error)) == ("proxy", True, False)
    error = the_error(look("--url", "wss://api.example/api", "--proxy", address))
    assert (error.name, "--proxy" in error.hint, PASSWORD in words(error)) == ("proxy", True, False)


def test_proxy_that_is_not_there() -> None:
    """A proxy that can't be found, or refuses, is told as the proxy."""
    error = the_error(look("--url", "wss://api.example/api", "--proxy", "http://nowhere.invalid:3128"))
    assert (error.name, "nowhere.invalid" in error.detail, error.hint) == (
        "dns",
        True,
        "check --proxy and the network",
    )
    error = the_error(look("--url", "wss://api.example/api", "--proxy", f"http://127.0.0.1:{closed_port()}"))
    assert (error.name, "that the proxy runs" in error.hint) == ("tcp", True)


@pytest.mark.parametrize("login", ["", f"me:{PASSWORD}@"])
def test_proxy_that_wants_a_login(login: str) -> None:
    """A 407 is told at the tunnel, with the command that gives the login, and never with the password."""
    body = f"you are not {PASSWORD}".encode()
    answer = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with proxy_to(0, answer) as proxy:
        found = look("--url", "wss://api.example/api", "--proxy", f"http://{login}127.0.0.1:{proxy.port}")
    error = the_error(found)
    assert (error.name, "407" in error.detail) == ("tunnel", True)
    assert error.hint == f"export https_proxy=http://USER:PASSWORD@127.0.0.1:{proxy.port}"
    assert not login or PASSWORD not in str(found)


def test_proxy_that_wants_another_login() -> None:
    """A 407 that asks for NTLM can't be met with a password: the hint says with what."""
    with proxy_to(0, b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n") as proxy:
        error = the_error(look("--url", "wss://api.example/api", "--proxy", f"127.0.0.1:{proxy.port}"))
    assert (error.name, "cntlm" in error.hint) == ("tunnel", True)


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_proxy_that_hangs() -> None:
    """A proxy that accepts and says nothing is told within a step."""
    with RawServer(quiet) as proxy:
        began = time.monotonic()
        error = the_error(look("--url", "wss://api.example/api", "--proxy", f"127.0.0.1:{proxy.port}"))
        assert time.monotonic() - began < HURRY + GUARD
    assert (error.name, "doesn't answer" in error.detail, "proxy" in error.hint) == ("tunnel", True, True)


# The handshake.


def test_no_token_leaves_without_online() -> None:
    """Without --online nothing is sent to a server: no request, and no token."""
    with RawServer(lambda connection: connection.read_request()) as server:
        found = look("--url", server.url, token=TOKEN)
        assert [bytes(request) for request in requests(server)] == []
    assert (found["handshake"].status, "--online" in found["handshake"].detail) == ("skipped", True)


def test_online_closes_before_the_config() -> None:
    """With --online the token is shown in one handshake, and the connection closed with 1000: no config, no audio."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send({"type": "ELSA:wsConnect"})
        connection.finish()

    with RawServer(script) as server:
        found = look("--url", server.url, "--online", token=TOKEN)
        (request,) = requests(server)
        (connection,) = [each for each in server.connections if each.request]
        assert connection.frames == [(CLOSE, b"\x03\xe8")]
    assert f"Authorization: ELSA {TOKEN}".encode() in request
    assert (found["handshake"].status, TOKEN in str(found)) == ("ok", False)


def test_online_with_a_sandbox() -> None:
    """A sandbox, which is strict, hears of no stream."""
    with Sandbox() as sandbox:
        found = look("--url", sandbox.url, "--online", token=TOKEN)
        assert (sandbox.handshakes, [exchange.pcm for exchange in sandbox.exchanges]) == (1, [b""])
    assert found["handshake"].status == "ok"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nno!", "refused the token (HTTP 401): 'no!'"),
        (b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", "too many requests"),
        (f"HTTP/1.1 400 No\r\nContent-Length: {len(TOKEN)}\r\n\r\n{TOKEN}".encode(), "HTTP 400"),
    ],
)
def test_online_that_is_refused(answer: bytes, said: str) -> None:
    """A refusal is told in the server's words, without the token."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(answer)

    with RawServer(script) as server:
        found = look("--url", server.url, "--online", token=TOKEN)
        assert len(requests(server)) == 1
    error = the_error(found)
    assert (error.name, said in error.detail, TOKEN in str(found)) == ("handshake", True, False)


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_online_that_is_refused_at_once(how: str) -> None:
    """A server that takes the handshake, and then closes or says that it failed, has refused the token, too."""

    def script(connection: Connection) -> None:
        connection.handshake()
        if how == "closed":
            connection.send_close(1008, f"no such key as {TOKEN}")
        else:
            connection.send({"status": "failed", "reason": f"no such key as {TOKEN}"})
        connection.read_until_closed()

    with RawServer(script) as server:
        found = look("--url", server.url, "--online", token=TOKEN)
    error = the_error(found)
    assert (error.name, "no such key" in error.detail, TOKEN in str(found)) == ("handshake", True, False)


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_online_that_is_never_answered() -> None:
    """A server that never answers the request costs a step."""
    with RawServer(quiet) as server:
        began = time.monotonic()
        error = the_error(look("--url", server.url, "--online", token=TOKEN))
        assert time.monotonic() - began < HURRY + GUARD
    assert (error.name, "timed out" in error.detail, "timeout" in words(error)) == ("handshake", True, False)


def test_online_without_a_token() -> None:
    """Without a token that can be sent, there is no handshake."""
    with RawServer(quiet) as server:
        found = look("--url", server.url, "--online")
    assert (found["handshake"].status, "no token" in found["handshake"].detail) == ("skipped", True)
