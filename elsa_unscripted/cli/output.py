"""Checks, before anything is paid for, that `-o` can be written, and that nothing is lost there. For all commands."""

from __future__ import annotations

import os
from typing import Optional

from ..exceptions import ConfigError
from ..files import HEAD_SIZE, holds_no_text

OUR_PAGE = b'<meta name="generator" content="elsa_unscripted'  # what every page of `report` has in its head


def check_output(path: str, *inputs: Optional[str], option: str = "-o", page: bool = False) -> None:
    """Refuses a path that can't be written, and one whose file must not be overwritten.

    Not overwritten are the command's own inputs; whatever isn't text, such as a recording; and the journal of a batch,
    which was paid for.

    Args:
        path: The file to write.
        *inputs: The files that the command reads; `None` for those that weren't given.
        option: What `path` was given in.
        page: Whether it is for a page: then only another page may be overwritten.

    Raises:
        ConfigError: It is refused; the message says why.
    """
    advice = f"give another {option}"
    if os.path.isdir(path):
        raise ConfigError(f"can't write {path!r}: it is a folder; give a file in {option}")
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise ConfigError(f"can't write {path!r}: its folder is missing or read-only; {advice}")
        return
    if not os.access(path, os.W_OK):
        raise ConfigError(f"can't write {path!r}: it is read-only; {advice}")
    if any(each is not None and os.path.exists(each) and os.path.samefile(path, each) for each in inputs):
        raise ConfigError(f"{path!r} is an input of this command, and would be overwritten; {advice}")
    try:
        lost = _what_is_lost(path, page)
    except OSError as error:
        raise ConfigError(f"can't tell what would be overwritten in {path!r} ({error.strerror}); {advice}") from error
    if lost:
        raise ConfigError(f"{path!r} holds {lost}, and would be overwritten; {advice}, or remove it")


def _what_is_lost(path: str, page: bool) -> str:
    if not os.path.isfile(path):
        return ""
    if holds_no_text(path):
        return "a recording, or something else that is no text"
    with open(path, "rb") as file:
        head = file.read(HEAD_SIZE)
    if page:
        return "" if OUR_PAGE in head or not head.strip() else "something else than a page of this program"
    first = head.lstrip(b"\xef\xbb\xbf \r\n").partition(b"\n")[0]
    return "the journal of a batch" if first.startswith(b"{") and b'"sha256"' in first and b'"v"' in first else ""
