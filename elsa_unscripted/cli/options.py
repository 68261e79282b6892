"""Options that `score` and `batch` share: what `Client` gets from the command line, and where the token comes from."""

from __future__ import annotations

import argparse
import getpass
import json
import math
import os
import sys
from typing import Any, BinaryIO, Callable, Dict, Optional, Tuple, Union

from ..config import TOKEN_VARIABLE
from ..exceptions import ConfigError
from .terminal import say

MAX_TOKEN_BYTES = 64 * 1024  # a longer file holds no token, and a device such as /dev/zero has no end


def token(options: argparse.Namespace, *, on_stdin: Optional[str] = None) -> str:
    """Returns the token: from where the options say, else from the environment.

    Args:
        options: The command line.
        on_stdin: What standard input holds already, such as `"the audio"`.
    """
    if "-" in (options.token, options.token_file):
        found, place = _token_from_stdin(on_stdin), "standard input"
    elif options.token_file is not None:
        found, place = _token_from_file(options.token_file), repr(options.token_file)
    elif options.token is not None:
        found, place = options.token, "--token"
    else:
        # Stripped like one from a file: `export ELSA_API_TOKEN="$(cat token.txt)"` may leave a "\r" there.
        found, place = os.environ.get(TOKEN_VARIABLE, "").strip(), f"${TOKEN_VARIABLE}"
    if not found:
        raise ConfigError(f"no token in {place}: set ${TOKEN_VARIABLE}, or give --token-file FILE")
    return found


def exchange(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns the options of `Client` that the command line gives, but for the token."""
    given: Dict[str, Any] = {
        "api_plan": options.plan,
        "url": options.url,
        "extra": dict(map(_setting, options.set)),
        "speed": None
        if options.speed == "max"
        else number("--speed", options.speed, float, "a number above 0, or max"),
        "proxy": options.proxy,
        "ca_bundle": options.ca_bundle,
    }
    if getattr(options, "check", False):
        given["check"] = True
        tell_what_is_checked()
    if options.timeout is not None:
        given["timeout"] = number("--timeout", options.timeout, float, "a number of seconds above 0")
    if options.connect_timeout is not None:
        seconds = number("--connect-timeout", options.connect_timeout, float, "a number of seconds above 0")
        given["connect_timeout"] = seconds
    if options.ping_interval is not None:
        seconds = number("--ping-interval", options.ping_interval, float, "a number of seconds above 0", LONGEST)
        given["ping_interval"] = seconds
    if options.sample_rate is not None:
        given["sample_rate"] = number("--sample-rate", options.sample_rate, int, "a whole number of Hz above 0")
    return given


def tell_what_is_checked() -> None:
    """Says so if speech isn't looked for, as the extra isn't there."""
    from ..audio import vad

    if not vad.is_installed():
        say(f"without the extra 'check', only the level is looked at, not whether somebody speaks: {vad.INSTALL}")


LONGEST = 1e6  # s: 11 days, the most that `Config` and a live source take


def number(
    name: str, text: str, kind: Callable[[str], Union[int, float]], what: str, most: float = math.inf
) -> Union[int, float]:
    """Returns the number above 0 that an option was given; `what` says in the error which numbers the option takes."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # not `math.isfinite()`: it raises for a huge int
        raise ConfigError(f"{name} must be {what}, not {text!r}")
    if value > most:
        raise ConfigError(f"{name} must be at most {most:g}, not {text!r}")
    return value


def stdin() -> BinaryIO:
    """Returns standard input."""
    if sys.stdin is None:
        raise ConfigError("standard input is closed: give a file in place of -")
    return sys.stdin.buffer


def _token_from_stdin(on_stdin: Optional[str]) -> str:
    if on_stdin is not None:
        raise ConfigError(f"standard input can't hold both {on_stdin} and the token: use --token-file FILE")
    source = stdin()
    if not source.isatty():
        return _text(source.readline(MAX_TOKEN_BYTES), "standard input")
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


def _setting(text: str) -> Tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set must be KEY=JSON, not {text!r}")
    if key == "api_plan":
        raise ConfigError("--set must not hold api_plan: --plan tells it")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        raise ConfigError(f"--set {key}: {value!r} is not JSON; text needs quotes: --set '{key}=\"text\"'") from None
