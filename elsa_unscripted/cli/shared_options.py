"""The options that several commands take alike, with their help. For `parser`.

`options` and `inputs` read what was given. They import too much for `--help`, which is to answer at once.
"""

from __future__ import annotations

import argparse


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Adds the recordings, as `batch` and `check` take them."""
    parser.add_argument("paths", metavar="PATH", nargs="*", help="a recording, or a folder of recordings")
    parser.add_argument("--from-file", metavar="LIST", help="a list of more recordings; - reads it from standard input")
    parser.add_argument("--path-column", metavar="NAME", help="the list's column that has the paths; default: path")
    parser.add_argument(
        "--glob",
        metavar="PATTERN",
        action="append",
        default=[],
        help="take the files of folders whose names match, such as '*.wav'; can be repeated",
    )


def add_check_option(group: argparse._ArgumentGroup) -> None:
    """Adds `--check`, as `score` and `batch` take it."""
    group.add_argument(
        "--check",
        action="store_true",
        help="send nothing that is certain to be worthless: no speech in it, all zeros (extra 'check')",
    )


def add_token(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say where the token is."""
    token = parser.add_argument_group("the token").add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="F", help="the file that holds it; - reads a line of standard input")
    token.add_argument("--token", metavar="T", help="the token itself, visible in ps; - is --token-file -")


def add_exchange(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `score`, `live` and `batch` alike: the token, and the exchange."""
    add_token(parser)
    exchange = parser.add_argument_group("the exchange")
    exchange.add_argument(
        "--plan",
        choices=("standard", "premium"),
        metavar="PLAN",
        default="standard",
        help="standard or premium; default: %(default)s",
    )
    exchange.add_argument(
        "--set",
        metavar="KEY=JSON",
        action="append",
        default=[],
        help="one more key for the config message; can be repeated",
    )
    exchange.add_argument(
        "--speed",
        metavar="N",
        default="1",
        help="seconds of audio sent in a second, or max; default: %(default)s, real time",
    )
    exchange.add_argument(
        "--timeout",
        metavar="S",
        help="seconds for the server's answers, beside the time that the audio takes; default: 150",
    )
    exchange.add_argument("--connect-timeout", metavar="S", help="seconds for all attempts to connect; default: 10")
    exchange.add_argument(
        "--sample-rate",
        metavar="HZ",
        help="resample to mono 16 bit at this rate (extra 'formats'); default: as recorded",
    )
    add_way(exchange)
    exchange.add_argument(
        "--ping-interval",
        metavar="S",
        help="seconds between pings, if a load balancer cuts silent connections; default: none are sent",
    )


def add_way(group: argparse._ArgumentGroup) -> None:
    """Adds the options that say where the server is, and how it is reached."""
    group.add_argument("--url", metavar="U", help="default: $ELSA_UNSCRIPTED_URL, else the vendor's")
    group.add_argument(
        "--proxy", metavar="URL", help="http://[user:password@]host:port; default: $https_proxy, else $all_proxy"
    )
    group.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust in place of the system's")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `score` and `live` alike: what is printed, and where to."""
    output = parser.add_argument_group("the output")
    output.add_argument(
        "--format",
        choices=("summary", "json", "saved"),
        metavar="FORM",
        default="summary",
        help="summary, for people; json, what the server sent, exactly; or saved, all that is known of the result, for "
        "show and report; default: %(default)s",
    )
    output.add_argument("-o", "--output", metavar="FILE", help="write the result there, not to standard output")
    add_require_score(output)
    output.add_argument("--no-progress", action="store_true", help="no progress bar; only terminals get one anyway")
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="nothing but the result and errors")
    loudness.add_argument("-v", "--verbose", action="store_true", help="log the exchange, and trace errors")


def add_require_score(output: argparse._ArgumentGroup) -> None:
    """Adds `--require-score`, as `score`, `live` and `batch` take it."""
    output.add_argument(
        "--require-score", action="store_true", help="exit with 3 if there is no score: the speech was too short"
    )
