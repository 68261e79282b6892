"""`elsa-unscripted score`: one recording, or what comes through a pipe; the result on standard output."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from ..exceptions import AudioError, ElsaError
from ..exchange.client import Client
from ..exchange.events import AudioSent
from ..files import replacing
from ..quoting import cut
from ..results.problems import problem_of
from ..results.result import ScoreResult
from ..results.text import printable
from . import hints, logs
from .audio import find_audio
from .options import exchange, token
from .output import check_output
from .result import formatted, print_result
from .statuses import REJECTED, USAGE, exit_status, explain
from .terminal import command, make_bar, say

STDIN = ("-", "/dev/stdin", "/dev/fd/0")  # what standard input is called

STATUS_WIDTH = 30  # columns beside the bar; tqdm cuts off what the terminal has no room for
BAR = f"{{n:5.1f}} of {{total:.1f}} s |{{bar:24}}| {{percentage:3.0f}} %  {{desc:.{STATUS_WIDTH}}}"
BAR_WITHOUT_END = f"{{n:5.1f}} s sent  {{desc:.{STATUS_WIDTH}}}"  # of audio that comes through a pipe


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    with logs.everything() if options.verbose else contextlib.nullcontext():
        try:
            if options.output not in (None, "-"):
                check_output(options.output, options.audio, options.token_file, options.ca_bundle)
            _check_path(options.audio)
            with contextlib.ExitStack() as stack:
                audio = find_audio(options, stack)
                on_stdin = "the audio" if options.audio in STDIN else None
                client = stack.enter_context(Client(token(options, on_stdin=on_stdin), **exchange(options)))
                shown = stack.enter_context(_progress(options))
                result = client.score(audio(shown.tell), **shown.callbacks)
        except ElsaError as error:
            return fail(error, options)
    # A summary on standard output shows the warnings itself.
    if not options.quiet and (options.format != "summary" or options.output is not None):
        for warning in result.warnings:
            say(f"warning: {warning}")
    return deliver(result, options)


def _check_path(path: str) -> None:
    """Tells what was meant by a folder, a pattern, and a name that is nearly right."""
    if path == "-":
        return
    if os.path.isdir(path):
        raise AudioError(f"{path!r} is a directory; for all recordings in it: {command('batch', path)}")
    if not os.path.lexists(path):
        if hints.is_pattern(path):
            raise AudioError(f"no such file: {path!r}; if it is a pattern: {hints.unexpanded(path)}", missing=True)
        near = hints.near(path)
        if near:
            raise AudioError(f"no such file: {path!r}{near}", missing=True)


# How a command ends; `live` calls these functions, too.


def fail(error: ElsaError, options: argparse.Namespace) -> int:
    """Tells an error that is being handled; returns the exit status."""
    if options.verbose:
        for line in traceback.format_exc().splitlines():
            print(printable(line), file=sys.stderr)
    say(f"error: {explain(error)}")
    return exit_status(error)


def deliver(result: ScoreResult, options: argparse.Namespace) -> int:
    """Writes the result, and says what it lacks and what can be done with it; returns the exit status."""
    status = _write(result, options)
    problem = problem_of(result)
    if options.require_score and problem is not None:
        why = f"{problem.title.lower()}; {problem.action.lower()}"
        say(f"error: there is no score, and --require-score was given: {why}")
        return status or REJECTED
    in_file = options.output not in (None, "-") and options.format != "summary"
    if status == 0 and in_file and not options.quiet and sys.stderr is not None and sys.stderr.isatty():
        audio = getattr(options, "audio", "-")
        with_audio = [] if audio in STDIN else ["--audio", audio]
        say(f"next: {command('report', options.output, *with_audio, '--open')}")
    return status


def _write(result: ScoreResult, options: argparse.Namespace) -> int:
    """Writes the result where it was asked for; if that fails, to standard output, because it was paid for."""
    if options.output in (None, "-"):
        return print_result(result, options.format, verbose=options.verbose)
    try:
        with replacing(options.output) as file:
            file.write(formatted(result, options.format, False, "utf-8", options.verbose))
    except OSError as error:
        say(f"error: can't write {options.output!r} ({error.strerror}); the result goes to standard output")
        print_result(result, options.format, verbose=options.verbose)
        return USAGE
    return 0


# What the terminal shows meanwhile.


class _Shown(NamedTuple):
    """How the progress of an exchange is shown.

    Attributes:
        tell: Shows a few words on what is being waited for.
        callbacks: For `Client.score()`.
    """

    tell: Callable[[str], object]
    callbacks: Dict[str, Any]


@contextlib.contextmanager
def _progress(options: argparse.Namespace) -> Iterator[_Shown]:
    """Shows a bar of the audio seconds sent, and the latest status beside it."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if options.no_progress or options.quiet or options.verbose or not terminal:
        yield _Shown(lambda _: None, {})
        return
    # Until the first packet there are only words: nothing can be measured yet.
    with make_bar(desc="connecting", bar_format="{desc}") as bar:
        bar.refresh()

        def on_status(status: Any) -> None:
            bar.set_description_str(printable(cut(status.message or status.status)))

        def on_progress(sent: float, total: Optional[float]) -> None:
            begins = bar.bar_format == "{desc}"
            bar.bar_format, bar.total = BAR_WITHOUT_END if total is None else BAR, total
            bar.update(sent - bar.n)
            if begins:
                bar.refresh()

        def on_event(event: object) -> None:
            if isinstance(event, AudioSent):
                bar.set_description_str("waiting for the verdict")

        yield _Shown(
            bar.set_description_str, {"on_status": on_status, "on_progress": on_progress, "on_event": on_event}
        )
