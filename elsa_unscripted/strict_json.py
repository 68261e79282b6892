"""Reads JSON with numbers of any size; writes JSON that every reader takes. For `wire`, `results`, `journal`, `cli`.

Python's own `json` refuses an integer of more than 4,300 digits, and writes `NaN` and `Infinity`, which are no JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional, Union

from .imports import importing
from .signals import raised_by_handler

__all__ = ["DECODER", "dumps", "loads"]

# Python can be set to refuse longer integers, but not shorter ones (`sys.int_info.str_digits_check_threshold`).
MAX_DIGITS = 640

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_SPELLED = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}


def loads(text: Union[str, bytes]) -> Any:
    """Reads JSON. An integer of more digits than Python takes becomes an infinite float.

    Raises:
        json.JSONDecodeError: It is not JSON.
        UnicodeDecodeError: Bytes that are not UTF-8, UTF-16 or UTF-32.
        RecursionError: It is nested too deep.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:  # an integer is too long
        if raised_by_handler(error):
            raise
    return json.loads(text, parse_int=_integer)


def dumps(value: Any, *, indent: Optional[int] = None) -> str:
    """Writes JSON: an infinite number as `1e999`, which reads as one again; `NaN`, which JSON lacks, as `null`.

    Raises:
        TypeError: JSON can't hold a value.
    """
    text = json.dumps(value, indent=indent)
    if "NaN" in text or "Infinity" in text:
        text = _STRING_OR_CONSTANT.sub(lambda found: _SPELLED.get(found.group(), found.group()), text)
    return text


def _decoded(text: bytes) -> str:
    """Does what `json.loads()` does to bytes, but the encoding that they turn out to have is imported guarded."""
    return importing(lambda: text.decode(json.detect_encoding(text), "surrogatepass"))


def _integer(digits: str) -> Union[int, float]:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


DECODER = json.JSONDecoder(parse_int=_integer)  # for text that goes on after its first value: `raw_decode()`
