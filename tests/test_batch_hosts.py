"""`score_many()` where it may run: process pools, Dask, and processes that are killed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from batches import TOKEN, Choosy, lines, recordings, sha256
from commands import PATIENCE, ROOT, measure_no_children, posix, run_forked, unmeasured
from prefork import Forked

from elsa_unscripted import (
    AuthenticationError,
    ElsaError,
    Outcome,
    StreamClosedError,
    exceptions,
    score_many,
)
from elsa_unscripted.batch.ticket import Done
from elsa_unscripted.config import Config
from elsa_unscripted.sandbox import Sandbox

GUARD = 150.0  # s; nothing here takes more than a few
KINDS: list[type[ElsaError]] = [getattr(exceptions, name) for name in exceptions.__all__]

KILLS = 20
RECORDINGS = 200
WORKERS = 8

SANDBOX = """
import hashlib, json, sys
from elsa_unscripted.sandbox import Sandbox

with Sandbox("slow=0.1", keep=100_000) as sandbox:
    print(sandbox.url, flush=True)
    for _ in sys.stdin:
        for exchange in sandbox.exchanges:
            # A killed client's last packet may still be on its way; it sends none before its config was read. One that
            # was killed in the handshake has neither, and never finishes.
            assert not exchange.frames or exchange.finished.wait(30)
        heard = [hashlib.sha256(exchange.wav()).hexdigest() for exchange in sandbox.exchanges if exchange.heard]
        print(json.dumps(heard), flush=True)
"""

BATCH = """
import sys
from elsa_unscripted import score_many

url, journal, workers, *paths = sys.argv[1:]
scores = score_many(paths, "any-token", url=url, speed=None, journal=journal, max_workers=int(workers))
for outcome in scores:
    print(outcome.path, outcome.from_journal, outcome.error, flush=True)
"""

DASK = """
import json, logging, os, signal, sys

if __name__ == "__main__":
    from dask.distributed import Client, LocalCluster
    from elsa_unscripted import score_many

    url, journal, again, *paths = sys.argv[1:]
    size = {"n_workers": 2, "threads_per_worker": 4, "dashboard_address": "localhost:0"}
    with LocalCluster(**size, silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
        workers = client.run(os.getpid)
        outcomes = []
        options = {"url": url, "journal": journal, "executor": client.get_executor(), "max_workers": 12}
        for outcome in score_many(paths, "any-token", **options):
            outcomes.append([outcome.path, outcome.result is not None, str(outcome.error)])
            if len(outcomes) == 10:
                os.kill(min(workers.values()), signal.SIGKILL)
        assert set(client.run(os.getpid).values()) != set(workers.values())
        del options["journal"]
        more = score_many([again] * 3, "any-token", **options)
        outcomes += [[again, outcome.result is not None, str(outcome.error)] for outcome in more]
    print(json.dumps(outcomes))
"""


@contextmanager
def spawning(workers: int = 2) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def heard(sandbox: Sandbox) -> Counter[str]:
    """Returns how often the sandbox has got each recording."""
    files = [exchange.wav() for exchange in sandbox.exchanges]
    return Counter(hashlib.sha256(file).hexdigest() for file in files if file is not None)


# Executors of others.


@pytest.mark.slow(everywhere=True)
def test_process_pool(tmp_path: Path) -> None:
    """Spawned workers score each recording once; the pool can be used afterwards."""
    paths = recordings(tmp_path, 12)
    journal = tmp_path / "scores.jsonl"
    missing = str(tmp_path / "missing.wav")
    with Sandbox() as sandbox, spawning() as pool:
        options: dict[str, Any] = {"url": sandbox.url, "speed": None, "executor": pool, "max_workers": 4}
        outcomes = list(score_many([*paths, missing], TOKEN, journal=journal, **options))
        assert heard(sandbox) == Counter(map(sha256, paths))
        assert [outcome.path for outcome in outcomes if outcome.error] == [missing]
        assert sorted(outcome.path for outcome in outcomes if outcome.result) == paths
        assert pool.submit(int, "7").result(GUARD) == 7
    assert Counter(line["sha256"] for line in lines(journal)) == Counter([*map(sha256, paths), None])  # the missing one


@pytest.mark.slow
@posix
def test_a_worker_of_the_pool_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken pool is told: those in flight are errors, not in the journal as done, and a new run scores them."""
    measure_no_children(monkeypatch)
    paths = recordings(tmp_path, 12)
    journal = tmp_path / "scores.jsonl"
    outcomes: list[Outcome] = []
    with Sandbox("slow=0.3") as sandbox:
        options: dict[str, Any] = {"url": sandbox.url, "speed": None, "journal": journal, "max_workers": 4}
        untouched = iter(paths)
        with spawning() as pool:
            scores = score_many(untouched, TOKEN, executor=pool, **options)
            outcomes.append(next(scores))
            multiprocessing.active_children()[0].kill()
            with pytest.raises(BrokenExecutor):
                outcomes.extend(scores)
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        assert failed
        # One may have been taken, and not been given to the pool, since that broke in between.
        assert scores.unfinished <= 1
        assert len(outcomes) + scores.unfinished + len(list(untouched)) == len(paths)
        for outcome in failed:
            assert isinstance(outcome.error, StreamClosedError)
            assert outcome.error.possibly_billed
            assert isinstance(outcome.error.__cause__, BrokenExecutor)
        done = {line["path"] for line in lines(journal)}
        assert done == {outcome.path for outcome in outcomes} - {outcome.path for outcome in failed}
        rest = list(score_many(paths, TOKEN, **options))
    assert [outcome.error for outcome in rest if outcome.error] == []
    assert {outcome.path for outcome in rest if outcome.from_journal} == done
    assert Counter(line["sha256"] for line in lines(journal)) == Counter(map(sha256, paths))


def test_an_executor_that_was_shut_down(tmp_path: Path) -> None:
    """An executor that takes nothing more ends the batch, with its own error."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with Sandbox() as sandbox:
        scores = score_many(recordings(tmp_path, 2), TOKEN, url=sandbox.url, executor=executor)
        with pytest.raises(RuntimeError, match="after shutdown"):
            next(scores)
        assert (scores.unfinished, list(scores)) == (1, [])


def test_an_executor_that_cancels(tmp_path: Path) -> None:
    """An executor that drops its tasks, as Dask's does when its scheduler is gone, is a broken one."""
    paths = recordings(tmp_path, 6)
    outcomes: list[Outcome] = []
    with Sandbox("slow=0.5") as sandbox, ThreadPoolExecutor(1) as pool:
        scores = score_many(paths, TOKEN, url=sandbox.url, speed=None, executor=pool, max_workers=3)
        cancel = threading.Timer(0.2, pool.shutdown, kwargs={"wait": False, "cancel_futures": True})
        cancel.start()
        with pytest.raises(BrokenExecutor, match="cancelled what it was given"):
            outcomes.extend(scores)
        cancel.join()
    assert [outcome.result is not None for outcome in outcomes].count(True) == 1
    assert len(outcomes) == 3


def test_close_leaves_a_foreign_executor_alone(tmp_path: Path) -> None:
    """To close a batch cancels what has not begun, and neither waits for nor ends what runs elsewhere."""
    with Sandbox("slow=0.5") as sandbox, ThreadPoolExecutor(2) as pool:
        scores = score_many(recordings(tmp_path, 9), TOKEN, url=sandbox.url, speed=None, executor=pool, max_workers=8)
        closer = threading.Timer(0.3, scores.stop)
        closer.start()
        next(scores)
        closer.join()
        scores.close()
        assert pool.submit(int, "7").result(GUARD) == 7
        assert len(sandbox.exchanges) <= 4


@pytest.mark.slow(everywhere=True)
def test_a_refused_token_in_a_pool(tmp_path: Path) -> None:
    """An error that ends the batch comes back from another process as itself."""
    with Sandbox("401") as sandbox, spawning(1) as pool:
        scores = score_many(recordings(tmp_path, 3), TOKEN, url=sandbox.url, executor=pool)
        with pytest.raises(AuthenticationError) as caught:
            next(scores)
    assert caught.value.status_code == 401


class _Strange(Executor):
    """An executor whose work fails in ways of its own."""

    def __init__(self, pool: ThreadPoolExecutor, error: BaseException) -> None:
        self._pool = pool
        self._error = error

    def submit(self, *arguments: Any, **options: Any) -> Any:
        return self._pool.submit(self._fail)

    def _fail(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [MemoryError("no more"), KeyboardInterrupt(), SystemExit(1), RuntimeError("killed")])
def test_a_strange_failure_is_one_recordings(error: BaseException, tmp_path: Path) -> None:
    """Whatever goes wrong with one recording in a worker is its outcome; the others go on."""
    journal = tmp_path / "scores.jsonl"
    with ThreadPoolExecutor(1) as pool:
        executor = _Strange(pool, error)
        scores = score_many(recordings(tmp_path, 3), TOKEN, url="ws://localhost:1/", executor=executor, journal=journal)
        outcomes = list(scores)
    assert [type(outcome.error) for outcome in outcomes] == [StreamClosedError] * 3
    assert [outcome.error and outcome.error.__cause__ for outcome in outcomes] == [error] * 3
    assert journal.read_bytes() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_travels(kind: type[ElsaError]) -> None:
    """Whatever a worker returns comes back from another process whole."""
    error = kind("what to do")
    error.__cause__ = OSError(104, "reset")
    done: Done = pickle.loads(pickle.dumps(Done(None, error, "00", True, 1.5, 3.0)))
    assert type(done.error) is kind
    assert (vars(done.error), str(done.error)) == (vars(error), "what to do")
    assert isinstance(done.error.__cause__, OSError)


def test_the_task_travels_with_all_options(tmp_path: Path) -> None:
    """The options of a task come out as they went in, the token too, which no repr shows."""
    config = Config(token=TOKEN, url="ws://localhost:1/", extra={"a": [1]}, ca_bundle=Path(__file__))
    again: Config = pickle.loads(pickle.dumps(config))
    assert (again, again.token) == (config, TOKEN)
    assert TOKEN not in repr(again)


def test_a_connect_error_in_a_pool_is_tried_again(tmp_path: Path) -> None:
    """Retries and back-offs are the batch's: they work wherever the exchange runs."""
    paths = recordings(tmp_path, 2)
    with Choosy(lambda number: 503 if number == 0 else None) as sandbox, spawning(1) as pool:
        outcomes = list(score_many(paths, TOKEN, url=sandbox.url, executor=pool, max_workers=1))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert sorted(outcome.attempts for outcome in outcomes) == [1, 2]


@pytest.mark.slow
@posix
def test_dask(tmp_path: Path) -> None:
    """On Dask, a worker process is killed in mid-run: nothing is lost, and nothing is counted twice."""
    *paths, again = recordings(tmp_path, 41, seconds=0.6)
    journal = tmp_path / "scores.jsonl"
    script = tmp_path / "on_dask.py"
    script.write_text(DASK)
    with Sandbox() as sandbox:
        done = subprocess.run(
            [sys.executable, str(script), sandbox.url, str(journal), again, *paths],
            capture_output=True,
            text=True,
            timeout=GUARD,
            cwd=tmp_path,
            env={**unmeasured(), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        counts = heard(sandbox)
    outcomes = json.loads(done.stdout)
    assert [error for _, good, error in outcomes if not good] == []
    assert sorted(path for path, _, _ in outcomes) == [*paths, again, again, again]
    assert Counter(line["sha256"] for line in lines(journal)) == Counter(map(sha256, paths))
    # Three recordings, although Dask takes calls with equal arguments for one.
    assert counts.pop(sha256(again)) == 3
    # Dask runs again what the killed worker had: no more than was in flight.
    assert set(map(sha256, paths)) <= set(counts)
    assert sum(count - 1 for count in counts.values()) <= 12


# kill -9.


@contextmanager
def sandbox_process() -> Iterator[tuple[str, Any]]:
    """A sandbox that outlives every batch; yields its address, and a function that tells what it has got, in order."""
    command = [sys.executable, "-c", SANDBOX]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask() -> list[str]:
            print("?", file=stdin, flush=True)
            answer: list[str] = json.loads(stdout.readline())
            return answer

        try:
            yield stdout.readline().strip(), ask
        finally:
            stdin.close()
            process.wait(PATIENCE)


def run_and_kill(arguments: Sequence[str]) -> None:
    """Runs a batch, and kills it soon after its first outcome: it is under way then."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stdout, open(os.devnull, "rb") as stdin:
        with Forked(arguments, (stdin.fileno(), writing, 2), cwd=ROOT, environment=unmeasured()) as process:
            os.close(writing)
            try:
                stdout.readline()
                time.sleep(random.uniform(0, 0.3))
            finally:
                process.kill()
            process.wait(GUARD)


@pytest.mark.slow
@posix
@pytest.mark.timeout(600)
def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """Killed 20 times and resumed, each recording has one result; only those in flight at a kill were sent again."""
    paths = recordings(tmp_path, RECORDINGS)
    everything = Counter(map(sha256, paths))
    assert set(everything.values()) == {1}
    journal, script = tmp_path / "scores.jsonl", tmp_path / "batch.py"
    script.write_text(BATCH)
    again: Counter[str] = Counter()
    with sandbox_process() as (url, ask):
        before: list[str] = []
        in_flight: set[str] = set()
        for kill in range(KILLS + 1):
            done = {line["sha256"] for line in whole_lines(journal)}
            arguments = [str(script), url, str(journal), str(WORKERS), *paths]
            if kill < KILLS:
                run_and_kill(arguments)
            else:
                status, out, err = run_forked(arguments, unmeasured())
                assert (status, err) == (0, "")
            got = ask()
            sent = Counter(got[len(before) :])
            repeated = set(sent) & set(before)
            before = got
            assert not done & set(sent), "what was done is not sent again"
            assert set(sent.values()) <= {1}, "and nothing is sent twice in one run"
            assert repeated <= in_flight, "what is sent again was in flight at a kill"
            again.update(repeated)
            finished = {line["sha256"] for line in whole_lines(journal)}
            in_flight |= set(sent) - finished
            assert len(set(sent) - finished) <= WORKERS, "no more than may be in flight"
        assert out.count(b" False None\n") + out.count(b" True None\n") == RECORDINGS
        total = Counter(ask())
    assert Counter(line["sha256"] for line in lines(journal)) == everything
    assert {line["outcome"] for line in lines(journal)} == {"success"}
    assert total == everything + again
    assert again, "the kills came too late to prove anything"


def whole_lines(journal: Path) -> list[dict[str, Any]]:
    """Reads what is whole in a journal whose writer was killed."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"}}\n")]
