"""How the tests run, and what each is held to: it leaves no thread, socket or file behind."""

from __future__ import annotations

import compileall
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set

import pytest

DATA = Path(__file__).parent / "data"
DESCRIPTORS = "/proc/self/fd"
LEAVE_TIME = 5.0  # s; what is about to end has ended by then
ALONE = "ELSA_TESTS_ALONE"  # set in a process that runs a single test

PACKAGE = Path(__file__).parents[1] / "elsa_unscripted"

# What is imported is kept as bytecode, whatever the shell says: else each of some thousand processes would compile it.
# `full_disk()` turns that off: Python would keep a part of a file, on which every later process would fail.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Compiles the package, once for all processes; says how many examples Hypothesis tries, if a test doesn't say so.

    It may take its time for each of them, beyond 200 ms: the machine may be busy.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(PACKAGE, quiet=1)
    if config.pluginmanager.has_plugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("quick", deadline=None, max_examples=25)
        settings.register_profile("thorough", deadline=None, max_examples=100)  # for CI
        settings.load_profile("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Lets the processes that run the tests share the one that starts command lines for them."""
    if hasattr(os, "fork"):
        import prefork

        os.environ[prefork.SHARED] = prefork.start()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Returns how many processes `-n auto` is: more than cores, as tests mostly wait; 0 for a test by its name."""
    by_name = any("::" in argument for argument in config.args)
    return 0 if by_name else 4 * (os.cpu_count() or 1)


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keeps the collector of garbage from looking at the thousands of tests again and again while they are found."""
    gc.disable()
    yield
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Orders the tests so that each process begins with slow ones: one that begins last would prolong the whole run.

    The slow tests of a file go to one process, as they share a browser; so do those that import pandas. This relies on
    how xdist's `worksteal` deals: each process gets an equal part of the order, and the end of another's later.
    """
    processes: int = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    if processes == 1:
        return
    groups: Dict[str, List[pytest.Item]] = {}
    others: List[pytest.Item] = []
    for item in items:
        pandas = "pandas" in getattr(item, "fixturenames", ())
        is_early = pandas or any(item.get_closest_marker(name) for name in ("slow", "browser"))
        (groups.setdefault("pandas" if pandas else item.path.name, []) if is_early else others).append(item)
    total, end = len(items), 0
    items.clear()
    # The files with most slow tests first: such tests mostly wait, and others use the cores meanwhile.
    by_size = sorted(groups.values(), key=len, reverse=True)
    for number in range(processes):
        end += (total - end) // (processes - number)
        for tests in by_size[number::processes]:
            items += tests
        rest = max(0, end - len(items))
        items += others[:rest]
        del others[:rest]
    items += others


def pytest_collection_finish(session: pytest.Session) -> None:
    """From here on, the collector of garbage passes over the tests and modules that are there: that saves 7 % of CPU.

    `gc.get_referrers()` then doesn't find them, either. At its first test, where $CI is set, Hypothesis calls that for
    its random number generator, and fails if nobody seems to refer to it. So a first test is run here, before.
    """
    if session.config.pluginmanager.has_plugin("hypothesispytest"):
        from hypothesis import given, settings
        from hypothesis.strategies import none

        settings(max_examples=1, database=None)(given(none())(lambda _: None))()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> Optional[str]:
    """Names bytes and what is long by the argument: it would fill screens, and encoders don't always give the same."""
    is_long = isinstance(val, bytes) or (isinstance(val, (str, int)) and len(repr(val)) > 100)
    return argname if is_long else None


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Optional[bool]:
    """Runs some tests in a process of their own.

    Those that fork, because the process that runs the others may have threads and pipes. And those whose signals come
    at any moment, where coverage is measured: a signal while coverage.py holds its own lock would hang the process.
    """
    environment = {**os.environ, ALONE: "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if ALONE in os.environ:
        return None
    if pyfuncitem.get_closest_marker("interrupts") is not None and "coverage" in sys.modules:
        environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_PROCESS_")}
    elif pyfuncitem.get_closest_marker("forks") is None:
        return None
    # Only the plugins that setup.cfg has settings for: the others take a second to load.
    plugins = ["-p", "xdist.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert "1 passed in" in done.stdout, done.stdout
    return True


def descriptors() -> Set[str]:
    """Returns what is open, by what it is: sockets and files, not the library files that an import may map."""
    found = set()
    for name in os.listdir(DESCRIPTORS) if os.path.isdir(DESCRIPTORS) else ():
        try:
            found.add(f"{name} {os.readlink(f'{DESCRIPTORS}/{name}')}")
        except OSError:
            continue  # the listing's own descriptor
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fails a test that leaves a thread, a socket or a file behind."""
    threads, opened = set(threading.enumerate()), descriptors()
    yield
    # To collect garbage takes longer than most tests do, so it is done only where something seems to be left. That is
    # any descriptor, a pipe too: what this test's garbage holds must not be closed, with a warning, in a later test.
    if set(threading.enumerate()) <= threads and descriptors() <= opened:
        return
    guard = time.monotonic() + LEAVE_TIME
    while True:
        gc.collect()
        left = [thread.name for thread in threading.enumerate() if thread not in threads]
        left += [name for name in descriptors() - opened if "socket:" in name or ".wav" in name]
        if not left or time.monotonic() > guard:
            break
        time.sleep(0.01)
    assert not left


@pytest.fixture
def austen() -> Path:
    """24.73 s of read speech, 16 kHz mono 16 bit."""
    return DATA / "austen.wav"


@pytest.fixture
def short() -> Path:
    """The shortest of the recordings, one packet."""
    return DATA / "wire" / "short.wav"


@pytest.fixture
def speech() -> Path:
    """3.28 s, seven packets."""
    return DATA / "wire" / "mono16k.wav"


@pytest.fixture(scope="session")
def pandas() -> Any:
    """The package, imported where a test uses it: half a second, which every process would spend to find the tests."""
    import pandas

    return pandas
