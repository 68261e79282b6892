"""Checks everything that must hold before a change lands. CI runs it too.

Formatting, lint, types, the packages that would be published, and the tests. Needs only Python, and PyPI the first
time, when it makes .venv.
"""

from __future__ import annotations

import argparse
import configparser
import glob
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import _venv
from _venv import ROOT, VENV, VENVS, CommandError, Python, program, run, step

SUPPORTED = ("3.9", "3.10", "3.11", "3.12", "3.13")
OLDEST_WEBSOCKET_CLIENT = "websocket-client==1.8.0"  # the oldest that setup.cfg admits

# In the wheel's environment: what a plain `pip install elsa-unscripted` can import, and what it must do without.
PROBE = """
from importlib.util import find_spec
import elsa_unscripted, elsa_unscripted.cli
extras = [name for name in ("av", "jinja2", "websockets") if find_spec(name)]
assert not extras, f"installed though only extras need them: {extras}"
"""
# Whether an interpreter can make an environment; some of pyenv's `python3.X` only say that they can't run.
ASK_VERSION = "import ensurepip, platform, venv; print(platform.python_version())"


class Suite(NamedTuple):
    """The tests in an environment beside the usual one."""

    title: str
    venv: Path
    python: Python
    requirements: tuple[str, ...]


def main() -> int:
    """Runs the checks; returns the exit status."""
    options = parse_arguments()
    try:
        check(options.all_pythons, options.pytest_argument)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        usage="%(prog)s [-h] [--all-pythons] [-- PYTEST_ARGUMENT ...]",
        epilog="Part of the tests: check.py -- --no-cov -k wire",
    )
    parser.add_argument(
        "--all-pythons",
        action="store_true",
        help=f"run the tests also under each of Python {', '.join(SUPPORTED)} that is installed, "
        f"and under {OLDEST_WEBSOCKET_CLIENT}",
    )
    parser.add_argument("pytest_argument", nargs="*", metavar="PYTEST_ARGUMENT", help="passed on to pytest")
    return parser.parse_args()


def check(all_pythons: bool, pytest_arguments: list[str]) -> None:
    """Runs every check; the tests come last, so that pytest has the last word.

    Raises:
        CommandError: A check failed.
    """
    _venv.make(VENV, *_venv.DEVELOPMENT)
    python = program(VENV, "python")
    with step("formatting (ruff format)"):
        run([python, "-m", "ruff", "format", "--check"])
    with step("lint (ruff check)"):
        run([python, "-m", "ruff", "check", "--quiet"])
    with step("types (mypy --strict)"):
        run([python, "-m", "mypy"])
    check_packages(python)
    if all_pythons:
        run_other_suites(pytest_arguments)
    run([python, "-m", "pytest", "--cov", *pytest_arguments], live=True)


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
            wheel_python = program(venv, "python")
            install = ["install", "--quiet", "--force-reinstall", "--no-deps", "--no-index", str(wheel)]
            run([wheel_python, "-m", "pip", *install])
            run([wheel_python, "-m", "pip", "check"])
            # Elsewhere and isolated, or the checkout would be imported.
            run([wheel_python, "-I", "-c", PROBE], cwd=Path(directory))
            run([program(venv, "elsa-unscripted"), "--version"], cwd=Path(directory))


def runtime_requirements() -> list[str]:
    """Returns what setup.cfg says that the package needs; `pip check` compares it with the wheel's own word."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup["options"]["install_requires"].strip().splitlines()


def check_contents(wheel: Path) -> None:
    """Compares a wheel with the package's directory: all of it but the READMEs, and nothing else, such as tests."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path.relative_to(ROOT) for path in (ROOT / "elsa_unscripted").rglob("*") if path.is_file())
    present = {path.as_posix() for path in files if "__pycache__" not in path.parts and path.name != "README.md"}
    if packed != present:
        different = " ".join(sorted(packed ^ present))
        raise CommandError(["build", wheel.name], f"either in the wheel or in elsa_unscripted/: {different}")


def run_other_suites(pytest_arguments: list[str]) -> None:
    """Runs the tests in every other environment, two at a time, and says which interpreters are missing."""
    suites, missing = find_suites()
    for suite in suites:
        _venv.make(suite.venv, *suite.requirements, python=suite.python)
    with step(f"tests in {len(suites)} more environments"), ThreadPoolExecutor(max_workers=2) as pool:
        outputs = list(pool.map(lambda suite: run_suite(suite, pytest_arguments), suites))
    for suite, output in zip(suites, outputs):
        print(f"  {suite.title:<58}{output.rstrip().splitlines()[-1].strip('= ')}", flush=True)
    if missing:
        print(f"\n  NOT FOUND, SO NOT TESTED: Python {', '.join(missing)}\n", flush=True)


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
            suites.append(Suite(f"Python {python.version}", VENVS / version, python, _venv.DEVELOPMENT))
    oldest = (*_venv.DEVELOPMENT, OLDEST_WEBSOCKET_CLIENT)
    venv = VENVS / OLDEST_WEBSOCKET_CLIENT.replace("==", "-")
    suites.append(Suite(OLDEST_WEBSOCKET_CLIENT, venv, _venv.THIS_PYTHON, oldest))
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


def run_suite(suite: Suite, pytest_arguments: list[str]) -> str:
    """Runs the tests in an environment; returns what pytest printed."""
    # No cache: suites that run at once would write to the same one. What a browser shows doesn't depend on Python.
    command = [program(suite.venv, "python"), "-m", "pytest", "-p", "no:cacheprovider", "-m", "not browser"]
    return run([*command, *pytest_arguments])


if __name__ == "__main__":
    sys.exit(main())
