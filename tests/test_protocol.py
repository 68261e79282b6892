"""The state table: what each event leads to, in each state."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elsa_unscripted.exceptions import (
    BadQualityError,
    ConnectError,
    ElsaError,
    ProtocolError,
    ScoreCancelledError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
)
from elsa_unscripted.exchange import protocol as module
from elsa_unscripted.exchange.commands import (
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
from elsa_unscripted.exchange.events import AudioSent, Cancelled, Event, GraceOver, Progress, SendFailed, TimeOver
from elsa_unscripted.exchange.protocol import Protocol, State
from elsa_unscripted.wire.messages import Closed, Info, Malformed, Opened, Status

STREAM_ID = Status({"status": "processing", "stream_id": "stream-1"})
RECEIVED = Status({"status": "processing", "message": "Finished receiving audio"})
ACCEPTED = Status({"status": "accepted"})
PAUSED = Status({"status": "paused"})
UNKNOWN = Status({"status": "brewing"})
STRANGE = Status({"status": {"success": True}})
SUCCESS = Status({"status": "success", "result_link": "", "audio_link": ""})
FAILED = Status({"status": "failed", "reason": "no speech"})
BAD_QUALITY = Status({"status": "bad_quality", "reason": "noise"})
GREETING = Info("ELSA:wsConnect", {"type": "ELSA:wsConnect"})
GARBAGE = Malformed(ProtocolError("the server's message is not JSON"))
CLOSED = Closed(1000)
CUT = Closed(1006, error=ConnectionResetError(104, "reset"))
BROKEN = SendFailed(BrokenPipeError(32, "broken pipe"))

CHATTER: list[Event] = [RECEIVED, ACCEPTED, PAUSED, UNKNOWN, STRANGE]

# What leads to each state.
WAYS: dict[State, list[Event]] = {
    State.CONNECTING: [],
    State.STARTING: [Opened()],
    State.STREAMING: [Opened(), STREAM_ID],
    State.AWAITING: [Opened(), STREAM_ID, AudioSent()],
    State.BROKEN: [Opened(), STREAM_ID, BROKEN],
    State.DONE: [Opened(), STREAM_ID, AudioSent(), TimeOver()],
}
# What the documented contracts are about: the line is whole, and the end has not come.
OPEN = [State.STARTING, State.STREAMING, State.AWAITING]
ALL_EVENTS: list[Event] = [
    *[Opened(), STREAM_ID, *CHATTER, GREETING, SUCCESS, FAILED, BAD_QUALITY, GARBAGE, AudioSent(), BROKEN, CLOSED],
    GraceOver(),
    TimeOver(),
    Progress(8000),
    Cancelled(),
]


def run(*events: Event) -> tuple[Protocol, list[Command]]:
    """Feeds a new exchange; returns it and what the last event led to."""
    exchange = Protocol()
    commands: list[Command] = []
    for event in events:
        commands = exchange.receive(event)
    return exchange, commands


def kinds(commands: list[Command]) -> list[type[Command]]:
    return [type(command) for command in commands]


def failure(*events: Event) -> Any:
    """Returns the error that the last event ended the exchange with."""
    exchange, commands = run(*events)
    assert exchange.state is State.DONE
    last = commands[-1]
    assert isinstance(last, Fail)
    return last.error


# The ordinary course.


def test_an_exchange_from_start_to_end() -> None:
    """Config when open, audio when the stream has a name, the verdict when it comes: and each status is reported."""
    exchange = Protocol()
    assert (exchange.state, exchange.phase) == (State.CONNECTING, State.CONNECTING)
    assert kinds(exchange.receive(Opened())) == [SendConfig]
    assert exchange.receive(GREETING) == []
    assert kinds(exchange.receive(STREAM_ID)) == [StopGrace, StartAudio, Report]
    assert (exchange.state, exchange.stream_id) == (State.STREAMING, "stream-1")
    assert exchange.receive(Progress(8000)) == [ReportProgress(8000)]
    assert exchange.receive(AudioSent()) == []
    assert exchange.receive(RECEIVED) == [Report(RECEIVED)]
    assert exchange.receive(SUCCESS) == [Report(SUCCESS), Finish(SUCCESS)]
    assert (exchange.state, exchange.phase) == (State.DONE, State.AWAITING)
    assert exchange.statuses == [STREAM_ID, RECEIVED, SUCCESS]


def test_the_phases_are_the_documented_ones() -> None:
    """The phase that errors carry is where the exchange is, by its public names, and stays when it ends."""
    phases = {state: run(*way)[0].phase.value for state, way in WAYS.items()}
    assert list(phases.values()) == ["connect", "start", "audio", "result", "audio", "result"]
    for state in OPEN:
        assert run(*WAYS[state], TimeOver())[0].phase is state


def test_audio_waits_for_the_stream_id() -> None:
    """Nothing but a `processing` with a stream id starts the audio."""
    for event in [GREETING, *CHATTER, BAD_QUALITY, GARBAGE, Status({"status": "accepted", "stream_id": "x"})]:
        exchange, commands = run(Opened(), event)
        assert exchange.state is State.STARTING
        assert StartAudio not in kinds(commands)
        assert StartAudio in kinds(exchange.receive(STREAM_ID))


@pytest.mark.parametrize("state", [State.STREAMING, State.AWAITING])
def test_a_second_stream_id_changes_nothing(state: State) -> None:
    """The stream keeps its first name, and the audio isn't started again."""
    exchange, commands = run(*WAYS[state], Status({"status": "processing", "stream_id": "stream-2"}))
    assert (exchange.state, exchange.stream_id, kinds(commands)) == (state, "stream-1", [Report])


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("event", [*CHATTER, GREETING])
def test_chatter_is_reported_and_passed_over(state: State, event: Event) -> None:
    """`accepted`, `paused`, unknown and strange statuses are reported, and information is not; both change nothing."""
    exchange, commands = run(*WAYS[state], event)
    assert exchange.state is state
    assert commands == ([Report(event)] if isinstance(event, Status) else [])


def test_unknown_statuses_and_greetings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown status is logged as a warning, a greeting as information, a known status not at all."""
    with caplog.at_level(logging.DEBUG, "elsa_unscripted"):
        run(Opened(), GREETING, UNKNOWN, STRANGE, ACCEPTED, PAUSED)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
    assert "ELSA:wsConnect" in caplog.messages[0]
    assert "brewing" in caplog.messages[1]


# Verdicts.


@pytest.mark.parametrize("state", OPEN)
def test_success_is_the_verdict_in_every_state(state: State) -> None:
    """`success` ends the exchange wherever it is, and stops the audio first if that is still being sent."""
    exchange, commands = run(*WAYS[state], SUCCESS)
    stop = [StopAudio] if state is State.STREAMING else []
    assert kinds(commands) == [*stop, Report, Finish]
    assert commands[-1] == Finish(SUCCESS)
    assert exchange.state is State.DONE


@pytest.mark.parametrize("state", OPEN)
def test_failed_is_the_verdict_in_every_state(state: State) -> None:
    """`failed` likewise ends it, with the server's reason in attribute and message."""
    _, commands = run(*WAYS[state], FAILED)
    stop = [StopAudio] if state is State.STREAMING else []
    assert kinds(commands) == [*stop, Report, Fail]
    error = failure(*WAYS[state], FAILED)
    assert type(error) is ScoringFailedError
    assert error.reason == "no speech"
    assert "no speech" in str(error)


@pytest.mark.parametrize("reason", [None, 5, [], {"a": 1}, ""])
def test_a_verdict_without_reason(reason: object) -> None:
    """A `failed` or `bad_quality` without a usable reason is the same verdict."""
    error = failure(Opened(), Status({"status": "failed", "reason": reason}))
    assert type(error) is ScoringFailedError
    error = failure(Opened(), Status({"status": "bad_quality", "reason": reason}), CLOSED)
    assert type(error) is BadQualityError


def test_reasons_cannot_move_the_cursor() -> None:
    """Control characters in the server's words are escaped in messages, and kept in the attribute."""
    evil = "a\x1b[2J\r\nb\u202e"
    for error in (
        failure(Opened(), Status({"status": "failed", "reason": evil})),
        failure(Opened(), Status({"status": "bad_quality", "reason": evil}), CLOSED),
        failure(Opened(), Closed(1011, evil)),
    ):
        assert str(error).isprintable()
        assert error.reason == evil


# The provisional verdict.


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("end", [CLOSED, CUT, TimeOver()])
def test_bad_quality_counts_when_nothing_follows(state: State, end: Event) -> None:
    """A close, a cut and the end of time make `bad_quality` the verdict, in every state."""
    error = failure(*WAYS[state], BAD_QUALITY, end)
    assert type(error) is BadQualityError
    assert error.reason == "noise"


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize(("verdict", "kind"), [(SUCCESS, Finish), (FAILED, Fail)])
def test_a_verdict_overrides_bad_quality(state: State, verdict: Status, kind: type[Command]) -> None:
    """A later `success` or `failed` is the verdict, as if `bad_quality` had never been."""
    exchange, commands = run(*WAYS[state], BAD_QUALITY, verdict)
    assert kinds(commands)[-1] is kind
    assert exchange.state is State.DONE
    if kind is Fail:
        assert type(failure(*WAYS[state], BAD_QUALITY, verdict)) is ScoringFailedError


def test_the_grace_runs_while_no_audio_is_sent() -> None:
    """The server's silence counts before the audio and after it, never during it."""
    assert run(*WAYS[State.STARTING], BAD_QUALITY)[1] == [StartGrace(broken=False), Report(BAD_QUALITY)]
    assert kinds(run(*WAYS[State.STARTING], BAD_QUALITY, STREAM_ID)[1]) == [StopGrace, StartAudio, Report]
    assert run(*WAYS[State.STREAMING], BAD_QUALITY)[1] == [Report(BAD_QUALITY)]
    assert run(*WAYS[State.STREAMING], BAD_QUALITY, AudioSent())[1] == [StartGrace(broken=False)]
    assert run(*WAYS[State.AWAITING], BAD_QUALITY)[1] == [StartGrace(broken=False), Report(BAD_QUALITY)]
    for state in (State.STARTING, State.AWAITING):
        assert type(failure(*WAYS[state], BAD_QUALITY, GraceOver())) is BadQualityError


@pytest.mark.parametrize("event", [*CHATTER, GREETING, BAD_QUALITY])
def test_whatever_is_heard_begins_the_grace_anew(event: Event) -> None:
    """A server that still talks isn't silent: the grace counts from its last word."""
    assert StartGrace(broken=False) in run(*WAYS[State.AWAITING], BAD_QUALITY, event)[1]


# The end of a connection.


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("code", [1000, 1001, 1005, 1008, 1011, 4000])
def test_a_close_before_a_verdict(state: State, code: int) -> None:
    """A close without a verdict is a StreamClosedError with the server's code and words, and stops the audio."""
    error = failure(*WAYS[state], Closed(code, "bye"))
    assert type(error) is StreamClosedError
    assert (error.code, error.reason) == (code, "bye")
    assert str(code) in str(error)
    assert "bye" in str(error)
    assert (StopAudio in kinds(run(*WAYS[state], Closed(code))[1])) is (state is State.STREAMING)


@pytest.mark.parametrize("state", OPEN)
def test_a_cut_before_a_verdict(state: State) -> None:
    """A connection that is cut is code 1006, with what cut it as the cause."""
    error = failure(*WAYS[state], CUT)
    assert (type(error), error.code, error.__cause__) == (StreamClosedError, 1006, CUT.error)


@pytest.mark.parametrize("error", [ConnectError("refused"), ProtocolError("a reserved opcode")])
def test_our_own_error_comes_through_a_close(error: ElsaError) -> None:
    """What the transport already found words for is the error, unchanged."""
    assert failure(Closed(1006, error=error)) is error
    assert failure(Opened(), STREAM_ID, Closed(1006, error=error)) is error


@pytest.mark.parametrize(
    ("state", "waited"),
    [(State.STARTING, "a stream id"), (State.STREAMING, "a verdict"), (State.AWAITING, "a verdict")],
)
def test_the_end_of_time(state: State, waited: str) -> None:
    """Time over is a ScoreTimeoutError that says what was waited for, and what to do."""
    error = failure(*WAYS[state], TimeOver())
    assert type(error) is ScoreTimeoutError
    assert waited in str(error)
    assert "raise timeout" in str(error)


@pytest.mark.parametrize("state", [State.CONNECTING, *OPEN, State.BROKEN])
def test_a_cancellation_ends_it_anywhere(state: State) -> None:
    """Who cancels gets a ScoreCancelledError wherever the exchange is, also when something else was held by then."""
    held: list[Event] = [BAD_QUALITY] if state in OPEN else []
    exchange, commands = run(*WAYS[state], *held, Cancelled())
    assert kinds(commands) == [*([StopAudio] if state is State.STREAMING else []), Fail]
    assert type(failure(*WAYS[state], *held, Cancelled())) is ScoreCancelledError
    assert exchange.state is State.DONE


@pytest.mark.parametrize("state", OPEN)
def test_final_is_what_no_verdict_can_change(state: State) -> None:
    """After `failed`, a cancellation and a connection that never opened, nobody needs to listen any more."""

    def final(*events: Event) -> bool:
        last = run(*events)[1][-1]
        assert isinstance(last, Fail)
        return last.final

    assert final(*WAYS[state], FAILED)
    assert final(*WAYS[state], Cancelled())
    assert final(Closed(1006, error=ConnectError("refused")))
    for end in (CLOSED, CUT, TimeOver(), Closed(1006, error=ProtocolError("a reserved opcode"))):
        assert not final(*WAYS[state], end)
        assert not final(*WAYS[state], BAD_QUALITY, end)
    assert not final(*WAYS[State.AWAITING], GARBAGE)
    assert not final(*WAYS[state], BROKEN, GraceOver())


# What can't be read.


def test_garbage_where_the_verdict_is_owed_is_an_error() -> None:
    """After the audio, a message that can't be read ends the exchange."""
    assert failure(*WAYS[State.AWAITING], GARBAGE) is GARBAGE.error


@pytest.mark.parametrize("state", [State.STARTING, State.STREAMING])
def test_garbage_before_is_passed_over(state: State, caplog: pytest.LogCaptureFixture) -> None:
    """Before, it is logged, and the exchange goes on: however long the verdict takes then, it isn't given up."""
    exchange, commands = run(*WAYS[state], GARBAGE)
    assert (exchange.state, commands) == (state, [])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    rest: list[Event] = [STREAM_ID, AudioSent()] if state is State.STARTING else [AudioSent()]
    for event in [*rest, RECEIVED]:
        assert StartGrace not in kinds(exchange.receive(event))
    assert exchange.receive(SUCCESS)[-1] == Finish(SUCCESS)


@pytest.mark.parametrize("state", [State.STARTING, State.STREAMING])
@pytest.mark.parametrize("end", [CLOSED, CUT, TimeOver()])
def test_garbage_is_the_error_when_nothing_follows(state: State, end: Event) -> None:
    """If no verdict comes after it, what couldn't be read is what the error is about."""
    assert failure(*WAYS[state], GARBAGE, end) is GARBAGE.error


@pytest.mark.parametrize("state", OPEN)
def test_garbage_does_not_override_bad_quality(state: State) -> None:
    """Only `success` and `failed` override `bad_quality`: garbage before or after it doesn't."""
    end: list[Event] = [] if state is State.AWAITING else [CLOSED]
    assert type(failure(*WAYS[state], BAD_QUALITY, GARBAGE, *end)) is BadQualityError
    if state is not State.AWAITING:
        assert type(failure(*WAYS[state], GARBAGE, BAD_QUALITY, *end)) is BadQualityError


# What can't be sent.


@pytest.mark.parametrize("state", OPEN)
def test_a_verdict_after_a_broken_send_counts(state: State) -> None:
    """The server may have sent its verdict before it stopped reading: a failed send waits for it, a moment."""
    exchange, commands = run(*WAYS[state], BROKEN)
    assert commands == [StartGrace(broken=True)]
    assert exchange.receive(SUCCESS)[-1] == Finish(SUCCESS)
    assert type(failure(*WAYS[state], BROKEN, FAILED)) is ScoringFailedError


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("end", [GraceOver(), TimeOver(), Closed(1006)])
def test_a_broken_send_is_the_error_when_nothing_follows(state: State, end: Event) -> None:
    """Without a verdict, a failed send is a StreamClosedError, caused by what broke it."""
    error = failure(*WAYS[state], BROKEN, end)
    assert (type(error), error.code, error.__cause__) == (StreamClosedError, 1006, BROKEN.error)


@pytest.mark.parametrize("state", OPEN)
def test_a_close_after_a_broken_send_says_why(state: State) -> None:
    """The close frame that explains the broken send gives the error its code and reason."""
    error = failure(*WAYS[state], BROKEN, Closed(1008, "policy"))
    assert (error.code, error.reason, error.__cause__) == (1008, "policy", BROKEN.error)


def test_bad_quality_and_garbage_go_before_a_broken_send() -> None:
    """Of several things that went wrong the one that says most about why is the error, whatever their order."""
    way = WAYS[State.STREAMING]
    assert type(failure(*way, BROKEN, BAD_QUALITY, GraceOver())) is BadQualityError
    assert type(failure(*way, BAD_QUALITY, BROKEN, GraceOver())) is BadQualityError
    assert failure(*way, GARBAGE, BROKEN, GraceOver()) is GARBAGE.error
    assert failure(*way, BROKEN, GARBAGE, GraceOver()) is GARBAGE.error


# After the end.


def test_a_late_verdict_counts() -> None:
    """A verdict that was on its way when the exchange ended otherwise is a verdict still."""
    for end in (CLOSED, TimeOver()):
        exchange, _ = run(*WAYS[State.AWAITING], end)
        assert exchange.receive(STREAM_ID) == [Report(STREAM_ID)]
        assert exchange.receive(BAD_QUALITY) == [Report(BAD_QUALITY)]
        assert exchange.receive(SUCCESS) == [Report(SUCCESS), Finish(SUCCESS)]
        assert kinds(run(*WAYS[State.AWAITING], end, FAILED)[1]) == [Report, Fail]


def test_statuses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never stops talking doesn't fill the memory: the first and the last statuses are kept."""
    monkeypatch.setattr(module, "MAX_STATUSES", 10)
    exchange, _ = run(*WAYS[State.AWAITING])
    for number in range(100):
        exchange.receive(Status({"status": "processing", "number": number}))
    exchange.receive(SUCCESS)
    assert len(exchange.statuses) == 10
    assert exchange.statuses[0] == STREAM_ID
    assert exchange.statuses[-2:] == [{"status": "processing", "number": 99}, SUCCESS]


# What can't happen.

ILLEGAL: dict[State, set[str]] = {
    State.CONNECTING: {"StreamId", "Chatter", "Info", "Success", "Failed", "BadQuality", "Malformed", "AudioSent"}
    | {"SendFailed", "GraceOver", "TimeOver", "Progress"},
    State.STARTING: {"Opened", "AudioSent", "Progress"},
    State.STREAMING: {"Opened", "GraceOver"},
    State.AWAITING: {"Opened", "AudioSent", "Progress"},
    State.BROKEN: {"Opened", "AudioSent", "SendFailed", "Progress"},
    State.DONE: {"Opened", "Info", "Malformed", "AudioSent", "SendFailed", "Closed", "GraceOver", "TimeOver"}
    | {"Progress", "Cancelled"},
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", ALL_EVENTS)
def test_an_illegal_event_is_loud(state: State, event: Event) -> None:
    """What can't happen is an error that names event and state, and changes nothing; all else is in the table."""
    exchange, _ = run(*WAYS[state], *([BAD_QUALITY] if isinstance(event, GraceOver) and state in OPEN else []))
    kind = module._kind(event)
    if kind not in ILLEGAL[state]:
        exchange.receive(event)
        return
    before = (exchange.state, exchange.phase, exchange.stream_id, list(exchange.statuses))
    with pytest.raises(RuntimeError, match=f"{kind} in state {state.name}"):
        exchange.receive(event)
    assert (exchange.state, exchange.phase, exchange.stream_id, exchange.statuses) == before


# Any course at all.

REASONS = st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text()))
NAMES = ["processing", "accepted", "paused", "success", "failed", "bad_quality"]
STATUSES = st.builds(
    lambda status, rest: Status({**rest, "status": status}),
    st.one_of(st.sampled_from(NAMES), st.text(), st.none(), st.booleans(), st.integers(), st.lists(st.text())),
    st.dictionaries(st.sampled_from(["stream_id", "reason", "message", "result_link"]), REASONS),
)


class AnyCourse(RuleBasedStateMachine):
    """An exchange under whatever a server, a network and a clock may do, with a caller that does as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Protocol()
        self.opened = False
        self.sending = False  # the audio thread runs
        self.started = 0
        self.grace = False
        self.over = False  # an outcome was commanded
        self.broken = False  # something could not be sent

    def feed(self, event: Event) -> None:
        verdict = isinstance(event, Status) and event.status in ("success", "failed")
        late = self.over
        for command in self.exchange.receive(event):
            assert not self.over or late, f"{command} after the end"
            if isinstance(command, SendConfig):
                assert isinstance(event, Opened)
            elif isinstance(command, StartAudio):
                assert self.exchange.stream_id
                self.started += 1
                self.sending = True
            elif isinstance(command, StopAudio):
                assert self.sending
                self.sending = False
            elif isinstance(command, StartGrace):
                assert not self.sending
                self.grace = True
            elif isinstance(command, StopGrace):
                self.grace = False
            elif isinstance(command, Report):
                assert command.status is event
            elif isinstance(command, ReportProgress):
                assert self.sending
            else:
                assert verdict or not late, f"a second outcome, without a verdict: {command}"
                self.over = True
                assert not self.sending, "the audio goes on after the end"
            assert not (late and isinstance(command, (SendConfig, StartAudio, StartGrace)))
        if verdict and self.opened:
            assert self.over, "a verdict was passed over"

    alive = precondition(lambda self: self.opened and not self.over)

    @precondition(lambda self: not self.opened and not self.over)
    @rule()
    def open(self) -> None:
        self.opened = True
        self.feed(Opened())

    @precondition(lambda self: self.opened)
    @rule(status=STATUSES)
    def hear_status(self, status: Status) -> None:
        self.feed(status)

    @alive
    @rule()
    def hear_stream_id(self) -> None:
        self.feed(STREAM_ID)

    @alive
    @rule(event=st.sampled_from([GREETING, GARBAGE]))
    def hear_other(self, event: Event) -> None:
        self.feed(event)

    @precondition(lambda self: not self.over)
    @rule(code=st.integers(1000, 4999), error=st.sampled_from([None, OSError("x"), ProtocolError("x")]))
    def close(self, code: int, error: BaseException | None) -> None:
        self.feed(Closed(code, error=error))
        assert self.over

    @precondition(lambda self: self.sending and not self.over)
    @rule(broken=st.booleans())
    def end_audio(self, broken: bool) -> None:
        self.sending = False
        self.broken = broken
        self.feed(BROKEN if broken else AudioSent())
        assert self.grace or not broken

    @precondition(lambda self: self.sending and not self.over)
    @rule()
    def send_a_packet(self) -> None:
        self.feed(Progress(8000))

    @precondition(lambda self: not self.over)
    @rule()
    def cancel(self) -> None:
        self.feed(Cancelled())
        assert self.over

    @alive
    @rule()
    def run_out_of_time(self) -> None:
        self.feed(TimeOver())
        assert self.over

    @precondition(lambda self: self.opened and not self.sending and not self.over and not self.broken)
    @rule()
    def break_text(self) -> None:
        """The config, or the end of the stream, can't be sent."""
        self.broken = True
        self.feed(BROKEN)
        assert self.grace

    @rule()
    def wait(self) -> None:
        """Nothing happens; the one thing that is always possible."""

    @precondition(lambda self: self.grace and not self.over)
    @rule()
    def stay_silent(self) -> None:
        self.feed(GraceOver())
        assert self.over

    @invariant()
    def audio_is_started_once_at_most(self) -> None:
        assert self.started <= 1
        assert self.started == 0 or self.exchange.stream_id is not None

    @invariant()
    def the_end_is_the_end(self) -> None:
        assert (self.exchange.state is State.DONE) == self.over


TestAnyCourse = pytest.mark.slow(AnyCourse.TestCase)


@given(st.lists(st.sampled_from(ALL_EVENTS), max_size=12))
def test_any_event_is_taken_or_refused_loudly(events: list[Event]) -> None:
    """Even a caller that feeds nonsense gets commands or a RuntimeError, never any other exception."""
    exchange = Protocol()
    grace = False
    for event in events:
        if isinstance(event, GraceOver) and not grace:
            continue  # there is nothing to settle before a StartGrace
        try:
            commands = exchange.receive(event)
        except RuntimeError as error:
            commands = []
            refused = str(error)
            assert " in state " in refused
        grace = grace or StartGrace in kinds(commands)
