"""Masks the token in the server's bytes, since errors that quote them end up in logs. For `wire` and `transport`."""

from __future__ import annotations

import json
import re

SHORTEST_MASKED_TOKEN = 8  # characters; to mask a shorter one could mangle words in the server's text


class Mask:
    """Masks one token in bytes."""

    def __init__(self, token: str) -> None:
        in_json = json.dumps(token, ensure_ascii=False)[1:-1]
        spellings = {token.encode("utf-8"), token.encode("latin-1"), in_json.encode("utf-8")}
        self._spellings = spellings if len(token) >= SHORTEST_MASKED_TOKEN else set()
        self._hint = max(re.findall(rb"[0-9A-Za-z]*", token.encode("latin-1")), key=len)

    def masked(self, data: bytes) -> bytes:
        """Returns bytes with the token replaced by as many asterisks: so a frame's length stays as its header says."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, b"*" * len(spelling))
        return data

    def may_hold_token(self, data: bytes) -> bool:
        """Returns whether JSON text may hold the token with some of its characters escaped.

        Letters and digits are hardly ever escaped: so this looks for the token's longest run of them.
        """
        return bool(self._spellings) and self._hint in data
