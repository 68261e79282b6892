"""Every code block of every README is run, in a folder that has what a reader would have there.

READMEs are those of the project and of its folders, found by their name. Python blocks run as files; those that need
Ray, hundreds of megabytes, or Django only where that is installed. Shell blocks run line by line, but for three kinds
of lines:

* `python3 scripts/…`, and the same in `.venv`, takes minutes or would rebuild everything: the script must exist, answer
  `--help`, and have the options given;
* `pip install` would change the environment: the extras that it names must be in `setup.cfg`;
* `elsa-unscripted sandbox` serves until it is interrupted: it must begin to;
* `elsa-unscripted live` listens for a second, to a virtual microphone, as Python blocks with a `Microphone` do.

Any other line runs in a shell; one that needs none, as it only starts `elsa-unscripted`, as other tests start it.

The one page, an `html` block, is opened in a browser by `test_recipe.py`, with the Python block that serves it.

A `text` block is the output of the block before it; of `elsa-unscripted doctor`, only the names are compared. A block
of any other language fails.
"""

from __future__ import annotations

import configparser
import contextlib
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
from commands import PATIENCE, ROOT, SCRIPT, SHORT, environment, interrupt, posix, run_forked, started
from microphones import MISSING, virtual_microphone

from elsa_unscripted.cli.statuses import EXIT_STATUSES
from elsa_unscripted.config import Config
from elsa_unscripted.sandbox import Sandbox

README = ROOT / "README.md"
READMES = [
    README,
    *(path for room in ("elsa_unscripted", "scripts", "tests") for path in (ROOT / room).rglob("README.md")),
]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(READMES)}
# Runs a block as `python -W error …` would; a forked command can't have that option.
STRICT = """
import runpy, warnings
warnings.simplefilter("error")
warnings.simplefilter("ignore", DeprecationWarning)
runpy.run_path("block.py", run_name="__main__")
"""
MOST_LINES = 200  # of the project's README: what is longer belongs in the README of the folder that it is about


class Block(NamedTuple):
    """A fenced block: where it begins, in what language it is, and what the README says that it prints."""

    file: str
    line: int
    language: str
    code: str
    output: str | None


def blocks() -> list[Block]:
    found: list[Block] = []
    for file, text in TEXTS.items():
        for match in re.finditer(r"^```(.*)\n([\s\S]*?)^```$", text, re.MULTILINE):
            line = text[: match.start()].count("\n") + 1
            if match[1] == "text" and found and found[-1].file == file and found[-1].output is None:
                found[-1] = found[-1]._replace(output=match[2])
            else:
                found.append(Block(file, line, match[1], match[2], None))
    return found


BLOCKS = blocks()


def in_language(language: str) -> pytest.MarkDecorator:
    """Gives a test each block of a language."""
    chosen = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: f"{block.file}:{block.line}")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with a recording, a token, the project's scripts, and commands of the tests' own environment."""
    shutil.copy(SHORT, tmp_path / "speech.wav")
    (tmp_path / "answers").mkdir()
    shutil.copy(SHORT, tmp_path / "answers")
    (tmp_path / "pupils.csv").write_text("pupil,path\nZoë,speech.wav\n", encoding="utf-8")
    (tmp_path / "token.txt").write_text("any-token\n")
    shutil.copytree(SCRIPT.parent, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests" / "data").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "data" / "austen.wav", tmp_path / "tests" / "data")
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
    with Sandbox("example") as sandbox:
        yield dict(environment(ELSA_API_TOKEN="any", ELSA_UNSCRIPTED_URL=sandbox.url, PATH=path, PYTHONPATH=modules))


def printed(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, timeout=PATIENCE, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_is_known() -> None:
    """No block is skipped: each opened fence is closed, and each language is one that a test runs."""
    for file, text in TEXTS.items():
        found = [block for block in BLOCKS if block.file == file]
        assert text.count("```") == 2 * (len(found) + sum(block.output is not None for block in found)), file
    assert {block.language for block in BLOCKS} == {"python", "shell", "html"}
    assert [block.file for block in BLOCKS if block.language == "html"] == ["elsa_unscripted/exchange/README.md"]


@pytest.mark.slow
@in_language("python")
def test_python_blocks_run(block: Block, folder: Path, variables: dict[str, str]) -> None:
    """Each Python block runs by itself, without a warning, and prints what the README says. Ray may be missing."""
    for package in ("ray", "django"):
        if f"import {package}" in block.code and find_spec(package) is None:
            compile(block.code, "block.py", "exec")  # Ray is as large as all the rest: try it by hand
            return
    (folder / "block.py").write_text(block.code, encoding="utf-8")
    (folder / "strict.py").write_text(STRICT, encoding="utf-8")
    with speech_for(block, variables):
        if hasattr(os, "fork") and '__name__ == "__main__"' not in block.code:
            done = run_forked(["strict.py"], variables, cwd=folder)
            assert done.status == 0, done.err
            out = done.out.decode()
        else:  # it starts processes, which import the program that has started them: that must be the block itself
            command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "block.py"]
            out = printed(command, folder, variables)
    assert out == (block.output or "")


@pytest.mark.slow
@posix
@in_language("shell")
def test_shell_blocks_run(block: Block, folder: Path, variables: dict[str, str]) -> None:
    """Each line of a shell block ends with status 0."""
    if block.output is not None:
        assert block.code.startswith("elsa-unscripted doctor"), "the output of other shell blocks isn't compared"
        assert report(printed(["sh", "-c", block.code], folder, variables)) == report(block.output)
        return
    with speech_for(block, variables):
        run_lines(block, folder, variables)


def report(text: str) -> list[str]:
    """Returns the names in what `doctor` prints, and whether all is well; the rest differs between machines."""
    return re.findall(r"^(?:(?:ok|warning|error|skipped) +(.{18})|(?:Ready|Not ready): )", text, re.MULTILINE)


def run_lines(block: Block, folder: Path, variables: dict[str, str]) -> None:
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words[0].endswith(("python", "python3")) and words[1].startswith("scripts/"):
            check_options(words[1:], variables)
        elif words[:2] == ["pip", "install"]:
            check_extras(words[2])
        elif words[:2] == ["elsa-unscripted", "sandbox"] and "--list" not in words:
            check_serving(words[2:])
        elif words[:2] == ["elsa-unscripted", "live"] and "--list-devices" not in words:
            printed([*words, "--max-seconds", "1"], folder, variables)
        elif "jq" in words and shutil.which("jq") is None:
            printed(["sh", "-c", line.partition("|")[0]], folder, variables)
        elif words[0] == "elsa-unscripted" and not re.search(r"[]|&;<>$*?~\\`[(){}]", line.partition(" #")[0]):
            done = run_forked(["-m", "elsa_unscripted", *words[1:]], variables, cwd=folder)
            assert done.status == 0, done.err
        else:
            printed(["sh", "-c", line], folder, variables)


@contextlib.contextmanager
def speech_for(block: Block, variables: dict[str, str]) -> Iterator[None]:
    """Lets somebody speak into a virtual microphone, for a block that listens to one."""
    if not re.search(r"\bMicrophone\(|elsa-unscripted live", block.code):
        yield
        return
    if MISSING:
        pytest.skip(f"no virtual microphone without {', '.join(MISSING)}")
    with virtual_microphone() as microphone, microphone.speaking():
        variables["PULSE_SERVER"] = microphone.server
        yield


def test_readme_is_short() -> None:
    """The project's README has fewer than 200 lines."""
    assert len(TEXTS["README.md"].splitlines()) < MOST_LINES


@pytest.mark.parametrize("file", TEXTS)
def test_links_lead_somewhere(file: str) -> None:
    """Each link within the project leads to a file, and to a heading that is in it."""
    for path, heading in re.findall(r"\]\((?!\w+:)([^)#]*)(?:#([^)]*))?\)", TEXTS[file]):
        target = (ROOT / file).parent / path if path else ROOT / file
        assert target.exists(), path
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]


def test_folders_are_linked() -> None:
    """The project's README links the README of each folder, but for that of the tests' data, which tests/ links."""
    links = {file for file in TEXTS if f"]({file}" in TEXTS["README.md"]}
    assert links == set(TEXTS) - {"README.md", "tests/data/README.md"}


def test_installing_names_extras_that_exist() -> None:
    """Also in running text, `pip install` names this package and its own extras."""
    named = [name for text in TEXTS.values() for name in re.findall(r"pip install ('?[^`'\s]+'?)", text)]
    assert named
    for requirement in named:
        check_extras(requirement.strip("'"))


def test_images_are_there_and_small() -> None:
    """Every image is a file of the repository, with words for those who can't see it."""
    images = []
    for file, text in TEXTS.items():
        markdown = re.findall(r"!\[(.*?)\]\((.*?)\)", text)
        html = [(words, path) for path, words in re.findall(r'<img src="(.*?)".* alt="(.*?)">', text)]
        assert len(html) == text.count("<img")
        images += [(words, (ROOT / file).parent / path) for words, path in markdown + html]
    assert {path.name for _, path in images} == {path.name for path in (ROOT / "scripts/screenshots").iterdir()}
    for words, path in images:
        assert len(words) > 20
        assert path.stat().st_size <= 120_000


def test_tests_that_are_named_exist() -> None:
    """The promises name tests, fixtures and files that there are."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py")}
    for name in re.findall(r"`(test_\w+(?:\.py)?|nothing_left)`", TEXTS["tests/README.md"]):
        assert name in sources or any(re.search(rf"def _?{name}\(", text) for text in sources.values()), name


def test_rooms_that_are_named_exist() -> None:
    """The table for contributors names files and folders of the package that there are."""
    table = section("README.md", "## Contributing").partition("| --- |")[2]
    named = re.findall(r"`([\w/]+(?:/|\.py))`", table)
    assert len(named) > 10
    for path in named:
        assert (ROOT / "elsa_unscripted" / path).exists(), path


def test_options_are_all_there() -> None:
    """The table of options has every option of `Config`, and no other but the two callbacks."""
    table = section("elsa_unscripted/exchange/README.md", "## Options")
    names = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert set(names) == {*Config.__dataclass_fields__, "on_status", "on_progress"}


def test_exit_statuses_are_those_of_help() -> None:
    """The table of exit statuses has those that `--help` tells."""
    table = section("elsa_unscripted/cli/README.md", "## Exit statuses")
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == re.findall(r"^  (\d+) ", EXIT_STATUSES, re.MULTILINE)


def section(file: str, title: str) -> str:
    """Returns what stands under a heading of the second level."""
    return TEXTS[file].partition(f"\n{title}\n")[2].partition("\n## ")[0]


def check_options(words: list[str], variables: dict[str, str]) -> None:
    usage = printed([sys.executable, words[0], "--help"], ROOT, variables)
    assert usage.startswith("usage: ")
    for word in words[1 : words.index("--") if "--" in words else None]:
        assert not word.startswith("-") or re.search(rf"^ +{word}\b", usage, re.MULTILINE), f"{words[0]} has no {word}"


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
