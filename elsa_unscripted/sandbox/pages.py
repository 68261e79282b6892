"""The sandbox's HTTP answers: refusals of a handshake, results and audio; used by `server` and `scenarios`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from .exchange import Exchange

PATH = "/api/v1/ws/score_audio_plus"


def page(status: int, body: str | bytes, content_type: str = "text/plain; charset=utf-8", **more: str) -> Response:
    """Returns an HTTP answer.

    Args:
        status: The status.
        body: A sentence, or the content as it is.
        content_type: The MIME type of the body.
        **more: More headers, with `_` for `-` in their names.
    """
    content = body if isinstance(body, bytes) else f"{body}\n".encode()
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(content)), "Connection": "close"})
    for name, value in more.items():
        headers[name.replace("_", "-")] = value
    return Response(status, HTTPStatus(status).phrase, headers, content)


def find(path: str, exchanges: Iterable[Exchange]) -> Response:
    """Returns what is at a path other than the WebSocket's: the result or the audio of an exchange, or a 404."""
    for exchange in exchanges:
        if path == f"/results/{exchange.stream_id}.json" and exchange.assessment is not None:
            return page(200, json.dumps(exchange.assessment).encode(), "application/json")
        if path == f"/audio/{exchange.stream_id}.wav":
            wav = exchange.wav()
            if wav is not None:
                return page(200, wav, "audio/wav")
    return page(404, f"Nothing is here. The WebSocket is at {PATH}; results and audio are where a verdict's links say.")
