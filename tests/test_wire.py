"""The wire is the reference client's, frame by frame: `data/wire/transcripts.json` holds what it sent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from rawserver import CLOSE, STREAM_ID, SUCCESS, TEXT, Connection, Frame, RawServer

from elsa_unscripted import score

WIRE = Path(__file__).parent / "data" / "wire"
TRANSCRIPTS: Dict[str, Any] = json.loads((WIRE / "transcripts.json").read_text())


def healthy(connection: Connection) -> None:
    connection.handshake()
    connection.read_frame()
    connection.send(STREAM_ID)
    connection.read_until_end()
    connection.send(SUCCESS)
    connection.read_frame()
    connection.send_close()


def described(frame: Frame) -> Dict[str, Any]:
    text: Dict[str, Any] = {"text": frame.payload.decode()} if frame.opcode == TEXT else {}
    return {
        "kind": "text" if frame.opcode == TEXT else "binary",
        "bytes": len(frame.payload),
        "sha256": hashlib.sha256(frame.payload).hexdigest(),
        **text,
    }


def frames_of(path: Path, speed: Optional[float]) -> tuple[bytes, List[Frame]]:
    with RawServer(healthy) as server:
        score(path, "TOKEN", url=server.url, speed=speed)
    (connection,) = server.connections
    return connection.request, connection.frames


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
def test_frames_are_the_references(name: str) -> None:
    """For each recorded WAV, every message, its kind, length and bytes equal the reference client's."""
    transcript = TRANSCRIPTS[name]
    assert hashlib.sha256((WIRE / name).read_bytes()).hexdigest() == transcript["input_sha256"]
    request, frames = frames_of(WIRE / name, speed=None)
    assert f"\r\nAuthorization: {transcript['authorization']}\r\n".encode() in request
    assert [described(frame) for frame in frames if frame.opcode != CLOSE] == transcript["frames"]


def test_transcripts_cover_every_wav() -> None:
    """No WAV beside the transcripts is left out of the comparison."""
    assert {path.name for path in WIRE.glob("*.wav")} == set(TRANSCRIPTS)


def test_frames_are_the_same_at_any_speed() -> None:
    """Pacing changes when a frame leaves, not what is in it."""
    name = "short.wav"
    _, paced = frames_of(WIRE / name, speed=20)
    assert [described(frame) for frame in paced if frame.opcode != CLOSE] == TRANSCRIPTS[name]["frames"]


def test_exchange_ends_with_a_normal_close() -> None:
    """The client closes with 1000, once, and sends nothing after it."""
    _, frames = frames_of(WIRE / "short.wav", speed=None)
    assert frames[-1] == Frame(CLOSE, b"\x03\xe8")
    assert [frame.opcode for frame in frames].count(CLOSE) == 1
