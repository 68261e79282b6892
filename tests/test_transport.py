"""The edge to the network: TLS, proxies, and that the token goes to one place only."""

from __future__ import annotations

import contextlib
import datetime
import logging
import socket
import ssl
import threading
import warnings
from pathlib import Path
from typing import Any, Iterator

import pytest
import trustme
from addresses import closed_port
from leaks import watching_for
from rawserver import CLOSE, SUCCESS, Connection, RawServer, frame

from elsa_unscripted import Client, Config, ConfigError, ConnectError, ElsaError, score

TOKEN = "a-token/that=nobody-may-see"


def healthy(connection: Connection) -> None:
    connection.start()
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.finish()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def server_tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


# TLS.


def test_tls_with_a_private_authority(authority: trustme.CA, bundle: Path, austen: Path) -> None:
    """wss:// works with ca_bundle, packets and verdict going both ways at once."""
    with RawServer(healthy, server_tls(authority, "localhost")) as server:
        result = score(austen, TOKEN, url=server.url, ca_bundle=bundle, speed=None)
    assert result.status == "success"
    frames = server.connections[0].frames
    assert len(frames) == 1 + 50 + 1 + 1
    assert frames[-1] == (CLOSE, b"\x03\xe8")


def test_tls_is_verified(authority: trustme.CA, short: Path) -> None:
    """A certificate that the system doesn't trust ends the connection before the token is sent."""
    with RawServer(healthy, server_tls(authority, "localhost")) as server:
        with pytest.raises(ConnectError, match=r"not trusted.*ca_bundle") as caught:
            score(short, TOKEN, url=server.url)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert server.connections == []


def test_tls_checks_the_host_name(authority: trustme.CA, bundle: Path, short: Path) -> None:
    """A trusted certificate of another host is refused."""
    with RawServer(healthy, server_tls(authority, "elsewhere.example")) as server:
        with pytest.raises(ConnectError, match="not trusted"):
            score(short, TOKEN, url=server.url, ca_bundle=bundle)


def _issued(name: str, tmp_path: Path, **how: Any) -> tuple[ssl.SSLContext, Path]:
    """Returns what a server needs for a certificate, and the bundle that its authority is in."""
    authority, bundle = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **how).configure_cert(context)
    return context, bundle


YESTERDAY = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
TOMORROW = YESTERDAY + datetime.timedelta(days=2)


@pytest.mark.parametrize(
    ("name", "how", "hint"),
    [
        ("localhost", {"not_after": YESTERDAY}, "must renew it.*clock"),
        ("localhost", {"not_before": TOMORROW}, "check this machine's clock"),
        ("other.example", {}, "another host: check the host name in the url"),
    ],
)
def test_a_hint_for_each_wrong_certificate(name: str, how: Any, hint: str, tmp_path: Path, short: Path) -> None:
    """What to do about a certificate depends on what is wrong with it: ca_bundle can't help, and isn't named."""
    context, bundle = _issued(name, tmp_path, **how)
    with RawServer(healthy, context) as server, pytest.raises(ConnectError, match=hint) as caught:
        score(short, TOKEN, url=server.url, ca_bundle=bundle)
    assert "ca_bundle" not in str(caught.value)


def test_an_address_that_the_certificate_does_not_name(tmp_path: Path, short: Path) -> None:
    """The certificate of a name, where an address was dialled, is told as such."""
    context, bundle = _issued("localhost", tmp_path)
    with RawServer(healthy, context) as server, pytest.raises(ConnectError, match="not for this address"):
        score(short, TOKEN, url=f"wss://127.0.0.1:{server.port}/", ca_bundle=bundle)


def test_a_bundle_without_the_authority(bundle: Path, tmp_path: Path, short: Path) -> None:
    """Where a ca_bundle was given, the hint isn't to give one."""
    context, _ = _issued("localhost", tmp_path)
    with RawServer(healthy, context) as server, pytest.raises(ConnectError, match="not in ca_bundle"):
        score(short, TOKEN, url=server.url, ca_bundle=bundle)


@pytest.mark.parametrize("content", [None, "", "nothing"])
def test_a_variable_that_names_no_certificates(
    content: str | None, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL passes over a $SSL_CERT_FILE that is missing, or holds no certificates: the error names it."""
    path = tmp_path / "gone.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context, _ = _issued("localhost", tmp_path)
    with RawServer(healthy, context) as server, pytest.raises(ConnectError, match=r"\$SSL_CERT_FILE is .*gone.pem"):
        score(short, TOKEN, url=server.url)


def test_a_server_of_old_tls(tmp_path: Path, short: Path) -> None:
    """A server that offers only old TLS is told as such."""
    context, bundle = _issued("localhost", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with RawServer(healthy, context) as server, pytest.raises(ConnectError, match=r"TLS 1.2 or newer"):
        score(short, TOKEN, url=server.url, ca_bundle=bundle, connect_retries=0)


def test_plain_server_on_a_tls_port(short: Path) -> None:
    """wss:// to a server that speaks plain text says which knob to turn."""

    def script(connection: Connection) -> None:
        connection.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.sock.recv(10_000)

    with RawServer(script) as server, pytest.raises(ConnectError, match="wss against ws"):
        score(short, TOKEN, url=server.url.replace("ws:", "wss:"))


def test_hanging_tls_handshake(short: Path) -> None:
    """A server that accepts and never shakes hands costs connect_timeout."""
    with RawServer(lambda connection: connection.sock.recv(10_000) and threading.Event().wait(0.5)) as server:
        with pytest.raises(ConnectError, match="timed out"):
            score(short, TOKEN, url=server.url.replace("ws:", "wss:"), connect_timeout=0.3)


def test_ca_bundle_that_is_none(tmp_path: Path, short: Path) -> None:
    """A ca_bundle without certificates is a ConfigError."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match="ca_bundle"):
        score(short, TOKEN, url="wss://localhost:1", ca_bundle=path)


# Proxies.


@contextlib.contextmanager
def proxy_to(port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Iterator[RawServer]:
    """A proxy that answers CONNECT, and tunnels to a port of this machine whatever host was asked for."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(answer)
        if b" 200 " not in answer:
            return
        with socket.create_connection(("127.0.0.1", port)) as onward:
            back = threading.Thread(target=_pump, args=(onward, connection.sock), daemon=True)
            back.start()
            _pump(connection.sock, onward)
            back.join(5)

    with RawServer(script) as server:
        yield server


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_proxy(authority: trustme.CA, bundle: Path, speech: Path) -> None:
    """An exchange goes through a proxy that sees the server's name and its own password, and no token."""
    with RawServer(healthy, server_tls(authority, "api.example")) as server, proxy_to(server.port) as proxy:
        result = score(
            speech,
            TOKEN,
            url="wss://api.example/api",
            ca_bundle=bundle,
            proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}",
            speed=None,
        )
    assert result.status == "success"
    request = proxy.connections[0].request
    assert request.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n" in request
    assert TOKEN.encode() not in request


def test_proxy_of_the_environment(
    authority: trustme.CA, bundle: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$https_proxy is used for wss://, and $no_proxy is heeded; loopback needs no proxy."""
    with RawServer(healthy, server_tls(authority, "api.example")) as server, proxy_to(server.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.invalid")
        options: Any = {"ca_bundle": bundle, "speed": None, "connect_retries": 0}
        assert score(short, TOKEN, url="wss://api.example/api", **options).status == "success"
        assert len(proxy.connections) == 1
        with pytest.raises(ConnectError, match="could not find"):
            score(short, TOKEN, url="wss://other.invalid/api", **options)
    with RawServer(healthy, server_tls(authority, "localhost")) as server:
        assert score(short, TOKEN, url=server.url, **options).status == "success"
    assert len(proxy.connections) == 1


def test_proxy_of_the_environment_of_another_kind(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy in the environment is told to be unsupported, rather than passed by."""
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigError, match="proxy"):
        score(short, TOKEN, url="wss://api.example/api")


def test_all_proxy_of_the_environment(
    authority: trustme.CA, bundle: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$all_proxy, in either case, is used where $https_proxy isn't set; one of another kind is named."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    options: Any = {"url": "wss://api.example/api", "ca_bundle": bundle, "speed": None, "connect_retries": 0}
    with RawServer(healthy, server_tls(authority, "api.example")) as server, proxy_to(server.port) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert score(short, TOKEN, **options).status == "success"
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        with pytest.raises(ConnectError, match="127.0.0.1:9 refused"):
            score(short, TOKEN, **options)
        assert len(proxy.connections) == 1
    monkeypatch.delenv("https_proxy")
    monkeypatch.setenv("ALL_PROXY", "socks5://me:sesame@127.0.0.1:1080")
    with pytest.raises(ConfigError, match=r"\$ALL_PROXY is not") as caught:
        score(short, TOKEN, **options)
    assert "sesame" not in str(caught.value)


CHALLENGES: list[tuple[str, str, str]] = [
    ("NTLM", "http://me:sesame@", "wants NTLM.*only Basic"),
    ("NTLM", "http://", "wants NTLM.*only Basic"),
    ("Negotiate, NTLM", "http://me:sesame@", "wants Negotiate or NTLM"),
    ('Digest realm="a, Basic b", nonce="c", qop="auth"', "http://me:sesame@", "wants Digest, and"),
    ('Basic realm="a"', "http://me:sesame@", "doesn't take this user name and password"),
    ('Negotiate, basic realm="a"', "http://me:sesame@", "doesn't take this user name and password"),
    ('Basic realm="a"', "http://", "give its user name and password"),
    ("", "http://me:sesame@", "doesn't take this user name and password"),
]


@pytest.mark.parametrize(("challenge", "address", "hint"), CHALLENGES)
def test_proxy_that_wants_a_login(challenge: str, address: str, hint: str, short: Path) -> None:
    """What to do about a 407 depends on what the proxy wants, and on what was given."""
    header = f"Proxy-Authenticate: {challenge}\r\n" if challenge else ""
    with proxy_to(0, f"HTTP/1.1 407 No\r\n{header}Content-Length: 0\r\n\r\n".encode()) as proxy:
        with pytest.raises(ConnectError, match=hint):
            score(short, TOKEN, url="wss://api.example", proxy=f"{address}127.0.0.1:{proxy.port}", connect_retries=0)


def test_proxy_that_says_why(short: Path) -> None:
    """The reason that a proxy gives is quoted, without the password, however short, and without the login as sent."""
    body = b"\x1b[1m<b>user me, password p%40s!, p@s! or cEBz, bWU6cEBzIQ== may not</b>"
    with proxy_to(0, b"HTTP/1.1 403 No\r\nX: bWU6cEBzIQ==\r\nContent-Length: %d\r\n\r\n" % len(body) + body) as proxy:
        address = f"http://me:p%40s!@127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectError, match="may not.*rules") as caught:
            score(short, TOKEN, url="wss://api.example", proxy=address, connect_retries=0)
    assert r"\x1b[1m<b>user me" in str(caught.value)
    assert caught.value.body is not None
    assert caught.value.body.endswith("may not</b>")
    for text in (str(caught.value), caught.value.body):
        assert [part for part in ("p%40s!", "p@s!", "bWU6cEBzIQ") if part in text] == []


def test_interim_answers_of_a_proxy(authority: trustme.CA, bundle: Path, short: Path) -> None:
    """100, 102 and 103 before a proxy's 200 are passed over; 101 is no tunnel."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n"
    options: Any = {"url": "wss://api.example/api", "ca_bundle": bundle, "speed": None, "connect_retries": 0}
    with RawServer(healthy, server_tls(authority, "api.example")) as server:
        with proxy_to(server.port, interim + b"HTTP/1.1 200 Yes\r\n\r\n") as proxy:
            assert score(short, TOKEN, proxy=f"127.0.0.1:{proxy.port}", **options).status == "success"
    with proxy_to(0, b"HTTP/1.1 101 Switching\r\n\r\n") as proxy, pytest.raises(ConnectError, match="HTTP 101"):
        score(short, TOKEN, proxy=f"127.0.0.1:{proxy.port}", **options)


@pytest.mark.parametrize(("status", "hint"), [(407, "password"), (403, "rules"), (502, "rules")])
def test_proxy_that_refuses(status: int, hint: str, short: Path) -> None:
    """A proxy's refusal is told as the proxy's, with what to do."""
    with proxy_to(0, f"HTTP/1.1 {status} No\r\n\r\n".encode()) as proxy:
        with pytest.raises(ConnectError, match=rf"proxy 127.0.0.1 refused.*{hint}") as caught:
            score(short, TOKEN, url="wss://api.example", proxy=f"127.0.0.1:{proxy.port}", connect_retries=0)
    assert caught.value.status_code == status


def test_proxy_that_can_not_be_found(short: Path) -> None:
    """Where the proxy's name can't be found, that is what is told; not that the server's can't be."""
    with pytest.raises(ConnectError, match="through the proxy nowhere.invalid.*check the proxy"):
        score(short, TOKEN, url="wss://api.example", proxy="http://nowhere.invalid:3128", connect_retries=0)


def test_proxy_that_is_not_there(short: Path) -> None:
    """A refused connection to the proxy names the proxy."""
    port = closed_port()
    with pytest.raises(ConnectError, match="through the proxy 127.0.0.1"):
        score(short, TOKEN, url="wss://api.example", proxy=f"http://127.0.0.1:{port}", connect_retries=0)


# The token.


def _echo(connection: Connection) -> bytes:
    return next(line for line in connection.read_request().split(b"\r\n") if line.startswith(b"Authorization"))


def _refuse(connection: Connection) -> None:
    echo = _echo(connection)
    body = b"you sent " + echo
    connection.send_raw(b"HTTP/1.1 401 " + echo + b"\r\nX-Echo: " + echo + b"\r\nContent-Length: 99\r\n\r\n" + body)


def _fail(connection: Connection) -> None:
    connection.handshake()
    connection.send({"status": "failed", "reason": "bad token " + _echo(connection).decode()})
    connection.finish()


def _close(connection: Connection) -> None:
    connection.handshake()
    connection.send_close(4001, _echo(connection).decode())


def _close_in_two_segments(connection: Connection) -> None:
    connection.handshake()
    data = frame(b"\x0f\xa1" + _echo(connection), CLOSE)
    connection.send_raw(data[:-9])
    connection.wait(0.1)
    connection.send_raw(data[-9:])


def _say_in_two_segments(connection: Connection) -> None:
    connection.start()
    data = frame(b'{"status": "failed", "reason": "' + _echo(connection) + b'"}')
    connection.send_raw(data[:-9])
    connection.wait(0.1)
    connection.send_raw(data[-9:])
    connection.finish()


def _escape(connection: Connection) -> None:
    connection.start()
    escaped = _echo(connection).decode().replace("/", "\\/").replace("=", "\\u003d")
    connection.send('{"status": "failed", "reason": "' + escaped + '"}')
    connection.finish()


def _answer_with_it(connection: Connection) -> None:
    connection.send_raw(b"HTTP/1.1 " + _echo(connection)[20:] + b" 101\r\n\r\n")


def _handshake_with_it(connection: Connection) -> None:
    echo = _echo(connection)
    connection.handshake(headers=b"X-Echo: \xff" + echo + b"\r\n" + echo + b"\r\n")
    connection.finish()


def _babble(connection: Connection) -> None:
    connection.start()
    connection.read_until_end()
    connection.send(_echo(connection))
    connection.finish()


@pytest.mark.parametrize(
    "script",
    [
        _refuse,
        _fail,
        _close,
        _close_in_two_segments,
        _say_in_two_segments,
        _escape,
        _answer_with_it,
        _handshake_with_it,
        _babble,
        healthy,
    ],
)
def test_token_is_nowhere_to_be_seen(script: Any, short: Path) -> None:
    """No log line at DEBUG, websocket-client's own trace included, no error and no repr shows the token.

    Not even when the server sends it back.
    """
    with watching_for(TOKEN) as leaks:
        with RawServer(script) as server:
            try:
                result = score(short, TOKEN, url=server.url, speed=None, timeout=0.5)
                leaks.look_at(repr(result) + repr(dict(result)) + result.text)
            except ElsaError as error:
                leaks.look_at_error(error)
        leaks.look_at(
            repr(Config(TOKEN))
            + repr(Client(TOKEN))
            + str(Config("other", proxy="http://x:a-token%2Fthat=nobody@host"))
        )
        assert TOKEN in server.connections[0].request.decode()
    assert leaks.lines > 1
    assert leaks.found == []


def test_cookies_are_not_kept(short: Path) -> None:
    """A cookie that a server sets is sent to nobody later: websocket-client would keep it for the whole process."""

    def script(connection: Connection) -> None:
        connection.handshake(headers=b"Set-Cookie: a=b; domain=127.0.0.1\r\n")
        connection.read_frame()
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        for _ in range(2):
            score(short, TOKEN, url=server.url)
    assert [b"ookie" in connection.request for connection in server.connections] == [False, False]


def test_success_is_not_logged_as_an_error(short: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A healthy exchange logs nothing above INFO, websocket-client's own lines included."""
    caplog.set_level(logging.DEBUG)
    with RawServer(healthy) as server:
        score(short, TOKEN, url=server.url, speed=None)
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
