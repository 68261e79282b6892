"""`Parser`: an `argparse` parser that says in one line what is wrong, and what may have been meant. For `parser`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any, NoReturn, Sequence

from .hints import did_you_mean, quote, unquoted
from .statuses import USAGE
from .terminal import PROGRAM, command, say

ALL_FAILED = "--*all-failed*"  # nobody types that
_INVALID_CHOICE = re.compile(
    r"argument (?P<name>.*?): invalid choice: (['\"])(?P<word>.*?)\2(, maybe you meant .*?\?)? "
    r"\(choose from (?P<known>.*)\)$",
    re.DOTALL,
)


class Parser(argparse.ArgumentParser):
    """Parses, and explains itself."""

    words: Sequence[str] = ()  # of the command line, as far as they are for this parser

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.words = list(sys.argv[1:] if args is None else args)
        end = self.words.index("--") if "--" in self.words else len(self.words)
        words = [re.sub(r"^--retry(-f\w*)?=all$", ALL_FAILED, word) for word in self.words[:end]]
        words += self.words[end:]
        apart = self.prog.endswith(" batch") and ("--retry-failed", "all") in zip(words, words[1:])
        if apart and not os.path.lexists("all"):  # else "all" would be a recording that nobody has handed in
            self.error("--retry-failed and all are one word: --retry-failed=all")
        return super().parse_known_args(words, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options = super().parse_args(args, namespace)
        if options.surplus is not None:  # only now: an option that is misspelt is told first
            self._chosen().error(options.surplus)
        return options

    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, in place of the whole usage, and what may have been meant."""
        program = self._chosen().prog if message.startswith("unrecognized") else self.prog
        say(f"error: {self._explained(message)}; see {program} --help")
        self.exit(USAGE)

    def _explained(self, message: str) -> str:
        stray = re.match(r"unrecognized arguments: (.*)", message, re.DOTALL)
        choice = _INVALID_CHOICE.match(message)
        if choice is not None:
            known = re.findall(r"[\w-]+", choice["known"])
            if choice["name"] == "COMMAND" and self.words[0].startswith("-"):
                return f"{self.words[0].partition('=')[0]} belongs behind the command: {PROGRAM} COMMAND [options]"
            if choice["name"] == "COMMAND" and os.path.exists(choice["word"]):
                meant = "batch" if os.path.isdir(choice["word"]) else "score"
                return f"there is no command before {choice['word']!r}; did you mean {command(meant, choice['word'])}?"
            hint = did_you_mean(choice["word"], known) or f"; choose from {', '.join(known)}"
            what = "unknown command" if choice["name"] == "COMMAND" else f"{choice['name']} can't be"
            return f"{what} {choice['word']!r}{hint}"
        if stray is None:
            return re.sub(r"(--retry-failed): ignored explicit argument", r"\1 takes nothing, or =all, not", message)
        parser = self._chosen()
        if stray[1].startswith("-") and not stray[1].startswith("-- "):
            option = stray[1].split()[0].partition("=")[0]
            known = [each for each in parser._option_string_actions if each != ALL_FAILED]
            if option in known:
                return f"{option} belongs behind the command: {parser.prog} {option}"
            return f"unknown option {option}{did_you_mean(option, known)}"
        more = "paths stand together, before the options or behind them"
        return (
            f"{message}; {more}"
            if parser.prog.endswith((" batch", " check"))
            else f"{message}; {_several(parser.prog, ())}"
        )

    def _chosen(self) -> argparse.ArgumentParser:
        """Returns the parser of the subcommand that was given, or else this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return next((action.choices[word] for word in self.words if word in action.choices), self)
        return self


class One(argparse.Action):
    """Takes one path, and tells who gives several what to do: they may be one whose spaces weren't quoted."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: object) -> None:
        if len(values) > 1:
            cut = unquoted(values)
            options.surplus = quote(cut) if cut is not None else _several(parser.prog, values)
        setattr(options, self.dest, values[0])


class Some(argparse.Action):
    """Takes several paths, and tells who gave one whose spaces weren't quoted."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: object) -> None:
        cut = unquoted(values)
        if cut is not None:
            options.surplus = quote(cut)
        setattr(options, self.dest, values)


def _several(program: str, paths: Sequence[str]) -> str:
    name = program.rpartition(" ")[2]
    if name == "score":
        return f"score takes one recording; for several: {command('batch', *(paths or ['PATH', '...']))}"
    if name == "live":
        return f"live takes no file; for a recording: {command('score', 'AUDIO')}"
    return f"{name} takes only options" if name in ("sandbox", "doctor") else f"{name} takes one file"
