"""The sandbox records exchanges, and replays them; shown with our client, the drop-in and a bare WebSocket client."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import html
import http.client
import io
import itertools
import json
import random
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import wave
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from addresses import closed_port
from commands import COMMAND, SCRIPT, SECOND, full_disk, interrupt, posix, run, started
from rawserver import BINARY, PING, STREAM_ID, SUCCESS, TEXT, Connection, RawServer, frame
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from elsa_unscripted import ConnectError, StreamClosedError, score
from elsa_unscripted.sandbox import Exchange, Sandbox, TapeError, assert_sent
from elsa_unscripted.sandbox.tape.format import append
from elsa_unscripted.sandbox.tape.frames import Frames

TOKEN = 'a-secret/token+of<mine>&"yours"'
PLAIN_TOKEN = "0123-the-secret-token"
CONFIG = '{"api_plan":"standard","return_json":true}'
PREMIUM = '{"api_plan":"premium","return_json":true}'
END_STREAM = '{"type": "ELSA:end_stream"}'
PATIENCE = 30.0  # s: a hang guard, never an expectation
RATE = 16000


@pytest.fixture(name="tape")
def _tape(tmp_path: Path) -> Path:
    return tmp_path / "tape.jsonl"


def packet(pcm: bytes, rate: int = RATE, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.writeframes(pcm)
    return buffer.getvalue()


def noise(seconds: float, seed: int = 0) -> bytes:
    """Returns PCM that is the same for a seed: mono, 16 kHz, 16 bit."""
    return random.Random(seed).randbytes(round(seconds * RATE) * 2)


def packets(pcm: bytes, seconds: float = 0.5) -> list[bytes]:
    size = round(seconds * RATE) * 2
    return [packet(pcm[at : at + size]) for at in range(0, len(pcm), size)]


def talk(
    url: str,
    pcm: bytes,
    config: str = CONFIG,
    *,
    seconds: float = 0.5,
    pause: float = 0.0,
    token: str = PLAIN_TOKEN,
    end: bool = True,
) -> list[Any]:
    """Streams PCM with a bare client; returns the messages after the greeting, up to a verdict or the end."""
    headers = {"Authorization": f"ELSA {token}"}
    heard: list[Any] = []
    with connect(url, additional_headers=headers, open_timeout=PATIENCE) as client:
        client.send(config)
        while not heard or "stream_id" not in heard[-1]:
            heard.append(json.loads(client.recv(PATIENCE)))
        over = threading.Event()

        def send() -> None:
            for each in packets(pcm, seconds):
                if over.wait(pause):
                    return
                client.send(each)
            if end:
                client.send(END_STREAM)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while heard[-1].get("status") not in ("success", "failed", "bad_quality"):
                heard.append(json.loads(client.recv(PATIENCE)))
        except ConnectionClosed:
            pass
        finally:
            over.set()
            sender.join(PATIENCE)
    return [message for message in heard if "type" not in message]


def without_links(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if not key.endswith("_link")}


def download(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=PATIENCE) as response:
        content: bytes = response.read()
        return content


def lines(tape: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tape.read_text(encoding="utf-8").splitlines()]


def record(tape: Path, scenario: str, *recordings: bytes, config: str = CONFIG, **options: Any) -> list[Any]:
    """Records exchanges with a sandbox of a scenario; returns their verdicts."""
    with Sandbox(scenario) as upstream, Sandbox(record=tape, upstream=upstream.url, **options) as sandbox:
        return [talk(sandbox.url, pcm, config)[-1] for pcm in recordings]


def by_our_client(url: str, audio: Path) -> Any:
    return without_links(dict(score(audio, PLAIN_TOKEN, url=url, speed=None)))


def by_the_drop_in(url: str, audio: Path) -> Any:
    arguments = ("--token", PLAIN_TOKEN, "--audio_path", str(audio), "--return_json")
    done = run(sys.executable, str(SCRIPT), *arguments, ELSA_UNSCRIPTED_URL=url)
    assert done.status == 0, done.err
    verdict = done.err.partition("INFO:root:success: ")[2]
    return without_links(json.JSONDecoder().raw_decode(verdict)[0])


def by_a_bare_client(url: str, audio: Path) -> Any:
    with wave.open(str(audio)) as file:
        return without_links(talk(url, file.readframes(file.getnframes()))[-1])


Way = Callable[[str, Path], Any]
WAYS: list[Way] = [by_our_client, by_the_drop_in, by_a_bare_client]


def test_a_real_recording_is_recorded_and_replayed(austen: Path, tape: Path) -> None:
    """The replayed result is the recorded one, links and what they lead to included, and no network is needed."""
    with Sandbox("example") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        recorded = score(austen, PLAIN_TOKEN, url=sandbox.url, speed=None)
        fetched = download(recorded["result_link"])
        assert upstream.exchanges[-1].pcm == sandbox.exchanges[-1].pcm
        assert upstream.exchanges[-1].headers["Authorization"] == f"ELSA {PLAIN_TOKEN}"
        assert recorded["result_link"].startswith(f"http://127.0.0.1:{sandbox.port}/")
        assert sandbox.exchanges[-1].close_code == 1000
    with Sandbox(replay=tape) as sandbox:
        replayed = score(austen, "another token", url=sandbox.url, speed=None)
        assert without_links(dict(replayed)) == without_links(dict(recorded))
        assert replayed["result_link"].startswith(f"http://127.0.0.1:{sandbox.port}/")
        assert download(replayed["result_link"]) == fetched
        with pytest.raises(urllib.error.HTTPError, match="404") as missing:
            download(replayed["audio_link"])
        with missing.value as error:
            assert b"not on the tape" in error.read()
        assert sandbox.exchanges[-1].verdict == dict(replayed)
        assert sandbox.exchanges[-1].seconds == pytest.approx(24.73)
    assert sandbox.unplayed == ()


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("recorder", WAYS)
def test_a_tape_works_for_any_client(recorder: Way, tape: Path) -> None:
    """What one client has recorded, each other gets replayed."""
    with Sandbox("example") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        recorder(sandbox.url, Path(SECOND))
    with Sandbox("example") as upstream:
        straight = [way(upstream.url, Path(SECOND)) for way in WAYS]
    with Sandbox(replay=tape) as sandbox:
        replayed = [way(sandbox.url, Path(SECOND)) for way in WAYS]
    assert replayed == straight


def test_the_tape_says_what_was_heard(tape: Path) -> None:
    """A begin line with config, format and hash; a line for each message with its cause; an end line."""
    pcm = noise(1.2)
    record(tape, "early=2", pcm)
    begin, *said, end = lines(tape)
    assert (begin["v"], begin["config"], begin["format"]) == (1, json.loads(CONFIG), [RATE, 1, 2])
    assert begin["sha256"] == hashlib.sha256(pcm[: 2 * begin["frames"]]).hexdigest()
    assert begin["seconds"] == begin["frames"] / RATE
    assert [line["after"] for line in said][:2] == ["open", "config"]
    verdict = said[-1]
    assert json.loads(verdict["text"])["status"] == "success"
    if verdict["after"] == "audio":  # the audio may all have come by then
        assert verdict["sha256"] == hashlib.sha256(pcm[: 2 * verdict["frames"]]).hexdigest()
        assert verdict["frames"] >= RATE
    assert (end["end"], end["unread"]) == ("client", False)
    assert "pcm" not in tape.read_text()


def test_audio_is_kept_only_when_asked(tape: Path) -> None:
    """The tape has the PCM with `keep_audio`, and then the audio that a link leads to, too."""
    pcm = noise(0.7)
    with Sandbox() as upstream, Sandbox(record=tape, upstream=upstream.url, keep_audio=True) as sandbox:
        wav = download(talk(sandbox.url, pcm)[-1]["audio_link"])
    assert base64.b64decode(lines(tape)[0]["pcm"]) == pcm
    with Sandbox(replay=tape) as sandbox:
        assert download(talk(sandbox.url, pcm)[-1]["audio_link"]) == wav


def test_fetched_audio_is_not_kept_unasked(tape: Path) -> None:
    """Without `keep_audio`, the audio behind a link is passed on, not kept, and missed with a reason."""
    pcm = noise(0.5)
    with Sandbox() as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        assert download(talk(sandbox.url, pcm)[-1]["audio_link"])[44:] == pcm
    with Sandbox(replay=tape) as sandbox:
        with pytest.raises(urllib.error.HTTPError) as missing:
            download(talk(sandbox.url, pcm)[-1]["audio_link"])
        with missing.value as error:
            assert b"--keep-audio" in error.read()


@pytest.mark.parametrize("seconds", [0.05, 0.33, 5.0])
def test_the_size_of_packets_does_not_matter(seconds: float, tape: Path) -> None:
    """A recording is known by its PCM, in whatever packets it comes."""
    pcm = noise(2.21)
    (recorded,) = record(tape, "example", pcm)
    with Sandbox(replay=tape) as sandbox:
        assert without_links(talk(sandbox.url, pcm, seconds=seconds)[-1]) == without_links(recorded)


def test_configs_are_compared_as_json(tape: Path) -> None:
    """Spaces and the order of keys don't matter; values do."""
    pcm = noise(0.5)
    record(tape, "example", pcm)
    with Sandbox(replay=tape) as sandbox:
        assert talk(sandbox.url, pcm, '{ "return_json": true, "api_plan": "standard"}')[-1]["status"] == "success"
        assert talk(sandbox.url, pcm, '{"return_json": 1, "api_plan": "standard"}')[-1]["status"] == "failed"


@pytest.mark.parametrize(
    ("pcm", "config", "nearest"),
    [
        (noise(1.2), PREMIUM, "the same recording, with api_plan standard"),
        (noise(1.2), '{"api_plan":"standard","return_json":true,"x":1}', "the same recording, with no x"),
        (noise(1.0) + noise(0.2, 1), CONFIG, "a recording of 1.2 s that is the same for 1 s"),
        (noise(0.9), CONFIG, "a recording of 1.2 s that is the same for 0.5 s"),
        (noise(1.2, 2), CONFIG, "differs from the first half second on"),
    ],
)
def test_what_is_not_on_the_tape_is_told(pcm: bytes, config: str, nearest: str, tape: Path) -> None:
    """It gets a stream id and, at its end, a `failed` that says what was asked and what is nearest."""
    record(tape, "example", noise(1.2))
    with Sandbox(replay=tape) as sandbox:
        opened, failed = talk(sandbox.url, pcm, config)
    assert opened["stream_id"]
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("not on the tape: ")
    assert nearest in failed["reason"]
    assert f"{len(pcm) / 2 / RATE:.1f} s" in failed["reason"]


def test_the_same_recording_again(tape: Path) -> None:
    """A recording's exchanges come in the tape's order, then the last one again; `strict`: a `failed`."""
    pcm = noise(0.6)
    for overall in ("10", "20"):
        record(tape, f"example={overall}", pcm)
    scores = []
    with Sandbox(replay=tape) as sandbox:
        scores = [score_of(talk(sandbox.url, pcm)[-1]) for _ in range(4)]
    assert scores == [10, 20, 20, 20]
    with Sandbox(replay=tape, strict=True) as sandbox:
        verdicts = [talk(sandbox.url, pcm)[-1] for _ in range(3)]
        assert sandbox.unplayed == ()
    assert [score_of(verdict) for verdict in verdicts[:2]] == [10, 20]
    assert "replayed already" in verdicts[2]["reason"]


def score_of(verdict: dict[str, Any]) -> Any:
    return verdict["result"]["speakers"][0]["metrics"]["general_scores"]["elsa"]["eps_score"]


def test_what_was_not_replayed_is_told(tape: Path) -> None:
    """`unplayed` has a line for each exchange that nobody asked for."""
    record(tape, "example", noise(0.6), noise(1.0, 1))
    with Sandbox(replay=tape) as sandbox:
        talk(sandbox.url, noise(1.0, 1))
    assert [line[:5] for line in sandbox.unplayed] == ["0.6 s"]


def test_joined_and_reordered_tapes_are_a_tape(tape: Path, tmp_path: Path) -> None:
    """`cat` joins tapes, and the order of the blocks only matters where the audio can't tell."""
    recordings = [noise(0.4 + 0.3 * seed, seed) for seed in range(4)]
    parts = [tmp_path / f"{number}.jsonl" for number in range(4)]
    straight = [record(part, "example", pcm)[0] for part, pcm in zip(parts, recordings)]
    tape.write_bytes(b"".join(part.read_bytes() for part in reversed(parts)))
    with Sandbox(replay=tape, strict=True) as sandbox:
        replayed = [talk(sandbox.url, pcm)[-1] for pcm in recordings]
    assert [without_links(each) for each in replayed] == [without_links(each) for each in straight]
    assert sandbox.unplayed == ()


def test_recording_on_a_tape_adds_to_it(tape: Path) -> None:
    """What is on the tape stays, also where an editor has left out the last line feed; what is no tape is refused."""
    first, second = noise(0.5), noise(0.6, 1)
    record(tape, "example", first)
    tape.write_bytes(tape.read_bytes().rstrip(b"\n"))
    record(tape, "example", second)
    with Sandbox(replay=tape, strict=True) as sandbox:
        assert [talk(sandbox.url, pcm)[-1]["status"] for pcm in (first, second)] == ["success"] * 2
    with pytest.raises(TapeError, match="line 1"):
        Sandbox(record=SCRIPT, upstream="ws://127.0.0.1:9")


def test_parallel_exchanges_keep_apart(tape: Path) -> None:
    """Many at once, recorded and replayed in any order: each gets what its own audio got."""
    recordings = [noise(1.0 + 0.1 * seed, seed) for seed in range(8)]
    together: list[Any] = [None] * 8

    def score_all(url: str, order: list[int]) -> list[Any]:
        def one(number: int) -> None:
            together[number] = without_links(talk(url, recordings[number], pause=0.02)[-1])

        threads = [threading.Thread(target=one, args=(number,)) for number in order]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        return list(together)

    with Sandbox("example") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        straight = score_all(sandbox.url, list(range(8)))
    with Sandbox(replay=tape, strict=True) as sandbox:
        assert score_all(sandbox.url, [5, 2, 7, 0, 3, 6, 1, 4]) == straight
    assert sandbox.unplayed == ()


def test_the_same_recording_in_parallel_is_no_exchange_twice(tape: Path) -> None:
    """Two streams of the same recording at the same time get its two exchanges."""
    pcm = noise(1.0)
    for overall in ("10", "20"):
        record(tape, f"example={overall}", pcm)
    found: list[Any] = []
    with Sandbox(replay=tape, strict=True) as sandbox:
        threads = [
            threading.Thread(target=lambda: found.append(score_of(talk(sandbox.url, pcm, pause=0.05)[-1])))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(found) == [10, 20]


def test_parallel_streams_have_ids_of_their_own(tape: Path) -> None:
    """Streams that are open at the same time get ids of different exchanges; the audio alone decides what follows."""
    recordings = [noise(0.6, seed) for seed in range(2)]
    record(tape, "example=10", recordings[0])
    record(tape, "example=20", recordings[1])
    headers = {"Authorization": f"ELSA {PLAIN_TOKEN}"}
    with Sandbox(replay=tape, strict=True) as sandbox, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(sandbox.url, additional_headers=headers)) for _ in range(2)]
        for client in clients:
            client.send(CONFIG)
        ids = [stream_id(client) for client in clients]
        scores = []
        for client, pcm in zip(clients, reversed(recordings)):
            client.send(packet(pcm))
            client.send(END_STREAM)
            while "result" not in (message := json.loads(client.recv(PATIENCE))):
                pass
            scores.append(score_of(message))
    assert len(set(ids)) == 2
    assert ids == [json.loads(line["text"])["stream_id"] for line in lines(tape) if "stream_id" in line.get("text", "")]
    assert scores == [20, 10]


def stream_id(client: Any) -> Any:
    while "stream_id" not in (message := json.loads(client.recv(PATIENCE))):
        pass
    return message["stream_id"]


@pytest.mark.parametrize("seconds", [0.1, 0.5, 0.8])
def test_an_early_verdict_comes_after_as_much_audio(seconds: float, tape: Path) -> None:
    """The automatic endpoint is replayed amid the audio: never earlier than recorded, and without the end."""
    pcm = noise(15.0)  # so long that a busy machine still hears the verdict amid it
    with Sandbox("early=3") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        assert talk(sandbox.url, pcm, pause=0.1)[-1]["status"] == "success"
    (taped,) = [line for line in lines(tape) if "success" in line.get("text", "")]
    assert (taped["after"], taped["frames"] >= 1.5 * RATE) == ("audio", True)
    with Sandbox(replay=tape) as sandbox:
        verdict = talk(sandbox.url, pcm, seconds=seconds, pause=seconds / 5)[-1]
        exchange = sandbox.exchanges[-1]
        assert exchange.finished.wait(PATIENCE)
    assert verdict["status"] == "success"
    assert taped["frames"] / RATE <= exchange.seconds
    assert sandbox.unplayed == ()


def test_an_early_verdict_is_not_for_another_recording(tape: Path) -> None:
    """Where the audio differs from what an early verdict followed, it isn't said."""
    pcm = noise(15.0)  # so long that a busy machine still hears the verdict amid it
    with Sandbox("early=3") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        talk(sandbox.url, pcm, pause=0.1)
    with Sandbox(replay=tape) as sandbox:
        assert "the same for 1 s" in talk(sandbox.url, pcm[: RATE * 2] + noise(2.0, 1))[-1]["reason"]


def test_a_whole_exchange_comes_before_an_early_one_that_was_recorded_later(tape: Path) -> None:
    """Also where the same recording was once heard to its end, and once not, the tape's order decides."""
    pcm = noise(10.0)
    record(tape, "example", pcm)
    with Sandbox("early=1") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        talk(sandbox.url, pcm, pause=0.1)
    with Sandbox(replay=tape, strict=True) as sandbox:
        assert "made_up" in talk(sandbox.url, pcm, pause=0.02)[-1]
        assert "measured" in talk(sandbox.url, pcm, pause=0.02)[-1]
    assert sandbox.unplayed == ()


def test_times_are_as_recorded_or_at_once(tape: Path) -> None:
    """The delay after what caused an answer is replayed with `speed`; without it, there is none."""
    pcm = noise(0.5)
    record(tape, "slow=0.6", pcm)
    took = []
    for speed in (None, 1.0, 4.0):
        with Sandbox(replay=tape, speed=speed) as sandbox:
            begun = time.monotonic()
            talk(sandbox.url, pcm)
            took.append(time.monotonic() - begun)
    assert took[1] >= 0.6
    assert took[2] >= 0.15
    assert min(took[0], took[2]) < took[1]


def test_refusals_come_in_the_tapes_order(tape: Path) -> None:
    """A 503 before a success is replayed before it; a client that tries again gets the success."""
    with Sandbox("503-once=0") as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        score(SECOND, PLAIN_TOKEN, url=sandbox.url, speed=None)
        assert upstream.handshakes == 2
    assert [line["end"] for line in lines(tape) if "end" in line] == ["refused", "client"]
    with Sandbox(replay=tape, strict=True) as sandbox:
        score(SECOND, PLAIN_TOKEN, url=sandbox.url, speed=None)
        assert sandbox.handshakes == 2
    assert sandbox.unplayed == ()


def test_upstream_that_cannot_be_reached_is_a_502(tape: Path) -> None:
    """The client is told so, and nothing is on the tape."""
    port = closed_port()
    with Sandbox(record=tape, upstream=f"ws://127.0.0.1:{port}/") as sandbox:
        with pytest.raises(ConnectError, match="refused") as caught:
            score(SECOND, PLAIN_TOKEN, url=sandbox.url, connect_retries=0)
        assert caught.value.status_code == 502
    assert not tape.exists()


def test_a_sandbox_that_cannot_reach_upstream_closes_at_once(tape: Path) -> None:
    """A service that takes the connection and no more, while TLS waits for it, keeps no sandbox from closing."""
    accepted = threading.Event()

    def script(connection: Connection) -> None:
        accepted.set()
        connection.wait(PATIENCE)

    with RawServer(script) as server:
        with Sandbox(record=tape, upstream=f"wss://127.0.0.1:{server.port}") as sandbox:
            client = socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE)
            client.sendall(handshake())
            assert accepted.wait(PATIENCE)
            begun = time.monotonic()
        took = time.monotonic() - begun
        client.close()
    assert took < 5.0
    assert not tape.exists()


def test_a_client_that_hangs_up_amid_a_refusal_loses_nothing(tape: Path) -> None:
    """The refusal's body is on the tape as a whole, although its client has read only the beginning."""
    body = json.dumps({"message": "x" * 300_000}).encode()
    head = b"HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    gone = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(head + body[:1000])
        gone.wait(PATIENCE)
        connection.send_raw(body[1000:])

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        with socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE) as client:
            client.sendall(handshake())
            assert client.recv(100).startswith(b"HTTP/1.1 403 No\r\n")
        gone.set()
        until(tape.exists)
    (_, end) = lines(tape)
    assert (end["status"], end["body"].encode()) == (403, body)


def handshake(token: str = PLAIN_TOKEN, coding: str = "utf-8") -> bytes:
    head = "GET /api/v1/ws/score_audio_plus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    return f"{head}Authorization: ELSA {token}\r\n\r\n".encode(coding)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "http://[::", "socks5://127.0.0.1:1"])
def test_a_proxy_that_is_none_is_told(proxy: str, tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the environment's proxy is a 502 that names it."""
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with Sandbox(record=tape, upstream="wss://service.example") as sandbox:
        with pytest.raises(ConnectError, match="proxy is not http://") as caught:
            score(SECOND, PLAIN_TOKEN, url=sandbox.url, connect_retries=0)
    assert caught.value.status_code == 502


@posix
def test_a_full_disk_leaves_the_tape_as_it_was(tape: Path) -> None:
    """A block that doesn't fit is taken back, so that what is on the tape can still be replayed."""
    tape.write_text("{}\n")
    with pytest.raises(OSError, match="File too large"), full_disk(100):
        append(tape, "x" * 200)
    assert tape.read_text() == "{}\n"


def test_what_an_eager_client_recorded_is_for_a_patient_one(tape: Path) -> None:
    """A greeting and a stream id come before the config and the audio, also where a client had not waited for them."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_until_end()
        connection.send({"type": "ELSA:wsConnect"})
        connection.send(STREAM_ID)
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        with connect(sandbox.url, additional_headers={"Authorization": f"ELSA {PLAIN_TOKEN}"}) as client:
            for message in (CONFIG, packet(noise(0.5)), END_STREAM):
                client.send(message)
            assert [json.loads(client.recv(PATIENCE)).get("status") for _ in range(3)] == [
                None,
                "processing",
                "success",
            ]
    assert [line["after"] for line in lines(tape)[1:4]] == ["open", "config", "end"]
    with Sandbox(replay=tape, strict=True) as sandbox:
        assert talk(sandbox.url, noise(0.5))[-1]["status"] == "success"
    assert sandbox.unplayed == ()


@pytest.mark.parametrize("seed", range(6))
def test_bytes_pass_as_they_are(seed: int, tape: Path) -> None:
    """Whatever comes after the handshake, in whatever segments, the client gets it byte for byte, and the tape too."""
    dice = random.Random(seed)
    sent = bytearray()
    for _ in range(dice.randrange(1, 8)):
        kind = dice.choice(["text", "binary", "ping", "fragments", "long"])
        payload = dice.choice([b"", b"{}", b'{"result_link": 7}', b"\xc3\xa4" * 40, b"[" * 70_000])
        if kind == "ping":
            sent += frame(payload[:100], PING)
        elif kind == "fragments":
            sent += frame(payload, TEXT, fin=False) + frame(payload, 0, fin=False) + frame(b"", 0)
        else:
            sent += frame(payload, BINARY if kind == "binary" else TEXT)
    sent += dice.choice([b"", dice.randbytes(50), b"\x81", b"\x81\x7e\x10", b"\x88\x01\x00"])

    def script(connection: Connection) -> None:
        connection.handshake()
        at = 0
        while at < len(sent):
            size = dice.choice([1, 3, 1000, 100_000])
            connection.send_raw(bytes(sent[at : at + size]))
            at += size
        connection.cut()

    def received(url: str) -> bytes:
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(url).port or 0), PATIENCE) as client:
            client.sendall(handshake())
            heard = bytearray()
            while part := client.recv(65536):
                heard += part
        return bytes(heard).partition(b"\r\n\r\n")[2]

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        assert received(sandbox.url) == sent
    with Sandbox(replay=tape) as sandbox:
        replayed, expected = Frames(masked=False), Frames(masked=False)
        assert without_pings(replayed.feed(received(sandbox.url))) == without_pings(expected.feed(bytes(sent)))
        assert bytes(replayed.held) == bytes(expected.held)


def without_pings(found: list[tuple[Any, bytes]]) -> list[Any]:
    return [message for message, _ in found if message.opcode != PING]


def test_a_close_before_the_config_comes_in_the_tapes_order(tape: Path) -> None:
    """A greeting and a close right after the handshake are replayed before anything is sent, then what came next."""
    turns = itertools.count()

    def script(connection: Connection) -> None:
        connection.handshake()
        if next(turns) % 2 == 0:
            connection.send({"type": "ELSA:wsConnect"})
            connection.send_close(1008, "later")
            connection.read_until_closed()
            return
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    def both(url: str) -> None:
        with pytest.raises(StreamClosedError, match="later") as caught:
            score(SECOND, PLAIN_TOKEN, url=url, speed=None)
        assert caught.value.code == 1008
        assert score(SECOND, PLAIN_TOKEN, url=url, speed=None).status == "success"

    for _ in range(20):  # on a busy machine, the client may send something before the close reaches it
        tape.unlink(missing_ok=True)
        with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
            both(sandbox.url)
        after = [line["after"] for line in lines(tape) if "after" in line][:2]
        if after == ["open", "open"]:
            break
    assert after == ["open", "open"]
    with Sandbox(replay=tape, strict=True) as sandbox:
        both(sandbox.url)
    assert sandbox.unplayed == ()


def test_extensions_are_not_offered_and_cookies_not_kept(tape: Path) -> None:
    """The service gets the client's request, but for extensions; neither side's cookies are on the tape."""
    requests = []

    def script(connection: Connection) -> None:
        requests.append(connection.read_request().lower())
        connection.handshake(headers=b"Set-Cookie: session=cookie-of-the-service\r\n")
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        headers = {"Authorization": f"ELSA {PLAIN_TOKEN}", "Cookie": "mine=cookie-of-the-client", "X-More": "kept"}
        with connect(sandbox.url, additional_headers=headers) as client:
            client.send(CONFIG)
            client.recv(PATIENCE)
            client.send(packet(noise(0.5)))
            client.send(END_STREAM)
            client.recv(PATIENCE)
    (request,) = requests
    assert b"sec-websocket-extensions" not in request
    assert b"x-more: kept\r\n" in request
    assert b"host: 127.0.0.1:%d\r\n" % server.port in request
    assert b"cookie-of" not in tape.read_bytes()


def spellings(token: str) -> Iterator[str]:
    """Yields a token as it is and escaped, in the ways that a server may repeat it."""
    yield token
    yield json.dumps(token)[1:-1]
    yield json.dumps(json.dumps(token))[1:-1]
    yield "".join(f"\\u{ord(each):04x}" for each in token)
    yield "".join(f"\\u{ord(each):04X}" for each in token)
    yield "".join(f"\\x{ord(each):02x}" for each in token)
    yield urllib.parse.quote(token, safe="")
    yield urllib.parse.quote(urllib.parse.quote(token, safe=""))
    yield "".join(f"%{ord(each):02x}" for each in token)
    yield html.escape(token)
    yield "".join(f"&#{ord(each)};" for each in token)
    yield "".join(f"&#x{ord(each):x};" for each in token)
    yield token.replace("/", "\\/")
    yield token.encode().hex()
    for before in ("", "E", "EL", "ELSA "):
        yield base64.b64encode((before + token).encode()).decode()
        yield base64.urlsafe_b64encode((before + token + "!").encode()).decode()


@pytest.mark.parametrize("token", [PLAIN_TOKEN, TOKEN], ids=["plain", "strange"])
def test_the_token_is_nowhere_on_the_tape(token: str, tape: Path) -> None:
    """A service that repeats the token in any spelling, wherever it can, gets it onto no tape."""
    spelled = list(spellings(token))
    replies = itertools.cycle(
        ["refusal", "text", "binary", "invalid UTF-8", "close", "torn", "no HTTP", "message"],
    )

    def script(connection: Connection) -> None:
        kind = next(replies)
        said = "\n".join(spelled)
        if kind == "refusal":
            body = json.dumps({"message": said}).encode()
            head = f"HTTP/1.1 401 {token}\r\nX-Echo: {token}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.read_request()
            connection.send_raw(head.encode() + body)
            return
        if kind == "no HTTP":
            connection.read_request()
            connection.send_raw(f"220 {said}\r\n".encode())
            return
        connection.handshake()
        connection.read_frame()
        connection.send({"status": "processing", "stream_id": token})
        if kind == "text":
            connection.send(said)
        elif kind == "binary":
            connection.send(said.encode(), 2)
        elif kind == "invalid UTF-8":
            connection.send(b"\xff" + said.encode())
        elif kind == "close":
            connection.send_close(1008, said[:120])
        elif kind == "torn":
            connection.send_raw(b"\x81\x7f" + (2**40).to_bytes(8, "big") + said.encode())
        connection.send({"status": "failed", "reason": said, "result_link": f"https://127.0.0.1/x?sig={token}"})
        connection.cut()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE) as client:
                client.sendall(handshake(token))
                if client.recv(100).startswith(b"HTTP/1.1 101"):
                    client.sendall(masked(json.dumps({"api_plan": "standard", "token": token}).encode()))
                while client.recv(65536):
                    pass
        until(lambda: tape.exists() and tape.read_text().count('"end"') == 8)
    written = tape.read_text(encoding="utf-8")
    decoded = b"\n".join(
        base64.b64decode(line[key]) for line in lines(tape) for key in ("binary", "raw", "base64") if line.get(key)
    ).decode("utf-8", "replace")
    unescaped = "\n".join(str(line) for line in lines(tape))
    for text in (written, decoded, unescaped):
        found = [each for each in spelled[:-8] if each in text]
        assert found == []
        for each in spelled[-8:]:  # the first and last digits of base64 hold bits of their neighbours, too
            assert each[4:-4] not in text
    assert len(written) > 8 * len(token)
    with Sandbox(replay=tape):
        pass  # it is a tape


def recorded(tape: Path, token: str, *said: str | bytes, coding: str = "utf-8") -> bytes:
    """Records what a service says at the end to a client with a token; returns all bytes of the tape, decoded."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        for each in said:
            connection.send(each, TEXT if isinstance(each, str) else BINARY)
        connection.send(b"\xff" + "".join(map(str, said)).encode())
        connection.cut()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        with socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE) as client:
            client.sendall(handshake(token, coding))
            assert client.recv(1000).startswith(b"HTTP/1.1 101")
            client.sendall(masked(CONFIG.encode()))
            while client.recv(65536):
                pass
        until(tape.exists)
    raw = [base64.b64decode(line[key]) for line in lines(tape) for key in ("binary", "raw") if key in line]
    return b"\n".join([tape.read_bytes(), *raw, *(line["text"].encode() for line in lines(tape) if "text" in line)])


def test_a_short_token_is_masked_where_it_stands_alone(tape: Path) -> None:
    """A token of 4 to 7 characters is on no tape, and is left where it is a part of the service's words."""
    said = recorded(tape, "noisy", '{"a": "noisy", "b": "x\\nnoisy%20noisy", "c": "noisyness"}', b"a noisy one")
    assert said.count(b"noisy") == said.count(b"noisyness") > 0


@pytest.mark.parametrize("coding", ["latin-1", "utf-8"])
def test_a_token_that_is_not_ascii_is_masked(coding: str, tape: Path) -> None:
    """It is on no tape, in whatever coding or escapes the service repeats it."""
    token = "tökén-of-ünique"
    spelled = [token, json.dumps(token), urllib.parse.quote(token), urllib.parse.quote(token, encoding="latin-1")]
    spelled += [html.escape(token).encode("ascii", "xmlcharrefreplace").decode(), "t&ouml;k&eacute;n-of-&uuml;nique"]
    said = recorded(tape, token, *spelled, token.encode("latin-1"), coding=coding)
    assert b"nique" not in said


def test_what_a_token_is_made_of_is_no_secret(tape: Path) -> None:
    """The words of a token that chooses a scenario stay, where they are the service's."""
    with Sandbox() as upstream, Sandbox(record=tape, upstream=upstream.url) as sandbox:
        talk(sandbox.url, noise(0.5), token="sandbox:failed=background noise")
    with Sandbox(replay=tape) as sandbox:
        assert talk(sandbox.url, noise(0.5))[-1]["reason"] == "background noise"


def test_queries_are_replaced_in_what_is_no_text_too(tape: Path) -> None:
    """Signatures are on no tape in binary and invalid messages, either; each keeps its length."""
    link = '{"result_link": "https://files.example/a?X-Sig=signature&x=1"}'
    said = recorded(tape, PLAIN_TOKEN, link.encode())
    assert b"signature" not in said
    assert b"https://files.example/a?" + b"*" * len("X-Sig=signature&x=1") + b'"}' in said


def test_cookies_of_a_torn_refusal_are_not_kept(tape: Path) -> None:
    """What came of a head that was cut is on the tape, without the cookie that it sets."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 403 No\r\nSet-Cookie: session=cookie-of-the-service\r\nX-More: kept")
        connection.cut()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        with socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE) as client:
            client.sendall(handshake())
            while client.recv(65536):
                pass
        until(tape.exists)
    raw = base64.b64decode(lines(tape)[-1]["raw"])
    assert raw == b"HTTP/1.1 403 No\r\nSet-Cookie:" + b"*" * 30 + b"\r\nX-More: kept"


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """Returns a client's frame; its mask is zeros."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize(
    ("coding", "packed", "kept"),
    [
        ("gzip", gzip.compress(b"one, ") + gzip.compress(b"two"), b"one, two"),
        ("deflate", zlib.compress(b"text"), b"text"),
        ("deflate", zlib.compress(b"text")[2:-4], b"text"),
        ("br", b"\x0b\x01\x80text\x03", b""),
    ],
)
def test_the_body_of_a_refusal_is_unpacked(coding: str, packed: bytes, kept: bytes, tape: Path) -> None:
    """It passes as it came, and is on the tape as it can be searched for the token; else not at all."""
    head = f"HTTP/1.1 403 No\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(head + packed)
        connection.cut()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        assert answered(sandbox.port) == head + packed
    with Sandbox(replay=tape) as sandbox:
        assert answered(sandbox.port).partition(b"\r\n\r\n")[2] == kept


def answered(port: int, more: bytes = b"") -> bytes:
    """Returns all that comes after a handshake's request, and what is sent when it is answered."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(handshake())
        heard = bytearray(client.recv(1000))
        client.sendall(more)
        while part := client.recv(65536):
            heard += part
    return bytes(heard)


def test_a_client_that_breaks_the_protocol_is_told(tape: Path) -> None:
    """A frame that isn't masked ends a replay with the code 1002; it isn't waited for ever."""
    record(tape, "example", noise(0.5))
    with Sandbox(replay=tape) as sandbox:
        assert answered(sandbox.port, b"\x81\x02{}").endswith(b"\x88\x02\x03\xea")


@pytest.mark.parametrize("status", [200, 403])
def test_what_a_link_leads_to_is_not_packed(status: int, tape: Path) -> None:
    """A packed result is passed on and kept unpacked, without the token that it may hold; its status is kept, too."""
    content = json.dumps({"speakers": [], "seen": PLAIN_TOKEN}).encode()

    def script(connection: Connection) -> None:
        if connection.read_request().startswith(b"GET /result?signature HTTP"):
            packed = gzip.compress(content)
            head = f"HTTP/1.1 {status} Some\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            connection.send_raw(f"{head}Content-Length: {len(packed)}\r\n\r\n".encode() + packed)
            return
        connection.start()
        connection.read_until_end()
        connection.send({**SUCCESS, "result_link": f"http://127.0.0.1:{server.port}/result?signature"})
        connection.finish()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        assert fetched(talk(sandbox.url, noise(0.5))[-1]["result_link"]) == (status, content)
    with Sandbox(replay=tape) as sandbox:
        masked_content = content.replace(PLAIN_TOKEN.encode(), b"*" * len(PLAIN_TOKEN))
        assert fetched(talk(sandbox.url, noise(0.5))[-1]["result_link"]) == (status, masked_content)
    assert b"signature" not in tape.read_bytes()


def fetched(link: str) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read()


def test_queries_of_links_are_replaced(tape: Path) -> None:
    """Signatures are on no tape, in whichever link of a message or a result they are."""
    signed = "https://files.example/a/b.json?X-Signature=signature&x=%2Fsignature#signature"
    inner = json.dumps({"deep": signed})
    verdict = {**SUCCESS, "result_link": signed, "more": [{"audio_link": signed}], "text": f"see <{signed}>, {inner}"}

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(json.dumps(verdict).replace("/", "\\/").replace("&", "\\u0026"))
        connection.finish()

    with RawServer(script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        heard = talk(sandbox.url, noise(0.5))[-1]
    assert heard["more"] == verdict["more"]
    assert heard["text"] == verdict["text"]
    assert heard["result_link"].startswith("http://127.0.0.1:")
    assert "signature" not in tape.read_text(encoding="utf-8").lower()
    with Sandbox(replay=tape) as sandbox:
        assert talk(sandbox.url, noise(0.5))[-1]["more"][0]["audio_link"].startswith("https://files.example/a/b.json?")


def test_modes(tape: Path) -> None:
    """`once` records where there is no tape, or nothing on it, else replays; `all` records anew; `none` asks nobody."""
    pcm = noise(0.5)
    tape.touch()
    with Sandbox("example=10") as first, Sandbox("example=20") as second:
        for upstream, mode, expected in (
            (first, "once", 10),
            (second, "once", 10),
            (second, "all", 20),
            (first, "none", 20),
        ):
            with Sandbox(replay=tape, mode=mode, upstream=upstream.url) as sandbox:
                assert score_of(talk(sandbox.url, pcm)[-1]) == expected
        assert (len(first.exchanges), len(second.exchanges)) == (1, 1)
    assert sum("begin" in line for line in lines(tape)) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"replay": "missing.jsonl"}, "can't be read"),
        ({"replay": "a", "record": "b"}, "exclude each other"),
        ({"record": "a", "mode": "none"}, "replays alone"),
        ({"replay": "a", "mode": "new"}, "must be one of"),
        ({"record": "a", "upstream": "ws://example.com"}, "wss://"),
        ({"record": "a", "upstream": "https://example.com"}, "wss://"),
        ({"strict": True}, "give record or replay"),
        ({"record": "a", "scenario": "slow"}, "no scenario"),
        ({"replay": "a", "speed": 0.0}, "speed"),
        ({"record": SCRIPT / "below" / "tape.jsonl"}, r"can't be written \(Not a directory\)"),
        ({"record": SCRIPT / "tape.jsonl"}, r"can't be written \(Not a directory\)"),
        ({"record": SCRIPT.parent}, "can't be written"),
        ({"record": SCRIPT.parent, "mode": "all"}, "can't be written"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], why: str) -> None:
    """Options that contradict each other, or would send the token in clear, are told when a sandbox is made."""
    with pytest.raises(ValueError, match=why):
        Sandbox(**options)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"v": 1', '"v": 2', 1), "line 1: .*version 2"),
        (lambda text: text.replace('"config"', '"conf"', 1), "line 1: 'config' is missing"),
        (lambda text: text.replace('"after"', '"extra": 1, "after"', 1), "line 2: 'extra' does not belong here"),
        (lambda text: text.rpartition('{"end"')[0], "ends amid an exchange: .* delete lines 1 to 6"),
        (lambda text: text[:-9], "line 7: it is not a JSON object; .* delete lines 1 to 7"),
        (lambda text: text + text[:1], "line 8: it is not a JSON object; .* delete line 8$"),
        (lambda text: text + text[:20] + "\n" + text, "line 8: it is not a JSON object; .* delete line 8$"),
        (lambda text: text.replace('"at"', '"at": -1, "was"', 1), "line 2"),
        (lambda text: "RIFF" + text, "line 1: it is not a JSON object$"),
        (lambda text: text.rpartition('{"end"')[0] + text, "line 7: .* of line 1 .* delete lines 1 to 6$"),
        (lambda text: text.partition("\n")[2], "line 1: an exchange must begin here"),
        (lambda text: text.replace('"v": 1', '"v": 1, "v": 1', 1), "line 1: 'v' is there twice"),
        (lambda text: text.replace('"sha256": "', '"sha256": "X', 1), 'line 1: "sha256" must be 64 hex digits'),
        (lambda text: text.replace('"whole": true', '"whole": true, "pcm": "AAAA"', 1), "line 1: .* not that of"),
        (lambda text: with_end(text, end="close", code=70000, reason=""), 'line 7: "code" 70000 never'),
        (lambda text: with_end(text, end="close", code=1000, reason="x" * 124), "line 7: .* at most 123 bytes"),
        (lambda text: with_end(text, end="close", code=1000, reason="\ud800"), "line 7: .* surrogate"),
        (lambda text: with_end(text, end="refused", status=7, headers=[], body=""), "line 7: .* 200 to 599"),
        (lambda text: with_end(text, end="refused", status=403, headers=[["A", "\n"]], body=""), "'A' .* none of HTTP"),
        (
            lambda text: with_end(text, end="refused", status=403, headers=[["Cookie", "x"]], body=""),
            "'Cookie' does not",
        ),
    ],
)
def test_what_is_no_tape_is_refused(change: Callable[[str], str], why: str, tape: Path) -> None:
    """A tape is read strictly, so that nothing fails amid a replay; the error names the line."""
    record(tape, "example", noise(0.5))
    tape.write_text(change(tape.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(TapeError, match=why):
        Sandbox(replay=tape)


def with_end(text: str, **end: Any) -> str:
    """Returns a tape whose last exchange ended otherwise."""
    before, mark, _ = text.rpartition('{"end"')
    assert mark
    return before + json.dumps({**end, "after": "end", "at": 1.0, "delay": 0.0}) + "\n"


def test_upstream_is_reached_through_tls_and_a_proxy(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy of the environment gets a CONNECT, without the token; the service's certificate is verified."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("service.example").configure_cert(context)

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    asked = []
    with RawServer(script, tls=context) as server:

        def proxy(connection: Connection) -> None:
            asked.append(connection.read_request())
            with socket.create_connection(("127.0.0.1", server.port)) as there:
                connection.send_raw(b"HTTP/1.1 200 Yes\r\n\r\n")
                back = threading.Thread(target=pump, args=(there, connection.sock))
                back.start()
                pump(connection.sock, there)
                back.join(PATIENCE)

        with RawServer(proxy) as through:
            monkeypatch.setenv("https_proxy", f"http://me:word@127.0.0.1:{through.port}")
            monkeypatch.setenv("no_proxy", "")
            with Sandbox(record=tape, upstream="wss://service.example/x") as sandbox:
                with pytest.raises(ConnectError) as caught:  # the authority is not trusted yet
                    score(SECOND, PLAIN_TOKEN, url=sandbox.url, connect_retries=0)
                assert caught.value.status_code == 502
                authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
                assert score(SECOND, PLAIN_TOKEN, url=sandbox.url, speed=None).status == "success"
    assert [each.split(b"\r\n")[0] for each in asked] == [b"CONNECT service.example:443 HTTP/1.1"] * 2
    assert PLAIN_TOKEN.encode() not in b"".join(asked)


@pytest.mark.parametrize(
    ("sent", "expected", "why"),
    [
        (noise(0.5), packet(noise(0.5), rate=8000), "the format is 16000 Hz mono 16 bit, not 8000 Hz mono 16 bit"),
        (noise(0.5), packet(noise(0.7)), "0.500 s were sent, not 0.700 s; they are the same as far as both go"),
        (noise(0.7), packet(noise(0.5)), "0.700 s were sent, not 0.500 s; they are the same as far as both go"),
        (noise(0.5), packet(noise(0.25) + noise(0.25, 1)), "they differ from 0.250 s on"),
    ],
)
def test_what_was_sent_is_compared(sent: bytes, expected: bytes, why: str, tmp_path: Path) -> None:
    """`assert_sent` passes for the recording, in whatever packets, and says what differs for another."""
    with Sandbox() as sandbox:
        talk(sandbox.url, sent, seconds=0.13)
        exchange = sandbox.exchanges[-1]
    (tmp_path / "sent.wav").write_bytes(packet(sent))
    assert_sent(exchange, tmp_path / "sent.wav")
    with pytest.raises(AssertionError, match=why):
        assert_sent(exchange, expected)
    with pytest.raises(ValueError, match="WAV"):
        assert_sent(exchange, b"no WAV file")
    with pytest.raises(AssertionError, match="no audio was sent"):
        assert_sent(Exchange("", "", {}), expected)


@pytest.mark.slow(everywhere=True)
@posix
def test_the_command_line_records_and_replays(tape: Path) -> None:
    """`sandbox --record` and `sandbox --replay` do what the class does, until Ctrl-C, and say what they do."""
    command = (*COMMAND, "sandbox", "--port", "0")
    pcm = noise(0.5)
    with Sandbox("example") as upstream:
        with started(*command, "--record", str(tape), "--upstream", upstream.url) as process:
            url, told = address(process)
            assert "is billed" in told
            recorded = talk(url, pcm)[-1]
            out = interrupt(process).out.decode()
        assert "record: 0.5 s of audio, success, closed with 1000" in out
        assert upstream.handshakes == 1
    with started(*command, "--replay", str(tape), "--speed", "max", "--strict") as process:
        url, told = address(process)
        assert "without any network" in told
        assert without_links(talk(url, pcm)[-1]) == without_links(recorded)
        assert talk(url, pcm)[-1]["status"] == "failed"


def address(process: Any) -> tuple[str, str]:
    """Returns the URL that a sandbox says it listens on, and what it says of itself."""
    told = ""
    while " --url " not in told:
        line: str = process.stdout.readline().decode()
        assert line
        told += line
    return told.splitlines()[0].split()[-1], told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--strict"], "--strict goes with a tape"),
        (["--replay", "missing.jsonl"], "record it, with --mode once, or with --record"),
        (["--record", "a", "--mode", "none"], "give --replay"),
        (["--record", "a", "--upstream", "ws://example.com"], "--upstream must be wss://"),
        (["--record", "a", "--scenario", "slow"], "--scenario"),
        (["--replay", "a", "--speed", "fast"], "--speed must be"),
        (["--replay", "a", "--record", "b"], "not allowed with"),
    ],
)
def test_the_command_line_refuses_what_cannot_be(arguments: list[str], why: str) -> None:
    """A misuse of the options ends with status 2, and names the option."""
    status, _, err = run(*COMMAND, "sandbox", *arguments)
    assert status == 2
    assert why in err


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
