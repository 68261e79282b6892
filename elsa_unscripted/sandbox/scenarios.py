"""What the sandbox can be told to do: each scenario as a short script, and the table that names and explains them.

`server` looks one up for each handshake. A scenario is written as `NAME` or `NAME=VALUE`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any, Callable, Dict, NamedTuple, Tuple

from websockets.http11 import Response

from . import invent, verdict
from .call import Call, Script
from .connection import Connection
from .exchange import Exchange
from .measure import measure
from .pages import page

GREETING_OFF = "greeting-off"

Made = Tuple[Dict[str, Any], Dict[str, Any]]  # an assessment, and what else the verdict says
Make = Callable[[Exchange], Made]
Gate = Callable[[Connection, Any, bool], Awaitable["Response | None"]]


class Scenario(NamedTuple):
    """One row of the table.

    Attributes:
        about: What happens, and what the value means.
        script: The server's side of the exchange.
        parse: Text → value, raising `ValueError`; `None` if no value is taken.
        default: The value if none is given.
        gate: Refuses the handshake with an HTTP answer, or lets it through by `None`. It gets the connection, the
            value, and whether the handshake is the first with its token.
    """

    about: str
    script: Script
    parse: Callable[[str], Any] | None = None
    default: Any = None
    gate: Gate | None = None


class Choice(NamedTuple):
    """A scenario with its value; `greeting` tells whether the server may greet in it."""

    name: str
    scenario: Scenario
    value: Any
    greeting: bool = True


def choose(text: str) -> Choice:
    """Returns the scenario that a text like `slow=3` names.

    Raises:
        ValueError: There is none, or the value isn't one for it. The message lists what there is, and
            doesn't repeat the text, which may come from a token.
    """
    name, given, value = text.partition("=")
    scenario = _TABLE.get(name)
    if scenario is None:
        raise ValueError(f"no such scenario; there are: {', '.join(_TABLE)}")
    if name == GREETING_OFF:
        return choose(value)._replace(greeting=False) if given else Choice(name, scenario, None, greeting=False)
    if not given:
        return Choice(name, scenario, scenario.default)
    if scenario.parse is None:
        raise ValueError(f"the scenario {name} takes no value")
    try:
        return Choice(name, scenario, scenario.parse(value))
    except ValueError as error:
        raise ValueError(f"the scenario {name} takes another value: {error}") from None


async def _listen(call: Call) -> None:
    await call.open()
    await call.hear()
    await call.confirm()


async def _answer(call: Call) -> None:
    await _succeed(call, _measured)


async def _succeed(call: Call, make: Make) -> None:
    """Decides by the assessment that the sandbox was given, if it was given one; else by what `make` makes."""

    def assess() -> Made:
        given = call.assess(call.exchange)
        return make(call.exchange) if given is None else (given, {})

    # In a thread: to measure takes a while, and so may a callable of the user's.
    assessment, more = await asyncio.get_running_loop().run_in_executor(None, assess)
    call.exchange.assessment = assessment
    await call.decide(verdict.success(call.exchange, call.links, assessment, **more))


def _measured(exchange: Exchange) -> Made:
    measured = measure(exchange.wav())
    short = {"partial_error": "too_short"} if exchange.seconds <= verdict.TOO_SHORT_SECONDS else {}
    return {**verdict.honest(exchange.seconds), "measured": measured}, {"measured": measured, **short}


async def _success(call: Call, _: None) -> None:
    await _listen(call)
    await _answer(call)


async def _example(call: Call, asked: invent.Asked) -> None:
    def make(exchange: Exchange) -> Made:
        pauses = measure(exchange.wav())["pauses"]
        made_up = invent.assessment(exchange.pcm, exchange.pcm_format, exchange.seconds, pauses, asked)
        return made_up, {"made_up": True}

    await _listen(call)
    await _succeed(call, make)


async def _early(call: Call, packets: int) -> None:
    await call.open()
    if await call.hear(packets):
        await call.confirm()
    await _answer(call)


async def _failed(call: Call, reason: str) -> None:
    await _listen(call)
    await call.decide({"status": "failed", "reason": reason, "sandbox": True})


async def _bad_quality(call: Call, then: str) -> None:
    await _listen(call)
    await call.decide({"status": "bad_quality", "reason": "The sandbox was told to say so.", "sandbox": True})
    if then == "closing":
        await call.close(1000)


def _interject(status: str) -> Script:
    async def script(call: Call, _: None) -> None:
        await call.open()
        await call.hear(1)
        await call.say({"status": status, "sandbox": True})
        await call.hear()
        await call.confirm()
        await _answer(call)

    return script


async def _slow(call: Call, seconds: float) -> None:
    await _listen(call)
    await call.wait(seconds)
    await _answer(call)


async def _silent(call: Call, _: None) -> None:
    await call.linger()


async def _drop_after(call: Call, packets: int) -> None:
    await call.open()
    await call.hear(packets)
    await call.cut()


async def _close(call: Call, code: int) -> None:
    await call.open()
    await call.hear(1)
    await call.close(code)


async def _malformed(call: Call, _: None) -> None:
    await _listen(call)
    await call.send('{"status": "success", "result_link": ')


async def _no_read(call: Call, seconds: float) -> None:
    await call.open()
    await call.read_nothing(seconds)


async def _verdict_then_drop(call: Call, _: None) -> None:
    await _success(call, None)
    await call.cut()


def _refuse(status: int, why: str, **headers: str) -> Gate:
    async def gate(connection: Connection, retry_after: str | None, first: bool) -> Response | None:
        later = {} if retry_after is None else {"Retry_After": retry_after}
        return page(status, f"{why} This is a scenario of the sandbox.", **headers, **later)

    return gate


async def _refuse_first(connection: Connection, retry_after: str | None, first: bool) -> Response | None:
    return await _UNAVAILABLE(connection, retry_after, first) if first else None


async def _hang(connection: Connection, _: None, first: bool) -> Response | None:
    await connection.wait_closed()
    return page(408, "Nobody is there any more.")


_UNAVAILABLE = _refuse(503, "The service is not available for a moment.")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number of packets, from 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ValueError("seconds, from 0 to 3600")
    return seconds


def _close_code(text: str) -> int:
    # What RFC 6455 lets an endpoint send; 1004 to 1006 and 1015 never go over the wire.
    code = int(text) if text.isdecimal() else 0
    if code not in {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}:
        raise ValueError("a close code that a server may send: 1000 to 1003, 1007 to 1014, 3000 to 4999")
    return code


def _staying_or_closing(text: str) -> str:
    if text not in ("staying", "closing"):
        raise ValueError("closing or staying")
    return text


def _retry_after(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("what the header Retry-After should say: seconds, or an HTTP date")
    return text


_TABLE: Mapping[str, Scenario] = {
    "success": Scenario("A success with what can be measured, and no scores.", _success),
    "example": Scenario(
        "A success with a complete assessment, made up from the recording's bytes; VALUE is the overall percent "
        "or CEFR level (default: by chance, always the same for a recording).",
        _example,
        invent.parse,
    ),
    "early": Scenario(
        "A success after VALUE packets (default 3), in mid-stream: the automatic endpoint.", _early, _count, 3
    ),
    "failed": Scenario("The verdict failed; VALUE is the reason.", _failed, str, "The sandbox was told to fail."),
    "bad-quality": Scenario(
        "bad_quality; VALUE is what follows: closing (default, with 1000) or staying, silent.",
        _bad_quality,
        _staying_or_closing,
        "closing",
    ),
    "paused": Scenario("Says paused after the first packet, then goes on to a success.", _interject("paused")),
    "accepted": Scenario("Says accepted after the first packet, then goes on to a success.", _interject("accepted")),
    "unknown-status": Scenario(
        "Says a status that nobody knows after the first packet, then goes on to a success.", _interject("pondering")
    ),
    GREETING_OFF: Scenario(
        "VALUE, any scenario (default success), without the greeting ELSA:wsConnect, as the vendor's script needs it.",
        _success,
    ),
    "slow": Scenario("A success, VALUE seconds (default 3) after the audio.", _slow, _seconds, 3.0),
    "silent": Scenario("Accepts the handshake and never says anything.", _silent),
    "drop-after": Scenario("Cuts TCP after VALUE packets (default 3), without a close frame.", _drop_after, _count, 3),
    "close": Scenario("Closes after the first packet with code VALUE (default 1011).", _close, _close_code, 1011),
    "401": Scenario(
        "Refuses the token: HTTP 401.", _success, gate=_refuse(401, "The token is not known.", WWW_Authenticate="ELSA")
    ),
    "403": Scenario("Refuses the token: HTTP 403.", _success, gate=_refuse(403, "The token may not do this.")),
    "429": Scenario(
        "HTTP 429; VALUE is its Retry-After (default 1).",
        _success,
        _retry_after,
        "1",
        gate=_refuse(429, "Too many requests."),
    ),
    "503-once": Scenario(
        "HTTP 503 to the first handshake with a token, a success after; VALUE is its Retry-After (default none).",
        _success,
        _retry_after,
        gate=_refuse_first,
    ),
    "malformed": Scenario("Half a JSON object in place of the verdict.", _malformed),
    "hang-handshake": Scenario("Accepts TCP and never answers the handshake.", _success, gate=_hang),
    "no-read": Scenario(
        "Gives a stream id, then reads nothing for VALUE seconds (default 300): the network's buffers fill up.",
        _no_read,
        _seconds,
        300.0,
    ),
    "verdict-then-drop": Scenario("A success, and TCP cut right behind it.", _verdict_then_drop),
}

SCENARIOS: Mapping[str, str] = MappingProxyType({name: scenario.about for name, scenario in _TABLE.items()})
"""The name of each scenario, and what happens in it."""
