"""What somebody may have meant: a name that is nearly right, a path that wasn't quoted, a pattern. For all commands."""

from __future__ import annotations

import os
from typing import Iterable, Optional, Sequence

from ..exceptions import ConfigError

PATTERN = "*?["
CLOSE = 0.7  # how alike two words must be, from 0 to 1
LOOKED_AT = 10_000  # names of a folder


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean …?` with the known word that is most like the given one; `""` if none is."""
    import difflib  # late: most commands need no hint

    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), lower, 1, CLOSE)
    return f"; did you mean {lower[found[0]]}?" if found else ""


def unquoted(words: Sequence[str]) -> Optional[str]:
    """Returns the path with spaces that a shell has cut into some of these words; `None` if there is none."""
    for start, word in enumerate(words):
        if os.path.lexists(word):
            continue
        for end in range(start + 2, len(words) + 1):
            path = " ".join(words[start:end])
            if os.path.lexists(path):
                return path
    return None


def quote(path: str) -> str:
    """Returns the advice to quote a path that a shell has cut."""
    return f"quote it: '{path}' exists"


def is_pattern(path: str) -> bool:
    """Returns whether a path is a pattern that no shell has expanded."""
    return any(mark in path for mark in PATTERN) and not os.path.lexists(path)


def unexpanded(pattern: str, command: str = "batch") -> str:
    """Returns the command that means the same as a pattern that no shell has expanded."""
    folder, name = os.path.split(pattern)
    return f"elsa-unscripted {command} {folder or '.'} --glob '{name}'"


def near(path: str) -> str:
    """Returns `; did you mean …?` with the file of the same folder whose name is most like a missing one's.

    That may be the same name with an ending, which some systems don't show.
    """
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry, _ in zip(entries, range(LOOKED_AT))]
    except (OSError, ValueError):
        return ""
    whole = [each for each in names if name and os.path.splitext(each)[0].casefold() == name.casefold()]
    hint = f"; did you mean {whole[0]}?" if len(whole) == 1 else did_you_mean(name, names)
    return hint.replace("did you mean ", f"did you mean {os.path.join(folder, '')}") if hint and folder else hint


def check_paths(paths: Sequence[str], *, alone: bool, command: str) -> None:
    """Refuses paths that a shell has cut, patterns that none has expanded, and, if they are all, what isn't there."""
    cut = unquoted(paths)
    if cut is not None:
        raise ConfigError(f"{cut.split()[0]!r} doesn't exist; {quote(cut)}")
    pattern = next(filter(is_pattern, paths), None)
    if pattern is not None:
        raise ConfigError(f"{pattern!r} doesn't exist; if it is a pattern: {unexpanded(pattern, command)}")
    if paths and alone and not any(map(os.path.exists, paths)):
        raise ConfigError(f"{paths[0]!r} doesn't exist{near(paths[0]) or '; check the path'}")
