"""`elsa-unscripted check`: which recordings are worth sending, and what they may cost; nothing leaves the machine."""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import io
import math
import queue
import shutil
import sys
import textwrap
import threading
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..api import check_audio
from ..audio import vad
from ..audio.check import AudioCheck, Finding
from ..deadline import Deadline
from ..exceptions import ConfigError, ElsaError
from ..files import readable, replacing
from ..journal import name_in
from ..mailbox import Mailbox
from ..results.rows import Cell
from ..results.text import printable
from ..strict_json import dumps
from ..threads import NoThreadError, start_thread
from .checkers import END_SECONDS, Checker, cores
from .inputs import Inputs
from .list_file import Input
from .meter import clock
from .options import number, tell_what_is_checked
from .output import check_output
from .statuses import BAD_AUDIO, USAGE, exit_status, explain
from .table import cell
from .terminal import PROGRAM, make_bar, print_line, say

RANK = {"error": 0, "warning": 1, "ok": 2}
AHEAD = 8  # recordings for each core that are drawn before one is needed: a folder of millions isn't listed
MANY = 4  # recordings for each core that wait; fewer are checked before processes of their own would have started
WAIT_SECONDS = 0.2  # s until a list that comes through a pipe is asked again
WIDTH = 80  # columns where there is no terminal
MIN_WIDTH = 40

# The spaces at the end leave room for the ^C that a terminal shows on Ctrl-C.
BAR = "{n_fmt} of {total_fmt} |{bar}| {remaining} left  "
BAR_WITHOUT_END = "{n_fmt} checked  "

# Of --csv; the list's own columns come behind them.
COLUMNS = (
    *("path", "result", "findings", "seconds", "speech_seconds", "speech_ratio", "speech_level", "rms", "peak", "snr"),
    *("high_band", "clipped", "dc", "silence_start", "silence_end", "sample_rate", "channels", "bits"),
    *("channel_relation", "gaps", "units", "message"),
)

Row = Tuple[Input, AudioCheck]


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    try:
        with contextlib.ExitStack() as stack:
            return _run(options, stack)
    except ElsaError as error:
        say(f"error: {explain(error)}")
        return exit_status(error)


def _run(options: argparse.Namespace, stack: contextlib.ExitStack) -> int:
    unit = number("--unit", options.unit, float, "a number of seconds above 0")
    price = None if options.price is None else number("--price", options.price, float, "a number above 0")
    if not options.paths and options.from_file is None:
        raise ConfigError(f"no recordings: give files, folders or --from-file LIST; see {PROGRAM} check --help")
    if options.path_column is not None and options.from_file is None:
        raise ConfigError("--path-column says where the paths are in a list: give --from-file LIST")
    if options.csv is not None:
        if options.csv == "-":
            raise ConfigError("--csv must be a file; standard output has the table, or --json")
        check_output(options.csv, *options.paths, options.from_file, option="--csv")
    own = [path for path in (options.csv, options.from_file) if path is not None]
    inputs = Inputs(options.paths, options.glob, options.from_file, options.path_column, own=own, command="check")
    stack.enter_context(contextlib.closing(inputs))
    tell_what_is_checked()
    rows = sorted(_checked(inputs, shown=not (options.quiet or options.no_progress)), key=_rank)
    if not rows:
        say("error: no recordings found; folders are searched for audio files, or for --glob PATTERN")
        if inputs.passed_over_words():
            say(inputs.passed_over_words(), lead="")
        return USAGE
    checks = [check for _, check in rows]
    if options.json:
        print_line(dumps([check.to_dict() for check in checks], indent=2))
    else:
        shown = [row for row in rows if row[1].findings or not options.quiet]
        if shown:
            _print_table(shown, inputs.columns)
    if not options.quiet:
        _print_summary(checks, unit, price, functools.partial(say, lead="") if options.json else print_line)
        if inputs.passed_over_words():
            say(inputs.passed_over_words(), lead="")
    status = BAD_AUDIO if any(check.errors for check in checks) else 0
    if options.csv is None:
        return status
    try:
        _write_csv(options.csv, rows, inputs.columns, unit)
    except OSError as error:
        say(f"error: can't write {options.csv!r} ({error.strerror}); give another --csv")
        return USAGE
    return status


def _rank(row: Row) -> Tuple[int, int, str]:
    check = row[1]
    return RANK[check.level], -len(check.findings), check.path or ""


def _checked(inputs: Inputs, *, shown: bool) -> Iterator[Row]:
    """Yields each recording with what was found, as they come; shows a bar meanwhile, if that takes long."""
    waiting: queue.SimpleQueue[Optional[Input]] = queue.SimpleQueue()
    answers: Mailbox[Tuple[Input, Union[AudioCheck, Exception]]] = Mailbox()
    is_terminal = shown and sys.stderr is not None and sys.stderr.isatty()
    total = inputs.count() if is_terminal else None
    source = iter(inputs)
    with contextlib.ExitStack() as stack:
        bar = None
        if is_terminal:
            bar = stack.enter_context(make_bar(total=total, bar_format=BAR if total else BAR_WITHOUT_END))
            bar.refresh()
        at_once = cores()
        more, unanswered, begun = True, 0, False
        while more or unanswered:
            stalled = False
            while more and not stalled and unanswered < at_once * AHEAD:
                try:
                    drawn = next(source)
                except StopIteration:
                    more = False
                    break
                stalled = drawn is None
                if drawn is not None:
                    waiting.put(drawn)
                    unanswered += 1
            if not begun:  # not before, or the threads wouldn't see how many recordings there are
                stack.enter_context(_threads(waiting, answers, at_once))
                begun = True
            try:
                given, found = answers.get(WAIT_SECONDS)
            except queue.Empty:
                continue
            unanswered -= 1
            if isinstance(found, Exception):
                raise found
            if bar is not None:
                bar.update()
            yield given, found


@contextlib.contextmanager
def _threads(
    waiting: queue.SimpleQueue[Optional[Input]],
    answers: Mailbox[Tuple[Input, Union[AudioCheck, Exception]]],
    at_once: int,
) -> Iterator[None]:
    """Has what is waiting checked in `at_once` threads; each has a process do so if there is much.

    The threads are daemons, and nobody waits for them: Ctrl-C must not wait until a recording of hours is checked.
    """
    left = threading.Event()
    checkers = [Checker() for _ in range(at_once)]

    def work(checker: Checker) -> None:
        check: Callable[[str], AudioCheck] = check_audio
        given = waiting.get()
        while given is not None and not left.is_set():
            if at_once > 1 and waiting.qsize() >= at_once * MANY:
                check = checker.check
            try:
                answers.put((given, check(given.path) if given.path else _missing()))
            except Exception as error:  # noqa: BLE001 - raised in the main thread
                answers.put((given, error))
            given = waiting.get()
        checker.close()

    started = 0
    try:
        for checker in checkers:
            thread = threading.Thread(target=work, args=(checker,), name="elsa-check", daemon=True)
            try:
                start_thread(thread, "end other programs")
            except NoThreadError as error:
                if not started:
                    raise ConfigError(str(error)) from error
                break
            started += 1
        yield
    finally:
        left.set()
        for _ in range(started):
            waiting.put(None)
        for checker in checkers:
            checker.stop()
        until = Deadline(END_SECONDS)
        for checker in checkers:
            checker.wait(until)


def _missing() -> AudioCheck:
    """Returns what is found for somebody in the list who has no recording."""
    missing = Finding("error", "unreadable", None, "isn't there: the list has no path", "ask for it, or mend the list")
    return AudioCheck("", findings=(missing,), speech_measured=vad.is_installed())


# What is printed.


def _print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    width = max(shutil.get_terminal_size((WIDTH, 24)).columns, MIN_WIDTH) if is_terminal else WIDTH
    print_line(f"{'RESULT':<8}{'LENGTH':>7}{'SPEECH':>8}{'LEVEL':>7}{'SNR':>5}  RECORDING")
    for given, check in rows:
        length = "-" if check.seconds is None else clock(check.seconds)
        speech = "-" if check.speech_seconds is None else f"{check.speech_seconds:.1f} s"
        level = "-" if check.speech_level is None else f"{check.speech_level:.0f}"
        noise = "-" if check.snr is None else f"{check.snr:.0f}"
        path = printable(readable(given.path) or name_in(dict(zip(columns, given.columns))))
        print_line(f"{check.level:<8}{length:>7}{speech:>8}{level:>7}{noise:>5}  {path}")
        for finding in check.findings:
            text = printable(f"{finding.code}: {finding.message}. {finding.hint[:1].upper()}{finding.hint[1:]}.")
            for line in textwrap.wrap(
                text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
            ):
                print_line(line)


def _print_summary(
    checks: Sequence[AudioCheck], unit: float, price: Optional[float], write: Callable[[str], None]
) -> None:
    levels = [check.level for check in checks]
    counts = f"{levels.count('error')} with errors, {levels.count('warning')} with warnings, {levels.count('ok')} fine"
    recordings = "1 recording" if len(checks) == 1 else f"{len(checks)} recordings"
    write(f"{recordings}: {counts}.")
    units = sum(_units(check, unit) for check in checks)
    started = "1 started unit" if units == 1 else f"{units} started units"
    cost = "" if price is None else f", at {price:g} each {_amount(units * price)}"
    sent = levels.count("warning") + levels.count("ok")
    what = "all" if sent == len(checks) else f"the {sent} without errors"
    write(f"Estimate of the bill for {what}: {started} of {unit:g} s{cost}.")
    write("ELSA documents no metering.")


def _amount(price: float) -> str:
    """Returns an amount of money with two digits behind the point, and more if there would be nothing but zeros."""
    return f"{price:.2f}" if price >= 0.01 or not price else f"{price:.2g}"


def _units(check: AudioCheck, unit: float) -> int:
    """Returns how many units would be billed; none for a recording that isn't worth sending."""
    # Rounded: 1.1 s are 11 units of 0.1 s, and not 12.
    return 0 if check.errors else max(1, math.ceil(round((check.seconds or 0.0) / unit, 6)))


def _write_csv(path: str, rows: Sequence[Row], carried: Sequence[str], unit: float) -> None:
    with replacing(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", "backslashreplace", newline="", write_through=True)
        try:
            writer = csv.writer(text)
            names = [f"list_{name}" if name in COLUMNS else name for name in carried]
            writer.writerow(map(cell, [*COLUMNS, *names]))
            for given, check in rows:
                cells = _cells(check, unit)
                writer.writerow(map(cell, [*(cells[name] for name in COLUMNS), *given.columns]))
        finally:
            text.detach()


def _cells(check: AudioCheck, unit: float) -> Dict[str, Cell]:
    findings: List[str] = [finding.code for finding in check.findings]
    return {
        **check.to_dict(),
        "path": readable(check.path or ""),
        "result": check.level,
        "findings": " ".join(findings),
        "units": _units(check, unit),
        "message": "; ".join(finding.message for finding in check.findings),
    }
