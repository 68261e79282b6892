"""`Crew`: runs the exchanges of a batch for `run`, in threads of its own or in any `concurrent.futures.Executor`."""

from __future__ import annotations

import functools
import sys
import threading
import time
from concurrent.futures import CancelledError, Executor, Future
from typing import Dict, Optional, Protocol

from ..config import Config
from ..deadline import Deadline
from ..exceptions import ConnectError
from ..exchange.client import Client
from ..mailbox import Mailbox
from ..signals import raise_interruption
from ..threads import NoThreadError, start_thread
from .ticket import Done, Ticket
from .worker import score_anywhere, score_file

THREADS_END = 3.0  # s beyond `close_timeout`: for the threads of cancelled exchanges to end


class Crew(Protocol):
    """Runs the exchanges of a batch.

    Attributes:
        in_this_process: Whether their files and sockets are this process's.
    """

    in_this_process: bool

    def start(self, ticket: Ticket) -> Optional[Exception]:
        """Hands an exchange over.

        Returns:
            An error, if neither this exchange nor any other can be run; `None` if it was taken.
        """

    def forget(self, ticket: Ticket) -> None:
        """Drops what is kept for an exchange that has ended."""

    def close(self) -> None:
        """Cancels the exchanges."""


class ThreadCrew:
    """Threads of the batch's own, one for each exchange that runs.

    Not a `ThreadPoolExecutor`: Ctrl-C can leave its locks, or those of its futures, locked for ever, and its threads
    then keep the interpreter from ending.
    """

    in_this_process = True

    def __init__(self, config: Config, wake: Mailbox[None]) -> None:
        self._client = Client(config=config)
        self._close_timeout = config.close_timeout
        self._wake = wake
        self._threads: Dict[Ticket, threading.Thread] = {}

    def start(self, ticket: Ticket) -> Optional[Exception]:
        # A daemon: an exchange that nobody waits for any more must not keep the interpreter from ending.
        thread = threading.Thread(target=_work, args=(self._client, ticket, self._wake), name="elsa-batch", daemon=True)
        self._threads[ticket] = thread
        try:
            # What a signal handler raises in there comes through; `close()` then finds the thread.
            start_thread(thread, "lower max_workers")
        except NoThreadError as error:
            del self._threads[ticket]
            no_thread = ConnectError(str(error))
            no_thread.__cause__ = error.__cause__
            return no_thread
        return None

    def forget(self, ticket: Ticket) -> None:
        thread = self._threads.pop(ticket, None)
        if thread is not None:
            thread.join(THREADS_END)  # short: the thread has nothing left to do

    def close(self) -> None:
        """Cancels the exchanges, and waits for the threads to end."""
        self._client.close()
        deadline = Deadline(self._close_timeout + THREADS_END)
        for thread in list(self._threads.values()):
            # The garbage collector closes a batch that was dropped. It may run in one of these threads, and no thread
            # can join itself.
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(deadline.remaining())


def _work(client: Client, ticket: Ticket, wake: Mailbox[None]) -> None:
    """Runs an exchange in a thread of the crew's own, where no signal handler can raise."""
    try:
        ticket.done = score_file(client, ticket.path)
    except BaseException as error:  # noqa: BLE001 - told to the batch, whatever it is
        ticket.lost = error
    wake.put(None)


class ExecutorCrew:
    """Somebody else's executor: it is never shut down here."""

    in_this_process = False

    def __init__(self, executor: Executor, config: Config, wake: Mailbox[None]) -> None:
        self._executor = executor
        self._config = config
        self._wake = wake
        self._name = f"{time.time_ns():x}"
        self._count = 0
        self._futures: Dict[Ticket, Future[Done]] = {}

    def start(self, ticket: Ticket) -> Optional[Exception]:
        self._count += 1
        before = sys.exc_info()[1]
        try:
            future = self._executor.submit(score_anywhere, ticket.path, self._config, f"{self._name}-{self._count}")
        except Exception as error:  # noqa: BLE001 - the executor is the caller's, and may raise anything
            raise_interruption(error, before)
            return error
        self._futures[ticket] = future
        future.add_done_callback(functools.partial(_deliver, ticket, self._wake))
        return None

    def forget(self, ticket: Ticket) -> None:
        self._futures.pop(ticket, None)

    def close(self) -> None:
        """Cancels what has not begun. What runs is left alone, and ends by itself."""
        for future in list(self._futures.values()):
            future.cancel()


def _deliver(ticket: Ticket, wake: Mailbox[None], future: Future[Done]) -> None:
    """Fills a ticket in. Called in a thread of the executor; or in the batch's, if its task has ended or is cancelled.

    In the batch's thread a signal handler may raise. `future.result()` would raise the error of the task, which can't
    be told from that of a handler. So the error is asked for with `future.exception()`, which returns it.
    """
    try:
        if future.cancelled():
            ticket.lost = CancelledError()
        else:
            ticket.lost = future.exception(0)
            if ticket.lost is None:
                ticket.done = future.result(0)
    except BaseException as error:
        ticket.lost = error  # else the batch would wait for this ticket for ever
        raise
    finally:
        wake.put(None)
