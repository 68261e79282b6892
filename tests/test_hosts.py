"""`score()` in the programs that it is called from: threads, forked and spawned processes, gevent, Flask, asyncio."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from commands import unmeasured

from elsa_unscripted import Client, ElsaError, ScoreResult, ScoringFailedError, score
from elsa_unscripted.sandbox import Sandbox

GUARD = 150.0  # s; nothing here takes more than a few

FLASK_APP = """
from flask import Flask
from elsa_unscripted import ElsaError, score

app = Flask(__name__)

@app.get("/score/<token>")
def view(token):
    try:
        result = score({audio!r}, token, url={url!r}, speed=20)
    except ElsaError as error:
        return {{"error": type(error).__name__}}
    return {{"status": result.status, "stream_id": result.stream_id}}

if __name__ == "__main__":
    app.run(port={port}, threaded=True)
"""

# In a process of its own, without threads: to fork one that has some deserves Python's warning.
PROCESS_POOL = """
import multiprocessing, pickle, sys
from concurrent.futures import ProcessPoolExecutor
from elsa_unscripted import ElsaError, score

def outcome(token):
    try:
        return score(audio, token, url=url, speed=None)
    except ElsaError as error:
        return error

method, audio, url = sys.argv[1:]
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        outcomes = list(pool.map(outcome, ["sandbox:success", "sandbox:failed=no", "sandbox:401"]))
    print(pickle.dumps(outcomes).hex())
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=GUARD, env=env, check=False
    )


def test_a_hundred_threads_at_once(speech: Path) -> None:
    """A hundred exchanges run side by side in one process, each with its own result."""
    with Sandbox() as sandbox, Client("any", url=sandbox.url, speed=4, connect_timeout=30) as client:
        together = threading.Barrier(100)

        def work(_: int) -> ScoreResult:
            together.wait(GUARD)
            return client.score(speech)

        with ThreadPoolExecutor(100) as pool:
            results = list(pool.map(work, range(100)))
    assert len({result.stream_id for result in results}) == 100
    assert {result.audio_seconds_sent for result in results} == {3.28}


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_process_pool(method: str, short: Path, tmp_path: Path) -> None:
    """Workers of a process pool return results and errors, however they are started, and without a warning."""
    script = tmp_path / "pool.py"
    script.write_text(PROCESS_POOL)
    with Sandbox() as sandbox:
        command = [sys.executable, "-W", "error", str(script), method, str(short), sandbox.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result, failure, refusal = pickle.loads(bytes.fromhex(done.stdout))
    assert isinstance(result, ScoreResult)
    assert result.assessment is not None
    assert isinstance(failure, ScoringFailedError)
    assert (failure.reason, failure.possibly_billed) == ("no", True)
    assert getattr(refusal, "status_code", None) == 401


@pytest.mark.forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork_in_mid_exchange(speech: Path, short: Path) -> None:
    """A child that is forked while an exchange runs scores on its own, and disturbs neither."""
    with Sandbox() as sandbox:
        sending = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            ours = pool.submit(score, speech, "any", url=sandbox.url, speed=3, on_progress=lambda *_: sending.set())
            assert sending.wait(GUARD)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if score(short, "any", url=sandbox.url, speed=None).status == "success" else 2
                finally:
                    os._exit(status)
            _, waited = os.waitpid(child, 0)
            assert waited == 0
            assert ours.result(GUARD).audio_seconds_sent == 3.28


@pytest.mark.forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("leave", [lambda: sys.exit(3), lambda: 1 // 0])
def test_a_fork_in_a_callback(leave: Callable[[], object], speech: Path) -> None:
    """A child that is forked in a callback, and leaves it by an exception, doesn't end the parent's exchange."""
    parent = os.getpid()
    children: List[int] = []

    def fork(*_: object) -> None:
        if not children:
            children.append(os.fork())
            if not children[0]:
                leave()

    with Sandbox() as sandbox:
        try:
            result = score(speech, "any", url=sandbox.url, speed=10, on_progress=fork)
        except BaseException as error:  # the child's
            if os.getpid() != parent:
                os._exit(0 if isinstance(error, (SystemExit, ZeroDivisionError)) else 1)
            raise
        finally:
            if os.getpid() != parent:
                os._exit(2)
        assert os.waitpid(children[0], 0)[1] == 0
        assert result.audio_seconds_sent == 3.28
        assert sandbox.exchanges[-1].close_code == 1000


def test_gevent(speech: Path) -> None:
    """Under gevent's monkey patching, exchanges of many greenlets run at once in one thread."""
    script = """
from gevent import monkey
monkey.patch_all()
import sys, time
import gevent
from elsa_unscripted import score
audio, url = sys.argv[1:] if len(sys.argv) > 1 else (AUDIO, URL)
started = time.monotonic()
jobs = [gevent.spawn(score, audio, "any", url=url, speed=1.5) for _ in range(20)]
gevent.joinall(jobs, timeout=50, raise_error=True)
print(len({job.value.stream_id for job in jobs}), time.monotonic() - started < 35)
"""
    with Sandbox() as sandbox:
        done = run(script.replace("AUDIO", repr(str(speech))).replace("URL", repr(sandbox.url)))
    assert done.stdout.split() == ["20", "True"], done.stderr


def test_gevent_after_a_first_exchange(speech: Path) -> None:
    """Patched late, which gevent warns about, exchanges still run at once in one thread."""
    script = """
import sys
from elsa_unscripted import score
audio, url = AUDIO, URL
score(audio, "any", url=url, speed=50)
from gevent import monkey
monkey.patch_all()
import gevent
jobs = [gevent.spawn(score, audio, "any", url=url, speed=10) for _ in range(5)]
gevent.joinall(jobs, timeout=30, raise_error=True)
print(len({job.value.stream_id for job in jobs}))
"""
    with Sandbox() as sandbox:
        done = run(script.replace("AUDIO", repr(str(speech))).replace("URL", repr(sandbox.url)))
    assert done.stdout.split() == ["5"], done.stderr


def test_asyncio_to_thread(speech: Path) -> None:
    """In a running event loop, asyncio.to_thread(score, …) leaves the loop free."""

    async def main(url: str) -> Any:
        ticks = 0
        task = asyncio.ensure_future(asyncio.to_thread(score, speech, "any", url=url, speed=10))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await task, ticks

    with Sandbox() as sandbox:
        result, ticks = asyncio.run(main(sandbox.url))
    assert result.status == "success"
    assert ticks > 5


@pytest.mark.parametrize("scenario", ["success", "silent", "hang-handshake", "no-read"])
def test_interpreter_exit_in_mid_exchange(scenario: str, austen: Path) -> None:
    """An interpreter that exits while a daemon thread is scoring neither waits for it nor crashes."""
    script = f"""
import threading, time
from elsa_unscripted import score
thread = threading.Thread(target=score, args=({str(austen)!r}, "any"), kwargs=dict(url=URL, speed=20), daemon=True)
thread.start()
time.sleep(0.7)
print(thread.is_alive())
"""
    with Sandbox(scenario) as sandbox:
        started = time.monotonic()
        done = run(script.replace("URL", repr(sandbox.url)))
        took = time.monotonic() - started
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
    assert took < GUARD / 2


def _get(url: str) -> bytes:
    guard = time.monotonic() + GUARD
    while True:
        try:
            with urlopen(url, timeout=GUARD) as answer:
                return bytes(answer.read())
        except URLError as error:
            if time.monotonic() > guard or not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("server", ["threaded", "gunicorn"])
def test_flask(server: str, speech: Path, tmp_path: Path) -> None:
    """A Flask view scores in a threaded and in a pre-fork server, many requests at once."""
    if server == "gunicorn" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork, as gunicorn does")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Sandbox() as sandbox:
        app = tmp_path / "app.py"
        app.write_text(FLASK_APP.format(audio=str(speech), url=sandbox.url, port=port))
        bind = ["-m", "gunicorn", "-w", "2", "--threads", "4", "-b", f"127.0.0.1:{port}", "app:app"]
        command = [sys.executable, *(bind if server == "gunicorn" else [str(app)])]
        with subprocess.Popen(
            command, cwd=tmp_path, env=unmeasured(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                with ThreadPoolExecutor(8) as pool:
                    good = list(pool.map(_get, [f"http://127.0.0.1:{port}/score/any"] * 8))
                bad = _get(f"http://127.0.0.1:{port}/score/sandbox:failed")
            finally:
                process.terminate()
                process.wait(GUARD)
    assert len(set(good)) == 8
    assert all(b'"status":"success"' in answer.replace(b" ", b"") for answer in good)
    assert b"ScoringFailedError" in bad


def test_results_and_errors_travel(short: Path) -> None:
    """A result and an error survive pickling whole, so that any executor can bring them back."""
    with Sandbox() as sandbox:
        result = score(short, "any", url=sandbox.url, speed=None)
        error: Optional[ElsaError] = None
        try:
            score(short, "sandbox:drop-after=1", url=sandbox.url, speed=None)
        except ElsaError as caught:
            error = caught
    again: ScoreResult = pickle.loads(pickle.dumps(result))
    assert (dict(again), again.statuses, again.timings) == (dict(result), result.statuses, result.timings)
    facts: Dict[str, Any] = vars(pickle.loads(pickle.dumps(error)))
    assert facts == vars(error)
