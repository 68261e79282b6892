"""Every code block of the README is run, in order, in a folder that has what a reader would have there.

Python blocks run as files; the one that needs Ray, hundreds of megabytes, only where that is installed. Shell blocks
run line by line, but for three kinds of lines:

* `python3 scripts/check.py` and `demo.py` would rebuild everything: they must exist and answer `--help` to the
  options given;
* `pip install` would change the environment: the extras that it names must be in `setup.cfg`;
* `elsa-unscripted sandbox` serves until it is interrupted: it must begin to.

A `text` block is the output of the block before it. A block of any other language fails.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import PATIENCE, ROOT, SCRIPT, SHORT, environment, interrupt, posix, started

from elsa_unscripted.cli.statuses import EXIT_STATUSES
from elsa_unscripted.config import Config
from elsa_unscripted.sandbox import Sandbox

README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block: where it begins, in what language it is, and what the README says that it prints."""

    line: int
    language: str
    code: str
    output: str | None


def blocks() -> list[Block]:
    found: list[Block] = []
    for match in re.finditer(r"^```(.*)\n([\s\S]*?)^```$", README, re.MULTILINE):
        line = README[: match.start()].count("\n") + 1
        if match[1] == "text" and found and found[-1].output is None:
            found[-1] = found[-1]._replace(output=match[2])
        else:
            found.append(Block(line, match[1], match[2], None))
    return found


BLOCKS = blocks()


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with a recording, a token, the project's scripts, and commands of the tests' own environment."""
    shutil.copy(SHORT, tmp_path / "speech.wav")
    (tmp_path / "answers").mkdir()
    shutil.copy(SHORT, tmp_path / "answers")
    (tmp_path / "pupils.csv").write_text("pupil,path\nZoë,speech.wav\n", encoding="utf-8")
    (tmp_path / "token.txt").write_text("any-token\n")
    shutil.copytree(SCRIPT.parent, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, module in (("python3", ""), ("elsa-unscripted", "-m elsa_unscripted")):
        (commands / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        (commands / name).chmod(0o755)
    return tmp_path


@pytest.fixture(name="variables")
def _variables(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader who has a token, and a sandbox in place of the service."""
    path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
    modules = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with Sandbox() as sandbox:
        yield dict(environment(ELSA_API_TOKEN="any", ELSA_UNSCRIPTED_URL=sandbox.url, PATH=path, PYTHONPATH=modules))


def printed(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, timeout=PATIENCE, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_known() -> None:
    """No block is skipped: each opened fence is closed, and each language is one that a test runs."""
    assert README.count("\n```") == 2 * (len(BLOCKS) + sum(block.output is not None for block in BLOCKS))
    assert {block.language for block in BLOCKS} == {"python", "shell"}


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: f"line-{block.line}")
def test_python_blocks_run(block: Block, folder: Path, variables: dict[str, str]) -> None:
    """Each Python block runs by itself, without a warning, and prints what the README says. Ray may be missing."""
    if "import ray" in block.code and find_spec("ray") is None:
        compile(block.code, "block.py", "exec")  # Ray is as large as all the rest: try it by hand
        return
    (folder / "block.py").write_text(block.code, encoding="utf-8")
    out = printed([sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "block.py"], folder, variables)
    assert out == (block.output or "")


@pytest.mark.slow
@posix
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "shell"], ids=lambda block: f"line-{block.line}")
def test_shell_blocks_run(block: Block, folder: Path, variables: dict[str, str]) -> None:
    """Each line of a shell block ends with status 0."""
    assert block.output is None, "the output of shell blocks isn't compared"
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] in (["python3", "scripts/check.py"], ["python3", "scripts/demo.py"]):
            assert "usage:" in printed([sys.executable, *words[1:], "--help"], ROOT, variables)
        elif words[:2] == ["pip", "install"]:
            check_extras(words[2])
        elif words[:2] == ["elsa-unscripted", "sandbox"] and "--list" not in words:
            check_serving(words[2:])
        elif "jq" in words and shutil.which("jq") is None:
            printed(["sh", "-c", line.partition("|")[0]], folder, variables)
        else:
            printed(["sh", "-c", line], folder, variables)


def test_installing_names_extras_that_exist() -> None:
    """Also in running text, `pip install` names this package and its own extras."""
    named = re.findall(r"pip install ('?[^`'\s]+'?)", README)
    assert named
    for requirement in named:
        check_extras(requirement.strip("'"))


def test_images_are_there_and_small() -> None:
    """Every image is a file of the repository, with words for those who can't see it."""
    images = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert images
    for words, path in images:
        assert len(words) > 20
        assert (ROOT / path).stat().st_size <= 120_000


def test_options_are_all_there() -> None:
    """The table of options has every option of `Config`, and no other but the two callbacks."""
    table = README.partition("## Options")[2].partition("## Errors")[0]
    names = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert set(names) == {*Config.__dataclass_fields__, "on_status", "on_progress"}


def test_exit_statuses_are_those_of_help() -> None:
    """The table of exit statuses has those that `--help` tells."""
    table = README.partition("## Exit statuses")[2].partition("## ")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == re.findall(r"^  (\d+) ", EXIT_STATUSES, re.MULTILINE)


def check_extras(requirement: str) -> None:
    match = re.fullmatch(r"(\.|elsa-unscripted)(?:\[([\w,]+)\])?", requirement)
    assert match, requirement
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert set((match[2] or "formats").split(",")) <= set(setup["options.extras_require"])


def check_serving(arguments: list[str]) -> None:
    with started(sys.executable, "-m", "elsa_unscripted", "sandbox", "--port", "0", *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"The sandbox listens on ws://127.0.0.1:")
        assert interrupt(process).status == 130
