"""Each fault of a server has the right outcome, within the promised bound, and leaves nothing behind."""

from __future__ import annotations

import time
import wave
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from faults import FAULTS, Fault
from leaks import watching_for
from pydub import AudioSegment
from rawserver import RawServer

from elsa_unscripted import Client, ElsaError, LiveAudio, ScoreResult, ScoreTimeoutError, score

TOKEN = "the-secret-token"
QUICK = {"connect_timeout": 5.0, "timeout": 0.4, "close_timeout": 0.2, "bad_quality_grace": 0.1, "speed": 80.0}
PATIENT = 10.0  # s, the timeout where none is to pass
LATE = 1.5  # s, the timeout where the server is to say something before: on a busy machine it is late
GUARD = 20.0  # s beyond the promise, for a machine that is busy


def recorded(audio: Path, url: str, options: Dict[str, Any]) -> ScoreResult:
    return score(audio, TOKEN, url=url, **options)


def pulled(audio: Path, url: str, options: Dict[str, Any]) -> ScoreResult:
    """Scores the same as speech that comes from a generator."""
    return score(LiveAudio(_pieces(audio)), TOKEN, url=url, **options)


def pushed(audio: Path, url: str, options: Dict[str, Any]) -> ScoreResult:
    """Scores the same as raw PCM that is pushed."""
    with wave.open(str(audio)) as wav:
        how = {"sample_rate": wav.getframerate(), "channels": wav.getnchannels(), "sample_width": wav.getsampwidth()}
        pcm = wav.readframes(wav.getnframes())
    with Client(TOKEN, url=url, **options) as client, client.open_stream(**how) as stream:
        for at in range(0, len(pcm), 1000):
            if not stream.send_audio(pcm[at : at + 1000]):
                break
        return stream.finish()


def _pieces(audio: Path) -> Iterator[bytes]:
    with audio.open("rb") as file:
        yield from iter(lambda: file.read(1000), b"")


@pytest.mark.parametrize("way", [recorded, pulled, pushed])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(
    fault: Fault, way: Callable[[Path, str, Dict[str, Any]], ScoreResult], speech: Path, tmp_path: Path
) -> None:
    """The error's type, phase, code and bill are as they should be; the call ends when it must, and tells no token."""
    audio = speech
    late = {"timeout": LATE} if fault.says else {}
    timeout = late if fault.error is ScoreTimeoutError else {"timeout": PATIENT}
    options = {**QUICK, **timeout, **fault.options}
    if fault.name == "a server that reads nothing":
        audio = tmp_path / "long.wav"
        (AudioSegment(speech.read_bytes()).set_frame_rate(48000).set_channels(2) * 30).export(audio, "wav").close()
        options["speed"] = None
    started = time.monotonic()
    with watching_for(TOKEN) as leaks, RawServer(fault.script) as server:
        if fault.error is None:
            result = way(audio, server.url, options)
            assert result.status == "success"
            leaks.look_at(repr(result) + repr(result.statuses))
        else:
            with pytest.raises(ElsaError) as caught:
                way(audio, server.url, options)
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
    assert [words for words in fault.says if words not in str(error)] == []
    if fault.code is not None:
        assert fault.code in (getattr(error, "code", None), getattr(error, "status_code", None))
    packets = [frame for frame in server.connections[-1].frames if frame.opcode == 2]
    assert error.possibly_billed == (bool(packets) or error.phase == "audio")
    assert error.audio_seconds_sent >= 0.5 * (len(packets) - 1)
    assert (error.stream_id is None) == (error.phase in ("connect", "start"))
