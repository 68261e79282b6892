"""The program `elsa-unscripted`: parses, runs the subcommand, and ends with the right exit status, whatever happens."""

from __future__ import annotations

import argparse
import sys
from typing import Optional, Sequence

from .statuses import INTERRUPTED
from .terminal import flush_stderr, flush_stdout, give_up, say


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line; returns the exit status."""
    try:
        from .parser import make_parser

        try:
            words = sys.argv[1:] if arguments is None else list(arguments)
            options = make_parser().parse_args(words, argparse.Namespace(words=words))
            status: int = options.run(options)
            return status
        finally:
            flush_stdout()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read standard output has gone, as `| head` does.
        give_up(sys.stdout)
        return 0
    finally:
        flush_stderr()
