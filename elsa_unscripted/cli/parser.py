"""The parser of `elsa-unscripted`, with its help. Called by `main`.

Subcommands are imported when they are chosen, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import functools
from typing import List, NoReturn

from ..results.bands import THRESHOLDS
from .epilogs import (
    BATCH_EPILOG,
    CHECK_EPILOG,
    DOCTOR_EPILOG,
    LIVE_EPILOG,
    REPORT_EPILOG,
    SANDBOX_EPILOG,
    SCORE_EPILOG,
    SHOW_EPILOG,
    TOKEN_EPILOG,
)
from .shared_options import (
    add_check_option,
    add_exchange,
    add_inputs,
    add_output,
    add_require_score,
    add_token,
    add_way,
)
from .statuses import EXIT_STATUSES
from .tape import add_tape
from .terminal import PROGRAM
from .usage import ALL_FAILED, One, Parser, Some


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of all subcommands; each sets `run` to the function that carries it out."""
    parser = Parser(
        prog=PROGRAM,
        description="Score unscripted English speech with ELSA's streaming API.",
        epilog=EXIT_STATUSES,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(surplus=None)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_score(commands)
    _add_live(commands)
    _add_batch(commands)
    _add_check(commands)
    _add_show(commands)
    _add_report(commands)
    _add_sandbox(commands)
    _add_doctor(commands)
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Lays out help without cutting words: a variable or an option that is cut in two can't be copied."""

    def _split_lines(self, text: str, width: int) -> List[str]:
        import textwrap  # late: only help needs it

        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


# Wide enough for an option and its explanation to stand on one line.
_LAYOUT = functools.partial(_Help, max_help_position=26)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from ..version import __version__

        print(f"{PROGRAM} {__version__}")
        parser.exit()


def _add_score(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "score",
        usage=f"{PROGRAM} score AUDIO [options]",
        help="stream a recording, or a pipe, and print the assessment",
        description="Stream a recording to the server, in real time, and print its assessment.\n"
        "What comes through a pipe is sent as it comes.",
        epilog=TOKEN_EPILOG + SCORE_EPILOG + EXIT_STATUSES,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_score)
    parser.add_argument(
        "audio",
        metavar="AUDIO",
        nargs="+",
        action=One,
        help="a WAV file, or a pipe; with the extra 'formats' also mp3, flac, m4a, ogg, webm; - reads it from standard "
        "input",
    )
    _add_as_it_comes(parser)
    add_check_option(parser.add_argument_group("the money"))
    add_exchange(parser)
    add_output(parser)


def _add_as_it_comes(parser: argparse.ArgumentParser) -> None:
    """Adds the options for raw PCM, and for audio that comes through a pipe."""
    audio = parser.add_argument_group("the audio")
    audio.add_argument(
        "--pcm",
        metavar="FORMAT",
        help="the audio is raw little-endian PCM; RATE[:CHANNELS[:BITS]], so 16000 is 16 kHz, mono, 16 bit",
    )
    audio.add_argument("--max-seconds", metavar="S", help="the most seconds to send of a pipe; default: no limit")
    audio.add_argument(
        "--source-timeout", metavar="S", help="seconds without audio after which a pipe has failed; default: 10"
    )


def _add_live(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "live",
        usage=f"{PROGRAM} live [options]",
        help="score what is said into a microphone",
        description="Send speech from a microphone as it is spoken, and print its assessment\n(extra 'microphone').",
        epilog=TOKEN_EPILOG + LIVE_EPILOG + EXIT_STATUSES,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_live)
    source = parser.add_argument_group("the microphone")
    source.add_argument(
        "--device", metavar="D", help="its number, its name or a part of the name; default: the system's"
    )
    source.add_argument("--list-devices", action="store_true", help="list the microphones and exit")
    source.add_argument(
        "--max-seconds", metavar="S", default="150", help="the most seconds to listen; default: %(default)s"
    )
    source.add_argument("--save", metavar="FILE", help="write the audio that was sent to this WAV file")
    add_exchange(parser)
    add_output(parser)


def _add_batch(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "batch",
        usage=f"{PROGRAM} batch [PATH ...] [options]",
        help="score many recordings, and go on where it stopped",
        description="Score many recordings at once. After an interruption, the same command\ngoes on.",
        epilog=TOKEN_EPILOG + BATCH_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_batch)
    add_inputs(parser)
    work = parser.add_argument_group("the work")
    work.add_argument("--jobs", metavar="N", default="16", help="recordings at a time, at most; default: %(default)s")
    work.add_argument(
        "--retry-failed",
        action="store_true",
        help="try again what failed, by the journal, and may succeed as it is; --retry-failed=all: the others, too",
    )
    # What `Parser.parse_known_args()` makes of --retry-failed=all: an option can't have a value only sometimes, since
    # a path behind it would be taken for one.
    work.add_argument(ALL_FAILED, dest="retry_failed", action="store_const", const="all", help=argparse.SUPPRESS)
    work.add_argument(
        "--max-audio-seconds",
        metavar="N",
        help="seconds of audio that this run may send; other recordings aren't begun",
    )
    add_check_option(work)
    work.add_argument(
        "--dask", metavar="ADDRESS", help="let the workers of this Dask scheduler score, such as tcp://host:8786"
    )
    add_exchange(parser)
    output = parser.add_argument_group("the output")
    output.add_argument(
        "-o", "--output", metavar="FILE", default="scores.jsonl", help="the journal; default: %(default)s"
    )
    output.add_argument("--csv", metavar="FILE", help="write a table, too: one row for each recording")
    output.add_argument("--report", metavar="PAGE.html", help="write a page of the class, too (extra 'report')")
    add_require_score(output)
    output.add_argument("--no-progress", action="store_true", help="no bar, nor a line a minute without a terminal")
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="nothing but errors, and how to go on")
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="log all exchanges, without a bar; clearest with --jobs 1"
    )


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "check",
        usage=f"{PROGRAM} check [PATH ...] [options]",
        help="tell which recordings are worth sending, and what they may cost",
        description="Look at recordings before they are paid for; nothing leaves the machine.\n"
        "Speech is found with the extra 'check'; without it, only the level is checked.",
        epilog=CHECK_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_check)
    add_inputs(parser)
    bill = parser.add_argument_group("the estimate of the bill")
    bill.add_argument(
        "--unit", metavar="S", default="15", help="seconds in a unit; started ones count; default: %(default)s"
    )
    bill.add_argument("--price", metavar="P", help="the price of a unit")
    output = parser.add_argument_group("the output")
    output.add_argument("--json", action="store_true", help="print an array with all that was measured")
    output.add_argument("--csv", metavar="FILE", help="write a table, too: one row for each recording")
    output.add_argument("--no-progress", action="store_true", help="no progress bar; only terminals get one anyway")
    output.add_argument("-q", "--quiet", action="store_true", help="only the recordings with findings, and no summary")


def _add_show(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "show",
        usage=f"{PROGRAM} show RESULT.json",
        help="print the summary of a saved result",
        description="Print the summary of a saved result, as score does.",
        epilog=SHOW_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_show)
    parser.add_argument(
        "result",
        metavar="RESULT.json",
        nargs="+",
        action=One,
        help="a file of ScoreResult.save(), or of score --format saved or json; - reads standard input",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="also links, stream and timing")


def _add_report(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "report",
        usage=f"{PROGRAM} report RESULT.json|JOURNAL.jsonl... [options]",
        help="make an HTML page of a saved result, or of a batch",
        description="Make an HTML page of a saved result, or of the journal of a batch\n(extra 'report').",
        epilog=REPORT_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_report)
    parser.add_argument(
        "source",
        metavar="FILE",
        nargs="+",
        action=Some,
        help="a file of ScoreResult.save(), or of score --format saved or json, or the journal of a batch; - reads "
        "standard input. Several journals, one a term, show how each pupil did over time",
    )
    parser.add_argument(
        "--audio",
        metavar="A.wav|FOLDER",
        help="the recording, to be seen and heard in the page of a result; of a journal, the folder that has them",
    )
    parser.add_argument("-o", "--output", metavar="PAGE.html", help="default: the name of FILE, with .html")
    parser.add_argument(
        "--thresholds",
        metavar="LOW,HIGH",
        default="{:g},{:g}".format(*THRESHOLDS),
        help="percent from which a score is fair, and from which it is good; default: %(default)s",
    )
    parser.add_argument(
        "--title",
        metavar="T",
        help="the title of the page; default, of a result: the name and date of its recording, or of FILE",
    )
    parser.add_argument(
        "--list", metavar="LIST.csv", help="who was to hand in a recording, with names, for a journal made without it"
    )
    parser.add_argument("--path-column", metavar="NAME", help="the list's column that has the paths; default: path")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def _add_sandbox(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "sandbox",
        usage=f"{PROGRAM} sandbox [options]",
        help="run a local server to test against",
        description="Run a local server that speaks the vendor's protocol, until Ctrl-C.",
        epilog=SANDBOX_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_sandbox)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; default: %(default)s, this machine alone"
    )
    parser.add_argument("--port", type=_port, default=8765, help="0 takes a free one; default: %(default)s")
    parser.add_argument(
        "--scenario",
        metavar="NAME[=V]",
        default="success",
        help="what the server does: see --list; default: %(default)s",
    )
    parser.add_argument(
        "--no-greeting",
        action="store_true",
        help="send no greeting, whatever the scenario: the vendor's script hangs up when it gets one",
    )
    parser.add_argument(
        "--assessment",
        metavar="FILE",
        help="what each success gives: a saved result, what score --format json printed, or an assessment as JSON",
    )
    parser.add_argument("--list", action="store_true", help="explain the scenarios and exit")
    add_tape(parser)


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = commands.add_parser(
        "doctor",
        usage=f"{PROGRAM} doctor [options]",
        help="check whether this machine can score",
        description="Check what this machine has, and the way to the server, step by step. No audio\n"
        "is sent, and without --online no token.",
        epilog=TOKEN_EPILOG + DOCTOR_EPILOG,
        formatter_class=_LAYOUT,
    )
    parser.set_defaults(run=_doctor)
    parser.add_argument("--online", action="store_true", help="also do the handshake with the token; close at once")
    parser.add_argument(
        "--jobs", metavar="N", default="16", help="the --jobs that batch will be given; default: %(default)s"
    )
    add_token(parser)
    add_way(parser.add_argument_group("the way to the server"))
    output = parser.add_argument_group("the output")
    output.add_argument("--json", action="store_true", help="for programs, with all details")
    output.add_argument("-v", "--verbose", action="store_true", help="all details")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, not {text!r}")
    return port


def _score(options: argparse.Namespace) -> int:
    from .score import run

    return run(options)


def _live(options: argparse.Namespace) -> int:
    from .live import run

    return run(options)


def _batch(options: argparse.Namespace) -> int:
    from .batch import run

    return run(options)


def _check(options: argparse.Namespace) -> int:
    from .check import run

    return run(options)


def _show(options: argparse.Namespace) -> int:
    from .show import run

    return run(options)


def _report(options: argparse.Namespace) -> int:
    from .report import run

    return run(options)


def _sandbox(options: argparse.Namespace) -> int:
    from .sandbox import run

    return run(options)


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import run

    return run(options)
