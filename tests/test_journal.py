"""The journal: what a line says, what it survives, and who may write to it."""

from __future__ import annotations

import json
import logging
import os
import pickle
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from batches import lines
from commands import PATIENCE, ROOT, posix, unmeasured

from elsa_unscripted import ElsaError, JournalError, ScoreResult, ScoringFailedError, exceptions
from elsa_unscripted.journal import Entry, Journal, read, to_raw
from elsa_unscripted.results.result import Timings
from elsa_unscripted.wire.messages import Status

OPTIONS = {"url": "wss://x/y", "api_plan": "standard", "return_json": True, "extra": {}, "sample_rate": None}
KINDS: list[type[ElsaError]] = [getattr(exceptions, name) for name in exceptions.__all__]


def result(number: int = 0, **fields: Any) -> ScoreResult:
    return ScoreResult(
        {"status": "success", "result_link": f"https://x/{number}", **fields},
        stream_id=f"stream-{number}",
        statuses=(Status({"status": "processing"}, "{}"), Status({"status": "success"}, "{}")),
        timings=Timings(connect=0.1, total=2.5),
        audio_seconds=3.0,
        audio_seconds_sent=2.5,
        ended_by="server",
        sample_rate=16000,
        channels=1,
        sample_width=2,
        api_plan="standard",
        warnings=("cut off",),
        client="elsa_unscripted 0.1.0",
    )


def digest(number: int) -> str:
    return f"{number:064x}"


def good(number: int, **fields: Any) -> dict[str, Any]:
    return to_raw(
        f"{number}.wav", digest(number), OPTIONS, result(number, **fields), attempts=1, seconds=2.5, audio_seconds=3.0
    )


def bad(number: int) -> dict[str, Any]:
    error = ScoringFailedError("the server could not score it", reason="noise")
    return to_raw(f"{number}.wav", digest(number), OPTIONS, error, attempts=1, seconds=1)


def written(path: Path, *entries: dict[str, Any]) -> bytes:
    with Journal(path) as journal:
        journal.append(*entries)
    return path.read_bytes()


def found(journal: Journal, numbers: int) -> list[int]:
    """Returns which of so many recordings are in a journal with their own result."""
    lines = [(number, journal.find(digest(number), OPTIONS)) for number in range(numbers)]
    assert all(line is None or line.good == (line.entry().result is not None) for _, line in lines)
    entries = [(number, None if line is None else line.entry()) for number, line in lines]
    assert all(entry is None or entry.path == f"{number}.wav" for number, entry in entries)
    return [number for number, entry in entries if entry is not None and entry.result is not None]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "scores.jsonl"


# What a line says.


def test_a_line_is_as_documented(path: Path) -> None:
    """A line is one object in ASCII, its keys in the documented order, the result last."""
    text = written(path, good(0, words="né\n\u2028")).decode("ascii")
    line = json.loads(text)
    assert text.endswith("}}\n")
    assert text.count("\n") == 1
    assert list(line) == [
        *["v", "sha256", "options", "outcome", "path", "time", "audio_seconds", "audio_seconds_sent", "attempts"],
        *["seconds", "timings", "stream_id", "warnings", "client", "ended_by", "sample_rate", "channels"],
        *["sample_width", "statuses", "result"],
    ]
    assert (line["v"], line["outcome"], line["audio_seconds_sent"]) == (1, "success", 2.5)
    assert line["result"] == {"status": "success", "result_link": "https://x/0", "words": "né\n\u2028"}
    assert line["statuses"] == [{"status": "processing"}]
    assert line["time"][10:11] + line["time"][23:] == "TZ"


def test_a_result_comes_back_whole(path: Path) -> None:
    """What is read from a journal equals what was written, with its history and its timings."""
    written(path, good(0))
    (entry,) = read(path)
    assert entry.result is not None
    again = {**vars(entry.result), "statuses": [dict(status) for status in entry.result.statuses]}
    whole = dict(result().raw)
    before = {**vars(result()), "statuses": [{"status": "processing"}, whole], "raw": whole, "client": again["client"]}
    assert again == before
    assert (entry.path, entry.attempts, entry.seconds, entry.audio_seconds) == ("0.wav", 1, 2.5, 3.0)


def test_strange_numbers_are_strict_json(path: Path) -> None:
    """NaN and numbers without end from the server make lines that every reader of JSON takes, and come back."""
    numbers = json.loads('{"a": NaN, "b": [1e999, {"c": -Infinity}], "d": "NaN, Infinity", "e": "\\"NaN"}')
    failure = ScoringFailedError("no", reason="noise")
    failure.last_message = "NaN"
    failure.statuses = (Status({"status": "failed", **numbers}, "{}"),)
    written(path, good(1, **numbers), to_raw("2.wav", digest(2), OPTIONS, failure, attempts=1, seconds=1.0))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in path.read_text(encoding="ascii").splitlines():
        json.loads(line, parse_constant=refuse)
    one, two = read(path)
    back = {**numbers, "a": None}
    assert one.result is not None
    assert two.error is not None
    assert {name: one.result[name] for name in numbers} == back
    assert {name: two.error.statuses[0][name] for name in numbers} == back
    assert two.error.last_message == "NaN"


def test_what_a_server_said_comes_back(path: Path) -> None:
    """The body of a refusal and the server's last message are in the journal."""
    failure = exceptions.ConnectError("no", status_code=402, body="no credit")
    failure.last_message = "an error"
    written(path, to_raw("2.wav", digest(2), OPTIONS, failure, attempts=1, seconds=1.0))
    (entry,) = read(path)
    assert isinstance(entry.error, exceptions.ConnectError)
    assert (entry.error.status_code, entry.error.body, entry.error.last_message) == (402, "no credit", "an error")


def test_a_longer_number_than_python_takes(path: Path) -> None:
    """A line with an integer of 5,000 digits, of another Python, is read."""
    line = written(path, good(1)).replace(b'"result": {', b'"result": {"n": ' + b"9" * 5000 + b", ")
    path.write_bytes(line)
    (entry,) = read(path)
    assert entry.result is not None
    assert entry.result["n"] == float("inf")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_whole(kind: type[ElsaError], path: Path) -> None:
    """Every error of the tree comes back as itself, with every attribute."""
    error = kind("do this next")
    facts = {"phase": "audio", "stream_id": "s", "audio_seconds_sent": 1.5, "possibly_billed": True}
    more = {"status_code": 503, "retry_after": 2.5, "code": 1011, "reason": "noise"}
    vars(error).update(facts, **{name: value for name, value in more.items() if hasattr(error, name)})
    error.statuses = (Status({"status": "processing"}, "{}"),)
    written(path, to_raw("a.wav", digest(1), OPTIONS, error, attempts=2, seconds=1))
    assert list(lines(path)[0])[-1] == "error"
    (entry,) = read(path)
    assert type(entry.error) is kind
    assert str(entry.error) == "do this next"
    assert vars(entry.error) == {**vars(error), "_was_retryable": error.retryable}
    assert (entry.outcome, entry.result, entry.audio_seconds) == ("error", None, None)


def test_what_can_pass_comes_back(path: Path) -> None:
    """`retryable` is that of the error that was written, although its cause isn't in the journal."""
    for cause, passes in ((ssl.SSLCertVerificationError("expired"), False), (ConnectionRefusedError(), True)):
        failure = exceptions.ConnectError("no")
        failure.__cause__ = cause
        assert failure.retryable is passes
        path.unlink(missing_ok=True)
        written(path, to_raw("2.wav", digest(2), OPTIONS, failure, attempts=1, seconds=1.0))
        (entry,) = read(path)
        assert entry.error is not None
        assert entry.error.retryable is passes
        assert pickle.loads(pickle.dumps(entry.error)).retryable is passes


def test_an_error_of_a_later_version_is_still_an_error(path: Path) -> None:
    """A class that this version doesn't know comes back as an `ElsaError`."""
    line = bad(1)
    line["error"]["type"] = "QuotaError"
    written(path, line)
    (entry,) = read(path)
    assert type(entry.error) is ElsaError


@pytest.mark.parametrize("name", [b"caf\xe9.wav", "café.wav".encode(), b"a\nb.wav", b'"quoted".wav'])
def test_any_file_name_comes_back(name: bytes, path: Path) -> None:
    """A name is one line of ASCII in the journal, also if it is not UTF-8, and comes back as it was."""
    recording = os.fsdecode(name)
    written(path, to_raw(recording, digest(1), OPTIONS, result(), attempts=1, seconds=1))
    assert [os.fsencode(entry.path) for entry in read(path)] == [name]


# Finding.


def test_found_by_content_and_options(path: Path) -> None:
    """A recording is found by its bytes and the options that change the result, in this run and in the next."""
    other = {**OPTIONS, "extra": {"b": 1, "a": {"c": '", "outcome": "success"'}}}
    same = {**OPTIONS, "extra": {"a": {"c": '", "outcome": "success"'}, "b": 1}}
    with Journal(path) as journal:
        assert journal.find(digest(1), OPTIONS) is None
        journal.append(to_raw("a.wav", digest(1), other, result(7), attempts=1, seconds=1), good(2))
        for _ in range(2):
            assert found(journal, 4) == [2]
            line = journal.find(digest(1), same)
            assert line is not None
            assert (line.entry().path, line.new) == ("a.wav", True)
    for _ in range(2):
        with Journal(path) as journal:
            assert found(journal, 4) == [2]
            line = journal.find(digest(1), same)
            assert line is not None
            assert line.good
            found_result = line.entry().result
            assert (found_result and found_result.stream_id, line.new) == ("stream-7", False)


def test_a_result_counts_more_than_a_failure(path: Path) -> None:
    """A failure that was tried again with success is a success, in whatever order the lines are."""
    for order in ([bad(1), good(1)], [good(1), bad(1)]):
        path.unlink(missing_ok=True)
        written(path, *order)
        with Journal(path) as journal:
            assert found(journal, 2) == [1]


def test_no_second_result(path: Path) -> None:
    """A recording that has a result gets no other line with one."""
    written(path, good(1))
    with Journal(path) as journal:
        journal.append(good(1), good(2))
        journal.append(good(2))
    assert [entry.path for entry in read(path)] == ["1.wav", "2.wav"]


def test_the_index_is_small(path: Path) -> None:
    """What a journal keeps in memory doesn't grow with what the results hold."""
    line = json.dumps(good(0, words="x" * 20_000))
    with path.open("w") as file:
        for number in range(2000):
            file.write(line.replace(digest(0), digest(number)) + "\n")
    tracemalloc.start()
    try:
        with Journal(path) as journal:
            assert tracemalloc.get_traced_memory()[0] < 2000 * 400
            assert journal.find(digest(1999), OPTIONS) is not None
    finally:
        tracemalloc.stop()


# What it survives.


def test_a_torn_last_line(path: Path) -> None:
    """Wherever the last line was cut, the others count, it doesn't, and what is appended begins on its own."""
    whole = written(path, good(0), bad(1), good(2, a={"b": {}}))
    begin = whole[:-1].rindex(b"\n") + 1
    for cut in [*range(begin + 1, len(whole) - 50, 7), *range(len(whole) - 50, len(whole) - 1)]:
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            assert journal.torn == cut - begin
            assert found(journal, 3) == [0]
            assert path.read_bytes() == whole[:cut]
            journal.append(good(3))
        with Journal(path) as journal:
            assert (journal.torn, found(journal, 4)) == (0, [0, 3])
        assert [entry.path for entry in read(path)] == ["0.wav", "1.wav", "3.wav"]


def test_a_torn_first_line(path: Path) -> None:
    """A journal of which not even the first line was finished is one, from the first byte on."""
    whole = written(path, good(0))
    for cut in (1, 5, 30, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            journal.append(good(1))
        with Journal(path) as journal:
            assert found(journal, 2) == [1]


def test_only_the_line_end_is_missing(path: Path) -> None:
    """A last line that lacks nothing but its end counts."""
    whole = written(path, good(0))
    path.write_bytes(whole[:-1])
    with Journal(path) as journal:
        assert (journal.torn, found(journal, 2)) == (0, [0])
        journal.append(good(1))
        assert found(journal, 2) == [0, 1]
    assert path.read_bytes().startswith(whole)


def test_zeros_of_a_power_cut(path: Path) -> None:
    """Zeros where the last line should be are passed over, also where it should be the first."""
    whole = written(path, good(0))
    for before, there in ((whole, [0]), (b"", [])):
        path.write_bytes(before + b"\0" * 500)
        with Journal(path) as journal:
            assert (journal.torn, found(journal, 2)) == (500, there)
            journal.append(good(1))
        with Journal(path) as journal:
            assert found(journal, 2) == [*there, 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n\r\n"),
        lambda text: "\n \n" + text + "\n",
        lambda text: "".join(json.dumps(json.loads(line), sort_keys=True) + "\n" for line in text.splitlines()),
        lambda text: "".join(
            json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")) + "\n" for line in text.splitlines()
        ),
    ],
    ids=["crlf", "bom", "bom-crlf-blank", "blank", "sorted", "compact"],
)
def test_other_tools(change: Any, path: Path) -> None:
    """A journal that an editor or a filter has rewritten is read, found in, and appended to."""
    text = written(path, good(0, word="né"), bad(1), good(2)).decode()
    path.write_bytes(change(text).encode())
    with Journal(path) as journal:
        assert (journal.torn, found(journal, 4)) == (0, [0, 2])
        journal.append(good(3))
    with Journal(path) as journal:
        assert found(journal, 4) == [0, 2, 3]
    assert len(list(read(path))) == 4


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    ("damaged", "change"), [(0, lambda byte: byte ^ 1), (1, lambda byte: 0xFF)], ids=["first", "middle"]
)
def test_a_damaged_byte_costs_its_own_line_at_most(damaged: int, change: Any, path: Path) -> None:
    """Whichever byte of a line is damaged, the others are found, and its recording can be scored and kept again."""
    pieces = written(path, good(0), good(1), good(2)).splitlines(keepends=True)
    line = pieces[damaged]
    for at in [*range(90), *range(90, len(line) - 1, 9)]:
        bad_line = line[:at] + bytes([change(line[at])]) + line[at + 1 :]
        path.write_bytes(b"".join([*pieces[:damaged], bad_line, *pieces[damaged + 1 :]]))
        with Journal(path) as journal:
            assert {*found_anyhow(journal), damaged} == {0, 1, 2}, bad_line
            if journal.find(digest(damaged), OPTIONS) is None:
                journal.append(good(damaged))
        with Journal(path) as journal:
            assert found_anyhow(journal) == [0, 1, 2], bad_line


def found_anyhow(journal: Journal) -> list[int]:
    """Returns which of three recordings have a result in a journal, whatever that says."""
    return [number for number in range(3) if journal.find(digest(number), OPTIONS)]


def test_a_damaged_line_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that is damaged behind its beginning is as good as none, with one warning; so is an older failure."""
    text = written(path, bad(0), good(0), good(1))
    path.write_bytes(text.replace(b"stream-0", b'stream"0'))
    with caplog.at_level(logging.WARNING), Journal(path) as journal:
        for _ in range(2):
            assert found(journal, 2) == [1]
            assert journal.find(digest(0), OPTIONS) is None
    assert ["passing over a line" in record.getMessage() for record in caplog.records] == [True]


STRANGE: list[tuple[str, Any]] = [
    *[("timings", 5), ("timings", {"total": "x"}), ("timings", {"total": 1e300}), ("warnings", [1]), ("warnings", 3)],
    *[("sample_width", 10**4299), ("channels", -1), ("sample_rate", "x"), ("statuses", [1]), ("stream_id", {})],
    *[("audio_seconds", []), ("audio_seconds_sent", "x"), ("attempts", "x"), ("attempts", 10**4299)],
    *[("seconds", True), ("time", 5), ("client", []), ("ended_by", 5)],
]
STRANGE_OF_ERROR: list[tuple[str, Any]] = [
    *[("reason", 5), ("reason", ["x"]), ("type", {}), ("message", 5), ("phase", 1), ("stream_id", 2)],
    *[("audio_seconds", "x"), ("audio_seconds_sent", "x"), ("code", "x"), ("status_code", 1e400), ("retry_after", "x")],
    *[("possibly_billed", "no"), ("statuses", {"a": 1}), ("last_message", 5), ("body", []), ("retryable", "no")],
]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *[("", name, value) for name, value in STRANGE],
        *[("error", name, value) for name, value in STRANGE_OF_ERROR],
    ],
)
def test_what_was_edited_is_left_out(
    part: str, name: str, value: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fact of another type than we write is left out with a warning: what was paid for still counts, and is plain."""
    line = bad(0) if part else good(0)
    (line[part] if part else line)[name] = value
    path.write_text(json.dumps(line) + "\n")
    with caplog.at_level(logging.WARNING):
        (entry,) = read(path)
    assert [name in record.getMessage() for record in caplog.records] == [True]
    conclusion = entry.result if entry.error is None else entry.error
    assert value not in (getattr(conclusion, name, None), getattr(entry, name, None))
    with Journal(path) as journal:
        assert journal.find(digest(0), OPTIONS) is not None


def test_a_strange_line(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that is none of ours is passed over with a warning; it hides no other."""
    first, second = written(path, good(0), good(1)).splitlines(keepends=True)
    strange = (
        b'<<<<<<< HEAD\n{"v": 1}\n[]\n' + second[:40] + b"\n" + b'{"v": 1, "sha256": 3}\n' + b"[" * 100_000 + b"\n"
    )
    path.write_bytes(first + strange + second)
    with caplog.at_level(logging.WARNING), Journal(path) as journal:
        assert found(journal, 2) == [0, 1]
    assert len(caplog.records) == 6
    assert len(list(read(path))) == 2


def test_read_while_it_is_written(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever only looks needs no lock; half a line at the end is passed over with a warning."""
    with Journal(path) as journal:
        journal.append(good(0))
        assert [entry.path for entry in read(path)] == ["0.wav"]
        journal.append(good(1))
        assert [entry.path for entry in read(path)] == ["0.wav", "1.wav"]
    path.write_bytes(path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert [entry.path for entry in read(path)] == ["0.wav"]
    assert "torn" in caplog.text


# What is refused.


@pytest.mark.parametrize(
    "content", [b"# README\n", b"[1, 2]\n", b"RIFF\x24\0\0\0WAVEfmt ", b'{"path": "a.wav"}\n', b"path,score\n", b"{}"]
)
def test_another_file_is_left_alone(content: bytes, path: Path) -> None:
    """A file that is no journal is refused, and stays as it is."""
    path.write_bytes(content)
    with pytest.raises(JournalError, match="no journal"):
        Journal(path)
    with pytest.raises(JournalError, match="no journal"):
        list(read(path))
    assert path.read_bytes() == content


def test_a_later_version_is_refused(path: Path) -> None:
    """A line of a later version is refused by name, not passed over."""
    written(path, good(0), good(1))
    path.write_bytes(path.read_bytes().replace(b'{"v": 1, "sha256": "' + digest(1).encode(), b'{"v": 2, "x": "'))
    for look in (Journal, lambda path: list(read(path))):
        with pytest.raises(JournalError, match="version 2"):
            look(path)


@posix
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "is a directory"),
        ("pipe", "not a regular file"),
        ("/dev/full", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("missing/scores.jsonl", "No such file"),
        ("a\0b", "null"),
        ("x" * 300, "too long"),
        ("loop", "[Ss]ymbolic link"),
    ],
)
def test_what_is_no_file(name: str, complaint: str, tmp_path: Path) -> None:
    """A path that can't be a journal is refused at once, with what it is, to write and to read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for look in (Journal, lambda path: list(read(path))):
        with pytest.raises(JournalError, match=complaint):
            look(os.path.join(tmp_path, name))


@posix
def test_a_directory_that_can_only_be_written_to() -> None:
    """A journal is begun where its user may make files, and not see which there are."""
    code = """
import os, shutil, tempfile
from elsa_unscripted.journal import Journal

folder = tempfile.mkdtemp()
me = os.geteuid()
os.chown(folder, me or 65534, -1)  # root may read everything
os.chmod(folder, 0o300)
os.seteuid(me or 65534)
try:
    Journal(os.path.join(folder, "scores.jsonl")).close()
finally:
    os.seteuid(me)
    os.chmod(folder, 0o700)
    shutil.rmtree(folder)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=PATIENCE)


def test_nothing_to_read(path: Path) -> None:
    """To read a journal that isn't there is an error; an empty one has no lines."""
    with pytest.raises(JournalError, match="No such file"):
        list(read(path))
    path.touch()
    assert list(read(path)) == []


# Who may write.


def other_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    script = "import os, sys, time\nfrom elsa_unscripted.journal import Journal\nfrom elsa_unscripted import *\n" + code
    command = [sys.executable, "-c", script, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stdin=pipe, text=True, cwd=ROOT, env=unmeasured())


@contextmanager
def holder(path: Path, then: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that has a journal open."""
    process = other_process(
        f"journal = Journal(sys.argv[1])\nprint('open', flush=True)\n{then}\nsys.stdin.read()", path
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def test_the_second_is_refused(path: Path, tmp_path: Path) -> None:
    """A journal has one writer at a time, by whatever name it is called, in this process and in others."""
    name = tmp_path / "link.jsonl"
    with suppress(OSError):
        name.symlink_to(path)
    with holder(path) as process:
        for each in (path, name):
            with pytest.raises(JournalError, match="in use by another batch"):
                Journal(each)
        process.kill()
        process.wait(PATIENCE)
        with Journal(name) as journal:
            journal.append(good(0))
            with pytest.raises(JournalError, match="in use"):
                Journal(path)
            assert len(list(read(path))) == 1
    with Journal(path) as journal:  # to close is to unlock
        assert found(journal, 1) == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_does_not_hold_the_lock(path: Path) -> None:
    """A process that a writer has forked, such as a pool's, neither keeps the journal locked nor writes to it."""
    child = """
if os.fork() == 0:
    try:
        journal.append({"v": 1})
    except JournalError as error:
        print("closed" in str(error), flush=True)
    sys.stdin.read()
    os._exit(0)
"""
    with holder(path, child) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with pytest.raises(JournalError, match="in use"):
            Journal(path)
        process.kill()
        process.wait(PATIENCE)
        with Journal(path) as journal:  # the child lives, until the pipe is closed
            journal.append(good(0))


@posix
def test_a_full_disk(path: Path) -> None:
    """A line that doesn't fit leaves no trace, and is written once there is room."""
    written(path, good(0))
    before = path.read_bytes()
    code = """
import json, resource
size, line = os.path.getsize(sys.argv[1]), json.load(sys.stdin)
journal = Journal(sys.argv[1])
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        journal.append(line)
    except JournalError as error:
        print(error, os.path.getsize(sys.argv[1]) == size)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(line)
"""
    with other_process(code, path) as process:
        out, _ = process.communicate(json.dumps(good(1)), timeout=PATIENCE)
    assert [("File too large" in line, line.endswith(" True")) for line in out.splitlines()] == [(True, True)] * 2
    assert path.read_bytes().startswith(before)
    assert [entry.path for entry in read(path)] == ["0.wav", "1.wav"]


@posix
def test_a_journal_that_was_taken_away(path: Path) -> None:
    """Lines never go to a file that nobody will find; once it is back, they are written."""
    aside = path.with_suffix(".old")
    with Journal(path) as journal:
        journal.append(good(0))
        path.rename(aside)
        with pytest.raises(JournalError, match="changed while it was in use"):
            journal.append(good(1))
        path.touch()
        with pytest.raises(JournalError, match="changed while it was in use"):
            journal.append(good(1))
        aside.replace(path)
        journal.append(good(1))
    assert [entry.path for entry in read(path)] == ["0.wav", "1.wav"]


def test_somebody_else_appends(path: Path) -> None:
    """Lines that another program appends meanwhile are not cut off: it is told that it may not."""
    with Journal(path) as journal:
        journal.append(good(0))
        with path.open("a") as file:
            file.write(json.dumps(good(1)) + "\n")
        with pytest.raises(JournalError, match="nothing else may write"):
            journal.append(good(2))
    assert [entry.path for entry in read(path)] == ["0.wav", "1.wav"]


def test_a_closed_journal(path: Path) -> None:
    """Once closed, it takes nothing more; to close it again does nothing."""
    journal = Journal(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(good(0))


@pytest.mark.slow(everywhere=True)
def test_ctrl_c_anywhere(path: Path) -> None:
    """Interrupted at any line of ours, an append can be done again: each line is there once, the journal whole."""
    folder = os.path.dirname(sys.modules["elsa_unscripted.journal.file"].__file__ or "")
    points = 0
    for point in range(1000):
        path.unlink(missing_ok=True)
        with Journal(path) as journal:
            journal.append(good(0))
            if not _interrupted(journal, point, folder):
                break
            points += 1
            assert found(journal, 3) in ([0], [0, 1, 2])
            journal.append(good(1), good(2))
            assert found(journal, 3) == [0, 1, 2]
            journal.append(good(3))
        assert [entry.path for entry in read(path)] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert points > 20


def _interrupted(journal: Journal, point: int, folder: str) -> bool:
    """Appends, and presses Ctrl-C at so many lines of code from its begin; returns whether it came to that."""
    left = point

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        journal.append(good(1), good(2))
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_entries_are_plain(path: Path) -> None:
    """An entry has the whole object beside its views, for those who want more."""
    written(path, good(0))
    (entry,) = read(path)
    assert isinstance(entry, Entry)
    assert entry.raw == lines(path)[0]
