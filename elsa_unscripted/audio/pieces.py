"""Draws pieces of bytes from a live source: an iterable, or an object with `read(n)`.

`live` calls `draw()` in the source's thread; only there the source's code runs. `exchange.stream` uses `plain_bytes()`.
"""

from __future__ import annotations

import inspect
import io
import os
from typing import Any, Iterator, Protocol

from ..exceptions import AudioError, ConfigError
from ..log import logger

__all__ = ["MOST_BYTES", "Readable", "check_source", "draw", "plain_bytes"]

MOST_BYTES = 2**16  # to read at once; also the most that `live` adds without looking at the clock
FEW_BYTES = 1024  # to read at once if `read()` may wait for all of them: 32 ms of speech


class Readable(Protocol):
    """A pipe, a socket's file, `sys.stdin.buffer`. If it has `read1(n)`, that is used: it doesn't wait for n bytes."""

    def read(self, size: int, /) -> bytes: ...


class Watch(Protocol):
    """Is told when the source's code runs; `LiveAudio` is one."""

    def enter_source(self) -> None:
        """Notes that foreign code is about to run."""
        ...

    def leave_source(self, size: int) -> bool:
        """Notes how many bytes foreign code has given; returns whether more is wanted."""
        ...


def draw(source: Any, watch: Watch) -> Iterator[bytes]:
    """Yields the pieces that a source gives, without empty ones.

    Raises:
        AudioError: The source gave something other than bytes. Exceptions of the source's code come through.
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
        data = plain_bytes(piece, "read() of a live source gave", "make it blocking")
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
            data = plain_bytes(piece, "an iterable of a live source gave", "leave it out")
            if data:
                yield data
    finally:
        watch.enter_source()
        close = getattr(iterator, "close", None)
        if callable(close) and not hasattr(iterator, "read"):
            try:
                close()
            except Exception as error:  # noqa: BLE001 - the audio has ended, so this harms nobody
                logger.warning("close() of the live source failed: %r", error)
        watch.leave_source(0)


def plain_bytes(piece: object, given: str, if_none: str) -> bytes:
    """Returns a piece of audio as bytes; a copy if it isn't `bytes`, since its owner could change it later.

    Args:
        piece: What was given.
        given: Who gave it, for errors: `read() of a live source gave`.
        if_none: What helps if it is `None`.

    Raises:
        AudioError: The piece isn't bytes-like, or holds floating point numbers.
    """
    if isinstance(piece, bytes):
        return piece
    if piece is None:
        raise AudioError(f"{given} None in place of bytes: {if_none}")
    if isinstance(piece, str):
        raise AudioError(f"{given} text in place of bytes: open what it comes from in binary mode")
    try:
        with memoryview(piece) as view:  # type: ignore[arg-type]
            kind, data = view.format[-1:], bytes(view)
    except (TypeError, ValueError) as error:  # a `ValueError`: a `memoryview` that was released, a closed `mmap`
        raise AudioError(f"{given} {type(piece).__name__} in place of bytes") from error
    if kind in ("e", "f", "d", "g"):
        raise AudioError(f"{given} floating point numbers: convert them to 16 bit integers")
    return data


def _length(piece: object) -> int:
    return len(piece) if isinstance(piece, (bytes, bytearray, memoryview)) else 1


def check_source(source: Any) -> None:
    """Checks that something is a live source.

    Raises:
        ConfigError: It isn't a live source.
    """
    if isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike)):
        raise ConfigError(
            "a live source is an iterable of bytes, or an object with read(): give score() this one itself"
        )
    if isinstance(source, io.TextIOBase):
        raise ConfigError("the live source is in text mode: open it with 'rb', or give its .buffer")
    reads = [read for read in (getattr(source, "read1", None), getattr(source, "read", None)) if callable(read)]
    is_iterable = hasattr(type(source), "__iter__") or hasattr(type(source), "__getitem__")
    if any(map(inspect.iscoroutinefunction, reads)) or (hasattr(source, "__aiter__") and not reads and not is_iterable):
        raise ConfigError("the live source is asynchronous: use Client.open_stream(), with asyncio.to_thread()")
    if not reads and not is_iterable:
        kind = type(source).__name__
        raise ConfigError(f"a live source is an iterable of bytes, or an object with read(n), not {kind}")
