"""The sandbox keeps to the protocol, and does what its scenarios say; driven with foreign clients, never with ours."""

from __future__ import annotations

import ast
import contextlib
import gc
import http.client
import io
import json
import logging
import math
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import wave
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import websocket

import elsa_unscripted.sandbox
from elsa_unscripted.sandbox import SCENARIOS, Exchange, Sandbox
from elsa_unscripted.sandbox import connection as sandbox_connection
from elsa_unscripted.sandbox import server as sandbox_server

AUSTEN = Path(__file__).parent / "data" / "austen.wav"
PACKAGE = Path(elsa_unscripted.sandbox.__file__).parent
PATH = "/api/v1/ws/score_audio_plus"
CONFIG = '{"api_plan":"standard","return_json":true}'
END_STREAM = '{"type": "ELSA:end_stream"}'
PATIENCE = 30.0  # s: a hang guard, never an expectation
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
GONE = (websocket.WebSocketConnectionClosedException, ConnectionError)


def wav(samples: bytes, sample_rate: int = 16000, channels: int = 1, sample_width: int = 2) -> bytes:
    """Returns a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setframerate(sample_rate)
        file.setnchannels(channels)
        file.setsampwidth(sample_width)
        file.writeframes(samples)
    return buffer.getvalue()


def tone(seconds: float, amplitude: float = 0.5) -> bytes:
    """Returns 440 Hz at 16 kHz, mono 16 bit."""
    top = amplitude * 32767
    return array(
        "h", (round(top * math.sin(2 * math.pi * 440 * n / 16000)) for n in range(round(16000 * seconds)))
    ).tobytes()


PACKET = wav(tone(0.5))


def austen() -> list[bytes]:
    """Returns the real recording as packets of half a second."""
    with wave.open(str(AUSTEN)) as file:
        pieces = iter(lambda: file.readframes(8000), b"")
        return [wav(piece) for piece in pieces]


@contextlib.contextmanager
def connected(sandbox: Sandbox, token: str = "any") -> Iterator[websocket.WebSocket]:
    """Opens a WebSocket; closes it with 1000 at the end."""
    client = websocket.create_connection(sandbox.url, header=[f"Authorization: ELSA {token}"], timeout=PATIENCE)
    try:
        yield client
    finally:
        client.close()
        hang_up(client)


def hang_up(client: websocket.WebSocket) -> None:
    """Closes the socket itself: `close` leaves that out once a close frame was exchanged."""
    client.shutdown()  # type: ignore[no-untyped-call]


def hear(client: websocket.WebSocket) -> dict[str, Any]:
    """Returns the next message of the server."""
    message: dict[str, Any] = json.loads(client.recv())
    return message


def begin(client: websocket.WebSocket, config: str = CONFIG) -> str:
    """Goes as far as the stream id, and returns it."""
    client.send(config)
    while True:
        message = hear(client)
        if "stream_id" in message:
            stream_id: str = message["stream_id"]
            return stream_id


def send_all(client: websocket.WebSocket, messages: Iterable[str | bytes]) -> None:
    for message in messages:
        client.send(message, websocket.ABNF.OPCODE_TEXT if isinstance(message, str) else websocket.ABNF.OPCODE_BINARY)


def speak(client: websocket.WebSocket, *packets: bytes, config: str = CONFIG) -> None:
    """Sends a whole stream."""
    begin(client, config)
    for packet in packets:
        client.send_binary(packet)
    client.send(END_STREAM)


def verdict(client: websocket.WebSocket) -> dict[str, Any]:
    """Returns the message that decides; what comes before it is passed over."""
    while True:
        message = hear(client)
        if message.get("status") in ("success", "failed", "bad_quality"):
            return message


def close_frame(client: websocket.WebSocket) -> int:
    """Returns the code of the close frame that comes next."""
    opcode, payload = client.recv_data(control_frame=True)
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(payload[:2], "big")


def judged(*packets: bytes, scenario: str = "success", config: str = CONFIG) -> dict[str, Any]:
    """Returns the verdict of a new sandbox on these packets."""
    with Sandbox(scenario) as sandbox, connected(sandbox) as client:
        speak(client, *packets, config=config)
        return verdict(client)


def ask(sandbox: Sandbox, path: str = PATH, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
    """Returns the HTTP answer to a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            return response.status, response.headers, response.read().decode()


def knock(sandbox: Sandbox, token: str = "any") -> tuple[int, http.client.HTTPMessage, str]:
    """Returns the HTTP answer to a handshake."""
    return ask(sandbox, Authorization=f"ELSA {token}", **UPGRADE)


def download(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=PATIENCE) as response:
        content: bytes = response.read()
        return content


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another thread is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


def test_a_whole_exchange_goes_as_the_documentation_has_it() -> None:
    """Greeting, stream id, end understood, accepted, success: in this order, and the client closes."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        assert hear(client)["type"] == "ELSA:wsConnect"
        client.send(CONFIG)
        opened = hear(client)
        assert opened == {"status": "processing", "stream_id": sandbox.exchanges[-1].stream_id}
        client.send_binary(PACKET)
        client.send(END_STREAM)
        assert hear(client) == {"status": "processing", "message": "Finished receiving audio"}
        assert hear(client) == {"status": "accepted"}
        assert hear(client)["status"] == "success"
        assert not sandbox.exchanges[-1].finished.is_set()
        client.close()
        assert sandbox.exchanges[-1].close_code == 1000
        assert sandbox.exchanges[-1].breach is None


def test_it_keeps_what_it_received() -> None:
    """An exchange has the config, every frame, the audio with its format and times, and the request's headers."""
    packets = austen()
    before = time.monotonic()
    with Sandbox() as sandbox, connected(sandbox, "my token") as client:
        speak(client, *packets)
        said = verdict(client)
        exchange = sandbox.exchanges[-1]
    assert exchange.config == json.loads(CONFIG)
    assert exchange.config_text == CONFIG
    assert exchange.frames == (("text", CONFIG), *(("binary", packet) for packet in packets), ("text", END_STREAM))
    assert exchange.packets == tuple(packets)
    assert exchange.heard == len(packets)
    assert exchange.pcm == b"".join(packet[44:] for packet in packets)
    assert (exchange.sample_rate, exchange.channels, exchange.sample_width) == (16000, 1, 2)
    assert exchange.seconds == pytest.approx(24.73)
    assert exchange.headers["Authorization"] == "ELSA my token"
    assert exchange.verdict == said
    assert exchange.scenario == "success"
    assert list(exchange.arrival_times) == sorted(exchange.arrival_times)
    assert len(exchange.arrival_times) == len(packets)
    assert before <= exchange.arrival_times[0] <= exchange.arrival_times[-1] <= time.monotonic()


def test_an_exchange_is_there_as_soon_as_its_client_is_connected() -> None:
    """`exchanges[-1]` can be looked at while it goes on."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        exchange = sandbox.exchanges[-1]
        assert (exchange.frames, exchange.packets) == ((), ())
        assert (exchange.config_text, exchange.sample_rate, exchange.seconds) == (None, None, 0.0)
        begin(client)
        assert exchange.config_text == CONFIG


def test_it_keeps_only_so_many_exchanges() -> None:
    """A sandbox that runs for days doesn't keep all it ever heard."""
    with Sandbox(keep=2) as sandbox:
        for _ in range(3):
            with connected(sandbox):
                newest = sandbox.exchanges[-1]
        assert sandbox.exchanges[-1] is newest
        assert len(sandbox.exchanges) == 2
        assert sandbox.handshakes == 3


def test_more_keys_in_the_config_are_taken() -> None:
    """What comes after the two documented keys is kept and not judged."""
    config = '{"api_plan": "premium", "return_json": true, "force_grammar_vocab": true}'
    with Sandbox() as sandbox, connected(sandbox) as client:
        begin(client, config)
        assert sandbox.exchanges[-1].config == json.loads(config)


def test_without_return_json_no_assessment_comes_along() -> None:
    """The config decides whether the verdict holds the assessment; the link leads to it either way."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        speak(client, PACKET, config='{"api_plan":"premium","return_json":false}')
        said = verdict(client)
        assert "result" not in said
        assert "speakers" in json.loads(download(said["result_link"]))


def test_the_links_can_be_downloaded() -> None:
    """`result_link` leads to the assessment, `audio_link` to a WAV file of what was sent."""
    packets = austen()
    with Sandbox() as sandbox, connected(sandbox) as client:
        speak(client, *packets)
        said = verdict(client)
        assert json.loads(download(said["result_link"])) == said["result"]
        assert download(said["audio_link"]) == AUSTEN.read_bytes()


def test_the_links_lead_through_the_name_that_the_client_used() -> None:
    """A client that reached the sandbox by another name gets links with that name."""
    with Sandbox() as sandbox:
        sandbox_url = sandbox.url.replace("127.0.0.1", "localhost")
        client = websocket.create_connection(sandbox_url, header=["Authorization: ELSA any"], timeout=PATIENCE)
        with contextlib.closing(client):
            speak(client, PACKET)
            assert verdict(client)["audio_link"].startswith(f"http://localhost:{sandbox.port}/audio/")


def test_the_default_verdict_says_what_it_measured() -> None:
    """Duration, level, clipping, speech and pauses are those of the audio."""
    said = judged(wav(tone(1) + bytes(32000) + tone(1)))
    measured = said["measured"]
    assert said["sandbox"] is True
    assert measured["duration_seconds"] == 3.0
    assert measured["speech_seconds"] == pytest.approx(2.0, abs=0.1)
    assert measured["pause_seconds"] == pytest.approx(1.0, abs=0.1)
    assert measured["pauses"] == [[pytest.approx(1.0, abs=0.1), pytest.approx(2.0, abs=0.1)]]
    assert measured["peak_dbfs"] == pytest.approx(-6.02, abs=0.05)
    assert measured["rms_dbfs"] == pytest.approx(-6.02 - 3.01 - 1.76, abs=0.05)
    assert measured["clipped_samples"] == 0


@pytest.mark.parametrize(
    ("samples", "sample_width", "clipped"),
    [
        (bytes([255, 0, 128, 255]), 1, 3),
        (array("h", [32767, -32768, 0, 32766]).tobytes(), 2, 2),
        (array("i", [2**31 - 1, 2**31 - 256, -(2**31), 2**30]).tobytes(), 4, 3),
    ],
)
def test_clipping_is_counted_in_every_width(samples: bytes, sample_width: int, clipped: int) -> None:
    """Samples at full scale count, at the top that 8 bit, 16 bit, 32 bit and widened 24 bit have."""
    assert judged(wav(samples, sample_width=sample_width))["measured"]["clipped_samples"] == clipped


def test_digital_silence_has_no_level() -> None:
    """What has no decibels is null, and the JSON stays JSON."""
    measured = judged(wav(bytes(32000)))["measured"]
    assert measured["rms_dbfs"] is measured["peak_dbfs"] is None
    assert (measured["speech_seconds"], measured["pause_seconds"]) == (0.0, 1.0)


def test_up_to_twenty_seconds_is_too_short() -> None:
    """`partial_error` is there up to 20 s of audio, and not above."""
    half = tone(10, 0.1)
    assert judged(wav(half), wav(half))["partial_error"] == "too_short"
    assert "partial_error" not in judged(wav(half), wav(half + half[:4]))


def test_no_score_is_made_up_by_default() -> None:
    """The documented schema is complete, and nothing in it has a value but what was measured."""
    assessment = judged(*austen())["result"]
    assert assessment.pop("sandbox") is True
    assert assessment.pop("measured")["duration_seconds"] == 24.73
    assert assessment["speakers"][0].pop("total_time") == 24.73
    assert set(leaves(assessment).values()) == {None}
    scores = set(leaves(assessment))
    example = judged(PACKET, scenario="example")["result"]["speakers"][0]["metrics"]
    assert {f"speakers.0.metrics.{name}" for name in leaves(example)} <= scores


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Returns what is at the ends of a nested JSON value, each with its way there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {name: value}
    return {way: leaf for key, part in items for way, leaf in leaves(part, f"{name}.{key}".lstrip(".")).items()}


def test_example_is_complete_and_marked() -> None:
    """The made-up assessment has every documented score, words and sounds in order, and says what it is."""
    said = judged(PACKET, scenario="example")
    assessment = said["result"]
    assert said["sandbox"] is said["made_up"] is assessment["sandbox"] is assessment["made_up"] is True
    speaker = assessment["speakers"][0]
    assert None not in leaves(speaker["metrics"]).values()
    assert speaker["feedbacks"]["pronunciation"]["top_errors"][0]["errors"][0]["examples"][0]["text"]
    assert " ".join(utterance["text"] for utterance in speaker["utterances"]) == assessment["transcript"]
    words = [word for utterance in speaker["utterances"] for word in utterance["words"]]
    spoken = assessment["transcript"].replace(",", "").replace(".", "").split()
    assert [word["text"] for word in words] == spoken
    phonemes = [phoneme for word in words for phoneme in word["phonemes"]]
    assert len(phonemes) > len(words)
    for parts in (words, phonemes):
        times = [time for part in parts for time in (part["start_time"], part["end_time"])]
        assert times == sorted(times)
        assert times[-1] < speaker["total_time"]


def noise(seed: int, seconds: float = 2.0) -> bytes:
    """Returns a recording of its own, mono 16 bit, 16 kHz."""
    return random.Random(seed).getrandbits(round(256_000 * seconds)).to_bytes(round(32_000 * seconds), "little")


def made_up(scenario: str, *packets: bytes) -> tuple[float, str, dict[str, Any]]:
    """Returns the overall score and level of an example, and the whole."""
    assessment = judged(*packets, scenario=scenario)["result"]
    scores = assessment["speakers"][0]["metrics"]["general_scores"]
    return scores["elsa"]["eps_score"], scores["cefr"]["overall_cefr"], assessment


def spoken_words(assessment: dict[str, Any]) -> list[dict[str, Any]]:
    return [word for utterance in assessment["speakers"][0]["utterances"] for word in utterance["words"]]


@pytest.mark.slow(everywhere=True)
def test_example_is_a_class() -> None:
    """Thirty recordings have thirty results, spread over weak and strong; the same bytes always have the same one."""
    found = [made_up("example", wav(noise(seed))) for seed in range(30)]
    overall = [score for score, _, _ in found]
    assert len(set(overall)) == 30
    assert min(overall) < 50 < 75 < max(overall)
    assert len({json.dumps(assessment["speakers"][0]["utterances"]) for _, _, assessment in found}) == 30
    assert len({level for _, level, _ in found}) >= 4
    assert made_up("example", wav(noise(7))) == found[7]
    assert made_up("example", *(wav(noise(7)[start : start + 8000]) for start in range(0, 64000, 8000))) == found[7]


def test_example_is_the_same_on_every_machine() -> None:
    """Whatever Python and platform: an example that a test was written with stays as it is."""
    score, level, assessment = made_up("example", wav(noise(7)))
    assert (score, level, assessment["transcript"]) == (60.35, "B1", "It was hard at first.")
    assert spoken_words(assessment)[-1]["end_time"] == 1.98


@pytest.mark.parametrize("seconds", [0.05, 1.0, 12.0, 65.0])
def test_example_fits_the_length(seconds: float) -> None:
    """As many words as can be said in the time, at the pace of a person; their times lie within the recording."""
    _, _, assessment = made_up("example", wav(tone(seconds)))
    words = spoken_words(assessment)
    assert 1 <= len(words) <= max(1, 3.5 * seconds)
    assert seconds < 2 or len(words) >= 1.3 * seconds
    assert 0.8 * seconds <= words[-1]["end_time"] <= seconds
    assert all(before["end_time"] <= after["start_time"] for before, after in zip(words, words[1:]))
    text = assessment["transcript"].replace(",", "").replace(".", "")
    assert [word["text"] for word in words] == text.split()


def test_example_speaks_where_something_is_heard() -> None:
    """No word lies in a pause, so that a click on a word plays speech, not silence."""
    speech = tone(2.0) + bytes(64000) + tone(3.0) + bytes(32000)
    _, _, assessment = made_up("example", wav(speech))
    for word in spoken_words(assessment):
        middle = (word["start_time"] + word["end_time"]) / 2
        assert 0 <= middle <= 2 or 4 <= middle <= 7, word
    assert made_up("example", wav(bytes(96000)))[2]["transcript"]  # silence has an example, too


def test_example_keeps_what_is_said_in_the_demo() -> None:
    """The bundled recording has its true words and times, whatever score is asked for."""
    score, level, whole = made_up("example", *austen())
    assert (score, level) == (81.4, "B2")
    assert whole["transcript"].startswith("And Mister John Dashwood had then leisure")
    score, level, lower = made_up("example=42", *austen())
    assert (score, level, lower["transcript"]) == (42.0, "A2", whole["transcript"])
    for word, other in zip(spoken_words(whole), spoken_words(lower)):
        assert {**word, "nativeness_score": 0, "phonemes": 0} == {**other, "nativeness_score": 0, "phonemes": 0}


@pytest.mark.parametrize("value", [*("0", "42", "42.5", "100", "42%"), *("A1", "A2", "B1", "B2", "C1", "C2", "b1")])
def test_example_of_a_score_or_a_level(value: str) -> None:
    """`example=42` has 42 % overall, `example=B1` that level; the skills lie around it."""
    for seed in range(3):
        score, level, assessment = made_up(f"example={value}", wav(noise(seed)))
        if value[0].isdigit():
            assert score == float(value.rstrip("%"))
        else:
            assert level == value.upper()
        elsa = assessment["speakers"][0]["metrics"]["general_scores"]["elsa"]
        skills = [elsa[f"{name}_score"] for name in ("pronunciation", "intonation", "fluency", "grammar", "vocabulary")]
        assert all(0 <= skill <= 100 and abs(skill - score) < 20 for skill in skills)
    assert made_up("example=B1", wav(noise(1)))[0] != made_up("example=B1", wav(noise(2)))[0]


@pytest.mark.parametrize("value", ["", "x", "-1", "101", "nan", "D1", "B2+"])
def test_example_of_something_else_is_refused(value: str) -> None:
    """What is no percent and no level is told so, with the levels."""
    with pytest.raises(ValueError, match="A1, A2, B1, B2, C1, C2"):
        Sandbox(f"example={value}")


MINE = {"speakers": [{"speaker_id": 7, "metrics": {"general_scores": {"elsa": {"eps_score": 12.5}}}}], "mine": True}


@pytest.mark.parametrize(
    "scenario", ["success", "example", "early", "slow=0", "paused", "503-once", "verdict-then-drop"]
)
def test_an_assessment_of_the_users_own(scenario: str) -> None:
    """Every success gives it, whatever the scenario, and so does `result_link`; nothing is called too short."""
    with Sandbox(scenario, assessment=MINE) as sandbox:
        with contextlib.suppress(websocket.WebSocketBadStatusException), connected(sandbox):
            pass  # for the scenario that refuses the first handshake
        with connected(sandbox) as client:
            begin(client)
            with contextlib.suppress(*GONE):
                send_all(client, [PACKET] * 3)
                client.send(END_STREAM)
            said = verdict(client)
            assert said["result"] == MINE
            assert said["sandbox"] is True
            assert "partial_error" not in said
            with urllib.request.urlopen(said["result_link"], timeout=PATIENCE) as answer:
                assert json.load(answer) == MINE


def test_a_callable_makes_the_assessment() -> None:
    """It gets the exchange, whole, in a thread in which it may take its time; `None` leaves it to the scenario."""
    seen: list[tuple[float, str]] = []

    def assess(exchange: Exchange) -> dict[str, Any] | None:
        seen.append((exchange.seconds, threading.current_thread().name))
        return None if exchange.seconds > 0.5 else {"speakers": [], "seconds": exchange.seconds}

    with Sandbox(assessment=assess) as sandbox:
        with connected(sandbox) as client:
            speak(client, PACKET)
            assert verdict(client)["result"] == {"speakers": [], "seconds": 0.5}
        with connected(sandbox) as client:
            speak(client, PACKET, PACKET)
            assert verdict(client)["measured"]["duration_seconds"] == 1.0
    assert [seconds for seconds, _ in seen] == [0.5, 1.0]
    assert "elsa-sandbox" not in {name for _, name in seen}


def test_a_callable_that_raises_leaves_nobody_hanging(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises, or returns that is no object, is logged, and the connection is cut."""
    for assess in (lambda _: 1 / 0, lambda _: 5, lambda _: {"x": object()}):
        with Sandbox(assessment=assess) as sandbox, connected(sandbox) as client:  # type: ignore[arg-type]
            speak(client, PACKET)
            with pytest.raises(GONE):
                verdict(client)
    assert caplog.text.count("the scenario success went wrong") == 3


def test_an_assessment_that_is_none_is_refused() -> None:
    """What JSON can't hold, or is no object, is an error before anything is served."""
    for strange in (5, "text", [MINE], {"x": object()}):
        with pytest.raises(TypeError):
            Sandbox(assessment=strange)  # type: ignore[arg-type]


@pytest.mark.parametrize("scenario", ["success", "greeting-off", "greeting-off=failed=too noisy", "greeting-off=early"])
def test_the_greeting_can_be_off(scenario: str) -> None:
    """Without a greeting, in any scenario, the stream id is the first thing that the server says."""
    with Sandbox(scenario, greeting=scenario != "success") as sandbox, connected(sandbox) as client:
        client.send(CONFIG)
        assert "stream_id" in hear(client)
        send_all(client, [PACKET] * 2)
        client.send(END_STREAM)
        assert verdict(client).get("reason") == ("too noisy" if "noisy" in scenario else None)
        assert sandbox.exchanges[0].scenario in ("success", "greeting-off", "failed", "early")


def test_the_greeting_can_be_off_for_one_exchange() -> None:
    """A token turns it off, whatever the sandbox's own scenario is, for its own exchange alone."""
    with Sandbox("slow=0") as sandbox:
        with connected(sandbox, "sandbox:greeting-off=example") as client:
            client.send(CONFIG)
            assert "stream_id" in hear(client)
        with connected(sandbox) as client:
            assert hear(client)["type"] == "ELSA:wsConnect"
        assert knock(sandbox, "sandbox:greeting-off=429=7")[1]["Retry-After"] == "7"


# What the vendor's script sends of a WAV that ends in half a frame: it fills up with whole frames.
HALF_FRAMES = [PACKET, wav(tone(0.4))[:40] + (12799).to_bytes(4, "little") + tone(0.4)[:-1]]
HALF_FRAMES[1] = HALF_FRAMES[1][:4] + (12799 + 36).to_bytes(4, "little") + HALF_FRAMES[1][8:]


@pytest.mark.parametrize("scenario", ["success", "example", "early=1", "failed", "paused", "unknown-status", "slow=0"])
def test_what_the_vendors_script_sends_gets_through(scenario: str) -> None:
    """Without a greeting, on which that script hangs up, any plan and half frames are taken."""
    config = CONFIG.replace("standard", "gold")
    with Sandbox(f"greeting-off={scenario}") as sandbox, connected(sandbox) as client:
        speak(client, *HALF_FRAMES, config=config)
        assert verdict(client)["status"] == ("failed" if scenario == "failed" else "success")
        (exchange,) = sandbox.exchanges
        assert (exchange.breach, exchange.config) == (None, {"api_plan": "gold", "return_json": True})
        assert exchange.wav() is not None


def test_early_decides_in_mid_stream() -> None:
    """The verdict comes after so many packets; what is still sent is kept and ignored."""
    with Sandbox("early=2") as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        client.send_binary(PACKET)
        said = verdict(client)
        client.send_binary(PACKET)
        client.send(END_STREAM)
        client.close()
        exchange = sandbox.exchanges[-1]
        assert exchange.close_code == 1000
        assert said["measured"]["duration_seconds"] == 1.0
        assert (exchange.heard, len(exchange.packets), exchange.breach) == (2, 3, None)
        assert exchange.seconds == 1.0


def test_early_can_come_before_any_audio() -> None:
    """With 0 packets the verdict follows the stream id."""
    with Sandbox("early=0") as sandbox, connected(sandbox) as client:
        begin(client)
        measured = hear(client)["measured"]
        assert (measured["duration_seconds"], measured["rms_dbfs"], measured["pauses"]) == (0.0, None, [])


def test_early_on_shorter_audio_is_a_success() -> None:
    """If the end of the stream comes first, it goes as usual."""
    assert judged(PACKET, scenario="early=5")["status"] == "success"


def test_failed_gives_its_reason() -> None:
    """The value is the reason, spaces and signs included."""
    assert judged(PACKET, scenario="failed=too noisy = bad")["reason"] == "too noisy = bad"


def test_bad_quality_can_close() -> None:
    """By default the server closes with 1000 after bad_quality."""
    with Sandbox("bad-quality") as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        assert verdict(client)["status"] == "bad_quality"
        assert close_frame(client) == 1000


def test_bad_quality_can_stay() -> None:
    """Told to stay, the server says nothing more and leaves the connection open."""
    with Sandbox("bad-quality=staying") as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        assert verdict(client)["status"] == "bad_quality"
        client.settimeout(0.1)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.recv()


@pytest.mark.parametrize(
    ("scenario", "status"), [("paused", "paused"), ("accepted", "accepted"), ("unknown-status", "pondering")]
)
def test_a_status_in_mid_stream(scenario: str, status: str) -> None:
    """The status comes after the first packet, and the exchange goes on to a success."""
    with Sandbox(scenario) as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        assert hear(client)["status"] == status
        client.send_binary(PACKET)
        client.send(END_STREAM)
        assert verdict(client)["status"] == "success"


def test_slow_takes_its_time() -> None:
    """The verdict comes no sooner than told."""
    with Sandbox("slow=0.2") as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        sent = time.monotonic()
        assert verdict(client)["status"] == "success"
        assert time.monotonic() - sent >= 0.2


def test_silent_never_says_anything() -> None:
    """Not even a greeting; what the client sends is kept."""
    with Sandbox("silent") as sandbox, connected(sandbox) as client:
        client.send(CONFIG)
        client.settimeout(0.1)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.recv()
        client.close()
        assert sandbox.exchanges[-1].close_code == 1000
        assert sandbox.exchanges[-1].frames == (("text", CONFIG),)


def test_drop_after_cuts_without_a_close_frame() -> None:
    """After so many packets TCP ends."""
    with Sandbox("drop-after=2") as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        client.send_binary(PACKET)
        with pytest.raises(GONE):
            client.recv_data(control_frame=True)
        assert sandbox.exchanges[-1].close_code == 1006
        assert sandbox.exchanges[-1].heard == 2


@pytest.mark.parametrize("code", [1000, 1011, 4321])
def test_close_has_the_code_it_is_told(code: int) -> None:
    """The close frame comes after the first packet."""
    with Sandbox(f"close={code}") as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        assert close_frame(client) == code


@pytest.mark.parametrize(
    ("token", "status", "retry_after"),
    [
        ("sandbox:401", 401, None),
        ("sandbox:403", 403, None),
        ("sandbox:429", 429, "1"),
        ("sandbox:429=7", 429, "7"),
        ("sandbox:429=Wed, 21 Oct 2026 07:28:00 GMT", 429, "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("sandbox:503-once", 503, None),
        ("sandbox:503-once=0", 503, "0"),
    ],
)
def test_handshakes_are_refused_as_told(token: str, status: int, retry_after: str | None) -> None:
    """The HTTP status is the scenario's, with Retry-After where there is one; no exchange comes about."""
    with Sandbox() as sandbox:
        got, headers, _ = knock(sandbox, token)
        assert (got, headers["Retry-After"]) == (status, retry_after)
        assert (sandbox.handshakes, sandbox.exchanges) == (1, ())


def test_503_once_is_once_for_each_token() -> None:
    """The second handshake with a token is let in, and the exchange goes to a success."""
    with Sandbox("503-once") as sandbox:
        assert knock(sandbox, "a")[0] == 503
        assert knock(sandbox, "b")[0] == 503
        with connected(sandbox, "a") as client:
            speak(client, PACKET)
            assert verdict(client)["status"] == "success"
        assert sandbox.handshakes == 3


def test_malformed_is_not_json() -> None:
    """Half an object comes where the verdict is owed."""
    with Sandbox("malformed") as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        assert hear(client)["message"] == "Finished receiving audio"
        assert hear(client) == {"status": "accepted"}
        with pytest.raises(json.JSONDecodeError):
            hear(client)
        assert sandbox.exchanges[-1].verdict is None


def test_hang_handshake_never_answers() -> None:
    """TCP is accepted, the handshake counted, and that is all."""
    with Sandbox("hang-handshake") as sandbox:
        with pytest.raises(websocket.WebSocketTimeoutException):
            websocket.create_connection(sandbox.url, header=["Authorization: ELSA any"], timeout=0.2)
        assert sandbox.handshakes == 1
        until(lambda: not sandbox._connections)


def test_no_read_lets_the_network_fill_up() -> None:
    """A client that sends on is blocked at last, and nothing of what it sent is taken."""
    megabyte = wav(bytes(2**20))
    with Sandbox("no-read") as sandbox, connected(sandbox) as client:
        begin(client)
        client.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            send_all(client, [megabyte] * 64)
        assert sandbox.exchanges[-1].packets == ()


def test_no_read_does_not_read_a_close_frame_either() -> None:
    """A client that says goodbye gets no answer."""
    with Sandbox("no-read") as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_close()
        client.settimeout(0.2)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.recv_data(control_frame=True)


def test_no_read_reads_again_after_its_time() -> None:
    """Then what was held back arrives, and so does the end of the connection."""
    with Sandbox("no-read=0.1") as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        client.close(timeout=0)
        exchange = sandbox.exchanges[-1]
        assert exchange.finished.wait(PATIENCE)
        assert (exchange.packets, exchange.close_code) == ((PACKET,), 1000)


def test_verdict_then_drop_cuts_behind_the_verdict() -> None:
    """The verdict arrives whole; no close frame does."""
    with Sandbox("verdict-then-drop") as sandbox, connected(sandbox) as client:
        speak(client, *austen())
        assert verdict(client)["status"] == "success"
        with pytest.raises(GONE):
            client.recv_data(control_frame=True)
        assert sandbox.exchanges[-1].close_code == 1006


def test_a_token_chooses_the_scenario() -> None:
    """`sandbox:NAME=VALUE` wins over the sandbox's own scenario; other tokens get that."""
    with Sandbox("failed=mine") as sandbox:
        with connected(sandbox, "sandbox:failed=too noisy") as client:
            speak(client, PACKET)
            assert verdict(client)["reason"] == "too noisy"
        with connected(sandbox, "some token") as client:
            speak(client, PACKET)
            assert verdict(client)["reason"] == "mine"


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_explained(name: str) -> None:
    """Each name in `SCENARIOS` can be given as it is, and has one line for the list."""
    Sandbox(name)
    assert SCENARIOS[name].endswith(".")
    assert "\n" not in SCENARIOS[name]


@pytest.mark.parametrize(
    "scenario",
    [
        "",
        "nonsense",
        "success=1",
        "early=",
        "early=-1",
        "early=x",
        "slow=x",
        "slow=-1",
        "slow=nan",
        "close=1006",
        "close=x",
        "close=999",
        "bad-quality=leaving",
        "429=",
        "429=a\nb",
    ],
)
def test_a_wrong_scenario_is_told_at_once(scenario: str) -> None:
    """The constructor refuses it, and says what would be right."""
    with pytest.raises(ValueError, match=r"hang-handshake|takes"):
        Sandbox(scenario)


def test_a_wrong_scenario_by_token_is_told_too() -> None:
    """The answer is HTTP 400 with the names, and without the token."""
    with Sandbox() as sandbox:
        status, _, body = knock(sandbox, "sandbox:nonsense")
        assert status == 400
        assert "hang-handshake" in body
        assert "nonsense" not in body


@pytest.mark.parametrize("path", ["/", "/api/v1/ws/score_audio", PATH + "/", "/results/x.json", "/audio/x.wav"])
def test_another_path_is_not_found(path: str) -> None:
    """HTTP 404, with the right path in the answer."""
    with Sandbox() as sandbox:
        status, _, body = ask(sandbox, path, Authorization="ELSA any", **UPGRADE)
        assert status == 404
        assert f"{PATH};" in body
        assert sandbox.handshakes == 0


def test_there_is_no_audio_to_download_before_there_is_any() -> None:
    """The links of a stream that has only begun are not found."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        stream_id = begin(client)
        assert ask(sandbox, f"/audio/{stream_id}.wav")[0] == 404
        assert ask(sandbox, f"/results/{stream_id}.json")[0] == 404


def test_a_plain_request_is_told_to_upgrade() -> None:
    """HTTP 426 where the WebSocket is."""
    with Sandbox() as sandbox:
        status, headers, _ = ask(sandbox, Authorization="ELSA any")
        assert (status, headers["Upgrade"]) == (426, "websocket")
        assert sandbox.handshakes == 0


@pytest.mark.parametrize("value", ["ELSA", "ELSA ", "ELSA  any", "Bearer any", "elsa any", "any", "ELSAany", None])
def test_authorization_must_be_as_the_reference_sends_it(value: str | None) -> None:
    """Anything but `ELSA <token>` is HTTP 401."""
    with Sandbox() as sandbox:
        headers = UPGRADE if value is None else {**UPGRADE, "Authorization": value}
        assert ask(sandbox, **headers)[0] == 401
        assert (sandbox.handshakes, sandbox.exchanges) == (1, ())


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("hello", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "JSON object"),
        ("{}", "api_plan and return_json"),
        ('{"return_json":true,"api_plan":"standard"}', "in this order"),
        ('{"api_plan":"standard","more":1,"return_json":true}', "in this order"),
        ('{"api_plan":"gold","return_json":true}', "api_plan must be one of standard, premium"),
        ('{"api_plan":["standard"],"return_json":true}', "api_plan must be one of standard, premium"),
        ('{"api_plan":"standard","return_json":1}', "return_json must be true or false"),
        (END_STREAM, "api_plan and return_json"),
        (PACKET, "it is binary"),
    ],
)
def test_the_first_message_must_be_the_config(first: str | bytes, why: str) -> None:
    """Anything else gets a `failed` that says what is wrong with it, and the connection is closed."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        send_all(client, [first])
        said = verdict(client)
        assert said["status"] == "failed"
        assert why in said["reason"]
        assert close_frame(client) == 1002
        assert sandbox.exchanges[-1].breach is not None
        assert sandbox.exchanges[-1].config is None


def test_audio_must_wait_for_the_stream_id() -> None:
    """A client that sends audio right behind the config is told so."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        client.send(CONFIG)
        client.send_binary(PACKET)
        assert "before the stream id" in verdict(client)["reason"]


def with_bytes(packet: bytes, at: int, value: bytes) -> bytes:
    return packet[:at] + value + packet[at + len(value) :]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "packet 1 is not a WAV"),
        (PACKET[44:], "packet 1 is not a WAV"),
        (wav(b""), "packet 1 holds no audio"),
        (PACKET[:-2], "packet 1 states a RIFF size"),
        (with_bytes(PACKET, 40, bytes(4)), "packet 1 states a data size"),
        (with_bytes(PACKET, 20, b"\x55\x00"), "packet 1 is not a PCM WAV"),
        (with_bytes(PACKET, 8, b"WAVX"), "packet 1 is not a PCM WAV"),
        (
            with_bytes(with_bytes(PACKET[:-1], 4, (16035).to_bytes(4, "little")), 40, (15999).to_bytes(4, "little")),
            "whole",
        ),
        (wav(bytes(4), sample_rate=8000), "packet 1 changes the format from (16000, 1, 2) to (8000, 1, 2)"),
        (wav(bytes(4), channels=2), "packet 1 changes the format"),
        (wav(bytes(4), sample_width=4), "packet 1 changes the format"),
        ('{"type":"ELSA:end_stream"}', f"not exactly {END_STREAM}"),
        (CONFIG, f"not exactly {END_STREAM}"),
    ],
)
def test_each_packet_must_be_a_wav_file_in_one_format(message: str | bytes, why: str) -> None:
    """What is none gets a `failed` that names the packet and what is wrong with it."""
    with Sandbox() as sandbox, connected(sandbox) as client:
        begin(client)
        client.send_binary(PACKET)
        send_all(client, [message])
        assert why in verdict(client)["reason"]
        assert close_frame(client) == 1002
        assert sandbox.exchanges[-1].heard == 1


def test_a_stream_without_audio_is_refused() -> None:
    """end_stream right behind the stream id breaks the protocol."""
    assert "without audio" in judged()["reason"]


@pytest.mark.parametrize("scenario", ["slow=10", "success"])
def test_nothing_may_come_after_the_end(scenario: str) -> None:
    """Before the verdict it gets a `failed`, after it the connection is closed with 1002."""
    with Sandbox(scenario) as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        if scenario == "success":
            assert verdict(client)["status"] == "success"
            client.send(END_STREAM)
        else:
            client.send(END_STREAM)
            assert "after the end" in verdict(client)["reason"]
        assert close_frame(client) == 1002
        assert sandbox.exchanges[-1].breach == "a message came after the end of the stream"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.parametrize("scenario", ["success", "silent", "no-read", "slow=60"])
def test_close_leaves_nothing_even_with_clients_connected(scenario: str) -> None:
    """Threads, sockets and descriptors are gone after `close`, whatever goes on."""
    threads, files = threading.enumerate(), descriptors()
    with Sandbox(scenario) as sandbox:
        clients = [
            websocket.create_connection(sandbox.url, header=["Authorization: ELSA any"], timeout=PATIENCE)
            for _ in range(3)
        ]
        if scenario != "silent":
            speak(clients[0], PACKET)
            begin(clients[1])
    for client in clients:
        hang_up(client)
    assert threading.enumerate() == threads
    assert descriptors() == files
    assert all(exchange.finished.is_set() for exchange in sandbox.exchanges)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=PATIENCE)


def test_close_leaves_nothing_when_no_handshake_came_about() -> None:
    """Clients that hang in the handshake, or never send one, don't hold it up."""
    threads, files = threading.enumerate(), descriptors()
    with Sandbox("hang-handshake") as sandbox:
        mute, hanging = (socket.create_connection(("127.0.0.1", sandbox.port), timeout=PATIENCE) for _ in range(2))
        lines = [f"GET {PATH} HTTP/1.1", "Host: x", "Authorization: ELSA any"]
        lines += [f"{name}: {value}" for name, value in UPGRADE.items()]
        hanging.sendall("\r\n".join([*lines, "", ""]).encode())
        until(lambda: sandbox.handshakes == 1)
    for client in (mute, hanging):
        assert client.recv(1) == b""
        client.close()
    assert threading.enumerate() == threads
    assert descriptors() == files


@pytest.mark.slow(everywhere=True)
def test_close_leaves_nothing_when_clients_connect_meanwhile() -> None:
    """A connection that is accepted in the last moment is closed, too. Without that, 1 of 5 closings left one."""

    def connect_until_refused(port: int, served: threading.Event) -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            except ConnectionRefusedError:
                return
            except ConnectionError:
                pass  # accepted, and closed
            served.set()

    warned: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda found: warned.append(found.exc_value))
        for _ in range(40):
            with Sandbox() as sandbox:
                served = threading.Event()
                client = threading.Thread(target=connect_until_refused, args=(sandbox.port, served))
                client.start()
                assert served.wait(PATIENCE)
            client.join(PATIENCE)
            assert not client.is_alive()
        gc.collect()
    assert warned == []


def test_close_says_goodbye() -> None:
    """A client that listens gets a close frame with 1001."""
    sandbox = Sandbox("silent")
    sandbox.start()
    client = websocket.create_connection(sandbox.url, header=["Authorization: ELSA any"], timeout=PATIENCE)
    closing = threading.Thread(target=sandbox.close)
    closing.start()
    assert close_frame(client) == 1001
    hang_up(client)
    closing.join(PATIENCE)
    assert not closing.is_alive()


def test_it_can_be_closed_twice_and_started_again() -> None:
    """A second close does nothing; a new start serves at the same address, and a second one is refused."""
    sandbox = Sandbox()
    sandbox.close()
    for _ in range(2):
        with sandbox:
            url = sandbox.url
            with pytest.raises(RuntimeError, match="started already"):
                sandbox.start()
            with connected(sandbox) as client:
                begin(client)
        sandbox.close()
        assert sandbox.url == url


def test_a_port_that_is_taken_is_an_error() -> None:
    """`start` raises OSError, and leaves no thread."""
    with Sandbox() as sandbox:
        threads = threading.enumerate()
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=sandbox.port).start()
        assert threading.enumerate() == threads


def test_a_server_that_cannot_begin_tells_who_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the thread comes out of `start`."""
    monkeypatch.setattr(sandbox_server, "serve", None)
    sandbox = Sandbox()
    with pytest.raises(TypeError):
        sandbox.start()
    sandbox.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_it_listens_where_it_is_told() -> None:
    """An IPv6 host goes in brackets; a wildcard is reached by loopback."""
    with Sandbox(host="::1") as sandbox, connected(sandbox) as client:
        assert sandbox.url == f"ws://[::1]:{sandbox.port}{PATH}"
        begin(client)
    with Sandbox(host="0.0.0.0") as sandbox, connected(sandbox) as client:
        assert sandbox.url == f"ws://127.0.0.1:{sandbox.port}{PATH}"
        begin(client)


@pytest.mark.slow(everywhere=True)
def test_hundreds_of_streams_at_once() -> None:
    """200 clients are in mid-stream together, and each gets its own verdict."""
    with Sandbox() as sandbox, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(sandbox)) for _ in range(200)]
        for client in clients:
            client.send(CONFIG)
        for number, client in enumerate(clients, 1):
            while "stream_id" not in hear(client):
                pass
            client.send_binary(wav(bytes(2 * number)))
            client.send(END_STREAM)
        for number, client in enumerate(clients, 1):
            assert verdict(client)["measured"]["duration_seconds"] == pytest.approx(number / 16000, abs=1e-3)


def test_many_sandboxes_at_once() -> None:
    """Each has its own port, scenario and exchanges."""
    with contextlib.ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox(f"failed={number}")) for number in range(5)]
        for number, sandbox in enumerate(sandboxes):
            with connected(sandbox) as client:
                speak(client, PACKET)
                assert verdict(client)["reason"] == str(number)
            assert len(sandbox.exchanges) == 1


def test_on_exchange_is_told_of_each_that_ended() -> None:
    """It gets the exchange, complete, in the sandbox's thread."""
    ended: list[tuple[Exchange, int | None, str]] = []
    with Sandbox(
        on_exchange=lambda exchange: ended.append((exchange, exchange.close_code, threading.current_thread().name))
    ) as sandbox:
        with connected(sandbox) as client:
            speak(client, PACKET)
            verdict(client)
        until(lambda: bool(ended))
        assert ended == [(sandbox.exchanges[-1], 1000, "elsa-sandbox")]


def test_an_on_exchange_that_raises_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    """The sandbox serves on."""

    def explode(exchange: Exchange) -> None:
        raise ZeroDivisionError

    with Sandbox(on_exchange=explode) as sandbox:
        for _ in range(2):
            with connected(sandbox) as client:
                begin(client)
    assert caplog.text.count("on_exchange went wrong") == 2


def test_a_scenario_that_goes_wrong_is_logged_and_cuts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the sandbox itself doesn't leave a client hanging."""
    monkeypatch.setattr("elsa_unscripted.sandbox.invent.assessment", lambda *_: 1 / 0)
    with Sandbox("example") as sandbox, connected(sandbox) as client:
        speak(client, PACKET)
        with pytest.raises(GONE):
            verdict(client)
        assert sandbox.exchanges[-1].close_code == 1006
    assert "the scenario example went wrong" in caplog.text


def test_nobody_is_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stays for too long is cut."""
    monkeypatch.setattr(sandbox_server, "PATIENCE_SECONDS", 0.2)
    with Sandbox("silent") as sandbox, connected(sandbox) as client:
        with pytest.raises(GONE):
            client.recv()
        assert sandbox.exchanges[-1].close_code == 1006


@pytest.mark.parametrize("request_begins", [b"", b"GET /api/v1/ws/score_audio_plus HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_request_is_cut(monkeypatch: pytest.MonkeyPatch, request_begins: bytes) -> None:
    """A client that doesn't finish its request is cut after a while; a scenario that hangs there is not."""
    monkeypatch.setattr(sandbox_connection, "REQUEST_SECONDS", 0.2)
    with Sandbox() as sandbox, socket.create_connection(("127.0.0.1", sandbox.port), timeout=PATIENCE) as client:
        client.sendall(request_begins)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""
        with connected(sandbox, "sandbox:slow=0.5") as slow:
            speak(slow, PACKET)
            assert verdict(slow)["status"] == "success"


@pytest.mark.parametrize("bound", ["MAX_FRAGMENTS", "MAX_MESSAGE_BYTES"])
def test_fragments_have_a_bound(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """A message in endless fragments, empty ones too, is cut; the exchange says why."""
    monkeypatch.setattr(sandbox_connection, "REFUSAL_SECONDS", 0.1)
    for module in (sandbox_connection, sandbox_server):
        if hasattr(module, bound):
            monkeypatch.setattr(module, bound, 100)
    part = b"" if bound == "MAX_FRAGMENTS" else b"x" * 90

    def send_without_end(client: websocket.WebSocket) -> None:
        client.send_frame(websocket.ABNF(0, 0, 0, 0, websocket.ABNF.OPCODE_BINARY, 1, part))
        while True:
            client.send_frame(websocket.ABNF(0, 0, 0, 0, websocket.ABNF.OPCODE_CONT, 1, part))

    with Sandbox() as sandbox, connected(sandbox) as client:
        begin(client)
        with pytest.raises((*GONE, OSError)):
            send_without_end(client)
        assert sandbox.exchanges[0].finished.wait(PATIENCE)
        assert ("fragments" if bound == "MAX_FRAGMENTS" else "longer") in (sandbox.exchanges[0].breach or "")


def test_the_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not at DEBUG, not by websockets, not when it is refused, not in a scenario's name."""
    caplog.set_level(logging.DEBUG)
    with Sandbox() as sandbox:
        with connected(sandbox, "s3cr3t") as client:
            speak(client, PACKET)
            verdict(client)
        with connected(sandbox, "sandbox:failed=s3cr3t") as client:
            speak(client, PACKET)
            verdict(client)
        knock(sandbox, "sandbox:s3cr3t")
        assert "s3cr3t" not in repr(sandbox) + repr(sandbox.exchanges)
    assert "failed: 0.5 s of audio, closed with 1000" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_it_imports_nothing_of_the_package() -> None:
    """Shared code would let a wrong protocol pass every test; so there is none."""
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("elsa_unscripted") for name in node.names), file
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, file
                assert not (node.module or "").startswith("elsa_unscripted"), file


def test_without_the_extra_it_says_what_to_install() -> None:
    """Importing without websockets raises an ImportError with the command."""
    program = "import sys; sys.modules['websockets'] = None; import elsa_unscripted.sandbox"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'elsa-unscripted[sandbox]'" in done.stderr.splitlines()[-1]
