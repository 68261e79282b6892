"""The check in conftest.py that no test leaves anything behind: what it reports, and what it passes over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE, environment

TESTS = Path(__file__).resolve().parent

pytestmark = pytest.mark.slow  # each starts pytest in a process of its own
linux = pytest.mark.skipif(sys.platform != "linux", reason="the check looks for descriptors in /proc")

BEGIN = """
import conftest, gc, os, socket, threading, time, weakref

gc.disable()  # whatever is collected is collected by the check
kept = []

class Cycle:
    def __init__(self, held):
        self.held, self.cycle = held, self

def wav(folder, name="speech.wav"):
    (folder / name).write_bytes(b"RIFF")
    return open(folder / name, "rb")
"""

SOON = "conftest.LEAVE_TIME = 0.1"  # what these tests leave doesn't end by itself


def outcomes(code: str, folder: Path) -> str:
    """Runs the tests in `code` beside conftest.py, one after the other; returns what pytest printed."""
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_it.py").write_text(BEGIN + code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-v", "-W", "error", "-c", os.devnull, "--rootdir", "."]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout


def told(printed: str, test: str) -> str:
    """Returns what went wrong at the end of a test, in the lines of pytest's report that say so."""
    report = printed.partition(f" ERROR at teardown of {test} ")[2]
    section = re.split(r"^_+ ", report, maxsplit=1, flags=re.MULTILINE)[0]
    return "\n".join(line for line in section.splitlines() if line.startswith("E "))


@linux
def test_what_is_left_is_reported(tmp_path: Path) -> None:
    """A thread, a socket or a .wav file that a test leaves is named, at this test and at no later one."""
    leave = {
        "socket:": "kept.append(socket.socket())",
        "speech.wav": "kept.append(wav(tmp_path))",
        "straggler": "threading.Thread(target=time.sleep, args=(7,), name='straggler', daemon=True).start()",
    }
    code = [
        f"def test_leaves_{number}(tmp_path):\n    {line}\n\ndef test_after_{number}():\n    pass\n"
        for number, line in enumerate(leave.values())
    ]
    printed = outcomes("\n".join([SOON, *code]), tmp_path)
    assert "6 passed, 3 errors" in printed
    for number, name in enumerate(leave):
        assert f"test_it.py::test_leaves_{number} ERROR" in printed
        assert f"test_it.py::test_after_{number} PASSED" in printed
        assert [other for other in leave if other in told(printed, f"test_leaves_{number}")] == [name]


@linux
def test_what_a_collection_frees_is_passed_over(tmp_path: Path) -> None:
    """What only waits for a collection, or is about to end, is no leak."""
    code = """
def test_garbage():
    weakref.finalize(Cycle(None), socket.socket().close)

def test_thread_that_ends():
    threading.Thread(target=time.sleep, args=(0.3,)).start()
"""
    assert "2 passed in" in outcomes(code, tmp_path)


@linux
def test_garbage_is_freed_in_its_own_test(tmp_path: Path) -> None:
    """What garbage holds open is closed in the test that made it, which gets Python's warning, and in no later one."""
    held = ["socket.socket()", "open(os.devnull)", "os.fdopen(os.pipe()[0])"]
    code = ""
    for number, each in enumerate(held):
        code += f"def test_makes_garbage_{number}():\n    Cycle({each})\n\n"
        code += f"def test_after_{number}(tmp_path):\n    gc.collect()\n\n"
    printed = outcomes(code, tmp_path)
    assert "6 passed, 3 errors" in printed
    for number in range(len(held)):
        assert f"test_it.py::test_makes_garbage_{number} ERROR" in printed
        assert f"test_it.py::test_after_{number} PASSED" in printed
        assert "ResourceWarning: unclosed" in told(printed, f"test_makes_garbage_{number}")


@linux
def test_garbage_hides_no_leak(tmp_path: Path) -> None:
    """A leak is told from garbage that an earlier test left in the same file and under the same number."""
    code = f"""
{SOON}
def test_makes_garbage(shared):
    weakref.finalize(Cycle(None), wav(shared).close)

def test_leaves(shared):
    gc.collect()
    kept.append(wav(shared))

import pytest
@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")
"""
    printed = outcomes(code, tmp_path)
    assert "test_it.py::test_makes_garbage PASSED" in printed
    assert "test_it.py::test_leaves ERROR" in printed


def test_without_anything_left_nothing_is_collected(tmp_path: Path) -> None:
    """A collection takes longer than most tests do: there is none where nothing seems to be left."""
    code = """
collections = []

def test_leaves_nothing():
    gc.callbacks.append(lambda phase, info: collections.append(phase))

def test_next():
    assert collections == []
"""
    assert "2 passed in" in outcomes(code, tmp_path)
