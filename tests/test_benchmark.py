"""The benchmark runs and reports. What it measures is no matter for a test."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
from commands import ROOT, Finished, posix, run

BENCHMARK = str(ROOT / "scripts" / "benchmark")
CHEAPEST = ("max-speed", "peak")

# It counts memory and context switches with Unix's `resource`.
pytestmark = [posix, pytest.mark.slow]


def benchmark(*arguments: str) -> Finished:
    return run(sys.executable, BENCHMARK, *arguments)


def test_json_has_the_rows() -> None:
    """`--json` gives the chosen rows, with positive numbers in order, and what they depend on."""
    done = benchmark("--quick", "--json", "--only", *CHEAPEST)
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["not measured"] == []
    assert re.search(r"\d cores, [\d.]+ GB$", found["head"]["machine"])
    assert {"python", "packages", "load average before", "load average after", "date"} < set(found["head"])
    assert [line["row"] for line in found["lines"]] == ["max-speed", "peak", "peak"]
    for line in found["lines"]:
        assert 0 < line["median"] <= line["p99"] <= line["worst"] < math.inf
        assert line["ratio"] > 0


def test_table_has_the_rows() -> None:
    """The table has a head, then each line under its columns, in 100 columns."""
    done = benchmark("--quick", "--only", "verdict")
    assert done.status == 0, done.err
    lines = done.out.decode().splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert [line.split()[0] for line in lines[:5]] == ["machine", "python", "packages", "load", "date"]
    assert lines[6].split() == ["median", "p99", "worst", "×", "bare", "target"]
    assert re.fullmatch(r"verdict on the wire → score\(\) returned +([\d.,]+ +){3}ms +[\d.]+  p99 ≤ 3", lines[7])
    assert lines[8].split() == ["threads", "left,", "in", "100", "calls", "0", "none"]


def test_rows_on_live_speech() -> None:
    """Speech as it is spoken is pushed and pulled, from one thread and from many, and none of it is lost."""
    done = benchmark("--quick", "--json", "--only", "end-of-speech", "one-thread")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["not measured"] == []
    lines = {line["what"].strip(): line for line in found["lines"]}
    assert lines.pop("lost")["median"] == 0
    assert len(lines) == 8
    assert all(0 < line["median"] < math.inf for line in lines.values())
    assert [line["ratio"] is not None for line in lines.values()] == [
        *(True, True, False, True, True, True, False, False)
    ]


def test_list_names_every_row() -> None:
    """`--list` names the rows that `--only` takes; another name is a usage error that names them."""
    listed = [line.split()[0] for line in benchmark("--list").out.decode().splitlines()]
    assert set(CHEAPEST) < set(listed)
    wrong = benchmark("--only", "nothing")
    assert wrong.status == 2
    assert all(name in wrong.err for name in listed)


def test_row_that_fails_is_named(tmp_path: Path) -> None:
    """A row that can't be measured is named, the others are measured, and the exit status is 1."""
    package = tmp_path / "elsa_unscripted"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('broken')\n")
    done = benchmark("--quick", "--json", "--only", "max-speed", "help", "--package", str(package.parent))
    assert done.status == 1
    assert json.loads(done.out)["not measured"] == ["help", "max-speed"]
    assert "RuntimeError: broken" in done.err
    assert "could not be measured: help, max-speed" in done.err
