"""Runs exchanges with random faults from many threads, for a given time, and tells what grew and what went wrong.

The servers are in a process of their own, so that the threads, descriptors and memory shown are the client's. The exit
status is 0 if every outcome was right and nothing grew.

Uses two modules of tests/: `faults`, so that what the tests try one by one is tried here all at once, and `rawserver`,
the server that plays those faults.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Callable, DefaultDict, Dict, List, NamedTuple, Optional, Tuple, Type

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from faults import FAULTS, Fault  # noqa: E402
from rawserver import Connection, RawServer  # noqa: E402

import elsa_unscripted as elsa  # noqa: E402

AUDIO = (ROOT / "tests/data/wire/mono16k.wav").read_bytes()
AUDIO_SECONDS = 3.28
PATIENT = {"connect_timeout": 20.0, "timeout": 20.0, "close_timeout": 1.0, "bad_quality_grace": 0.2, "speed": 20.0}
IMPATIENT = {**PATIENT, "timeout": 0.5}
CANCELLED = 0.05  # of all exchanges are cancelled, at a random moment
LEFT_OVER_BYTES = 40 * 2**20  # that memory may grow by: allocators keep what threads have freed
GRACE = 5.0  # s beyond the promised bound: 2 cores run all of this, the servers included

SCENARIOS: Dict[str, Optional[Type[elsa.ElsaError]]] = {
    "success": None,
    "example": None,
    "early=2": None,
    "failed": elsa.ScoringFailedError,
    "bad-quality=closing": elsa.BadQualityError,
    "bad-quality=staying": elsa.BadQualityError,
    "paused": None,
    "unknown-status": None,
    "greeting-off": None,
    "slow=0.3": None,
    "drop-after=2": elsa.StreamClosedError,
    "close=1011": elsa.StreamClosedError,
    "401": elsa.AuthenticationError,
    "403": elsa.AuthenticationError,
    "429=99": elsa.RateLimitedError,
    "malformed": elsa.ProtocolError,
    "verdict-then-drop": None,
}


class Case(NamedTuple):
    """Something to try, and what must come of it."""

    name: str
    url: str
    token: str
    error: Optional[Type[BaseException]]
    phase: Optional[str]
    options: Dict[str, Any]


class Footprint(NamedTuple):
    """What the process holds."""

    threads: int
    descriptors: int
    memory: int

    @classmethod
    def now(cls) -> Footprint:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1]) if os.path.exists("/proc/self/statm") else 0
        descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        return cls(threading.active_count(), descriptors, pages * 4096)

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.descriptors} descriptors, {self.memory / 2**20:.0f} MiB"


def main() -> int:
    """Runs the soak; returns the exit status."""
    options = parse_arguments()
    random.seed(options.seed)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        cases = make_cases(*ours.recv())
        return soak(cases, options.seconds, options.jobs, options.table)
    finally:
        ours.send("stop")
        process.join(10)


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=50, help="exchanges at once; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices; default: %(default)s")
    parser.add_argument("--table", action="store_true", help="a line for each fault: outcome, how often, worst time")
    return parser.parse_args()


def serve(pipe: Pipe) -> None:
    """Runs the servers, in a process of their own."""
    from elsa_unscripted.sandbox import Sandbox

    def script(connection: Connection) -> None:
        try:
            number = int(connection.read_request().split(b" ", 2)[1].rpartition(b"/")[2])
            FAULTS[number].script(connection)
        finally:
            connection.frames.clear()

    class Forgetful(List[Connection]):
        """Keeps only the connections that still run: those are needed at the end, and all of them would fill memory."""

        def append(self, connection: Connection) -> None:
            self[:] = [kept for kept in self if not kept.over.is_set()]
            super().append(connection)

    with RawServer(script) as server, Sandbox(keep=10) as sandbox:
        server.connections = Forgetful()
        pipe.send((server.url, sandbox.url))
        pipe.recv()
        server.errors.clear()  # the scripts of faults.py take a cancelled exchange for an error


def make_cases(raw_url: str, sandbox_url: str) -> List[Case]:
    """Returns all there is to try."""
    cases = []
    for number, fault in enumerate(FAULTS):
        if fault.name == "a server that reads nothing":
            continue  # needs another recording; test_faults.py has it
        options = IMPATIENT if fault.error is elsa.ScoreTimeoutError else PATIENT
        cases.append(_case(fault, f"{raw_url}/{number}", options))
    for name, error in SCENARIOS.items():
        cases.append(Case(f"sandbox: {name}", sandbox_url, f"sandbox:{name}", error, None, PATIENT))
    return cases


def _case(fault: Fault, url: str, options: Dict[str, Any]) -> Case:
    # In which phase the half second ends depends on how busy the machine is.
    phase = None if fault.error is elsa.ScoreTimeoutError else fault.phase
    return Case(fault.name, url, "the-secret-token", fault.error, phase, {**options, **fault.options})


def soak(cases: List[Case], seconds: float, jobs: int, table: bool) -> int:
    """Tries cases at random until the time is over; prints what came of it, and returns the exit status."""
    outcomes: DefaultDict[str, Counter[str]] = defaultdict(Counter)
    worst: DefaultDict[str, float] = defaultdict(float)
    wrong: List[str] = []
    lock = threading.Lock()

    def work(ends: float) -> None:
        while time.monotonic() < ends:
            case = random.choice(cases)
            outcome, took, complaint = attempt(case)
            with lock:
                outcomes[case.name][outcome] += 1
                worst[case.name] = max(worst[case.name], took)
                if complaint:
                    wrong.append(f"{case.name}: {complaint}")

    def run(duration: float) -> Footprint:
        ends = time.monotonic() + duration
        with ThreadPoolExecutor(jobs) as pool:
            for job in [pool.submit(work, ends) for _ in range(jobs)]:
                job.result()
        return Footprint.now()

    print(f"{len(cases)} cases, {jobs} at once, {seconds:.0f} s", flush=True)
    start = run(min(10.0, seconds / 10))  # afterwards everything is imported and every pool has its full size
    print(f"  warm    {start}", flush=True)
    end = start
    for quarter in range(1, 5):
        end = run(seconds / 4)
        done = sum(sum(counter.values()) for counter in outcomes.values())
        print(f"  {quarter}/4     {end}; {done} exchanges, {len(wrong)} wrong", flush=True)
    if table:
        for name in outcomes:
            found = ", ".join(f"{outcome} × {count}" for outcome, count in outcomes[name].most_common())
            print(f"  {name:<48}{worst[name]:6.2f} s  {found}")
    total = sum(outcomes.values(), Counter())
    print("  " + ", ".join(f"{outcome} {count}" for outcome, count in total.most_common()))
    grown = (
        end.threads > start.threads
        or end.descriptors > start.descriptors
        or end.memory > start.memory + LEFT_OVER_BYTES
    )
    for complaint in wrong[:20]:
        print(f"  WRONG  {complaint}")
    print(f"{sum(total.values())} exchanges, {len(wrong)} wrong; {'GROWN' if grown else 'no growth'}")
    return 1 if wrong or grown else 0


def attempt(case: Case) -> Tuple[str, float, Optional[str]]:
    """Makes one exchange; returns the outcome, the seconds it took, and what is wrong with it."""
    timer: Optional[threading.Timer] = None
    began = time.monotonic()
    error: Optional[BaseException] = None
    with elsa.Client(case.token, url=case.url, **case.options) as client:
        if random.random() < CANCELLED:
            timer = threading.Timer(random.uniform(0, 0.5), client.cancel)
            timer.start()
        try:
            client.score(AUDIO)
        except Exception as caught:  # noqa: BLE001 - whatever it is, it is judged below
            error = caught
    took = time.monotonic() - began
    if timer is not None:
        timer.cancel()
        timer.join()
        if isinstance(error, elsa.ScoreCancelledError):
            return "ScoreCancelledError", took, None
    bound = sum(case.options[name] for name in ("connect_timeout", "timeout", "close_timeout"))
    checks: List[Tuple[Callable[[], bool], str]] = [
        (lambda: type(error) is (case.error or type(None)), f"{error!r}"),
        (
            lambda: case.phase is None or getattr(error, "phase", None) == case.phase,
            f"phase {getattr(error, 'phase', None)}",
        ),
        (lambda: took < bound + AUDIO_SECONDS / case.options["speed"] + GRACE, f"took {took:.1f} s"),
    ]
    complaint = next((text for check, text in checks if not check()), None)
    return "success" if error is None else type(error).__name__, took, complaint


if __name__ == "__main__":
    sys.exit(main())
