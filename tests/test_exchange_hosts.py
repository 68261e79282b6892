"""What the process around an exchange may do: signal handlers and log handlers that raise, error trackers, patches."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Iterator, Optional, Set, Tuple, Type

import pytest
from rawserver import CLOSE, SUCCESS, Connection, RawServer

import elsa_unscripted
from elsa_unscripted import Client, ConfigError, ConnectError, ElsaError, score, score_many

PACKAGE = os.path.dirname(elsa_unscripted.__file__)
TOKEN = "a-token/that=nobody~may.see"


def healthy(connection: Connection) -> None:
    connection.start()
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.finish()


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("elsa")]


class Handler:
    """Raises once in this thread, as a signal handler does, at the first place in our code that isn't in `reached`.

    Attributes:
        place: Where it has raised.
    """

    def __init__(self, rooms: Tuple[str, ...], kind: Type[BaseException], reached: Set[Any]) -> None:
        self.place: Optional[Tuple[str, int]] = None
        self._rooms = tuple(os.path.join(PACKAGE, *room.split("/")) for room in rooms)
        self._kind = kind
        self._reached = reached

    def __call__(self, number: Any, frame: FrameType) -> None:
        raise self._kind("a signal handler's")

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(self._rooms):
            return None
        if event == "line" and self.place is None:
            place = os.path.basename(frame.f_code.co_filename), frame.f_lineno
            if place not in self._reached:
                self.place = place
                self._reached.add(place)
                sys.settrace(None)
                self(0, frame)
        return self.trace


def interrupted(exchange: Any, rooms: Tuple[str, ...], kind: Type[BaseException]) -> Iterator[Tuple[Any, Any]]:
    """Makes an exchange for each place in `rooms`, and raises there; yields the place and what came out."""
    reached: Set[Any] = set()
    before = sys.gettrace()
    while True:
        handler, came = Handler(rooms, kind, reached), None
        sys.settrace(handler.trace)
        try:
            exchange()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            came = f"{type(error).__name__}: {error}"
        finally:
            sys.settrace(before)
        if handler.place is None:
            break
        yield handler.place, came
    assert len(reached) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rooms"),
    [
        (TimeoutError, ("wire/",)),
        (RuntimeError, ("exchange/connector", "exchange/sender", "exchange/pacer", "wire/transport")),
    ],
)
def test_what_a_signal_handler_raises_comes_through(
    kind: Type[BaseException], rooms: Tuple[str, ...], short: Path
) -> None:
    """Wherever a handler raises, that comes out as itself: taken neither for a broken connection nor for no thread."""
    with RawServer(healthy) as server:
        for place, came in interrupted(
            lambda: score(short, TOKEN, url=server.url, speed=100, close_timeout=0.05), rooms, kind
        ):
            assert came == f"{kind.__name__}: a signal handler's", place


@pytest.mark.slow
def test_ctrl_c_while_an_error_is_handled(short: Path) -> None:
    """Ctrl-C between an error and the shut-down that follows it leaves no thread."""

    def silent(connection: Connection) -> None:
        connection.start()
        connection.read_until_closed()

    with RawServer(silent) as server:
        for place, _ in interrupted(
            lambda: score(short, TOKEN, url=server.url, speed=None, timeout=0.05, close_timeout=0.05),
            ("exchange/client", "exchange/conversation"),
            KeyboardInterrupt,
        ):
            until = time.monotonic() + 2
            while own_threads() and time.monotonic() < until:
                time.sleep(0.001)
            assert own_threads() == [], place


class Full(logging.Handler):
    """A log handler of the host that raises."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("no space left on the disk of the logs")


def test_a_log_handler_that_raises_in_the_background(short: Path) -> None:
    """Lines of the connection's thread that can't be logged cost neither the verdict nor time."""
    logger, handler = logging.getLogger("elsa_unscripted"), Full(logging.DEBUG)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    began = time.monotonic()
    try:
        with RawServer(healthy) as server:
            assert score(short, TOKEN, url=server.url, speed=None, timeout=20).status == "success"
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("end", ["verdict", "late", "error"])
def test_a_clean_up_that_fails(end: str, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host has patched what a shut-down needs, the verdict comes all the same, or the error before it."""
    join = threading.Thread.join

    def broken(thread: threading.Thread, timeout: Optional[float] = None) -> None:
        join(thread, timeout)
        if thread.name == "elsa-websocket":
            raise AttributeError("_GreenThread has no such thing")

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        if end == "verdict":
            connection.send(SUCCESS)
        while connection.read_frame().opcode != CLOSE:
            pass
        if end == "late":
            connection.send(SUCCESS)
        connection.send_close()

    monkeypatch.setattr(threading.Thread, "join", broken)
    with RawServer(script) as server:
        try:
            came = score(short, TOKEN, url=server.url, speed=None, timeout=1, close_timeout=1).status
        except ElsaError as error:
            came = type(error).__name__
        assert own_threads() == []
        monkeypatch.undo()
    assert came == ("ScoreTimeoutError" if end == "error" else "success")


# What error trackers show of a traceback: the local variables of each frame.


def shown(error: Optional[BaseException]) -> Iterator[str]:
    """Yields the local variables of our frames, below `score()` and `Client()`, of an error and what it came from."""
    while error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            ours = code.co_filename.startswith(PACKAGE) or code.co_name == "__init__"
            outermost = code.co_filename == os.path.join(PACKAGE, "api.py") or isinstance(
                traceback.tb_frame.f_locals.get("self"), Client
            )
            if ours and not outermost:
                yield from (f"{code.co_name}: {name}={value!r}" for name, value in traceback.tb_frame.f_locals.items())
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__


def _answer(head: bytes) -> Any:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(head)

    return script


def _reset(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.reset()


@pytest.mark.parametrize(
    "script",
    [_answer(b"HTTP/1.1 401 No\r\n\r\n"), _answer(b""), _answer(b"SSH\r\n"), _answer(b"HTTP/1.1 101\r\n\r\n"), _reset],
)
def test_no_local_variable_shows_the_token(script: Any, short: Path) -> None:
    """No frame of a refused connection's traceback has the token among its variables."""
    with RawServer(script) as server, pytest.raises(ConnectError) as caught:
        score(short, TOKEN, url=server.url, connect_retries=0)
    assert [text for text in shown(caught.value) if TOKEN in text] == []


@pytest.mark.parametrize("wrong", [{"token": TOKEN + "\n"}, {"token": " " + TOKEN}, {"token": TOKEN, "timeout": -1}])
def test_no_local_variable_shows_the_token_of_a_wrong_option(wrong: dict[str, Any], short: Path) -> None:
    """Nor does any of the frames that check the options."""
    for call in (lambda: score(short, **wrong), lambda: Client(**wrong), lambda: score_many([short], **wrong)):
        with pytest.raises(ConfigError) as caught:
            call()
        assert [text for text in shown(caught.value) if TOKEN in text] == []


@pytest.mark.parametrize("head", [b"HTTP/1.1 407 No\r\n\r\n", b"", b"SSH\r\n"])
def test_no_local_variable_shows_a_proxys_password(head: bytes, short: Path) -> None:
    """Nor does any have the password of the proxy, plain or encoded."""
    with RawServer(_answer(head)) as server:
        proxy = f"http://user:pass-word@127.0.0.1:{server.port}"
        with pytest.raises(ConnectError) as caught:
            score(short, TOKEN, url="wss://api.example/", proxy=proxy, connect_retries=0)
    assert [text for text in shown(caught.value) if "pass-word" in text or "dXNlcjpwYXNz" in text] == []
