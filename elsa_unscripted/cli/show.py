"""`elsa-unscripted show`: a saved result, as `score` printed it."""

from __future__ import annotations

import argparse

from ..exceptions import ConfigError
from .result import load_result, print_result, readable
from .statuses import exit_status
from .terminal import say


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    try:
        with readable(options.result) as path:
            result = load_result(path)
    except ConfigError as error:
        say(f"error: {error}")
        return exit_status(error)
    return print_result(result, "summary", verbose=options.verbose)
