"""Writes to standard output and standard error, which may be full, closed or missing. Used by all commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Iterator, NoReturn, TextIO

from ..imports import another_module, not_imported
from .statuses import USAGE

if TYPE_CHECKING:
    from tqdm import tqdm

PROGRAM = "elsa-unscripted"


def say(text: str, lead: str = f"{PROGRAM}: ") -> None:
    """Prints a line for people, to stderr; spells out whatever could move the cursor."""
    from ..results.text import printable

    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "ascii"
    line = f"{lead}{printable(text)}".encode(encoding, "backslashreplace").decode(encoding)
    # Nobody may be there to read it: that must not change the exit status.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def say_wrapped(line: str) -> None:
    """Prints a line for people, to stderr, wrapped at the width of the terminal, if it is one; no word is cut."""
    if sys.stderr is None or not sys.stderr.isatty():
        say(line, lead="")
        return
    import textwrap

    width = max(shutil.get_terminal_size().columns, 20)
    indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
    for part in textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    ):
        say(part, lead="")


def command(*words: str) -> str:
    """Returns a command of this program as it is typed, for people to copy."""
    import shlex
    import subprocess

    every = [PROGRAM, *words]
    return subprocess.list2cmdline(every) if os.name == "nt" else shlex.join(every)


def make_bar(**options: Any) -> tqdm[NoReturn]:
    """Returns tqdm's bar on standard error, which `close()` erases. It is drawn from its first `refresh()` on.

    Raises:
        ConfigError: tqdm can't be imported, or another module has its name.
    """
    from ..exceptions import ConfigError

    repair = "pip install --force-reinstall tqdm"
    try:
        import tqdm
    except Exception as error:  # a module of the same name may raise anything
        raise ConfigError(not_imported("tqdm", error, repair)) from error
    if not hasattr(tqdm, "tqdm"):
        raise ConfigError(another_module(tqdm, "tqdm", repair))
    # With a delay, tqdm doesn't draw the bar while it makes it. After a Ctrl-C just then, nobody could close the bar,
    # and it would be erased only after the message. From here on there is none: else an early `close()` erases nothing.
    bar = tqdm.tqdm(**options, dynamic_ncols=True, leave=False, file=sys.stderr, delay=1)
    bar.delay = 0
    return bar


def print_line(line: str) -> None:
    """Prints a line to standard output, in its encoding; ends the program with a message where that fails."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "ascii"
    text = line.encode(encoding, "backslashreplace").decode(encoding)
    with _told_if_full():
        print(text)


def flush_stdout() -> None:
    """Writes out what is buffered; ends the program with a message where that fails."""
    if sys.stdout is not None:
        with _told_if_full():
            sys.stdout.flush()


@contextlib.contextmanager
def _told_if_full() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"error: can't write to standard output ({error.strerror})")
        give_up(sys.stdout)
        sys.exit(USAGE)


def flush_stderr() -> None:
    """Writes out what is buffered. That nobody reads standard error any more must not change the exit status."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Drops what is still buffered for a stream. Python would try again to write it at its end, and exit with 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
