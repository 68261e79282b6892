"""Many streams at once, in a process of their own, for the benchmark's rows about many streams.

`run()` starts the process and returns what the process measured of itself. The server records when packets came.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Optional

from audio import AUSTEN
from memory import resident

TOKEN = "any-token"
PATIENCE = 400.0  # s: a hang guard


@dataclasses.dataclass(frozen=True)
class Load:
    """What to do.

    Attributes:
        url: Where to.
        path: The recording; each stream reads it anew.
        streams: How many.
        ramp: Seconds in which they are started, evenly.
        bare: Whether by the bare loop.
        speed: Seconds of audio that each sends in a second.
        samples: Seconds after the start at which to look at the process. After the last of them the process ends, even
            if streams still run.
    """

    url: str
    path: str
    streams: int
    ramp: float = 1.0
    bare: bool = False
    speed: float = 1.0
    samples: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the process had used at a moment.

    Attributes:
        cpu: Seconds.
        voluntary: Context switches, of all threads, because they waited.
        involuntary: Context switches because another thread or process was to run.
        memory: Bytes that were resident.
    """

    cpu: float
    voluntary: int
    involuntary: int
    memory: int

    @classmethod
    def now(cls) -> Sample:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(used.ru_utime + used.ru_stime, used.ru_nvcsw, used.ru_nivcsw, resident())


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        samples: The first is taken at the start, after the imports and a first exchange. Then those that `Load.samples`
            asks for follow, or one at the end.
        errors: How often each error ended a stream.
    """

    samples: list[Sample]
    errors: dict[str, int]


def run(load: Load) -> Outcome:
    """Runs a load to its end.

    Raises:
        subprocess.SubprocessError: It failed, or took too long.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(dataclasses.asdict(load))]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True, encoding="utf-8")
    found = json.loads(done.stdout)
    return Outcome([Sample(**sample) for sample in found["samples"]], found["errors"])


# The process.


def main() -> None:
    load = Load(**json.loads(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    exchange = _bare(load.url) if load.bare else _ours(load.url)
    exchange(str(AUSTEN), None)
    samples = [Sample.now()]
    errors: Counter[str] = Counter()

    def stream() -> None:
        try:
            exchange(load.path, load.speed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            errors[f"{type(error).__name__}: {error}"] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=stream, daemon=True) for _ in range(load.streams)]
    for number, thread in enumerate(threads):
        time.sleep(max(0.0, began + number * load.ramp / load.streams - time.monotonic()))
        thread.start()
    for moment in load.samples:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        samples.append(Sample.now())
    if not load.samples:
        for thread in threads:
            thread.join()
        samples.append(Sample.now())
    print(json.dumps({"samples": [dataclasses.asdict(sample) for sample in samples], "errors": errors}), flush=True)
    os._exit(0)  # streams that still run are not waited for


def _ours(url: str) -> Callable[[str, Optional[float]], object]:
    from elsa_unscripted import score

    return lambda path, speed: score(path, TOKEN, url=url, speed=speed)


def _bare(url: str) -> Callable[[str, Optional[float]], object]:
    import bare

    return lambda path, speed: bare.exchange(url, Path(path), speed)


if __name__ == "__main__":
    main()
