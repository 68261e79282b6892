"""The messages of the wire, both directions."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elsa_unscripted.exceptions import ProtocolError
from elsa_unscripted.wire.messages import (
    END_STREAM,
    MAX_DEPTH,
    Closed,
    Info,
    Malformed,
    Status,
    describe,
    encode_config,
    parse,
)

# The literals of the wire, spelled again here.


def test_the_config_message_is_the_reference_clients() -> None:
    """The first message has the reference's key order and no spaces."""
    assert encode_config("standard", True) == '{"api_plan":"standard","return_json":true}'
    assert encode_config("premium", False) == '{"api_plan":"premium","return_json":false}'
    assert encode_config("standard", True, {}) == '{"api_plan":"standard","return_json":true}'


def test_more_keys_follow_the_two() -> None:
    """What the caller adds comes after the two keys, in the caller's order, and leaves the line as ASCII."""
    extra = {"force_grammar_vocab": True, "ä": None, "a": [1.5]}
    text = encode_config("premium", True, extra)
    assert text == ('{"api_plan":"premium","return_json":true,"force_grammar_vocab":true,"\\u00e4":null,"a":[1.5]}')


def test_the_end_message_is_the_reference_clients() -> None:
    """The last message has the reference's one space."""
    assert END_STREAM == '{"type": "ELSA:end_stream"}'


DOCUMENTED = [
    '{"status": "processing", "stream_id": "abc-1"}',
    '{"status": "processing", "message": "Finished receiving audio"}',
    '{"status": "accepted"}',
    '{"status": "paused"}',
    '{"status": "success", "result_link": "https://r", "audio_link": "", "partial_error": "too_short"}',
    '{"status": "success"}',
    '{"status": "failed", "reason": "no speech"}',
    '{"status": "failed"}',
    '{"status": "bad_quality", "reason": "noise"}',
    '{"status": "something new", "type": "ELSA:x"}',
]


@pytest.mark.parametrize("text", DOCUMENTED)
@pytest.mark.parametrize("binary", [False, True])
def test_documented_statuses(text: str, binary: bool) -> None:
    """Every documented message with a `status` is read whole, from text or from UTF-8."""
    status = parse(text.encode() if binary else text)
    assert isinstance(status, Status)
    assert status == json.loads(text)
    assert status.text == text
    assert status.status == json.loads(text)["status"]
    for name in ("stream_id", "reason", "message"):
        assert getattr(status, name) == json.loads(text).get(name)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type": "ELSA:wsConnect", "x": 1}', "ELSA:wsConnect"),
        ("{}", None),
        ('{"type": 5}', None),
        ('{"type": null}', None),
    ],
)
def test_objects_without_status_are_information(text: str, kind: str | None) -> None:
    """A greeting, and any other object without a `status`, is information, whatever its `type`."""
    assert parse(text) == Info(kind, json.loads(text))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *[(None, "null"), (True, "true"), (False, "false"), (0, "0"), (1.5, "1.5"), (float("nan"), "NaN")],
        *[
            ("", ""),
            ("success", "success"),
            ([], "[]"),
            (["success"], '["success"]'),
            ({"status": "success"}, '{"status": "success"}'),
        ],
    ],
)
def test_a_status_of_any_type_has_a_name(value: object, name: str) -> None:
    """A `status` that isn't a string is named by its JSON: never taken for a string that looks alike."""
    status = parse(json.dumps({"status": value}))
    assert isinstance(status, Status)
    assert status.status == name


@pytest.mark.parametrize(
    ("value", "stream_id"),
    [
        *[("a", "a"), (" ", " "), (5, "5"), (0, "0"), ("", None), (None, None), (True, None), (False, None)],
        *[(1.5, None), ([], None), ({}, None), (["a"], None)],
    ],
)
def test_a_stream_id_is_text_or_a_number(value: object, stream_id: str | None) -> None:
    """A stream id is any text that isn't empty, or a whole number; what else stands there names no stream."""
    status = parse(json.dumps({"status": "processing", "stream_id": value}))
    assert isinstance(status, Status)
    assert status.stream_id == stream_id


@pytest.mark.parametrize("value", [None, 5, [], {}, True])
def test_strange_reasons_and_messages_are_none(value: object) -> None:
    """A `reason` or `message` that isn't text reads as none, and stays in the object."""
    status = parse(json.dumps({"status": "failed", "reason": value, "message": value}))
    assert isinstance(status, Status)
    assert (status.reason, status.message) == (None, None)
    assert status["reason"] == value


@pytest.mark.parametrize(
    ("data", "says"),
    [
        *[
            (b"", "not JSON"),
            ("", "not JSON"),
            ("{", "not JSON"),
            ('{"status": "succ', "not JSON"),
            ("{'a': 1}", "not JSON"),
        ],
        *[("<html>", "not JSON"), ("{} {}", "not JSON"), ("\ufeff{}", "not JSON"), ('{"a": \x00}', "not JSON")],
        *[("[]", "an array"), ('[{"status": "success"}]', "an array"), ("5", "a number"), ("-1.5", "a number")],
        *[("NaN", "a number"), ("true", "a boolean"), ("null", "null"), ('"success"', "a string")],
        *[(b"\xff\xfe", "not UTF-8"), (b'{"status": "\xe9"}', "not UTF-8"), (b'{"a": "\xed\xa0\x80"}', "not UTF-8")],
        *[("[" * 10_000, "not JSON"), ("[" * 10_000 + "]" * 10_000, ""), ('{"a":' * 10_000 + "1" + "}" * 10_000, "")],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_message_is_a_protocol_error(data: str | bytes, says: str) -> None:
    """What is not UTF-8, not JSON or not an object is refused, with what it was and what to do next."""
    with pytest.raises(ProtocolError, match="the server's message is") as caught:
        parse(data)
    assert says in str(caught.value)
    assert str(caught.value).endswith("tell ELSA's support")


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_the_depth_of_a_message_is_bounded(start: str, end: str) -> None:
    """A message may be nested to a fixed depth, the same on every Python, and a deeper one is refused."""
    levels = start.count("[") + start.count("{")
    fits = (MAX_DEPTH - 1) // levels
    message = parse('{"status": "success", "a": ' + start * fits + "1" + end * fits + "}")
    assert pickle.loads(pickle.dumps(message)) == message
    fits += 1
    with pytest.raises(ProtocolError, match="nested deeper"):
        parse('{"status": "success", "a": ' + start * fits + "1" + end * fits + "}")


def test_of_duplicate_keys_the_last_counts() -> None:
    """Duplicate keys are no error; the last one counts, as in every common JSON reader."""
    status = parse('{"status": "failed", "status": "success"}')
    assert isinstance(status, Status)
    assert status.status == "success"


def test_strange_values_are_kept() -> None:
    """NaN, infinities, lone surrogates and huge numbers inside an object are no reason to lose it."""
    status = parse(
        '{"status": "success", "a": NaN, "b": -Infinity, "c": "\\ud800", "d": 1e999, "e": 123456789012345678901}'
    )
    assert isinstance(status, Status)
    assert status["a"] != status["a"]
    assert (status["b"], status["c"], status["d"], status["e"]) == (
        *(-float("inf"), "\ud800", float("inf"), 123456789012345678901),
    )
    describe(status).encode()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@pytest.mark.slow
@given(
    st.one_of(
        st.binary(),
        st.text(),
        JSON.map(json.dumps),
        st.dictionaries(st.sampled_from(["status", "type", "stream_id", "reason", "message"]), JSON).map(json.dumps),
    )
)
@example(b"\x00")
@example("{}")
@example("[" * 100_000)
@example("1" * 10_000)
@example('{"status": ' + "1" * 10_000 + "}")
def test_anything_is_a_message_or_a_protocol_error(data: str | bytes) -> None:
    """Whatever bytes come, the outcome is a Status, an Info or a ProtocolError, and each can be described."""
    try:
        message: object = parse(data)
    except ProtocolError as error:
        message = Malformed(error)
    assert isinstance(message, (Status, Info, Malformed))
    assert describe(message).isprintable()
    if isinstance(message, Status):
        assert isinstance(message.status, str)
        assert isinstance(message.stream_id, (str, type(None)))
        assert isinstance(message.reason, (str, type(None)))


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers(), st.lists(st.booleans()))))
def test_a_status_is_a_mapping_over_the_object(raw: dict[str, Any]) -> None:
    """A Status reads like the server's object and equals it, before and after pickle."""
    original = Status(raw, "text")
    again: Status = pickle.loads(pickle.dumps(original))
    for status in (original, again):
        assert isinstance(status, Mapping)
        assert dict(status) == raw
        assert list(status) == list(raw)
        assert len(status) == len(raw)
        assert status.text == "text"


def test_a_status_equals_the_dict() -> None:
    """A Status compares by content, with dicts and with others of its kind."""
    status = Status({"status": "success", "a": [1]}, "x")
    assert status == {"status": "success", "a": [1]}
    assert status == {"status": "success", "a": [1]}
    assert status == Status({"a": [1], "status": "success"})
    assert status != {"status": "success"}
    assert status.get("missing", 5) == 5
    with pytest.raises(KeyError):
        status["missing"]


def test_a_status_is_read_only() -> None:
    """Neither items nor attributes of a Status can be set or deleted."""
    status: Any = Status({"status": "success"})
    with pytest.raises(TypeError):
        status["status"] = "failed"
    with pytest.raises(TypeError):
        del status["status"]
    with pytest.raises(AttributeError):
        status.raw = {}
    with pytest.raises(AttributeError):
        status.status = "failed"
    assert status == {"status": "success"}


def test_descriptions_are_safe_to_log() -> None:
    """A log line about an event is one line, without control characters of the server, and without payload."""
    status = Status({"status": "a\x1b[2J\nb", "transcript": "private"}, "…")
    info = Info("x\r\n\x9b", {"transcript": "private"})
    for event in (status, info, Malformed(ProtocolError("the message is not JSON")), Closed(1000, "private")):
        assert describe(event).isprintable()
        assert "private" not in describe(event)
        assert "private" not in repr(info)
