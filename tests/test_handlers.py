"""What a caller's signal handler raises in the midst of `score()` comes through, whatever it is."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, List, Optional, Set, Tuple, Type

import pytest

import elsa_unscripted
from elsa_unscripted import score
from elsa_unscripted.sandbox import Sandbox

PACKAGE = os.path.dirname(elsa_unscripted.__file__)
SANDBOX = os.path.join(PACKAGE, "sandbox")
OURS = "a signal handler's"

Line = Tuple[str, int]


class handler_at:
    """Raises where a signal handler may: before one line of ours, in this thread.

    Attributes:
        reached: The lines that were reached.
        raised: Whether it has raised.
    """

    def __init__(self, line: Optional[Line], kind: Type[Exception], files: Tuple[str, ...]) -> None:
        self.reached: Set[Line] = set()
        self.raised = False
        self._line = line
        self._kind = kind
        self._files = files
        self._before: Any = None

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) or name.startswith(SANDBOX):
            return None
        short = name[len(PACKAGE) + 1 :].replace(os.sep, "/")
        if not short.startswith(self._files):
            return None
        if event == "line":
            line = short, frame.f_lineno
            self.reached.add(line)
            if line == self._line and not self.raised:
                self.raised = True
                raise self._kind(OURS)
        return self._trace

    def __enter__(self) -> handler_at:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


# Not `threads`: at the end of `holding()` runs no signal handler, but a trace function does. See `test_threads`.
FILES = ("exchange/", "wire/", "config", "mailbox", "deadline", "log", "api")
KINDS: List[Type[Exception]] = [TimeoutError, RuntimeError, ValueError, InterruptedError]


@pytest.mark.slow
@pytest.mark.parametrize("token", ["any", "sandbox:failed", "sandbox:401"])
def test_at_every_line(token: str, short: Path) -> None:
    """At whatever line of `score()` a handler raises, that comes out as itself, and no thread is left."""
    audio = short.read_bytes()

    def go(
        url: str, line: Optional[Line], kind: Type[Exception], token: str = token
    ) -> Tuple[handler_at, Optional[BaseException]]:
        with handler_at(line, kind, FILES) as handler:
            try:
                score(audio, token, url=url, speed=1000, close_timeout=0.2, extra={"a": 1})
            except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
                return handler, error
        return handler, None

    wrong = []
    before: Set[threading.Thread] = set()
    with Sandbox() as sandbox:
        lines = sorted(go(sandbox.url, None, ValueError)[0].reached | go(sandbox.url, None, ValueError)[0].reached)
        assert len(lines) > 100
        if token != "any":  # the lines that a success reaches too: every third
            known = go(sandbox.url, None, ValueError, "any")[0].reached
            lines = sorted({line for line in lines if line not in known} | set(lines[::3]))
        for number, line in enumerate(lines):
            kind = KINDS[number % len(KINDS)]
            before |= set(threading.enumerate())
            handler, error = go(sandbox.url, line, kind)
            if handler.raised and (type(error) is not kind or str(error) != OURS):
                wrong.append(f"{kind.__name__} at {line[0]}:{line[1]} became {error!r}")
            for thread in set(threading.enumerate()) - before:
                thread.join(2)
                if thread.is_alive():
                    before.add(thread)
                    wrong.append(f"{kind.__name__} at {line[0]}:{line[1]} leaves {thread.name}")
    assert wrong == []
