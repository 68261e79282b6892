"""What a live source gives, piece by piece, from whatever the caller has: an iterable, or an object with `read(n)`.

Drawn from by `live`, in the source's thread: all of the caller's code runs here.
"""

from __future__ import annotations

import io
import os
from typing import Any, Iterator, Protocol

from ..exceptions import AudioError, ConfigError
from ..log import logger

__all__ = ["MOST_BYTES", "Readable", "check_source", "draw", "plain_bytes"]

MOST_BYTES = 2**16  # that are asked of a file at once, or looked at without looking at the clock
FEW_BYTES = 1024  # that are asked of a file that may wait for as many: 32 ms of speech


class Readable(Protocol):
    """A pipe, a socket's file, `sys.stdin.buffer`; one with `read1(n)` gives what is there without waiting for more."""

    def read(self, size: int, /) -> bytes: ...


class Watch(Protocol):
    """Who wants to know when the caller's code runs."""

    def enter_source(self) -> None:
        """Notes that foreign code is about to run."""
        ...

    def leave_source(self, size: int) -> bool:
        """Notes how many bytes foreign code has given; returns whether more is wanted."""
        ...


def draw(source: Any, watch: Watch) -> Iterator[bytes]:
    """Yields what a source gives, but for empty pieces.

    Raises:
        AudioError: It gave something else than bytes. What its own code raises comes through.
    """
    read = getattr(source, "read1", None) or getattr(source, "read", None)
    if read is None:
        return _iterate(source, watch)
    return _read(read, MOST_BYTES if hasattr(source, "read1") else FEW_BYTES, watch)


def _read(read: Any, size: int, watch: Watch) -> Iterator[bytes]:
    while True:
        watch.enter_source()
        piece: Any = b""
        try:
            piece = read(size)
        finally:
            wanted = watch.leave_source(_length(piece))
        if not wanted:
            return
        data = plain_bytes(piece, "read()")
        if not data:
            return
        yield data


def _iterate(source: Any, watch: Watch) -> Iterator[bytes]:
    watch.enter_source()
    iterator: Any = None
    try:
        iterator = iter(source)
        while True:
            piece = b""
            watch.enter_source()
            try:
                piece = next(iterator)
            except StopIteration:
                return
            finally:
                wanted = watch.leave_source(_length(piece))
            if not wanted:
                return
            data = plain_bytes(piece, "an iterable")
            if data:
                yield data
    finally:
        watch.enter_source()
        close = getattr(iterator, "close", None)
        if callable(close) and not hasattr(iterator, "read"):
            try:
                close()
            except Exception as error:  # noqa: BLE001 - the audio is over, and so nobody's matter any more
                logger.warning("close() of the live source failed: %r", error)
        watch.leave_source(0)


def plain_bytes(piece: object, giver: str) -> bytes:
    """Returns a piece of audio as bytes; a copy, if its owner could change it, and can't while we look at it.

    Raises:
        AudioError: It isn't bytes-like, or holds numbers that are no PCM.
    """
    if isinstance(piece, bytes):
        return piece
    if piece is None:
        raise AudioError(f"{giver} of a live source gave None in place of bytes: make it blocking")
    if isinstance(piece, str):
        raise AudioError(f"{giver} of a live source gave text in place of bytes: open it in binary mode")
    try:
        with memoryview(piece) as view:  # type: ignore[arg-type]
            kind, data = view.format[-1:], bytes(view)
    except TypeError as error:
        raise AudioError(f"{giver} of a live source gave {type(piece).__name__} in place of bytes") from error
    if kind in ("e", "f", "d", "g"):
        raise AudioError(f"{giver} of a live source gave floating point numbers: convert them to 16 bit integers")
    return data


def _length(piece: object) -> int:
    return len(piece) if isinstance(piece, (bytes, bytearray, memoryview)) else 1


def check_source(source: Any) -> None:
    """Checks that something is a live source.

    Raises:
        ConfigError: It isn't.
    """
    if isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike)):
        raise ConfigError(
            "a live source is an iterable of bytes, or an object with read(): give score() this one itself"
        )
    if isinstance(source, io.TextIOBase):
        raise ConfigError("the live source is in text mode: open it with 'rb', or give its .buffer")
    if callable(getattr(source, "read", None)) or callable(getattr(source, "read1", None)):
        return
    if hasattr(source, "__aiter__"):
        raise ConfigError("the live source is asynchronous: use Client.open_stream(), with asyncio.to_thread()")
    if not hasattr(type(source), "__iter__") and not hasattr(type(source), "__getitem__"):
        kind = type(source).__name__
        raise ConfigError(f"a live source is an iterable of bytes, or an object with read(n), not {kind}")
