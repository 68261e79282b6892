"""The links of a verdict: led to the sandbox, and what they lead to, for `recorder` and `player`.

On a tape, a link is `http://sandbox.invalid/links/ID.json` or `.wav`, whatever it was.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
import uuid
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Callable
from urllib.parse import urlsplit

from .answer import unpack
from .dial import is_loopback

ON_TAPE = "http://sandbox.invalid"
FOLDER = "/links/"
SUFFIXES = {"result_link": ".json", "audio_link": ".wav"}
FETCH_SECONDS = 60.0  # s
MAX_FETCHED_BYTES = 64 * 2**20

_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers stay text: one of 5,000 digits is an error otherwise.
_VALUES = json.JSONDecoder(parse_int=str, parse_float=str)
_TAPED = re.compile(re.escape(ON_TAPE) + re.escape(FOLDER) + r"[0-9a-f]{32}\.(?:json|wav)")


def replace_links(text: str, replace: Callable[[str, str], str]) -> str:
    """Returns the text of a message with its links replaced, and all else as it was.

    Args:
        text: JSON, or not.
        replace: Called with the key and the link; returns another.
    """
    if not any(key in text for key in SUFFIXES):
        return text
    try:
        spans = _find_members(text)
    except (ValueError, RecursionError, StopIteration, IndexError):
        return text
    for key, begin, end, value in reversed(spans):
        if key in SUFFIXES and isinstance(value, str) and can_lead(value):
            text = text[:begin] + json.dumps(replace(key, value)) + text[end:]
    return text


def can_lead(link: str) -> bool:
    """Returns whether a link is one that clients follow: `https://`, or `http://` to this machine."""
    try:
        parts = urlsplit(link)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        )
    except ValueError:
        return False


def new_path(key: str) -> str:
    """Returns where in the sandbox a link leads."""
    return f"{FOLDER}{uuid.uuid4().hex}{SUFFIXES[key]}"


def lead_to(host: str, text: str) -> str:
    """Returns the text of a message from a tape, with its links leading to a host."""
    return _TAPED.sub(lambda match: f"http://{host}{match[0][len(ON_TAPE) :]}", text)


def _find_members(text: str) -> list[tuple[str, int, int, object]]:
    """Returns the members of a JSON object: key, where the value begins and ends, value."""
    found: list[tuple[str, int, int, object]] = []
    at = _skip(text, 0)
    if text[at] != "{":
        return found
    at = _skip(text, at + 1)
    while text[at] == '"':
        key, at = scanstring(text, at + 1)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError("no colon")
        begin = _skip(text, at + 1)
        value, end = _VALUES.raw_decode(text, begin)
        found.append((key, begin, end, value))
        at = _skip(text, end)
        if text[at] != ",":
            break
        at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def fetch(link: str) -> tuple[int, str, bytes]:
    """Downloads what a link leads to, through the environment's proxy, without any token.

    Returns:
        HTTP status, content type, body, which is not packed.

    Raises:
        OSError: It can't be reached.
    """
    handlers = [urllib.request.ProxyHandler({})] if is_loopback(urlsplit(link).hostname) else []
    request = urllib.request.Request(link, headers={"User-Agent": "elsa-unscripted-sandbox"})
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=FETCH_SECONDS) as response:
            body = response.read(MAX_FETCHED_BYTES + 1)
            status, headers = response.status, response.headers
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(MAX_FETCHED_BYTES)
            status, headers = error.code, error.headers
    except http.client.HTTPException as error:
        raise OSError(f"what came is no whole HTTP answer ({type(error).__name__})") from error
    if len(body) > MAX_FETCHED_BYTES:
        raise OSError(f"more than {MAX_FETCHED_BYTES} bytes")
    return status, headers.get("Content-Type", ""), unpack(body, headers.get("Content-Encoding", ""), MAX_FETCHED_BYTES)
