"""`elsa-unscripted batch`, run as a process, against the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from addresses import closed_port
from commands import (
    COMMAND,
    PATIENCE,
    Finished,
    environment,
    interrupt,
    on_terminal,
    posix,
    run,
    shadow,
    started,
    unmeasured,
)
from recordings import SPEECH, wav

import elsa_unscripted
from elsa_unscripted import (
    AudioError,
    BatchProgress,
    BudgetError,
    ConnectError,
    ElsaError,
    ScoringFailedError,
    StreamClosedError,
)
from elsa_unscripted.cli.meter import Meter
from elsa_unscripted.cli.tally import Tally
from elsa_unscripted.sandbox import Sandbox

TOKEN = "a-token-that-is-secret"
EVIL = "\x1b[2J\x9b1A\nelsa-unscripted: all is well\r\u2028\u202e\x7f"
RECORDINGS = 6
SECONDS = 0.3  # s of each: one packet


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder of recordings that all differ, `0.wav` to `5.wav`."""
    folder = tmp_path / "the answers"
    folder.mkdir()
    for number in range(RECORDINGS):
        (folder / f"{number}.wav").write_bytes(recording(number))
    return folder


def recording(number: int) -> bytes:
    size = int(SECONDS * 16000) * 2
    return wav(SPEECH[number * size :][:size])


def command(url: str, folder: Path, *arguments: str) -> tuple[str, ...]:
    """Returns the command that scores a folder, or what a list among the arguments names."""
    journal = str(folder.parent / "scores.jsonl")
    paths = () if "--from-file" in arguments else (str(folder),)
    return (*COMMAND, "batch", *paths, "--url", url, "--speed", "max", "-o", journal, *arguments)


def batch(server: Any, folder: Path, *arguments: str, token: str = TOKEN, **more: Any) -> Finished:
    """Scores a folder, as fast as it goes, with the token in the environment."""
    return run(*command(server.url, folder, *arguments), **{"ELSA_API_TOKEN": token, **more})


def journal(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of the journal, each of which must be whole."""
    file = folder.parent / "scores.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def results(folder: Path) -> list[str]:
    """Returns the names of the recordings that have a result, one for each line that says so."""
    return sorted(os.path.basename(line["path"]) for line in journal(folder) if line["outcome"] == "success")


def every(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def last_line(done: Finished) -> str:
    return done.err.splitlines()[-1]


def going_on(done: Finished) -> list[str]:
    """Returns the command that the last line tells to repeat."""
    program, *words = shlex.split(last_line(done).partition(": elsa-unscripted ")[2])
    assert program == "batch"
    return [*COMMAND, program, *words]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# The run.


def test_a_folder_is_scored(sandbox: Sandbox, folder: Path) -> None:
    """Every recording is sent once and has its line in the journal; stdout stays empty; the summary is on stderr."""
    status, out, err = batch(sandbox, folder)
    assert (status, out) == (0, b"")
    assert results(folder) == every(folder)
    assert sandbox.handshakes == RECORDINGS
    assert re.search(rf"^{RECORDINGS} recordings in 0:0\d: 0 with a score, {RECORDINGS} too short$", err, re.MULTILINE)
    assert "The results are in" in err


def test_the_summary_counts(sandbox: Sandbox, folder: Path) -> None:
    """At the end stand counts by cause, the five slowest, what to do next, and an estimate of the bill."""
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("no audio at all")
    status, _, err = batch(sandbox, folder)
    assert status == 3
    assert f"{RECORDINGS + 2} recordings in 0:0" in err
    assert f"0 with a score, {RECORDINGS} too short, 2 unreadable" in err
    assert re.search(r"^    1 unreadable \(holds no audio: it is empty; .*\): .*empty\.wav$", err, re.MULTILINE)
    assert len(re.findall(r"^ +\d+\.\d s  .*\.wav$", err, re.MULTILINE)) == 5
    assert f"Estimate of the bill: {RECORDINGS} started units of 15 s" in err


def test_one_error_stops_no_other(sandbox: Sandbox, folder: Path) -> None:
    """A recording that can't be read is told in a line that names it, once, and the others are scored."""
    (folder / "0.wav").write_text("no audio at all")
    status, _, err = batch(sandbox, folder)
    assert status == 3
    assert len(re.findall(rf"^elsa-unscripted: error: .*{re.escape(str(folder / '0.wav'))}", err, re.MULTILINE)) == 1
    assert results(folder) == every(folder)[1:]


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory has no limit of its own")
def test_a_recording_that_fits_no_memory_stops_no_other(sandbox: Sandbox, folder: Path) -> None:
    """One that is larger than the memory is told by its name, and the others are scored."""
    with open(folder / "3.wav", "r+b") as file:
        file.truncate(2**42)  # 4 TB, which take no place on the disk
    limited = ("sh", "-c", 'ulimit -v 8000000 && exec "$0" "$@"', *command(sandbox.url, folder))
    outcome = run(*limited, ELSA_API_TOKEN=TOKEN)
    assert outcome.status == 3
    assert "3.wav' is too large" in outcome.err
    assert results(folder) == [name for name in every(folder) if name != "3.wav"]


def test_reasons_are_the_servers(folder: Path) -> None:
    """Rejected recordings are counted by the server's reason, and nothing that it says can move the cursor."""
    with Sandbox(f"failed={EVIL}") as sandbox:
        status, _, err = batch(sandbox, folder)
    assert status == 3
    assert re.search(rf"^    {RECORDINGS} turned down \(\\x1b\[2J", err, re.MULTILINE)
    assert all(char.isprintable() or char == "\n" for char in err)
    assert "\nelsa-unscripted: all is well" not in err


def test_it_goes_on_from_the_journal(sandbox: Sandbox, folder: Path) -> None:
    """Repeated, the command sends only what is new; the summary says how many it had."""
    assert batch(sandbox, folder).status == 0
    (folder / "new.wav").write_bytes(recording(RECORDINGS))
    status, _, err = batch(sandbox, folder)
    assert (status, sandbox.handshakes) == (0, RECORDINGS + 1)
    assert f"{RECORDINGS + 1} too short\n{RECORDINGS} from an earlier run\n" in err
    assert "1 started unit of 15 s" in err
    assert results(folder) == every(folder)


@pytest.mark.slow(everywhere=True)
def test_a_copy_is_no_result_of_an_earlier_run(sandbox: Sandbox, folder: Path, pandas: Any) -> None:
    """A path that is given twice, and a copy, are told as such on a first run, in the table too."""
    copy, first = folder / "copy.wav", folder / "0.wav"
    copy.write_bytes(first.read_bytes())
    table = folder.parent / "scores.csv"
    pupils = folder.parent / "pupils.txt"
    pupils.write_text("\n".join(map(str, [*sorted(folder.iterdir()), first])), encoding="utf-8")
    status, _, err = batch(sandbox, folder, "--from-file", str(pupils), "--csv", str(table))
    assert (status, sandbox.handshakes, "earlier run" in err) == (0, RECORDINGS, False)
    assert f"\n2 with the same content as another: {first}, {copy} (same as {first})\n" in err
    assert sorted(pandas.read_csv(table)["same_as"].dropna()) == [str(first)] * 2


def test_failed_ones_wait_for_the_word(folder: Path) -> None:
    """What failed is told and counted again, but sent again only with `--retry-failed`, as the last line says."""
    with Sandbox("close=1011", port=closed_port()) as sandbox:
        outcome = batch(sandbox, folder)
        again = batch(sandbox, folder)
        assert (outcome.status, again.status, sandbox.handshakes) == (3, 3, RECORDINGS)
    assert f"{RECORDINGS} not scored yet (closed with 1011): " in again.err
    words = going_on(again)
    assert words[-1] == "--retry-failed"
    with Sandbox(port=sandbox.port) as sandbox:
        assert run(*words, ELSA_API_TOKEN=TOKEN).status == 0
    assert results(folder) == every(folder)


def test_nobody_is_told_to_pay_twice(folder: Path) -> None:
    """A bad recording is to be made again: `--retry-failed` doesn't send it as it is, `--retry-failed=all` does."""
    with Sandbox("failed=too loud") as sandbox:
        outcome = batch(sandbox, folder)
        assert "--retry-failed" not in outcome.err
        assert going_on(outcome)[:3] == going_on(batch(sandbox, folder, "--retry-failed"))[:3]
        assert sandbox.handshakes == RECORDINGS
        paid = batch(sandbox, folder, "--retry-failed=all")
        assert sandbox.handshakes == 2 * RECORDINGS
    assert "--retry-failed" not in last_line(paid)
    assert "Record again:\n    6 turned down (too loud): " in paid.err


def test_the_config_is_as_the_options_say(sandbox: Sandbox, folder: Path) -> None:
    """`--plan`, `--set` and `--sample-rate` mean the same as for `score`."""
    assert batch(sandbox, folder, "--plan", "premium", "--set", "a=1", "--sample-rate", "8000").status == 0
    assert sandbox.exchanges[-1].config_text == '{"api_plan":"premium","return_json":true,"a":1}'
    assert sandbox.exchanges[-1].sample_rate == 8000


@pytest.mark.parametrize("jobs", [1, 3])
def test_jobs_is_how_many_are_in_flight(folder: Path, jobs: int) -> None:
    """No more than `--jobs` are sent at a time."""
    with Sandbox("slow=0.2") as sandbox:
        outcome = batch(sandbox, folder, "--jobs", str(jobs), "--no-progress")
        assert outcome.status == 0
        times = sorted((exchange.arrival_times[0], exchange) for exchange in sandbox.exchanges)
        moments = [moment for moment, _ in times]
    # A stream lasts 0.2 s at least, so one that begins `jobs` later begins behind its end.
    assert all(later - earlier >= 0.2 for earlier, later in zip(moments, moments[jobs:]))


@pytest.mark.slow(everywhere=True)
@posix
def test_there_are_no_more_than_files_can_be_opened(folder: Path) -> None:
    """Where the system's limit of open files is too low for `--jobs`, fewer are sent at a time, and all are scored."""
    for number in range(RECORDINGS, 20):
        (folder / f"{number}.wav").write_bytes(recording(number))
    with Sandbox("slow=0.2") as sandbox:
        limited = ("sh", "-c", 'ulimit -n 14 && exec "$0" "$@"', *command(sandbox.url, folder, "--jobs", "20"))
        outcome = run(*limited, ELSA_API_TOKEN=TOKEN)
        assert (outcome.status, results(folder)) == (0, every(folder))
        assert sum(exchange.heard > 0 for exchange in sandbox.exchanges) == 20
    assert "warning: too many open files: " in outcome.err


def test_a_budget_is_kept(sandbox: Sandbox, folder: Path) -> None:
    """`--max-audio-seconds` starts no recording beyond it: they are counted, not listed, and the status says so."""
    outcome = batch(sandbox, folder, "--max-audio-seconds", str(SECONDS * 2.5))
    assert (outcome.status, sandbox.handshakes) == (3, 2)
    assert f"{RECORDINGS - 2} not begun yet" in outcome.err
    assert "error:" not in outcome.err
    assert run(*going_on(outcome), ELSA_API_TOKEN=TOKEN).status == 3
    assert len(results(folder)) == 4


def test_a_torn_line_is_told(sandbox: Sandbox, folder: Path) -> None:
    """After a power cut, the torn last line of the journal is told, and that recording is scored again."""
    assert batch(sandbox, folder).status == 0
    file = folder.parent / "scores.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    outcome = batch(sandbox, folder)
    assert (outcome.status, sandbox.handshakes) == (0, RECORDINGS + 1)
    assert re.search(r"^elsa-unscripted: warning: the last line of the journal .* torn", outcome.err, re.MULTILINE)


# Lists and the table.


SCORE = 81.4


def test_a_damaged_or_edited_line_is_told(sandbox: Sandbox, folder: Path) -> None:
    """A damaged line costs its recording another exchange, an edited one none; both are told; the table is whole."""
    batch(sandbox, folder)
    file = folder.parent / "scores.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"stream_id"', b'"stream"id"')
    edited = json.loads(lines[2])
    edited.update(timings={"total": "long"}, warnings=5, sample_width=10**4299)
    lines[2] = json.dumps(edited).encode() + b"\n"
    file.write_bytes(b"".join(lines))
    table = folder.parent / "scores.csv"
    outcome = batch(sandbox, folder, "--csv", str(table))
    assert (outcome.status, sandbox.handshakes) == (0, RECORDINGS + 1)
    assert len(re.findall("warning: (passing over )?a line of the journal", outcome.err)) == 2
    assert len(table.read_text(encoding="utf-8-sig").splitlines()) == RECORDINGS + 1


def test_a_list_is_scored_with_its_columns(sandbox: Sandbox, folder: Path, pandas: Any) -> None:
    """A CSV list's other columns stand beside the scores of their recordings, also for what was scored earlier."""
    lines = [f"{number},{folder / str(number)}.wav" for number in range(RECORDINGS)]
    (folder.parent / "list.csv").write_text("\n".join(["pupil,path", *lines]))
    table = folder.parent / "scores.csv"
    words = command(sandbox.url, folder, "--from-file", str(folder.parent / "list.csv"), "--csv", str(table))
    for _ in range(2):
        assert run(*words, ELSA_API_TOKEN=f"sandbox:example={SCORE}").status == 0
        scores = pandas.read_csv(table)
        assert sorted(scores.pupil) == list(range(RECORDINGS))
        assert [os.path.basename(path) for path in scores.path] == [f"{pupil}.wav" for pupil in scores.pupil]
        assert set(scores.eps_score) == {SCORE}
    assert sandbox.handshakes == RECORDINGS


def test_a_table_has_the_failed_ones_too(sandbox: Sandbox, folder: Path, pandas: Any) -> None:
    """There is a row for each recording, with a result or without."""
    (folder / "empty.wav").touch()
    outcome = batch(sandbox, folder, "--csv", str(folder.parent / "scores.csv"))
    scores = pandas.read_csv(folder.parent / "scores.csv")
    assert outcome.status == 3
    assert sorted(map(os.path.basename, scores.path)) == every(folder)
    assert set(scores.error.dropna()) == {"AudioError"}


def test_a_list_in_another_encoding_is_told(sandbox: Sandbox, folder: Path) -> None:
    """A spreadsheet's table that isn't UTF-8 is refused before anything is sent; the right one has Excel's name."""
    rows = ["path,pupil", *(f"{path},Zoe" for path in sorted(folder.iterdir())), "last.wav,Zoë"]
    (folder.parent / "list.csv").write_text("\n".join(rows), encoding="cp1252")
    status, _, err = batch(sandbox, folder, "--from-file", str(folder.parent / "list.csv"))
    assert (status, err.count("\n"), sandbox.handshakes) == (2, 1, 0)
    assert "CSV UTF-8" in err


def test_a_list_makes_a_page(sandbox: Sandbox, folder: Path) -> None:
    """`--report` writes the page at the end, with the list's names; who has handed in nothing is told by name."""
    (folder / "5.wav").write_bytes((folder / "0.wav").read_bytes())
    rows = ["Name;Path;Class", *(f"Pupil {n};{folder / str(n)}.wav;7b" for n in range(RECORDINGS + 2)), "Max;;7a"]
    (folder.parent / "list.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    page = folder.parent / "class.html"
    outcome = batch(sandbox, folder, "--from-file", str(folder.parent / "list.csv"), "--report", str(page))
    assert (outcome.status, sandbox.handshakes) == (3, RECORDINGS - 1)
    assert f"0 with a score, 3 not handed in, {RECORDINGS} too short\n1 with the same content as another" in outcome.err
    assert "  Ask for the recordings, or mend the list:\n    3 not handed in: Max, Pupil 6, Pupil 7\n" in outcome.err
    text = page.read_text(encoding="utf-8")
    assert f"0 with a score, 3 not handed in, {RECORDINGS} too short" in text
    assert "same recording as <bdi>Pupil 0</bdi>" in text
    assert len(journal(folder)) == RECORDINGS + 3
    # The page is also made of the journal alone: it has the list's columns.
    again = run(*COMMAND, "report", str(folder.parent / "scores.jsonl"), "-o", str(page))
    assert (again.status, page.read_text(encoding="utf-8")) == (0, text)


def test_a_list_beside_its_recordings_is_told(sandbox: Sandbox, folder: Path) -> None:
    """Paths that are in the list's folder, and not where one is, accuse nobody: one is told to go there. If nothing is
    there, either, nobody has handed in anything."""
    (folder / "list.csv").write_text("name,path\nAna,0.wav\nBen,missing.wav\n", encoding="utf-8")
    status, _, err = batch(sandbox, folder, "--from-file", str(folder / "list.csv"))
    assert (status, sandbox.handshakes, err.count("\n")) == (2, 0, 1)
    assert f"go there first, cd {shlex.quote(str(folder))}" in err
    (folder / "list.csv").write_text("name,path\nAna,nothing.wav\n", encoding="utf-8")
    done = batch(sandbox, folder, "--from-file", str(folder / "list.csv"), "--no-progress")
    assert (done.status, "1 not handed in: Ana" in done.err) == (3, True)


def test_an_empty_list_is_told(sandbox: Sandbox, folder: Path) -> None:
    """A list without a row is named, and no folders are."""
    (folder / "list.csv").write_text("name,path\n", encoding="utf-8")
    status, _, err = batch(sandbox, folder, "--from-file", str(folder / "list.csv"), "--no-progress")
    assert (status, "list.csv' is an empty list" in err, "folders" in err) == (2, True, False)


def test_a_list_comes_from_stdin(sandbox: Sandbox, folder: Path) -> None:
    """`--from-file -` reads paths from standard input, beside those of the command line."""
    (folder.parent / "more.wav").write_bytes(recording(RECORDINGS))
    more = f"{folder.parent / 'more.wav'}\n".encode()
    outcome = batch(sandbox, folder, str(folder), "--from-file", "-", stdin=more)
    assert outcome.status == 0
    assert results(folder) == sorted([*every(folder), "more.wav"])


def test_stdin_holds_one_thing(sandbox: Sandbox, folder: Path) -> None:
    """List and token can't both come from standard input."""
    status, _, err = batch(sandbox, folder, "--from-file", "-", "--token", "-")
    assert (status, err.count("\n"), sandbox.handshakes) == (2, 1, 0)


def test_verbose_shows_the_exchanges(sandbox: Sandbox, folder: Path) -> None:
    """`-v` logs every exchange, and never the token; without it, none."""
    outcome = batch(sandbox, folder, "-v")
    assert outcome.status == 0
    assert outcome.err.count("DEBUG elsa_unscripted: < status 'success'") == RECORDINGS
    assert TOKEN not in outcome.err
    assert "DEBUG" not in batch(sandbox, folder).err


@pytest.mark.slow(everywhere=True)
@posix
def test_a_list_is_read_as_it_comes(sandbox: Sandbox, folder: Path) -> None:
    """While a list gives no more lines, what has finished gets into the journal; Ctrl-C doesn't wait for its end."""
    pipe = folder.parent / "pipe"
    os.mkfifo(pipe)
    with started(*command(sandbox.url, folder, "--from-file", str(pipe)), ELSA_API_TOKEN=TOKEN) as process:
        with pipe.open("w") as writer:
            print(folder / "0.wav", file=writer, flush=True)
            wait_for(lambda: results(folder) == ["0.wav"])
            print(folder / "1.wav", file=writer, flush=True)
            wait_for(lambda: len(results(folder)) == 2)
            assert interrupt(process).status == 130
    assert results(folder) == ["0.wav", "1.wav"]


def test_a_list_that_breaks_off_is_told(sandbox: Sandbox, folder: Path) -> None:
    """What stands before the place is scored; the status is that of a usage error."""
    bad = folder.parent / "list.csv"
    bad.write_text(f"path,note\n{folder / '0.wav'},fine\n{folder / '1.wav'},{'x' * 200_000}\n")
    outcome = batch(sandbox, folder, "--from-file", str(bad))
    assert (outcome.status, results(folder)) == (2, ["0.wav"])
    assert f"can't read on in the list {str(bad)!r}" in outcome.err


@pytest.mark.slow(everywhere=True)
@posix
def test_a_table_that_breaks_costs_no_result(sandbox: Sandbox, folder: Path) -> None:
    """When the table can't be written any more, the batch goes on without it, says so, and ends with status 2."""
    pipe = folder.parent / "pipe"
    os.mkfifo(pipe)
    with started(*command(sandbox.url, folder, "--csv", str(pipe)), ELSA_API_TOKEN=TOKEN) as process:
        with pipe.open() as reader:
            reader.read(1)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, results(folder)) == (2, every(folder))
    assert err.decode().count("error: can't write") == 1


# What goes wrong.


def test_a_refused_token_stops_it(sandbox: Sandbox, folder: Path) -> None:
    """HTTP 401 ends the batch with status 4, and nothing counts as failed: with a token, it goes on from there."""
    outcome = batch(sandbox, folder, "--jobs", "1", token="sandbox:401")
    assert (outcome.status, sandbox.handshakes, journal(folder)) == (4, 1, [])
    assert "401" in outcome.err
    assert last_line(outcome).startswith("elsa-unscripted: to go on: elsa-unscripted batch ")
    assert run(*going_on(outcome), ELSA_API_TOKEN=TOKEN).status == 0
    assert results(folder) == every(folder)


@pytest.mark.slow(everywhere=True)
def test_without_any_connection_it_stops(folder: Path) -> None:
    """When nothing ever connects it doesn't try 40,000 recordings: status 4, and how to go on."""
    for number in range(RECORDINGS, 20):
        (folder / f"{number}.wav").write_bytes(recording(number))

    outcome = run(*command("ws://127.0.0.1:1/", folder, "--jobs", "2"), ELSA_API_TOKEN=TOKEN)
    assert outcome.status == 4
    assert outcome.err.count("ConnectError") <= 1
    assert len(re.findall(r"^elsa-unscripted: error: .*\.wav", outcome.err, re.MULTILINE)) < 10
    assert "to go on" in last_line(outcome)


@pytest.mark.slow(everywhere=True)
def test_the_journal_is_one_runs(folder: Path) -> None:
    """A second run on the same journal is refused with status 2, and doesn't touch the table of the first."""
    table = folder.parent / "scores.csv"
    with Sandbox("slow=100") as sandbox:
        words = command(sandbox.url, folder, "--csv", str(table))
        with started(*words, ELSA_API_TOKEN=TOKEN) as process:
            wait_for(lambda: sandbox.handshakes == RECORDINGS)
            before = table.read_bytes()
            assert before
            status, _, err = run(*words, ELSA_API_TOKEN=TOKEN)
            assert (status, table.read_bytes(), sandbox.handshakes) == (2, before, RECORDINGS)
            assert process.poll() is None
    assert err.startswith("elsa-unscripted: error: ")
    assert "scores.jsonl" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--jobs", "4", "one.wav", "--speed", "2", "another.wav"], "paths stand together"),
        (["--jobs", "0"], "--jobs"),
        (["--jobs", "many"], "--jobs"),
        (["--max-audio-seconds", "-1"], "--max-audio-seconds"),
        (["--speed", "0"], "--speed"),
        (["--sample-rate", "1" + 400 * "0"], "--sample-rate"),
        (["--url", "http://127.0.0.1/"], "url"),
        (["--set", "key"], "--set"),
        (["--plan", "gold"], "--plan"),
        (["--csv", "-"], "--csv"),
        (["--csv", "missing/scores.csv"], "--csv"),
        (["-o", "-"], "-o"),
        (["-o", "missing/scores.jsonl"], "missing"),
        (["--from-file", "missing.txt"], "--from-file"),
        (["missing.wav"], "missing.wav"),
        (["--glob", "*.nothing"], "no recordings found"),
        pytest.param(["--dask", "nonsense"], "--dask", marks=pytest.mark.slow),  # imports Dask: seconds
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_bad_options_are_told(sandbox: Sandbox, folder: Path, arguments: list[str], named: str) -> None:
    """A wrong option ends with status 2 before anything is sent, and one line that names it."""
    status, out, err = batch(sandbox, folder, "--no-progress", *arguments)
    assert (status, out) == (2, b"")
    assert named in err.splitlines()[-1]
    assert err.startswith("elsa-unscripted: error: ")
    assert sandbox.handshakes == 0


def test_recordings_are_needed(sandbox: Sandbox) -> None:
    """Without any path there is one line that says what to give."""
    status, _, err = run(*COMMAND, "batch", "--url", sandbox.url, ELSA_API_TOKEN=TOKEN)
    assert (status, err.count("\n")) == (2, 1)
    assert "--from-file" in err


def test_the_table_spares_journal_and_list(sandbox: Sandbox, folder: Path) -> None:
    """`--csv` with the name of the journal or of the list is refused, and neither is touched."""
    (folder.parent / "list.csv").write_text("path,outcome\n")
    for arguments in (["--csv", "scores.jsonl"], ["--from-file", "list.csv", "--csv", "list.csv"]):
        named = [str(folder.parent / word) if "." in word else word for word in arguments]
        status, _, err = batch(sandbox, folder, *named)
        assert (status, named[-1] in err, sandbox.handshakes) == (2, True, 0)
    assert (folder.parent / "list.csv").read_text() == "path,outcome\n"


# Secrets.


@pytest.mark.slow(everywhere=True)
def test_secrets_are_not_repeated(sandbox: Sandbox, folder: Path) -> None:
    """Neither the token nor a proxy's password is in the output, the journal or the table; what to give again is."""
    (folder / "empty.wav").touch()
    table = folder.parent / "scores.csv"
    for given in (["--token", TOKEN], [f"--token={TOKEN}"]):
        outcome = batch(sandbox, folder, *given, "--csv", str(table), token="")
        assert outcome.status == 3
        assert "(give --token again)" in last_line(outcome)
        files = (folder.parent / "scores.jsonl").read_text() + table.read_text()
        assert TOKEN not in files + outcome.err + outcome.out.decode()
        assert run(*going_on(outcome), ELSA_API_TOKEN=TOKEN).status == 3
    for given in (["--proxy", "http://me:sesame@127.0.0.1:1"], ["--prox=http://me:sesame@127.0.0.1:1"]):
        outcome = batch(sandbox, folder, *given, "--retry-failed", "-o", str(folder.parent / "other.jsonl"))
        assert (outcome.status, "sesame" in outcome.err) == (4, False)
        assert "(give --proxy again)" in last_line(outcome)


@pytest.mark.slow(everywhere=True)
@posix
def test_the_command_to_repeat_keeps_odd_names(sandbox: Sandbox, folder: Path) -> None:
    """Where paths stand behind `--`, as one that begins with a dash must, `--retry-failed` stands before it."""
    (folder / "-1.wav").write_bytes(b"no audio")
    words = [word for word in command(sandbox.url, folder) if word != str(folder)]
    there = ("sh", "-c", 'cd "$0" && exec "$@" -- -1.wav 0.wav', str(folder), *words)
    package = os.path.dirname(os.path.dirname(elsa_unscripted.__file__))
    outcome = run(*there, ELSA_API_TOKEN=TOKEN, PYTHONPATH=package)
    assert (outcome.status, results(folder).count("0.wav")) == (3, 1)
    assert going_on(outcome)[-3:] == ["--", "-1.wav", "0.wav"]
    (folder / "0.wav").write_bytes(recording(7))
    outcome = run(*there, ELSA_API_TOKEN="sandbox:close=1011", PYTHONPATH=package)
    assert going_on(outcome)[-4:] == ["--retry-failed", "--", "-1.wav", "0.wav"]


def test_what_is_no_secret_is_repeated(sandbox: Sandbox, folder: Path) -> None:
    """A token file and a proxy without a password belong to the command to repeat."""
    (folder.parent / "token.txt").write_text(TOKEN)
    given = ["--token-file", str(folder.parent / "token.txt"), "--proxy", "127.0.0.1:1", "--jobs=3"]
    outcome = batch(sandbox, folder, *given, token="")
    assert outcome.status == 4
    assert going_on(outcome)[-len(given) - 1 :] == [*given, "--retry-failed"]


# Ctrl-C.


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    "signals", [["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGHUP", "SIGHUP", "SIGTERM"]], ids="-".join
)
def test_interrupted_once_it_finishes_what_is_in_flight(folder: Path, signals: list[str]) -> None:
    """No new ones are begun, those in flight get their results; the command of the last line does the rest, once.

    A terminal that closes is such an interruption, however many signals it sends. The page has those, too, that were
    never begun.
    """
    page = folder.parent / "class.html"
    with Sandbox("slow=1") as sandbox:
        with started(
            *command(sandbox.url, folder, "--jobs", "2", "--report", str(page)), ELSA_API_TOKEN=TOKEN
        ) as process:
            wait_for(lambda: sum(exchange.heard > 0 for exchange in sandbox.exchanges) == 2)
            for name in signals:
                process.send_signal(getattr(signal, name))
            out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, sandbox.handshakes) == (130, b"", 2)
        assert f"0 with a score, 2 too short, {RECORDINGS - 2} left\n" in err.decode()
        assert "2 in flight finish; Ctrl-C again cuts them off" in err.decode()
        assert len(results(folder)) == 2
        unfinished = f"0 with a score, 2 too short, {RECORDINGS - 2} not begun yet"
        assert unfinished in page.read_text(encoding="utf-8")
        done = Finished(process.returncode, out, err.decode())
        assert last_line(done).startswith("elsa-unscripted: to go on: ")
        assert run(*going_on(done), ELSA_API_TOKEN=TOKEN).status == 0
        assert sandbox.handshakes == RECORDINGS
        assert f"0 with a score, {RECORDINGS} too short" in page.read_text(encoding="utf-8")
    assert results(folder) == every(folder)


@pytest.mark.slow(everywhere=True)
@posix
def test_interrupted_twice_it_stops_now(folder: Path) -> None:
    """Those in flight are cut off; the journal is whole, and the command of the last line goes on from it."""
    with Sandbox("slow=100", port=closed_port()) as sandbox:
        with started(*command(sandbox.url, folder, "--jobs", "2"), ELSA_API_TOKEN=TOKEN) as process:
            wait_for(lambda: sum(exchange.heard > 0 for exchange in sandbox.exchanges) == 2)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = b""
            while b"Ctrl-C again" not in said:
                said = process.stderr.readline()
            outcome = interrupt(process)
        assert (outcome.status, sandbox.handshakes, journal(folder)) == (130, 2, [])
        assert "2 cut off in flight, which may be billed" in outcome.err
        assert f"{RECORDINGS} recordings in 0:0" in outcome.err
        assert f"0 with a score, {RECORDINGS} left\nEstimate of the bill: 2 started units" in outcome.err
    with Sandbox(port=sandbox.port):
        assert run(*going_on(outcome), ELSA_API_TOKEN=TOKEN).status == 0
    assert results(folder) == every(folder)


@pytest.mark.slow(everywhere=True)
@posix
def test_an_ignored_interrupt_stays_ignored(folder: Path) -> None:
    """Behind `nohup`, or `&` in a script, signals are ignored: those that are meant for others don't stop it."""
    with Sandbox("slow=0.2") as sandbox:
        words = command(sandbox.url, folder, "--jobs", "1")
        script = f"trap '' INT HUP; exec {shlex.join(words)}"
        with started("sh", "-c", script, ELSA_API_TOKEN=TOKEN) as process:
            wait_for(lambda: sandbox.handshakes)
            process.send_signal(signal.SIGHUP)
            assert interrupt(process).status == 0


# What is seen.


@posix
def test_a_bar_is_shown_on_a_terminal(folder: Path) -> None:
    """On a terminal one bar shows what is done, failed and in flight, and the pace; an error scrolls above it."""
    (folder / "0.wav").write_text("no audio at all")
    with Sandbox("slow=0.3") as sandbox:
        words = command(sandbox.url, folder, "--jobs", "2")
        status, screen = on_terminal(*words, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    assert status == 3
    shown = [re.sub(r"\x1b\[\w", "", line).strip() for line in screen.split("\r")]
    bars = [line for line in shown if "|" in line]
    assert max(map(len, bars)) <= 80
    assert any(
        re.fullmatch(r"[1-5] of 6 \|█+.* *\| 1 failed, [12] in flight, \d+(\.\d)?× real time, \d:\d\d left", bar)
        for bar in bars
    )
    assert any(bar.startswith("6 of 6 |") for bar in bars)
    errors = [line for line in shown if line.startswith("elsa-unscripted: error: ")]
    assert len(errors) == 1
    assert "0.wav" in errors[0]


@posix
def test_the_bar_fits_a_narrow_terminal(sandbox: Sandbox, folder: Path) -> None:
    """No line of the bar is wider than the terminal, or it would scroll."""
    _, screen = on_terminal(*command(sandbox.url, folder), columns=40, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    bars = [line for line in screen.split("\r") if "flight" in line]
    assert bars
    assert max(map(len, bars)) <= 40


@pytest.mark.slow(everywhere=True)
@posix
def test_the_bar_needs_no_total(sandbox: Sandbox, folder: Path) -> None:
    """Where only reading a pipe would tell how many there are, there is no total and no time that is left."""
    words = shlex.join(command(sandbox.url, folder, str(folder), "--from-file", "-"))
    script = f"printf '' | {words}"
    _, screen = on_terminal("sh", "-c", script, only_stderr=True, ELSA_API_TOKEN=TOKEN)
    assert f"{RECORDINGS}  0 failed, 0 in flight" in screen
    assert " of " not in screen.partition("recordings in")[0]
    assert " left" not in screen


def test_without_a_terminal_there_are_lines(sandbox: Sandbox, folder: Path) -> None:
    """In a pipe there is a first line and a last one, and no escape sequence; `--no-progress` has none."""
    err = batch(sandbox, folder).err
    lines = [line for line in err.splitlines() if " in flight" in line]
    assert lines[0].startswith(f"elsa-unscripted: 0 of {RECORDINGS} done, 0 failed, 0 in flight")
    assert lines[-1].startswith(f"elsa-unscripted: {RECORDINGS} of {RECORDINGS} done, 0 failed, 0 in flight")
    assert len(lines) == 2
    assert "\x1b" not in err
    assert " in flight" not in batch(sandbox, folder, "--no-progress").err


def test_lines_come_once_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    """However often it is told, a line is printed once in its time, and at the end."""
    with contextlib.closing(Meter(10, every=0.2)) as meter:
        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            meter.show(BatchProgress(succeeded=2, failed=1, in_flight=4))
        meter.show(BatchProgress(succeeded=9, failed=1), last=True)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 4
    assert lines[0].startswith("elsa-unscripted: 3 of 10 done, 1 failed, 4 in flight, 0.0× real time")
    assert lines[-1].startswith("elsa-unscripted: 10 of 10 done, 1 failed, 0 in flight")


def test_a_back_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """While the server asks for fewer requests, what is seen says so, and how long it waits."""
    with contextlib.closing(Meter(None)) as meter:
        meter.show(BatchProgress(in_flight=2, waiting=7.4))
    assert capsys.readouterr().err == "elsa-unscripted: 0 done, 0 failed, 2 in flight, rate limited, waiting 7 s\n"


def test_reasons_are_what_errors_have_in_common() -> None:
    """Errors are counted by status, close code or reason, not by their messages; rare ones together."""
    tally = Tally()
    errors: list[ElsaError] = [ConnectError("a", status_code=503), ConnectError("b", status_code=503)]
    errors += [StreamClosedError("c", code=1011), BudgetError("d"), AudioError("e")]
    errors += [ScoringFailedError(f"f{number}", reason=f"reason {number}") for number in range(30)]
    for error in errors:
        tally.add(elsa_unscripted.Outcome("x.wav", error=error))
    lines = tally.lines(1.0, 0.0)
    counts = "0 with a score, 1 unreadable, 30 turned down, 3 not scored yet, 1 not begun yet"
    assert lines[:2] == [f"35 recordings in 0:01: {counts}", "What to do next:"]
    assert lines[2:5] == [
        "  Record again:",
        "    1 unreadable (e): x.wav",
        "    1 turned down (reason 0): x.wav",
    ]
    assert lines[13:] == [
        "    21 for other reasons; the journal has them all",
        "  Wait, and try again with --retry-failed:",
        "    2 not scored yet (HTTP 503): x.wav, x.wav",
        "    1 not scored yet (closed with 1011): x.wav",
        "  Run the batch again:",
        "    1 not begun yet (over budget): x.wav",
    ]


def test_ten_names_are_enough() -> None:
    """Of each reason ten recordings are named, and the number of the others; all are in the journal."""
    tally = Tally()
    for number in range(13):
        tally.add(elsa_unscripted.Outcome(f"{number:02}.wav", error=AudioError("no such file", missing=True)))
    names = ", ".join(f"{number:02}.wav" for number in range(10))
    assert tally.lines(1.0, 0.0)[-1] == f"    13 not handed in: {names}, and 3 more"


def test_quiet_leaves_errors(sandbox: Sandbox, folder: Path) -> None:
    """`-q` prints nothing when all is well; otherwise the errors, and how to go on."""
    assert batch(sandbox, folder, "-q") == (0, b"", "")
    (folder / "empty.wav").touch()
    status, out, err = batch(sandbox, folder, "-q")
    assert (status, out, err.count("\n")) == (3, b"", 2)


# Dask.


CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    # The worker is a thread of this process, which saves the second that a process takes to start; Dask still talks to
    # it over TCP.
    size = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "protocol": "tcp://"}
    with LocalCluster(**size, dashboard_address="localhost:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.slow
def test_dask_does_the_work(sandbox: Sandbox, folder: Path) -> None:
    """With `--dask`, the workers of a scheduler stream the recordings, and the journal is written here."""
    (folder.parent / "cluster.py").write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, str(folder.parent / "cluster.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as cluster:
        try:
            assert cluster.stdout is not None
            address = cluster.stdout.readline().decode().strip()
            outcome = batch(sandbox, folder, "--dask", address)
        finally:
            cluster.communicate(b"\n", timeout=PATIENCE)
    assert outcome.status == 0
    assert results(folder) == every(folder)
    assert sandbox.handshakes == RECORDINGS


@pytest.mark.slow
@posix
def test_dask_has_not_the_last_word(folder: Path) -> None:
    """When the scheduler is gone, status 4 and the last line says how to go on, whatever Dask has to say."""
    (folder.parent / "cluster.py").write_text(CLUSTER)
    with (
        Sandbox("slow=60") as sandbox,
        subprocess.Popen(
            [sys.executable, str(folder.parent / "cluster.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=unmeasured(),
            start_new_session=True,
        ) as cluster,
    ):
        try:
            assert cluster.stdout is not None
            address = cluster.stdout.readline().decode().strip()
            with started(*command(sandbox.url, folder, "--dask", address), ELSA_API_TOKEN=TOKEN) as process:
                wait_for(lambda: any(exchange.heard for exchange in sandbox.exchanges))
                os.killpg(cluster.pid, signal.SIGKILL)
                out, err = process.communicate(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(cluster.pid, signal.SIGKILL)
    assert (process.returncode, out) == (4, b"")
    assert err.decode().splitlines()[-1].startswith("elsa-unscripted: to go on: elsa-unscripted batch ")


@pytest.mark.slow(everywhere=True)
def test_a_missing_extra_is_named(sandbox: Sandbox, folder: Path) -> None:
    """Without the extra, `--dask` says how to install it."""
    status, _, err = batch(sandbox, folder, "--dask", "tcp://x:1", **shadow(folder, "dask", "raise ImportError"))
    assert (status, err.count("\n")) == (2, 1)
    assert "pip install 'elsa-unscripted[dask]'" in err


# Help.


def test_help_tells_what_matters() -> None:
    """`batch --help` fits 80 columns and has every option and every exit status."""
    status, out, _ = run(*COMMAND, "batch", "--help", COLUMNS="80")
    text = out.decode("ascii")
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80
    options = "from-file glob jobs retry-failed max-audio-seconds dask token token-file plan set speed timeout csv"
    for option in [*map("--{}".format, options.split()), "-o", "-q", "-v"]:
        assert re.search(rf"^  (\S+( \S+)?, )?{option}\b", text, re.MULTILINE), option
    assert re.findall(r"^  (\d+) ", text, re.MULTILINE) == ["0", "2", "3", "4", "130"]
    assert "with ps" in text


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux limits another process's files")
def test_a_full_disk_is_waited_for(sandbox: Sandbox, folder: Path) -> None:
    """When the journal can't be written, what has finished is kept until it can: each recording is sent once."""
    import resource

    def limit(process: subprocess.Popen[bytes], size: int) -> None:
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))

    variables = {"ELSA_API_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1"}  # see `full_disk()`
    with started(*command(sandbox.url, folder, "--jobs", "1"), **variables) as process:
        limit(process, 100)
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.decode())
            if "tried again" in lines[-1]:
                limit(process, resource.RLIM_INFINITY)
        assert process.wait(PATIENCE) == 0
    assert any("tried again" in line for line in lines), lines
    assert results(folder) == every(folder)
    assert len(sandbox.exchanges) == RECORDINGS


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux limits another process's files")
def test_what_a_full_disk_has_cost_is_told(sandbox: Sandbox, folder: Path) -> None:
    """When a batch ends because its journal can't be written, the bill has every stream, and who is left is told."""
    import resource

    variables = {"ELSA_API_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1"}  # see `full_disk()`
    with started(*command(sandbox.url, folder, "--jobs", "3"), **variables) as process:
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, hard))
        wait_for(lambda: sum(exchange.verdict is not None for exchange in sandbox.exchanges) == 3)
        err = interrupt(process).err
    assert (process.returncode, journal(folder)) == (130, [])
    assert f"0 with a score, {RECORDINGS} left\nEstimate of the bill: 3 started units" in err


def test_one_missing_path_keeps_no_other(sandbox: Sandbox, folder: Path) -> None:
    """A path that doesn't exist is a recording that fails, beside those that do; if none does, the usage is wrong."""
    journal = str(folder.parent / "scores.jsonl")
    given = [str(folder / "missing.wav"), str(folder), "--url", sandbox.url, "--speed", "max", "-o", journal]
    outcome = run(*COMMAND, "batch", *given, ELSA_API_TOKEN=TOKEN)
    assert outcome.status == 3
    assert results(folder) == every(folder)
    assert "missing.wav" in outcome.err
    journal = str(folder.parent / "none.jsonl")
    nothing = run(*COMMAND, "batch", str(folder / "missing.wav"), "-o", journal, ELSA_API_TOKEN=TOKEN)
    assert (nothing.status, "doesn't exist" in nothing.err) == (2, True)
