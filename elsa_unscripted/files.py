"""Files: writes one so that an older one survives; tells when a process may open no more. For every room."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
import sys
from typing import BinaryIO, Iterator, Optional, Tuple, Union

from .signals import raised_by_handler

__all__ = [
    "OUT_OF_FILES",
    "holds_no_text",
    "is_out_of_files",
    "is_text",
    "read_text",
    "readable",
    "replacing",
    "sync_directory",
]

OUT_OF_FILES = "too many files and sockets are open; use fewer at once, or raise the limit (ulimit -n)"
_ERRNOS = (errno.EMFILE, errno.ENFILE)  # of the process, of the system
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # the errors of file systems that can't sync
LONGEST_TEXT = 512 * 2**20  # bytes: a result holds a few messages of at most 64 MiB
_OPEN_ALREADY = ("/dev/fd/", "/dev/std", "/proc/")  # somebody has opened these, and may write to them, too
HEAD_SIZE = 4096  # bytes: every recording has a zero in them, or a byte that isn't UTF-8


@contextlib.contextmanager
def replacing(path: Union[str, os.PathLike[str]]) -> Iterator[BinaryIO]:
    """Gives a file to write to, which takes the place of an older one only when it is whole and on the disk.

    Whatever goes wrong before that, a full disk or Ctrl-C, the older file stays as it was. The new one gets the older
    one's permissions. A link stays a link: the file that it leads to is replaced. What is no regular file, such as a
    pipe or a device, is written to directly, and so is a file in whose folder no other file can be made.

    Raises:
        OSError: The file can't be written.
    """
    mode = _mode(path)
    if (mode is not None and not stat.S_ISREG(mode)) or os.path.abspath(path).startswith(_OPEN_ALREADY):
        with open(path, "wb") as file:
            yield file
        return
    target = os.path.realpath(path)
    if mode is not None:
        open(target, "r+b").close()  # fails if it is read-only; replacing it by a rename would not fail
    # A short name, and not the target's with an ending: the target's may be as long as names can be.
    beside = os.path.join(os.path.dirname(target), f".elsa-{os.urandom(8).hex()}.tmp")
    try:
        # Not `tempfile`: only the owner may read its files, and the umask that would give others their rights can't be
        # read without changing it for all threads.
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except PermissionError as error:
        if mode is None or raised_by_handler(error):
            raise
        with open(target, "wb") as file:
            yield file
        return
    try:
        with open(fd, "wb") as file:
            if mode is not None and os.name == "posix":
                with contextlib.suppress(PermissionError):  # some file systems have no permissions
                    os.fchmod(fd, stat.S_IMODE(mode))
            yield file
            file.flush()
            _sync(fd)
        _put_in_place(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    sync_directory(target)


def _mode(path: Union[str, os.PathLike[str]]) -> Optional[int]:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC or raised_by_handler(error):
            raise


def _put_in_place(beside: str, target: str) -> None:
    try:
        os.replace(beside, target)
    except OSError as error:
        # A single file that is mounted into a container can't be replaced, only written to.
        if error.errno != errno.EBUSY or raised_by_handler(error):
            raise
        with open(beside, "rb") as whole, open(target, "wb") as file:
            file.write(whole.read())
        os.unlink(beside)


def sync_directory(path: str) -> None:
    """Puts the name of a new file on the disk, too, where the system can do that."""
    if os.name == "posix":
        # Some file systems can't; and a user who may write to a directory may not be allowed to open it.
        try:
            fd = os.open(os.path.dirname(path), os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            if raised_by_handler(error):
                raise


def readable(path: str) -> str:
    """Returns a path as it is written down for people, and for programs in another locale: its bytes read as UTF-8."""
    if sys.getfilesystemencoding() == "utf-8":
        return path
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def file_name(text: str) -> str:
    """Returns the path of a file as Python has it here, of what `readable()` has written down."""
    if sys.getfilesystemencoding() == "utf-8":
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def holds_no_text(path: Union[str, os.PathLike[str]]) -> bool:
    """Returns whether a file is there that holds something else than text: a recording, most likely.

    Raises:
        OSError: The file can't be read.
    """
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return not is_text(file.read(HEAD_SIZE))


def read_text(path: Union[str, os.PathLike[str]]) -> bytes:
    """Reads a file that should be text.

    Raises:
        OSError: It can't be read.
        ValueError: It is no text, or longer than any text of ours: a device may have no end.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_SIZE)
        if not is_text(head):
            raise ValueError("it is no text")
        whole = head + file.read(LONGEST_TEXT)
    if len(whole) > LONGEST_TEXT:
        raise ValueError("it is too long")
    return whole


def is_text(head: bytes) -> bool:
    """Returns whether the first `HEAD_SIZE` bytes of a file, or all of a shorter one, are text in UTF-8."""
    try:
        # `final` is false where the last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_SIZE)
    except UnicodeDecodeError as error:
        if raised_by_handler(error):
            raise
        return False
    return b"\0" not in head


def is_out_of_files(error: Optional[BaseException]) -> bool:
    """Returns whether an error, or one of its causes, came only from too many open files and sockets."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNOS:
            return True
        if isinstance(error, _unexplained()) and _none_is_left():
            return True
        error = error.__cause__
    return False


def _unexplained() -> Tuple[type, ...]:
    """Returns the errors of a resolver or of OpenSSL that find no configuration or certificates, and don't say why."""
    # Whoever has raised one has imported its module. To import both here would make `import elsa_unscripted` slow.
    kinds = (("socket", "gaierror"), ("ssl", "SSLCertVerificationError"))
    return tuple(getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules)


def _none_is_left() -> bool:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno in _ERRNOS
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return False
