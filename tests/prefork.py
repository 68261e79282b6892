"""Starts the command lines quickly: each is forked from a process that has imported the package already.

To start Python and to import the package takes a quarter of a second of CPU, which is more than most commands do. A
forked command is a process like any other: it has its own arguments, environment, working directory and descriptors,
and ends as an interpreter does, but for the clearing of the modules that were imported before. `commands` uses this
where it makes no difference; so does the test that kills batches.

Run as a program, this is the process that forks, for all processes that run tests. For each command, it accepts a
connection on the socket that is its standard input, and gets three descriptors and a description of the command; it
answers with the exit status.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMANDS = ("main", "parser", "score", "batch", "check", "live", "report", "doctor", "drop_in")
OURS = ("api", "report", *(f"cli.{name}" for name in COMMANDS))
PRELOADED = (*(f"elsa_unscripted.{name}" for name in OURS), "websocket", "pydub", "encodings.idna")
SHARED = "ELSA_TESTS_PREFORK"  # the variable with the socket's path; xdist's controller sets it for its workers
MEASURING = "COVERAGE_PROCESS_"  # variables that begin with this have coverage measured
LONGEST_DESCRIPTION = 1 << 20  # bytes
START_TIME = 60.0  # s: a hang guard


class Forked:
    """A command that was started: `python` with arguments, `-m MODULE …` or `SCRIPT …`.

    Attributes:
        pid: The command's process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        descriptors: tuple[int, int, int],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        new_session: bool = False,
    ) -> None:
        """Starts a command, with what `subprocess.Popen` takes; the descriptors are its stdin, stdout and stderr."""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(os.environ.get(SHARED) or start())
        command = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "session": new_session}
        # The descriptors come with the first byte.
        socket.send_fds(self._connection, [json.dumps(command).encode() + b"\n"], descriptors)
        self._connection.settimeout(START_TIME)
        self._answers = self._connection.makefile("rb")
        answer = self._answers.readline()
        if not answer:
            raise ConnectionError("the process that forks command lines has ended")
        self.pid = int(answer)
        self._status: int | None = None

    def wait(self, timeout: float) -> int:
        """Returns the exit status, negative for a signal, as `subprocess` does; kills what takes longer, and raises."""
        if self._status is None:
            self._connection.settimeout(timeout)
            try:
                self._status = int(self._answers.readline())
            except socket.timeout:  # a TimeoutError since Python 3.10 only
                self.kill()
                raise
        return self._status

    def kill(self) -> None:
        """Ends the command, if it hasn't ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and nobody has waited for it yet
                os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._connection.close()


@functools.cache
def start() -> str:
    """Starts the process that forks, once, and returns the path of its socket; it ends with this process."""
    directory = tempfile.TemporaryDirectory()
    path = os.path.join(directory.name, "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        # `_become()` begins to measure coverage. If this server measured, what its forks run would not be saved.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(MEASURING)}
        environment = {**inherited, "PYTHONUTF8": "1"}
        more = [name for name in ("coverage",) if name in sys.modules]
        command = [sys.executable, __file__, str(os.getpid()), *more]
        server = subprocess.Popen(command, stdin=listening.fileno(), stdout=subprocess.DEVNULL, env=environment)
    weakref.finalize(start, _end, server, directory)
    return path


def _end(server: subprocess.Popen[bytes], directory: Any) -> None:
    server.kill()
    server.wait()
    directory.cleanup()


def serve() -> None:
    """Forks for each connection, as long as the process lives that has started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has started this one
    parent, *more = sys.argv[1:]
    for module in (*PRELOADED, *more):
        importlib.import_module(module)
    for module in ("elsa_unscripted.sandbox", "av"):
        with contextlib.suppress(ImportError):  # its extra isn't installed
            importlib.import_module(module)
    # Else each command would copy the memory of all modules: the collector of garbage writes into it, and so does the
    # end of the interpreter, which clears the modules that it finds. So freeze them, and let it find only those that
    # the end itself uses. What a command registers to be called at its end is called before `_forget()`.
    gc.freeze()
    inherited = dict(sys.modules)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))  # a reference that leaks
    atexit.register(_forget, [name for name in inherited if name not in ("__main__", "builtins", "sys")])
    with socket.socket(fileno=os.dup(0)) as listening:
        listening.settimeout(1)
        while os.getppid() == int(parent):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            try:
                connection, _ = listening.accept()
            except socket.timeout:  # a TimeoutError since Python 3.10 only
                continue
            if os.fork() == 0:
                listening.close()
                _carry_out(connection)
                return
            connection.close()


def _forget(names: Sequence[str]) -> None:
    """Hides modules from the end of the interpreter."""
    for name in names:
        sys.modules.pop(name, None)


def _carry_out(connection: socket.socket) -> None:
    """Forks once more: one process waits for the other, which becomes the command."""
    connection.setblocking(True)
    message, descriptors, _, _ = socket.recv_fds(connection, LONGEST_DESCRIPTION, 3)
    while not message.endswith(b"\n"):
        message += connection.recv(LONGEST_DESCRIPTION)
    child = os.fork()
    if child:
        for descriptor in (0, 1, *descriptors):  # 0: the socket, which would seem to live on when the server has ended
            os.close(descriptor)
        connection.sendall(b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    _become(json.loads(message), descriptors)


def _become(command: Any, descriptors: Sequence[int]) -> None:
    if command["session"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(command["environment"])
    os.chdir(command["cwd"])
    if any(name.startswith(MEASURING) for name in os.environ):
        importlib.import_module("coverage").process_startup()
    if command["session"] and os.isatty(0):
        import fcntl  # here: Windows has neither, and imports this module for what it doesn't use
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C on that terminal interrupts the command
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As Python opens them at its start, in UTF-8 mode.
    sys.stdin = open(0, errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    first, *rest = command["arguments"]
    if first == "-m":
        sys.path[0] = command["cwd"]
        sys.argv = ["", *rest[1:]]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(first)
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    serve()
