"""`ListFile`: a list of recordings, one path on each line, or a table; it is read as it comes. For `inputs`."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import queue
import re
import stat
import threading
from typing import IO, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..exceptions import ConfigError
from ..files import file_name
from ..journal import name_in
from ..threads import NoThreadError, start_thread
from .options import stdin

MAX_LINE = 1 << 20  # characters of a line of a list: the longest path has some thousands
PATH_COLUMN = "path"  # the column that makes a list a table
LIKELY_PATH_COLUMNS = ("file", "filename", "file name", "audio", "recording", "wav", "paths", "filepath", "file path")
SHOWN_COLUMNS, SHOWN_CELL = 12, 40  # of a list's first line, in an error
SEPARATORS = ",;\t"  # what spreadsheets write between columns; it depends on their language
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)  # tells Excel the separator, above the header
READER = "elsa-list"  # the name of the thread that reads a pipe
READ_AHEAD = 64  # rows that are read ahead of a list that comes through a pipe


class Input(NamedTuple):
    """One path to score, as the command line or its list names it.

    Attributes:
        path: Where the recording is; `""` if the list names somebody, and no path.
        columns: The other cells of the path's row in the list, in the order of the list's columns.
    """

    path: str
    columns: Tuple[str, ...] = ()


class ListFile:
    """The recordings that a list names, in its order.

    Args:
        path: One path per line, or a CSV with a column `path`; `-` is standard input.
        path_column: The column that has another name than `path`.

    Attributes:
        columns: The names of the columns beside `path`.
        named: The list as it is called in errors.
        elsewhere: The folder of the list, if its paths are there and none is where this process looks for it.

    Raises:
        ConfigError: It can't be read.
    """

    def __init__(self, path: str, path_column: Optional[str] = None) -> None:
        self._path = path
        self._path_column = path_column
        self.named = "standard input" if path == "-" else repr(path)
        self.columns: Sequence[str] = ()
        self.elsewhere = ""
        self._rows: Iterator[Input] = iter(())
        self._read_apart = False  # whether a thread is reading the list, and will close it
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
        if self._path != "-" and not self._read_apart:
            self._opened.close()

    def __iter__(self) -> Iterator[Optional[Input]]:
        """Yields each row, once; and `None`, without waiting, while the next line isn't there yet.

        Raises:
            ConfigError: The list can't be read on.
        """
        yield from self._as_they_come() if self.may_wait() else self._rows

    def may_wait(self) -> bool:
        """Returns whether the list is a pipe, or anything else that is no file: its lines come once, at any time."""
        return not os.path.isfile(self._path)

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

    def _open(self) -> IO[str]:
        # "surrogateescape" keeps the bytes of a name that isn't UTF-8: `file_name()` needs them.
        how = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
        try:
            if self._path == "-":
                return open(stdin().fileno(), closefd=False, **how)  # type: ignore[call-overload,no-any-return]
            return open(self._path, **how)  # type: ignore[call-overload,no-any-return]
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
        if self._path_column is None and not self._path.lower().endswith((".csv", ".tsv")):
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
        folder = os.path.dirname(self._path)
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
