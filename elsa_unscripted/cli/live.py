"""`elsa-unscripted live`: speech from a microphone, with a level meter; the result as `score` prints it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Iterator, Optional, Union

from ..audio.microphone import Microphone
from ..exceptions import AudioError, ConfigError, ElsaError
from ..exchange.client import Client
from ..results.result import ScoreResult
from ..results.text import printable
from . import interrupts, logs
from .level import LevelMeter
from .options import LONGEST, exchange, number, token
from .output import check_output
from .score import deliver, fail
from .statuses import exit_status
from .terminal import say


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    if options.list_devices:
        return _list_devices()
    with logs.everything() if options.verbose else _without_foreign_lines():
        try:
            if options.output not in (None, "-"):
                check_output(options.output, options.save, options.token_file, options.ca_bundle)
            if options.save:
                check_output(options.save, options.token_file, options.ca_bundle, option="--save")
            _check_save(options.save, options.output, options.token_file, options.ca_bundle)
            config = exchange(options)
            microphone = Microphone(
                _device(options.device),
                sample_rate=config.get("sample_rate"),
                max_seconds=number("--max-seconds", options.max_seconds, float, "a number of seconds above 0", LONGEST),
                save=options.save,
            )
            client = Client(token(options), **config)
            terminal = sys.stderr is not None and sys.stderr.isatty()
            meter = LevelMeter(
                microphone,
                bar=terminal and not (options.no_progress or options.quiet or options.verbose),
                lines=not options.quiet,
            )
            with client, contextlib.closing(meter), interrupts.first(lambda: meter.stop("Ctrl-C")):
                result = client.score(microphone)
        except ElsaError as error:
            return fail(error, options)
    if not options.quiet:
        is_summary = options.format == "summary" and options.output is None
        if not is_summary:
            for warning in result.warnings[meter.warned :]:
                say(f"warning: {warning}")
        # A summary on the same terminal tells that the server or the limit has ended it.
        on_terminal = is_summary and sys.stdout is not None and sys.stdout.isatty()
        if not on_terminal or result.ended_by == "source":
            say(_end(result, meter))
    return deliver(result, options)


def _check_save(path: Optional[str], *others: Optional[str]) -> None:
    """Refuses a `--save` that would overwrite another file of the command line."""
    for other in others:
        if path and other and os.path.realpath(path) == os.path.realpath(other):
            raise ConfigError(
                f"{other!r} is needed for something else, and --save would overwrite it; give another one"
            )


def _device(text: Union[str, None]) -> Union[int, str, None]:
    if text is None:
        return None
    if not text:
        raise ConfigError("--device must be the number or the name of a microphone; --list-devices lists them")
    return int(text) if text.isdecimal() else text


def _end(result: ScoreResult, meter: LevelMeter) -> str:
    by = {"server": "the server, which heard the end", "limit": "--max-seconds"}.get(
        result.ended_by or "", meter.stopped_by or "the microphone"
    )
    return f"the speech was ended by {by}, after {result.audio_seconds:.1f} s"


def _list_devices() -> int:
    try:
        with _without_foreign_lines():
            devices = Microphone.list_devices()
        if not devices:
            raise AudioError("there is no microphone: plug one in, or let the sound server run")
    except ElsaError as error:
        say(f"error: {error}")
        return exit_status(error)
    for device in devices:
        mark = "*" if device.is_default else " "
        facts = f"{device.channels} channels, {device.sample_rate} Hz"
        line = printable(f"{mark} {device.number:2}  {device.name}, {device.system} ({facts})")
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding))
    return 0


@contextlib.contextmanager
def _without_foreign_lines() -> Iterator[None]:
    """Keeps from standard error what PortAudio's C code prints there: dozens of lines, amid the meter.

    C code knows standard error by its number, 2. So our own lines go to a copy of it meanwhile, and 2 leads nowhere.
    """
    ours = sys.stderr
    try:
        if ours.fileno() != 2:
            raise OSError("not the descriptor that C code writes to")
        copy = os.dup(2)
    except (AttributeError, OSError, ValueError):  # there is no standard error, or it is not the process's
        yield
        return
    ours.flush()
    with open(copy, "w", encoding=ours.encoding, errors=ours.errors, buffering=1) as ours_meanwhile:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = ours_meanwhile
        try:
            yield
        finally:
            sys.stderr = ours
            os.dup2(copy, 2)
