"""`elsa-unscripted report`: a saved result, or the journal of a batch, as one HTML file."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import pathlib
import sys
from typing import Dict, List, Optional, Sequence, Tuple

from ..exceptions import ConfigError, ElsaError
from ..files import replacing
from ..results.bands import check_thresholds
from ..strict_json import loads
from . import logs
from .inputs import Inputs
from .output import check_output
from .result import load_result, readable
from .statuses import USAGE, exit_status, explain
from .terminal import give_up, say

MAX_TORN = 1000  # lines before the first whole one of a journal
MAX_LINE = 64 * 2**20  # bytes of a journal's line to look at: it holds one verdict, which is at most so long


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    source, *earlier = options.source
    stem = "report" if source == "-" else os.path.splitext(source)[0]
    output = options.output or f"{stem}.html"
    try:
        with logs.warnings(say), readable(source) as path:
            page = _page(options, [path, *earlier], output)
    except ImportError as error:
        say(f"error: {error}")
        return USAGE
    except ElsaError as error:
        say(f"error: {explain(error)}")
        return exit_status(error)
    try:
        with replacing(output) as file:
            file.write(page.encode())
    except OSError as error:
        say(f"error: can't write {output!r} ({error.strerror}); give another -o")
        return USAGE
    if options.audio is not None and os.path.isdir(options.audio):
        say(f"the page has {len(page) / 1e6:.1f} MB, with the recordings in it")
    status = _tell(output)
    if status == 0 and options.open:
        _open(output)
    return status


def _open(output: str) -> None:
    """Opens the page in a browser; if there is none, says so: the page is made all the same."""
    import webbrowser

    if not webbrowser.open(pathlib.Path(os.path.abspath(output)).as_uri()):
        say(f"no browser could be started; open {output!r} yourself")


def _tell(output: str) -> int:
    """Prints where the page is, byte for byte, for a script to open it; returns the exit status."""
    if sys.stdout is None:
        return 0
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(output) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"error: can't write to standard output ({error.strerror}); the page is {output!r}")
        give_up(sys.stdout)
        return USAGE
    return 0


def _page(options: argparse.Namespace, sources: Sequence[str], output: str) -> str:
    from .. import report

    thresholds = _thresholds(options.thresholds)
    if output == "-":
        raise ConfigError("-o must be a file to open in a browser; not -")
    check_output(output, *sources, options.audio, options.list, page=True)
    if len(sources) > 1:
        if "-" in options.source:
            raise ConfigError("of several journals none can be standard input: save it to a file first")
        for each in sources:
            if not _is_journal(each):
                raise ConfigError(
                    f"{each!r} is no journal: a page of several files is that of several journals, one a term"
                )
    source = sources[0]
    if not _is_journal(source):
        if options.list is not None:
            raise ConfigError(f"{source!r} is a single result: --list goes with the journal of a batch")
        result = load_result(source)
        title = options.title or report.titled(options.audio or options.source[0])
        return report.result_page(result, audio=options.audio, thresholds=thresholds, title=title)
    if options.audio is not None and not os.path.isdir(options.audio):
        raise ConfigError(f"{source!r} is a journal of many recordings: --audio must be the folder that has them")
    listed = [] if options.list is None else _listed(options.list, options.path_column)
    return report.class_page(sources, thresholds=thresholds, title=options.title, listed=listed, audio=options.audio)


def _listed(path: str, path_column: Optional[str]) -> List[Tuple[str, Dict[str, str]]]:
    """Returns the rows of a list: paths, each with the other cells by column."""
    try:
        with contextlib.closing(Inputs((), (), path, path_column)) as inputs:
            rows = [(row.path, dict(zip(inputs.columns, row.columns))) for row in inputs if row is not None]
    except ConfigError as error:
        raise ConfigError(str(error).replace("--from-file", "--list")) from error
    return rows


def _thresholds(text: str) -> Tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
        return check_thresholds((low, high))
    except ValueError:
        raise ConfigError(f"--thresholds must be two numbers from 0 to 100, such as 60,80, not {text!r}") from None


def _is_journal(path: str) -> bool:
    """Returns whether a file is a journal: its first whole line is an object with a hash, or it has no line yet.

    Blank and torn lines are passed over, as `journal.read()` does. No line of a saved result is an object by itself.
    """
    empty = True
    try:
        with open(path, "rb") as file:
            # At most so many lines, each so long: a device may have no end.
            for line in itertools.islice(iter(lambda: file.readline(MAX_LINE), b""), MAX_TORN):
                if len(line) == MAX_LINE:
                    return False
                empty = empty and not line.strip()
                try:
                    found = loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(found, dict):
                    return {"v", "sha256"} <= set(found)
    except OSError as error:
        raise ConfigError(f"can't read {path!r} ({error.strerror}); check the name") from error
    return empty
