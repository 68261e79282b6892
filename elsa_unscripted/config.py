"""`Config`: every option of an exchange, with its unit, its default and the reason for it.

Made by the caller, by `Client` or by `score_many()`; read by everything that they call.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import os
import re
import string
from dataclasses import dataclass, field, fields, replace
from typing import Any, Mapping, Optional, TypedDict, Union
from urllib.parse import SplitResult, quote, urlsplit

from .exceptions import ConfigError
from .imports import importing
from .signals import raised_by_handler

__all__ = ["Config", "Options"]

PathLike = Union[str, "os.PathLike[str]"]

DEFAULT_URL = "wss://api.elsanow.io/api/v1/ws/score_audio_plus"
TOKEN_VARIABLE = "ELSA_API_TOKEN"
URL_VARIABLE = "ELSA_UNSCRIPTED_URL"

API_PLANS = ("standard", "premium")

CHUNK_SECONDS = 0.5  # s of audio in a packet, as in the vendor's reference client
SPEED = 1.0  # s of audio sent in a second: real time, as the reference client sends
TIMEOUT = 150.0  # s: the reference client's alarm; but here, the time that the audio takes comes on top
CONNECT_TIMEOUT = 10.0  # s: for all attempts and the waits between them; a healthy handshake takes under 1 s
CLOSE_TIMEOUT = 2.0  # s: a peer that is alive answers a close frame within a round trip
BAD_QUALITY_GRACE = 5.0  # s: whether a verdict follows `bad_quality` is unknown, so wait, but not for long
CONNECT_RETRIES = 2  # after the first attempt; nothing is metered before the first packet
MAX_EXTRA_CHARACTERS = 65_536  # fits into a new connection's buffer, even if the server reads nothing
MAX_MESSAGE_BYTES = 64 * 2**20  # a verdict on minutes of speech has a few MB at most

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_SECONDS = 1e6  # 11 days; every platform can wait that long


class Secret:
    """A value that `repr` doesn't show.

    Error trackers show the local variables of an error's frames. So a function that is given a token wraps it in a
    `Secret` at once; `Config` takes it out again.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "'***'"


def hide(value: Any) -> Any:
    """Returns a value wrapped in a `Secret`; returns `None`, or a `Secret`, as it is."""
    return value if value is None or isinstance(value, Secret) else Secret(value)


class Options(TypedDict, total=False):
    """The options of `Client` and `score_many()`, for type checkers: the fields of `Config` without the token.

    A function that passes options on to one of the two can be annotated with it:
    `def score_all(paths: list[str], **options: Unpack[Options])`.
    """

    api_plan: str
    return_json: bool
    extra: Optional[Mapping[str, Any]]
    url: Optional[str]
    chunk_seconds: float
    speed: Optional[float]
    timeout: float
    connect_timeout: float
    close_timeout: float
    bad_quality_grace: float
    connect_retries: int
    sample_rate: Optional[int]
    ca_bundle: Optional[PathLike]
    proxy: Optional[str]
    max_message_bytes: int
    ping_interval: Optional[float]
    check: bool


@dataclass(frozen=True, repr=False)
class Config:
    """The options of an exchange; frozen, checked when made.

    Attributes:
        token: The API token; `None` takes `$ELSA_API_TOKEN`, and stays `None` if that isn't set: it may be set until
            an exchange begins. Masked in `repr`.
        api_plan: `"standard"` or `"premium"`.
        return_json: Whether the server should send the assessment along with the verdict.
        extra: More keys for the config message, sent after the two above; their meaning isn't checked. Whether the
            streaming API reads any is not known; ELSA's batch API knows `force_grammar_vocab`.
        url: Where to connect; `None` takes `$ELSA_UNSCRIPTED_URL`, else the vendor's address. `ws://` only to loopback.
        chunk_seconds: Seconds of audio in a packet.
        speed: Seconds of audio sent in a second; `None` sends as fast as the connection takes it.
        timeout: Seconds to wait for the server's answers, on top of the time that the audio takes at `speed`.
        connect_timeout: Seconds for all attempts to connect and the waits between them.
        close_timeout: Seconds for the closing handshake and the end of the threads.
        bad_quality_grace: Seconds of silence, once no audio is being sent, that make `bad_quality` the verdict.
        connect_retries: Attempts to connect after the first. A stream that has begun is never retried.
        sample_rate: `None` sends a WAV as recorded; a number resamples to mono 16 bit at that many Hz.
        ca_bundle: A file with the certificates to trust in place of the system's.
        proxy: `http://[user:password@]host:port`; `None` takes `$https_proxy`, else `$all_proxy`, but neither for the
            hosts in `$no_proxy`.
        max_message_bytes: The longest message that is accepted from the server.
        ping_interval: Seconds between WebSocket pings, for load balancers that cut connections on which the client is
            silent; `None` sends none, as the reference client.
        check: Whether a recording is checked before anything is sent, and refused if it is certain to be worthless.

    Raises:
        ConfigError: A value is out of range; the message names the option.
    """

    token: Optional[str] = None
    api_plan: str = "standard"
    return_json: bool = True
    extra: Optional[Mapping[str, Any]] = field(default=None, hash=False)
    url: Optional[str] = None
    chunk_seconds: float = CHUNK_SECONDS
    speed: Optional[float] = SPEED
    timeout: float = TIMEOUT
    connect_timeout: float = CONNECT_TIMEOUT
    close_timeout: float = CLOSE_TIMEOUT
    bad_quality_grace: float = BAD_QUALITY_GRACE
    connect_retries: int = CONNECT_RETRIES
    sample_rate: Optional[int] = None
    ca_bundle: Optional[PathLike] = None
    proxy: Optional[str] = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    ping_interval: Optional[float] = None
    check: bool = False

    def __post_init__(self) -> None:
        for name in ("token", "proxy"):
            if isinstance(getattr(self, name), Secret):
                object.__setattr__(self, name, getattr(self, name).value)
        if self.token is None:
            object.__setattr__(self, "token", os.environ.get(TOKEN_VARIABLE, "").strip() or None)
        if self.token is not None:
            _check_token(self)
        if self.url is None:
            object.__setattr__(self, "url", os.environ.get(URL_VARIABLE) or DEFAULT_URL)
        _check_url(self.url)
        if self.api_plan not in API_PLANS:
            raise ConfigError(f"api_plan must be one of {', '.join(API_PLANS)}, not {_shown(self.api_plan)}")
        for name in ("return_json", "check"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be True or False, not {_shown(getattr(self, name))}")
        if self.extra is not None:
            object.__setattr__(self, "extra", _checked_extra(self.extra))
        _check_number("chunk_seconds", self.chunk_seconds, above=0)
        if self.speed is not None:
            _check_number("speed", self.speed, above=0, limit=1e9, hint="; None means as fast as possible")
            if self.chunk_seconds / self.speed > _MAX_SECONDS:
                raise ConfigError(f"speed is too small: {_MAX_SECONDS:g} s or more would pass between two packets")
        for name in ("timeout", "connect_timeout"):
            _check_number(name, getattr(self, name), above=0)
        for name in ("close_timeout", "bad_quality_grace"):
            _check_number(name, getattr(self, name), least=0)
        _check_int("connect_retries", self.connect_retries, 0, 1000)
        if self.sample_rate is not None:
            _check_int("sample_rate", self.sample_rate, 1000, 384_000)
        _check_int("max_message_bytes", self.max_message_bytes, 1024, 2**40)
        if self.ping_interval is not None:
            _check_number("ping_interval", self.ping_interval, above=0, hint="; None sends no pings")
        check_ca_bundle(self.ca_bundle)
        if self.proxy is not None:
            parse_proxy(self.proxy)

    def with_token(self) -> Config:
        """Returns this, or if it has no token, the same with the one that `$ELSA_API_TOKEN` has by now.

        Raises:
            ConfigError: There is none.
        """
        config = self if self.token is not None else replace(self)
        if config.token is None:
            raise ConfigError(f"no token: pass token=… or set ${TOKEN_VARIABLE}")
        return config

    def __repr__(self) -> str:
        shown = (f"{f.name}={_masked(f.name, getattr(self, f.name))}" for f in fields(self))
        return f"Config({', '.join(shown)})"


_LONGEST_PROPOSAL = 500  # characters
# A scheme that is missing, misspelt or another one; then a host with a dot in it, so that a bare word is none.
_NEARLY_URL = re.compile(
    r"\s*(?:(?:w{1,3}s{1,3}|h?t{1,3}ps?)(?:[:;]/*|//))?(?P<host>localhost|\[[0-9A-Fa-f:]+\]|[\w-]+(?:\.[\w-]+)+)"
    r"(?P<rest>(?:[:/?][^\s#]*)?)(?:#\S*)?\s*$",
    re.IGNORECASE,
)


@functools.lru_cache(64)  # each exchange asks twice, and it takes as long as to send a packet
def is_loopback(host: Optional[str]) -> bool:
    """Returns whether a host name or address means this machine, without asking a name server."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        if raised_by_handler(error):
            raise
        return False


def ascii_host(host: str) -> str:
    """Returns a host name as name servers know it (IDNA): `xn--bcher-kva.example` for `bücher.example`.

    Raises:
        UnicodeError: No host can have this name.
    """
    if host.isascii():
        return host
    return importing(lambda: host.encode("idna")).decode("ascii")


def ascii_url(url: str) -> str:
    """Returns a URL that `Config` has checked with its scheme in small letters, and all of it in ASCII."""
    parts = urlsplit(url)
    place = parts.netloc
    if not place.isascii():
        place = ascii_host(str(parts.hostname)) + ("" if parts.port is None else f":{parts.port}")
    return f"{parts.scheme}://{place}{quote(url.partition('://')[2][len(parts.netloc) :], safe=string.punctuation)}"


def check_ca_bundle(ca_bundle: Optional[PathLike]) -> None:
    """Raises `ConfigError` if a file with certificates is given, and isn't there."""
    if ca_bundle is not None and not (isinstance(ca_bundle, (str, os.PathLike)) and os.path.isfile(ca_bundle)):
        raise ConfigError(f"ca_bundle is not a file: {_shown(ca_bundle)}; give a PEM file")


def parse_proxy(proxy: str) -> SplitResult:
    """Returns the parts of a proxy's address.

    Raises:
        ConfigError: The address is not `http://[user:password@]host[:port]`. The message doesn't quote the address,
            which may hold a password.
    """
    hint = "the proxy must be http://[user:password@]host[:port]"
    if not isinstance(proxy, str) or re.search(r"[\x00-\x20\x7f]", proxy):
        raise ConfigError(hint)
    try:
        parts = urlsplit(proxy if "://" in proxy else "http://" + proxy)
        # A path is most likely the rest of a password whose `/`, `?` or `#` isn't percent-encoded.
        rest = (parts.path if parts.path != "/" else "") + parts.query + parts.fragment
        if parts.scheme != "http" or not parts.hostname or parts.port == 0 or rest:
            raise ConfigError(hint)
    except ValueError as error:
        if raised_by_handler(error):
            raise
        raise ConfigError(hint) from None
    return _Proxy(*parts)


class _Proxy(SplitResult):
    """The parts of a proxy's address, without the password in their `repr`: error trackers show local variables."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hostname!r}, {self.port!r})"


def _masked(name: str, value: object) -> str:
    if name == "token":
        return "'***'"
    if name == "proxy" and isinstance(value, str) and "@" in value:
        return repr("***@" + value.rpartition("@")[2])
    return repr(value)


def _check_token(config: Config) -> None:
    """Checks the token. No local variable may hold it: error trackers show local variables."""
    if config.token == "":
        raise ConfigError(f"no token: pass token=… or set ${TOKEN_VARIABLE}")
    if not isinstance(config.token, str):
        raise ConfigError(f"the token must be a str, not {type(config.token).__name__}")
    if _CONTROL_CHARACTER.search(config.token):
        raise ConfigError("the token holds a control character (a line end from a file?): strip it")
    if config.token != config.token.strip():
        raise ConfigError("the token begins or ends with white space: strip it")
    # Don't try to encode the token instead: the UnicodeEncodeError would hold the token, and be this error's context.
    if max(config.token) > "\xff":
        raise ConfigError("the token holds characters that an HTTP header can't carry: copy it again")


def _check_url(url: Optional[str]) -> None:
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        raise ConfigError(
            f"url must be a str like wss://host/path, without spaces or control characters{_proposal(url)}"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        if raised_by_handler(error):
            raise
        # The message doesn't quote the URL, which may hold a user name and a password.
        raise ConfigError(f"url is malformed: use wss://host[:port]/path{_proposal(url)}") from None
    if "@" in (parts.netloc or url):
        raise ConfigError("url must not hold a user name or password: the token goes in token=…")
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0 or parts.fragment:
        raise ConfigError(f"url must be wss://host[:port]/path, not {_shown(_without_query(url))}{_proposal(url)}")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ConfigError(f"ws:// would send the token in clear to {parts.hostname!r}: use wss://{_proposal(url)}")
    try:
        ascii_host(parts.hostname)
    except UnicodeError as error:
        if raised_by_handler(error):
            raise
        raise ConfigError(f"url holds a host name that can't be: {_shown(parts.hostname)}") from None


def _proposal(url: object) -> str:
    """Returns `; did you mean …?` with the URL that somebody may have meant; `""` if that is anybody's guess."""
    if not isinstance(url, str) or "@" in url or len(url) > _LONGEST_PROPOSAL:
        return ""
    found = _NEARLY_URL.match(url)
    if found is None:
        return ""
    right = f"{'ws' if is_loopback(found['host'].strip('[]')) else 'wss'}://{found['host']}{found['rest']}"
    if right == url:
        return ""
    try:
        _check_url(right)
    except ConfigError:
        return ""
    return f"; did you mean {_without_query(right)}?"


def _without_query(url: str) -> str:
    """Returns a URL as messages show it: its query may hold a secret."""
    start, mark, _ = url.partition("?")
    return f"{start}{mark}…" if mark else start


def _checked_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    taken = {"api_plan", "return_json"}
    if not isinstance(extra, Mapping) or not all(isinstance(key, str) for key in extra):
        raise ConfigError("extra must be a mapping of str keys to JSON values")
    if taken & set(extra):
        raise ConfigError(f"extra must not hold {sorted(taken & set(extra))[0]}: it is an option of its own")
    try:
        text = json.dumps(dict(extra), allow_nan=False)
        if len(text) > MAX_EXTRA_CHARACTERS:
            raise ConfigError(f"extra must be at most {MAX_EXTRA_CHARACTERS} characters as JSON, not {len(text)}")
        copy: Mapping[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        if raised_by_handler(error):
            raise
        raise ConfigError(f"extra can't be written as JSON: {error}") from None
    return copy


def _check_number(
    name: str,
    value: object,
    *,
    above: Optional[float] = None,
    least: float = -math.inf,
    limit: float = _MAX_SECONDS,
    hint: str = "",
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Not math.isfinite(): it raises OverflowError for a huge int.
    if not number or not -math.inf < value < math.inf:  # type: ignore[operator]
        raise ConfigError(f"{name} must be a finite number, not {_shown(value)}{hint}")
    if above is not None and value <= above:  # type: ignore[operator]
        raise ConfigError(f"{name} must be more than {above:g}, not {_shown(value)}{hint}")
    if value < least or value > limit:  # type: ignore[operator]
        raise ConfigError(f"{name} must be from {max(least, 0):g} to {limit:g}, not {_shown(value)}{hint}")


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least} to {most}, not {_shown(value)}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # any object's repr() may fail; that of an int of more than 4,300 digits does
        if raised_by_handler(error):
            raise
        text = f"a strange {type(value).__name__}"
    return text if len(text) <= 80 else text[:79] + "…"
