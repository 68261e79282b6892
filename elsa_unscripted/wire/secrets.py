"""Masks secrets in a server's or proxy's bytes, since errors that quote them end up in logs. For the whole room."""

from __future__ import annotations

import functools
import re
from typing import Iterator, Optional, Pattern, Tuple

SHORTEST_MASKED_TOKEN = 8  # characters; to mask a shorter one could mangle words in the server's text

_BEGINNING = 6  # characters of a secret that are searched for first
# One or more, from the first of them on: to try each of a million in a row as the first would take quadratic time.
_BACKSLASHES = rb"\\(?<!\\\\)\\*"
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Mask:
    """Masks one secret in bytes: as it is, and with some or all characters escaped as in JSON, HTML or URLs."""

    def __init__(self, secret: str, *, shortest: int = SHORTEST_MASKED_TOKEN) -> None:
        """Makes a mask.

        Args:
            secret: What to mask.
            shortest: A secret of fewer characters is not masked.
        """
        self._active = len(secret) >= shortest
        self._plain = {secret.encode("utf-8", "surrogateescape"), secret.encode("latin-1", "replace")}
        # One backslash for several: JSON text doubles them, so nobody can tell how many there were.
        self._characters = re.sub(r"\\+", r"\\", secret) if "\\" in secret else secret
        self._beginning: Optional[Pattern[bytes]] = None  # compiled when it is first needed

    def masked(self, data: bytes) -> bytes:
        """Returns bytes with the secret replaced by as many asterisks: so a frame's length stays as its header says.

        In JSON text, what replaces an escaped secret is JSON text, too.
        """
        if not self._active:
            return data
        for plain in self._plain:
            if plain in data:
                data = data.replace(plain, b"*" * len(plain))
        if b"\\" in data or b"%" in data or b"&" in data:
            masked = bytearray(data)
            for begin, end in self._find_escaped(data):
                masked[begin:end] = b"*" * (end - begin)
            data = bytes(masked)
        return data

    def _find_escaped(self, data: bytes) -> Iterator[Tuple[int, int]]:
        if self._beginning is None:
            # Only for the secret's beginning: a pattern for a token of a thousand characters takes a tenth of a second.
            self._beginning = re.compile(b"".join(map(_spellings, self._characters[:_BEGINNING])))
        start = 0
        while found := self._beginning.search(data, start):
            end = found.end()
            for character in self._characters[_BEGINNING:]:
                spelled = _pattern(character).match(data, end)
                if spelled is None:
                    start = found.start() + 1
                    break
                end = spelled.end()
            else:
                yield found.start(), end
                start = end


@functools.lru_cache(1024)
def _pattern(character: str) -> Pattern[bytes]:
    return re.compile(_spellings(character))


def _spellings(character: str) -> bytes:
    r"""Returns a pattern for the spellings of a character: itself, `\u0041`, `\/`, `%41`, `&#65;`, `&#x41;`, `&amp;`.

    Backslashes may be doubled any number of times: JSON text can be a string in other JSON text. In the same way, `%`
    may be `%25`, and `&` may be `&amp;` or `\u0026`. Each alternative begins with a literal: only then is the search
    fast.
    """
    code, raw = ord(character), character.encode("utf-8", "surrogateescape")
    spelled = [  # the character itself comes last: a backslash also begins escapes
        b"".join(b"%%(?:25)*%s" % _either_case(b"%02x" % byte) for byte in raw),
    ]
    entity = b"#(?:0*%d|[xX]0*%s);?" % (code, _either_case(b"%x" % code))
    if character in _ENTITIES:
        entity = b"(?:%s|%s;)" % (entity, _ENTITIES[character].encode())
    spelled += [b"&(?:amp;)*" + entity, _BACKSLASHES + b"u0026(?:amp;)*" + entity]
    if code < 256:
        spelled.append(_BACKSLASHES + b"(?:u00|x)" + _either_case(b"%02x" % code))
    if character in "\"'/\\":
        spelled.append(_BACKSLASHES + re.escape(raw))
    spelled += [re.escape(raw), re.escape(character.encode("latin-1", "ignore") or raw)]
    return b"(?:%s)" % b"|".join(spelled)


def _either_case(digits: bytes) -> bytes:
    return b"".join(b"[%c%c]" % (digit, bytes([digit]).upper()) for digit in digits)
