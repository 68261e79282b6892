"""Whatever a server says or does wrong, recording it and replaying it gives the client what it gets straight."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
from faults import FAULTS, Fault
from pydub import AudioSegment
from rawserver import Connection, RawServer
from test_faults import PATIENT, QUICK, TOKEN

from elsa_unscripted import ConnectError, ElsaError, ScoreTimeoutError, score
from elsa_unscripted.sandbox import Sandbox

SILENCE = 1.5  # s, the timeout where it is to pass


def _reset_after_the_request(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


# A reset at once may come before the recorder is connected: then the service can't be reached, and nothing is recorded.
TAPED = [
    *(fault for fault in FAULTS if fault.name != "reset at once"),
    Fault("reset after the request", _reset_after_the_request, ConnectError, "connect", options={"connect_retries": 0}),
]


@pytest.mark.slow  # half a second each, mostly waiting
@pytest.mark.parametrize("fault", TAPED, ids=lambda fault: fault.name)
def test_a_fault_is_recorded_and_replayed(fault: Fault, speech: Path, tmp_path: Path) -> None:
    """The outcome is as straight, where `test_fault` holds it: on the way through the recorder, and from the tape."""
    audio, tape = speech, tmp_path / "tape.jsonl"
    # To be silent costs nothing, so time is left for the audio on a busy machine; to chatter costs processor time.
    late = QUICK["timeout"] if "without end" in fault.name else SILENCE
    options = {**QUICK, "timeout": late if fault.error is ScoreTimeoutError else PATIENT, **fault.options}
    if fault.name == "a server that reads nothing":
        # More than the buffers between client, recorder and server hold: 20 MB weren't enough on a busy machine, as one
        # whose owner reads grows up to `net.ipv4.tcp_rmem`, 33 MB there.
        audio = tmp_path / "long.wav"
        (AudioSegment(speech.read_bytes()).set_frame_rate(48000).set_channels(2) * 90).export(audio, "wav").close()
        options["speed"] = None
    with RawServer(fault.script) as server, Sandbox(record=tape, upstream=server.url) as sandbox:
        check(fault, audio, sandbox.url, options)
    assert len(server.connections) == fault.connections
    with Sandbox(replay=tape, strict=True) as sandbox:
        check(fault, audio, sandbox.url, options)
    assert sandbox.handshakes == fault.connections
    assert sandbox.unplayed == ()
    assert TOKEN.encode() not in tape.read_bytes()


def check(fault: Fault, audio: Path, url: str, options: Dict[str, Any]) -> None:
    if fault.error is None:
        assert score(audio, TOKEN, url=url, **options).status == "success"
        return
    with pytest.raises(ElsaError) as caught:
        score(audio, TOKEN, url=url, **options)
    error: Any = caught.value
    assert type(error) is fault.error
    if fault.phase is not None:
        assert error.phase == fault.phase
    if fault.code is not None:
        assert fault.code in (getattr(error, "code", None), getattr(error, "status_code", None))
    assert [words for words in fault.says if words not in str(error)] == []
