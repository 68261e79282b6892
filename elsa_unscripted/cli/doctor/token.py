"""The token: where it comes from and what it looks like. Nothing here shows any part of it."""

from __future__ import annotations

import argparse
import os
import re
import stat
from typing import Optional, Tuple
from urllib.parse import urlsplit

from ...config import TOKEN_VARIABLE, URL_VARIABLE, Config, hide, is_loopback
from ...exceptions import ConfigError
from ...wire.secrets import SHORTEST_MASKED_TOKEN
from .. import options as cli_options
from .check import OK, WARNING, Check, failed

NAME = "token"
_SCHEME = re.compile(r"(authorization:|elsa|bearer)\s", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"[<{$%].*|.*\bhere|(your|my|the|api|elsa|access|_|-|\s)*(token|key)|changeme|x+|\.+|…", re.I)
_PATH = re.compile(r"(~|\.\.?)/.*|[A-Za-z]:\\.*|.*\.(txt|token|env|key)")
_IS_PATH = "it is the path of a file, and not what is in it"


class Token:
    """The token that the command line or the environment gives.

    Attributes:
        value: The token, hidden from `repr`; `None` if there is none.
        is_usable: Whether it can be sent.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.value = hide(None)
        self.is_usable = False
        self._error: Optional[ConfigError] = None
        try:
            self.value = hide(cli_options.token(options))
            Config(token=self.value, url="wss://any.example", proxy="any.example")  # checks the token
            self.is_usable = True
        except ConfigError as error:
            self._error = error

    def check(self, url: Optional[str]) -> Check:
        """Returns the check of the token for a URL; `None` is the URL of the environment."""
        if self._error is not None:
            missing = str(self._error).startswith("no token")
            hint = f"export {TOKEN_VARIABLE}=…, or give --token-file FILE" if missing else ""
            found = failed(NAME, self._error, hint=hint)
            path = self._options.token_file
            if path is None or os.path.exists(path):
                return found
            # Who mistakes --token-file for --token has put the token there.
            return found._replace(detail=found.detail.replace(repr(path), "that file"))
        where, more = self._source()
        problem = "" if _is_local(url or os.environ.get(URL_VARIABLE) or "") else _problem(self.value.value)
        detail = f"{_shape(self.value.value)}, from {where}"
        if problem:
            hint = "copy it again: only the token, nothing around it"
            if problem is _IS_PATH:
                hint = "give the path with --token-file"
            return Check(NAME, WARNING, f"{detail}: {problem}", hint, more)
        return Check(NAME, OK, detail, "", more)

    def _source(self) -> Tuple[str, Tuple[str, ...]]:
        """Returns where it comes from, and who else can read it there."""
        options = self._options
        if "-" in (options.token, options.token_file):
            return "standard input", ()
        if options.token is not None:
            return "--token", ("everybody on this machine can read it with ps while a command runs: use --token-file",)
        if options.token_file is None:
            return f"${TOKEN_VARIABLE}", ()
        shared = os.name == "posix" and os.stat(options.token_file).st_mode & stat.S_IROTH
        more = (f"everybody on this machine can read it there: chmod o-r {options.token_file}",) if shared else ()
        return options.token_file, more


def _is_local(url: str) -> bool:
    """Returns whether a URL is that of a sandbox on this machine, which takes any token."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:  # it is malformed, which another check tells
        return False


def _problem(token: str) -> str:
    """Returns why the server will most likely refuse a token; `""` if nothing is known against it."""
    if _SCHEME.match(token):
        return "it begins with the name of a scheme, which is added to it anyway"
    if token[0] in "'\"`" or token[-1] in "'\"`":
        return "it has quotes around it"
    if _PLACEHOLDER.fullmatch(token):
        return "it looks like a placeholder"
    if _PATH.fullmatch(token) or os.path.exists(token):
        return _IS_PATH
    if re.search(r"\s", token):
        return "it has a space in it"
    if token.startswith("sandbox:"):
        return "it is one for the sandbox"
    if len(token) < SHORTEST_MASKED_TOKEN:
        return f"it has fewer than {SHORTEST_MASKED_TOKEN} characters, so it seems to be cut off"
    return ""


def _shape(token: str) -> str:
    kinds = [
        name
        for name, pattern in (("letters", "[A-Za-z]"), ("digits", "[0-9]"), ("other characters", "[^A-Za-z0-9]"))
        if re.search(pattern, token)
    ]
    return f"{len(token)} characters ({', '.join(kinds)})"
