"""The options of `elsa-unscripted sandbox` for tapes; used by `parser` and `sandbox`."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, Dict

from ..exceptions import ConfigError
from ..results.text import printable

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def add_tape(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("tapes", "A tape is a file of recorded exchanges.")
    tape = group.add_mutually_exclusive_group()
    tape.add_argument(
        "--record", metavar="TAPE", help="pass exchanges on to the real service, and add what it says to a tape"
    )
    tape.add_argument("--replay", metavar="TAPE", help="say again what is on a tape, without any network")
    group.add_argument("--upstream", metavar="URL", help="the real service; default: the vendor's, over wss://")
    group.add_argument(
        "--mode",
        choices=("none", "once", "all"),
        help="none: only replay, the default of --replay; once: record if there is no tape, else replay; all: record "
        "in place of what is on the tape",
    )
    group.add_argument("--keep-audio", action="store_true", help="put the audio on the tape, too, not only its hashes")
    group.add_argument(
        "--strict",
        action="store_true",
        help="replay each exchange only once; without it, the last one of a recording is repeated",
    )
    group.add_argument(
        "--speed", metavar="X", help="how fast answers come: 1, the default, is as recorded; max, at once"
    )


def for_sandbox(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns what `Sandbox` takes for these options.

    Raises:
        ConfigError: They contradict each other.
    """
    given = {
        "--upstream": options.upstream is not None,
        "--mode": options.mode is not None,
        "--keep-audio": options.keep_audio,
        "--strict": options.strict,
        "--speed": options.speed is not None,
    }
    if options.record is None and options.replay is None:
        lonely = [name for name, is_given in given.items() if is_given]
        if lonely:
            raise ConfigError(f"{lonely[0]} goes with a tape: give --record or --replay, too")
        return {}
    if options.record is not None and options.mode == "none":
        raise ConfigError("--mode none replays alone: give --replay in place of --record")
    if options.scenario != "success" or options.assessment is not None or options.no_greeting:
        raise ConfigError("--scenario, --assessment and --no-greeting don't go with a tape: it has the answers")
    return {
        "record": options.record,
        "replay": options.replay,
        "upstream": options.upstream,
        "mode": options.mode,
        "keep_audio": options.keep_audio,
        "strict": options.strict,
        "speed": _speed(options.speed),
    }


def in_options(message: str) -> str:
    """Returns an error of `Sandbox` in the words of the command line."""
    message = message.replace(
        "with the mode 'once' or 'all'", "with --mode once, or with --record in place of --replay"
    )
    return re.sub(r"^upstream\b", "--upstream", message)


def describe(options: argparse.Namespace, sandbox: Sandbox) -> str:
    """Returns what a sandbox with a tape does, as lines for those who start it."""
    tape = printable(options.record or options.replay)
    if sandbox.records:
        place = printable(options.upstream or "the vendor's service")
        return (
            f"It records what {place} says, on the tape {tape}.\n"
            "Each exchange goes there, with your token, and is billed. Ctrl-C ends it. In another shell:\n"
        )
    return f"It replays the tape {tape}, without any network. Ctrl-C ends it. In another shell:\n"


def _speed(text: Any) -> Any:
    if text is None or text == "max":
        return 1.0 if text is None else None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"--speed must be a number above 0, or max, not {text!r}")
    return speed
