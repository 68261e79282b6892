"""`Index`: which recordings are in a journal, and where in the file their lines are. Used by `file`.

The index holds a few hundred bytes for each line, while a line may be megabytes long. All that the index needs comes
before `result` or `error`, the last key of a line. So a line that begins as we write it need not be parsed.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .entry import DIGITS, SUCCESS

HEAD = b'{"v": 1, "sha256": "'  # how a line begins, as we write it
BEFORE_OPTIONS = b'", "options": '
_BEFORE_OUTCOME = b', "outcome": "'
_BEFORE_PATH = b'", "path": "'


class Place(NamedTuple):
    """Where a line is: from byte `begin` up to `end`; and whether it has a result, rather than an error."""

    begin: int
    end: int
    good: bool


class Index:
    """For each content and set of options, the places of the newest result and of the newest error.

    Attributes:
        untold: The paths of which nothing but an error is known, not even the content; and what the error says.
    """

    def __init__(self) -> None:
        # For each set of options, as canonical text: the digest of a recording's bytes → where its line is.
        self._results: Dict[str, Dict[bytes, Tuple[int, int]]] = {}
        self._errors: Dict[str, Dict[bytes, Tuple[int, int]]] = {}
        # Options as they are spelled in lines → their canonical text.
        self._spellings: Dict[bytes, str] = {}
        # Set of options and digest → the paths of that content, where there is more than one, or one was renamed.
        self._names: Dict[Tuple[str, bytes], List[str]] = {}
        self.untold: Dict[str, object] = {}

    def add(self, raw: Mapping[str, Any], begin: int, end: int) -> None:
        """Adds the line whose object is `raw`."""
        if raw["sha256"] is None:
            self.untold[raw["path"]] = raw["error"].get("message")
            return
        canonical = _canonical(raw["options"])
        self._spellings.setdefault(json.dumps(raw["options"]).encode("ascii"), canonical)
        self._put(canonical, raw["sha256"], Place(begin, end, raw["outcome"] == SUCCESS))
        same_as, renamed_from = raw.get("same_as"), raw.get("renamed_from")
        if isinstance(same_as, str) or isinstance(renamed_from, str):
            names = self._names.setdefault((canonical, bytes.fromhex(raw["sha256"])), [])
            if isinstance(same_as, str) and same_as not in names:
                names.append(same_as)
            if renamed_from in names:
                names.remove(renamed_from)
            if raw["path"] not in names:
                names.append(raw["path"])

    def add_by_head(self, line: bytes, begin: int) -> bool:
        """Adds a line without parsing it; returns whether that could be done.

        That can be done if the line is whole, begins as we write it, has options that `add()` has seen, and is of a
        recording whose content no other had before.
        """
        start = len(HEAD) + DIGITS
        if not (line.startswith(HEAD) and line.startswith(BEFORE_OPTIONS, start) and line.endswith(b"}}\n")):
            return False
        start += len(BEFORE_OPTIONS)
        for spelling, canonical in self._spellings.items():
            if line.startswith(spelling + _BEFORE_OUTCOME, start):
                sha256 = line[len(HEAD) : len(HEAD) + DIGITS].decode("ascii")
                start += len(spelling) + len(_BEFORE_OUTCOME)
                good = line.startswith(b"success", start)
                if not line.startswith(_BEFORE_PATH, start + len("success" if good else "error")):
                    return False
                self._put(canonical, sha256, Place(begin, begin + len(line), good))
                return True
        return False

    def find(self, sha256: str, options: Mapping[str, Any], before: int) -> Optional[Place]:
        """Returns where the newest line for this content and these options is; one with a result, if there is one.

        Args:
            sha256: Of the content.
            options: Those that change the result.
            before: A line that begins here or further on doesn't count.
        """
        canonical, digest = _canonical(options), bytes.fromhex(sha256)
        for table, good in ((self._results, True), (self._errors, False)):
            begin, end = table.get(canonical, {}).get(digest, (before, before))
            if begin < before:
                return Place(begin, end, good)
        return None

    def names(self, sha256: str, options: Mapping[str, Any]) -> Sequence[str]:
        """Returns the paths of a content, in the order of the journal; none if there is only one, never renamed."""
        return self._names.get((_canonical(options), bytes.fromhex(sha256)), ())

    def _put(self, canonical: str, sha256: str, place: Place) -> None:
        table = self._results if place.good else self._errors
        table.setdefault(canonical, {})[bytes.fromhex(sha256)] = place.begin, place.end


def _canonical(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)
