"""Runs the command lines as people do: in processes of their own, with pipes or on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prefork import Forked
from rawserver import CLOSE, Connection

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "streaming_unscripted_client.py"
WIRE = ROOT / "tests" / "data" / "wire"
SHORT = str(WIRE / "short.wav")  # 0.3 s: one packet
SECOND = str(WIRE / "exact1s.wav")  # 1 s: two packets

COMMAND = (sys.executable, "-m", "elsa_unscripted")
posix = pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals, no shell, no SIGINT for one process")

PATIENCE = 150.0  # s: a hang guard, never an expectation

# What could change the outcome on the machine of whoever runs the tests.
FOREIGN = (
    "NO_COLOR",
    "TERM",
    "COLUMNS",
    "LC_ALL",
    "LANG",
    "PYTHONUTF8",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "TQDM_DISABLE",
)


class Finished(NamedTuple):
    """How a process ended, and what it printed."""

    status: int
    out: bytes
    err: str


def environment(**variables: str) -> Mapping[str, str]:
    """Returns the tests' environment without what could interfere, and with `variables`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and not name.startswith("ELSA_") and not name.lower().endswith("_proxy")
    }
    return {**inherited, "TERM": "xterm", "PYTHONUTF8": "1", **variables}


def unmeasured(**variables: str) -> Mapping[str, str]:
    """Returns the environment without coverage, for programs that are interrupted or killed at any moment.

    With it, Ctrl-C may come while coverage.py holds its own lock, which is then never released.
    """
    kept = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_PROCESS_")}
    return {**kept, **variables}


def measure_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets processes that this one starts itself, such as a pool's, run without coverage: see `unmeasured()`."""
    for name in set(os.environ) - set(unmeasured()):
        if name.startswith("COVERAGE_PROCESS_"):
            monkeypatch.delenv(name)


def is_forked(command: Sequence[str], variables: Mapping[str, str]) -> bool:
    """Returns whether a command is a command line of ours, and needs nothing that only a new interpreter would heed."""
    if not hasattr(os, "fork") or any(name.startswith(("PYTHON", "LC_", "LANG")) for name in variables):
        return False
    return tuple(command[:3]) == COMMAND or tuple(command[:2]) == (sys.executable, str(SCRIPT))


def run(*command: str, stdin: bytes = b"", stdout: Any = subprocess.PIPE, **variables: Any) -> Finished:
    """Runs a command to its end, with pipes."""
    if stdout is subprocess.PIPE and is_forked(command, variables):
        return run_forked(command[1:], environment(**variables), stdin)
    done = subprocess.run(
        command,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(**variables),
        timeout=PATIENCE,
        check=False,
    )
    return Finished(done.returncode, done.stdout or b"", done.stderr.decode())


def run_forked(
    arguments: Sequence[str], variables: Mapping[str, str], stdin: bytes = b"", cwd: Path = ROOT
) -> Finished:
    """Runs `python` with arguments to its end, forked from a process that has imported the package.

    It has this environment; but what only a new interpreter heeds, such as `PYTHON…` and the locale, has no effect.
    """
    pipes = [os.pipe() for _ in range(3)]
    (read_in, write_in), (read_out, write_out), (read_err, write_err) = pipes
    theirs = (read_in, write_out, write_err)
    with ThreadPoolExecutor(3) as threads, open(read_out, "rb") as out, open(read_err, "rb") as err:
        forked = Forked(arguments, theirs, cwd=cwd, environment=variables)
        for descriptor in theirs:
            os.close(descriptor)
        threads.submit(_write, write_in, stdin)
        parts = [threads.submit(file.read) for file in (out, err)]
        with forked:
            status = forked.wait(PATIENCE)
        return Finished(status, parts[0].result(PATIENCE), parts[1].result(PATIENCE).decode())


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as file:
        file.write(data)


class Piped:
    """A forked command with pipes. It has those methods of `subprocess.Popen` that the tests use.

    Attributes:
        stdout: What it prints there.
        stderr: Likewise.
        pid: Its process.
        returncode: The exit status; `None` before somebody has waited for it.
    """

    def __init__(self, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe()
        self.stdout, self.stderr = open(read_out, "rb"), open(read_err, "rb")  # noqa: SIM115
        self.returncode: int | None = None
        with open(os.devnull, "rb") as stdin, open(write_out, "wb"), open(write_err, "wb"):
            ends = stdin.fileno(), write_out, write_err
            self._forked = Forked(arguments, ends, cwd=ROOT, environment=variables)
        self.pid = self._forked.pid

    def wait(self, timeout: float) -> int:
        self.returncode = self._forked.wait(timeout)
        return self.returncode

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return self.wait(PATIENCE)
        return None

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._forked.kill()

    def communicate(self, timeout: float = PATIENCE) -> tuple[bytes, bytes]:
        with ThreadPoolExecutor(2) as threads:
            out, err = [threads.submit(file.read) for file in (self.stdout, self.stderr)]
            self.wait(timeout)  # kills it at the timeout, which ends the reading, too
            return out.result(), err.result()

    def __enter__(self) -> Piped:
        return self

    def __exit__(self, *_: object) -> None:
        with self._forked:
            self.kill()
            self.wait(PATIENCE)
        self.stdout.close()
        self.stderr.close()


@contextlib.contextmanager
def started(*command: str, **variables: str) -> Iterator[Any]:
    """Starts a command that `interrupt()` can interrupt, without coverage; ends it."""
    if is_forked(command, variables):
        with Piped(command[1:], unmeasured(**variables)) as forked:
            yield forked
        return
    # A test runner in the background may ignore SIGINT, and its children would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=unmeasured(**variables)
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    with process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(process: Any) -> Finished:
    """Presses Ctrl-C."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    return Finished(process.returncode, out, err.decode())


def start_on_terminal(
    command: Sequence[str],
    columns: int,
    variables: Mapping[str, str],
    is_quick: bool,
    only_stderr: bool = False,
) -> tuple[Any, int]:
    """Starts a command on a new terminal, in a session of its own; returns its process, and where one types and reads.

    So no prompt goes to the terminal of whoever runs the tests, and Ctrl-C that is typed interrupts the command.

    Args:
        command: The command.
        columns: The width of the terminal.
        variables: The environment.
        is_quick: Whether to fork it: see `is_forked()`.
        only_stderr: Whether stdout goes elsewhere.
    """
    import fcntl
    import pty
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with open(os.devnull, "wb") as nowhere:
        ends = slave, nowhere.fileno() if only_stderr else slave, slave
        process: Any
        if is_quick:
            process = Forked(command[1:], ends, cwd=ROOT, environment=variables, new_session=True)
        else:
            make_it_theirs = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", f"{make_it_theirs}; os.execvp(sys.argv[1], sys.argv[1:])", *command],
                stdin=ends[0],
                stdout=ends[1],
                stderr=ends[2],
                cwd=ROOT,
                env=variables,
                start_new_session=True,
            )
    os.close(slave)
    return process, master


def on_terminal(
    *command: str, columns: int = 80, only_stderr: bool = False, answer: bytes = b"", **variables: Any
) -> tuple[int, str]:
    """Runs a command on a terminal; returns its exit status and all that was written there, erased or not.

    Args:
        *command: The command.
        columns: The width of the terminal.
        only_stderr: Whether stdout goes elsewhere.
        answer: What is typed when a prompt has come.
        **variables: For the environment.
    """
    is_quick = is_forked(command, variables)
    process, master = start_on_terminal(command, columns, environment(**variables), is_quick, only_stderr)
    with process:
        written = bytearray()
        try:
            with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
                while part := os.read(master, 65536):
                    written += part
                    if answer and written.endswith(b": "):
                        os.write(master, answer)
                        answer = b""
            return process.wait(PATIENCE), written.decode()
        finally:
            process.kill()
            os.close(master)


class Terminal:
    """A command on a terminal, with somebody who types there while it runs: a context manager.

    Attributes:
        written: All that it has written there, erased or not.
        pid: Its process.
    """

    def __init__(self, *command: str, columns: int = 80, **variables: str) -> None:
        self.written = ""
        is_quick = is_forked(command, variables)
        self._process, self._master = start_on_terminal(command, columns, unmeasured(**variables), is_quick)
        self.pid = self._process.pid

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with self._process:
                self._process.kill()
                self._process.wait(PATIENCE)
        finally:
            os.close(self._master)

    def wait_for(self, text: str) -> None:
        """Waits until a text was written."""
        while text not in self.written:
            part = self._read()
            assert part, self.written

    def press(self, keys: bytes) -> None:
        """Types something."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Waits for the end of the command; returns its exit status."""
        while self._read():
            pass
        status: int = self._process.wait(PATIENCE)
        return status

    def _read(self) -> str:
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        assert ready, self.written
        part = b""
        with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
            part = os.read(self._master, 65536)
        self.written += part.decode(errors="replace")
        return part.decode(errors="replace")


def shadow(directory: Path, module: str, code: str) -> Mapping[str, str]:
    """Returns the environment in which a module is `code`."""
    (directory / f"{module}.py").write_text(code, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH", "")]))}


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Lets no file of this process grow beyond so many bytes.

    Start no process meanwhile: it would inherit the limit, but write bytecode, of which only a part would be kept.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = sys.dont_write_bytecode
    try:
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = kept


def answer_close(connection: Connection) -> None:
    """Ends a raw server's script as a server does, so that the client need not wait."""
    while connection.read_frame().opcode != CLOSE:
        pass
    connection.send_close()
