"""The pytest plugin, in a project of its own: the wheel is installed, and pytest runs in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import PATIENCE, ROOT, SECOND, environment

from elsa_unscripted.sandbox import Sandbox

pytestmark = pytest.mark.slow  # to build the wheel takes seconds

SCENARIOS = '''
import asyncio
import os
import pytest
from elsa_unscripted import ScoringFailedError, score
from elsa_unscripted.sandbox import assert_sent

@pytest.fixture
def result(elsa_sandbox):
    return score("speech.wav", speed=None)

def test_fresh(elsa_sandbox, result):
    assert result.status == "success"
    assert len(elsa_sandbox.exchanges) == 1
    assert os.environ["ELSA_UNSCRIPTED_URL"] == elsa_sandbox.url
    assert os.environ["ELSA_API_TOKEN"] == "any-token"
    assert_sent(elsa_sandbox.exchanges[-1], "speech.wav")

def test_in_a_loop(elsa_sandbox):
    async def blocks():
        return score("speech.wav", speed=None)

    assert asyncio.run(blocks()).status == "success"

@pytest.mark.elsa(scenario="failed=too noisy")
def test_marker(elsa_sandbox):
    with pytest.raises(ScoringFailedError, match="too noisy"):
        score("speech.wav", speed=None)

@pytest.mark.elsa(scenario="example=42")
def test_marker_alone():
    assert round(score("speech.wav", speed=None).overall) == 42

@pytest.mark.elsa(scenario="example=42")
class TestClass:
    def test_class(self):
        assert round(score("speech.wav", speed=None).overall) == 42

    @pytest.mark.elsa(scenario="example=B1")
    def test_nearest_marker(self):
        assert score("speech.wav", speed=None).cefr == "B1"

@pytest.mark.elsa(scenarios="slow")
def test_unknown_word(elsa_sandbox):
    """fails"""

@pytest.mark.elsa(scenario="sloow")
def test_unknown_scenario(elsa_sandbox):
    """fails"""

@pytest.mark.elsa(scenario=5)
def test_wrong_type():
    """fails"""

def test_environment_is_as_before():
    assert "ELSA_UNSCRIPTED_URL" not in os.environ
'''

UNUSED = """
import sys

def test_nothing_is_imported():
    assert not {"elsa_unscripted", "websockets", "pydub"} & set(sys.modules)
"""

TAPES = """
import pytest
import unittest
from elsa_unscripted import score

def test_by_name(elsa_tape):
    assert score("speech.wav", speed=None).overall

@pytest.mark.parametrize("plan", ["standard", "premium"])
def test_parameters(elsa_tape, plan):
    assert score("speech.wav", api_plan=plan, speed=None).overall

@pytest.mark.parametrize("where", ["a/b", "a:b"])
def test_ids(elsa_tape, where):
    assert score("speech.wav", speed=None).overall

@pytest.mark.elsa(tape="tapes/shared.jsonl", allow_unplayed=True)
def test_shared_1():
    assert score("speech.wav", api_plan="standard", speed=None).overall

@pytest.mark.elsa(tape="tapes/shared.jsonl", allow_unplayed=True)
def test_shared_2(elsa_sandbox):
    assert score("speech.wav", api_plan="premium", speed=None).overall

@pytest.mark.elsa(tape="tapes/shared.jsonl")
def test_not_used_up(elsa_tape):
    assert score("speech.wav", speed=None).overall

@pytest.mark.elsa(tape="tapes/shared.jsonl")
class TestCase(unittest.TestCase):
    def test_unittest(self):
        for plan in ("standard", "premium", "standard"):
            assert score("speech.wav", api_plan=plan, speed=None).overall
"""


# What else the tests' own environment has for pytest: to load it takes longer than all else here.
OTHERS = ("hypothesispytest", "pytest_cov", "timeout")


class Run(NamedTuple):
    """What pytest said: the outcome of each test, and all that it wrote."""

    outcomes: dict[str, str]
    text: str


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; what the extra brings is in the tests' own environment."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "elsa_unscripted", source / "elsa_unscripted", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = source.glob("*.whl")
    shutil.unpack_archive(wheel, site, "zip")  # what pip does with a wheel of Python files
    return site


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    shutil.copy(SECOND, tmp_path / "speech.wav")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(project: Path, site: Path, *arguments: str, **variables: str) -> Run:
    paths = os.pathsep.join([variables.pop("first", ""), str(site)]).strip(os.pathsep)
    command = [sys.executable, "-m", "pytest", "-rA", "--strict-markers", "-p", "no:cacheprovider", "--color=no"]
    command += [word for name in OTHERS for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=environment(PYTHONPATH=paths, **variables),
        capture_output=True,
        timeout=PATIENCE,
        encoding="utf-8",
        check=False,
    )
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+?::(?:\w+::)?([\w\[\]]+)", done.stdout, re.MULTILINE)
    return Run({name: outcome for outcome, name in found}, done.stdout + done.stderr)


@pytest.mark.parametrize("how", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "xdist"])
def test_fixtures_and_marker(how: tuple[str, ...], project: Path, site: Path) -> None:
    """A sandbox for each test, as the nearest marker says; what the marker doesn't know is an error that lists it."""
    (project / "test_scenarios.py").write_text(SCENARIOS)
    outcomes, text = run(project, site, *how, ELSA_API_TOKEN="a-real-token-of-mine")
    wrong = {"test_wrong_type", "test_unknown_word", "test_unknown_scenario"}
    names = set(re.findall(r"def (test_\w+)", SCENARIOS))
    assert outcomes == {name: "ERROR" if name in wrong else "PASSED" for name in names}, text
    assert "the marker elsa takes scenario, greeting" in text
    assert "in the marker elsa, scenario must be str, not 5" in text
    assert "no such scenario; there are: success" in text


def test_what_the_readme_says(project: Path, site: Path) -> None:
    """The README's tests for pytest pass: first recorded, then replayed without the service."""
    text = (ROOT / "elsa_unscripted" / "sandbox" / "README.md").read_text(encoding="utf-8")
    (block,) = [code for code in re.findall(r"```python\n([\s\S]*?)```", text) if "import pytest" in code]
    (project / "test_block.py").write_text(block)
    with Sandbox("example") as service:
        variables = {"ELSA_UNSCRIPTED_URL": service.url, "ELSA_API_TOKEN": "a-real-token-of-mine"}
        outcomes, said = run(project, site, "--elsa-record=once", **variables)
        assert list(outcomes.values()) == ["PASSED"] * 4, said
    outcomes, said = run(project, site, **variables)
    assert list(outcomes.values()) == ["PASSED"] * 4, said


def test_it_costs_nothing_where_it_is_not_used(project: Path, site: Path) -> None:
    """Neither the package nor websockets is imported before a test asks for it."""
    (project / "test_unused.py").write_text(UNUSED)
    outcomes, text = run(project, site, "--trace-config")
    assert outcomes == {"test_nothing_is_imported": "PASSED"}, text
    assert f"<module 'pytest_elsa_unscripted' from '{site}" in text


def test_it_says_what_to_install(project: Path, site: Path) -> None:
    """Where websockets is missing, a test that asks for the sandbox is told the extra; others run."""
    (project / "shadow").mkdir()
    (project / "shadow" / "websockets.py").write_text("raise ImportError('none', name='websockets')")
    (project / "test_it.py").write_text("def test_one(elsa_sandbox): pass\ndef test_other(): pass\n")
    outcomes, text = run(project, site, first=str(project / "shadow"))
    assert outcomes == {"test_one": "ERROR", "test_other": "PASSED"}
    assert "pip install 'elsa-unscripted[sandbox]'" in text


def test_tapes_are_recorded_and_replayed(project: Path, site: Path) -> None:
    """`none` needs the tapes; `all` records them; `once` then asks nobody; a tape that isn't used up fails its test.

    Tests that share a tape record on it together, also in several processes.
    """
    (project / "test_tapes.py").write_text(TAPES)
    with Sandbox("example") as service:
        variables = {"ELSA_UNSCRIPTED_URL": service.url, "ELSA_API_TOKEN": "a-real-token-of-mine"}
        outcomes, text = run(project, site, **variables)
        assert set(outcomes.values()) == {"ERROR"}
        assert "record it: pytest --elsa-record=once" in text
        assert service.handshakes == 0

        outcomes, text = run(project, site, "--elsa-record=all", "-p", "xdist", "-n", "2", **variables)
        assert set(outcomes.values()) == {"PASSED"}, text
        assert service.handshakes == 11
        assert (project / "tapes" / "shared.jsonl").read_text().count('"begin"') == 6
        tapes = sorted(path.relative_to(project).as_posix() for path in project.rglob("*.jsonl"))
        assert tapes == [
            "tapes/shared.jsonl",
            "tapes/test_tapes/test_by_name.jsonl",
            *(f"tapes/test_tapes/test_ids[a_b]-{each}.jsonl" for each in ("83c3d79b", "d31240b3")),
            "tapes/test_tapes/test_parameters[premium].jsonl",
            "tapes/test_tapes/test_parameters[standard].jsonl",
        ]
        assert b"a-real-token" not in b"".join(path.read_bytes() for path in project.rglob("*.jsonl"))

        outcomes, text = run(project, site, "--elsa-record=once", "-p", "xdist", "-n", "2", **variables)
        failed = {name for name, outcome in outcomes.items() if outcome != "PASSED"}
        assert failed == {"test_not_used_up", "test_unittest"}, text
        assert "the test has not used up its tape; it left:\n  1.0 s of" in text.replace("E   ", "")
        assert service.handshakes == 11
