"""`elsa-unscripted doctor`: whether this machine can score. `command` prints what the other modules find out."""

from .command import run

__all__ = ["run"]
