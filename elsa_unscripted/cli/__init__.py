"""`elsa-unscripted`: the command line. Each subcommand is a file beside this one."""

from .main import main

__all__ = ["main"]
