"""`in_own_thread()`: decodes where no signal handler of the caller can interrupt it. For `container`.

Python runs signal handlers in the main thread only. PyAV is written in Cython: if a handler raises while PyAV handles
an exception of its own, as at the end of each file, Cython drops what the handler raised. About one of 350 time limits
that came during decoding was lost.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Any, Callable, Optional, TypeVar

from ..deadline import Deadline
from ..exceptions import AudioError
from ..mailbox import Mailbox
from ..threads import NoThreadError, start_thread

__all__ = ["Watch", "in_own_thread"]

T = TypeVar("T")

_LEAVE_TIME = 0.5  # s; the longest wait for a decoder that isn't needed any more: it ends with its current packet
_LOOK = 1.0  # s between two looks whether this is still the process in which the decoder runs
_PATIENCE = 3600.0  # s; the longest that a decoder waits for the caller


class _UnwantedError(Exception):
    """The caller doesn't wait for the decoder any more."""


class Watch:
    """Connects a decoder with the thread that waits for it.

    Attributes:
        tell: The decoder calls it when it has decoded the first audio.
        unwanted: Whether nobody waits any more.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell
        self.unwanted = False

    def look(self) -> None:
        """The decoder calls it before each packet; raises if nobody waits any more."""
        if self.unwanted:
            raise _UnwantedError


class _Answer:
    """What became of the work: a value, an error, or neither if it wasn't begun."""

    begun = False
    value: Any = None
    error: Optional[BaseException] = None


def in_own_thread(work: Callable[[Watch], T], recognized: Callable[[], None]) -> T:
    """Returns what `work` returns, or raises what it raises.

    In the main thread, `work` runs in a thread of its own. In any other thread, or if none can be started, it runs in
    the thread that calls.

    Args:
        work: Decodes; uses the watch as `Watch` tells.
        recognized: What `tell()` calls, always in the thread that called this. The decoder waits meanwhile, since
            Python can lose Ctrl-C in an import while another thread runs.

    Raises:
        AudioError: This is a child that a signal handler has forked meanwhile: the decoder runs in its parent.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return work(Watch(recognized))
    answers: Mailbox[Optional[_Answer]] = Mailbox()  # `None` asks for `recognized()`
    may_go_on: Mailbox[None] = Mailbox()
    process, native_thread = os.getpid(), threading.get_native_id()

    def tell() -> None:
        answers.put(None)
        with contextlib.suppress(queue.Empty):
            may_go_on.get(_PATIENCE)

    watch = Watch(tell)

    def run() -> None:
        answer = _Answer()
        try:
            # Under gevent, a "thread" is a part of the thread that starts it, and protects from nothing.
            answer.begun = threading.get_native_id() != native_thread
            if answer.begun:
                answer.value = work(watch)
        except BaseException as error:  # noqa: BLE001 - delivered to the thread that waits, whatever it is
            # An error that nobody takes isn't kept: its traceback refers to this frame, and so to the answer; such a
            # circle would keep the audio.
            answer.error = None if watch.unwanted else error
        finally:
            answers.put(answer)

    answer: Optional[_Answer] = None
    is_there = True
    thread = threading.Thread(target=run, name="elsa-decoder", daemon=True)
    try:
        try:
            start_thread(thread)
        except NoThreadError:
            is_there = False
        while is_there and answer is None:
            try:
                answer = answers.get(_LOOK)
            except queue.Empty:
                if os.getpid() == process:
                    continue
                is_there = False  # of the threads, a forked child has only the one that forked
                raise AudioError("a signal handler forked while a recording was decoded: load it anew") from None
            if answer is None:
                recognized()
                may_go_on.put(None)
    finally:
        watch.unwanted = True
        may_go_on.put(None)
        if is_there:
            answer = answer or _last_answer(answers)
            if answer is not None:
                thread.join(_LEAVE_TIME)  # it has nothing left to do
            # At once: a thread is freed by Python code that drops what a handler raises.
            del thread
    if answer is None or not answer.begun:
        return work(Watch(recognized))
    error, answer.error = answer.error, None
    if error is None:
        value: T = answer.value
        return value
    try:
        raise error
    finally:
        del error  # its traceback refers to this frame; a circle of the two would keep the audio


def _last_answer(answers: Mailbox[Optional[_Answer]]) -> Optional[_Answer]:
    """Waits a moment for the answer of a decoder that isn't needed any more; lets go of its error, as `run()` does."""
    until = Deadline(_LEAVE_TIME)
    with contextlib.suppress(queue.Empty):
        while True:
            answer = answers.get(until.remaining())
            if answer is not None:
                answer.error = None
                return answer
    return None
