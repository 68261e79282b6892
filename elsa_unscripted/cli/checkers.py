"""`Checker`: checks recordings in a process of its own, so that every core has work. Called by `check`, in its threads.

Within one process, only one thread at a time runs Python code, which takes a third of a check's time.

Why not `concurrent.futures.ProcessPoolExecutor`: its processes run the caller's `__main__` again, they get the Ctrl-C
of a terminal, and wait for ever if this process is killed. One that is killed takes the work of the others with it. And
it needs semaphores, which some machines forbid. Two pipes are enough for one question at a time, and its answer.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from typing import IO, List, Optional, cast

from ..audio.check import AudioCheck, Finding, check
from ..deadline import Deadline
from ..threads import start_thread

__all__ = ["END_SECONDS", "Checker", "cores", "serve"]

TRIES = 2  # processes that may end before they have checked a recording: the first may have been killed by chance
END_SECONDS = 1.0  # s that a process may take to go when it is killed

# Sets `sys.path` before it imports anything: the first entry is the working directory, where any module may be.
_PROGRAM = "import sys; sys.path[:] = {path!a}; from elsa_unscripted.cli.checkers import serve; serve()"
_READY = b"!"

VARIABLES = {"OMP_THREAD_LIMIT": "1"}  # `main()` sets it, too, but not if another program calls it


class Checker:
    """Checks one recording after the other, in a process that it starts for the first, and again if that one ends.

    One thread calls `check()` and `close()`; `stop()` and `wait()` are for another one.
    """

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._stopped = False
        self._refused = False  # no process could be started

    def check(self, path: str) -> AudioCheck:
        """Does what `audio.check.check()` does. Where no process can be started, does it in this one.

        A recording over which two processes end, as they do if the system runs out of memory, is called unreadable.
        """
        if path.startswith(("/dev/", "/proc/")):  # it may be a descriptor of this process
            return check(path)
        for _ in range(TRIES):
            process = self._process or self._start()
            if self._stopped:
                return AudioCheck(path)  # the command is ending: nobody reads this
            if process is None:
                return check(path)
            try:
                found = _ask(process, path)
            except (OSError, EOFError, pickle.UnpicklingError):
                status = self.close()
                continue
            # Where `check()` raises, the process gives no answer: here, it raises the same.
            return check(path) if found is None else found
        return AudioCheck(path, findings=(_gone(status),))

    def stop(self) -> None:
        """Ends the process, whatever it is doing, and lets no other one start; doesn't wait for that."""
        self._stopped = True
        process = self._process
        if process is not None:
            _kill(process)

    def wait(self, deadline: Deadline) -> None:
        """Waits until the process has ended; a disk or network that doesn't answer may hold it for longer."""
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(deadline.remaining())

    def close(self) -> Optional[int]:
        """Ends the process, and returns its exit status; `None` if there is no process, or if it doesn't end."""
        process = self._process
        if process is None:
            return None
        _kill(process)
        self.wait(Deadline(END_SECONDS))
        self._process = None  # not before: `wait()` would find no process
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # its buffer holds a question that can't be written any more
                cast(IO[bytes], pipe).close()
        return process.returncode

    def _start(self) -> Optional[subprocess.Popen[bytes]]:
        """Returns a process that is ready; `None` if there can't be one: then it isn't tried again."""
        if self._stopped or self._refused or not _is_python():
            return None
        self._refused = True
        try:
            process = self._process = subprocess.Popen(
                _command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**VARIABLES, **os.environ},
                # So that the Ctrl-C of a terminal goes to the main process alone, which ends this one.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, subprocess.SubprocessError):
            return None
        # First the process is noted, then the flag is read. `stop()` sets the flag, and then looks for a process: one
        # of the two always notices the other.
        if not self._stopped and cast(IO[bytes], process.stdout).read(len(_READY)) == _READY:
            self._refused = False
            return process
        self.close()
        return None


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_python() -> bool:
    """Returns whether `sys.executable` is Python, and not a program that Python is built into."""
    name = os.path.basename(sys.executable or "").lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _command() -> List[str]:
    options = {"-I": sys.flags.isolated, "-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site}
    # Names of files are decoded as they are in this process.
    words = [sys.executable, "-X", f"utf8={sys.flags.utf8_mode}", *(word for word, is_set in options.items() if is_set)]
    return [*words, "-c", _PROGRAM.format(path=[entry for entry in sys.path if isinstance(entry, str)])]


def _ask(process: subprocess.Popen[bytes], path: str) -> Optional[AudioCheck]:
    """Returns the process's answer, however long that takes.

    Raises:
        OSError: The process has ended before it had the whole question.
        EOFError: It has ended before it answered.
        pickle.UnpicklingError: It has ended in the middle of its answer.
    """
    questions, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    pickle.dump(path, questions)
    questions.flush()
    return cast(Optional[AudioCheck], pickle.load(answers))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(PermissionError):  # on Windows, if it is ending already
        process.kill()


def _gone(status: Optional[int]) -> Finding:
    if status is None:
        how = "didn't answer"
    else:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    message = f"can't be checked: the process that decodes it {how}, and so did another one"
    return Finding("error", "unreadable", None, message, "is there enough memory? Check it alone, or cut it up")


# In the other process.


def serve() -> None:
    """Answers each path with the recording's `AudioCheck`, or with `None` if the check raises; never returns.

    It ends as soon as nobody can ask any more, also in the middle of a recording: whoever has asked is gone.
    """
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # ffmpeg must not read the questions, and what a library prints must not get between the answers.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    paths: queue.SimpleQueue[str] = queue.SimpleQueue()

    def answer() -> None:
        try:
            while True:
                path = paths.get()
                try:
                    found: Optional[AudioCheck] = check(path)
                except Exception:  # noqa: BLE001 - the main process will see it
                    found = None
                pickle.dump(found, answers)
                answers.flush()
        finally:
            os._exit(1)  # whatever was raised: the main process must not wait for an answer

    try:
        start_thread(threading.Thread(target=answer, name="elsa-check", daemon=True))
        answers.write(_READY)
        answers.flush()
        while True:
            paths.put(pickle.load(questions))
    finally:
        os._exit(0)  # the thread needn't come to its end
