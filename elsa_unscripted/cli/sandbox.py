"""`elsa-unscripted sandbox`: the local server, until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import socket
import textwrap
import time
from typing import TYPE_CHECKING, Any, Mapping

from ..exceptions import ConfigError
from ..results.assessment import find_assessment
from ..results.text import printable
from .hints import did_you_mean
from .statuses import USAGE
from .tape import describe, for_sandbox, in_options
from .terminal import say

if TYPE_CHECKING:
    from ..sandbox import Exchange

NAME_WIDTH = 19  # columns: the longest name of a scenario, and two
READABLE_WIDTH = 100  # columns, however wide the terminal is


def run(options: argparse.Namespace) -> int:
    """Carries out the subcommand; returns the exit status."""
    try:
        from ..sandbox import SCENARIOS, Sandbox
    except ImportError as error:
        say(f"error: {error}")
        return USAGE
    if options.list:
        _list(SCENARIOS)
        return 0
    try:
        tape = for_sandbox(options)
        sandbox = Sandbox(
            options.scenario,
            host=options.host,
            port=options.port,
            greeting=not options.no_greeting,
            assessment=None if options.assessment is None else read_assessment(options.assessment),
            on_exchange=_tell,
            **tape,
        )
    except (ValueError, OSError) as error:
        if isinstance(error, (ConfigError, OSError)) or options.record is not None or options.replay is not None:
            say(f"error: {in_options(str(error))}")
            return USAGE
        name = options.scenario.partition("=")[0]
        say(f"error: {error}{'' if name in SCENARIOS else did_you_mean(name, SCENARIOS)}")
        return USAGE
    try:
        sandbox.start()
    except OSError as error:
        hint = "try --port 0" if error.errno == errno.EADDRINUSE else "check --host and --port"
        say(f"error: can't listen on {options.host} port {options.port} ({_why(error)}); {hint}")
        return USAGE
    try:
        print(f"The sandbox listens on {sandbox.url}")
        if tape:
            print(describe(options, sandbox))
        else:
            greeting = ", without a greeting" if options.no_greeting else ""
            print(f"Scenario: {printable(options.scenario)}{greeting}. Ctrl-C ends it. In another shell:\n")
        token = "" if sandbox.records else "ELSA_API_TOKEN=any "
        print(f"    {token}elsa-unscripted score AUDIO --url {sandbox.url}\n", flush=True)
        while True:
            time.sleep(0.5)  # not longer: a Ctrl-C that comes just before the sleep is seen only after it
    finally:
        sandbox.close()


def read_assessment(path: str) -> Mapping[str, Any]:
    """Returns the assessment in a file: it is the file's object, or somewhere in a verdict or a saved result.

    Raises:
        ConfigError: The file can't be read, or holds none.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except OSError as error:
        raise ConfigError(f"can't read {path!r} ({error.strerror}); check --assessment") from error
    except (ValueError, RecursionError):
        content = None
    objects = [content] if isinstance(content, dict) else []
    objects += [part for part in map(content.get, ("raw", "fetched")) if isinstance(part, dict)] if objects else []
    found = next(filter(None, map(find_assessment, objects)), None)
    if found is None:
        raise ConfigError(f"{path!r} holds no assessment, a JSON object with a list of speakers; check --assessment")
    return found


def _list(scenarios: Mapping[str, str]) -> None:
    width = min(shutil.get_terminal_size().columns, READABLE_WIDTH)
    for name, meaning in scenarios.items():
        lead = f"{name:<{NAME_WIDTH}}"
        print(textwrap.fill(meaning, width, initial_indent=lead, subsequent_indent=" " * NAME_WIDTH))
    print("\nChoose one with --scenario NAME[=VALUE], or for one exchange with the token\nsandbox:NAME[=VALUE].")


def _tell(exchange: Exchange) -> None:
    """Prints an exchange that has ended; called in the sandbox's thread."""
    verdict = exchange.verdict["status"] if exchange.verdict else "no verdict"
    breach = f", broke the protocol: {printable(exchange.breach)}" if exchange.breach else ""
    moment, seconds = time.strftime("%H:%M:%S"), f"{exchange.seconds:.1f} s of audio"
    print(f"{moment}  {exchange.scenario}: {seconds}, {verdict}, closed with {exchange.close_code}{breach}", flush=True)


def _why(error: OSError) -> str:
    """Returns the reason alone: `create_server()` adds the address to it."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return str(error.strerror or error)
    return os.strerror(error.errno)
