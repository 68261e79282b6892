"""The recordings that `batch` is given: files, folders that are searched, and a list that is read as it comes."""

from __future__ import annotations

import contextlib
import csv
import fnmatch
import itertools
import os
import queue
import re
import stat
import threading
import time
from collections import Counter
from typing import IO, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..exceptions import ConfigError
from ..files import file_name
from ..journal import name_in
from ..threads import NoThreadError, start_thread
from . import hints
from .options import stdin

# What a folder is searched for: the extensions, in lower case, of what the extra `formats` decodes. By name and not by
# content: almost any bytes can be taken for an MP3, and what is sent is paid for.
AUDIO = (
    "3ga aa aac ac3 adts aif aifc aiff amr ape au awb bwf caf dff dsf dts dtshd eac3 ec3 f4a f4b flac gsm iamf m2a m4a "
    "m4b m4r mka mlp mp1 mp2 mp3 mpa mpc mpga nist oga ogg oma opus qcp ra rf64 rm shn snd sph spx tak thd tta voc w64 "
    "wav wave weba wma wv"
)
FILM = (
    "3g2 3gp 3gp2 3gpp 3gpp2 asf avi divx f4v flv m2ts m4v mk3d mkv mov mp4 mpeg mpg mts ogm ogv qt qta rmvb ts vob "
    "webm wmv"
)
EXTENSIONS = frozenset(f".{name}" for name in f"{AUDIO} {FILM}".split())
MAX_LINE = 1 << 20  # characters of a line of a list: the longest path has some thousands
SHOWN_KINDS = 6  # of what was passed over in folders, by extension
PATH_COLUMN = "path"  # the column that makes a list a table
LIKELY_PATH_COLUMNS = ("file", "filename", "file name", "audio", "recording", "wav", "paths", "filepath", "file path")
SHOWN_COLUMNS, SHOWN_CELL = 12, 40  # of a list's first line, in an error
SEPARATORS = ",;\t"  # what spreadsheets write between columns; it depends on their language
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)  # tells Excel the separator, above the header
READER = "elsa-list"  # the name of the thread that reads a pipe
READ_AHEAD = 64  # rows that are read ahead of a list that comes through a pipe
COUNT_SECONDS = 3.0  # s: counting the recordings, before the first is begun, may take no longer


class Input(NamedTuple):
    """One path to score, as the command line or its list names it.

    Attributes:
        path: Where the recording is; `""` if the list names somebody, and no path.
        columns: The other cells of the path's row in the list, in the order of the list's columns.
    """

    path: str
    columns: Tuple[str, ...] = ()


class Inputs:
    """All recordings that a command line names, in a stable order: the paths as given, then the list.

    Args:
        paths: Files, and folders to search.
        globs: Patterns, one of which the name of a file in a folder must match; without any, `EXTENSIONS` decide.
        list_file: One path per line, or a CSV with a column `path`; `-` is standard input.
        path_column: The column that has another name than `path`.
        own: Files of the batch itself, which don't count as passed over when they are in a folder: the journal.
        command: Whose paths they are, for errors.

    Attributes:
        columns: The names of the list's columns beside `path`.
        passed_over: How many files in folders were passed over so far, by kind: their extension, or a word such as
            "hidden".
        named: The list as it is called in errors.
        elsewhere: The folder of the list, if its paths are there and none is where this process looks for it.

    Raises:
        ConfigError: There is no list and none of the paths exists, or the list can't be read. A missing path beside
            others is no error here: scoring it fails, and tells why.
    """

    def __init__(
        self,
        paths: Sequence[str],
        globs: Sequence[str] = (),
        list_file: Optional[str] = None,
        path_column: Optional[str] = None,
        *,
        own: Sequence[str] = (),
        command: str = "batch",
    ) -> None:
        for path in filter(_is_live, paths):
            raise ConfigError(
                f"{path!r} is no recording: {command} is not for live audio, which 'score {path}' sends as it comes; "
                "--from-file - reads a list from standard input"
            )
        hints.check_paths(paths, alone=list_file is None, command=command)
        self._path_column = path_column
        self._paths = paths
        self._globs = globs
        self._list_file = list_file
        self._own = {os.path.abspath(path) for path in own}
        self.named = "standard input" if list_file == "-" else repr(list_file)
        self.columns: Sequence[str] = ()
        self.passed_over: Counter[str] = Counter()
        self._rows: Iterator[Input] = iter(())
        self._opened: Optional[IO[str]] = None
        self.elsewhere = ""
        self._read_apart = False  # whether a thread is reading the list, and will close it
        if list_file is not None:
            self._opened = self._open()
            try:
                self.columns, self._rows = self._understand(self._opened)
                self._check_encoding(self._opened)
            except ConfigError:
                self.close()
                raise

    def close(self) -> None:
        """Closes the list; standard input stays open."""
        # Not while a thread waits for a line of the list: closing the file would wait for that line, too.
        if self._opened is not None and self._list_file != "-" and not self._read_apart:
            self._opened.close()

    def __iter__(self) -> Iterator[Optional[Input]]:
        """Yields each recording, once; and `None`, without waiting, while the next line of the list isn't there yet.

        Raises:
            ConfigError: The list can't be read on.
        """
        yield from map(Input, itertools.chain.from_iterable(map(self._files, self._paths)))
        yield from self._as_they_come() if self._may_wait() else self._rows

    def _may_wait(self) -> bool:
        return self._list_file is not None and not os.path.isfile(self._list_file)

    def _as_they_come(self) -> Iterator[Optional[Input]]:
        """Yields the rows of a list that may give none for hours: a pipe."""
        came: queue.Queue[Union[Input, Exception, None]] = queue.Queue(READ_AHEAD)
        left = threading.Event()

        def read() -> None:
            end: Optional[Exception] = None
            try:
                for row in self._rows:
                    came.put(row)
                    if left.is_set():
                        break
            except Exception as error:  # noqa: BLE001 - delivered to the thread that iterates
                end = error
            self._read_apart = False
            self.close()
            came.put(end)

        self._read_apart = True
        # A daemon: nothing can wake it while it waits for a line, and it must not keep the interpreter from ending.
        thread = threading.Thread(target=read, name=READER, daemon=True)
        try:
            start_thread(thread)
        except NoThreadError as error:
            self._read_apart = False
            raise ConfigError(f"can't read the list {self.named}: {error}") from error.__cause__
        try:
            while True:
                try:
                    row = came.get_nowait()
                except queue.Empty:
                    yield None
                    continue
                if isinstance(row, Exception):
                    raise row
                if row is None:
                    return
                yield row
        finally:
            left.set()
            with contextlib.suppress(queue.Empty):
                while True:
                    came.get_nowait()  # makes room: the thread may be waiting in `put()`, and looks at `left` after it

    def count(self) -> Optional[int]:
        """Returns how many recordings there are; `None` if the list is a pipe, or if counting takes too long."""
        try:
            return sum(1 for _ in self.anew())
        except ConfigError:
            return None  # the batch reports an error of the list when it gets there

    def anew(self) -> Iterator[Input]:
        """Yields all recordings once more, whatever was drawn already.

        Raises:
            ConfigError: The list is a pipe, or can't be read on; or it all takes too long.
        """
        if self._may_wait():
            raise ConfigError(f"the list {self.named} can be read only once")
        ends = time.monotonic() + COUNT_SECONDS
        with contextlib.closing(Inputs(self._paths, self._globs, self._list_file, self._path_column)) as again:
            for each in again:
                if each is not None:
                    yield each
                if time.monotonic() > ends:
                    raise ConfigError("to find all recordings takes too long")

    def _files(self, path: str) -> Iterator[str]:
        """Yields a file itself, whatever its name, or what is in a folder: files by name, then folders by name."""
        try:
            with os.scandir(path) as entries:
                # What begins with a dot is hidden, or a Mac's `._speech.wav`, which is no audio.
                named = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield path  # a file; or a folder that can't be searched: scoring it fails, and tells why
            return
        folders = []
        for entry in named:
            hidden = entry.name[0] == "."
            if entry.is_dir(follow_symlinks=False):
                if not hidden:
                    folders.append(entry.path)
            elif hidden:
                # A Mac's `._speech.wav` and the like are no recordings. A recording may be hidden all the same.
                self.passed_over["hidden"] += self._is_wanted(entry.name) and not entry.name.startswith("._")
            elif _leads_to_folder(entry):  # such links aren't followed: they may lead in a circle
                self.passed_over["linked folder"] += 1
            elif not self._is_wanted(entry.name):
                # With a pattern, the user has chosen.
                if not self._globs and os.path.abspath(entry.path) not in self._own:
                    self.passed_over[os.path.splitext(entry.name)[1].lower() or "without an extension"] += 1
            elif _is_file(entry):
                yield entry.path
            else:
                self.passed_over["no plain file"] += 1
        for folder in folders:
            yield from self._files(folder)

    def passed_over_words(self) -> str:
        """Returns what was passed over in folders as a sentence; `""` if it was nothing."""
        shown = self.passed_over.most_common(SHOWN_KINDS)
        kinds = [f"{number} {kind}" for kind, number in shown if number]
        rest = sum(self.passed_over.values()) - sum(number for _, number in shown)
        kinds += [f"{rest} others"] if rest else []
        return f"Passed over in folders: {', '.join(kinds)}. To take other files, use --glob PATTERN." if kinds else ""

    def _is_wanted(self, name: str) -> bool:
        if self._globs:
            return any(fnmatch.fnmatch(name, pattern) for pattern in self._globs)
        return os.path.splitext(name)[1].lower() in EXTENSIONS

    def _open(self) -> IO[str]:
        # "surrogateescape" keeps the bytes of a name that isn't UTF-8: `file_name()` needs them.
        how = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
        try:
            if self._list_file == "-":
                return open(stdin().fileno(), closefd=False, **how)  # type: ignore[call-overload,no-any-return]
            return open(str(self._list_file), **how)  # type: ignore[call-overload,no-any-return]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"can't read the list {self.named} ({reason}); check --from-file") from error

    def _understand(self, source: IO[str]) -> Tuple[Sequence[str], Iterator[Input]]:
        """Returns the columns of the list and its rows: it is a table if its first line names a column `path`."""
        lines, first = self._bounded(source), ""
        with self._reading():
            while not first.strip():
                first = next(lines, "")
                if not first:
                    return (), iter(())
            separated = _SEPARATOR_LINE.fullmatch(first.strip())
            if separated is not None:
                first = next(lines, "")
                if not first:
                    return (), iter(())
            heads = {
                separator: [name.strip() for name in next(csv.reader([first], delimiter=separator), [])]
                for separator in (separated[1] if separated else SEPARATORS)
            }
        wanted = self._path_column or PATH_COLUMN
        for separator, names in heads.items():
            at = next((index for index, name in enumerate(names) if name.casefold() == wanted.casefold()), None)
            if at is not None:
                return self._table(names, at, csv.reader(lines, delimiter=separator))
        if self._path_column is None and not str(self._list_file).lower().endswith((".csv", ".tsv")):
            return (), self._plain(itertools.chain([first], lines))
        if not _is_text(first):
            raise _not_text(self.named)
        names = max(heads.values(), key=len)
        told = ", ".join(name[:SHOWN_CELL] for name in names[:SHOWN_COLUMNS])
        likely = next((name for name in names if name.casefold() in LIKELY_PATH_COLUMNS), "NAME")
        raise ConfigError(
            f"the list {self.named} has no column {wanted!r} (columns found: {told}): its first line must name the "
            f"columns; if the paths are in another one, give --path-column {likely}"
        )

    def _bounded(self, source: IO[str]) -> Iterator[str]:
        """Yields the lines of a list; refuses what is none, such as a device whose only line never ends."""
        while line := source.readline(MAX_LINE):
            if "\0" in line or len(line) == MAX_LINE:
                raise _not_text(self.named)
            yield line

    def _plain(self, lines: Iterable[str]) -> Iterator[Input]:
        with self._reading():
            for line in lines:
                path = line.rstrip("\r\n")
                if path[:1] == path[-1:] == '"' and not os.path.lexists(file_name(path)):
                    path = path[1:-1]  # Windows copies a path with quotes
                if path:
                    yield Input(file_name(path))

    def _table(self, names: List[str], at: int, rows: Iterator[List[str]]) -> Tuple[Sequence[str], Iterator[Input]]:
        width = len(names)
        others = names[:at] + names[at + 1 :]

        def inputs() -> Iterator[Input]:
            with self._reading():
                for row in rows:
                    cells = (row + [""] * width)[:width]
                    path = file_name(cells.pop(at))
                    if path != path.strip() and not os.path.lexists(path):
                        path = path.strip()
                    if not _is_text(*names, *cells) or _is_garbled(path):
                        raise _not_text(self.named)
                    # Who is named, and has no path, has handed in nothing.
                    if path or name_in(dict(zip(others, cells))):
                        yield Input(path, tuple(cells))

        return others, inputs()

    def _check_encoding(self, lines: IO[str]) -> None:
        """Reads a file to its end, so that a list in another encoding is refused before anything is sent."""
        if not stat.S_ISREG(os.fstat(lines.fileno()).st_mode):
            return  # a pipe is read as it comes
        garbled = exists = False
        folder = os.path.dirname(str(self._list_file))
        try:
            for row in self._rows:
                garbled = garbled or _is_garbled(row.path)
                exists = exists or os.path.lexists(row.path)
                if not exists and folder and not self.elsewhere:
                    self.elsewhere = folder if row.path and os.path.lexists(os.path.join(folder, row.path)) else ""
        except ConfigError as error:  # any other is told when it is reached
            if isinstance(error, _NotTextError):
                raise
        if garbled and exists:  # if nothing is there, the paths may be meant for another folder
            raise _not_text(self.named)
        self.elsewhere = "" if exists else self.elsewhere
        lines.seek(0)
        self.columns, self._rows = self._understand(lines)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, csv.Error) as error:
            raise ConfigError(f"can't read on in the list {self.named} ({error}); check --from-file") from error


class _NotTextError(ConfigError):
    """A list is in another encoding than UTF-8."""


def _not_text(named: str) -> _NotTextError:
    return _NotTextError(
        f"the list {named} isn't UTF-8 text: in Excel, save it as "
        '"CSV UTF-8 (Comma delimited)"; in other programs, choose UTF-8'
    )


def _is_garbled(path: str) -> bool:
    """Returns whether a path was read from another encoding than UTF-8: a file's name may be of any bytes, if it is."""
    return not path.isprintable() and "\udc80" <= max(path, default="") <= "\udcff" and not os.path.lexists(path)


def _is_text(*cells: str) -> bool:
    """Returns whether cells were read from UTF-8; many spreadsheets save in another encoding unless told otherwise."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a file, or a link that leads nowhere: scoring that fails, and tells why."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a link that leads in a circle
        return True


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


class Columns:
    """The other cells of the list's rows, kept from when a recording is drawn until its row in the table is written."""

    def __init__(self) -> None:
        self._waiting: Dict[str, List[Tuple[str, ...]]] = {}

    def put(self, given: Input) -> None:
        """Keeps the columns of an input."""
        if given.columns:
            self._waiting.setdefault(given.path, []).append(given.columns)

    def take(self, path: str) -> Tuple[str, ...]:
        """Returns the columns of a recording, and forgets them."""
        rows = self._waiting.get(path)
        if not rows:
            return ()
        columns = rows.pop(0)
        if not rows:
            del self._waiting[path]
        return columns


def _is_live(path: str) -> bool:
    """Returns whether a path is standard input, a pipe or a device, and not a file."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return path == "-"
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
