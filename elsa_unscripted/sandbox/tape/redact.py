"""`Redaction`: takes out of what is written on a tape the client's token, in any spelling, and the queries of links."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

SHORTEST_TOKEN = 8  # characters; to mask a shorter one could mangle words of the server
QUERY = b"redacted"

_ENTITIES = {"&": b"amp", "<": b"lt", ">": b"gt", '"': b"quot", "'": b"apos"}
_BACKSLASHES = rb"\\(?<!\\\\)\\*"
# Whatever of it is escaped as in JSON, however often.
_COLON = rb"(?::|\\+u003[aA]|%3[aA])"
_SLASH = rb"(?:\\*/|\\+u002[fF]|%2[fF])"
_PLUS = rb"(?:[+-]|\\+u002[bB]|%2[bB])"
_MARK = rb"(?:\?|\\+u003[fF]|%3[fF])"
_ADDRESS = rb"(?:[^\s\"'<>\\?#%]|\\+/|\\+u(?!003[fF])[0-9a-fA-F]{4}|%(?!3[fF]))"
_SIGNATURE = rb"(?:[^\s\"'<>\\]|\\+/|\\+u(?!0022)[0-9a-fA-F]{4})"
_LINK = re.compile(b"((?:https?|wss?)%s%s{2}%s*%s)%s+" % (_COLON, _SLASH, _ADDRESS, _MARK, _SIGNATURE))


class Redaction:
    """Takes secrets out of bytes.

    Args:
        secrets: What the client's headers said of itself: the token, cookies. Short ones are left alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        wanted = [secret for secret in secrets if len(secret) >= SHORTEST_TOKEN]
        self._patterns = [pattern for secret in wanted for pattern in _patterns(secret)]

    def mask(self, data: bytes) -> bytes:
        """Returns bytes of the same length, with asterisks in place of the secrets."""
        for pattern in self._patterns:
            data = pattern.sub(lambda match: b"*" * len(match[0]), data)
        return data

    def clean(self, data: bytes) -> bytes:
        """Returns a text without secrets, and without the queries of links, which are signatures."""
        return _LINK.sub(lambda match: match[1] + QUERY, self.mask(data))


def _patterns(secret: str) -> list[re.Pattern[bytes]]:
    """Returns what to look for, each by itself: a pattern that begins with a literal is found fast."""
    plain = secret.encode("utf-8", "surrogateescape")
    latin = secret.encode("latin-1", "replace")
    found = [b"".join(map(_spellings, secret)), re.escape(latin)]
    for raw in sorted({plain, latin}):
        found += [raw.hex().encode(), raw.hex().upper().encode(), *_in_base64(raw)]
    return [re.compile(pattern) for pattern in dict.fromkeys(found)]


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
    code, raw = ord(character), character.encode("utf-8", "surrogateescape")
    entity = b"#(?:0*%d|[xX]0*(?i:%x));?" % (code, code)
    if character in _ENTITIES:
        entity = b"(?:%s|%s;)" % (entity, _ENTITIES[character])
    spelled = [
        b"".join(b"%%(?:25)*(?i:%02x)" % byte for byte in raw),
        b"&(?:amp;)*" + entity,
        _BACKSLASHES + b"u0026(?:amp;)*" + entity,
    ]
    if code < 256:
        spelled.append(_BACKSLASHES + b"(?:u00|x)(?i:%02x)" % code)
    if character in "\"'/\\":
        spelled.append(_BACKSLASHES + re.escape(raw))
    return b"(?:%s)" % b"|".join([*spelled, re.escape(raw)])
