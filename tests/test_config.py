"""Every option of an exchange: its bounds, what it refuses, and that the token stays out of what is shown."""

from __future__ import annotations

import dataclasses
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elsa_unscripted import config as module
from elsa_unscripted.config import Config, Options, is_loopback, parse_proxy
from elsa_unscripted.exceptions import ConfigError

TOKEN = "s3cret-t0ken"
VENDOR = "wss://api.elsanow.io/api/v1/ws/score_audio_plus"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (module.TOKEN_VARIABLE, module.URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def make(**options: Any) -> Config:
    return Config(**{"token": TOKEN, "url": VENDOR, **options})


def refused(**options: Any) -> str:
    """Returns why the options are refused; checks that nothing about the error shows the token."""
    with pytest.raises(ConfigError) as caught:
        make(**options)
    for text in everything_about(caught.value):
        assert TOKEN not in text
    return str(caught.value)


def everything_about(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        # A UnicodeError carries the whole text that it is about.
        yield repr(getattr(error, "object", ""))
        error = error.__cause__ or error.__context__


def test_the_defaults_are_the_documented_ones() -> None:
    """An option that isn't given has the default that the README promises."""
    config = Config(TOKEN)
    assert dataclasses.asdict(config) == {
        "token": TOKEN,
        "api_plan": "standard",
        "return_json": True,
        "extra": None,
        "url": VENDOR,
        "chunk_seconds": 0.5,
        "speed": 1.0,
        "timeout": 150.0,
        "connect_timeout": 10.0,
        "close_timeout": 2.0,
        "bad_quality_grace": 5.0,
        "connect_retries": 2,
        "sample_rate": None,
        "ca_bundle": None,
        "proxy": None,
        "max_message_bytes": 64 * 2**20,
        "ping_interval": None,
        "check": False,
    }


def test_a_config_is_frozen() -> None:
    """What was checked can't be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().timeout = 5  # type: ignore[misc]


# Bounds.


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("chunk_seconds", [1e-6, 0.5, 1, 1e6], [0, -1, 1.1e6]),
        ("speed", [0.001, 1, 1e9, None], [0, -1, 1e-12]),
        ("timeout", [1e-6, 1, 1e6], [0, -1, 1.1e6]),
        ("connect_timeout", [1e-6, 1, 1e6], [0, -1, 1.1e6]),
        ("close_timeout", [0, 1, 1e6], [-1e-9, 1.1e6]),
        ("bad_quality_grace", [0, 1, 1e6], [-1e-9, 1.1e6]),
        ("ping_interval", [None, 1e-6, 20, 1e6], [0, -1, 1.1e6]),
        ("connect_retries", [0, 1, 1000], [-1, 1001, 1.0]),
        ("sample_rate", [None, 1000, 16000, 384_000], [0, 999, 384_001, 16000.0]),
        ("max_message_bytes", [1024, 2**40], [0, 1023, 2**40 + 1, 1024.0]),
        ("api_plan", ["standard", "premium"], ["", "Standard", "gold", None, ["standard"], b"standard"]),
        ("return_json", [True, False], [1, 0, "true", None]),
    ],
)
def test_bounds(name: str, good: list[object], bad: list[object]) -> None:
    """Each option takes the ends of its range, refuses what is just beyond, and says which option it is."""
    for value in good:
        assert getattr(make(**{name: value}), name) == value
    for value in bad:
        assert name in refused(**{name: value})


NUMBERS = ["chunk_seconds", "speed", "timeout", "connect_timeout", "close_timeout", "bad_quality_grace"]
NUMBERS += ["ping_interval"]
INTEGERS = ["connect_retries", "sample_rate", "max_message_bytes"]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("name", [*NUMBERS, *INTEGERS])
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        True,
        "1",
        "",
        b"1",
        [1],
        {},
        1j,
        10**400,
        -(10**400),
        10**5000,
        Hostile(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_hostile_numbers_are_refused(name: str, value: object) -> None:
    """Not-a-number, infinity, booleans, text, numbers beyond any float: a ConfigError that names the option."""
    message = refused(**{name: value})
    assert name in message
    assert len(message) < 250


@pytest.mark.parametrize("name", ["chunk_seconds", "timeout", "connect_timeout", "close_timeout", "bad_quality_grace"])
def test_none_is_no_number(name: str) -> None:
    """Only `speed` and `sample_rate` know `None`; a time without a bound can't be asked for."""
    assert name in refused(**{name: None})


def test_a_wait_between_packets_stays_within_what_platforms_can_wait() -> None:
    """A speed so small that no clock could pace it is refused, rather than failing in the audio thread."""
    assert "speed" in refused(speed=5e-324)
    assert make(speed=1e-3, chunk_seconds=0.5).speed == 1e-3


@given(st.sampled_from([*NUMBERS, *INTEGERS]), st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.binary()))
def test_an_option_is_taken_as_it_is_or_refused(name: str, value: object) -> None:
    """Whatever a number option is given, the outcome is that value, or a ConfigError that names it."""
    message = name
    config = None
    try:
        config = Config(token=TOKEN, url=VENDOR, **{name: value})  # type: ignore[arg-type]
    except ConfigError as error:
        message = str(error)
    assert name in message
    assert config is None or getattr(config, name) is value


# The token.


def test_a_missing_token_says_where_it_could_come_from() -> None:
    """Without a token the message names both ways to give one."""
    with pytest.raises(ConfigError) as missing:
        Config().with_token()
    for message in (str(missing.value), refused(token="")):
        assert "token=" in message
        assert "$ELSA_API_TOKEN" in message


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`token=None` takes `$ELSA_API_TOKEN`; one that is given wins; an empty variable is none."""
    monkeypatch.setenv("ELSA_API_TOKEN", "from-environment")
    assert Config().token == "from-environment"
    assert Config(TOKEN).token == TOKEN
    monkeypatch.setenv("ELSA_API_TOKEN", "")
    assert Config().token is None


def test_the_token_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A config without a token gets the one that the environment has when an exchange begins."""
    monkeypatch.delenv("ELSA_API_TOKEN", raising=False)
    config = Config(api_plan="premium", speed=2.0)
    monkeypatch.setenv("ELSA_API_TOKEN", TOKEN)
    assert config.with_token() == Config(TOKEN, api_plan="premium", speed=2.0)
    given = Config("given")
    assert given.with_token() is given


def test_options_are_those_of_a_config() -> None:
    """What type checkers know of `Client` and `score_many()` has every field of a config, but the token."""
    fields = {field.name: field.type for field in dataclasses.fields(Config) if field.name != "token"}
    assert get_type_hints(Options) == {name: get_type_hints(Config)[name] for name in fields}


@pytest.mark.parametrize(
    "token",
    [
        *[TOKEN + each for each in ("\r", "\n", "\r\nX-Evil: 1", "\0", "\x7f", "\x85", "\x1b[2J", "\t")],
        *[" " + TOKEN, TOKEN + " ", TOKEN + "\xa0"],
        *[TOKEN + each for each in ("€", "\u2028", "\ud800", "日本", "\u200b", "\U0001f600")],
        *[TOKEN.encode(), [TOKEN], 5, True],
    ],
    ids=ascii,
)
def test_bad_tokens_are_refused_without_showing_them(token: object) -> None:
    """What can't be, or shouldn't be, in an HTTP header is refused; neither the error nor its chain shows it."""
    assert "token" in refused(token=token)


@pytest.mark.parametrize("token", ["T", TOKEN, "a b", "é-ÿ", "~!@#$%^&*()", "x" * 10_000])
def test_ordinary_tokens_are_taken(token: str) -> None:
    """Any text that an HTTP header can carry is a token."""
    assert make(token=token).token == token


def test_the_token_is_masked() -> None:
    """`repr`, `str` and formatting show that there is a token, never which."""
    config = make()
    for text in (repr(config), str(config), f"{config}", f"{[config]}", repr(dataclasses.replace(config, timeout=1))):
        assert TOKEN not in text
        assert "token='***'" in text


def test_no_other_option_shows_the_token() -> None:
    """A ConfigError about any other option says nothing about the token."""
    wrong: dict[str, object] = {
        **dict.fromkeys([*NUMBERS, *INTEGERS], "x"),
        "api_plan": "x",
        "return_json": "x",
        "check": "x",
        "extra": {1: 2},
        "url": "x",
        "ca_bundle": "x",
        "proxy": "x y",
    }
    assert {field.name for field in dataclasses.fields(Config)} == {"token", *wrong}
    for name, value in wrong.items():
        assert name in refused(**{name: value})


def test_a_config_travels_to_a_worker_process() -> None:
    """Pickling keeps every option: the token too, since the worker needs it, and still masked."""
    config = make(extra={"a": [1]}, proxy="http://u:p@h:1", speed=None)
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert TOKEN not in repr(again)


def test_replace_checks_again() -> None:
    """`dataclasses.replace` gives a config that has been checked like any other."""
    config = make()
    assert dataclasses.replace(config, speed=None).token == TOKEN
    with pytest.raises(ConfigError, match="timeout") as caught:
        dataclasses.replace(config, timeout=-1)
    assert all(TOKEN not in text for text in everything_about(caught.value))


# The address.


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`url=None` takes `$ELSA_UNSCRIPTED_URL`; one that is given wins; an empty variable is none."""
    monkeypatch.setenv("ELSA_UNSCRIPTED_URL", "ws://127.0.0.1:8765/x")
    assert Config(TOKEN).url == "ws://127.0.0.1:8765/x"
    assert make().url == VENDOR
    monkeypatch.setenv("ELSA_UNSCRIPTED_URL", "")
    assert Config(TOKEN).url == VENDOR
    monkeypatch.setenv("ELSA_UNSCRIPTED_URL", "ws://example.com/")
    with pytest.raises(ConfigError, match="wss://"):
        Config(TOKEN)


@pytest.mark.parametrize(
    "url",
    [
        "wss://example.com",
        "wss://example.com:8443/a?b=c",
        "WSS://EXAMPLE.com/",
        "wss://bücher.example/ü?é=1",
        "wss://[2001:db8::1]:1/",
        "ws://localhost:1/",
        "ws://LOCALHOST/",
        "ws://127.0.0.1:65535/",
        "ws://127.8.9.10/",
        "ws://[::1]:80/a@b",
    ],
)
def test_addresses_that_are_taken(url: str) -> None:
    """TLS to anywhere, and plain text to this machine."""
    assert make(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        *[
            "",
            "example.com",
            "/path",
            "wss:",
            "wss://",
            "wss:///path",
            "wss://:443/",
            "wss:/example.com/",
            5,
            b"wss://a/",
        ],
        *["http://example.com/", "https://example.com/", "file:///etc/passwd", "javascript:alert(1)"],
        *["wss://example.com:0/", "wss://example.com:65536/", "wss://example.com:-1/", "wss://example.com:x/"],
        *["wss://example.com/#fragment", "wss://[::1/", "wss://exa mple.com/", " wss://example.com/"],
        *["wss://example.com/\r\nX: 1", "wss://example.com/\0", "wss://example.com/\x7f", "wss://example.com/\u202e"],
    ],
    ids=ascii,
)
def test_addresses_that_are_refused(url: object) -> None:
    """What isn't `wss://host[:port]/path`, with control characters or a fragment, is refused and named."""
    assert "url" in refused(url=url)


@pytest.mark.parametrize(
    "host",
    [
        *[
            "example.com",
            "10.0.0.1",
            "0.0.0.0",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "[::]",
            "[2001:db8::1]",
        ],
        *["2130706433", "0x7f000001", "127.1", "example.com\\.localhost", "xn--localhost-x"],
    ],
)
def test_plain_text_goes_to_loopback_only(host: str) -> None:
    """`ws://` to anything but this machine's own names and addresses is refused: it would show the token."""
    assert "wss://" in refused(url=f"ws://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        *["wss://user:pass-word@example.com/", "wss://pass-word@example.com/", "ws://pass-word@localhost/"],
        *["wss://localhost\\@pass-word.example.com/", "wss://@example.com/", "user:pass-word@example.com/"],
        *["wss://user:pass-word℀@example.com/", "wss://pass-word@example.com:port/"],
    ],
    ids=ascii,
)
def test_no_credentials_in_the_address(url: str) -> None:
    """A user name or password in the address is refused, and not repeated, however the rest of it looks."""
    assert "pass-word" not in refused(url=url)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("", False),
        (None, False),
        ("a", False),
        ("0.0.0.0", False),
    ],
)
def test_is_loopback(host: str | None, loopback: bool) -> None:
    """Whether a host is this machine is told from its name alone, without a name server."""
    assert is_loopback(host) is loopback


# The rest.


@pytest.mark.parametrize(
    "proxy", ["http://proxy", "http://proxy:3128/", "http://u:p@proxy:3128", "proxy:3128", "http://[::1]:1"]
)
def test_proxies_that_are_taken(proxy: str) -> None:
    """An HTTP proxy, with or without scheme, port, user and password."""
    assert make(proxy=proxy).proxy == proxy
    assert parse_proxy(proxy).hostname in ("proxy", "::1")


@pytest.mark.parametrize(
    "proxy",
    [
        *["", "http://", "https://u:pass-word@proxy", "socks5://u:pass-word@proxy", "http://u:pass-word@proxy:x"],
        *[
            "http://u:pass-word@proxy:0",
            "http://u:pass-word@pro xy",
            "http://u:pass-word@proxy\r\n",
            "http://[pass-word",
        ],
        *[
            "http://u:pass-word/1@proxy",
            "http://u:1#pass-word@proxy",
            "http://u?pass-word@proxy",
            5,
            b"http://pass-word",
        ],
    ],
    ids=ascii,
)
def test_proxies_that_are_refused(proxy: object) -> None:
    """Anything else, a password that isn't percent-encoded included, is refused without repeating it."""
    message = refused(proxy=proxy)
    assert "proxy" in message
    assert "pass-word" not in message


def test_the_password_of_a_proxy_is_masked() -> None:
    """`repr` shows the proxy's host, never the user and password before it."""
    text = repr(make(proxy="http://user:pass-word@proxy.example:3128"))
    assert "pass-word" not in text
    assert "user" not in text
    assert "proxy.example:3128" in text


def test_extra_is_copied() -> None:
    """What the caller changes afterwards, however deep, doesn't change the config."""
    extra: dict[str, Any] = {"list": [1, 2], "force_grammar_vocab": True}
    config = make(extra=extra)
    extra["list"].append(3)
    extra["more"] = 1
    assert config.extra == {"list": [1, 2], "force_grammar_vocab": True}


def circle() -> dict[str, Any]:
    around: dict[str, Any] = {}
    around["a"] = around
    return around


@pytest.mark.parametrize(
    "extra",
    [
        *["text", 5, [("a", 1)], True, {1: 2}, {None: 1}, {"a": object()}, {"a": b"x"}, {"a": {1, 2}}],
        *[{"a": float("nan")}, {"a": float("inf")}, circle(), {"a": {("a", "b"): 1}}],
        *[{"api_plan": "premium"}, {"return_json": True, "a": 1}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_extra_that_is_refused(extra: object) -> None:
    """What isn't a JSON object, or would override an option, is refused before anything is sent."""
    assert "extra" in refused(extra=extra)


def test_a_ca_bundle_must_be_a_file(tmp_path: pathlib.Path) -> None:
    """A path to a file is taken, as text or path; a directory, a missing file or anything else is refused."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    for value in (bundle, str(bundle)):
        assert make(ca_bundle=value).ca_bundle == value
    others: list[object] = [tmp_path, str(tmp_path / "missing"), "", "a\0b", 0, True, [], b"x"]
    for wrong in others:
        assert "ca_bundle" in refused(ca_bundle=wrong)


def test_extra_has_a_size_that_can_be_sent_at_once() -> None:
    """An extra that would fill the connection before the server reads is refused."""
    with pytest.raises(ConfigError, match="65536"):
        Config("token", extra={"x": "y" * 70_000})
