"""A signal handler that raises leaves no lock taken, and no thread that nobody knows of."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Callable, List, Optional, Type

import pytest
from commands import posix, unmeasured

from elsa_unscripted import Client, ElsaError, LiveAudio, score, score_many
from elsa_unscripted.results.download import download
from elsa_unscripted.sandbox import Sandbox
from elsa_unscripted.threads import NoThreadError, start_thread

INTERRUPTED = """
import signal, threading, time
from elsa_unscripted.threads import holding

def limit(*_):
    raise TimeoutError

signal.signal(signal.SIGALRM, limit)
def nothing():
    pass

lock, interrupts, lost = threading.Lock(), 0, 0
until = time.monotonic() + 2
while time.monotonic() < until:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        while True:
            holding(lock, nothing)
    except TimeoutError:
        interrupts += 1
        lost += lock.locked()  # here, where the exception still refers to all frames
    lock = threading.Lock() if lock.locked() else lock
print(interrupts > 100, lost)
"""


@pytest.mark.slow
@posix
@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 may run a handler just before the lock is released")
def test_a_signal_handler_leaves_no_lock_taken() -> None:
    """Whenever a signal handler raises while a lock is taken, held or given back, the lock is free afterwards."""
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True 0\n", "")


OURS = "a signal handler's"
GIVES_BACK: Any = threading.Condition._release_save.__code__  # type: ignore[attr-defined]


class handler_in_start:
    """Raises where a signal handler may, at the worst moment of starting a thread: when `start()` waits for it.

    There it has given a lock back that its `with` gives back once more: a `RuntimeError`, as if there were no thread.

    Attributes:
        raised: Whether it has raised; not if the thread ran before `start()` waited.
    """

    def __init__(self, name: str, kind: Type[BaseException]) -> None:
        self.raised = False
        self._name = name
        self._kind = kind
        self._before: Any = None

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code is not GIVES_BACK:
            return None
        if event == "return" and not self.raised:
            thread = _being_started(frame)
            if thread is not None and thread.name.startswith(self._name):
                # Else `start()` might take from the thread the lock that it holds while it tells that it runs.
                while thread in threading._limbo:  # type: ignore[attr-defined]
                    time.sleep(0.001)
                self.raised = True
                raise self._kind(OURS)
        return self._trace

    def __enter__(self) -> handler_in_start:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


def _being_started(frame: Optional[FrameType]) -> Optional[threading.Thread]:
    while frame is not None and frame.f_code is not threading.Thread.start.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals["self"]


def came_out_of(call: Callable[[], object], name: str, kind: Type[BaseException]) -> List[BaseException]:
    """Makes a call, interrupted where it starts a thread of that name; returns what came out."""
    for _ in range(100):
        came: List[BaseException] = []
        with handler_in_start(name, kind) as handler:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                came.append(error)
        if handler.raised:
            return came
    raise AssertionError(f"no thread {name} was started, or it always ran before start() waited; came: {came}")


def exchange_threads() -> List[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("elsa-") and name != "elsa-sandbox"]


def stream(url: str, path: Path) -> None:
    with Client("any", url=url) as client:
        client.open_stream(sample_rate=16_000).cancel()


def live(url: str, path: Path) -> None:
    score(LiveAudio(io.BytesIO(path.read_bytes())), "any", url=url, speed=100)


def many(url: str, path: Path, pool: Optional[ThreadPoolExecutor] = None) -> None:
    list(score_many([path], "any", url=url, speed=100, executor=pool))


def in_pool(url: str, path: Path) -> None:
    with ThreadPoolExecutor(1, "pool") as pool:
        many(url, path, pool)


def fetch(url: str, path: Path) -> None:
    with contextlib.suppress(ElsaError):  # the sandbox has nothing there
        download(f"http{url[2:]}", timeout=5, max_bytes=1000)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "kind", "call"),
    [
        ("elsa-websocket", KeyboardInterrupt, lambda url, path: score(path, "any", url=url, speed=100)),
        pytest.param("elsa-websocket", TimeoutError, stream, marks=SLOW),
        pytest.param("elsa-audio", TimeoutError, lambda url, path: score(path, "any", url=url, speed=100), marks=SLOW),
        pytest.param("elsa-audio", OSError, lambda url, path: score(path, "any", url=url, speed=None), marks=SLOW),
        pytest.param("elsa-source", KeyboardInterrupt, live, marks=SLOW),
        pytest.param("elsa-batch", RuntimeError, many, marks=SLOW),
        pytest.param("pool", TimeoutError, in_pool, marks=SLOW),
        pytest.param("elsa-download", TimeoutError, fetch, marks=SLOW),
    ],
    ids=["connection", "stream", "paced", "unpaced", "live", "batch", "executor", "download"],
)
def test_ctrl_c_while_a_thread_is_started(
    name: str, kind: Type[BaseException], call: Callable[[str, Path], object], short: Path
) -> None:
    """What a handler raises then comes out as itself, not as "no thread"; neither thread nor connection is left."""
    with Sandbox() as sandbox:
        came = came_out_of(lambda: call(sandbox.url, short), name, kind)
        assert [(type(error), str(error)) for error in came] == [(kind, OURS)]
        until = time.monotonic() + 10
        while exchange_threads() and time.monotonic() < until:
            time.sleep(0.001)
        assert exchange_threads() == []


def test_no_thread_after_ctrl_c() -> None:
    """A thread that can't be started while Ctrl-C is being handled is told as such: it isn't a second Ctrl-C."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        thread = threading.Thread(target=int)
        start_thread(thread)
        thread.join()
        with pytest.raises(NoThreadError, match="can only be started once"):
            start_thread(thread)


ANYWHERE = """
import sys, threading
from elsa_unscripted.threads import start_thread

class Handler:
    def __init__(self, number):
        self.left = number

    def __call__(self, frame, event, argument):
        self.left -= 1
        if not self.left:
            sys.setprofile(None)
            raise KeyboardInterrupt

number, wrong = 0, []
while True:
    number += 1
    handler, thread = Handler(number), threading.Thread(target=int, daemon=True)
    try:
        sys.setprofile(handler)
        start_thread(thread)
        sys.setprofile(None)
    except BaseException as error:
        sys.setprofile(None)
        if type(error) is not KeyboardInterrupt:
            wrong.append((number, repr(error)))
    if handler.left > 0:
        break
print(number > 10, wrong)
"""


@pytest.mark.slow
def test_ctrl_c_at_every_call_while_a_thread_is_started() -> None:
    """Wherever a handler raises, before or after any call that `start()` makes, that comes out as itself."""
    command = [sys.executable, "-c", ANYWHERE]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True []\n", done.stderr
