"""The recordings that `batch` is given: files, folders that are searched, and a list."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import os
import stat
import time
from collections import Counter
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..exceptions import ConfigError
from . import hints
from .list_file import Input, ListFile

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
SHOWN_KINDS = 6  # of what was passed over in folders, by extension
COUNT_SECONDS = 3.0  # s: counting the recordings, before the first is begun, may take no longer


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
        self._paths = paths
        self._globs = globs
        self._list_file = list_file
        self._path_column = path_column
        self._own = {os.path.abspath(path) for path in own}
        self.passed_over: Counter[str] = Counter()
        self._list = None if list_file is None else ListFile(list_file, path_column)
        self.columns: Sequence[str] = self._list.columns if self._list else ()
        self.named = self._list.named if self._list else ""
        self.elsewhere = self._list.elsewhere if self._list else ""

    def close(self) -> None:
        """Closes the list; standard input stays open."""
        if self._list is not None:
            self._list.close()

    def __iter__(self) -> Iterator[Optional[Input]]:
        """Yields each recording, once; and `None`, without waiting, while the next line of the list isn't there yet.

        Raises:
            ConfigError: The list can't be read on.
        """
        yield from map(Input, itertools.chain.from_iterable(map(self._files, self._paths)))
        yield from self._list or ()

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
        if self._list is not None and self._list.may_wait():
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
