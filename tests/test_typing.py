"""What type checkers find in `data/typed.txt`, the code of a user: each mistake, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE, ROOT

TYPED = ROOT / "tests" / "data" / "typed.txt"
MISTAKE = "  # E"
# Type checkers say the same under each Python. pyright and its node take 240 MB, so they are installed under one alone.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("pyright") is None, reason="requirements.txt has pyright for Python 3.11 alone"
    ),
]


@pytest.fixture(name="user")
def _user(tmp_path: Path) -> Path:
    """A folder with the user's file."""
    (tmp_path / "typed.py").write_text(TYPED.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def mistakes() -> list[int]:
    """Returns the lines with a mistake."""
    lines = TYPED.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith(MISTAKE)]


def checked(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        timeout=PATIENCE,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_mypy_finds_each_mistake(user: Path) -> None:
    """In strict mode: a misspelt option, one of a wrong type, a field that isn't there; and no line that is right."""
    kept = ROOT / ".mypy_cache" / "user"  # so that only the first run of the tests reads all the libraries
    options = ("--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={kept}")
    out = checked(user, "mypy", *options, "typed.py")
    found = {int(line.split(":")[1]) for line in out.splitlines() if ": error: " in line}
    assert sorted(found) == mistakes(), out


def test_pyright_finds_each_mistake(user: Path) -> None:
    """So does pyright in strict mode, which needs no network for it."""
    settings = {
        "include": ["typed.py"],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "reportUnusedExpression": False,
    }
    (user / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    out = checked(user, "pyright", "--pythonpath", sys.executable, "--outputjson")
    found = json.loads(out)["generalDiagnostics"]
    assert sorted({each["range"]["start"]["line"] + 1 for each in found}) == mistakes(), out
