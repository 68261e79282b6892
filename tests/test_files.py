"""Files that are written: an older one survives whatever goes wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from commands import full_disk, posix, unmeasured
from recordings import wav

from elsa_unscripted import ScoreResult
from elsa_unscripted.files import holds_no_text, replacing

OLD, NEW = b"old", b"new" * 1000


def write(path: Any, content: bytes = NEW) -> None:
    with replacing(path) as file:
        file.write(content)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_bytes(OLD)
    return path


def test_a_file_is_written(tmp_path: Path) -> None:
    """A new file has its content, and the permissions that any new file gets."""
    write(tmp_path / "new")
    (tmp_path / "plain").touch()
    assert (tmp_path / "new").read_bytes() == NEW
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "new")


@posix
def test_a_full_disk_leaves_the_old_file(path: Path) -> None:
    """When there is no room, the older file is whole, and nothing is left beside it; so with `save()`."""
    for attempt in (write, ScoreResult({"status": "success", "more": "x" * 5000}).save):
        with pytest.raises(OSError, match="too large"), full_disk(1000):
            attempt(path)
        assert (path.read_bytes(), os.listdir(path.parent)) == (OLD, [path.name])


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_is_not_finished_leaves_the_old_file(path: Path, error: type[BaseException]) -> None:
    """Whatever is raised while a file is written, the older one is whole until then, and after it."""

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(NEW)
            file.flush()
            assert path.read_bytes() == OLD
            raise error

    with pytest.raises(error):
        interrupted()
    assert (path.read_bytes(), os.listdir(path.parent)) == (OLD, [path.name])


@posix
def test_what_is_known_of_a_file_stays(path: Path, tmp_path: Path) -> None:
    """Its permissions stay as they were, and a link to it stays a link, even a relative one."""
    path.chmod(0o604)
    link = tmp_path / "link.json"
    link.symlink_to(path.name)
    write(link)
    assert link.is_symlink()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (NEW, 0o604)
    (tmp_path / "early.json").symlink_to("late.json")
    write(tmp_path / "early.json")
    assert (tmp_path / "late.json").read_bytes() == NEW


@posix
def test_the_longest_name_is_written(tmp_path: Path) -> None:
    """A name may be as long as names can be."""
    path = tmp_path / ("n" * 255)
    write(path)
    write(path, OLD)
    assert path.read_bytes() == OLD


@posix
def test_a_device_is_written_to() -> None:
    """What is no regular file is written to as it is, and stays there."""
    write(os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    reader, writer = os.pipe()
    with open(reader, "rb") as read_end, open(writer, "wb"):
        write(f"/dev/fd/{writer}", OLD)
        assert read_end.read(len(OLD)) == OLD


@posix
def test_what_is_open_already_is_written_to(path: Path) -> None:
    """Standard output that goes to a file stays the file that the shell has opened, for others that write to it."""
    with path.open("r+b") as file:
        write(f"/dev/fd/{file.fileno()}")
        assert os.path.samestat(os.fstat(file.fileno()), path.stat())
    assert path.read_bytes() == NEW


@posix
def test_permissions_are_kept() -> None:
    """Who may not write to a file gets an error, though the folder is theirs; who may write to a file alone, can."""
    code = """
import os, pathlib, sys
from elsa_unscripted.files import replacing
def write(path):
    try:
        with replacing(path) as file:
            file.write(b"new")
    except PermissionError:
        pass
    return path.read_text()
open_folder, closed_folder = map(pathlib.Path, sys.argv[1:])
for folder, mode in ((open_folder, 0o444), (closed_folder, 0o666)):
    (folder / "file").write_text("old")
    (folder / "file").chmod(mode)
open_folder.chmod(0o777)
closed_folder.chmod(0o555)
if os.geteuid() == 0:
    os.setuid(65534)
print(write(open_folder / "file"), write(closed_folder / "file"))
"""
    # Not in `tmp_path`, into which nobody else may look.
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        command = [sys.executable, "-c", code, first, second]
        # Without coverage: another user may not write its file.
        done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=False)
        os.chmod(second, 0o755)
    assert (done.stdout, done.stderr) == ("old new\n", "")


def test_recordings_are_no_text(tmp_path: Path) -> None:
    """A recording of any kind is told from text; a text of any length and language is text."""
    recordings = [wav(bytes(2)), b"ID3\x04\x00", b"\xff\xfb\x90\x64" * 99, b"OggS\x00\x02", b"fLaC\x00\x00", b"\x00"]
    recordings += [b"#!AMR\n\x3c\x91", b"\x1a\x45\xdf\xa3\x9f\x42\x86"]
    texts = [b"", b"x", *(("x" * shift + "é…" * 5000).encode() for shift in range(5))]
    for content in recordings + texts:
        (tmp_path / "file").write_bytes(content)
        assert holds_no_text(tmp_path / "file") == (content in recordings), content[:20]
    assert not holds_no_text(tmp_path / "missing")
    assert not holds_no_text(tmp_path)
