"""What a client must send: each rule of the protocol as a check; used by `call` on every message.

The literals are spelled here on purpose, and not shared with the client.
"""

from __future__ import annotations

import io
import json
import re
import wave
from typing import Any, NamedTuple

AUTHORIZATION = re.compile(r"ELSA (\S(?:.*\S)?)")
END_STREAM = '{"type": "ELSA:end_stream"}'
PLANS = ("standard", "premium")
WAV_HEADER_BYTES = 44


class Breach(Exception):
    """What a client did against the protocol. The client gets its text as the reason of a `failed`."""


class Format(NamedTuple):
    """How PCM is laid out; `sample_width` is in bytes, `sample_rate` in Hz."""

    sample_rate: int
    channels: int
    sample_width: int


def read_config(message: str | bytes, *, any_plan: bool = False) -> dict[str, Any]:
    """Returns the config that the first message of a client must be.

    Args:
        message: What the client sent.
        any_plan: Whether plans may be asked for that ELSA doesn't have.
    """
    if isinstance(message, bytes):
        raise Breach("the first message must be the config, as text; it is binary")
    try:
        config = json.loads(message)
    except (ValueError, RecursionError):
        raise Breach("the first message must be the config; it is not JSON") from None
    if not isinstance(config, dict):
        raise Breach("the config must be a JSON object")
    if list(config)[:2] != ["api_plan", "return_json"]:
        raise Breach("the config must begin with api_plan and return_json, in this order")
    if config["api_plan"] not in PLANS and not (any_plan and isinstance(config["api_plan"], str)):
        raise Breach(f"api_plan must be one of {', '.join(PLANS)}")
    if not isinstance(config["return_json"], bool):
        raise Breach("return_json must be true or false")
    return config


def read_packet(message: str | bytes, number: int, known: Format | None, *, half_frames: bool = False) -> Format:
    """Returns the format of an audio packet.

    Args:
        message: What the client sent, which must be a complete WAV file with a plain header.
        number: Which packet it is, from 0.
        known: The format of the packets before it.
        half_frames: Whether it may end in half a frame.
    """
    if isinstance(message, str):
        raise Breach(f"text in mid-stream that is not exactly {END_STREAM}")
    if len(message) < WAV_HEADER_BYTES or message[:4] != b"RIFF" or message[36:40] != b"data":
        raise Breach(f"packet {number} is not a WAV file with a header of {WAV_HEADER_BYTES} bytes")
    _check_size(message, number, "RIFF", offset=4, left=len(message) - 8)
    _check_size(message, number, "data", offset=40, left=len(message) - WAV_HEADER_BYTES)
    try:
        with wave.open(io.BytesIO(message)) as file:
            found = Format(file.getframerate(), file.getnchannels(), file.getsampwidth())
    except (wave.Error, EOFError) as error:
        raise Breach(f"packet {number} is not a PCM WAV file: {error}") from None
    frame_bytes = found.channels * found.sample_width
    if len(message) == WAV_HEADER_BYTES:
        raise Breach(f"packet {number} holds no audio")
    if (len(message) - WAV_HEADER_BYTES) % frame_bytes and not half_frames:
        raise Breach(f"packet {number} does not hold whole frames of {frame_bytes} bytes")
    if known is not None and found != known:
        raise Breach(f"packet {number} changes the format from {tuple(known)} to {tuple(found)}")
    return found


def _check_size(packet: bytes, number: int, chunk: str, *, offset: int, left: int) -> None:
    stated = int.from_bytes(packet[offset : offset + 4], "little")
    if stated != left:
        raise Breach(f"packet {number} states a {chunk} size of {stated}; it is {left}")
