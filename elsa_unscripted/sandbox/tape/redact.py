"""`Redaction`: takes out of what is written on a tape the client's token, in any spelling, and the queries of links."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html.entities import html5

WORD = 8  # bytes; a shorter secret is masked where it stands alone only: it could be a part of the server's words
QUERY = b"redacted"

_ENTITIES: dict[str, list[bytes]] = {}  # character → its names in HTML, with the semicolon
for _name, _characters in html5.items():
    if _name.endswith(";"):
        _ENTITIES.setdefault(_characters, []).append(_name.encode())
# What is before a secret that stands alone: no letter or digit, unless it ends an escape, such as `\n` or `%20`.
_BEFORE = rb"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=%[0-9a-fA-F]{2})|(?<=\\u[0-9a-fA-F]{4}))"
_AFTER = rb"(?![0-9A-Za-z])"
_HEADER = re.compile(rb"(?im)^((?:set-cookie2?|cookie|(?:proxy-)?authorization):)[^\r\n]+")
_BACKSLASHES = rb"\\(?<!\\\\)\\*"
# Whatever of it is escaped as in JSON, however often.
_COLON = rb"(?::|\\+u003[aA]|%3[aA])"
_SLASH = rb"(?:\\*/|\\+u002[fF]|%2[fF])"
_PLUS = rb"(?:[+-]|\\+u002[bB]|%2[bB])"
_MARK = rb"(?:\?|\\+u003[fF]|%3[fF])"
_ADDRESS = rb"(?:[^\s\"'<>\\?#%]|\\+/|\\+u(?!003[fF])[0-9a-fA-F]{4}|%(?!3[fF]))"
# Bytes of ASCII and of whole characters alone: amid raw frames, others belong to the next frame's head.
_SIGNATURE = rb"(?:[!#-&(-;=?-\[\]-~]|[\xc2-\xf4][\x80-\xbf]+|\\+/|\\+u(?!0022)[0-9a-fA-F]{4})"
_LINK = re.compile(b"((?:https?|wss?)%s%s{2}%s*%s)%s+" % (_COLON, _SLASH, _ADDRESS, _MARK, _SIGNATURE))


class Redaction:
    """Takes secrets out of bytes.

    Args:
        secrets: What the client's headers said of itself, as it went over the wire: the token, cookies.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._patterns = [pattern for secret in secrets for pattern in _patterns(secret)]

    def mask(self, data: bytes) -> bytes:
        """Returns bytes of the same length, with asterisks in place of secrets, and of the queries of links."""
        return _LINK.sub(_hide_rest, self._mask(data))

    def clean(self, data: bytes) -> bytes:
        """Returns a text without secrets, and without the queries of links, which are signatures."""
        return _LINK.sub(lambda match: match[1] + QUERY, self._mask(data))

    def _mask(self, data: bytes) -> bytes:
        for pattern in self._patterns:
            data = pattern.sub(lambda match: b"*" * len(match[0]), data)
        return _HEADER.sub(_hide_rest, data)


def _hide_rest(match: re.Match[bytes]) -> bytes:
    return match[1] + b"*" * (len(match[0]) - len(match[1]))


def _patterns(secret: bytes) -> list[re.Pattern[bytes]]:
    """Returns what to look for, each by itself: a pattern that begins with a literal is found fast."""
    # HTTP doesn't say how a header is coded, and each side reads it in its own way.
    texts = {secret.decode(coding, "replace") for coding in ("utf-8", "latin-1")}
    words = [b"".join(map(_spellings, text)) for text in sorted(texts)]
    coded = []
    for raw in sorted({secret, *(text.encode(coding, "replace") for text in texts for coding in ("utf-8", "latin-1"))}):
        words.append(re.escape(raw))
        coded += [raw.hex().encode(), raw.hex().upper().encode(), *_in_base64(raw)]
    if len(secret) < WORD:
        words = [_BEFORE + word + _AFTER for word in words]
    return [re.compile(pattern) for pattern in dict.fromkeys([*words, *coded])]


def _in_base64(raw: bytes) -> list[bytes]:
    """Returns patterns for a secret amid bytes that are in base64: it may begin at any bit of three."""
    found = []
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw)
        # Only the digits that no neighbour has a part in.
        digits = coded.rstrip(b"=")[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        found.append(re.escape(digits).replace(rb"\+", _PLUS).replace(b"/", b"(?:" + _SLASH + b"|_)"))
    return found


def _spellings(character: str) -> bytes:
    r"""Returns a pattern for a character as it is, and as `\u0041`, `\x41`, `\/`, `%41`, `&#65;`, `&#x41;`, `&amp;`.

    Backslashes may be doubled any number of times, `%` may be `%25`, and `&` may be `&amp;` or `\u0026`.
    """
    code, raw = ord(character), character.encode()
    entity = b"(?:#(?:0*%d|[xX]0*(?i:%x));?" % (code, code)
    entity += b"".join(b"|" + re.escape(name) for name in _ENTITIES.get(character, ())) + b")"
    units = character.encode("utf-16-be").hex()
    spelled = [
        b"".join(b"%%(?:25)*(?i:%02x)" % byte for byte in raw),
        b"&(?:amp;)*" + entity,
        _BACKSLASHES + b"u0026(?:amp;)*" + entity,
        b"".join(_BACKSLASHES + b"u(?i:%s)" % units[at : at + 4].encode() for at in range(0, len(units), 4)),
    ]
    if code < 256:
        spelled += [_BACKSLASHES + b"x(?i:%02x)" % code, b"%%(?:25)*(?i:%02x)" % code]
    if character in "\"'/\\":
        spelled.append(_BACKSLASHES + re.escape(raw))
    return b"(?:%s)" % b"|".join([*spelled, re.escape(raw)])
