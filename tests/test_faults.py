"""Each fault of a server has the right outcome, within the promised bound, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, Fault
from leaks import watching_for
from pydub import AudioSegment
from rawserver import RawServer

from elsa_unscripted import ElsaError, ScoreTimeoutError, score

TOKEN = "the-secret-token"
QUICK = {"connect_timeout": 5.0, "timeout": 0.4, "close_timeout": 0.2, "bad_quality_grace": 0.1, "speed": 20.0}
PATIENT = 10.0  # s, the timeout where none is to pass
GUARD = 20.0  # s beyond the promise, for a machine that is busy


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, speech: Path) -> None:
    """The error's type, phase, code and bill are as they should be; the call ends when it must, and tells no token."""
    audio: Any = speech
    timeout = {} if fault.error is ScoreTimeoutError else {"timeout": PATIENT}
    options = {**QUICK, **timeout, **fault.options}
    if fault.name == "a server that reads nothing":
        audio = AudioSegment(speech.read_bytes()).set_frame_rate(48000).set_channels(2) * 30
        options["speed"] = None
    started = time.monotonic()
    with watching_for(TOKEN) as leaks, RawServer(fault.script) as server:
        if fault.error is None:
            result = score(audio, TOKEN, url=server.url, **options)
            assert result.status == "success"
            leaks.look_at(repr(result) + repr(result.statuses))
        else:
            with pytest.raises(ElsaError) as caught:
                score(audio, TOKEN, url=server.url, **options)
            leaks.look_at_error(caught.value)
        took = time.monotonic() - started
    assert leaks.found == []
    bound = (
        options["connect_timeout"]
        + 3.28 / (options["speed"] or QUICK["speed"])
        + options["timeout"]
        + options["close_timeout"]
    )
    assert took < bound + GUARD
    assert len(server.connections) == fault.connections
    if fault.error is None:
        return
    error: Any = caught.value
    assert type(error) is fault.error
    if fault.phase is not None:
        assert error.phase == fault.phase
    if fault.code is not None:
        assert fault.code in (getattr(error, "code", None), getattr(error, "status_code", None))
    packets = [frame for frame in server.connections[-1].frames if frame.opcode == 2]
    assert error.possibly_billed == (bool(packets) or error.phase == "audio")
    assert error.audio_seconds_sent >= 0.5 * (len(packets) - 1)
    assert (error.stream_id is None) == (error.phase in ("connect", "start"))
