"""What the scripts may use of the package and of the tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE, ROOT, SHORT, environment

import elsa_unscripted

SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))
OF_TESTS = {path.stem for path in (ROOT / "tests").glob("*.py")}


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yields each imported module, and the names that are imported from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", [alias.name for alias in node.names]


def test_what_is_taken_from_tests_is_told() -> None:
    """A script that imports a module of tests/ names it in its docstring."""
    takers = {}
    for path in SCRIPTS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        taken = {module for module, _ in imports(tree)} & OF_TESTS
        if taken:
            takers[path.name] = taken
            about = ast.get_docstring(tree) or ""
            assert "tests/" in about, path
            assert [module for module in taken if f"`{module}`" not in about] == [], path
    assert set(takers) == {"calibrate_check.py", "fuzz_audio.py", "screenshots.py", "soak.py"}


@pytest.mark.slow
def test_the_demo_ends_with_scores_and_a_page(tmp_path: Path) -> None:
    """It tells the statuses as they come, that all is made up, the scores, and where the page with the sound is."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import argparse, demo; "
        f"sys.exit(demo.demo(argparse.Namespace(audio={SHORT!r}, token=None, open=False)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        timeout=PATIENCE,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = iter(done.stdout.splitlines())
    assert "A page:" not in done.stdout
    for text in ("made up", "< processing, ", "< success", "Overall", "Transcript", "demo.html", "What to try next"):
        assert any(text in line for line in told), done.stdout
    page = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert "made up" in page
    assert "UklGR" in page  # RIFF, in base64: the recording itself


def test_the_benchmark_uses_public_names() -> None:
    """All that the benchmark imports of the package is public, so that it also measures older and newer versions."""
    imported = [
        (module, name)
        for path in SCRIPTS
        if path.parent.name == "benchmark"
        # Some of its programs are text, which it runs with `python -c`.
        for tree in (ast.parse(path.read_text(encoding="utf-8")), *programs(path.read_text(encoding="utf-8")))
        for module, names in imports(tree)
        if module.split(".")[0] == "elsa_unscripted"
        for name in names or [""]
    ]
    assert imported
    assert {module for module, _ in imported} == {"elsa_unscripted"}
    assert {name for _, name in imported if name} <= set(elsa_unscripted.__all__)


def programs(source: str) -> Iterator[ast.AST]:
    """Yields the programs that a module holds as text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                yield ast.parse(node.value)
            except SyntaxError:
                continue  # a sentence about imports
