"""Runs the checks, and prints a line for each: as each ends, or all at once as JSON."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections import Counter
from typing import Iterator, List

from ...exceptions import ConfigError
from ...results.text import printable
from ...strict_json import dumps
from ..options import number
from ..result import READABLE_WIDTH, encoding_of
from ..sheet import BAD, DIM, FINE, MIDDLING, PLAIN, TIE, Sheet, wrap
from ..statuses import exit_status
from ..terminal import print_line, say
from . import machine, microphone, network
from .check import ERROR, OK, SKIPPED, WARNING, Check
from .token import Token

FAILED = 1  # the exit status if a check found an error
STATUS_WIDTH, NAME_WIDTH = 9, 18  # columns
NARROW = 60  # columns: a narrower terminal has the details below the names
UNBOUNDED = 1_000_000  # columns: in a pipe, no line is wrapped
_COMMAND = re.compile(r"\b(?:export|unset|ulimit|pip|sudo|elsa-unscripted|chmod) [^,;]{1,45}(?=$|[,;])")
COLORS = {OK: FINE, WARNING: MIDDLING, ERROR: BAD, SKIPPED: DIM}


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    try:
        jobs = int(number("--jobs", options.jobs, int, "a whole number above 0"))
    except ConfigError as error:
        say(f"error: {error}")
        return exit_status(error)
    found: List[Check] = []
    shown = _Report(verbose=options.verbose)
    for check in _checks(options, jobs):
        found.append(check)
        if not options.json:
            shown.add(check)
    is_ok = all(check.status != ERROR for check in found)
    if options.json:
        print_line(dumps({"ok": is_ok, "checks": list(map(_as_json, found))}, indent=2))
    else:
        shown.end(_verdict(found, online=options.online))
    return 0 if is_ok else FAILED


def _checks(options: argparse.Namespace, jobs: int) -> Iterator[Check]:
    with microphone.looking() as look:
        yield from machine.checks(jobs)
        token = Token(options)
        yield token.check(options.url)
        yield from network.checks(options, token.value if token.is_usable else None)
        yield look()


def _as_json(check: Check) -> object:
    return {
        "name": check.name,
        "status": check.status,
        "detail": "; ".join([check.detail, *check.more]),
        "hint": check.hint,
    }


def _verdict(found: List[Check], *, online: bool) -> str:
    counts = Counter(check.status for check in found)
    wrong = ", ".join(
        f"{counts[status]} {status}{'s' if counts[status] > 1 else ''}" for status in (ERROR, WARNING) if counts[status]
    )
    if counts[ERROR]:
        return f"Not ready: {wrong}."
    known = "" if online else " Whether the token is valid, only the server can tell: ask it with --online."
    return f"Ready: {wrong or 'no problems'}.{known}"


class _Report:
    """The report for people, on standard output."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        terminal = sys.stdout is not None and sys.stdout.isatty()
        self._color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._sheet = Sheet(
            width=min(shutil.get_terminal_size().columns, READABLE_WIDTH) if terminal else UNBOUNDED,
            ascii_only=not encoding_of(sys.stdout).lower().replace("-", "").startswith("utf"),
        )

    def add(self, check: Check) -> None:
        head = f"{COLORS[check.status]}{check.status:<{STATUS_WIDTH}}{PLAIN}{check.name:<{NAME_WIDTH}}"
        indent = STATUS_WIDTH + NAME_WIDTH
        paragraphs = [check.detail]
        if self._verbose or check.is_wrong:
            paragraphs += check.more
        if check.hint and (self._verbose or check.is_wrong):
            # A command to copy stays on one line.
            hint = _COMMAND.sub(lambda found: found[0].replace(" ", TIE), check.hint)
            paragraphs.append(f"→ {hint}")
        if self._sheet.width < NARROW:
            self._print(head.rstrip())
            head, indent = "", 4
        lines = [line for text in paragraphs for line in wrap(printable(text), max(self._sheet.width - indent, 20))]
        for line in lines:
            self._print((head or " " * indent) + line)
            head = ""

    def end(self, verdict: str) -> None:
        self._print("")
        for line in wrap(verdict, self._sheet.width):
            self._print(line)

    def _print(self, line: str) -> None:
        print_line(self._sheet.finish(line, color=self._color).rstrip())
