"""The error tree: its shape, its facts, its way through pickle."""

from __future__ import annotations

import builtins
import copy
import errno
import pickle
import socket
import ssl
import threading
from typing import Any

import pytest
import websocket

from elsa_unscripted import exceptions
from elsa_unscripted.exceptions import (
    AuthenticationError,
    BadQualityError,
    ConfigError,
    ConnectError,
    ElsaError,
    ProtocolError,
    RateLimitedError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)
from elsa_unscripted.wire.messages import Status

PASSING: list[ElsaError] = [
    *[
        ConnectError("refused"),
        ConnectError("full", status_code=503),
        ConnectError("origin", status_code=522),
        RateLimitedError("slower", status_code=429),
    ],
    *[
        StreamClosedError("cut"),
        StreamClosedError("restarts", code=1012),
        StreamClosedError("busy", code=4429),
        ScoreTimeoutError("late"),
    ],
    *[ProtocolError("half a message"), exceptions.ScoreCancelledError("stopped"), exceptions.BudgetError("spent")],
]
LASTING: list[ElsaError] = [
    *[ConfigError("no"), exceptions.AudioError("empty"), AuthenticationError("who?", status_code=401)],
    AuthenticationError("who?"),
    *[ConnectError("moved", status_code=302), ConnectError("not there", status_code=404)],
    *[StreamClosedError("too big", code=1009), StreamClosedError("not you", code=1008)],
    *[StreamClosedError("who?", code=code) for code in (4001, 4003, 4400, 4401, 4403, 4499)],
    *[ScoringFailedError("failed"), BadQualityError("noise"), exceptions.JournalError("is none"), ElsaError("?")],
]

KINDS: list[type[ElsaError]] = [getattr(exceptions, name) for name in exceptions.__all__]


def drawn() -> dict[str, set[str]]:
    """Reads the tree of the module's docstring: class → bases."""
    bases: dict[str, set[str]] = {}
    path: list[str] = []
    for line in str(exceptions.__doc__).splitlines():
        indent, branch, rest = line.rpartition("── ")
        if not branch and line != "ElsaError":
            continue
        depth = (len(indent) + 3) // 4 if branch else 0
        name, _, comment = rest.partition(" ")
        path[depth:] = [name]
        bases[name] = {path[depth - 1]} if depth else {"Exception"}
        if comment.strip().startswith("("):
            bases[name].add(comment.strip()[1:].partition(")")[0])
    return bases


def make(kind: type[ElsaError]) -> ElsaError:
    error = kind(f"a {kind.__name__}; do this")
    error.phase = "audio"
    error.stream_id = "stream-1"
    error.audio_seconds = 3.28
    error.audio_seconds_sent = 1.5
    error.possibly_billed = True
    error.statuses = (Status({"status": "processing", "stream_id": "stream-1"}, "{}"),)
    extras: dict[str, Any] = {"status_code": 429, "retry_after": 2.5, "code": 1011, "reason": "worn out"}
    for name, value in extras.items():
        if hasattr(error, name):
            setattr(error, name, value)
    return error


def test_the_tree_is_as_drawn() -> None:
    """The docstring draws each class and each base, and no other."""
    classes = {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in KINDS}
    assert drawn() == classes


def test_every_class_is_listed() -> None:
    """`__all__` holds each error class of the module."""
    defined = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, ElsaError)]
    assert set(defined) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (ConfigError, ValueError),
        (ScoreTimeoutError, builtins.TimeoutError),
        (AuthenticationError, ConnectError),
        (RateLimitedError, ConnectError),
        (BadQualityError, ScoringFailedError),
    ],
)
def test_errors_are_caught_by_what_callers_know(kind: type[ElsaError], base: type[Exception]) -> None:
    """`except ValueError`, `except TimeoutError` and the parents in the tree catch what they promise."""
    with pytest.raises(base, match="do this") as caught:
        raise make(kind)
    assert type(caught.value) is kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_the_message(kind: type[ElsaError]) -> None:
    """`str(error)` is the message and nothing else; an error without one is empty text."""
    assert str(kind("what to do next")) == "what to do next"
    assert str(kind()) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_facts_have_harmless_defaults(kind: type[ElsaError]) -> None:
    """An error that was raised before anything happened says so."""
    error = kind("x")
    assert (error.phase, error.stream_id, error.statuses) == (None, None, ())
    assert (error.audio_seconds, error.audio_seconds_sent, error.possibly_billed) == (None, 0.0, False)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickle(kind: type[ElsaError], protocol: int) -> None:
    """An error comes back from a worker process with every attribute, its message and its cause."""
    error = make(kind)
    error.__cause__ = ConnectionResetError(104, "reset by peer")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert {"phase", "stream_id", "audio_seconds_sent", "possibly_billed", "statuses"} <= set(vars(again))
    assert type(again.__cause__) is ConnectionResetError
    assert again.__cause__.args == (104, "reset by peer")


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (ConnectError("x", status_code=503, retry_after=1.5), "status_code", 503),
        (RateLimitedError("x", status_code=429, retry_after=1.5), "retry_after", 1.5),
        (StreamClosedError("x", code=4001, reason="why"), "code", 4001),
        (StreamClosedError("x", code=4001, reason="why"), "reason", "why"),
        (BadQualityError("x", reason="noise"), "reason", "noise"),
    ],
)
def test_own_attributes_travel(error: ElsaError, name: str, value: object) -> None:
    """What a constructor takes is an attribute, before and after pickle and copy."""
    for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert getattr(each, name) == value


def test_a_chain_of_causes_survives_pickle() -> None:
    """The cause of the cause comes along as well."""
    inner, middle, outer = ValueError("inner"), ProtocolError("middle"), StreamClosedError("outer")
    outer.__cause__, middle.__cause__ = middle, inner
    again = pickle.loads(pickle.dumps(outer))
    assert str(again.__cause__) == "middle"
    assert repr(again.__cause__.__cause__) == repr(inner)


class Unloadable(Exception):
    """Pickles, but does not come back: what its constructor needs isn't in `args`."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def test_a_cause_that_cannot_travel_is_left_behind() -> None:
    """A foreign cause that can't be pickled, or not unpickled, costs the cause only, never the error."""
    locked = OSError("holds a lock")
    locked.lock = threading.Lock()  # type: ignore[attr-defined]
    for cause in (locked, Unloadable("a", "b")):
        error = make(StreamClosedError)
        error.__cause__ = cause
        again = pickle.loads(pickle.dumps(error))
        assert vars(again) == vars(error)
        assert again.__cause__ is None


@pytest.mark.parametrize("error", [*PASSING, *LASTING], ids=repr)
def test_errors_say_whether_the_same_can_succeed_later(error: ElsaError) -> None:
    """`retryable` is True where the cause may pass by itself, also after pickle; False where something must change."""
    assert error.retryable is (error in PASSING)
    assert pickle.loads(pickle.dumps(error)).retryable is error.retryable


def test_causes_say_whether_the_same_can_succeed_later() -> None:
    """A certificate that isn't trusted stays; files and sockets are there again later."""
    for cause, passes in (
        (ssl.SSLCertVerificationError("self-signed"), False),
        (ssl.SSLError("wrong version number"), False),
        (ssl.SSLEOFError("cut"), True),
        (websocket.WebSocketException("no WebSocket"), False),
        (ValueError("no HTTP"), False),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), True),
        (ConnectionRefusedError(), True),
    ):
        error = ConnectError("not connected")
        error.__cause__ = cause
        assert error.retryable is passes, cause
    for kind in (exceptions.AudioError, ConnectError, exceptions.JournalError):
        lacking = kind("too many open files")
        lacking.__cause__ = OSError(errno.EMFILE, "Too many open files")
        assert lacking.retryable
    busy = exceptions.JournalError("the journal 'x' is in use by another batch")
    busy.__cause__ = BlockingIOError()
    assert busy.retryable
