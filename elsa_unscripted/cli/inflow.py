"""Audio that comes to `score` through a pipe, a FIFO, a socket or a device: read as it comes, with every wait bounded.

A thread that waits in `sys.stdin.buffer.read()` holds the lock of that object, and Python aborts at its end (status
134). So this reads the descriptor itself, which has no lock. On POSIX it first waits until there is something to read,
or until `close()`: so the thread that reads can be ended at any time, and a descriptor in non-blocking mode works, too.
Windows can't wait so for a pipe: there, a read blocks until the writer writes or ends. The thread of `LiveAudio` is
left behind in it, which does no harm; but the wait for the first audio has no bound.
"""

from __future__ import annotations

import os
import select
import stat
import threading
import time
from typing import Optional

from ..audio.decoding import DECODED_RATE, decode
from ..audio.heads import Way, way_to_decode
from ..exceptions import AudioError, ConfigError
from ..threads import holding
from .options import stdin

__all__ = ["Inflow", "find_inflow"]

MOST_BYTES = 2**16  # to read at once: what a pipe holds on Linux
ENOUGH_BYTES = 2**16  # in which audio of an unknown format must show itself: 2 s of it, if it is raw PCM
LONGEST_WAIT = 2e6  # s; `poll()` takes no more than 24 days
LEAVE_TIME = 0.5  # s for the thread that reads to leave

# With O_NONBLOCK, to open a FIFO doesn't wait for its writer: `Inflow` does, with a bound. Not all systems have each.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))


def find_inflow(path: str, patience: float) -> Optional[Inflow]:
    """Returns the audio that comes through what a path names; `None` if that is a file, or can't be used.

    Args:
        path: A path; `-` is standard input.
        patience: Seconds without a byte after which the writer counts as failed.

    Raises:
        ConfigError: It is a terminal.
        AudioError: It can't be opened.
    """
    owned = path != "-"
    named = repr(path) if owned else "standard input"
    given = None if owned else stdin()
    try:
        descriptor = -1 if given is None else given.fileno()
        mode = os.stat(path if owned else descriptor).st_mode
    except (OSError, ValueError):
        return None  # `load()` says what is wrong with it
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)):
        return None
    try:
        if owned:
            descriptor = os.open(path, _FLAGS)
        inflow = Inflow(descriptor, named, patience, owned=owned)
    except OSError as error:
        raise AudioError(f"{named} can't be read ({error.strerror}): check the path and its permissions") from error
    if os.isatty(descriptor):
        inflow.close()
        raise ConfigError(f"{named} is a terminal, not a recording: give a file, < FILE, or a pipe")
    return inflow


class Inflow:
    """Bytes as they come through a descriptor. First the main thread looks at them, then another thread draws them."""

    def __init__(self, descriptor: int, name: str, patience: float, *, owned: bool) -> None:
        """Makes an inflow.

        Args:
            descriptor: Where to read.
            name: What to call it in messages.
            patience: Seconds without a byte after which `wait()`, `comes_decodable()` and `read_all()` give up.
            owned: Whether `close()` closes the descriptor.
        """
        self.name = name
        self._descriptor = descriptor
        self._owned = owned
        self._patience = patience
        self._head = b""  # bytes that were read ahead
        self._ended = False
        self._closed = False
        # Held while the descriptors are waited for or read: close() must not close them then.
        self._turn = threading.Lock()
        self._poll = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._sleeper, self._waker = os.pipe()
            self._poll.register(descriptor, select.POLLIN)
            self._poll.register(self._sleeper, select.POLLIN)

    def close(self) -> None:
        """Ends a `read1()` that waits, and then closes what was opened; may be called again."""
        if self._closed:
            return
        self._closed = True
        if self._poll is not None:
            os.write(self._waker, b"!")
        # If this times out, a thread is in a read that can't be ended: the end of the process will close all.
        holding(self._turn, self._close_descriptors, timeout=LEAVE_TIME)

    def _close_descriptors(self) -> None:
        if self._poll is not None:
            os.close(self._sleeper)
            os.close(self._waker)
        if self._owned:
            os.close(self._descriptor)

    def read1(self, size: int, /) -> bytes:
        """Returns what has come, at most `size` bytes; waits for it, but only until `close()`. `b""` is the end."""
        if self._head:
            given, self._head = self._head[:size], self._head[size:]
            return given
        return b"" if self._ended else self._read(size, None) or b""

    def read(self, size: int, /) -> bytes:
        """Does what `read1()` does."""
        return self.read1(size)

    def wait(self) -> None:
        """Waits for the first byte.

        Raises:
            AudioError: No byte came in time, or the pipe ended.
        """
        if not self._head:
            self._look_further()

    def comes_decodable(self) -> bool:
        """Waits for the first bytes; returns whether they begin a file that can be decoded as it comes.

        Raises:
            AudioError: They begin no audio, or too few came.
        """
        while True:
            self._look_further()
            way = way_to_decode(self._head, self.name)
            if way is None and self._ended:
                way = Way.WHOLE  # whatever it is, it is cut off: `load()` says what is wrong with it
            if way is Way.UNKNOWN and (self._ended or len(self._head) >= ENOUGH_BYTES):
                self._check_unknown()
                way = Way.WHOLE
            if way in (Way.AS_IT_COMES, Way.WHOLE):
                return way is Way.AS_IT_COMES

    def read_all(self) -> bytes:
        """Returns all bytes, up to the end.

        Raises:
            AudioError: The writer has stopped writing.
        """
        pieces = [self._head]
        self._head = b""
        while not self._ended:
            pieces.append(self._next())
        return b"".join(pieces)

    def _check_unknown(self) -> None:
        try:
            decode(self._head, DECODED_RATE, self.name, lambda: None)
        except AudioError as error:
            advice = "if it is raw PCM, say so with --pcm RATE[:CHANNELS[:BITS]]"
            raise AudioError(f"{error}; {advice}") from error.__cause__

    def _look_further(self) -> None:
        self._head += self._next()
        if not self._head:
            raise AudioError(f"{self.name} ended without audio: check what writes to it")

    def _next(self) -> bytes:
        piece = self._read(MOST_BYTES, self._patience)
        if piece is None:
            raise AudioError(
                f"{self.name} gave nothing for {self._patience:g} s: check what writes to it, or raise --source-timeout"
            )
        self._ended = not piece
        return piece

    def _read(self, size: int, patience: Optional[float]) -> Optional[bytes]:
        """Returns the next bytes; `b""` at the end, and after `close()`; `None` if none came in time."""
        until = None if patience is None else time.monotonic() + patience
        return holding(self._turn, self._read_until, size, until)

    def _read_until(self, size: int, until: Optional[float]) -> Optional[bytes]:
        while not self._closed:
            if self._poll is not None:
                left = None if until is None else 1000 * min(max(0.0, until - time.monotonic()), LONGEST_WAIT)
                ready = [descriptor for descriptor, _ in self._poll.poll(left)]
                if self._sleeper in ready:
                    break
                if not ready:
                    return None
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:  # somebody else who reads from it was faster
                continue
            except OSError as error:
                raise AudioError(f"{self.name} can't be read ({error.strerror}): check what writes to it") from error
        return b""
