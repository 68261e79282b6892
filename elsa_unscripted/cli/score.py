"""`elsa-unscripted score`: one recording, with a progress bar; the result on standard output."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import logging
import math
import os
import sys
import traceback
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional, Tuple, Union

from ..client import Client, OnProgress, OnStatus
from ..config import TOKEN_VARIABLE
from ..exceptions import ConfigError, ElsaError
from ..result import ScoreResult
from ..summary import printable
from . import USAGE, exit_status, explain, say
from .result import formatted, print_result

STATUS_WIDTH = 30  # columns beside the bar; what a terminal has no room for is cut off
BAR = f"{{n:5.1f}} of {{total:.1f}} s |{{bar:24}}| {{percentage:3.0f}} %  {{desc:.{STATUS_WIDTH}}}"
MAX_TOKEN_BYTES = 64 * 1024  # more in a file is no token, and may have no end


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    with _logging(options.verbose):
        try:
            _check_output(options.output, options.audio)
            source = _stdin_audio() if options.audio == "-" else options.audio
            client = Client(_token(options), **_client_options(options))
            with client, _progress(options) as (on_status, on_progress):
                result = client.score(source, on_status=on_status, on_progress=on_progress)
        except ElsaError as error:
            if options.verbose:
                _trace()
            say(f"error: {explain(error)}")
            return exit_status(error)
    # The summary has them too.
    if not options.quiet and (options.format != "summary" or options.output is not None):
        for warning in result.warnings:
            say(f"warning: {warning}")
    return _deliver(result, options)


# Options.


def _token(options: argparse.Namespace) -> str:
    """Returns the token from where the options say, else from the environment."""
    if "-" in (options.token, options.token_file):
        token, place = _token_from_stdin(options.audio), "standard input"
    elif options.token_file is not None:
        token, place = _token_from_file(options.token_file), repr(options.token_file)
    elif options.token is not None:
        token, place = options.token, "--token"
    else:
        token, place = os.environ.get(TOKEN_VARIABLE, ""), f"${TOKEN_VARIABLE}"
    if not token:
        raise ConfigError(f"no token in {place}: set ${TOKEN_VARIABLE}, or give --token-file FILE")
    return token


def _token_from_stdin(audio: str) -> str:
    if audio == "-":
        raise ConfigError("standard input can't hold both the audio and the token: use --token-file FILE")
    stdin = _stdin()
    if not stdin.isatty():
        return _text(stdin.readline(MAX_TOKEN_BYTES), "standard input")
    try:
        return getpass.getpass("API token (not shown): ").strip()
    except EOFError:
        return ""


def _token_from_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return _text(file.read(MAX_TOKEN_BYTES), repr(path))
    except OSError as error:
        raise ConfigError(f"can't read the token from {path!r} ({error.strerror}); check --token-file") from None


def _text(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig").strip()  # some editors begin a file with a byte order mark
    except UnicodeDecodeError:
        # `from None`: the decoding error would carry the token.
        raise ConfigError(f"what is in {place} is not text, and no token; check --token-file") from None


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ConfigError("standard input is closed: give a file in place of -")
    return sys.stdin.buffer


def _stdin_audio() -> BinaryIO:
    stdin = _stdin()
    if stdin.isatty():
        raise ConfigError("standard input is a terminal, not a recording: give a file, or < FILE")
    return stdin


def _client_options(options: argparse.Namespace) -> Dict[str, Any]:
    given: Dict[str, Any] = {
        "api_plan": options.plan,
        "url": options.url,
        "extra": dict(map(_setting, options.set)),
        "speed": None
        if options.speed == "max"
        else _number("--speed", options.speed, float, "a number above 0, or max"),
        "proxy": options.proxy,
        "ca_bundle": options.ca_bundle,
    }
    if options.timeout is not None:
        given["timeout"] = _number("--timeout", options.timeout, float, "a number of seconds above 0")
    if options.sample_rate is not None:
        given["sample_rate"] = _number("--sample-rate", options.sample_rate, int, "a whole number of Hz above 0")
    return given


def _number(name: str, text: str, kind: Callable[[str], Union[int, float]], what: str) -> Union[int, float]:
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"{name} must be {what}, not {text!r}")
    return number


def _setting(text: str) -> Tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set must be KEY=JSON, not {text!r}")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        raise ConfigError(f"--set {key}: {value!r} is not JSON; text needs quotes: --set '{key}=\"text\"'") from None


def _check_output(path: Optional[str], audio: str) -> None:
    """Finds out, before the recording is paid for, whether its result can be written."""
    if path is None or path == "-":
        return
    if os.path.isdir(path):
        raise ConfigError(f"can't write {path!r}: it is a folder; give a file in -o")
    if not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise ConfigError(f"can't write {path!r}: its folder is missing or read-only; give another -o")
    elif not os.access(path, os.W_OK):
        raise ConfigError(f"can't write {path!r}: it is read-only; give another -o")
    elif os.path.exists(audio) and os.path.samefile(path, audio):
        raise ConfigError(f"{path!r} is the recording itself, and would be overwritten; give another -o")


# The result.


def _deliver(result: ScoreResult, options: argparse.Namespace) -> int:
    """Writes the result where it was asked for, or else where it is seen: it was paid for."""
    if options.output in (None, "-"):
        return print_result(result, options.format)
    try:
        with open(options.output, "wb") as file:
            file.write(formatted(result, options.format, False, "utf-8"))
    except OSError as error:
        say(f"error: can't write {options.output!r} ({error.strerror}); the result goes to standard output")
        print_result(result, options.format)
        return USAGE
    return 0


# What is seen meanwhile.


@contextlib.contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Tuple[Optional[OnStatus], Optional[OnProgress]]]:
    """Shows a bar of the audio seconds sent, and the latest status beside it."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if options.no_progress or options.quiet or options.verbose or not terminal:
        yield None, None
        return
    from tqdm import tqdm

    # Until the first packet there is nothing to measure: only words.
    with tqdm(desc="connecting", bar_format="{desc}", dynamic_ncols=True, leave=False, file=sys.stderr) as bar:

        def on_status(status: Any) -> None:
            bar.set_description_str(printable(status.message or status.status))

        def on_progress(sent: float, total: float) -> None:
            begins = bar.total is None
            bar.bar_format, bar.total = BAR, total
            bar.update(sent - bar.n)
            if sent >= total:
                bar.set_description_str("waiting for the verdict")
            elif begins:
                bar.refresh()

        yield on_status, on_progress


@contextlib.contextmanager
def _logging(verbose: bool) -> Iterator[None]:
    if not verbose:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter("%(relativeCreated)7d ms %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("elsa_unscripted")
    package.addHandler(handler)
    package.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        package.removeHandler(handler)


class _LineFormatter(logging.Formatter):
    """Keeps each record on a line of its own, whatever text of the server is in it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _trace() -> None:
    for line in traceback.format_exc().splitlines():
        print(printable(line), file=sys.stderr)
