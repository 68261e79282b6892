"""The edge to the network: TLS, proxies, and that the token goes to one place only."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest
import trustme
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


@pytest.mark.parametrize(("status", "hint"), [(407, "password"), (403, "rules"), (502, "rules")])
def test_proxy_that_refuses(status: int, hint: str, short: Path) -> None:
    """A proxy's refusal is told as the proxy's, with what to do."""
    with proxy_to(0, f"HTTP/1.1 {status} No\r\n\r\n".encode()) as proxy:
        with pytest.raises(ConnectError, match=rf"proxy 127.0.0.1 refused.*{hint}") as caught:
            score(short, TOKEN, url="wss://api.example", proxy=f"127.0.0.1:{proxy.port}", connect_retries=0)
    assert caught.value.status_code == status


def test_proxy_that_is_not_there(short: Path) -> None:
    """A refused connection to the proxy names the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
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
