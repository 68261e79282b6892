"""`aside()`: runs a decoder in a thread of its own, where no signal handler of the caller can interrupt it.

Python runs signal handlers in the main thread only, between any two steps, and PyAV has such steps. It is written in
Cython, which drops what a handler raises while an exception of PyAV's own passes: it comes to the end of a file by
one. A time limit that came in that moment was lost, about one of 350.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Generator, Iterator, List, Union

from ..mailbox import Mailbox
from ..threads import NoThreadError, start_thread

__all__ = ["aside"]

_BLOCK_BYTES = 2**16  # to hand over each small piece by itself would cost more than to decode it
_LEAVE_TIME = 0.5  # s; a decoder that isn't needed any more ends after the piece that it is at
_PATIENCE = 3600.0  # s; the longest single wait for a decoder


def aside(pieces: Generator[bytes, None, None]) -> Iterator[bytes]:
    """Yields what `pieces` gives, the first piece by itself, later ones joined; raises what it raises.

    In the main thread, `pieces` runs in a thread of its own. In any other thread, or if none can be started, it runs in
    the thread that calls.
    """
    if threading.current_thread() is not threading.main_thread():
        yield from pieces
        return
    given: Mailbox[Union[bytes, BaseException, None]] = Mailbox()  # `None` is the end
    ended: Mailbox[None] = Mailbox()
    unwanted: List[bool] = []

    def run() -> None:
        try:
            given.put(next(pieces, None))
            block = bytearray()
            for piece in pieces:
                if unwanted:
                    break
                block += piece
                if len(block) >= _BLOCK_BYTES:
                    given.put(bytes(block))
                    block.clear()
            if block:
                given.put(bytes(block))
            given.put(None)
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            given.put(error)
        finally:
            pieces.close()
            ended.put(None)

    try:
        try:
            # Don't keep the thread: it would be freed in this one, by Python code that drops what a handler raises.
            start_thread(threading.Thread(target=run, name="elsa-decoder", daemon=True))
        except NoThreadError:
            ended.put(None)
            yield from pieces
            return
        while True:
            try:
                piece = given.get(_PATIENCE)
            except queue.Empty:
                continue
            if piece is None:
                return
            if isinstance(piece, BaseException):
                try:
                    raise piece
                finally:
                    del piece  # its traceback refers to this frame; a circle of the two would keep the audio
            yield piece
    finally:
        unwanted.append(True)
        with contextlib.suppress(queue.Empty):
            ended.get(_LEAVE_TIME)
