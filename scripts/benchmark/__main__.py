"""Measures the client, against a lean server in a process of its own, and prints a table.

It reports; it doesn't judge. "× bare" is the ratio of the medians to a bare loop: the same exchange with
websocket-client alone, in the same run. The target is what the project wants on 2 shared cores. Needs only Python, and
PyPI the first time, when nothing is installed yet and it makes .venv. Leave the machine alone meanwhile. With --package
it measures the client of another checkout, an older one too: it uses only the public names of the package.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Optional

from line import Line
from rows import ROWS

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # for scripts/_venv.py: Python itself adds only scripts/benchmark

import _venv  # noqa: E402
from _venv import ROOT, VENV, program  # noqa: E402

PACKAGES = ("websocket-client", "pydub", "av")  # whose versions the results depend on
COLUMNS = 100


def main() -> int:
    """Runs the benchmark; returns the exit status: 0, or 1 if a row could not be measured."""
    options = parse_arguments()
    try:
        if importlib.util.find_spec("websocket") is None or importlib.util.find_spec("pydub") is None:
            return rerun_in_venv()
        return benchmark(options)
    except _venv.CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's options; with `--list`, prints the rows and exits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, shorter and fewer streams")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ROWS, help="these rows; see --list")
    parser.add_argument("--list", action="store_true", help="the rows, and about how long each takes")
    parser.add_argument("--json", action="store_true", help="the same as data")
    parser.add_argument(
        "--package", metavar="DIR", type=Path, default=ROOT, help="where elsa_unscripted lies; default: this checkout"
    )
    options = parser.parse_args()
    if options.list:
        for name, row in ROWS.items():
            print(f"{name:<14}{row.about:<44}{row.seconds:>4.0f} s, quick {row.quick_seconds:>3.0f} s")
        parser.exit()
    if not (options.package / "elsa_unscripted").is_dir():
        parser.error(f"no elsa_unscripted in {options.package}")
    return options


def rerun_in_venv() -> int:
    """Runs this script again where the packages are installed; returns the exit status."""
    if not _venv.is_current(VENV, *_venv.DEVELOPMENT):
        with contextlib.redirect_stdout(sys.stderr):
            _venv.make(VENV, *_venv.PACKAGE)
    return subprocess.call([program(VENV, "python"), str(HERE), *sys.argv[1:]])


def benchmark(options: argparse.Namespace) -> int:
    """Measures the rows and prints what comes; returns the exit status."""
    found = head(options.package)
    used_before = machine_seconds()
    lines = []
    failed = []
    if not options.json:
        print_facts(found)
        print(f"\n{'':<45}{'median':>7}{'p99':>7}{'worst':>7}  {'':<3}{'× bare':>7}  target")
    for name, row in ROWS.items():
        if options.only and name not in options.only:
            continue
        seconds = row.quick_seconds if options.quick else row.seconds
        task = f"{row.about} (about {seconds:.0f} s) …"
        announce(task)
        try:
            for line in measure(name, options.quick, seconds, options.package):
                lines.append({"row": name, **line._asdict()})
                announce("")
                if not options.json:
                    print_line(line)
                announce(task)
        except _venv.CommandError as error:
            failed.append(name)
            announce("")
            print(error, file=sys.stderr)
    announce("")
    after = {"load average after": load_average(), "stolen by the host": stolen(used_before, machine_seconds())}
    if options.json:
        print(
            json.dumps(
                {"head": {**found, **after}, "lines": lines, "not measured": failed}, indent=2, ensure_ascii=False
            )
        )
    else:
        print()
        print_facts(after)
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, quick: bool, seconds: float, package: Path) -> Iterator[Line]:
    """Measures a row in a process of its own; yields its lines as they come.

    Raises:
        CommandError: It failed, or took far longer than it should.
    """
    command = [sys.executable, str(HERE / "rows.py"), name, "quick" if quick else "full"]
    path = os.pathsep.join(filter(None, [str(package.resolve()), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1"}
    # In `package`, because `python -c` and `python -m`, which some rows run, look in the current directory first.
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=package, env=environment, encoding="utf-8") as process:
        assert process.stdout is not None
        guard = threading.Timer(5 * seconds + 60, process.kill)
        guard.start()
        try:
            for text in process.stdout:
                yield Line(**json.loads(text))
        except BaseException:
            process.kill()
            raise
        finally:
            guard.cancel()
    if process.returncode:
        raise _venv.CommandError(command, f"exit status {process.returncode}")


# Printing.


def announce(task: str) -> None:
    """Says on a terminal what is going on. The next call, or the next line of the table, overwrites it."""
    if sys.stderr.isatty():
        print(f"{task:<{COLUMNS - 1}}\r", end="", file=sys.stderr, flush=True)


def head(package: Path) -> dict[str, Any]:
    """Returns what the numbers depend on: machine, versions, load."""
    return {
        "machine": machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}",
        "packages": ", ".join([f"elsa_unscripted {revision(package)}", *map(installed, PACKAGES)]),
        "load average before": load_average(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def machine() -> str:
    """Returns the processor, the cores that this process may use, and the memory."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{model}, {cores} cores, {memory / 1e9:.1f} GB"


def revision(package: Path) -> str:
    """Returns the commit that is measured."""
    try:
        return _venv.run(["git", "describe", "--always", "--dirty"], cwd=package).strip()
    except (_venv.CommandError, OSError):
        return str(package)


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def load_average() -> str:
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def machine_seconds() -> dict[str, float]:
    """Returns how long all cores together have done what (see proc_stat(5)); empty if this isn't Linux."""
    kinds = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    with contextlib.suppress(OSError), open("/proc/stat", encoding="ascii") as file:
        return dict(zip(kinds, (int(jiffies) / os.sysconf("SC_CLK_TCK") for jiffies in file.readline().split()[1:])))
    return {}


def stolen(before: dict[str, float], after: dict[str, float]) -> str:
    """Returns in which share of its busy time this virtual machine had to wait for its host's processor."""
    spent = {kind: after[kind] - before[kind] for kind in after}
    busy = sum(spent.values()) - spent.get("idle", 0.0) - spent.get("iowait", 0.0)
    return f"{spent['steal'] / busy:.0%} of the time that was asked for" if busy else "unknown"


def print_facts(found: dict[str, Any]) -> None:
    for name, value in found.items():
        print(textwrap.fill(f"{name:<20}{value}", COLUMNS, subsequent_indent=" " * 20))


def print_line(line: Line) -> None:
    """Prints a line of the table."""
    numbers = "".join(f"{shown(value):>7}" for value in (line.median, line.p99, line.worst))
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    other = f"× {line.against}" if line.ratio is not None and line.against != "bare loop" else ""
    print(f"{line.what:<45}{numbers}  {line.unit:<3}{ratio:>7}  {line.target or other}".rstrip(), flush=True)
    if line.note:
        print(textwrap.fill(line.note, COLUMNS, initial_indent="    ", subsequent_indent="    "), flush=True)


def shown(value: Optional[float]) -> str:
    """Returns a number with three digits or so."""
    if value is None:
        return ""
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
