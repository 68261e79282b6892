"""A result: a mapping, its views, its file, and the download of what did not come along."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import pathlib
import pickle
import signal
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme
from addresses import black_hole, black_holes, closed_port, needs_black_holes, resolve
from leaks import watching_for
from rawserver import Connection, RawServer
from recordings import wav

from elsa_unscripted import Client
from elsa_unscripted.exceptions import ConnectError, ElsaError, ProtocolError
from elsa_unscripted.results.result import ScoreResult, Timings
from elsa_unscripted.wire.messages import Status

ASSESSMENT: dict[str, Any] = {"transcript": "I think so.", "speakers": [{"speaker_id": 0}]}
RAW: dict[str, Any] = {"status": "success", "result_link": "https://r/1", "audio_link": "https://a/1", "new": [1, None]}
PROCESSING = {"status": "processing", "stream_id": "stream-1"}


def whole() -> ScoreResult:
    """Returns a result with something in every field."""
    return ScoreResult(
        raw=RAW,
        text=json.dumps(RAW),
        stream_id="stream-1",
        statuses=(Status(PROCESSING, "x"), Status(RAW, "y")),
        timings=Timings(connect=0.1, start=0.2, first_packet=0.3, audio_sent=1.3, verdict=2.0, total=2.1),
        audio_seconds=1.25,
        audio_seconds_sent=1.0,
        sample_rate=16000,
        channels=1,
        sample_width=2,
        api_plan="premium",
        warnings=("cut off",),
        client="elsa_unscripted 0",
        fetched=ASSESSMENT,
    )


# The mapping and its views.


def test_a_result_is_a_mapping_over_the_final_object() -> None:
    """Legacy code indexes, iterates, unpacks and compares a result like the server's object."""
    result = whole()
    assert isinstance(result, Mapping)
    assert result["result_link"] == "https://r/1"
    assert dict(result) == RAW
    assert result == RAW
    assert {**result} == RAW
    assert list(result) == list(RAW)
    assert len(result) == 4
    assert "new" in result
    assert result.get("missing") is None
    with pytest.raises(KeyError):
        result["missing"]


def test_a_result_is_immutable() -> None:
    """Neither items nor attributes of a result can be set or deleted."""
    result: Any = whole()
    with pytest.raises(TypeError):
        result["status"] = "failed"
    with pytest.raises(TypeError):
        del result["status"]
    for name in (*result.__dataclass_fields__, "status", "result_link", "assessment"):
        with pytest.raises(AttributeError):
            setattr(result, name, None)
    with pytest.raises(AttributeError):
        result.timings.total = 0
    assert dict(result) == RAW


@pytest.mark.parametrize("value", ["", None, 5, True, [], ["https://r"], {}])
def test_what_is_no_link_is_none(value: object) -> None:
    """A link or partial error that is empty, missing or of a strange type is `None`, not an exception."""
    for raw in ({"status": "success"}, dict.fromkeys(("result_link", "audio_link", "partial_error"), value)):
        result = ScoreResult(raw)
        assert (result.result_link, result.audio_link, result.partial_error) == (None, None, None)


def test_links_and_partial_error() -> None:
    """The views give what the server gave."""
    result = ScoreResult({**RAW, "partial_error": "too_short"})
    assert (result.status, result.result_link, result.audio_link) == ("success", "https://r/1", "https://a/1")
    assert result.partial_error == "too_short"


@pytest.mark.parametrize(
    ("raw", "fetched"),
    [
        *[
            ({**RAW, **ASSESSMENT}, None),
            ({**RAW, "result": ASSESSMENT}, None),
            (RAW, ASSESSMENT),
            (RAW, {"x": ASSESSMENT}),
        ],
        ({**RAW, "assessment": ASSESSMENT}, {"speakers": [], "transcript": "another"}),
    ],
)
def test_the_assessment_is_found(raw: dict[str, Any], fetched: dict[str, Any] | None) -> None:
    """The assessment is seen at the top, one level down, and in what was fetched, in this order."""
    assessment = ScoreResult(raw, fetched=fetched).assessment
    assert assessment is not None
    assert assessment.transcript == "I think so."


def test_without_assessment_there_is_none() -> None:
    """A verdict without an assessment has none, and strange things in its place are none either."""
    extras: list[dict[str, object]] = [
        {},
        {"speakers": None},
        {"speakers": "x"},
        {"a": [ASSESSMENT]},
        {"a": {"b": ASSESSMENT}},
    ]
    for extra in extras:
        assert ScoreResult({**RAW, **extra}).assessment is None


def test_the_text_form_is_short() -> None:
    """`repr` names the verdict and the stream, escaped, without the assessment."""
    result = ScoreResult({**RAW, **ASSESSMENT, "result_link": "\x1b[2J"}, stream_id="a\nb")
    assert repr(result).isprintable()
    assert "think" not in repr(result)


def test_a_result_survives_pickle() -> None:
    """A result comes back from a worker process with every field."""
    result = whole()
    again = pickle.loads(pickle.dumps(result))
    for field in dataclasses.fields(ScoreResult):
        assert getattr(again, field.name) == getattr(result, field.name)


# Its file.


def test_save_and_load(tmp_path: pathlib.Path) -> None:
    """What was saved is loaded with every field, and the file is JSON that others can read."""
    result = whole()
    for path in (tmp_path / "r.json", str(tmp_path / "s.json")):
        result.save(path)
        again = ScoreResult.load(path)
        for field in dataclasses.fields(ScoreResult):
            assert getattr(again, field.name) == getattr(result, field.name), field.name
        saved = json.loads(pathlib.Path(path).read_text(encoding="ascii"))
        assert saved["v"] == 1
        assert saved["raw"] == RAW


def test_what_is_saved_is_what_is_known(tmp_path: pathlib.Path) -> None:
    """The file holds the fields of a result, none of which is a token, and nothing else."""
    whole().save(tmp_path / "r.json")
    saved = json.loads((tmp_path / "r.json").read_text())
    assert set(saved) == {"v", *(field.name for field in dataclasses.fields(ScoreResult))}
    assert "token" not in " ".join(saved)


def test_strange_text_survives_the_file(tmp_path: pathlib.Path) -> None:
    """Lone surrogates, control characters and NaN in the server's object don't keep it from being saved."""
    raw = {"status": "success", "a": "\ud800\x00\u2028é", "b": float("inf")}
    ScoreResult(raw).save(tmp_path / "r.json")
    assert ScoreResult.load(tmp_path / "r.json") == raw


def test_a_failed_save_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    """A result that can't be written as JSON is an error before the file is touched."""
    whole().save(tmp_path / "r.json")
    with pytest.raises(TypeError):
        ScoreResult({"status": "success", "a": object()}).save(tmp_path / "r.json")
    assert ScoreResult.load(tmp_path / "r.json") == RAW


def test_no_recording_is_overwritten(tmp_path: pathlib.Path) -> None:
    """To save a result where a recording is, is an error that leaves the recording."""
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(bytes(3200)))
    with pytest.raises(FileExistsError, match="overwritten"):
        whole().save(path)
    assert path.read_bytes() == wav(bytes(3200))


def test_a_later_version_is_loaded(tmp_path: pathlib.Path) -> None:
    """Fields and timings that this version doesn't know are passed over; those that are missing have defaults."""
    whole().save(tmp_path / "r.json")
    saved = json.loads((tmp_path / "r.json").read_text())
    saved.update(v=99, mood="good")
    saved["timings"].update(naps=3)
    del saved["channels"], saved["timings"]["start"]
    (tmp_path / "r.json").write_text(json.dumps(saved))
    result = ScoreResult.load(tmp_path / "r.json")
    assert (result.stream_id, result.channels) == ("stream-1", None)
    assert (result.timings.connect, result.timings.start) == (0.1, None)


WRONG_FIELDS: list[tuple[str, Any]] = [
    *[("statuses", 5), ("statuses", [5]), ("statuses", "text"), ("warnings", 1), ("warnings", [1])],
    *[("timings", []), ("timings", {"total": "x"}), ("timings", {"total": 1e300}), ("timings", {"total": True})],
    *[("raw", []), ("fetched", 5), ("text", None), ("stream_id", 5)],
    *[("audio_seconds", "x"), ("audio_seconds", True), ("audio_seconds_sent", None), ("channels", "2")],
    *[("channels", -1), ("sample_rate", True), ("sample_width", 10**4299)],
]
WHOLE: dict[str, Any] = {"v": 1, "raw": {}, "statuses": [], "timings": {}, "warnings": []}


@pytest.mark.parametrize(
    "content",
    [
        *[b"", b"{", b"[]", b"null", b"5", b'"v"', b"{}", b'{"v": 1}', b'{"raw": {}}', b'{"v": 1, "raw": []}'],
        *[b"\xff\xfe", b"RIFF\x00\x00\x00\x00WAVE", b"[" * 100_000, json.dumps(RAW).encode()],
        *[json.dumps({**WHOLE, name: value}).encode() for name, value in WRONG_FIELDS],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_another_file_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    """A file that isn't a saved result is a ValueError that names the file, never another exception."""
    (tmp_path / "other.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"not a saved result: .*other\.json"):
        ScoreResult.load(tmp_path / "other.json")


def test_a_missing_file_is_an_os_error(tmp_path: pathlib.Path) -> None:
    """A file that can't be read says so in the usual way."""
    with pytest.raises(FileNotFoundError):
        ScoreResult.load(tmp_path / "missing.json")


# The download. A server of the standard library on loopback, and one on a raw socket for what that can't do.


class Pages(ThreadingHTTPServer):
    """Serves `answers` by path, and keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    def link(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Pages)
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        code, headers, body = self.server.answers.get(self.path, (404, {}, b"nothing here"))
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def dribble() -> Iterator[Any]:
    """Returns a function that serves `head` and then `piece` again and again, until the client hangs up."""
    with contextlib.ExitStack() as stack:

        def serve(head: bytes, piece: bytes, pause: float = 0.05) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ended = threading.Event()

            def run() -> None:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(head)
                        while not ended.wait(pause):
                            connection.sendall(piece)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(ended.set)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)  # nobody may have come
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"

        yield serve


def result(link: object, **more: Any) -> ScoreResult:
    return ScoreResult({"status": "success", "result_link": link, **more}, stream_id="stream-1")


def refused(link: object, **options: Any) -> ElsaError:
    """Returns why a download failed; checks that its thread has ended."""
    with pytest.raises(ElsaError) as caught:
        result(link).fetch(**options)
    assert [thread for thread in threading.enumerate() if thread.name == "elsa-download"] == []
    return caught.value


def test_fetch_downloads_the_assessment(pages: Pages) -> None:
    """`fetch` gives a result with the assessment and all else as it was; the first result stays as it is."""
    pages.answers["/r"] = (200, {}, json.dumps(ASSESSMENT).encode())
    before = result(pages.link("/r"), audio_link="x")
    after = before.fetch()
    assert after.assessment is not None
    assert after.assessment.transcript == "I think so."
    assert after.fetched == ASSESSMENT
    assert (dict(after), after.stream_id) == (dict(before), "stream-1")
    assert (before.fetched, before.assessment) == (None, None)


def test_fetch_asks_only_for_what_is_missing(pages: Pages) -> None:
    """A result that has its assessment is returned as it is, without asking anyone."""
    there = result(pages.link("/r"), **ASSESSMENT)
    assert there.fetch() is there
    assert pages.requests == []


def test_fetch_tells_no_secret(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request carries neither a token nor a cookie, even with a token in the environment."""
    monkeypatch.setenv("ELSA_API_TOKEN", "s3cret")
    pages.answers["/r"] = (200, {"Set-Cookie": "a=b"}, b"{}")
    result(pages.link("/r")).fetch()
    result(pages.link("/r")).fetch()
    assert [path for path, _ in pages.requests] == ["/r", "/r"]
    for _, headers in pages.requests:
        assert not {"authorization", "cookie", "proxy-authorization"} & set(headers)
        assert "s3cret" not in str(headers)


def test_no_proxy_stands_before_loopback(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment can't reach this machine's loopback, so it isn't asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    pages.answers["/r"] = (200, {}, b"{}")
    assert result(pages.link("/r")).fetch().fetched == {}


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> trustme.CA:
    """An authority that this process trusts as the system's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def serve(answer: bytes, requests: list[bytes]) -> Any:
    """Returns the script of a server that gives one answer to each request."""

    def script(connection: Connection) -> None:
        requests.append(connection.read_request())
        connection.send_raw(answer)

    return script


def test_fetch_over_tls_through_a_proxy(trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """$https_proxy is asked for the host of the link and sees nothing else; $no_proxy is heeded."""
    requests: list[bytes] = []
    inner = serve(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}', requests)
    tls = server_tls(trusted, "results.example")

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 200 Yes\r\n\r\n")
        inside = Connection(tls.wrap_socket(connection.sock, server_side=True))
        inner(inside)
        inside.cut()

    with RawServer(script) as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.invalid")
        assert result("https://results.example/r?a=b#c").fetch().fetched == {"a": 1}
        assert len(proxy.connections) == 1
        assert "could not download" in str(refused("https://other.invalid/r"))
        assert len(proxy.connections) == 1
        asked = proxy.connections[0].request
    assert asked.startswith(b"CONNECT results.example:443 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n" in asked
    (request,) = requests
    assert request.startswith(b"GET /r?a=b HTTP/1.1\r\nHost: results.example\r\n")
    assert b"Proxy-Authorization" not in request


def test_fetch_checks_certificates(trusted: trustme.CA, tmp_path: pathlib.Path) -> None:
    """A certificate of another host, or of an authority that nobody trusts, ends the download before the request."""
    requests: list[bytes] = []
    script = serve(b"HTTP/1.1 200 OK\r\n\r\n{}", requests)
    with RawServer(script, server_tls(trusted, "localhost")) as server:
        assert result(f"https://localhost:{server.port}/").fetch().fetched == {}
    for tls in (server_tls(trusted, "other.example"), server_tls(trustme.CA(), "localhost")):
        with RawServer(script, tls) as server:
            error = refused(f"https://localhost:{server.port}/")
            assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert len(requests) == 1


def test_no_redirect_leads_from_https_to_http(trusted: trustme.CA, pages: Pages) -> None:
    """Not even to loopback, which a link of http:// itself may lead to."""
    script = serve(f"HTTP/1.1 302 Found\r\nLocation: {pages.link('/r')}\r\n\r\n".encode(), [])
    with RawServer(script, server_tls(trusted, "localhost")) as server:
        assert "only https://" in str(refused(f"https://localhost:{server.port}/"))
    assert pages.requests == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "https://127.0.0.1:1080"])
def test_a_proxy_of_another_kind_is_told(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that can't be used is a ConnectError that says so, rather than passed by."""
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    error = refused("https://results.example/r")
    assert type(error) is ConnectError
    assert "no_proxy" in str(error)


@pytest.mark.parametrize("link", ["", None, 5])
def test_no_link_to_fetch(link: object) -> None:
    """Without a link the error says how to get the assessment another way."""
    error = refused(link)
    assert type(error) is ConnectError
    assert "return_json" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff", b"[]", b"5", b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(pages: Pages, body: bytes) -> None:
    """A page, half an object or anything but an object is a ProtocolError."""
    pages.answers["/r"] = (200, {}, body)
    assert type(refused(pages.link("/r"))) is ProtocolError


def test_too_long_an_answer_is_refused(pages: Pages) -> None:
    """More bytes than `max_bytes` aren't taken; as many are."""
    pages.answers["/r"] = (200, {}, b'{"a": "' + b"x" * 10_000 + b'"}')
    error = refused(pages.link("/r"), max_bytes=10_000)
    assert type(error) is ProtocolError
    assert "max_bytes" in str(error)
    assert result(pages.link("/r")).fetch(max_bytes=10_009).fetched is not None


@pytest.mark.parametrize("code", [401, 403, 404, 410, 500, 503])
def test_an_http_error_is_a_connect_error(pages: Pages, code: int) -> None:
    """An answer other than 200 is a ConnectError with the status, which still travels between processes."""
    pages.answers["/r"] = (code, {"WWW-Authenticate": "Basic realm=x"}, b"{}")
    error = refused(pages.link("/r"))
    assert isinstance(error, ConnectError)
    assert error.status_code == code
    assert pickle.loads(pickle.dumps(error)).status_code == code
    assert len(pages.requests) == 1


def test_nobody_there() -> None:
    """A refused connection is a ConnectError with the cause chained."""
    port = closed_port()
    error = refused(f"http://127.0.0.1:{port}/")
    assert type(error) is ConnectError
    assert isinstance(error.__cause__, OSError)


def test_a_cut_download_is_an_error() -> None:
    """An answer that is shorter than its Content-Length isn't taken for whole, even if what came is JSON."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cut() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": 1}')

        thread = threading.Thread(target=cut)
        thread.start()
        error = refused(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert type(error) is ConnectError


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 100000\r\n\r\n", b" "),
    ],
    ids=["silence", "status", "header", "headers", "endless", "body", "chunk-size", "chunks", "redirect"],
)
def test_the_download_ends_in_time(dribble: Any, head: bytes, piece: bytes) -> None:
    """However slowly a server dribbles, and whatever part of its answer, the download ends when its time is over."""
    check_that_it_ends(dribble(head, piece))


def check_that_it_ends(link: str) -> None:
    """Half a second is given; what isn't bounded by it takes for ever, or as good as that."""
    began = time.monotonic()
    with pytest.raises(ConnectError, match="raise timeout"):
        result(link).fetch(timeout=0.5)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\x40\x00", b"x"),
    ],
    ids=["silence", "dribbled answer", "no TLS", "dribbled TLS"],
)
def test_a_slow_proxy_ends_in_time(dribble: Any, head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a proxy keep the download beyond its time, or whoever is behind the proxy."""
    monkeypatch.setenv("https_proxy", dribble(head, piece))
    monkeypatch.setenv("no_proxy", "")
    check_that_it_ends("https://results.example/r")


@needs_black_holes
def test_black_holes_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do many addresses that answer nothing: the time is for all of them."""
    with black_holes(10) as holes:
        resolve(monkeypatch, *holes)
        check_that_it_ends("http://localhost:1/r")


def test_a_hanging_look_up_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a name server that never answers; the thread that asks it is left alone, and ends with the answer."""
    answered = threading.Event()

    def hang(*arguments: Any, **options: Any) -> Any:
        answered.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        check_that_it_ends("http://localhost:1/r")
        assert [thread.name for thread in threading.enumerate() if thread.daemon and "elsa" in thread.name] == [
            "elsa-download"
        ]
    finally:
        answered.set()


@needs_black_holes
def test_a_dead_address_costs_a_moment(monkeypatch: pytest.MonkeyPatch, pages: Pages) -> None:
    """The download too goes to the address that answers first."""
    pages.answers["/r"] = (200, {}, b"{}")
    with black_hole() as hole:
        resolve(monkeypatch, hole, pages.server_port)
        began = time.monotonic()
        assert result("http://localhost:1/r").fetch(timeout=60).fetched == {}
    assert time.monotonic() - began < 5


@pytest.mark.interrupts
def test_an_interrupted_download_leaves_nothing(dribble: Any) -> None:
    """What a signal handler raises while the download hangs comes through at once; thread and socket are gone."""
    link = dribble(b"HTTP/1.1 200 OK\r\n\r\n", b" ")

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            result(link).fetch(timeout=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 5
    assert [thread for thread in threading.enumerate() if thread.name == "elsa-download"] == []


def test_a_redirect_is_followed(pages: Pages) -> None:
    """A redirect from loopback to loopback is followed, spaces and all, and only a few of them."""
    pages.answers["/r"] = (302, {"Location": "/s"}, b"")
    pages.answers["/s"] = (200, {}, b'{"a": 1}')
    assert result(pages.link("/r")).fetch().fetched == {"a": 1}
    pages.answers["/r"] = (302, {"Location": "/t u?v=ü#w"}, b"")
    pages.answers["/t%20u?v=%FC"] = (200, {}, b'{"a": 2}')
    assert result(pages.link("/r")).fetch().fetched == {"a": 2}
    pages.answers["/r"] = (302, {"Location": "/s"}, b"")
    pages.answers["/s"] = (302, {"Location": "/s"}, b"")
    assert isinstance(refused(pages.link("/r")), ConnectError)
    assert len(pages.requests) < 20


ELSEWHERE = [
    *["file:///etc/passwd", "ftp://127.0.0.1/x", "http://example.com/", "http://10.0.0.1/", "http://0.0.0.0/"],
    *["http://127.0.0.1.example.com/", "http://localhost.example.com/", "http://127.0.0.1@example.com/", "data:,{}"],
    *["javascript:alert(1)", "gopher://127.0.0.1/"],
]


@pytest.mark.parametrize(
    "link",
    [*ELSEWHERE, "/etc/passwd", "//example.com/", "http:///x", "x", "http://[", "https://[x/", " file:///etc/passwd"],
)
def test_other_links_are_not_followed(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is neither https nor on loopback is refused before a name is looked up or a connection is made."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args))
    assert type(refused(link)) is ConnectError
    assert asked == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("link", ELSEWHERE)
def test_other_redirects_are_not_followed(pages: Pages, code: int, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it by way of a redirect, whatever its kind."""
    hosts = []
    real = socket.getaddrinfo

    def watched(host: Any, *args: Any, **kwargs: Any) -> Any:
        hosts.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    pages.answers["/r"] = (code, {"Location": link}, b"")
    assert type(refused(pages.link("/r"))) is ConnectError
    assert len(pages.requests) == 1
    assert set(hosts) == {"127.0.0.1"}


@pytest.mark.parametrize(
    "link",
    ["https://127.0.0.1:x/", "https:///", "http://127.0.0.1:99999/", "http://127.0.0.1/\x7f", "http://127.0.0.1/ü a"],
)
def test_broken_links_are_an_elsa_error(link: str) -> None:
    """A link that can't be requested at all is a ConnectError like any other that fails."""
    assert type(refused(link, timeout=5)) is ConnectError


# Packed, marked, and over networks of one's own.


@pytest.mark.parametrize("form", ["gzip", "x-gzip", "unnamed", "in two parts", "marked", "utf-16", "gzip and marked"])
def test_what_is_packed_or_marked_is_read(pages: Pages, form: str) -> None:
    """Gzip, named or not, and a byte order mark are no part of the assessment."""
    body = json.dumps({"a": "\u00e9", "n": [1] * 1000}, ensure_ascii=False).encode()
    bodies = {
        "in two parts": gzip.compress(body[:100]) + gzip.compress(body[100:]),
        "marked": b"\xef\xbb\xbf" + body,
        "utf-16": body.decode().encode("utf-16"),
        "gzip and marked": gzip.compress(b"\xef\xbb\xbf" + body),
    }
    named = {} if form in ("unnamed", "marked", "utf-16") else {"Content-Encoding": "x-gzip" if "x" in form else "gzip"}
    pages.answers["/r"] = (200, named, bodies.get(form, gzip.compress(body)))
    fetched = result(pages.link("/r")).fetch().fetched
    assert fetched == {"a": "\u00e9", "n": [1] * 1000}


@pytest.mark.slow(everywhere=True)
def test_a_bomb_is_refused(pages: Pages) -> None:
    """`max_bytes` bounds what gzip unpacks to, and no more than that is unpacked."""
    pages.answers["/r"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 50_000_000))
    tracemalloc.start()
    try:
        error = refused(pages.link("/r"), max_bytes=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(error) is ProtocolError
    assert "more than 100000 bytes" in str(error)
    assert peak < 5_000_000


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_damaged_gzip_is_an_error(pages: Pages, damage: str) -> None:
    """Gzip data that are cut off or damaged, or another packing, are told as such."""
    whole = gzip.compress(json.dumps(list(range(10_000))).encode())
    body = {"cut": whole[:-500], "flipped": whole[:-500] + bytes(500), "other": b"x"}[damage]
    pages.answers["/r"] = (200, {"Content-Encoding": "br" if damage == "other" else "gzip"}, body)
    error = refused(pages.link("/r"))
    assert ("'br'" if damage == "other" else "gzip") in str(error)


def test_what_a_store_says_is_told(pages: Pages) -> None:
    """The beginning of what a server says with its refusal is quoted and escaped; an expired link is called one."""
    said = b"<Error><Code>AccessDenied</Code><Message>Request has\n\x1b[1mexpired</Message></Error>"
    for body, headers in ((said, {}), (gzip.compress(said), {"Content-Encoding": "gzip"})):
        pages.answers["/r"] = (403, headers, body)
        error: Any = refused(pages.link("/r"))
        assert r"Request has\n\x1b[1mexpired" in str(error)
        assert "may have expired" in str(error)
        assert (error.status_code, error.body) == (403, said.decode())
    pages.answers["/r"] = (503, {}, b"y" * 100_000)
    error = refused(pages.link("/r"))
    assert len(str(error)) < 600
    assert str(error).endswith("try again later")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 \x1b[2J\xe2\x80\xae\r\nContent-Length: 0\r\n\r\n",
        b"\x1b[2J no HTTP " + b"x" * 50_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J" + b"z" * 100_000,
        b"HTTP/1.1 302 No\r\nLocation: " + b"j" * 5000 + b":\r\n\r\n",
    ],
)
def test_errors_of_a_download_are_escaped_and_short(answer: bytes) -> None:
    """No error of a download shows a control character of the server's, or all of what it has sent."""
    with RawServer(serve(answer, [])) as server:
        error = refused(f"http://127.0.0.1:{server.port}/")
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert len(pickle.dumps(error)) < 5000
    assert error.__cause__ is None or len(str(error.__cause__)) < 1000


def test_fetch_with_a_private_authority(tmp_path: pathlib.Path) -> None:
    """`ca_bundle` is trusted in place of the system's; a client's `fetch()` has the client's."""
    authority, bundle = trustme.CA(), tmp_path / "private.pem"
    authority.cert_pem.write_to_path(bundle)
    requests: list[bytes] = []
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    with RawServer(serve(answer, requests), server_tls(authority, "localhost")) as server:
        link = f"https://localhost:{server.port}/"
        assert "not trusted" in str(refused(link))
        assert result(link).fetch(ca_bundle=bundle).fetched == {"a": 1}
        with Client("the-secret-token", ca_bundle=bundle) as client:
            assert client.fetch(result(link)).fetched == {"a": 1}
        assert "ca_bundle is not a file" in str(refused(link, ca_bundle=tmp_path / "none"))
        (tmp_path / "text").write_text("nothing")
        assert "PEM" in str(refused(link, ca_bundle=tmp_path / "text"))
    assert len(requests) == 2
    assert b"secret" not in b"".join(requests)


def test_fetch_through_a_proxy_of_ones_own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`proxy` is asked, and not the environment's; so does a client's `fetch()`. Its password is told nowhere."""
    authority, bundle = trustme.CA(), tmp_path / "private.pem"
    authority.cert_pem.write_to_path(bundle)
    inner = serve(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}', [])
    tls = server_tls(authority, "results.example")

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 Yes\r\n\r\n")
        inside = Connection(tls.wrap_socket(connection.sock, server_side=True))
        inner(inside)
        inside.cut()

    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    link = "https://results.example/r"
    with RawServer(script) as proxy:
        address = f"http://user:p%40ssword@127.0.0.1:{proxy.port}"
        assert result(link).fetch(proxy=address, ca_bundle=bundle).fetched == {"a": 1}
        with Client("any-token", proxy=address, ca_bundle=bundle) as client:
            assert client.fetch(result(link)).fetched == {"a": 1}
        assert len(proxy.connections) == 2
        with watching_for("ssword") as leaks:
            leaks.look_at_error(refused(link, proxy=address))
    refusal = b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nContent-Length: 12\r\n\r\nno, p@ssword"
    with RawServer(serve(refusal, [])) as proxy, watching_for("ssword") as leaks:
        error = refused(link, proxy=f"http://user:p%40ssword@127.0.0.1:{proxy.port}")
        leaks.look_at_error(error)
    assert leaks.found == []
    assert "wants NTLM" in str(error)
    assert "http://" in str(refused(link, proxy="socks5://127.0.0.1:1"))


def test_interim_answers_to_a_download() -> None:
    """100, 102 and 103 before a download's answer are passed over."""
    interim = b"".join(b"HTTP/1.1 %d Wait\r\nLink: </a>\r\n\r\n" % status for status in (100, 102, 103))
    with RawServer(serve(interim + b"HTTP/1.1 200 OK\r\n\r\n{}", [])) as server:
        assert result(f"http://127.0.0.1:{server.port}/").fetch().fetched == {}


def test_a_link_that_is_not_ascii(pages: Pages) -> None:
    """A link's path that isn't ASCII is asked for as browsers do."""
    pages.answers["/%C3%BC?%C3%A9=1"] = (200, {}, b"{}")
    assert result(pages.link("/\u00fc?\u00e9=1")).fetch().fetched == {}


def test_an_unreadable_download_is_not_kept(pages: Pages) -> None:
    """An error about a download that is no JSON quotes its beginning, and holds no more of it."""
    pages.answers["/r"] = (200, {}, b"<html>\n" + b"x" * 5_000_000)
    error: Any = refused(pages.link("/r"))
    assert r"'<html>\nxxx" in str(error)
    assert len(pickle.dumps(error)) < 5000
    assert not hasattr(error.__cause__, "doc")
    assert not hasattr(error.__context__, "doc")
