"""Masks the token in what the server says: an error that quotes it ends up in logs. For `wire` and `transport`."""

from __future__ import annotations

import json
import re

SHORTEST_MASKED_TOKEN = 8  # characters; masking shorter ones in the server's text could mangle words


class Mask:
    """Hides one token in bytes."""

    def __init__(self, token: str) -> None:
        in_json = json.dumps(token, ensure_ascii=False)[1:-1]
        spellings = {token.encode("utf-8"), token.encode("latin-1"), in_json.encode("utf-8")}
        self._spellings = spellings if len(token) >= SHORTEST_MASKED_TOKEN else set()
        self._hint = max(re.findall(rb"[0-9A-Za-z]*", token.encode("latin-1")), key=len)

    def masked(self, data: bytes) -> bytes:
        """Replaces the token by as many asterisks: the length of a frame stays what its header says."""
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, b"*" * len(spelling))
        return data

    def may_hold_token(self, data: bytes) -> bool:
        """Returns whether the token may be there with some characters escaped, as JSON allows.

        Letters and digits are hardly ever escaped: so it looks for the token's longest run of them.
        """
        return bool(self._spellings) and self._hint in data
