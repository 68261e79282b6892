"""One exchange against real servers: what comes back, what is raised, and that it always ends."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import pickle
import sys
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import pytest
from addresses import closed_port
from pydub import AudioSegment
from rawserver import CLOSE, PING, PONG, STREAM_ID, SUCCESS, Connection, RawServer, frame

from elsa_unscripted import (
    AudioError,
    AuthenticationError,
    BadQualityError,
    Client,
    Config,
    ConfigError,
    ConnectError,
    ElsaError,
    ProtocolError,
    RateLimitedError,
    ScoreCancelledError,
    ScoreResult,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
    score,
    score_many,
)
from elsa_unscripted.audio import decoding as decoder
from elsa_unscripted.sandbox import Sandbox

TOKEN = "the-secret-token"

Script = Callable[[Connection], Any]


def scored(script: Script, audio: Any, **options: Any) -> ScoreResult:
    with RawServer(script) as server:
        return score(audio, TOKEN, url=server.url, **{"speed": None, "timeout": 10, "close_timeout": 0.5, **options})


def failed(kind: type[ElsaError], script: Script, audio: Any, **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        scored(script, audio, **options)
    assert type(caught.value) is kind
    return caught.value


def after_audio(*messages: Any) -> Script:
    """A healthy exchange that ends with these messages."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        for message in messages:
            connection.send(message)
        connection.finish()

    return script


# Connecting while the audio is being decoded.


@pytest.mark.parametrize("source", [b"no audio", b"RIFF....WAVE", b"", "missing.wav"])
def test_what_is_no_audio_makes_no_connection(source: Any) -> None:
    """Bad input is an error at once, and the server hears nothing of it."""
    with RawServer(lambda connection: connection.handshake()) as server:
        with pytest.raises(AudioError):
            score(source, TOKEN, url=server.url)
        assert server.connections == []


def test_audio_that_fails_while_it_connects(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the audio that is found only when the connection is on its way ends that, and nothing was said."""
    monkeypatch.setitem(sys.modules, "av", None)

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_until_closed()

    with RawServer(script) as server:
        with pytest.raises(AudioError, match="formats"):
            score(short, TOKEN, url=server.url, sample_rate=8000)
        deadline = time.monotonic() + 10
        while any(not connection.over.is_set() for connection in server.connections) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all(frame.opcode == CLOSE for connection in server.connections for frame in connection.frames)


def _slow_to_decode(monkeypatch: pytest.MonkeyPatch, opened: threading.Event) -> bytes:
    """Returns a WAV whose decoding lasts until a while after the server has set an event."""
    widen = decoder.widen

    def slowly(samples: bytes) -> bytes:
        assert opened.wait(10)
        time.sleep(1.2)
        return widen(samples)

    monkeypatch.setattr(decoder, "widen", slowly)
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(3)
        target.setframerate(16000)
        target.writeframes(bytes(3 * 1600))
    return file.getvalue()


def test_connects_while_it_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is made while the audio is decoded, not after: here, decoding ends only if it is open."""
    opened = threading.Event()

    def script(connection: Connection) -> None:
        connection.handshake()
        opened.set()
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    result = scored(script, _slow_to_decode(monkeypatch, opened))
    assert result.timings.connect is not None
    assert result.timings.start is not None
    assert result.timings.connect < result.timings.start


@pytest.mark.parametrize("how", ["close", "reset", "failed"])
def test_connection_that_is_closed_while_it_decodes(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes what stands idle during a long decoding has lost nothing: a new connection is made."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.handshake()
        if not closed.is_set():
            if how == "failed":
                connection.send({"status": "failed", "reason": "no config came"})
            connection.reset() if how == "reset" else connection.send_close(1001)
            closed.set()
            return
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        source = _slow_to_decode(monkeypatch, closed)
        result = score(source, TOKEN, url=server.url, speed=None, connect_retries=0, timeout=10)
    assert [status["status"] for status in result.statuses] == ["processing", "success"]
    assert len(server.connections) == 2


def test_verdict_while_it_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that came with the close of an idle connection is a result."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send(SUCCESS)
        connection.send_close()
        closed.set()

    with RawServer(script) as server:
        source = _slow_to_decode(monkeypatch, closed)
        assert score(source, TOKEN, url=server.url, timeout=10).status == "success"
    assert len(server.connections) == 1


def test_cancel_while_it_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation counts, though the connection it came to was closed."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        if not closed.is_set():
            connection.handshake()
            connection.send_close()
            client.cancel()
            closed.set()
        connection.wait(20)  # the next one is left hanging

    with RawServer(script) as server:
        client = Client(TOKEN, url=server.url, timeout=10)
        with pytest.raises(ScoreCancelledError):
            client.score(_slow_to_decode(monkeypatch, closed))


# What is left of the audio.


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize("speed", [None, 20])
@pytest.mark.parametrize(
    "end",
    [
        *["after the audio", "amid the audio", "failed", "bad_quality", "garbage", "callback"],
        *["closed", "cut", "foul", "refused", "silence"],
    ],
)
def test_audio_is_not_kept(end: str, speed: Optional[float], austen: Path) -> None:
    """Recordings are large: when `score()` has ended, nothing of it waits for the garbage collector."""
    audio = austen.read_bytes()

    def script(connection: Connection) -> None:
        if end == "refused":
            connection.read_request()
            connection.send_raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return
        connection.start()
        if end in ("after the audio", "bad_quality", "garbage"):
            connection.read_until_end()
        else:
            connection.read_frame()
        if end in ("failed", "bad_quality"):
            connection.send({"status": end})
        elif end == "garbage":
            connection.send("[]")
        elif end == "foul":
            connection.send_raw(frame(b"x", first=0x83))
        elif end not in ("closed", "cut", "silence"):
            connection.send(SUCCESS)
        if end == "closed":
            connection.send_close(1011)
        elif end != "cut":
            connection.finish()

    def on_status(status: Any) -> None:
        if end == "callback" and status.status == "success":
            raise KeyError("mine")

    timeout = 0.3 if end == "silence" else 10
    gc.disable()
    try:
        before = sys.getrefcount(audio)
        with contextlib.suppress(ElsaError, KeyError):
            scored(script, audio, speed=speed, timeout=timeout, bad_quality_grace=0.1, on_status=on_status)
        assert sys.getrefcount(audio) == before
    finally:
        gc.enable()


# The result.


def test_scores_real_speech_through_the_sandbox(austen: Path) -> None:
    """The main job: a recording goes out in packets, and the server's verdict comes back."""
    with Sandbox() as sandbox:
        result = score(austen, TOKEN, url=sandbox.url, speed=50)
        exchange = sandbox.exchanges[-1]
        assert exchange.pcm == austen.read_bytes()[44:]
        assert len(exchange.packets) == 50
        assert exchange.close_code == 1000
        assert exchange.config == {"api_plan": "standard", "return_json": True}
    assert result.status == result["status"] == "success"
    assert result.stream_id is not None
    assert result.stream_id in str(result.result_link)
    assert result.assessment is not None
    assert result.assessment.speakers[0].total_time == pytest.approx(24.73)
    assert result.audio_seconds == result.audio_seconds_sent == pytest.approx(24.73)
    assert (result.sample_rate, result.channels, result.sample_width) == (16000, 1, 2)
    assert [status["status"] for status in result.statuses] == ["processing", "processing", "accepted", "success"]


def test_timings_are_in_order(speech: Path) -> None:
    """Each moment of an exchange is told, in seconds since the call, and they follow one another."""
    timings = scored(after_audio(SUCCESS), speech).timings
    moments = [
        timings.connect,
        timings.start,
        timings.first_packet,
        timings.audio_sent,
        timings.verdict,
        timings.total,
    ]
    assert None not in moments
    assert moments == sorted(moments)  # type: ignore[type-var]


def test_result_is_the_servers_object_and_its_text(short: Path) -> None:
    """Legacy code indexes the result as it did the server's JSON; the text is what came, to the letter."""
    text = '{"status" : "success", "result_link":"https://e/r", "x": 1.50, "é": "\\u00e9"}'
    result = scored(after_audio(text), short)
    assert result["result_link"] == result.result_link == "https://e/r"
    assert result.audio_link is None
    assert dict(result) == json.loads(text)
    assert result.text == text


def test_options_reach_the_config_message(short: Path) -> None:
    """Plan, return_json and extra keys are sent in this order, without spaces."""
    with RawServer(after_audio(SUCCESS)) as server:
        score(
            short,
            TOKEN,
            url=server.url,
            api_plan="premium",
            return_json=False,
            extra={"force_grammar_vocab": True},
            speed=None,
        )
    config = server.connections[0].frames[0].payload
    assert config == b'{"api_plan":"premium","return_json":false,"force_grammar_vocab":true}'


def test_chunk_seconds_sets_the_packets(speech: Path) -> None:
    """chunk_seconds=1 sends packets of a second, and the tail."""
    with RawServer(after_audio(SUCCESS)) as server:
        score(speech, TOKEN, url=server.url, chunk_seconds=1, speed=None)
    packets = [frame.payload for frame in server.connections[0].frames[1:-2]]
    assert [len(packet) for packet in packets] == [32044, 32044, 32044, 44 + 105004 - 44 - 3 * 32000]


@pytest.mark.parametrize("form", ["str", "path", "bytes", "bytearray", "memoryview", "file", "bytesio", "segment"])
def test_each_form_of_input_sends_the_same(form: str, speech: Path) -> None:
    """A path, bytes, a file object and an AudioSegment of the same recording are sent alike."""
    data = speech.read_bytes()
    forms: Any = {
        "str": lambda: str(speech),
        "path": lambda: speech,
        "bytes": lambda: data,
        "bytearray": lambda: bytearray(data),
        "memoryview": lambda: memoryview(data),
        "bytesio": lambda: io.BytesIO(data),
        "segment": lambda: AudioSegment(data),
    }
    with Sandbox() as sandbox:
        if form == "file":
            with speech.open("rb") as file:
                score(file, TOKEN, url=sandbox.url, speed=None)
                assert not file.closed
        else:
            score(forms[form](), TOKEN, url=sandbox.url, speed=None)
        assert sandbox.exchanges[-1].pcm == data[44:]


def test_environment_gives_token_and_url(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """score(path) alone takes $ELSA_API_TOKEN and $ELSA_UNSCRIPTED_URL."""
    with RawServer(after_audio(SUCCESS)) as server:
        monkeypatch.setenv("ELSA_API_TOKEN", "from-the-environment")
        monkeypatch.setenv("ELSA_UNSCRIPTED_URL", server.url)
        score(short)
    assert b"\r\nAuthorization: ELSA from-the-environment\r\n" in server.connections[0].request


# What the server says.


def test_a_client_without_a_token_raises_when_it_scores(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it is made, as a module may do on import; a token that the environment has by then is taken."""
    monkeypatch.delenv("ELSA_API_TOKEN", raising=False)
    with Sandbox() as sandbox, Client(url=sandbox.url, speed=None) as client:
        for use in (lambda: client.score(short), lambda: client.open_stream(sample_rate=16000)):
            with pytest.raises(ConfigError, match="no token.*ELSA_API_TOKEN"):
                use()
        with pytest.raises(ConfigError, match="no token"):
            score(short, url=sandbox.url)
        with pytest.raises(ConfigError, match="no token"):
            score_many([short], url=sandbox.url)
        assert sandbox.handshakes == 0
        monkeypatch.setenv("ELSA_API_TOKEN", TOKEN)
        assert client.score(short).status == "success"
        assert sandbox.exchanges[0].headers["Authorization"] == f"ELSA {TOKEN}"


def test_greeting_in_the_segment_of_the_handshake_is_not_lost(short: Path) -> None:
    """A server that says everything before it was asked is heard all the same."""

    def script(connection: Connection) -> None:
        greeting = frame(b'{"type": "ELSA:wsConnect", "x": 1}') + frame(json.dumps(STREAM_ID).encode())
        connection.handshake(greeting)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    assert scored(script, short).stream_id == "stream-1"


@pytest.mark.parametrize(
    "greeting", [{"type": "ELSA:wsConnect"}, {"type": None}, {"hello": 1}, {}, {"status": None}, {"status": 7}]
)
def test_goes_on_after_whatever_object(greeting: Any, short: Path) -> None:
    """An object that isn't known, with or without a status of any type, ends nothing."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send(greeting)
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.send(greeting)
        connection.read_until_end()
        connection.send(greeting)
        connection.send(SUCCESS)
        connection.finish()

    assert scored(script, short).status == "success"


def test_statuses_are_reported_in_the_callers_thread(short: Path) -> None:
    """on_status gets each message that has a status, as a mapping with names, in order, the verdict included."""
    seen: List[Tuple[str, Any, int]] = []
    result = scored(
        after_audio({"status": "paused"}, {"status": "accepted"}, {"status": "odd", "n": 1}, SUCCESS),
        short,
        on_status=lambda status: seen.append((status.status, dict(status), threading.get_ident())),
    )
    assert [name for name, _, _ in seen] == ["processing", "paused", "accepted", "odd", "success"]
    assert [raw for _, raw, _ in seen] == [dict(status) for status in result.statuses]
    assert {thread for _, _, thread in seen} == {threading.get_ident()}


def test_progress_is_reported_in_the_callers_thread(speech: Path) -> None:
    """on_progress gets the seconds sent after each packet, up to the total."""
    seen: List[Tuple[float, float, int]] = []
    scored(after_audio(SUCCESS), speech, on_progress=lambda *at: seen.append((*at, threading.get_ident())))
    total = 104960 / 2 / 16000
    assert [sent for sent, _, _ in seen] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, total])
    assert {(whole, thread) for _, whole, thread in seen} == {(total, threading.get_ident())}


def test_automatic_endpoint_stops_the_audio(austen: Path) -> None:
    """A verdict in the middle of the audio is returned at once, and no more audio is sent."""

    def script(connection: Connection) -> None:
        connection.start()
        for _ in range(3):
            connection.read_frame()
        connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server:
        result = score(austen, TOKEN, url=server.url, speed=5)
    assert result.status == "success"
    assert 1.5 <= result.audio_seconds_sent < result.audio_seconds
    packets = [frame for frame in server.connections[0].frames if frame.opcode == 2]
    assert len(packets) < 50
    assert result.timings.audio_sent is None


def test_verdict_before_any_audio(short: Path) -> None:
    """A verdict in place of the stream id is the verdict; nothing was sent that could be billed."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.read_frame()
        connection.send({"status": "failed", "reason": "no credit"})
        connection.finish()

    error = failed(ScoringFailedError, script, short)
    assert (error.reason, error.phase, error.possibly_billed, error.audio_seconds_sent) == (
        "no credit",
        "start",
        False,
        0,
    )


def test_failed_verdict(short: Path) -> None:
    """status failed raises, with the reason, the history and what may be billed."""
    error = failed(ScoringFailedError, after_audio({"status": "failed", "reason": "too noisy"}), short)
    assert error.reason == "too noisy"
    assert "too noisy" in str(error)
    assert (error.phase, error.stream_id, error.possibly_billed) == ("result", "stream-1", True)
    assert [status["status"] for status in error.statuses] == ["processing", "failed"]
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)


def test_failed_verdict_without_a_reason(short: Path) -> None:
    """A missing reason is None, not an error of its own."""
    assert failed(ScoringFailedError, after_audio({"status": "failed"}), short).reason is None


def test_bad_quality_then_close(short: Path) -> None:
    """bad_quality is the verdict when the server closes after it."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send({"status": "bad_quality", "reason": "hum"})
        connection.send_close()

    error = failed(BadQualityError, script, short)
    assert error.reason == "hum"


def test_bad_quality_then_silence(short: Path) -> None:
    """bad_quality is the verdict when the server says nothing more for the grace."""
    error = failed(BadQualityError, after_audio({"status": "bad_quality"}), short, bad_quality_grace=0.1)
    assert error.phase == "result"


def test_bad_quality_in_mid_audio_waits_for_the_end_of_the_audio(speech: Path) -> None:
    """The grace begins once the audio has been sent: before, the server is not silent but listening."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        connection.send({"status": "bad_quality"})
        connection.read_until_end()
        connection.finish()

    error = failed(BadQualityError, script, speech, speed=10, bad_quality_grace=0.05)
    assert error.audio_seconds_sent == pytest.approx(3.28)


@pytest.mark.parametrize("verdict", [SUCCESS, {"status": "failed", "reason": "no"}])
def test_bad_quality_is_overridden(verdict: Any, short: Path) -> None:
    """success or failed after bad_quality is the verdict."""
    script = after_audio({"status": "bad_quality", "reason": "hum"}, verdict)
    if verdict is SUCCESS:
        assert scored(script, short).status == "success"
    else:
        assert failed(ScoringFailedError, script, short).reason == "no"


@pytest.mark.parametrize(
    "junk", ["not json", "", "[]", "null", "7", '"success"', b"\xff\xfe", '{"status": "success"', "[" * 10_000]
)
def test_malformed_verdict(junk: Any, short: Path) -> None:
    """What can't be read where the verdict is owed is a ProtocolError, at once."""
    error = failed(ProtocolError, after_audio(junk), short)
    assert (error.phase, error.possibly_billed) == ("result", True)


@pytest.mark.parametrize("junk", ["not json", "[]", b"\xff\xfe"])
def test_malformed_before_the_verdict_is_owed(junk: Any, speech: Path) -> None:
    """What can't be read earlier loses nothing: a verdict still counts."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.send(junk)
        connection.read_frame()
        connection.send(STREAM_ID)
        connection.read_frame()
        connection.send(junk)
        connection.read_until_end()
        connection.send(SUCCESS)
        connection.finish()

    assert scored(script, speech, speed=5).status == "success"


def test_binary_verdict(short: Path) -> None:
    """A verdict in a binary message is read as the reference reads it."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(json.dumps(SUCCESS), opcode=2)
        connection.finish()

    assert scored(script, short).status == "success"


def test_large_verdict_in_fragments_with_pings(short: Path) -> None:
    """A verdict of 2 MB in 500 frames, with pings between, arrives whole, and the pings are answered.

    While the client is still sending, a pong waits, and a later one may answer for it, too (RFC 6455, 5.5.3).
    """
    verdict = {"status": "success", "filler": "é" * 1_000_000}
    data = json.dumps(verdict, ensure_ascii=False).encode()
    size = len(data) // 499

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        for number, part in enumerate(parts):
            connection.send(part, opcode=0 if number else 1, fin=number == len(parts) - 1)
            if number % 100 == 0:
                connection.send(b"%d" % number, opcode=PING)
        connection.finish()

    with RawServer(script) as server:
        result = score(short, TOKEN, url=server.url, speed=None)
    assert dict(result) == verdict
    pongs = [frame.payload for frame in server.connections[0].frames if frame.opcode == PONG]
    assert pongs[-1] == b"400"
    assert pongs == [ping for ping in [b"0", b"100", b"200", b"300", b"400"] if ping in pongs]


def test_message_that_is_too_long(short: Path) -> None:
    """A message beyond max_message_bytes is refused while it arrives, not when it is whole."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send_raw(b"\x81\x7f" + (2**40).to_bytes(8, "big"))
        while True:
            connection.send_raw(b"x" * 65536)

    error = failed(ProtocolError, script, short, max_message_bytes=2**20)
    assert "1048576" in str(error)


# The end of the connection.


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4000, None])
def test_close_before_a_verdict(code: Optional[int], short: Path) -> None:
    """A close frame where a verdict is owed raises at once, with its code and reason."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send_close(code, "" if code is None else "bye")
        assert connection.read_frame() == (8, b"\x03\xe8")

    error = failed(StreamClosedError, script, short)
    assert (error.code, error.reason) == ((1005, "") if code is None else (code, "bye"))
    assert (error.phase, error.possibly_billed) == ("result", True)


def test_close_in_mid_audio(austen: Path) -> None:
    """A close in the middle of the audio raises at once, and tells how much was sent."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        connection.read_frame()
        connection.send_close(1011)

    error = failed(StreamClosedError, script, austen, speed=10)
    assert error.code == 1011
    assert error.phase == "audio"
    assert error.audio_seconds == pytest.approx(24.73)
    assert 1.0 <= error.audio_seconds_sent <= 2.0


@pytest.mark.slow(everywhere=True)
def test_seconds_are_sums_of_frames(short: Path) -> None:
    """However short the packets are asked for, the seconds that were sent are those that the server heard."""
    heard: List[int] = []

    def script(connection: Connection) -> None:
        connection.start()
        for _ in range(4960):
            heard.append((len(connection.read_frame().payload) - 44) // 2)
        connection.read_frame()
        connection.send(SUCCESS)
        connection.finish()

    told: List[float] = []
    result = scored(script, short, chunk_seconds=1e-5, speed=None, on_progress=lambda sent, total: told.append(sent))
    assert result.audio_seconds_sent == result.audio_seconds == sum(heard) / 16000 == told[-1]


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_lost_connection(how: str, speech: Path) -> None:
    """A connection that breaks without a close frame is code 1006, with the cause chained."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        getattr(connection, how)()

    error = failed(StreamClosedError, script, speech, speed=10)
    assert error.code == 1006
    assert error.__cause__ is not None


@pytest.mark.parametrize("end", ["cut", "reset", "close"])
def test_verdict_just_before_the_end_is_returned(end: str, austen: Path) -> None:
    """A verdict that is followed at once by a close, a cut or a reset is not lost, even in mid-audio."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_frame()
        connection.send(SUCCESS)
        if end == "close":
            connection.send_close(1011)
        else:
            getattr(connection, end)()

    assert scored(script, austen, speed=None).status == "success"


def test_reserved_opcode(short: Path) -> None:
    """A frame that breaks the WebSocket protocol is a ProtocolError, at once."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send_raw(frame(b"x", first=0x83))
        connection.read_until_closed()

    failed(ProtocolError, script, short)


# Time.


@pytest.mark.parametrize("last", ["close", "bad_quality", "success"])
def test_what_has_come_counts_before_the_clock(last: str, short: Path) -> None:
    """What the server had said by the time that the caller looks again counts, though the deadline has passed."""
    said = threading.Event()

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send({"status": "accepted"})
        if last != "close":
            connection.send({"status": last})
        connection.send_close(1011, "bye")
        said.set()

    def busy(status: Any) -> None:
        if status.status == "accepted":
            assert said.wait(10)
            time.sleep(0.7)  # the messages arrive, and the deadline passes

    options: Any = {"timeout": 0.6, "on_status": busy}
    if last == "success":
        assert scored(script, short, **options).status == "success"
    elif last == "bad_quality":
        failed(BadQualityError, script, short, **options)
    else:
        assert failed(StreamClosedError, script, short, **options).code == 1011


def test_no_stream_id(short: Path) -> None:
    """A server that never names a stream is waited for as long as timeout says."""

    def script(connection: Connection) -> None:
        connection.handshake()
        connection.finish()

    error = failed(ScoreTimeoutError, script, short, timeout=0.3)
    assert (error.phase, error.possibly_billed) == ("start", False)
    assert isinstance(error, TimeoutError)


def test_no_verdict(short: Path) -> None:
    """A server that never gives a verdict is waited for as long as timeout says, beside the audio."""
    error = failed(ScoreTimeoutError, after_audio(), short, timeout=0.3)
    assert (error.phase, error.possibly_billed) == ("result", True)


@pytest.mark.slow
def test_endless_chatter(short: Path) -> None:
    """Messages without end don't keep the call from ending."""

    def script(connection: Connection) -> None:
        connection.start()
        while True:
            connection.send({"status": "processing"})

    error = failed(ScoreTimeoutError, script, short, timeout=0.5)
    assert len(error.statuses) <= 10_000


def test_verdict_during_the_closing_handshake_counts(short: Path) -> None:
    """A verdict that arrives between the deadline and the end of the connection is returned."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        while connection.read_frame().opcode != 8:
            pass
        connection.send(SUCCESS)
        connection.send_close()

    assert scored(script, short, timeout=0.3).status == "success"


def large(audio: Path) -> AudioSegment:
    """Returns more than what a connection takes before anybody reads."""
    return AudioSegment(audio.read_bytes()).set_frame_rate(48000).set_channels(2) * 8


def reads_nothing(connection: Connection) -> None:
    connection.start()
    connection.wait(30)


def test_server_that_reads_nothing(austen: Path) -> None:
    """A full connection blocks the audio, not the call."""
    audio = large(austen)
    error = failed(ScoreTimeoutError, reads_nothing, audio, timeout=0.5)
    assert error.phase == "audio"
    assert 0 < error.audio_seconds_sent < audio.duration_seconds


def test_deadline_grows_with_what_is_sent(austen: Path) -> None:
    """A server that stops reading after the first packets gains the time of these, not that of the whole recording."""
    audio = large(austen)
    speed = 20.0
    started = time.monotonic()
    error = failed(ScoreTimeoutError, reads_nothing, audio, timeout=0.5, speed=speed, close_timeout=0.2)
    took = time.monotonic() - started
    assert 0 < error.audio_seconds_sent < audio.duration_seconds / 2
    assert error.audio_seconds == pytest.approx(audio.duration_seconds)
    assert 0.5 < took < 0.5 + error.audio_seconds_sent / speed + 0.2 + 3 < audio.duration_seconds / speed


@pytest.mark.slow(everywhere=True)
def test_packets_put_the_deadline_off(speech: Path) -> None:
    """Audio that takes longer than `timeout` is sent whole: each packet brings its own time along."""
    result = scored(after_audio(SUCCESS), speech, timeout=1, speed=1)
    assert result.audio_seconds_sent == result.audio_seconds > 3


def test_a_stream_that_stalls_needs_no_further_thread(austen: Path) -> None:
    """A paced stream whose connection takes no more goes on where no thread can be started, up to its deadline."""
    audio = large(austen)
    with RawServer(reads_nothing) as server:
        try:
            with pytest.raises(ScoreTimeoutError) as caught:
                score(
                    audio,
                    TOKEN,
                    url=server.url,
                    speed=400,
                    timeout=0.5,
                    on_progress=lambda *_: threading.stack_size(2**46),
                )
        finally:
            threading.stack_size(0)
    assert caught.value.possibly_billed
    assert 0 < caught.value.audio_seconds_sent < audio.duration_seconds


def test_verdict_of_a_server_that_reads_nothing(austen: Path) -> None:
    """A full connection delays neither a ping nor the verdict behind it."""
    stopped = threading.Event()

    def script(connection: Connection) -> None:
        connection.start()
        stopped.wait(0.5)  # the time in which the connection fills up
        connection.send(b"are you there", opcode=PING)
        connection.send(SUCCESS)
        stopped.wait(30)

    audio = AudioSegment(austen.read_bytes()).set_frame_rate(48000).set_channels(2) * 8
    with RawServer(script) as server:
        try:
            result = score(audio, TOKEN, url=server.url, speed=None, close_timeout=0.2)
        finally:
            stopped.set()
    assert result.audio_seconds_sent < result.audio_seconds


@pytest.mark.slow
def test_fragments_that_go_on_after_the_end(short: Path) -> None:
    """A flood that goes on after the deadline is not read on: the thread ends with the call."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(b" " * 8_000_000, fin=False)
        many = frame(b" ", opcode=0, fin=False) * 2000
        while True:
            connection.send_raw(many)

    failed(ScoreTimeoutError, script, short, timeout=0.5)


# Connecting.


def test_refused(short: Path) -> None:
    """A port that nobody listens on is a ConnectError that names it."""
    port = closed_port()
    with pytest.raises(ConnectError, match=f"127.0.0.1:{port} refused") as caught:
        score(short, TOKEN, url=f"ws://127.0.0.1:{port}", connect_retries=1)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert (caught.value.phase, caught.value.audio_seconds_sent, caught.value.possibly_billed) == ("connect", 0, False)
    assert caught.value.audio_seconds == pytest.approx(0.31)


def test_unknown_host(short: Path) -> None:
    """A host name that doesn't exist is a ConnectError that names it."""
    with pytest.raises(ConnectError, match="nowhere.invalid"):
        score(short, TOKEN, url="wss://nowhere.invalid", connect_timeout=5, proxy=None)


def test_hanging_handshake(short: Path) -> None:
    """A server that accepts and says nothing costs connect_timeout, retries included."""
    with Sandbox("hang-handshake") as sandbox, pytest.raises(ConnectError, match="timed out"):
        score(short, TOKEN, url=sandbox.url, connect_timeout=0.3)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP"),
        (b"HTTP/1.1\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage", "HTTP 200"),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "did not answer as a WebSocket server"),
        (
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "WebSocket",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "headers"),
    ],
)
def test_server_that_is_none(answer: bytes, hint: str, short: Path) -> None:
    """Whatever answers in place of a WebSocket server is a ConnectError, at once, and not tried again."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(answer)
        connection.read_until_closed()

    with RawServer(script) as server, pytest.raises(ConnectError, match=hint):
        score(short, TOKEN, url=server.url)
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("scenario", "kind", "code"),
    [("401", AuthenticationError, 401), ("403", AuthenticationError, 403)],
)
def test_refused_token(scenario: str, kind: type[ElsaError], code: int, short: Path) -> None:
    """A refused token is told as such, and not tried again."""
    with Sandbox(scenario) as sandbox:
        with pytest.raises(kind) as caught:
            score(short, TOKEN, url=sandbox.url)
        assert sandbox.handshakes == 1
    assert getattr(caught.value, "status_code", None) == code


def test_rate_limit_beyond_the_budget(short: Path) -> None:
    """A Retry-After that connect_timeout has no room for is told to the caller, not waited for."""
    with Sandbox("429=30") as sandbox:
        with pytest.raises(RateLimitedError) as caught:
            score(short, TOKEN, url=sandbox.url)
        assert sandbox.handshakes == 1
    assert (caught.value.status_code, caught.value.retry_after) == (429, 30)


def test_503_once_is_tried_again(short: Path) -> None:
    """An attempt to connect that fails for now is made again."""
    with Sandbox("503-once") as sandbox:
        assert score(short, TOKEN, url=sandbox.url, speed=None).status == "success"
        assert sandbox.handshakes == 2


def test_connect_retries_is_the_number_of_retries(short: Path) -> None:
    """connect_retries=1 makes two attempts; a stream that began is never retried."""

    def refuse(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with RawServer(refuse) as server, pytest.raises(ConnectError, match="502"):
        score(short, TOKEN, url=server.url, connect_retries=1)
    assert len(server.connections) == 2

    with RawServer(lambda connection: connection.start()) as server, pytest.raises(StreamClosedError):
        score(short, TOKEN, url=server.url)
    assert len(server.connections) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(status: int, short: Path) -> None:
    """A redirect is refused: neither the token nor anything else goes to the other server."""
    with RawServer(lambda connection: connection.read_request()) as other:

        def script(connection: Connection) -> None:
            connection.read_request()
            head = f"HTTP/1.1 {status} Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
            connection.send_raw(head.encode())

        with RawServer(script) as server, pytest.raises(ConnectError, match="redirect") as caught:
            score(short, TOKEN, url=server.url)
        assert caught.value.status_code == status
        assert other.connections == []


# The caller.


def test_bad_audio_is_told_before_connecting(tmp_path: Path) -> None:
    """A missing file raises at once; the server never hears of it."""
    with RawServer(after_audio(SUCCESS)) as server:
        with pytest.raises(AudioError, match="missing.wav"):
            score(tmp_path / "missing.wav", TOKEN, url=server.url)
        assert server.connections == []


def _cancelling(client: Client, started: threading.Event) -> threading.Thread:
    def cancel() -> None:
        started.wait(10)
        time.sleep(0.1)
        client.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    return thread


@pytest.mark.parametrize("phase", ["connect", "start", "audio", "result"])
def test_cancel_at_each_phase(phase: str, austen: Path, short: Path) -> None:
    """Client.cancel() from another thread ends score() at once, wherever it is."""
    reached = threading.Event()

    def script(connection: Connection) -> None:
        if phase == "connect":
            connection.read_request()
            reached.set()
            connection.read_until_closed()
        connection.handshake()
        connection.read_frame()
        if phase == "start":
            reached.set()
            connection.finish()
        connection.send(STREAM_ID)
        connection.read_frame()
        if phase == "audio":
            reached.set()
            connection.finish()
        connection.read_until_end()
        reached.set()
        connection.finish()

    with RawServer(script) as server, Client(TOKEN, url=server.url) as client:
        thread = _cancelling(client, reached)
        with pytest.raises(ScoreCancelledError) as caught:
            client.score(austen if phase == "audio" else short)
        thread.join()
    assert caught.value.phase == phase
    assert caught.value.possibly_billed == (phase in ("audio", "result"))
    if phase != "connect":
        assert server.connections[0].frames[-1] == (8, b"\x03\xe8")


def test_cancel_between_two_attempts(short: Path) -> None:
    """cancel() ends the wait for the next attempt to connect."""
    refused = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send_raw(b"HTTP/1.1 503 Busy\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n")
        refused.set()

    with RawServer(script) as server, Client(TOKEN, url=server.url, connect_timeout=40) as client:
        started = time.monotonic()
        thread = _cancelling(client, refused)
        with pytest.raises(ScoreCancelledError) as caught:
            client.score(short)
        thread.join()
    assert time.monotonic() - started < 10
    assert caught.value.phase == "connect"
    assert len(server.connections) == 1


def test_cancel_overtakes_what_is_waiting(short: Path) -> None:
    """cancel() doesn't wait until a slow callback has been through all that the server said."""
    flooded = threading.Event()

    def script(connection: Connection) -> None:
        connection.start()
        for _ in range(500):
            connection.send({"status": "processing"})
        flooded.set()
        connection.finish()

    seen: List[object] = []

    def slow(status: object) -> None:
        assert flooded.wait(10)
        seen.append(status)
        time.sleep(0.02)

    with RawServer(script) as server, Client(TOKEN, url=server.url) as client:
        thread = _cancelling(client, flooded)
        with pytest.raises(ScoreCancelledError):
            client.score(short, on_status=slow)
        thread.join()
    assert len(seen) < 250


def test_callback_that_fails_on_a_late_verdict(short: Path) -> None:
    """What a callback raises comes through as it is from a verdict that came late, too."""

    class Mine(Exception):
        pass

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        while connection.read_frame().opcode != 8:
            pass
        connection.send(SUCCESS)
        connection.send_close()

    def on_status(status: Any) -> None:
        if status.status == "success":
            raise Mine

    with RawServer(script) as server, pytest.raises(Mine):
        score(short, TOKEN, url=server.url, speed=None, timeout=0.3, on_status=on_status)


def test_cancelled_client_can_be_used_again(short: Path) -> None:
    """cancel() ends what runs; close() refuses more."""
    with RawServer(after_audio(SUCCESS)) as server:
        client = Client(TOKEN, url=server.url, speed=None)
        client.cancel()
        assert client.score(short).status == "success"
        client.close()
        with pytest.raises(ConfigError, match="closed"):
            client.score(short)


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("callback", ["on_status", "on_progress"])
def test_exception_of_a_callback_comes_through(callback: str, austen: Path) -> None:
    """What a callback raises reaches the caller, after a closing handshake."""

    class Mine(Exception):
        pass

    def raise_mine(*_: object) -> None:
        raise Mine

    with RawServer(after_audio(SUCCESS)) as server, pytest.raises(Mine):
        score(austen, TOKEN, url=server.url, speed=10, **{callback: raise_mine})  # type: ignore[arg-type]
    assert server.connections[0].frames[-1] == (8, b"\x03\xe8")


@pytest.mark.parametrize("then", ["success", "silence"])
def test_elsa_error_of_a_callback_is_the_callers(then: str, speech: Path) -> None:
    """An ElsaError that a callback raises, of an exchange of its own, comes through untouched."""
    mine = AudioError("mine")

    def raise_mine(_: object) -> None:
        raise mine

    def script(connection: Connection) -> None:
        connection.start()
        if then == "success":
            connection.send(SUCCESS)
        connection.finish()

    with RawServer(script) as server, pytest.raises(AudioError) as caught:
        score(speech, TOKEN, url=server.url, on_status=raise_mine)
    assert caught.value is mine
    assert mine.phase is None


@pytest.mark.slow
def test_chatter_and_a_slow_callback(short: Path) -> None:
    """A flood of messages that a slow callback can't keep up with neither fills the memory nor delays the end."""
    reported = 0

    def script(connection: Connection) -> None:
        connection.start()
        while True:
            connection.send({"status": "processing"})

    def slow(_: object) -> None:
        nonlocal reported
        reported += 1
        time.sleep(0.001)

    started = time.monotonic()
    failed(ScoreTimeoutError, script, short, timeout=0.5, on_status=slow)
    assert time.monotonic() - started < 20
    assert reported < 2000


def test_pings_are_not_part_of_a_message(short: Path) -> None:
    """Pings, between messages and amid one, don't count towards max_message_bytes."""

    def script(connection: Connection) -> None:
        connection.start()
        connection.read_until_end()
        connection.send(b'{"status": ', fin=False)
        for _ in range(40):
            connection.send(b"x" * 60, opcode=PING)
        connection.send(b'"success"}', opcode=0)
        connection.finish()

    assert scored(script, short, max_message_bytes=1024).status == "success"


@pytest.mark.slow(everywhere=True)
def test_many_threads_share_a_client(speech: Path) -> None:
    """One Client serves many threads at once, an exchange to each call."""
    with Sandbox() as sandbox, Client(TOKEN, url=sandbox.url, speed=20) as client:
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda _: client.score(speech), range(64)))
        assert len({result.stream_id for result in results}) == 64
        assert {exchange.pcm for exchange in sandbox.exchanges} == {speech.read_bytes()[44:]}


def test_client_takes_a_config(short: Path) -> None:
    """A Config made beforehand is an alternative to options, not an addition."""
    with RawServer(after_audio(SUCCESS)) as server:
        config = Config(TOKEN, url=server.url, speed=None)
        with Client(config=config) as client:
            assert client.score(short).status == "success"
            assert TOKEN not in repr(client)
    with pytest.raises(ConfigError, match="either"):
        Client(TOKEN, config=config)
