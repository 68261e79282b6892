"""`elsa-unscripted score`: one recording, with a progress bar; the result on standard output."""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
from typing import Any, BinaryIO, Iterator, Optional, Tuple

from ..exceptions import ConfigError, ElsaError
from ..exchange.client import Client
from ..exchange.conversation import OnProgress, OnStatus
from ..files import replacing
from ..results.result import ScoreResult
from ..results.text import printable
from . import logs
from .options import exchange, stdin, token
from .output import check_output
from .result import formatted, print_result
from .statuses import USAGE, exit_status, explain
from .terminal import make_bar, say

STATUS_WIDTH = 30  # columns beside the bar; tqdm cuts off what the terminal has no room for
BAR = f"{{n:5.1f}} of {{total:.1f}} s |{{bar:24}}| {{percentage:3.0f}} %  {{desc:.{STATUS_WIDTH}}}"


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    with logs.everything() if options.verbose else contextlib.nullcontext():
        try:
            if options.output not in (None, "-"):
                check_output(options.output, options.audio, options.token_file, options.ca_bundle)
            source = _stdin_audio() if options.audio == "-" else options.audio
            on_stdin = "the audio" if options.audio == "-" else None
            client = Client(token(options, on_stdin=on_stdin), **exchange(options))
            with client, _progress(options) as (on_status, on_progress):
                result = client.score(source, on_status=on_status, on_progress=on_progress)
        except ElsaError as error:
            if options.verbose:
                _trace()
            say(f"error: {explain(error)}")
            return exit_status(error)
    # A summary on standard output shows the warnings itself.
    if not options.quiet and (options.format != "summary" or options.output is not None):
        for warning in result.warnings:
            say(f"warning: {warning}")
    return _deliver(result, options)


def _stdin_audio() -> BinaryIO:
    source = stdin()
    if source.isatty():
        raise ConfigError("standard input is a terminal, not a recording: give a file, or < FILE")
    return source


# The result.


def _deliver(result: ScoreResult, options: argparse.Namespace) -> int:
    """Writes the result where it was asked for; if that fails, to standard output, because it was paid for."""
    if options.output in (None, "-"):
        return print_result(result, options.format)
    try:
        with replacing(options.output) as file:
            file.write(formatted(result, options.format, False, "utf-8"))
    except OSError as error:
        say(f"error: can't write {options.output!r} ({error.strerror}); the result goes to standard output")
        print_result(result, options.format)
        return USAGE
    return 0


# What the terminal shows meanwhile.


@contextlib.contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Tuple[Optional[OnStatus], Optional[OnProgress]]]:
    """Shows a bar of the audio seconds sent, and the latest status beside it."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if options.no_progress or options.quiet or options.verbose or not terminal:
        yield None, None
        return
    # Until the first packet there are only words: nothing can be measured yet.
    with make_bar(desc="connecting", bar_format="{desc}") as bar:

        def on_status(status: Any) -> None:
            bar.set_description_str(printable(status.message or status.status))

        def on_progress(sent: float, total: float) -> None:
            begins = bar.total is None
            bar.bar_format, bar.total = BAR, total
            bar.update(sent - bar.n)
            if sent >= total:
                bar.set_description_str("waiting for the verdict")
            elif begins:
                bar.refresh()

        yield on_status, on_progress


def _trace() -> None:
    for line in traceback.format_exc().splitlines():
        print(printable(line), file=sys.stderr)
