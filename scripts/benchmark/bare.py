"""The bare loop: the same exchange with `websocket-client` alone, which the benchmark compares the client with.

It does only what no client can do without: it handles no errors, reads only WAV, and bounds no wait.
"""

from __future__ import annotations

import json
import struct
import time
import wave
from pathlib import Path
from typing import Any, Optional

import websocket
from audio import CHUNK


def exchange(url: str, path: Path, speed: Optional[float] = None, most: Optional[int] = None) -> Any:
    """Streams a WAV and returns the verdict.

    Args:
        url: Where to.
        path: The recording.
        speed: Seconds of audio in a second; `None` sends as fast as possible.
        most: Packets after which to give up and close.
    """
    with wave.open(str(path), "rb") as file:
        rate, width = file.getframerate(), file.getsampwidth() * file.getnchannels()
        header = struct.pack("<IHHIIHH", 16, 1, file.getnchannels(), rate, rate * width, width, file.getsampwidth() * 8)
        pcm = memoryview(file.readframes(file.getnframes()))
    size = int(rate * CHUNK) * width
    connection = websocket.create_connection(url, header=["Authorization: ELSA any-token"])
    try:
        connection.send('{"api_plan":"standard","return_json":true}')
        connection.recv()
        began = time.monotonic()
        for number, start in enumerate(range(0, len(pcm), size)):
            if number == most:
                return None
            if speed is not None:
                time.sleep(max(0.0, began + number * CHUNK / speed - time.monotonic()))
            part = pcm[start : start + size]
            head = b"RIFF%bWAVEfmt %bdata%b" % (
                struct.pack("<I", 36 + len(part)),
                header,
                struct.pack("<I", len(part)),
            )
            connection.send_binary(head + part)
        connection.send('{"type": "ELSA:end_stream"}')
        return json.loads(connection.recv())
    finally:
        connection.close()
