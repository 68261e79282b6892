"""`Index`: which recordings are in a journal, and where in the file their lines are. Used by `file`.

The index holds a few hundred bytes for each line, while a line may be megabytes long. All that the index needs comes
before `result` or `error`, the last key of a line. So a line that begins as we write it need not be parsed.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, NamedTuple, Optional, Set, Tuple

from .entry import DIGITS, SUCCESS, Who, who

HEAD = b'{"v": 1, "sha256": "'  # how a line begins, as we write it
_BEFORE_OPTIONS = b'", "options": '
_BEFORE_OUTCOME = b', "outcome": "'
_BEFORE_PATH = b'", "path": "'


class Place(NamedTuple):
    """Where a line is: from byte `begin` up to `end`; and whether it has a result, rather than an error."""

    begin: int
    end: int
    good: bool


class _Kin(NamedTuple):
    """Whose recordings have the same content as another, and whose of that content have another path or name since.

    Attributes:
        owners: Each with where its newest line begins that says so.
        gone: Those with another path or name since.
    """

    owners: Dict[Who, int]
    gone: Set[Who]


class Index:
    """For each content and set of options, the places of the newest result and of the newest error.

    Attributes:
        untold: Whose recordings nothing but an error is known of, not even the content; and what the error says.
    """

    def __init__(self) -> None:
        # For each set of options, as canonical text: the digest of a recording's bytes → where its line is.
        self._results: Dict[str, Dict[bytes, Tuple[int, int]]] = {}
        self._errors: Dict[str, Dict[bytes, Tuple[int, int]]] = {}
        # Options as they are spelled in lines → their canonical text.
        self._spellings: Dict[bytes, str] = {}
        # Set of options and digest → whose that content is, too, if anybody's beside the line that `find()` finds.
        self._kin: Dict[Tuple[str, bytes], _Kin] = {}
        self.untold: Dict[Who, object] = {}

    def add(self, raw: Mapping[str, Any], begin: int, end: int) -> None:
        """Adds the line whose object is `raw`."""
        if raw["sha256"] is None:
            self.untold[who(raw)] = raw["error"].get("message")
            return
        canonical = _canonical(raw["options"])
        self._spellings.setdefault(json.dumps(raw["options"]).encode("ascii"), canonical)
        place = Place(begin, end, raw["outcome"] == SUCCESS)
        same_as, renamed_from = raw.get("same_as"), raw.get("renamed_from")
        if same_as is None and renamed_from is None:
            self._put(canonical, raw["sha256"], place)
            return
        table = self._results if place.good else self._errors
        if raw.get("attempts") or bytes.fromhex(raw["sha256"]) not in table.get(canonical, {}):
            self._put(canonical, raw["sha256"], place)
        kin = self._kin.setdefault((canonical, bytes.fromhex(raw["sha256"])), _Kin({}, set()))
        owner = who(raw)
        if renamed_from is not None:
            # One without a name may also have got one now.
            kin.gone.update({Who(renamed_from), Who(renamed_from, owner.name)})
        kin.gone.discard(owner)
        kin.owners[owner] = begin

    def add_by_head(self, line: bytes, begin: int) -> bool:
        """Adds a line without parsing it; returns whether that could be done.

        That can be done if the line is whole, begins as we write it, has options that `add()` has seen, and is of a
        recording whose content no other had before.
        """
        start = len(HEAD) + DIGITS
        if not (line.startswith(HEAD) and line.startswith(_BEFORE_OPTIONS, start) and line.endswith(b"}}\n")):
            return False
        digits = line[len(HEAD) : start]
        if digits.strip(b"0123456789abcdef"):
            return False
        start += len(_BEFORE_OPTIONS)
        for spelling, canonical in self._spellings.items():
            if line.startswith(spelling + _BEFORE_OUTCOME, start):
                start += len(spelling) + len(_BEFORE_OUTCOME)
                good = line.startswith(b"success", start)
                if not line.startswith(_BEFORE_PATH, start + len("success" if good else "error")):
                    return False
                self._put(canonical, digits.decode("ascii"), Place(begin, begin + len(line), good))
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

    def owners(self, sha256: str, options: Mapping[str, Any], first: Who, begin: int) -> Mapping[Who, int]:
        """Returns whose a content is or was, but for those whose path was renamed; each with where its line begins.

        Args:
            sha256: Of the content.
            options: Those that change the result.
            first: Whose the line is that `find()` has found; it comes first, the others in the order of the journal.
            begin: Where that line begins.
        """
        kin = self._kin.get((_canonical(options), bytes.fromhex(sha256)), _Kin({}, set()))
        known = {first: begin, **kin.owners}
        return {
            owner: max(place, begin) if owner == first else place
            for owner, place in known.items()
            if owner not in kin.gone
        }

    def remove(self, sha256: str, options: Mapping[str, Any]) -> None:
        """Forgets all lines for this content and these options."""
        for table in (self._results, self._errors):
            table.get(_canonical(options), {}).pop(bytes.fromhex(sha256), None)

    def _put(self, canonical: str, sha256: str, place: Place) -> None:
        table = self._results if place.good else self._errors
        table.setdefault(canonical, {})[bytes.fromhex(sha256)] = place.begin, place.end


def _canonical(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)
