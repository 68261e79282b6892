"""`elsa-unscripted batch`: many recordings, into a journal that the next run goes on from."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import shlex
import signal
import time
from concurrent.futures import BrokenExecutor, Executor
from types import FrameType
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

from ..api import score_many
from ..batch import Batch, BatchProgress, ListedPath, Outcome, SlowPaths
from ..exceptions import BudgetError, ConfigError, ConnectError, ElsaError, JournalError
from ..files import replacing
from . import logs
from .inputs import Columns, Inputs
from .meter import Meter
from .options import exchange, number, token
from .output import check_output
from .statuses import INTERRUPTED, NOT_CONNECTED, REJECTED, USAGE, exit_status, explain
from .table import Table
from .tally import Tally
from .terminal import PROGRAM, command, say, say_wrapped

MIN_UNCONNECTED = 5  # if at least so many recordings, the first ones, get no connection, the rest isn't tried
# What an address looks like. Checked here, because Dask takes 20 s to refuse anything else.
_DASK_ADDRESS = re.compile(r"((tcp|tls|ucx|wss?)://)?[^/\s]+:\d{1,5}/?")
FULL_DISK_SECONDS = 30.0  # s: for people, or programs that clean up, to make room
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BURST_SECONDS = 1.0  # s: in which nobody presses Ctrl-C again because nothing has happened
HANG_UP = getattr(signal, "SIGHUP", None)  # the terminal was closed, or the network connection to it broke
DASK_SECONDS = 10.0  # s: to reach the scheduler, as long as a connection to the service may take


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    try:
        with contextlib.ExitStack() as stack:
            return _Run(options, stack).run()
    except ElsaError as error:
        say(f"error: {explain(error)}")
        return exit_status(error)


class _Run:
    """One batch, from its options to its exit status; `stack` closes what it opens."""

    def __init__(self, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self._options = options
        self._tally = Tally()
        self._columns = Columns()
        self._listed: List[ListedPath] = []  # for the page; without --report they are not kept
        self._presses = 0  # of Ctrl-C; a SIGTERM counts, too, and a SIGHUP
        self._hang_ups = 0  # those of them that were a SIGHUP
        self._cut_at: Optional[float] = None  # when one of them has cut off what was in flight, on the monotonic clock
        self._cut = False  # whether that has come through
        self._flying = 0  # recordings that were in flight at the first press
        self._problem: Optional[ElsaError] = None
        self._status: Optional[int] = None  # the exit status, if it is known before the end
        if options.output == "-":
            raise ConfigError("-o must be a file, from which an interrupted batch goes on; not -")
        jobs = int(number("--jobs", options.jobs, int, "a whole number above 0"))
        budget = options.max_audio_seconds
        if budget is not None:
            budget = number("--max-audio-seconds", budget, float, "a number of seconds above 0")
        if not options.paths and options.from_file is None:
            raise ConfigError(f"no recordings: give files, folders or --from-file LIST; see {PROGRAM} batch --help")
        if options.path_column is not None and options.from_file is None:
            raise ConfigError("--path-column says where the paths are in a list: give --from-file LIST")
        self._inputs = stack.enter_context(contextlib.closing(_inputs(options)))
        if self._inputs.elsewhere:
            raise ConfigError(
                f"none of the paths in the list {self._inputs.named} is there from {os.getcwd()!r}, but they are in "
                f"the list's own folder: go there first, cd {shlex.quote(self._inputs.elsewhere)}"
            )
        if options.report is not None:
            check_page(options.report, options.output, options.csv, options.from_file)
        on_stdin = "the list" if options.from_file == "-" else None
        given = {"token": token(options, on_stdin=on_stdin), **exchange(options)}
        self._cluster = stack.enter_context(contextlib.ExitStack())
        executor = None if options.dask is None else _dask(options.dask, self._cluster)
        shown = not (options.quiet or options.no_progress or options.verbose)
        self._total = self._inputs.count() if shown else None
        self._jobs = jobs
        self._meter = stack.enter_context(contextlib.closing(Meter(self._total, shown=shown)))
        stack.enter_context(logs.everything() if options.verbose else logs.warnings(self._meter.say))
        self._batch: Batch = stack.enter_context(
            score_many(
                SlowPaths(self._draw()),
                **given,
                max_workers=jobs,
                executor=executor,
                journal=options.output,
                retry_failed=options.retry_failed,
                max_audio_seconds=budget,
                on_progress=self._on_progress,
            )
        )
        # After `score_many()` has locked the journal. Else a second run would empty the table of the first.
        self._table = None if options.csv is None else _table(options, self._inputs.columns)
        stack.callback(self._end_table)

    def run(self) -> int:
        """Scores all; returns the exit status."""
        began = time.monotonic()
        self._meter.show(self._batch.progress)
        with _signals(self._on_signal):
            try:
                for outcome in iter(self._next, None):
                    self._take(outcome)
            except KeyboardInterrupt:
                self._cut = True
                flying = self._batch.progress.in_flight
                self._meter.say(f"stopped: {flying} cut off in flight, which may be billed")
            except BrokenExecutor as error:
                self._fail(f"the workers are gone ({error or type(error).__name__})", NOT_CONNECTED)
            except ElsaError as error:
                self._fail(explain(error), exit_status(error))
            self._batch.close()
            self._end_table()
            self._meter.show(self._batch.progress, last=True)
            self._meter.close()
            # Closed before the summary is printed, so that what Dask logs doesn't follow it. If the cluster is gone,
            # to close it fails, which doesn't matter.
            with contextlib.suppress(Exception, KeyboardInterrupt):
                self._cluster.close()
            if self._problem is not None:
                self._fail(str(self._problem), USAGE)
            return self._conclude(time.monotonic() - began)

    def _next(self) -> Optional[Outcome]:
        """Waits for an outcome; if the disk is full, waits for room, because what has finished is paid for."""
        until = None
        while True:
            try:
                return next(self._batch, None)
            except JournalError as error:
                if getattr(error.__cause__, "errno", None) not in _FULL:
                    raise
                if until is None:
                    until = time.monotonic() + FULL_DISK_SECONDS
                    self._meter.say(f"error: {error}; it is tried again for {FULL_DISK_SECONDS:g} s")
                elif self._presses or time.monotonic() > until:
                    raise
                time.sleep(1.0)

    def _draw(self) -> Iterator[Optional[str]]:
        """Yields the paths to `score_many()`, in this thread; `None` while the list's next line isn't there yet."""
        try:
            for given in self._inputs:
                if given is None or not given.columns:
                    yield None if given is None else given.path
                    continue
                self._columns.put(given)
                path = ListedPath(given.path, dict(zip(self._inputs.columns, given.columns)))
                if self._options.report is not None:
                    self._listed.append(path)
                yield path
        except ConfigError as error:
            self._problem = error

    def _take(self, outcome: Outcome) -> None:
        self._tally.add(outcome)
        told = outcome.from_journal or isinstance(outcome.error, BudgetError) or not outcome.path
        if outcome.error is not None and not told:
            self._meter.say(_line(outcome.path, outcome.error))
        columns = self._columns.take(outcome.path)
        if self._table is not None:
            try:
                self._table.add(outcome, columns)
            except OSError as error:
                self._lose_table(error)
        enough = max(self._jobs, MIN_UNCONNECTED)
        if not self._tally.connected and self._tally.unconnected == enough and not self._presses:
            self._batch.stop()
            self._fail(f"no connection for {enough} recordings, and none ever: no more are tried", NOT_CONNECTED)

    def _on_progress(self, progress: BatchProgress) -> None:
        """Called by the batch in this thread, where printing is safe. In a signal handler it isn't."""
        if self._presses and not self._meter.stopping:
            self._meter.stopping = True
            self._meter.say(f"stopping: {self._flying} in flight finish; Ctrl-C again cuts them off")
        self._meter.show(progress)

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        self._presses += 1
        # When a terminal closes, several SIGHUPs and a SIGTERM may come. Nobody has asked twice then, so these must not
        # cut off what is in flight.
        self._hang_ups += number == HANG_UP
        if self._presses - self._hang_ups > 1:
            # In a burst, one is enough: the next ones would hit what the first has begun.
            now = time.monotonic()
            if not self._cut and (self._cut_at is None or now - self._cut_at > BURST_SECONDS):
                self._cut_at = now
                raise KeyboardInterrupt  # the batch keeps its journal whole wherever this hits it
        elif self._presses == 1:
            self._flying = self._batch.progress.in_flight
            self._batch.stop()

    def _fail(self, text: str, status: int) -> None:
        self._meter.say(f"error: {text}")
        self._status = self._status or status

    def _lose_table(self, error: OSError) -> None:
        """Goes on without the table: the journal has everything."""
        table, self._table = self._table, None
        if table is not None:
            table.discard(error)
        self._fail(f"can't write {self._options.csv!r} ({error.strerror}); when repeated, the command mends it", USAGE)

    def _end_table(self) -> None:
        try:
            if self._table is not None:
                self._table.close()
        except OSError as error:
            self._lose_table(error)

    def _conclude(self, seconds: float) -> int:
        """Prints the summary, and in the last line what to do next; returns the exit status."""
        tally, options = self._tally, self._options
        status = INTERRUPTED if self._presses else self._status
        if status is None and not tally.total:
            searched = "folders are searched for audio files, or for --glob PATTERN"
            say(
                f"error: no recordings found; {searched if options.paths else f'{self._inputs.named} is an empty list'}"
            )
            if self._inputs.passed_over_words():
                say(self._inputs.passed_over_words(), lead="")
            return USAGE
        if status is None and tally.missing:
            unreachable = tally.unconnected and not tally.connected and not tally.earlier
            status = NOT_CONNECTED if unreachable else REJECTED
        if status is None and tally.without and options.require_score:
            status = REJECTED
        left = self._left() if self._presses or self._status is not None else 0
        cut_short = self._status is not None or left != 0
        page = options.report if options.report is not None and tally.total else None
        if page is not None:
            status = self._write_page(page, whole=not cut_short) or status
        if not options.quiet and (tally.total or cut_short):
            for line in tally.lines(seconds, self._batch.billable_seconds, left):
                say_wrapped(line)
            if self._inputs.passed_over_words():
                say_wrapped(self._inputs.passed_over_words())
            table = "" if self._table is None else f", the table in {options.csv}"
            shown = "" if page is None else f", the page in {page}"
            say_wrapped(f"The results are in {options.output}{table}{shown}.")
        self._tell_how_to_go_on(cut_short=cut_short)
        return status or 0

    def _tell_how_to_go_on(self, *, cut_short: bool) -> None:
        tally, options = self._tally, self._options
        wanting = tally.without and not (options.quiet and not options.require_score)
        if not (cut_short or tally.missing or wanting):
            if options.report is None and not options.quiet:
                say(f"next: {command('report', options.output)} makes a page of them")
            return
        # After a batch that was cut short, failures are repeated only if some recordings got no connection. These
        # failures are in the journal, too, and without --retry-failed they would stay there for good.
        retry = tally.again and (tally.unconnected or not cut_short)
        words, left_out = _command(options, ["--retry-failed"] if retry else [])
        with_token = f" (give {' and '.join(left_out)} again)" if left_out else ""
        if cut_short or (tally.left and not retry):
            what = "to go on"
        else:
            what = "to try again" if retry else "when they are recorded again"
        say(f"{what}{with_token}: {words}")

    def _write_page(self, path: str, *, whole: bool) -> int:
        """Writes the page of the class; returns the exit status of a failure, else 0.

        Args:
            path: Where to.
            whole: Whether every recording has its outcome. Else the page has the others as well, which aren't begun.
        """
        from .. import report

        listed: List[Tuple[str, Mapping[str, str]]] = [(str(each), each.columns) for each in self._listed]
        if not whole:
            with contextlib.suppress(ConfigError):  # a pipe can't be read again
                columns = self._inputs.columns
                listed = [(each.path, dict(zip(columns, each.columns))) for each in self._inputs.anew()]
        try:
            page = report.class_page(self._options.output, listed=listed)
            with replacing(path) as file:
                file.write(page.encode())
        except (OSError, ElsaError) as error:
            reason = getattr(error, "strerror", None) or error
            say(f"error: can't write {path!r} ({reason}); {command('report', self._options.output)} makes it")
            return USAGE
        return 0

    def _left(self) -> Optional[int]:
        """Returns how many recordings have no outcome; `None` if that isn't known, as the list is a pipe."""
        total = self._inputs.count() if self._total is None else self._total
        return None if total is None else max(0, total - self._tally.total)


def _inputs(options: argparse.Namespace) -> Inputs:
    own = filter(None, (options.output, options.csv, options.from_file, options.report))
    return Inputs(options.paths, options.glob, options.from_file, options.path_column, own=[*own])


def check_page(path: str, *others: Optional[str]) -> None:
    """Finds out before anything is sent whether the page of the class can be written.

    Raises:
        ConfigError: It can't be; or the extra is missing.
    """
    if path == "-":
        raise ConfigError("--report must be a file to open in a browser; not -")
    try:
        from .. import report  # noqa: F401 - only to see that it is there
    except ImportError as error:
        raise ConfigError(str(error)) from error
    for other in others:
        if other is not None and os.path.abspath(other) == os.path.abspath(path):
            raise ConfigError(f"--report would write over {other!r}; give another file")
    check_output(path, *others, option="--report", page=True)


def _table(options: argparse.Namespace, carried: Sequence[str]) -> Table:
    for other in (options.output, options.from_file):
        both = other is not None and os.path.exists(options.csv) and os.path.exists(other)
        if both and os.path.samefile(options.csv, other):
            raise ConfigError(f"--csv would write over {other!r}; give another file")
    return Table(options.csv, carried)


def _dask(address: str, stack: contextlib.ExitStack) -> Executor:
    try:
        from dask.distributed import Client
    except ImportError:
        raise ConfigError("--dask needs the extra 'dask': pip install 'elsa-unscripted[dask]'") from None
    if not _DASK_ADDRESS.fullmatch(address):
        raise ConfigError(f"--dask must be the address of a scheduler, such as tcp://host:8786, not {address!r}")
    try:
        client = cast(Any, Client)(address, timeout=DASK_SECONDS, set_as_default=False)
        stack.callback(client.close)
    except OSError as error:
        raise ConnectError(f"can't reach the Dask scheduler at {address!r} ({error}); check --dask") from error
    executor: Executor = client.get_executor()
    return executor


@contextlib.contextmanager
def _signals(handler: Callable[[int, Optional[FrameType]], None]) -> Iterator[None]:
    """Handles Ctrl-C, SIGTERM and SIGHUP, those that whoever started this process has not ignored.

    A shell's `&` may ignore Ctrl-C, and `nohup` the SIGHUP of a terminal that closes.
    """
    handled = filter(None, (signal.SIGINT, signal.SIGTERM, HANG_UP))
    before = {each: signal.getsignal(each) for each in handled}
    ours = [each for each, old in before.items() if old not in (signal.SIG_IGN, None)]
    for each in ours:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, before[each])


def _line(path: str, error: ElsaError) -> str:
    text = explain(error)
    return f"error: {text}" if path in text else f"error: {path}: {text}"


def _command(options: argparse.Namespace, more: Sequence[str]) -> Tuple[str, List[str]]:
    """Returns the command to repeat with `more`, without secrets, and the options that were left out of it."""
    kept: List[str] = []
    left_out: List[str] = []
    words = iter(options.words)
    for word in words:
        if word == "--":
            kept += [*more, word, *words]  # an option behind `--` would be taken for a path
            more = ()
            break
        name, equals, value = word.partition("=")
        if len(name) > 3 and "--retry-failed".startswith(name):
            continue  # it is among `more` if it helps
        secret = next((each for each in ("--token", "--proxy") if len(name) > 3 and each.startswith(name)), None)
        if secret is None:
            kept.append(word)
            continue
        rest = [] if equals else [next(words, "")]
        if value == "-" or rest == ["-"] or (secret == "--proxy" and "@" not in word + "".join(rest)):
            kept += [word, *rest]
        else:
            left_out.append(secret)
    return command(*kept, *more), left_out
