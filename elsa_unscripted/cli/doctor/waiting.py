"""Waits for several calls at once, each of which may block without a bound. For `network`."""

from __future__ import annotations

import functools
import queue
import threading
from typing import Callable, List, Sequence, Tuple, TypeVar, Union

from ...deadline import Deadline
from ...mailbox import Mailbox
from ...threads import NoThreadError, start_thread

T = TypeVar("T")


def together(calls: Sequence[Callable[[], T]], seconds: float) -> List[Union[T, Exception]]:
    """Makes calls, each in a thread of its own, and waits for them.

    A call that takes longer goes on in its thread, a daemon: nothing can end a look-up of a name.

    Args:
        calls: What to call.
        seconds: How long to wait for all of them.

    Returns:
        What each call has returned or raised; a `TimeoutError` for one that takes longer, and a `NoThreadError` for one
        that had no thread.
    """
    answers: Mailbox[Tuple[int, Union[T, Exception]]] = Mailbox()
    until = Deadline(seconds)
    for number, call in enumerate(calls):
        try:
            start_thread(threading.Thread(target=functools.partial(_answer, answers, number, call), daemon=True))
        except NoThreadError as error:
            answers.put((number, error))
    found: List[Union[T, Exception]] = [TimeoutError("timed out") for _ in calls]
    try:
        for _ in calls:
            number, answer = answers.get(until.remaining())
            found[number] = answer
    except queue.Empty:
        pass
    return found


def _answer(answers: Mailbox[Tuple[int, Union[T, Exception]]], number: int, call: Callable[[], T]) -> None:
    try:
        answers.put((number, call()))
    except Exception as error:  # noqa: BLE001 - the caller looks at it
        answers.put((number, error))
