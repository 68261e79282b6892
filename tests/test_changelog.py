"""The changelog speaks of the version that there is."""

from __future__ import annotations

import re
from pathlib import Path

from elsa_unscripted.version import __version__

CHANGELOG = (Path(__file__).resolve().parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = ["Breaking changes", "New", "Improved", "Fixed"]


def test_policy_comes_first() -> None:
    """Readers learn what they can rely on before what has changed."""
    assert re.findall(r"^## (.+)", CHANGELOG, re.MULTILINE)[0] == "Compatibility"


def test_newest_entry_is_the_version() -> None:
    """The first version told of is the package's, or the one in development; and none is told of twice."""
    versions = re.findall(r"^## (.+)", CHANGELOG, re.MULTILINE)[1:]
    assert versions[0] == __version__.partition(".dev")[0]
    assert ("*In development.*" in CHANGELOG) == (".dev" in __version__)
    assert len(set(versions)) == len(versions)


def test_sections_keep_their_order() -> None:
    """Each version tells breaking changes first, then what is new, improved and fixed."""
    for entry in re.split(r"^## .+", CHANGELOG, flags=re.MULTILINE)[2:]:
        titles = re.findall(r"^### (.+)", entry, re.MULTILINE)
        assert titles
        assert titles == [section for section in SECTIONS if section in titles]
