"""Faults beside the server's own: networks, stopped processes, files that change, and when to try again."""

from __future__ import annotations

import contextlib
import datetime
import functools
import multiprocessing
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple
from urllib.parse import urlsplit

import pytest
import trustme
from addresses import black_hole, needs_black_holes
from commands import interrupt, measure_no_children, posix, started, unmeasured
from faults import reach
from rawserver import CLOSE, PING, PONG, SUCCESS, Connection, RawServer

from elsa_unscripted import ConnectError, RateLimitedError, ScoreTimeoutError, StreamClosedError, score
from elsa_unscripted.cli.main import main
from elsa_unscripted.sandbox import Sandbox

GUARD = 20.0  # s beyond what is promised, for a busy machine


@needs_black_holes
def test_black_hole(short: Path) -> None:
    """A host that swallows packets costs connect_timeout, retries included, and leaves no thread."""
    with black_hole() as port:
        started = time.monotonic()
        with pytest.raises(ConnectError, match="timed out"):
            score(short, "any", url=f"ws://127.0.0.1:{port}", connect_timeout=0.5)
        assert 0.4 < time.monotonic() - started < 0.5 + GUARD


def test_black_hole_proxy(short: Path) -> None:
    """A proxy that accepts and says nothing costs connect_timeout."""
    with RawServer(lambda connection: connection.wait(30)) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectError, match="timed out"):
            score(short, "any", url="wss://api.example", proxy=address, connect_timeout=0.4)


def test_expired_certificate(short: Path, tmp_path: Path) -> None:
    """A certificate that has expired ends the connection, and the message says so."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=yesterday).configure_cert(context)
    with RawServer(lambda connection: connection.start(), context) as server:
        with pytest.raises(ConnectError, match="expired"):
            score(short, "any", url=server.url, ca_bundle=tmp_path / "ca.pem")
        assert server.connections == []


def _serve(pipe: Any) -> None:
    with Sandbox("slow=60") as sandbox:
        pipe.send(sandbox.url)
        pipe.recv()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("phase", ["connect", "audio", "result"])
def test_half_open_peer(phase: str, speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server process that is stopped in mid-exchange, its socket still open, costs timeout and close_timeout."""
    measure_no_children(monkeypatch)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    url = ours.recv()
    assert process.pid is not None

    @functools.lru_cache(None)
    def stop() -> None:
        os.kill(process.pid or 0, signal.SIGSTOP)
        os.waitpid(process.pid or 0, os.WUNTRACED)  # until it stands still

    # A process that is stopped before: the kernel accepts, and nobody shakes hands.
    error = ConnectError if phase == "connect" else ScoreTimeoutError
    callbacks: Dict[str, Any] = {}
    try:
        if phase == "connect":
            stop()
        else:
            callbacks = {"on_progress" if phase == "audio" else "on_status": _at(phase, stop)}
        started = time.monotonic()
        with pytest.raises(error):
            score(
                speech,
                "any",
                url=url,
                speed=10,
                timeout=1.0,
                connect_timeout=1.0,
                close_timeout=0.3,
                **callbacks,
            )
        assert time.monotonic() - started < 1.0 + 0.33 + 1.0 + 0.3 + GUARD
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.join(10)
        ours.close()
        theirs.close()


def _at(phase: str, act: Callable[[], object]) -> Callable[..., None]:
    def progress(sent: float, total: float) -> None:
        if sent > 1:
            act()

    def status(given: object) -> None:
        if getattr(given, "message", None):
            act()

    return progress if phase == "audio" else status


HUGE = """
import resource, sys
from elsa_unscripted import ProtocolError, score
audio, url = sys.argv[1:]
score(audio, "any", url=url + "/healthy", speed=None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    score(audio, "any", url=url, speed=None)
except ProtocolError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, str(64 * 2**20) in str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
@pytest.mark.parametrize("fragments", [False, True])
def test_a_gigabyte_of_message(fragments: bool, short: Path) -> None:
    """A message of 1 GB, in one frame or in many, is refused before it fills the memory."""
    sent: List[int] = []

    def script(connection: Connection) -> None:
        healthy = b"/healthy" in connection.read_request()
        connection.start()
        connection.read_until_end()
        if healthy:
            connection.send(SUCCESS)
            connection.finish()
            return
        block = b" " * 2**20
        if not fragments:
            connection.send_raw(b"\x81\x7f" + (2**30).to_bytes(8, "big"))
        for number in range(1024):
            if fragments:
                connection.send(block, 0 if number else 1, fin=number == 1023)
            else:
                connection.send_raw(block)
            sent.append(number)

    with RawServer(script) as server:
        command = [sys.executable, "-c", HUGE, str(short), server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    kibibytes, told = done.stdout.split()
    assert told == "True"
    assert int(kibibytes) < (64 * 2 + 60) * 1024  # what has come, and once more while it is joined
    assert len(sent) < 200


def _answers(*answers: bytes) -> Tuple[List[float], Callable[[Connection], None]]:
    times: List[float] = []

    def script(connection: Connection) -> None:
        connection.read_request()
        times.append(time.monotonic())
        if len(times) <= len(answers):
            connection.send_raw(answers[len(times) - 1])
            return
        connection.start()
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    return times, script


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int, form: str, short: Path) -> None:
    """Retry-After, in seconds or as an HTTP date, is waited for within connect_timeout, and then all goes well."""
    given = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    times, script = _answers(f"HTTP/1.1 {status} Later\r\nRetry-After: {given}\r\n\r\n".encode())
    with RawServer(script) as server:
        assert score(short, "any", url=server.url, speed=None).status == "success"
    assert len(times) == 2
    assert times[1] - times[0] > 0.9


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_beyond_the_budget(form: str, short: Path) -> None:
    """A Retry-After that connect_timeout has no room for is told at once."""
    given = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    times, script = _answers(f"HTTP/1.1 429 Later\r\nRetry-After: {given}\r\n\r\n".encode())
    with RawServer(script) as server, pytest.raises(RateLimitedError) as caught:
        score(short, "any", url=server.url)
    assert caught.value.retry_after == pytest.approx(3600, abs=60)
    assert len(times) == 1


def _header(form: str) -> str:
    now = time.time()
    forms = {
        "seconds since 1970": f"{now + 300:.0f}",
        "milliseconds since 1970": f"{(now + 300) * 1e3:.0f}",
        "microseconds since 1970": f"{(now + 300) * 1e6:.0f}",
        "a date without a zone": formatdate(now + 300).replace("-0000", "").strip(),
        "a date of ISO 8601": datetime.datetime.fromtimestamp(now + 300, datetime.timezone.utc).isoformat(),
        "300.0": "300.0",
    }
    return forms.get(form, form)


@pytest.mark.parametrize(
    "form",
    [
        *("seconds since 1970", "milliseconds since 1970", "microseconds since 1970"),
        *("a date without a zone", "a date of ISO 8601", "300.0"),
    ],
)
def test_retry_after_in_another_form(form: str, short: Path) -> None:
    """A Retry-After that can only be a point in time is read as one, whatever its unit."""
    _, script = _answers(f"HTTP/1.1 429 Later\r\nRetry-After: {_header(form)}\r\n\r\n".encode())
    with RawServer(script) as server, pytest.raises(RateLimitedError, match=r"again in (29|30)\d s") as caught:
        score(short, "any", url=server.url)
    assert caught.value.retry_after == pytest.approx(300, abs=30)


@pytest.mark.parametrize(
    "value",
    ["9" * 400, "123456789", "-5", "soon", "30s", "1e3", "\u00b2", "0x10", "1,000", "Fri, 31 Dec 9999 23:59:59 GMT"],
)
def test_retry_after_that_makes_no_sense(value: str, short: Path) -> None:
    """A Retry-After that nobody can mean is as none: the ordinary back-off is waited for, and no number is told."""
    answer = f"HTTP/1.1 429 Later\r\nRetry-After: {value}\r\n\r\n".encode("latin-1")
    times, script = _answers(answer, answer)
    with RawServer(script) as server, pytest.raises(RateLimitedError, match="try again later") as caught:
        score(short, "any", url=server.url, connect_retries=1)
    assert caught.value.retry_after is None
    assert times[1] - times[0] < 5


def test_retry_after_in_the_past(short: Path) -> None:
    """A moment that is over is no wait."""
    past = f"HTTP/1.1 503 Later\r\nRetry-After: {time.time() - 60:.0f}\r\n\r\n".encode()
    date = b"HTTP/1.1 503 Later\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    times, script = _answers(past, date)
    with RawServer(script) as server:
        assert score(short, "any", url=server.url, speed=None).status == "success"
    assert times[2] - times[0] < 5


def _balancer(idle: float, server: str) -> Callable[[Connection], None]:
    """Returns the script of a load balancer, which cuts connections `idle` seconds after the client's last byte."""

    def script(connection: Connection) -> None:
        address = urlsplit(server)
        with socket.create_connection((str(address.hostname), int(address.port or 0))) as onward:
            ends: Dict[socket.socket, Callable[[bytes], object]] = {
                connection.sock: onward.sendall,
                onward: connection.send_raw,
            }
            last = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # the latter of a socket that was closed meanwhile
                while (left := last + idle - time.monotonic()) > 0:
                    # What TLS has read already wakes no `select`, but one `recv` takes all of it.
                    for end in select.select(list(ends), [], [], left)[0]:
                        data = end.recv(65536)
                        if not data:
                            raise ConnectionResetError
                        if end is connection.sock:
                            last = time.monotonic()
                        ends[end](data)
            connection.cut()

    return script


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
def test_a_load_balancer_that_cuts_silent_connections(tls: bool, short: Path, tmp_path: Path) -> None:
    """While the verdict is awaited, `ping_interval` keeps the connection; without it the error tells of the silence."""
    options: Dict[str, Any] = {"speed": None, "connect_retries": 0}
    context = None
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        options["ca_bundle"] = tmp_path / "ca.pem"
    with Sandbox("slow=3.5") as sandbox, RawServer(_balancer(2.0, sandbox.url), context) as balancer:
        options["url"] = balancer.url.replace("/api", urlsplit(sandbox.url).path)
        with pytest.raises(StreamClosedError, match=r"cut after \d(\.\d)? s of silence.*ping_interval") as caught:
            score(short, "any", **options)
        assert caught.value.possibly_billed
        assert score(short, "any", ping_interval=0.2, **options).status == "success"


def test_no_pings_by_default(short: Path) -> None:
    """Nothing is sent while the verdict is awaited, as by the reference client; pings only with `ping_interval`."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.sock.settimeout(0.7)
        with contextlib.suppress(socket.timeout):
            connection.read_frame()
        connection.sock.settimeout(None)
        connection.send(SUCCESS)
        connection.finish()

    for interval in (None, 0.1):
        with RawServer(script) as server:
            score(short, "any", url=server.url, speed=None, ping_interval=interval)
            pings = [frame for frame in server.connections[0].frames if frame.opcode == PING]
        assert (len(pings) > 0) == (interval is not None)
        assert all(frame.payload == b"" for frame in pings)
    with RawServer(script) as server:
        command = ["score", str(short), "--token", "any", "--url", server.url, "--speed", "max", "-o", os.devnull]
        assert main([*command, "--ping-interval", "0.1"]) == 0
        assert PING in [frame.opcode for frame in server.connections[0].frames]


def test_pings_do_not_displace_pongs(short: Path) -> None:
    """The server's pings are answered, with what they hold, while we send ours."""
    answered: List[bytes] = []

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        for number in range(50):
            connection.send(b"%d" % number, PING)
            while (frame := connection.read_frame()).opcode != PONG:
                assert frame.opcode == PING
                connection.send(frame.payload, PONG)
            answered.append(frame.payload)
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        score(short, "any", url=server.url, speed=None, ping_interval=0.001)
    assert answered == [b"%d" % number for number in range(50)]


def test_a_cut_without_silence_blames_no_load_balancer(short: Path) -> None:
    """A connection that is cut at once is told without a word about silence."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.cut()

    with RawServer(script) as server, pytest.raises(StreamClosedError, match="was cut, before a verdict") as caught:
        score(short, "any", url=server.url, speed=None)
    assert "ping_interval" not in str(caught.value)


@pytest.mark.slow(everywhere=True)
def test_backoff_grows(short: Path) -> None:
    """Without Retry-After, the waits between attempts grow."""
    times, script = _answers(*[b"HTTP/1.1 503 No\r\n\r\n"] * 3)
    with RawServer(script) as server:
        assert score(short, "any", url=server.url, speed=None, connect_retries=3).status == "success"
    first, _, third = (later - sooner for sooner, later in zip(times, times[1:]))
    assert first < 0.25 * 1.5 + GUARD
    assert third > first * 0.8


@pytest.mark.parametrize("change", ["deleted", "growing", "emptied"])
def test_file_that_changes_while_it_streams(change: str, speech: Path, tmp_path: Path) -> None:
    """A file that is deleted, grows or is emptied in mid-stream is sent as it was when the call began."""
    path = tmp_path / "speech.wav"
    shutil.copy(speech, path)

    def disturb(*_: object) -> None:
        if change == "deleted":
            path.unlink(missing_ok=True)
        elif change == "growing":
            with path.open("ab") as file:
                file.write(b"\1" * 10_000)
        else:
            path.write_bytes(b"")

    with Sandbox() as sandbox:
        score(path, "any", url=sandbox.url, speed=20, on_progress=disturb)
        assert sandbox.exchanges[-1].pcm == speech.read_bytes()[44:]


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.parametrize("program", ["elsa-unscripted", "the drop-in", "score()"])
@pytest.mark.parametrize("phase", ["connect", "start", "audio", "result"])
def test_interrupt_at_each_phase(program: str, phase: str, austen: Path, short: Path) -> None:
    """A real SIGINT ends each program at once with status 130, after a closing handshake, without a traceback."""
    reached = threading.Event()

    def script(connection: Connection) -> None:
        if phase == "connect":
            connection.read_request()
        else:
            reach(connection, phase)
        reached.set()
        with contextlib.suppress(ConnectionError):
            while connection.read_frame().opcode != CLOSE:
                pass
        connection.send_close()

    audio = str(austen if phase == "audio" else short)
    commands = {
        "elsa-unscripted": ["-m", "elsa_unscripted", "score", audio],
        "the drop-in": ["scripts/streaming_unscripted_client.py", "--token", "any", "--audio_path", audio],
        "score()": ["-c", INTERRUPTED, audio],
    }
    with RawServer(script) as server:
        url = {"ELSA_UNSCRIPTED_URL": server.url, "ELSA_API_TOKEN": "any"}
        with started(sys.executable, *commands[program], **url) as process:
            assert reached.wait(30)
            pressed = time.monotonic()
            status, out, err = interrupt(process)
        took = time.monotonic() - pressed
    assert (status, out.decode(), "Traceback" in err) == (130, "1 thread\n" if program == "score()" else "", False)
    assert took < 1 + GUARD
    if phase != "connect":
        assert server.connections[0].frames[-1] == (CLOSE, b"\x03\xe8")


INTERRUPTED = """
import sys, threading
from elsa_unscripted import score
try:
    score(sys.argv[1])
except KeyboardInterrupt:
    print(threading.active_count(), "thread")
    sys.exit(130)
"""


INTERRUPTED_AT_RANDOM = """
import logging, os, random, signal, socket, sys, threading, time
from elsa_unscripted import score

def free_locks():
    # On Python 3.14, Ctrl-C right after `with lock:` has taken the lock leaves it taken: those of Python's own modules
    # too, without which no thread starts.
    for lock in (threading._active_limbo_lock, logging._lock) if sys.version_info[:2] == (3, 14) else ():
        while lock._is_owned():
            lock.release()

def sockets():
    return sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in os.listdir("/proc/self/fd")
               if os.path.lexists(f"/proc/self/fd/{fd}"))

def left():
    until = time.monotonic() + 2
    while sockets() and time.monotonic() < until:
        time.sleep(0.01)
    return sockets()

signal.signal(signal.SIGALRM, signal.default_int_handler)
assert score(sys.argv[1], speed=100).status == "success" and not left()
interrupted = 0
for _ in range(150):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 0.012))
            score(sys.argv[1], speed=100)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException:
        interrupted += 1
    free_locks()
    assert not left()
print(interrupted > 50, score(sys.argv[1], speed=100, timeout=20).status)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for sockets in /proc")
def test_interrupts_at_random_moments_leave_no_connection(short: Path) -> None:
    """Real signals, wherever they come: each connection is cut, and the next recording is scored all the same."""
    with Sandbox() as sandbox:
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED_AT_RANDOM, str(short)],
            env=unmeasured(ELSA_UNSCRIPTED_URL=sandbox.url, ELSA_API_TOKEN="any"),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.stdout.split() == ["True", "success"], done.stderr


INTERRUPTED_IN_THE_CLOSE = """
import sys, threading, time
from elsa_unscripted import score
from elsa_unscripted.wire.transport import Transport

class Interrupt:
    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        if self.left and event == "return":
            caller = frame
            while caller is not None and caller.f_code is not Transport.close.__code__:
                caller = caller.f_back
            self.left -= caller is not None
            if not self.left:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

number, slow = 0, []
while True:
    number += 1
    interrupt = Interrupt(number)
    began = time.monotonic()
    sys.settrace(interrupt)
    try:
        score(sys.argv[1], speed=100)
    except KeyboardInterrupt:
        pass
    sys.settrace(None)
    if interrupt.left:
        break
    if time.monotonic() - began > 20 or threading.active_count() > 1:
        slow.append(number)
print(number > 10, slow)
"""


@pytest.mark.slow
def test_interrupts_at_each_step_of_the_close(short: Path) -> None:
    """Ctrl-C where any function in the closing handshake returns ends the call soon, and no thread goes on."""
    with Sandbox() as sandbox:
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED_IN_THE_CLOSE, str(short)],
            env=unmeasured(ELSA_UNSCRIPTED_URL=sandbox.url, ELSA_API_TOKEN="any"),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.stdout == "True []\n", done.stderr
