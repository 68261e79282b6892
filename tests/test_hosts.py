"""`score()` in the programs that it is called from: threads, forked and spawned processes, gevent, Flask, asyncio."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import signal
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
from addresses import closed_port
from commands import COMMAND, posix, shadow, started, unmeasured
from rawserver import Connection, RawServer
from recordings import encoded

from elsa_unscripted import Client, ConnectError, ElsaError, ScoreResult, ScoringFailedError, score
from elsa_unscripted.sandbox import Sandbox
from elsa_unscripted.wire.dial import Socket

GUARD = 60.0  # s; nothing here takes more than a few

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


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=GUARD,
        env=env,
        check=False,
    )


@pytest.mark.slow
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


@pytest.mark.slow(everywhere=True)
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


@pytest.mark.slow(everywhere=True)
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


@pytest.mark.slow(everywhere=True)
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


@pytest.mark.slow(everywhere=True)
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


@pytest.mark.slow(everywhere=True)
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("server", ["threaded", "gunicorn"])
def test_flask(server: str, speech: Path, tmp_path: Path) -> None:
    """A Flask view scores in a threaded and in a pre-fork server, many requests at once."""
    if server == "gunicorn" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork, as gunicorn does")
    port = closed_port()
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


# What the host's process does to an exchange.

FORKED = """
import importlib.abc, os, signal, sys, threading, time

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == MODULE and threading.current_thread() is not threading.main_thread():
            importing.set()
            time.sleep(0.5)

def run():
    from elsa_unscripted import ElsaError, score
    try:
        return score(AUDIO, TOKEN, url=URL, speed=None, connect_timeout=5, connect_retries=0).status
    except ElsaError as error:
        return type(error).__name__

importing = threading.Event()
sys.modules.pop(MODULE, None)
sys.meta_path.insert(0, Slow())
threading.Thread(target=run, daemon=True).start()
assert importing.wait(30)
child = os.fork()
if child == 0:
    signal.alarm(15)
    print(run(), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(
    ("module", "token"),
    [
        ("elsa_unscripted.api", "any"),
        ("websocket", "any"),
        ("pydub", "any"),
        ("encodings.idna", "any"),
        ("http.client", "sandbox:401"),
        ("email.utils", "sandbox:401"),
        ("urllib.request", "elsewhere"),
    ],
)
def test_a_fork_amid_a_late_import(module: str, token: str, short: Path) -> None:
    """A child that is forked while another thread imports something in its first `score()` scores on its own."""
    with Sandbox() as sandbox:
        url = "wss://127.1.invalid/" if token == "elsewhere" else sandbox.url
        script = FORKED.replace("MODULE", repr(module)).replace("AUDIO", repr(str(short)))
        done = run(script.replace("TOKEN", repr(token)).replace("URL", repr(url)), PYTHONWARNINGS="ignore")
    said = {"any": "success", "sandbox:401": "AuthenticationError", "elsewhere": "ConnectError"}[token]
    assert done.stdout.split() == [said, "0"], done.stderr


FORKED_AMID_OUTCOMES = """
import copy, os, pathlib, signal, sys, threading
from elsa_unscripted import score_many

folder, url = pathlib.Path(sys.argv[1]), sys.argv[2]
wav = (folder / "short.wav").read_bytes()
paths = [folder / f"{number}.wav" for number in range(20)]
for number, path in enumerate(paths):
    path.write_bytes(wav[:-4] + number.to_bytes(4, "little"))
for _ in range(2):
    with score_many(paths, "any", url=url, speed=None, max_workers=16, journal=folder / "journal.jsonl") as outcomes:
        resumed = list(outcomes)
assert all(outcome.from_journal for outcome in resumed)
last = resumed.pop()

def read():
    while len(statuses) < 20:
        for outcome in map(copy.copy, resumed):
            outcome.result

statuses = []
thread = threading.Thread(target=read)
thread.start()
while len(statuses) < 20:
    child = os.fork()
    if child == 0:
        signal.alarm(15)
        os._exit(copy.copy(last).result.status != "success")
    statuses.append(os.waitpid(child, 0)[1])
thread.join()
print(set(statuses))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_while_a_thread_reads_outcomes(short: Path, tmp_path: Path) -> None:
    """A child that is forked while another thread parses a resumed outcome can parse one on its own.

    Up to Python 3.11, it waited for ever for the lock of `functools.cached_property`.
    """
    (tmp_path / "short.wav").write_bytes(short.read_bytes())
    with Sandbox() as sandbox:
        done = run(FORKED_AMID_OUTCOMES, str(tmp_path), sandbox.url, PYTHONWARNINGS="ignore")
    assert done.stdout == "{0}\n", (done.stdout, done.stderr)


UNGUARDED = """
import sys, threading
from elsa_unscripted import Client, ElsaError, LiveAudio, score
from elsa_unscripted.imports import _lock

class Watch:
    @staticmethod
    def find_spec(name, *_):
        if not _lock._is_owned() and threading.current_thread().name == "guarded":
            print(name)

def run():
    wav, url, refused = sys.argv[1:4]
    for path in sys.argv[4:]:
        result = score(path, "any", url=url, speed=None)
        if not path.endswith("mp4"):
            score(LiveAudio(open(path, "rb")), "any", url=url, speed=None)
    with Client("any", url=url, speed=None) as client, client.open_stream(sample_rate=16000) as stream:
        stream.send_audio(bytes(range(256)) * 200)
        stream.finish()
    result.to_html(audio=wav)
    for elsewhere in (refused, "ws://b\u00fccher.invalid/", "wss://127.1.invalid/"):
        try:
            score(wav, "any", url=elsewhere, connect_timeout=5, connect_retries=0)
        except ElsaError as error:
            str(error)
    print("done")

sys.meta_path.insert(0, Watch)
thread = threading.Thread(target=run, name="guarded")
thread.start()
thread.join()
"""


@pytest.mark.slow(everywhere=True)
def test_no_import_is_unguarded(short: Path, tmp_path: Path) -> None:
    """Whatever a thread imports late, a fork waits for: see `test_a_fork_amid_a_late_import`."""

    def refuse(connection: Connection) -> None:
        connection.read_request()
        body = "no".encode("utf-16-le")
        head = "HTTP/1.1 418 no\r\nContent-Type: text/plain; charset=utf-16le\r\nContent-Length: %d\r\n\r\n"
        connection.sock.sendall(head.encode() % len(body) + body)

    files = [short]
    for container in ("mp3", "mp4", "ogg", "webm", "flac"):
        files.append(tmp_path / f"speech.{container}")
        files[-1].write_bytes(encoded(container, 0.5))
    with Sandbox() as sandbox, RawServer(refuse) as refusing:
        done = run(UNGUARDED, str(short), sandbox.url, refusing.url, *map(str, files))
    assert done.stdout.split() == ["done"], done.stderr


class Raising(logging.Handler):
    """A host's log handler that is broken."""

    def handle(self, record: logging.LogRecord) -> bool:
        if record.name == "elsa_unscripted":  # not the sandbox's
            raise LookupError("the host's log handler")
        return True


@pytest.mark.parametrize("token", ["any", "sandbox:failed", "sandbox:drop-after=1"])
def test_a_log_handler_that_raises(token: str, short: Path) -> None:
    """What the host's log handler raises, in whichever thread, costs neither a verdict nor the right error."""
    logger = logging.getLogger("elsa_unscripted")
    handler = Raising()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    started = time.monotonic()
    try:
        with Sandbox() as sandbox:
            if token == "any":
                assert score(short, token, url=sandbox.url, speed=None).status == "success"
            else:
                with pytest.raises(ElsaError):
                    score(short, token, url=sandbox.url, speed=None)
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert time.monotonic() - started < GUARD / 2


@pytest.mark.parametrize("where", ["shut_down", "close"])
def test_a_verdict_outlives_a_clean_up_that_fails(where: str, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails in the shut-down after the verdict, as under a host that patches sockets, the verdict counts."""
    real = getattr(Socket, where)

    def broken(*arguments: Any) -> Any:
        real(*arguments)
        raise AttributeError("the host's socket has no such thing")

    monkeypatch.setattr(Socket, where, broken)
    with Sandbox() as sandbox:
        assert score(short, "any", url=sandbox.url, speed=None).status == "success"
        assert sandbox.exchanges[-1].close_code == 1000


@pytest.mark.slow(everywhere=True)
def test_eventlet(short: Path) -> None:
    """Under eventlet's monkey patching, the verdict comes."""
    script = f"""
import eventlet
eventlet.monkey_patch()
from elsa_unscripted import score
print(score({str(short)!r}, "any", url=URL, speed=None).status)
"""
    with Sandbox() as sandbox:
        assert run(script.replace("URL", repr(sandbox.url)), PYTHONWARNINGS="ignore").stdout.split() == ["success"]


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    "code", ["class WebSocket: pass", "from gevent.nonesuch import x", "1 / 0", "ABNF = WebSocketApp = None"]
)
def test_another_module_called_websocket(code: str, short: Path, tmp_path: Path) -> None:
    """Where another module hides websocket-client, `score()` says at once which file it is, and what to do."""
    script = f"""
import time
from elsa_unscripted import ConfigError, score
began = time.monotonic()
try:
    score({str(short)!r}, "any", url="ws://127.0.0.1:9/")
except ConfigError as error:
    print(time.monotonic() - began < 5, error)
"""
    done = run(script, **shadow(tmp_path, "websocket", code))
    assert done.stdout.startswith("True "), done.stderr
    assert repr(str(tmp_path / "websocket.py")) in done.stdout
    assert "rename it" in done.stdout
    assert "pip install websocket-client" in done.stdout


@pytest.mark.parametrize(("module", "words"), [("jinja2", ["report", "RESULT"]), ("websockets", ["sandbox", "--list"])])
def test_other_modules_that_hide_ours(module: str, words: List[str], short: Path, tmp_path: Path) -> None:
    """A module that hides a package of an extra is named by the command line."""
    with Sandbox() as sandbox:
        score(short, "any", url=sandbox.url, speed=None).save(tmp_path / "result.json")
    words = [str(tmp_path / "result.json") if word == "RESULT" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "elsa_unscripted", *words],
        capture_output=True,
        text=True,
        timeout=GUARD,
        env={**os.environ, **shadow(tmp_path, module, "x = 1")},
        check=False,
    )
    assert done.returncode == 2
    assert f"{tmp_path / module}.py' is called {module}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow(everywhere=True)
@posix
def test_without_a_working_directory(tmp_path: Path) -> None:
    """Where the working directory was deleted, errors are ours, and nothing counts as billed."""
    script = f"""
import os
from elsa_unscripted import AudioError, JournalError, score_many
folder = {str(tmp_path / "gone")!r}
os.mkdir(folder); os.chdir(folder); os.rmdir(folder)
for outcome in score_many(["x.wav"], "any"):
    print(type(outcome.error).__name__, outcome.error.possibly_billed)
try:
    score_many([], "any", journal="j.jsonl")
except JournalError as error:
    print("working directory is gone" in str(error))
"""
    done = run(script)
    assert done.stdout.split() == ["AudioError", "False", "True"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["atexit", "finalizer"])
@pytest.mark.parametrize("what", ["score", "score_many"])
def test_at_the_interpreters_end(how: str, what: str, short: Path) -> None:
    """Where the interpreter's end forbids threads, `score()` says so, rather than that there are too many."""
    script = f"""
import atexit, os, sys
from elsa_unscripted import ElsaError, score, score_many
score({str(short)!r}, "any", url=URL, speed=None)
list(score_many([{str(short)!r}], "any", url=URL, speed=None))

audio = open({str(short)!r}, "rb").read()  # there is no open() at the very end

def late(*_, ElsaError=ElsaError, score=score, score_many=score_many, write=os.write, audio=audio):
    def print(text):
        write(1, f"{{text}}\\n".encode())

    try:
        if {what!r} == "score":
            print(score(audio, "any", url=URL, speed=None).status)
        else:
            for outcome in score_many([{str(short)!r}], "any", url=URL, speed=None):
                print(outcome.result["status"] if outcome.result else outcome.error)
    except ElsaError as error:
        print(error)

if {how!r} == "atexit":
    atexit.register(late)
else:
    class Late:
        __del__ = late
    kept = Late()
"""
    with Sandbox() as sandbox:
        done = run(script.replace("URL", repr(sandbox.url)))
    # Most Pythons start threads in atexit, and so score; 3.12 doesn't.
    scored = how == "atexit" and done.stdout == "success\n"
    assert scored or "the interpreter is ending" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@posix
@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("before", [False, True])
def test_out_of_files(before: bool, left: int, short: Path) -> None:
    """With the limit of open files used up, the error says so; an exchange that is connected needs no more."""
    script = f"""
import os, resource
from elsa_unscripted import ElsaError, score
if {before}:
    score({str(short)!r}, "any", url=URL, speed=None)
audio = open({str(short)!r}, "rb").read()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    for _ in range({left}):
        os.close(taken.pop())
try:
    print(score(audio, "any", url=URL, speed=None).status)
except ElsaError as error:
    print(error)
"""
    with Sandbox() as sandbox:
        # A host name with two addresses needs two sockets for a moment.
        url = sandbox.url if left else sandbox.url.replace("127.0.0.1", "localhost")
        done = run(script.replace("URL", repr(url)))
    assert ("success" if left else "ulimit -n") in done.stdout, done.stdout + done.stderr


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2])
def test_a_burst_of_ctrl_c(seconds: float, short: Path) -> None:
    """However often Ctrl-C is pressed, the command line ends with one line and status 130."""
    with Sandbox("silent") as sandbox:
        words = [*COMMAND, "score", str(short), "--quiet"]
        with started(*words, ELSA_UNSCRIPTED_URL=sandbox.url, ELSA_API_TOKEN="any") as process:
            guard = time.monotonic() + GUARD
            while not sandbox.handshakes and time.monotonic() < guard:
                time.sleep(0.02)
            time.sleep(seconds / 4)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.001)
            out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"elsa-unscripted: interrupted\n")


@posix
def test_ctrl_c_in_the_moment_in_which_it_is_ignored() -> None:
    """At the end of a program, a Ctrl-C that comes while Ctrl-C is being ignored prints nothing."""
    script = """
import os, signal, subprocess, sys
from elsa_unscripted.cli import interrupts
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(1))
flood = "import os, sys\\nwhile os.getppid() > 1: os.kill(int(sys.argv[1]), 2)"
other = subprocess.Popen([sys.executable, "-c", flood, str(os.getpid())])
while not came:
    pass
for _ in range(2_000):
    signal.signal(signal.SIGINT, lambda *_: None)
    interrupts.ignore()
    sys.unraisablehook = sys.__unraisablehook__
other.kill()
print("done")
"""
    done = run(script)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_no_thread_for_the_early_connection(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, `score()` says so at once, though it had begun to connect while decoding."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Sandbox() as sandbox:
        started = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(ConnectError, match="no thread could be started"):
                score(short, "any", url=sandbox.url, connect_timeout=GUARD)
        assert time.monotonic() - started < GUARD / 2
