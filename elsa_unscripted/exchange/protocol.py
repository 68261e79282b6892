"""The exchange as a state table: an event in, commands out. No I/O and no clock; driven by `conversation`.

The theory. One connection is one exchange:

    CONNECTING ── opened ──► STARTING ── stream id ──► STREAMING ── audio sent ──► AWAITING
        │                       │                         │                           │
        └───────────────────────┴── success, failed, closed, time over, cancelled, … ─┴──► DONE

* The config is sent as soon as the socket is open, audio only after the server named a stream, the end of the
  stream right after the last packet.
* `success` and `failed` are verdicts as soon as the socket is open: the server may end before all audio was sent.
* `bad_quality` is *held*: a later verdict overrides it; it becomes the error when the connection closes, when time is
  over, or when the server stays silent for a grace while no audio is being sent.
* A message that can't be read ends the exchange with an error where the verdict is due (AWAITING). In other states the
  exchange goes on, since a verdict may still come. If none does before a close or time over, the message is the error.
* A failed send is held, too (BROKEN): the server may have sent its verdict before it stopped reading.
* A verdict that arrives after a close or a deadline still counts. An end that no verdict can change is *final*: the
  server's `failed`, a connection that never opened, a cancellation.
"""

from __future__ import annotations

import enum
from typing import Callable, Dict, List, Optional, Tuple, Union

from ..exceptions import (
    REFUSING_CLOSE_CODES,
    BadQualityError,
    ElsaError,
    ProtocolError,
    ScoreCancelledError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)
from ..log import Log, logger
from ..quoting import quoted
from ..wire.messages import Closed, Info, Malformed, Status, describe
from .commands import (
    Command,
    Fail,
    Finish,
    Report,
    ReportProgress,
    SendConfig,
    StartAudio,
    StartGrace,
    StopAudio,
    StopGrace,
)
from .events import Event, Progress, SendFailed, SourceFailed


class State(enum.Enum):
    """Where an exchange is. The values of the first four are the `phase` of an error; the last two never are."""

    CONNECTING = "connect"
    STARTING = "start"
    STREAMING = "audio"
    AWAITING = "result"
    BROKEN = "broken"
    DONE = "done"


class Protocol:
    """The state of one exchange.

    Attributes:
        state: Where the exchange is.
        phase: How far the exchange has come: its state, or the last one before BROKEN and DONE.
        stream_id: The server's name for the stream; `None` before it gives one.
        statuses: The server's messages that carry a `status`, so far; at most `MAX_STATUSES`.
        last_message: The beginning of the server's last message; messages that only say that it is at work don't count.
    """

    def __init__(self, log: Log = logger) -> None:
        self._log = log
        self.state = State.CONNECTING
        self.phase = State.CONNECTING
        self.stream_id: Optional[str] = None
        self.statuses: List[Status] = []
        self.last_message: Optional[str] = None
        self._characters = 0  # in all texts of `statuses`
        self._held: Optional[ElsaError] = None
        self._garbled: Optional[ProtocolError] = None

    def receive(self, event: Event) -> List[Command]:
        """Takes an event; returns what to do about it, in order.

        Raises:
            RuntimeError: The event isn't allowed in this state: a defect of the caller.
        """
        kind = _kind(event)
        try:
            target, act = TRANSITIONS[self.state][kind]
        except KeyError:
            raise RuntimeError(f"{kind} in state {self.state.name}") from None
        if isinstance(event, (Status, Info)) and not _says_at_work(event):
            self.last_message = event.text[:MAX_LAST_MESSAGE] or None
        before, self.state = self.state, target
        commands = act(self, event)
        if isinstance(event, Status):
            self._remember(event)
            # Report last, so that the audio doesn't wait for the caller's callback; but first if the exchange ends.
            commands.insert(0 if target is State.DONE else len(commands), Report(event))
        if target is State.DONE and before is State.STREAMING:
            commands.insert(0, StopAudio())
        if target is State.DONE:
            # Don't keep the error: once raised, its traceback refers to frames that refer to this object. Such a circle
            # would keep the caller's recording until the garbage collector comes.
            self._held = self._garbled = None
        if target not in (State.BROKEN, State.DONE):
            self.phase = target
        return commands

    def _remember(self, status: Status) -> None:
        self.statuses.append(status)
        self._characters += len(status.text)
        # Drop from the middle: the first tell how the exchange began, the last how it ended.
        while len(self.statuses) > 2 and (
            len(self.statuses) > MAX_STATUSES or self._characters > MAX_STATUS_CHARACTERS
        ):
            self._characters -= len(self.statuses.pop(len(self.statuses) // 2).text)

    # Actions of the transitions. Each takes the event that caused the transition.

    def _open(self, event: Event) -> List[Command]:
        return [SendConfig()]

    def _start(self, event: Event) -> List[Command]:
        assert isinstance(event, Status)
        self.stream_id = event.stream_id
        return [StopGrace(), StartAudio()]

    def _end(self, event: Event) -> List[Command]:
        return self._wait_on()

    def _go_on(self, event: Event) -> List[Command]:
        if isinstance(event, Info):
            self._log.info("the server says %s", describe(event))
        elif isinstance(event, Status) and event.status not in KNOWN_STATUSES:
            self._log.warning("going on, although the server's %s is unknown", describe(event))
        return self._wait_on()

    def _wait_on(self) -> List[Command]:
        """Starts the grace anew if an error is held, since the server wasn't silent; never while audio is sent."""
        if self._held is None or self.state is State.STREAMING:
            return []
        return [StartGrace(broken=isinstance(self._held, StreamClosedError))]

    def _hold(self, event: Event) -> List[Command]:
        if isinstance(event, Status):
            self._held = BadQualityError(
                f"the server can't assess the recording: bad_quality{self._why(event)}; record it again",
                reason=event.reason,
            )
        elif isinstance(event, SendFailed) and self._held is None:
            self._held = StreamClosedError()  # its message follows in `_known_error()`
            self._held.__cause__ = event.error
        return self._wait_on()

    def _overlook(self, event: Event) -> List[Command]:
        assert isinstance(event, Malformed)
        self._log.warning("going on, although %s", event.error)
        self._garbled = event.error
        return self._wait_on()

    def _said(self) -> str:
        return f" (the server's last message: {quoted(self.last_message)})" if self.last_message else ""

    def _why(self, verdict: Status) -> str:
        """Quotes a verdict's reason; if it has none, the message itself, if that says more than the status."""
        return _because(verdict.reason) if verdict.reason or len(verdict) == 1 else self._said()

    def _again(self, code: int = 1006) -> str:
        if code in REFUSING_CLOSE_CODES:
            return "check the token, the plan and the options, or ask ELSA's support"
        if self.stream_id is None:
            return "nothing was sent that could be billed: try again"
        return "score the recording again if it may be billed twice"

    def _known_error(self) -> Optional[ElsaError]:
        if isinstance(self._held, BadQualityError):
            return self._held
        if self._held is not None:
            message = f"the connection broke while sending, and no verdict came{self._said()}; {self._again()}"
            self._held.args = (message,)
        return self._garbled or self._held

    def _ignore(self, event: Event) -> List[Command]:
        return []

    def _progress(self, event: Event) -> List[Command]:
        assert isinstance(event, Progress)
        return [ReportProgress(event.frames)]

    def _cancel(self, event: Event) -> List[Command]:
        return [
            Fail(ScoreCancelledError("cancelled by Client.cancel(), Client.close() or LiveStream.cancel()"), final=True)
        ]

    def _give_up(self, event: Event) -> List[Command]:
        assert isinstance(event, SourceFailed)
        return [Fail(event.error, final=True)]

    def _finish(self, event: Event) -> List[Command]:
        assert isinstance(event, Status)
        return [Finish(event)]

    def _reject(self, event: Event) -> List[Command]:
        assert isinstance(event, Status)
        return [
            Fail(
                ScoringFailedError(
                    f"the server could not score the recording: failed{self._why(event)}; "
                    "check the recording and the options, or ask ELSA's support about this stream_id",
                    reason=event.reason,
                ),
                final=True,
            )
        ]

    def _unreadable(self, event: Event) -> List[Command]:
        assert isinstance(event, Malformed)
        self._garbled = event.error
        return self._settle(event)

    def _settle(self, event: Event) -> List[Command]:
        error = self._known_error()
        assert error is not None
        return [Fail(error)]

    def _closed(self, event: Event) -> List[Command]:
        assert isinstance(event, Closed)
        known = self._known_error()
        if isinstance(known, (BadQualityError, ProtocolError)):
            return [Fail(known)]
        if isinstance(event.error, ElsaError):
            return [Fail(event.error, final=self.phase is State.CONNECTING)]
        next_step = self._again(event.code)
        if event.code != 1006:
            how = f"was closed by the server with code {event.code}"
        elif event.silence < SHORTEST_SILENCE:
            how = "was cut"
        else:
            how = f"was cut after {round(event.silence, 1):g} s of silence"
            next_step += "; if a load balancer cuts connections on which the client is silent, set ping_interval"
        closed = StreamClosedError(
            f"the connection {how}{_because(event.reason)}, before a verdict{self._said()}; {next_step}",
            code=event.code,
            reason=event.reason,
        )
        closed.__cause__ = event.error or (self._held.__cause__ if self._held else None)
        return [Fail(closed)]

    def _time_over(self, event: Event) -> List[Command]:
        waited = "a stream id" if self.stream_id is None else "a verdict"
        return [
            Fail(
                self._known_error()
                or ScoreTimeoutError(
                    f"timed out waiting for {waited} from the server{self._said()}; raise timeout, or try later"
                )
            )
        ]


# How much of the server's messages is kept: a server that never stops sending must not fill the memory.
MAX_STATUSES = 10_000
MAX_STATUS_CHARACTERS = 4 * 2**20  # of all statuses; in memory they take several times as much
MAX_LAST_MESSAGE = 1000  # characters
SHORTEST_SILENCE = 0.9  # s; an error tells of a longer silence before the cut, as a possible cause of it
GREETING = "ELSA:wsConnect"  # D: the `type` of a message that may come first
KNOWN_STATUSES = frozenset({"processing", "accepted", "paused", "success", "failed", "bad_quality"})


def _kind(event: Event) -> str:
    if not isinstance(event, Status):
        return type(event).__name__
    if event.status == "processing":
        return "StreamId" if event.stream_id else "Chatter"
    return {"success": "Success", "failed": "Failed", "bad_quality": "BadQuality"}.get(event.status, "Chatter")


def _says_at_work(event: Union[Status, Info]) -> bool:
    """Returns whether a message says only that all is well, which explains no failure that comes after it."""
    if isinstance(event, Info):
        return event.type == GREETING
    return event.status in ("processing", "accepted")


def _because(reason: Optional[str]) -> str:
    """Quotes the server's reason, escaped and cut: it may be a megabyte. The error's attributes hold all of it."""
    return f" ({quoted(reason)})" if reason else ""


Action = Callable[[Protocol, Event], List[Command]]
_P = Protocol
_DONE = State.DONE

TRANSITIONS: Dict[State, Dict[str, Tuple[State, Action]]] = {
    State.CONNECTING: {
        "Opened": (State.STARTING, _P._open),
        "Closed": (_DONE, _P._closed),
        "Cancelled": (_DONE, _P._cancel),
    },
    State.STARTING: {
        "StreamId": (State.STREAMING, _P._start),
        "Chatter": (State.STARTING, _P._go_on),
        "Info": (State.STARTING, _P._go_on),
        "Success": (_DONE, _P._finish),
        "Failed": (_DONE, _P._reject),
        "BadQuality": (State.STARTING, _P._hold),
        "Malformed": (State.STARTING, _P._overlook),
        "SendFailed": (State.BROKEN, _P._hold),
        "SourceFailed": (_DONE, _P._give_up),
        "Closed": (_DONE, _P._closed),
        "GraceOver": (_DONE, _P._settle),
        "TimeOver": (_DONE, _P._time_over),
        "Cancelled": (_DONE, _P._cancel),
    },
    State.STREAMING: {
        "StreamId": (State.STREAMING, _P._go_on),
        "Chatter": (State.STREAMING, _P._go_on),
        "Info": (State.STREAMING, _P._go_on),
        "Success": (_DONE, _P._finish),
        "Failed": (_DONE, _P._reject),
        "BadQuality": (State.STREAMING, _P._hold),
        "Malformed": (State.STREAMING, _P._overlook),
        "Progress": (State.STREAMING, _P._progress),
        "AudioSent": (State.AWAITING, _P._end),
        "SendFailed": (State.BROKEN, _P._hold),
        "SourceFailed": (_DONE, _P._give_up),
        "Closed": (_DONE, _P._closed),
        "TimeOver": (_DONE, _P._time_over),
        "Cancelled": (_DONE, _P._cancel),
    },
    State.AWAITING: {
        "StreamId": (State.AWAITING, _P._go_on),
        "Chatter": (State.AWAITING, _P._go_on),
        "Info": (State.AWAITING, _P._go_on),
        "Success": (_DONE, _P._finish),
        "Failed": (_DONE, _P._reject),
        "BadQuality": (State.AWAITING, _P._hold),
        "Malformed": (_DONE, _P._unreadable),
        "SendFailed": (State.BROKEN, _P._hold),
        "Closed": (_DONE, _P._closed),
        "GraceOver": (_DONE, _P._settle),
        "TimeOver": (_DONE, _P._time_over),
        "Cancelled": (_DONE, _P._cancel),
    },
    State.BROKEN: {
        "StreamId": (State.BROKEN, _P._go_on),
        "Chatter": (State.BROKEN, _P._go_on),
        "Info": (State.BROKEN, _P._go_on),
        "Success": (_DONE, _P._finish),
        "Failed": (_DONE, _P._reject),
        "BadQuality": (State.BROKEN, _P._hold),
        "Malformed": (State.BROKEN, _P._overlook),
        "Closed": (_DONE, _P._closed),
        "GraceOver": (_DONE, _P._settle),
        "TimeOver": (_DONE, _P._time_over),
        "Cancelled": (_DONE, _P._cancel),
    },
    # The exchange ended without a verdict; one that comes later still counts.
    State.DONE: {
        "StreamId": (_DONE, _P._ignore),
        "Chatter": (_DONE, _P._ignore),
        "BadQuality": (_DONE, _P._ignore),
        "Success": (_DONE, _P._finish),
        "Failed": (_DONE, _P._reject),
    },
}
