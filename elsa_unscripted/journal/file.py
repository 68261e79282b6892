"""The file of a journal: `Journal` locks it and appends to it, for `batch`; `read()` only reads it, for `report`.

`entry` knows what a line says, `index` where in the file it is.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import weakref
from typing import Any, BinaryIO, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ..exceptions import JournalError
from ..files import OUT_OF_FILES, is_out_of_files, sync_directory
from ..log import logger
from ..signals import raised_by_handler
from ..strict_json import dumps
from .entry import Entry, Line, Who, parse, to_entry, who
from .index import HEAD, Index

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

READ_SIZE = 1 << 16  # bytes
_TORN_MARK = b" torn\n"  # written behind a torn line, which so can't be taken for a whole one, wherever it was cut
_BOM = b"\xef\xbb\xbf"
# On Windows nobody else can read a byte that is locked. So we lock one that lies behind all lines, as far as the C
# library there can count.
_LOCKED_BYTE = 2**31 - 2


def read(path: Union[str, os.PathLike[str]]) -> Iterator[Entry]:
    """Reads a journal without locking it; it may be in use by a batch.

    A recording that failed and was tried again has several lines; the newest counts.

    Args:
        path: Of the journal.

    Yields:
        What each line says, from the oldest on. A line that was torn is passed over with a warning.

    Raises:
        JournalError: It can't be read, or is no journal.
    """
    name = _name(path)
    try:
        _check_regular(os.stat(path).st_mode, name)
        with open(path, "rb") as file:
            for _, line in _lines(file, name):
                raw = parse(line, name)
                if raw is not None:
                    yield to_entry(raw)
    except (OSError, ValueError) as error:
        if raised_by_handler(error):
            raise
        advice = OUT_OF_FILES if is_out_of_files(error) else "check the path"
        raise JournalError(f"the journal {name} can't be read ({_why(error)}); {advice}") from error


class Journal:
    """A journal that this process writes; a context manager. All methods are for one thread.

    It is locked while it is open, by the operating system: whatever ends the process ends the lock.

    Attributes:
        torn: How many bytes of a torn last line were found: a process or the power ended while it was being written.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        """Opens a journal, or begins one; locks it, and reads what is in it.

        Raises:
            JournalError: It is in use, is no journal, or can't be read and written.
        """
        self.torn = 0
        self._name = _name(path)
        self._path = _absolute(path, self._name)  # the caller may change the current directory later
        self._index = Index()
        # Bytes from `_end` on are not part of the journal. While `_writing`, they are the rest of an append of ours.
        self._end = 0
        self._writing = False
        self._loose_end = b""  # written before the next line, to end a last line that has no line end
        self._fd = self._open()
        # `finalize` closes the file even if Ctrl-C ends a `close()` half-way. Else this process would keep the lock.
        self._close_file = weakref.finalize(self, os.close, self._fd)
        _open_journals.add(self)
        try:
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise
        self._begun = self._end

    def find(self, sha256: str, options: Mapping[str, Any]) -> Optional[Line]:
        """Returns the newest line for this content and these options; one with a result, if there is one.

        A line that was damaged is as good as none: it is passed over with a warning, and its recording can be scored
        and appended again.

        Raises:
            JournalError: The journal can't be read any more.
        """
        place = self._index.find(sha256, options, self._end)
        if place is None:
            return None
        text = self._text(place.begin, place.end)
        if sha256.encode("ascii") not in text:
            raise self._failure("was changed while it was in use", "begin again; nothing else may write to it")
        # Opening the journal looked only at the beginnings of lines.
        raw = parse(text, self._name)
        if raw is None:
            self._index.remove(sha256, options)
            return None
        return Line(place.good, place.begin >= self._begun, who(raw), text, self._name, place.begin)

    def owners(self, sha256: str, options: Mapping[str, Any], line: Line) -> Sequence[Who]:
        """Returns whose recordings have a content, as far as the journal knows, in its order.

        Left out are those whose line is older than the newest exchange: it says that the content failed, for example,
        while another recording of it was scored since.

        Args:
            sha256: Of the content.
            options: Those that change the result.
            line: What `find()` returned for both.
        """
        known = self._index.owners(sha256, options, line.who, line.begin)
        return [owner for owner, begin in known.items() if begin >= line.begin]

    def earlier_owners(self, sha256: str, options: Mapping[str, Any], line: Line) -> Sequence[Who]:
        """Returns whose recordings had a content when the journal was opened, and have no line since."""
        known = self._index.owners(sha256, options, line.who, line.begin)
        return [owner for owner, begin in known.items() if begin < self._begun]

    def has_told(self, raw: Mapping[str, Any]) -> bool:
        """Returns whether the journal says already of a path what a line without a hash is to say."""
        return who(raw) in self._index.untold and self._index.untold[who(raw)] == raw["error"].get("message")

    def append(self, *objects: Mapping[str, Any]) -> None:
        """Appends a line for each object, made by `to_raw()`. All are on the disk when it returns; if it raises, none.

        Whose result it holds already gets no other line. After an error, or Ctrl-C, `append()` can be called
        again with the same objects.

        Raises:
            JournalError: They can't be written: the disk is full, or the journal was taken away.
        """
        self._undo()
        data = bytearray(self._loose_end)
        places: List[Tuple[Mapping[str, Any], int, int]] = []
        for raw in objects:
            if not self._has_result(raw):
                begin = self._end + len(data)
                data += dumps(raw).encode("ascii") + b"\n"
                places.append((raw, begin, self._end + len(data)))
        if not places:
            return
        self._writing = True
        try:
            self._write(data)
        except OSError as error:
            if raised_by_handler(error):
                raise
            with contextlib.suppress(JournalError):
                self._undo()
            raise self._failure(
                f"can't be written ({_why(error)})", "make room or repair that; what is in it is whole"
            ) from error
        for raw, begin, end in places:
            self._index.add(raw, begin, end)
        self._loose_end = b""
        self._end += len(data)  # from here on, the lines count
        self._writing = False

    def _has_result(self, raw: Mapping[str, Any]) -> bool:
        sha256, options = raw["sha256"], raw["options"]
        line = None if sha256 is None else self.find(sha256, options)
        return line is not None and line.good and who(raw) in self.owners(sha256, options, line)

    def close(self) -> None:
        """Unlocks and closes it. Does nothing the second time."""
        self._fd = -1
        self._close_file()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Opening.

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
        try:
            new = not os.path.exists(self._path)
            if not new:  # checked before opening: to open a pipe or a device can block, or set something off
                _check_regular(os.stat(self._path).st_mode, self._name)
            fd = os.open(self._path, flags, 0o666)
            if new:
                sync_directory(self._path)
            return fd
        except (OSError, ValueError) as error:
            if raised_by_handler(error):
                raise
            advice = OUT_OF_FILES if is_out_of_files(error) else "check the path and its permissions"
            raise JournalError(f"the journal {self._name} can't be opened ({_why(error)}); {advice}") from error

    def _lock(self) -> None:
        try:
            if sys.platform == "win32":
                os.lseek(self._fd, _LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            if raised_by_handler(error):
                raise
            raise self._failure(
                "is in use by another batch", "wait for that to end, or give another journal"
            ) from error
        except OSError as error:
            if raised_by_handler(error):
                raise
            raise self._failure(f"can't be locked ({_why(error)})", "put it on a local disk") from error

    def _read(self) -> None:
        last = b""
        with self._reader(0) as file:
            for at, last in _lines(file, self._name):
                if not self._index.add_by_head(last, at):
                    raw = parse(last, self._name, warn=last.endswith(b"\n"))
                    if raw is not None:
                        self._index.add(raw, at, at + len(last))
                self._end = at + len(last)
            self._end = max(self._end, file.tell())
        if last and not last.endswith(b"\n"):
            self._set_aside(last)

    def _set_aside(self, last: bytes) -> None:
        """Makes the next append begin with the end that the last line lacks, and with a mark if that line is torn."""
        self._loose_end = b"\n"
        if parse(last, self._name, warn=False) is None:
            self.torn = len(last)
            self._loose_end = _TORN_MARK
            logger.warning(
                "the last line of the journal %s was torn off, its %d bytes are passed over: "
                "that recording is scored again",
                self._name,
                self.torn,
            )

    # Reading and writing.

    def _reader(self, at: int) -> BinaryIO:
        file = open(self._fd, "rb", READ_SIZE, closefd=False)  # noqa: SIM115 - the callers close it
        file.seek(at)
        return file

    def _text(self, begin: int, end: int) -> bytes:
        try:
            with self._reader(begin) as file:
                return file.read(end - begin)
        except OSError as error:
            if raised_by_handler(error):
                raise
            raise self._failure(f"can't be read ({_why(error)})", "check the disk") from error

    def _undo(self) -> None:
        """Cuts off what a failed or interrupted append has left; makes sure that nobody else has touched the file.

        Raises:
            JournalError: The journal is closed, another file has its name, or somebody else has written to it.
        """
        if self._fd < 0:
            raise self._failure("is closed", "open it again")
        change = ""
        cause: Optional[OSError] = None
        try:
            here, there = os.fstat(self._fd), os.stat(self._path)
            if not os.path.samestat(here, there):
                change = "another file has its name"
            elif self._writing and here.st_size > self._end:
                os.ftruncate(self._fd, self._end)
            elif here.st_size != self._end:
                change = f"it has {here.st_size} bytes in place of {self._end}"
        except OSError as error:
            if raised_by_handler(error):
                raise
            change, cause = _why(error), error
        if change:
            raise self._failure(
                f"was changed while it was in use ({change})", "put it back; nothing else may write to it"
            ) from cause
        self._writing = False

    def _write(self, data: bytearray) -> None:
        with memoryview(data) as rest:
            written = 0
            while written < len(data):
                written += os.write(self._fd, rest[written:])
        os.fsync(self._fd)

    def _failure(self, what: str, advice: str) -> JournalError:
        return JournalError(f"the journal {self._name} {what}: {advice}")


def _name(path: Union[str, os.PathLike[str]]) -> str:
    return repr(os.fsdecode(path))


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _absolute(path: Union[str, os.PathLike[str]], name: str) -> str:
    try:
        return os.path.abspath(os.fsdecode(path))
    except OSError as error:
        if raised_by_handler(error):
            raise
        raise JournalError(
            f"the journal {name} can't be opened, since the working directory is gone ({_why(error)}): "
            "give its absolute path, or change to another directory"
        ) from error


def _check_regular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise JournalError(f"the journal {name} is a directory: give the path of a file in it")
    if not stat.S_ISREG(mode):
        raise JournalError(f"the journal {name} is not a regular file: give the path of one, or of one to be made")


def _lines(file: BinaryIO, name: str) -> Iterator[Tuple[int, bytes]]:
    """Yields each line that isn't blank, and where it begins.

    Raises:
        JournalError: The first line can't be a journal's.
    """
    at, first = 0, True
    if file.read(len(_BOM)) == _BOM:  # some editors put it there when they save a file
        at = len(_BOM)
    file.seek(at)
    for line in file:
        begin, at = at, at + len(line)
        if not line.strip():
            continue
        if first and not _could_be_ours(line) and parse(line, name, warn=False) is None:
            raise JournalError(f"{name} is no journal of this package: give the path of one, or of a new file")
        first = False
        yield begin, line


def _could_be_ours(line: bytes) -> bool:
    """Returns whether a line begins as ours do; it may be torn early, or have one damaged byte.

    A line of zeros counts, too: a power cut can leave zeros in the place of a line.
    """
    rest = line[: -len(_TORN_MARK)] if line.endswith(_TORN_MARK) else line
    damaged = sum(here != ours for here, ours in zip(rest, HEAD))
    return (damaged <= 1 and len(rest) >= len(HEAD)) or HEAD.startswith(rest) or not rest.strip(b"\0")


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Closes the journals in a forked child, which shares their locks and would hold them after its parent's death."""
    for journal in list(_open_journals):
        journal.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
