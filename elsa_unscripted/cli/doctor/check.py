"""`Check`: what a check has found; and how an error of the package becomes one. For the whole folder."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from ...exceptions import ElsaError
from ..statuses import explain

OK, WARNING, ERROR, SKIPPED = "ok", "warning", "error", "skipped"


class Check(NamedTuple):
    """One line of the report.

    Attributes:
        name: What was looked at.
        status: `OK`; `WARNING`: scoring works, but not all is well; `ERROR`: scoring can't work; or `SKIPPED`.
        detail: What was found.
        hint: The command, or the words, that mend it.
        more: Further facts, shown with `-v`, or if something is wrong.
    """

    name: str
    status: str
    detail: str
    hint: str = ""
    more: Tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return self.status in (WARNING, ERROR)


def failed(name: str, error: ElsaError, *more: str, hint: str = "") -> Check:
    """Returns the check that failed with an error.

    Args:
        name: Of the check.
        error: Its message says what is wrong and then, behind the last semicolon, or else colon, what to do.
        *more: Further facts.
        hint: What to do, if it isn't what the error says.
    """
    text = explain(error)
    mark = "; " if "; " in text else ": "
    detail, _, advice = text.rpartition(mark) if mark in text else (text, "", "")
    return Check(name, ERROR, detail, hint or advice, more)
