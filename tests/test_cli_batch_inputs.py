"""What `elsa-unscripted batch` reads and writes beside the journal: folders, lists, and the table."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, SHORT, full_disk, posix, run

from elsa_unscripted import AudioError, BadQualityError, ConfigError, Outcome, ScoreResult
from elsa_unscripted.cli.inputs import Columns, Inputs
from elsa_unscripted.cli.list_file import Input
from elsa_unscripted.cli.table import Table
from elsa_unscripted.results.result import Timings
from elsa_unscripted.results.rows import COLUMNS
from elsa_unscripted.sandbox import Sandbox

HARMFUL = ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠1")
full = pytest.param("/dev/full", marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device"))
FORMULA = tuple("=+-@＝＋－＠")
EXAMPLE = Path(str(sys.modules["elsa_unscripted"].__file__)).parent / "sandbox" / "example.json"


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(*paths: Path, globs: Sequence[str] = (), list_file: Path | None = None) -> list[Input]:
    with contextlib.closing(
        Inputs([str(path) for path in paths], globs, str(list_file) if list_file else None)
    ) as inputs:
        recordings = [recording for recording in inputs if recording is not None]
        assert inputs.count() == len(recordings)
        return recordings


def names(recordings: list[Input], folder: Path) -> list[str]:
    return [os.path.relpath(recording.path, folder) for recording in recordings]


# Folders.


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    """A folder gives its audio files by name, then those of its folders; hidden and other files are passed over."""
    make(tmp_path, "b.wav", "a.MP3", "c/a.flac", "B/z.m4a", "notes.txt", "._b.wav", ".git/a.wav", "d.wav.part")
    assert names(found(tmp_path), tmp_path) == [
        "a.MP3",
        "b.wav",
        os.path.join("B", "z.m4a"),
        os.path.join("c", "a.flac"),
    ]


def test_paths_are_taken_as_given(tmp_path: Path) -> None:
    """Files that are named are taken whatever their names are, in the order of the command line."""
    make(tmp_path, "z.bin", "a/one.wav", ".hidden")
    given = [tmp_path / "z.bin", tmp_path / "a", tmp_path / ".hidden"]
    assert names(found(*given), tmp_path) == ["z.bin", os.path.join("a", "one.wav"), ".hidden"]


def test_globs_choose(tmp_path: Path) -> None:
    """`--glob` decides in place of the extensions; any of several is enough."""
    make(tmp_path, "one.wav", "two.raw", "three.mp3", "a/four.raw")
    assert names(found(tmp_path, globs=["*.raw", "o*"]), tmp_path) == [
        "one.wav",
        "two.raw",
        os.path.join("a", "four.raw"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_recordings_of_every_kind_are_found(tmp_path: Path) -> None:
    """A folder is searched for whatever decodes, by its extension in any case; a link that leads nowhere is found."""
    kinds = (".3gp", ".caf", ".mov", ".mka", ".aifc", ".au", ".m4b", ".amr", ".3gpp", ".ac3", ".mp2", ".w64", ".Mp3")
    make(tmp_path, *(f"speech{kind}" for kind in kinds))
    (tmp_path / "annexed.wav").symlink_to(tmp_path / "nowhere.wav")
    assert {*names(found(tmp_path), tmp_path)} == {"annexed.wav", *(f"speech{kind}" for kind in kinds)}


@posix
def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    """Whatever isn't taken from a folder is counted by its kind, in folders of it too; with a pattern, that chooses."""
    make(tmp_path, "a.wav", "a.txt", "b/b.TXT", "b/c.pdf", "speech", ".hidden.wav", "._a.wav", ".DS_Store")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "more").symlink_to(tmp_path / "b")
    (tmp_path / "a.link").symlink_to("a.link")
    with contextlib.closing(Inputs([str(tmp_path)])) as inputs:
        assert len(list(inputs)) == 1
        others = {".txt": 2, ".pdf": 1, "without an extension": 1, ".link": 1}
        assert inputs.passed_over == {**others, "hidden": 1, "linked folder": 1, "no plain file": 1}
        assert "2 .txt, 1 " in inputs.passed_over_words()
    with contextlib.closing(Inputs([str(tmp_path)], ["*.wav"])) as inputs:
        assert len(list(inputs)) == 1
        assert inputs.passed_over == {"hidden": 1, "linked folder": 1, "no plain file": 1}
    with contextlib.closing(Inputs([str(tmp_path / "a.wav")])) as inputs:
        assert (len(list(inputs)), inputs.passed_over_words()) == (1, "")
    with contextlib.closing(Inputs([str(tmp_path / "b")], own=[str(tmp_path / "b" / "c.pdf")])) as inputs:
        assert (list(inputs), inputs.passed_over) == ([], {".txt": 1})


def test_links_lead_in_no_circle(tmp_path: Path) -> None:
    """Links to files are followed, links to folders are not."""
    make(tmp_path, "one.wav", "a/two.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "again.wav").symlink_to(tmp_path / "one.wav")
    (tmp_path / "a" / "circle.wav").symlink_to(tmp_path / "a" / "circle.wav")
    assert names(found(tmp_path), tmp_path) == ["one.wav", "a/again.wav", "a/circle.wav", "a/two.wav"]


@pytest.mark.skipif(os.name == "nt", reason="no directory descriptors")
def test_a_folder_that_can_not_be_searched_is_an_error_of_its_own(tmp_path: Path) -> None:
    """The others are scored; the folder stands among the errors, as scoring it fails."""
    make(tmp_path, "b/two.wav")
    # Rights keep nobody out where tests run as root; a path that is too long does.
    here, path = os.open(tmp_path, os.O_RDONLY), str(tmp_path)
    for _ in range(20):
        name = "a" * 250
        os.mkdir(name, dir_fd=here)
        above, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(above)
        path = os.path.join(path, name)
    os.close(here)
    first, second = found(tmp_path)
    assert path.startswith(first.path)
    assert len(first.path) > 4096
    assert second.path == str(tmp_path / "b" / "two.wav")


def test_a_path_that_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    """A wrong path is an error before anything is sent; for a pattern that no shell has expanded there is a hint."""
    with pytest.raises(ConfigError, match=r"missing\.wav' doesn't exist; check the path$"):
        found(tmp_path / "missing.wav")
    make(tmp_path, "speech.wav", "Ivan Petrov.wav")
    with pytest.raises(ConfigError, match=r"batch .* --glob '\*\.wav'"):
        found(tmp_path / "*.wav")
    with pytest.raises(ConfigError, match=r"did you mean .*speech\.wav\?$"):
        found(tmp_path / "speach.wav")
    with pytest.raises(ConfigError, match=r"quote it: '.*Ivan Petrov\.wav' exists"):
        found(tmp_path / "speech.wav", tmp_path / "Ivan", Path("Petrov.wav"))


# Lists.


def listed(tmp_path: Path, content: bytes, name: str = "list.txt") -> list[Input]:
    (tmp_path / name).write_bytes(content)
    return found(list_file=tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"a.wav\nb c.wav\n", b"\xef\xbb\xbfa.wav\r\n\r\nb c.wav", b"\n\na.wav\nb c.wav\n\n"]
)
def test_a_list_has_a_path_on_each_line(tmp_path: Path, content: bytes) -> None:
    """Line ends of any system, empty lines and a byte order mark don't count."""
    assert listed(tmp_path, content) == [Input("a.wav"), Input("b c.wav")]


def test_a_line_is_a_path_whatever_is_in_it(tmp_path: Path) -> None:
    """Commas, quotes, spaces, `#` and bytes that aren't UTF-8 belong to the name."""
    content = b'#1, the "first".wav\n path\nspaced .wav \nm\xe4rz.wav\n'
    paths = ['#1, the "first".wav', " path", "spaced .wav ", os.fsdecode(b"m\xe4rz.wav") if os.name != "nt" else ...]
    assert [recording.path for recording in listed(tmp_path, content)][:3] == paths[:3]
    if os.name != "nt":
        assert os.fsencode(listed(tmp_path, content)[3].path) == b"m\xe4rz.wav"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_has_a_column_path(tmp_path: Path, separator: str) -> None:
    """A first line that names a column `path` makes it a table, with a comma, semicolon or tab; the rest is carried."""
    rows = [
        ["pupil", " path", "note"],
        ["Zoë", "a.wav", f"two\nlines{separator} quoted"],
        ["", "", "none"],
        ["Bo", "b"],
    ]
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    recordings = listed(tmp_path, text.getvalue().encode("utf-8-sig"))
    assert recordings == [Input("a.wav", ("Zoë", rows[1][2])), Input("b", ("Bo", ""))]


def test_a_list_of_the_one_column_path_is_a_table(tmp_path: Path) -> None:
    """The line `path` alone is a header."""
    assert listed(tmp_path, b"path\na.wav\n") == [Input("a.wav")]


def test_an_empty_list_has_nothing(tmp_path: Path) -> None:
    """No line, or none but empty ones, is no error here."""
    assert listed(tmp_path, b"") == listed(tmp_path, b"\n \n") == []


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (
            "pupils.csv",
            b"file,pupil\na.wav,Zo\n",
            r"\(columns found: file, pupil\).*--path-column file",
        ),
        ("pupils.csv", "path,pupil\na.wav,Zo\nb.wav,Zoë\n".encode("cp1252"), "CSV UTF-8"),
        ("pupils.txt", "Path;Zoë\na.wav,Zo\n".encode("cp1252"), "CSV UTF-8"),
        ("pupils.csv", "path,pupil\na.wav,Zo\n".encode("utf-16"), "CSV UTF-8"),
        ("pupils.csv", "path\na.wav\nZoë.wav\n".encode("cp1252"), "CSV UTF-8"),
        ("list.txt", "a.wav\nb.wav\n".encode("utf-16"), "UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes, named: str) -> None:
    """A `.csv` without the column, and another encoding, are told before anything is sent."""
    with pytest.raises(ConfigError, match=named):
        listed(tmp_path, content, name)


@pytest.mark.parametrize("begin", [b"", b"a.wav\n", b"path,name\na.wav,Ana\n"])
@pytest.mark.parametrize("line", [b"a\0b\n", b"x" * (2 << 20)], ids=["zero", "long"])
def test_a_list_without_lines_is_refused(tmp_path: Path, begin: bytes, line: bytes) -> None:
    """A line has a bound, and no zeros: a device that never ends, or a recording, is told, wherever it begins."""
    (tmp_path / "list").write_bytes(begin + line)

    def read() -> None:
        with contextlib.closing(Inputs([], [], str(tmp_path / "list"))) as inputs:
            list(inputs)

    with pytest.raises(ConfigError, match="isn't UTF-8 text"):
        read()


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.parametrize("lines", ["{}\n", "path;name\n{};Ana\n"], ids=["plain", "table"])
def test_names_are_the_bytes_of_the_list(tmp_path: Path, lines: str) -> None:
    """In any locale, the bytes of a list are those of the file's name, in any encoding, and are written down the same.

    The journal and the table have what `readable()` makes of a name.
    """
    code = """
import os, sys
from elsa_unscripted.cli.inputs import Inputs
from elsa_unscripted.files import readable
(path,) = (each.path for each in Inputs([], [], sys.argv[1]))
print(sys.getfilesystemencoding(), os.path.exists(path), ascii(os.path.basename(readable(path))))
"""
    for name, shown in (("Zoë.wav".encode(), rb"'Zo\xeb.wav'"), (b"Zo\xeb.wav", rb"'Zo\udceb.wav'")):
        path = os.fsencode(tmp_path) + b"/" + name
        with open(path, "wb"), open(tmp_path / "list", "wb") as file:
            file.write(lines.encode().replace(b"{}", path))
        command = (sys.executable, "-c", code, str(tmp_path / "list"))
        plain: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        for variables, encoding in ((plain, b"ascii"), ({}, b"utf-8")):
            assert run(*command, **variables) == (0, encoding + b" True " + shown + b"\n", "")


def test_a_plain_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """Where others of its paths are there, one that isn't UTF-8 and isn't there would be a pupil who is lost."""
    make(tmp_path, "a.wav")
    with pytest.raises(ConfigError, match="CSV UTF-8"):
        listed(tmp_path, "a.wav\nZoë.wav\n".encode("cp1252"))


@pytest.mark.parametrize("head", ["Pupil;PATH", "Pupil; Path ", "Pupil\tpath"])
def test_a_columns_name_is_known_in_any_case(tmp_path: Path, head: str) -> None:
    """Excel's users write `Path`: capitals and spaces don't matter."""
    separator = "\t" if "\t" in head else ";"
    assert listed(tmp_path, f"{head}\nBo{separator}a.wav\n".encode()) == [Input("a.wav", ("Bo",))]


def test_another_column_can_have_the_paths(tmp_path: Path) -> None:
    """`--path-column` names it, in any case; one that isn't there is told with those that are, in any kind of file."""
    (tmp_path / "list.txt").write_text("Name;Datei\nBo;a.wav\n")
    with contextlib.closing(Inputs([], (), str(tmp_path / "list.txt"), "datei")) as inputs:
        assert list(inputs) == [Input("a.wav", ("Bo",))]
        assert inputs.columns == ["Name"]
    with pytest.raises(ConfigError, match=r"no column 'file' \(columns found: Name, Datei\)"):
        Inputs([], (), str(tmp_path / "list.txt"), "file")


@pytest.mark.parametrize("head", ["sep=;\r\nName;Path\r\n", '\ufeff"sep=;"\nName;Path\n', "SEP=|\nName|Path\n"])
def test_a_line_for_excel_tells_the_separator(tmp_path: Path, head: str) -> None:
    """`sep=;` above the header is no row: some programs write it for Excel, with any separator."""
    separator = "|" if "|" in head else ";"
    assert listed(tmp_path, f"{head}Bo, the first{separator}a.wav\n".encode(), "a.csv") == [
        Input("a.wav", ("Bo, the first",))
    ]
    assert listed(tmp_path, b"sep=;\n", "a.csv") == []


def test_a_path_with_the_quotes_of_windows_is_found(tmp_path: Path) -> None:
    """`"C:\\a.wav"`, as Windows copies a path, is the path; quotes elsewhere belong to the name."""
    content = f'"{tmp_path}/a.wav"\n"quoted", then not.wav\n'
    assert [each.path for each in listed(tmp_path, content.encode())] == [
        f"{tmp_path}/a.wav",
        '"quoted", then not.wav',
    ]


def test_who_is_named_without_a_path_is_there(tmp_path: Path) -> None:
    """A row with a name and no path is somebody who has handed in nothing; other rows without a path are none."""
    content = b"name,path,note\nBo,a.wav,\nMax,,ill\n,,total 2\n"
    assert listed(tmp_path, content) == [Input("a.wav", ("Bo", "")), Input("", ("Max", "ill"))]


def test_a_list_that_is_missing_is_refused(tmp_path: Path) -> None:
    """So is a list that isn't there, or is a folder."""
    for path in (tmp_path, tmp_path / "missing.txt"):
        with pytest.raises(ConfigError, match="--from-file"):
            found(list_file=path)


@posix
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While a pipe gives no line, `None` is yielded, at once; its end and its errors come as a file's do."""
    os.mkfifo(tmp_path / "pipe")

    def write() -> None:
        with (tmp_path / "pipe").open("w") as writer:
            print("path,note", file=writer, flush=True)
            assert asked.wait(PATIENCE)
            writer.write("".join(f"{number}.wav,\n" for number in range(500)) + "b.wav," + "x" * 200_000 + "\n")

    asked = threading.Event()
    with contextlib.ExitStack() as stack:
        thread = threading.Thread(target=write)
        thread.start()
        stack.callback(thread.join, PATIENCE)
        inputs = stack.enter_context(contextlib.closing(Inputs([], (), str(tmp_path / "pipe"))))
        recordings = iter(inputs)
        assert [next(recordings) for _ in range(3)] == [None] * 3
        assert inputs.count() is None
        asked.set()
        drawn: list[str] = []
        with pytest.raises(ConfigError, match="can't read on"):
            drawn.extend(recording.path for recording in recordings if recording is not None)
    assert drawn == [f"{number}.wav" for number in range(500)]


@posix
def test_who_leaves_a_pipe_leaves_no_thread(tmp_path: Path) -> None:
    """The thread that reads ahead ends when nobody takes what it reads, and closes the pipe."""
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_text, args=("".join(f"{n}.wav\n" for n in range(2000)),))
    thread.start()
    with contextlib.closing(Inputs([], (), str(tmp_path / "pipe"))) as inputs:
        recordings = inputs.__iter__()
        first = next(recording for recording in recordings if recording is not None)
        assert first.path == "0.wav"
        time.sleep(0.2)  # the thread has filled the queue, and waits for a place
        del recordings
        ends = time.monotonic() + PATIENCE
        while any(each.name == "elsa-list" for each in threading.enumerate()):
            assert time.monotonic() < ends
            time.sleep(0.01)
    thread.join(PATIENCE)


def test_a_list_breaks_off_with_an_error(tmp_path: Path) -> None:
    """What can't be read in the middle of a table is told when it is reached; what stands before it is yielded."""
    (tmp_path / "list.csv").write_text("path,note\na.wav,fine\nb.wav," + "x" * 200_000 + "\n")
    with contextlib.closing(Inputs([], (), str(tmp_path / "list.csv"))) as inputs:
        recordings = iter(inputs)
        assert next(recordings) == Input("a.wav", ("fine",))
        with pytest.raises(ConfigError, match="can't read on"):
            next(recordings)
        assert inputs.count() is None


def test_columns_find_their_recording() -> None:
    """The columns of a path that is listed twice go to one of its rows each; nothing is kept afterwards."""
    columns = Columns()
    for recording in (Input("a", ("1",)), Input("a", ("2",)), Input("b")):
        columns.put(recording)
    assert [columns.take(path) for path in ("b", "a", "a", "a")] == [(), ("1",), ("2",), ()]
    assert not vars(columns)["_waiting"]


# The table.


def verdict(**changes: Any) -> ScoreResult:
    return ScoreResult({"status": "success", **json.loads(EXAMPLE.read_text()), **changes}, audio_seconds=24.73)


def written(tmp_path: Path, *outcomes: Outcome, carried: Sequence[str] = (), cells: Sequence[str] = ()) -> Path:
    file = tmp_path / "scores.csv"
    with contextlib.closing(Table(str(file), carried)) as table:
        for outcome in outcomes:
            table.add(outcome, cells)
    return file


def test_pandas_reads_numbers_as_numbers(tmp_path: Path, pandas: Any) -> None:
    """Every documented score is there under the server's name, with its value; numbers are numbers for pandas."""
    file = written(tmp_path, Outcome("a.wav", verdict()), Outcome("b.wav", verdict(speakers=[])))
    table = pandas.read_csv(file)
    assert list(table.columns) == list(COLUMNS)
    assert table.path.tolist() == ["a.wav", "b.wav"]
    speaker = json.loads(EXAMPLE.read_text())["speakers"][0]
    general, other = speaker["metrics"]["general_scores"], speaker["metrics"]["other_metrics"]
    documented = {**general["elsa"], **general["cefr"], **general["other_scores"]}
    documented.update(**other["pronunciation"], **other["fluency"], **other["intonation"])
    documented.update(total_time=speaker["total_time"])
    assert len(documented) == 12 + 6 + 4 + 7 + 1
    for name, value in documented.items():
        assert table[name][0] == value, name
        assert (table[name].dtype == "float64") == isinstance(value, (int, float)), name
        assert pandas.isna(table[name][1]), name
    assert table.transcript[0].startswith("And Mister John Dashwood")


def test_null_is_empty(tmp_path: Path) -> None:
    """A score that is null or missing is an empty cell, not 0 and not a word."""
    with Sandbox() as sandbox:
        from elsa_unscripted import score

        result = score(SHORT, "any", url=sandbox.url, speed=None)
    with written(tmp_path, Outcome("a.wav", result)).open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["eps_score"], row["overall_cefr"], row["ielts_score"]) == ("", "", "")
    assert (row["outcome"], row["partial_error"], row["audio_seconds"]) == ("success", "too_short", "0.31")


def test_what_was_scored_earlier_has_its_time(tmp_path: Path, pandas: Any) -> None:
    """A result of the journal has the seconds of the exchange that gave it, and warnings of the recording."""
    earlier = dataclasses.replace(verdict(), timings=Timings(total=31.25), warnings=("it is cut off",))
    file = written(tmp_path, Outcome("a.wav", earlier, from_journal=True), Outcome("b.wav", verdict(), seconds=2.5))
    table = pandas.read_csv(file)
    assert table.seconds.tolist() == [31.25, 2.5]
    assert table.warnings[0] == "it is cut off"


def test_errors_have_their_rows(tmp_path: Path, pandas: Any) -> None:
    """An error's kind, reason and words stand in columns of their own, and no score does."""
    failed = BadQualityError("The verdict is bad_quality: noisy.", reason="noisy")
    table = pandas.read_csv(written(tmp_path, Outcome("a.wav", error=failed), Outcome("b.wav", error=AudioError("x"))))
    assert table.outcome.tolist() == ["error", "error"]
    assert table.error.tolist() == ["BadQualityError", "AudioError"]
    assert table.reason[0] == "noisy"
    assert table.message[0] == "The verdict is bad_quality: noisy."
    assert pandas.isna(table.eps_score).all()


def test_columns_of_the_list_are_carried(tmp_path: Path, pandas: Any) -> None:
    """They stand behind ours; one that has the name of ours gets another, so that none is lost."""
    file = written(tmp_path, Outcome("a.wav", verdict()), carried=["pupil", "outcome"], cells=["Zoë", "3"])
    table = pandas.read_csv(file)
    assert list(table.columns) == [*COLUMNS, "pupil", "list_outcome"]
    assert (table.pupil[0], table.list_outcome[0], table.outcome[0]) == ("Zoë", 3, "success")


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula(tmp_path: Path, separator: str) -> None:
    """Whatever a spreadsheet takes for its separator, no cell begins as OWASP says that a formula may."""
    for text in (before + harmful for harmful in HARMFUL for before in ("", "a;", 'say "', 'a;"', "a,", "a;  ", "a\n")):
        outcome = Outcome(text, verdict(transcript=text, assessment_quality=text))
        failed = Outcome("b", error=BadQualityError(text, reason=text))
        file = written(tmp_path, outcome, failed, carried=[text], cells=[text])
        with file.open(encoding="utf-8-sig", newline="") as lines:
            cells = [cell for row in csv.reader(lines, delimiter=separator) for cell in row]
        assert sum("1" in cell for cell in cells) > 2
        assert [cell for cell in cells if cell.lstrip().startswith(FORMULA)] == [], text
        assert separator != "," or [cell for cell in cells if cell.startswith(("\t", "\r", "\n"))] == [], text


def test_numbers_of_a_list_stay_numbers(tmp_path: Path, pandas: Any) -> None:
    """A negative number is no formula."""
    table = pandas.read_csv(written(tmp_path, Outcome("a", verdict()), carried=["change"], cells=["-1.5"]))
    assert table.change[0] == -1.5


def test_no_control_character_is_written(tmp_path: Path) -> None:
    """Escape sequences of the server are spelled out, so that the table can be shown; a name of no encoding, too."""
    file = written(tmp_path, Outcome("m\udce4rz.wav", verdict(transcript="\x1b[2J\0\x9b\u202e\r\nnext")))
    text = file.read_text(encoding="utf-8-sig")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"m\udce4rz.wav" in text
    assert "\\u202e\nnext" in text


def test_a_file_that_is_no_table_is_not_overwritten(tmp_path: Path, pandas: Any) -> None:
    """A list or recording that was named by mistake is kept; a table of an earlier run is written anew."""
    file = tmp_path / "scores.csv"
    shutil.copy(SHORT, file)
    with pytest.raises(ConfigError, match="holds something else"):
        Table(str(file))
    assert file.read_bytes() == Path(SHORT).read_bytes()
    file.unlink()
    file.touch()
    for _ in range(2):
        written(tmp_path, Outcome("a", verdict()))
    assert len(pandas.read_csv(file)) == 1


@posix
def test_a_full_disk_leaves_the_old_table(tmp_path: Path) -> None:
    """Until a table is whole, the older one is there, and stays if there is no room for the new one."""
    file = tmp_path / "scores.csv"
    written(tmp_path, Outcome("a", verdict()))
    before = file.read_bytes()
    table = Table(str(file))
    with pytest.raises(OSError, match="too large") as caught, full_disk(file.stat().st_size):
        list(map(table.add, [Outcome("b", verdict())] * 1000))
    table.discard(caught.value)
    assert (file.read_bytes(), os.listdir(tmp_path)) == (before, [file.name])


@pytest.mark.parametrize("path", ["-", ".", os.path.join("missing", "scores.csv"), full])
def test_a_table_that_can_not_be_written_is_refused(path: str) -> None:
    """Standard output, a folder, a file in a folder that isn't there, and one on a full disk."""
    with pytest.raises(ConfigError, match="--csv"):
        Table(path)


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked for, or written, in the folder of the project."""
    monkeypatch.chdir(tmp_path)
