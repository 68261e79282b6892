"""Dialling a host that has several addresses: in parallel, in bounded time, with the one that worked last first."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from addresses import BROADCAST, black_hole, black_holes, closed_port, connecting_to, needs_black_holes, resolve
from rawserver import SUCCESS, Connection, RawServer

from elsa_unscripted import Client, ConnectError, ScoreCancelledError, score, score_many
from elsa_unscripted.deadline import Deadline
from elsa_unscripted.wire.dial import Socket, in_order

URL = "ws://localhost:1/"  # `resolve` gives the ports


def healthy(connection: Connection) -> None:
    connection.start()
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.finish()


# Several addresses.


@needs_black_holes
def test_a_dead_address_costs_a_moment(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """One dead address of two costs a quarter of a second, and not a share of connect_timeout."""
    with black_hole() as hole, RawServer(healthy) as server:
        resolve(monkeypatch, hole, server.port)
        result = score(short, "any", url=URL, speed=None, connect_timeout=60)
    assert result.timings.connect is not None
    assert 0.2 < result.timings.connect < 4


@needs_black_holes
def test_no_address_is_starved(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more dead addresses than there is time for at 250 ms each, the last address is still tried."""
    with black_holes(7) as holes, socket.create_server(("127.0.0.1", 0)) as listener:
        resolve(monkeypatch, *holes, listener.getsockname()[1])
        connection = Socket(Deadline(1.6))
        try:
            assert connection.dial("localhost", 1, None, None).getpeername() == listener.getsockname()
        finally:
            connection.close()


@needs_black_holes
def test_a_failure_starts_the_next_attempt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that refuse, or to which there is no way, cost no pause while another attempt is still going on."""
    with black_hole() as hole, socket.create_server(("127.0.0.1", 0)) as listener:
        refused = [closed_port() for _ in range(15)]
        away = [("255.255.255.255", port) for port in range(1, 16)]
        resolve(monkeypatch, hole, *refused, *away, listener.getsockname()[1])
        connection = Socket(Deadline(60))
        began = time.monotonic()
        try:
            assert connection.dial("localhost", 1, None, None).getpeername() == listener.getsockname()
        finally:
            connection.close()
    assert time.monotonic() - began < 3  # 31 pauses of 250 ms are 8 s


def test_families_take_turns() -> None:
    """Addresses of IPv6 and IPv4 are tried in turns, each family in the resolver's order, none twice (RFC 8305, 4)."""
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 443)) for number in range(4)]
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2001:db8::{number}", 443, 0, 0)) for number in range(2)]
    infos: List[Any] = [*six, *four, *six]
    turns = [six[0], four[0], six[1], four[1], four[2], four[3]]
    assert in_order(infos, None) == turns
    assert in_order(infos, ("192.0.2.1", 443)) == [four[1], six[0], four[0], six[1], four[2], four[3]]
    assert in_order(infos, ("192.0.2.77", 443)) == turns
    assert in_order([], ("192.0.2.77", 443)) == []


# The end.


@needs_black_holes
@pytest.mark.parametrize(
    ("order", "message", "cause"),
    [
        ("hole", "timed out connecting", TimeoutError),
        ("hole away", "timed out connecting", TimeoutError),
        ("away hole", "timed out connecting", TimeoutError),
        ("refused hole", "refused the connection", ConnectionRefusedError),
        ("hole refused away", "refused the connection", ConnectionRefusedError),
        ("refused away", "refused the connection", ConnectionRefusedError),
        ("away", "could not connect to localhost:1 .Network is unreachable", OSError),
    ],
)
def test_the_most_telling_failure_is_told(
    order: str, message: str, cause: Any, monkeypatch: pytest.MonkeyPatch, short: Path
) -> None:
    """When no address can be reached: a refusal rather than a time-out, and that rather than a way that is missing."""
    with black_hole() as hole:
        places: Dict[str, Any] = {"hole": hole, "refused": closed_port(), "away": BROADCAST}
        resolve(monkeypatch, *[places[name] for name in order.split()])
        patience = 3 if cause is ConnectionRefusedError else 1  # s: on a busy machine, a refusal comes late
        with pytest.raises(ConnectError, match=message) as caught:
            score(short, "any", url=URL, connect_timeout=patience, connect_retries=0)
    # The caller's thread may be the first to see the deadline: then there is no cause yet.
    assert isinstance(caught.value.__cause__, cause) or (cause is TimeoutError and caught.value.__cause__ is None)


@pytest.mark.slow(everywhere=True)
@needs_black_holes
def test_a_refusal_leaves_time_to_try_again(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """A server that is being restarted, beside an address that is dead, is asked again within connect_timeout."""
    with black_hole() as hole, RawServer(healthy) as server:
        resolve(monkeypatch, hole, closed_port())
        restart = threading.Timer(0.5, resolve, (monkeypatch, hole, server.port))
        restart.start()
        assert score(short, "any", url=URL, speed=None, connect_timeout=4).status == "success"
        restart.join()


@needs_black_holes
def test_dialling_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """cancel() ends a call that is dialling several addresses at once; no thread and no socket of it is left."""
    with black_holes(2) as holes, Client("any", url=URL, connect_timeout=60) as client:
        resolve(monkeypatch, *holes)
        before = [connecting_to(hole) for hole in holes]

        def cancel_when_both_are_tried() -> None:
            guard = time.monotonic() + 30
            while [connecting_to(hole) - 1 for hole in holes] != before and time.monotonic() < guard:
                time.sleep(0.01)
            client.cancel()

        watcher = threading.Thread(target=cancel_when_both_are_tried)
        watcher.start()
        began = time.monotonic()
        with pytest.raises(ScoreCancelledError):
            client.score(short)
        took = time.monotonic() - began
        watcher.join()
        assert [connecting_to(hole) for hole in holes] == before
    assert took < 20


@needs_black_holes
def test_losers_are_closed_before_the_token_is_sent(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """When the request with the token arrives, no attempt with another address is left that could still connect."""
    left: List[int] = []

    def script(connection: Connection) -> None:
        connection.read_request()
        left.append(connecting_to(hole))
        healthy(connection)

    with black_hole() as hole, RawServer(script) as server:
        resolve(monkeypatch, hole, server.port)
        before = connecting_to(hole)
        assert score(short, "any", url=URL, speed=None).status == "success"
    assert left == [before]


def test_failed_addresses_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, short: Path
) -> None:
    """A dead address of several is told at DEBUG: nothing else shows it, since the exchange succeeds."""
    caplog.set_level(logging.DEBUG, "elsa_unscripted")
    refused = closed_port()
    with RawServer(healthy) as server:
        resolve(monkeypatch, refused, server.port)
        score(short, "any", url=URL, speed=None)
    (line,) = [record.getMessage() for record in caplog.records if "could not connect" in record.getMessage()]
    assert str(refused) in line


# The address that worked.


def connections(*servers: RawServer) -> Tuple[int, ...]:
    return tuple(len(server.connections) for server in servers)


def test_a_client_begins_with_the_address_that_worked(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Not with the resolver's first; with an address that the resolver no longer gives, nothing is done."""
    with RawServer(healthy) as one, RawServer(healthy) as other, Client("any", url=URL, speed=None) as client:
        resolve(monkeypatch, closed_port(), other.port)
        client.score(short)
        resolve(monkeypatch, one.port, other.port)
        client.score(short)
        assert connections(one, other) == (0, 2)
        resolve(monkeypatch, one.port)
        client.score(short)
        assert connections(one, other) == (1, 2)
        resolve(monkeypatch, other.port, one.port)
        client.score(short)
        assert connections(one, other) == (2, 2)
        with Client("any", url=URL, speed=None) as another:
            another.score(short)
        assert connections(one, other) == (2, 3)


def test_a_batch_begins_with_the_address_that_worked(
    monkeypatch: pytest.MonkeyPatch, short: Path, speech: Path
) -> None:
    """The second recording goes to the address that served the first."""
    with RawServer(healthy) as one, RawServer(healthy) as other:
        resolve(monkeypatch, closed_port(), other.port)
        for outcome in score_many([short, speech], "any", url=URL, speed=None, max_workers=1):
            assert outcome.error is None
            resolve(monkeypatch, one.port, other.port)
        assert connections(one, other) == (0, 2)


def test_an_address_that_fails_is_forgotten(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """A server that still takes connections but no longer serves isn't asked again before the resolver's first."""
    served: List[int] = []

    def script(connection: Connection) -> None:
        served.append(1)
        if len(served) == 1:
            healthy(connection)
        else:
            connection.read_request()
            connection.send_raw(b"HTTP/1.1 503 Overloaded\r\n\r\n")

    with RawServer(script) as failing, RawServer(healthy) as first, Client("any", url=URL, speed=None) as client:
        resolve(monkeypatch, failing.port)
        client.score(short)
        resolve(monkeypatch, first.port, failing.port)
        client.score(short)
    assert connections(first, failing) == (1, 2)


def test_a_proxys_address_is_remembered(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Through a proxy it is the proxy's address that is remembered."""

    def tunnel(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 200 Yes\r\n\r\n")
        connection.request = b""
        healthy(connection)

    with RawServer(tunnel) as one, RawServer(tunnel) as other:
        with Client("any", url="ws://127.0.0.1:1/", proxy="http://localhost:1", speed=None) as client:
            resolve(monkeypatch, other.port)
            client.score(short)
            resolve(monkeypatch, one.port, other.port)
            client.score(short)
    assert connections(one, other) == (0, 2)
