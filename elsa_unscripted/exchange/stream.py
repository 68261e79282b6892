"""`LiveStream`: one exchange whose audio is pushed by the caller. Made by `Client.open_stream()`.

For raw PCM, there is one thread beside the caller's: the transport's. `send_audio()` and `finish()` do all else in the
caller's thread: they act on the events that have come, and send what is due, without blocking. A container needs two
more threads: one decodes it (`audio.live`), one sends it (`sender`).
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Callable, Iterator, Optional, Union

from ..audio.feed import Data
from ..audio.pieces import plain_bytes
from ..audio.pushed import Handed, PushedAudio
from ..deadline import Deadline
from ..exceptions import AudioError, ConfigError, ElsaError, ScoreCancelledError
from ..results.result import ScoreResult
from ..signals import raised_by_handler
from ..threads import NoThreadError, holding, start_thread
from ..wire.messages import Status
from .account import Account
from .callbacks import CallbackFailed
from .connector import Connector
from .conversation import SHORT_CLOSE_TIMEOUT, Conversation
from .events import SendFailed

if TYPE_CHECKING:
    from types import TracebackType

SHORT_WHILE = 0.1  # s between two looks at the clocks: for most pieces, a look takes as long as everything else
LONGEST_LOCK = 60.0  # s that cancel() waits for a thread in another method, which mostly notices at once and returns


class LiveStream:
    """Speech that is pushed as it comes: `send_audio()` for each piece, then `finish()` for the result.

    For code that is handed audio: a WebSocket handler, an audio callback, a task. Any thread may call the methods; they
    take turns. Callbacks run in the thread that calls a method.

    Example:
        >>> from elsa_unscripted import Client
        >>> from elsa_unscripted.sandbox import Sandbox
        >>> chunks = [bytes(640)] * 50  # 20 ms each, of 16 kHz, mono, 16 bit
        >>> with Sandbox() as sandbox, Client("any-token", url=sandbox.url) as client:
        ...     with client.open_stream(sample_rate=16000) as stream:
        ...         for chunk in chunks:
        ...             if not stream.send_audio(chunk):
        ...                 break  # it is over: the server has heard the end, most likely
        ...         result = stream.finish()
        >>> result.ended_by
        'source'
    """

    def __init__(
        self,
        intake: Union[PushedAudio, Handed],
        account: Account,
        connector: Connector,
        conversation: Conversation,
        verdict: Optional[Status],
        leave: Callable[[], object],
        close_timeout: float,
    ) -> None:
        """Made by `Client.open_stream()`, once the config was sent.

        Args:
            intake: Takes the audio.
            account: Knows what was sent.
            connector: Has the connection.
            conversation: A conversation after `begin()`.
            verdict: What `begin()` returned: mostly `None`.
            leave: Called when the connection has ended.
            close_timeout: Seconds for the closing handshake.
        """
        self._intake = intake
        self._pushed = intake if isinstance(intake, PushedAudio) else None
        assert account.live is not None
        assert connector.connection is not None
        self._audio = account.live
        self._account = account
        self._connector = connector
        self._connection = connector.connection
        self._conversation = conversation
        self._leave = leave
        self._close_timeout = close_timeout
        # An RLock: a callback or a signal handler may call a method inside another method, in the same thread.
        self._turn = threading.RLock()
        self._depth = 0  # 1 while a method runs, so that a method inside it notices
        self._due = math.inf  # when to send the next message; infinity while there is none
        self._next_look = 0.0  # when to look at the deadlines and the limit again, at the latest
        self._verdict = verdict
        self._error: Optional[ElsaError] = None
        self._over = verdict is not None  # the verdict or the error is there
        self._ended = False  # the connection and the threads have ended
        self._finishing = False
        self._result: Optional[ScoreResult] = None
        # Its arguments must not refer to this object, nor to the callbacks, which may refer to it.
        self._finalizer = weakref.finalize(self, _drop, os.getpid(), connector, account, intake, leave)
        self._finalizer.atexit = False  # at exit, the system closes everything

    def send_audio(self, data: Data, wait: bool = True) -> bool:
        """Takes audio, and sends each packet as soon as it is full and due.

        Args:
            data: Any number of bytes of the audio; may end within a frame.
            wait: Whether to wait when 30 s of audio are not sent yet. If not, the stream ends with an error then: audio
                is never dropped in silence.

        Returns:
            Whether the stream goes on. If `False`, call `finish()`: it tells why.

        Raises:
            AudioError: `data` isn't bytes-like.
            Exception: A callback raised it; then the stream is over.
        """
        piece = (
            data if isinstance(data, bytes) else plain_bytes(data, "send_audio() was given", "finish() tells the end")
        )
        return bool(holding(self._turn, self._take, piece, wait))

    def finish(self) -> ScoreResult:
        """Sends the rest, and the end of the audio; waits for the verdict.

        Returns:
            The result, with the verdict `success`; a second call returns it again.

        Raises:
            ElsaError: The stream ended in any other way; a second call raises it again.
            ConfigError: This was called in a callback.
        """
        result = holding(self._turn, self._finish)
        assert result is not None
        return result

    def cancel(self) -> None:
        """Ends the stream, from any thread, if it hasn't ended: then `finish()` raises `ScoreCancelledError`."""
        self._connector.cancel()
        holding(self._turn, self._cancel, timeout=LONGEST_LOCK)

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._connector.cancel()
        holding(self._turn, self._leave_block, timeout=LONGEST_LOCK)

    def __repr__(self) -> str:
        state = "ended" if self._ended else "over" if self._over else "open"
        return f"LiveStream({state}, stream_id={self._account.protocol.stream_id!r})"

    # Only the thread that holds `_turn` calls the methods below.

    def _take(self, piece: bytes, wait: bool) -> bool:
        if self._over or self._finishing:
            return False
        if self._depth:  # called in a callback: the method that called back will send the audio
            self._intake.add(piece)
            return True
        self._depth = 1
        try:
            now = time.monotonic()
            if not self._intake.add(piece) and self._next_look > now < self._due and not self._connection.has_event:
                return True  # the most frequent case
            self._next_look = now + SHORT_WHILE
            return self._push(wait)
        except CallbackFailed as failed:
            self._give_up(failed.error)
            raise failed.error from None
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._depth = 0

    def _finish(self) -> ScoreResult:
        if self._depth:
            raise ConfigError("finish() waits for the verdict, and can't be called in a callback: call it later")
        with self._acting():
            self._wait_for_end()
            self._end()
        if self._error is not None:
            raise self._error.with_traceback(None)
        assert self._result is not None
        return self._result

    def _cancel(self) -> None:
        if not self._depth:  # else the method that called back handles the cancellation as its next event
            with self._acting():
                self._go_on()
                self._end()

    def _leave_block(self) -> None:
        self._depth = 0  # if Ctrl-C interrupted a method of this thread, it may still be 1
        self._cancel()

    def _push(self, wait: bool) -> bool:
        """Sends what is due; returns whether the stream goes on."""
        self._go_on()
        while not self._over and self._intake.is_full:
            if not wait:
                self._overflow()
            else:
                self._go_on(Deadline(0.05))  # a short wait, since no event tells that there is room again
        return not self._over and self._audio.ended_by is None

    def _wait_for_end(self) -> None:
        if not self._finishing:
            self._finishing = True
            self._intake.end()
        while not self._over:
            self._go_on(self._conversation.deadline)

    def _go_on(self, until: Optional[Deadline] = None) -> None:
        """Sends what is due, and acts on events that are there; with `until`, first waits for either of them."""
        connection, conversation = self._connection, self._conversation
        try:
            self._send_due()
            if until is not None and not self._over:
                wait = min(until.remaining(), self._due - time.monotonic())
                self._heed(conversation.advance(Deadline(max(wait, 0.0))))
                self._send_due()
            while not self._over and (connection.has_event or conversation.time_is_over()):
                self._heed(conversation.advance(_AT_ONCE))
                self._send_due()
        except ElsaError as error:
            self._error = error
            self._over = True

    def _heed(self, verdict: Optional[Status]) -> None:
        if verdict is not None:
            self._verdict = verdict
            self._over = True

    def _send_due(self) -> None:
        """Sends what is due of raw PCM, without blocking. A failure becomes a `SendFailed`, as in `take_turn()`."""
        pushed, sender = self._pushed, self._account.sender
        if pushed is None or sender is None or self._over or sender.has_finished:
            return
        if self._due == math.inf and not pushed.has_news:
            return
        now = time.monotonic()
        try:
            while self._due == math.inf or self._due <= now:
                due = sender.step()
                if due is None:
                    self._due = math.inf
                    sender.finish()
                    return
                self._due = due
                if due == math.inf and not pushed.has_news:
                    return
        except Exception as error:
            if raised_by_handler(error):
                raise
            self._due = math.inf
            self._connection.put(SendFailed(error))
            sender.finish()

    def _overflow(self) -> None:
        seconds = self._account.seconds
        have = "" if seconds is None else f" of {seconds:.1f} s of audio, {self._account.seconds_sent:.1f} s were sent;"
        self._error = AudioError(
            f"too much audio waits to be sent:{have} the server, or the network, is too slow. Nothing was dropped; "
            "with wait=True, send_audio() would have waited"
        )
        self._over = True

    @contextlib.contextmanager
    def _acting(self) -> Iterator[None]:
        self._depth = 1
        try:
            yield
        except CallbackFailed as failed:
            self._give_up(failed.error)
            raise failed.error from None
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._depth = 0

    def _give_up(self, error: BaseException) -> None:
        """Ends everything after an exception of a callback or a signal handler."""
        self._over = True
        given_up = ScoreCancelledError(f"the stream was given up, because of {error!r}"[:200])
        if not self._ended:
            self._verdict = None
            self._error = given_up
            self._end(error)
        elif self._error is None and self._result is None:
            self._error = given_up  # a signal handler raised while the stream was being ended

    def _end(self, cause: Optional[BaseException] = None) -> None:
        """Ends the connection and the threads, once.

        Args:
            cause: The exception of a callback or a signal handler. `None` if the stream has ended by itself: then a
                verdict that still comes counts.
        """
        if self._ended:
            return
        # All of it in `try`: an exception of a signal handler at any line must not keep `cut()` from being called.
        try:
            self._ended = True
            self._finalizer.detach()
            self._intake.close()
            if cause is not None:
                self._conversation.end(cause)
            elif self._error is not None:
                self._verdict = self._conversation.end(self._error)
            else:
                self._conversation.shut_down(self._close_timeout)
        except ElsaError as verdict:
            self._error = verdict
        finally:
            self._conversation.cut()  # does nothing, unless Ctrl-C came before the shut-down
            self._leave()
            if self._verdict is not None:
                self._error = None
                self._result = self._account.result(self._verdict)
            elif self._error is not None:
                self._account.add_facts(self._error)
            self._account.drop_audio()


_AT_ONCE = Deadline(0.0)


def _drop(
    process: int,
    connector: Connector,
    account: Account,
    intake: Union[PushedAudio, Handed],
    leave: Callable[[], object],
) -> None:
    """Ends a stream that nobody refers to any more; in a new thread, since a finalizer may run in any thread."""
    if os.getpid() != process:  # this is a forked child; the stream is its parent's, and goes on
        if connector.connection is not None:
            connector.connection.transport.abandon()
        return

    def end() -> None:
        intake.close()
        if account.sender is not None:
            account.sender.stop()
        if account.live is not None:
            account.live.close()
        if connector.connection is not None:
            connector.connection.ending = True
            connector.connection.transport.close(SHORT_CLOSE_TIMEOUT, listen=False)
        if account.sender is not None:
            account.sender.join(0.5)
        if account.live is not None:
            account.live.join()
        leave()

    try:
        start_thread(threading.Thread(target=end, name="elsa-drop", daemon=True))
    except NoThreadError as error:
        account.log.warning("a stream was dropped, and can't be closed: %s", error)
