"""`ScoreResult`: the verdict of one exchange, its history and its timings; save, load, fetch.

Made by `client`; read by the caller, the summary and the command lines.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union
from urllib.parse import urlsplit

from ..exceptions import ConnectError, ProtocolError
from .assessment import Assessment, Speaker, find_assessment
from .bands import THRESHOLDS, Thresholds

__all__ = ["ScoreResult", "Timings"]

FILE_VERSION = 1
FETCH_TIMEOUT = 30.0  # s for the whole download
FETCH_MAX_BYTES = 64 * 2**20  # the same bound as for a message of the server

FOREVER = 1e9  # s, 32 years: more is no time
SAVED_WHOLE = {"raw", "statuses", "warnings", "timings"}  # what a saved result can't do without
SAVED_LISTS: Dict[str, type] = {"statuses": dict, "warnings": str}
SAVED_KINDS: Dict[str, type] = {
    **dict.fromkeys(("raw", "fetched"), dict),
    **dict.fromkeys(("text", "client", "stream_id", "api_plan"), str),
    **dict.fromkeys(("sample_rate", "channels", "sample_width"), int),
}


@dataclass(frozen=True)
class Timings:
    """When things happened, in seconds since `score()` was called; `None` for what didn't happen.

    Attributes:
        connect: The WebSocket was open.
        start: The server had named a stream.
        first_packet: The first packet had left.
        audio_sent: The last packet had left.
        verdict: The verdict had arrived.
        total: The connection was closed and every thread had ended.
    """

    connect: Optional[float] = None
    start: Optional[float] = None
    first_packet: Optional[float] = None
    audio_sent: Optional[float] = None
    verdict: Optional[float] = None
    total: Optional[float] = None


@dataclass(frozen=True, eq=False, repr=False)
class ScoreResult(Mapping[str, Any]):
    """A successful assessment: a read-only mapping over the server's final object, with typed views.

    Example:
        >>> result = ScoreResult({"status": "success", "result_link": "https://elsa.example/r/1"})
        >>> result["result_link"] == result.result_link
        True

    Attributes:
        raw: The server's final object, whole. Its text is untrusted.
        text: The same as it came, JSON text.
        stream_id: The server's name of the stream, if it gave one.
        statuses: Every message of the server that has a `status`, the final one included, in order of arrival.
        timings: When things happened.
        audio_seconds: How long the recording is.
        audio_seconds_sent: How much of it was sent: less than all of it when the server heard the end first.
        sample_rate: Hz, as sent; likewise `channels` and `sample_width` (bytes).
        api_plan: The plan that was asked for.
        warnings: What was wrong with the recording, if it could be sent all the same.
        client: Name and version of the package that made the result.
        fetched: The assessment that `fetch()` downloaded.
    """

    raw: Mapping[str, Any]
    text: str = ""
    stream_id: Optional[str] = None
    statuses: Tuple[Mapping[str, Any], ...] = ()
    timings: Timings = field(default_factory=Timings)
    audio_seconds: float = 0.0
    audio_seconds_sent: float = 0.0
    sample_rate: Optional[int] = None
    channels: Optional[int] = None
    sample_width: Optional[int] = None
    api_plan: Optional[str] = None
    warnings: Tuple[str, ...] = ()
    client: str = ""
    fetched: Optional[Mapping[str, Any]] = None

    @property
    def status(self) -> str:
        """The verdict: `"success"`."""
        return str(self.raw.get("status"))

    @property
    def result_link(self) -> Optional[str]:
        """Where the assessment can be downloaded; `None` if the server gave none, or an empty one."""
        return self._link("result_link")

    @property
    def audio_link(self) -> Optional[str]:
        """Where the recording can be heard; `None` if the server gave none, or an empty one."""
        return self._link("audio_link")

    @property
    def partial_error(self) -> Optional[str]:
        """What keeps the assessment from being whole, such as `"too_short"`."""
        value = self.raw.get("partial_error")
        return value if isinstance(value, str) and value else None

    @property
    def assessment(self) -> Optional[Assessment]:
        """The assessment as typed views; `None` when it did not come along (see `fetch()`)."""
        found = find_assessment(self.raw) or (find_assessment(self.fetched) if self.fetched else None)
        return None if found is None else Assessment(found)

    @property
    def speakers(self) -> Tuple[Speaker, ...]:
        """The assessment's speakers, usually one; none when there is no assessment."""
        assessment = self.assessment
        return () if assessment is None else assessment.speakers

    def to_html(self, *, audio: Any = None, thresholds: Thresholds = THRESHOLDS, title: Optional[str] = None) -> str:
        """Renders the report page: one HTML file that needs nothing else (extra `report`).

        Args:
            audio: The recording, if it is to be seen and heard: whatever `score()` takes.
            thresholds: Percent from which a score is fair, and from which it is good.
            title: The page's; default: "Speech report".

        Raises:
            ValueError: The thresholds aren't two numbers from 0 to 100, the lower one first.
            AudioError: The recording can't be read or decoded.
            ModuleNotFoundError: The extra isn't installed.
        """
        from ..report import result_page

        return result_page(self, audio=audio, thresholds=thresholds, title=title)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes everything that is known as JSON, for `load()`. There is no token in it.

        Raises:
            OSError: The file can't be written.
        """
        saved: Dict[str, Any] = {"v": FILE_VERSION}
        for name in self.__dataclass_fields__:
            saved[name] = getattr(self, name)
        saved["raw"] = dict(self.raw)
        saved["statuses"] = [dict(status) for status in self.statuses]
        saved["timings"] = asdict(self.timings)
        whole = json.dumps(saved, indent=1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole + "\n")

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> ScoreResult:
        """Reads what `save()` wrote. Fields of a later version are passed over.

        Raises:
            OSError: The file can't be read.
            ValueError: The file holds something else.
        """
        try:
            with open(path, encoding="utf-8") as file:
                saved = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not a saved result: {os.fspath(path)!r} ({error})") from error
        if not isinstance(saved, dict) or "v" not in saved or not set(saved) >= SAVED_WHOLE:
            raise ValueError(f"not a saved result: {os.fspath(path)!r}")
        known = {name: saved[name] for name in cls.__dataclass_fields__ if name in saved}
        for name, value in known.items():
            if not _is_saved(name, value):
                raise ValueError(f"not a saved result: {os.fspath(path)!r} (its {name!r} is strange)")
        known["statuses"] = tuple(known["statuses"])
        known["warnings"] = tuple(known["warnings"])
        known["timings"] = Timings(**{name: known["timings"].get(name) for name in Timings.__dataclass_fields__})
        return cls(**known)

    def fetch(self, *, timeout: float = FETCH_TIMEOUT, max_bytes: int = FETCH_MAX_BYTES) -> ScoreResult:
        """Downloads the assessment from `result_link`, if it did not come along; without any token.

        Args:
            timeout: Seconds for the whole download.
            max_bytes: The longest answer that is taken.

        Returns:
            A result that has the assessment: this one if it had it already.

        Raises:
            ConnectError: There is no link, it is not `https://` (`http://` only on loopback), or the download fails.
            ProtocolError: What came is not a JSON object, or too long.
        """
        if self.assessment is not None:
            return self
        if self.result_link is None:
            raise ConnectError("the server gave no result_link to fetch; score with return_json=True")
        body = _download(self.result_link, timeout=timeout, max_bytes=max_bytes)
        try:
            fetched = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"what result_link leads to is not JSON ({error})") from error
        if not isinstance(fetched, dict):
            raise ProtocolError("what result_link leads to is not a JSON object")
        return replace(self, fetched=fetched)

    def _link(self, key: str) -> Optional[str]:
        value = self.raw.get(key)
        return value if isinstance(value, str) and value else None

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"ScoreResult(status={self.status!r}, stream_id={self.stream_id!r}, result_link={self.result_link!r})"


def _is_saved(name: str, value: Any) -> bool:
    """Whether a field of a saved file has its type, so that whoever shows it can rely on that."""
    if value is None:
        return name in ("stream_id", "sample_rate", "channels", "sample_width", "api_plan", "fetched")
    if name == "timings":
        return isinstance(value, dict) and all(
            item is None or _is_seconds(item) for key, item in value.items() if key in Timings.__dataclass_fields__
        )
    if name in SAVED_LISTS:
        return isinstance(value, list) and all(isinstance(item, SAVED_LISTS[name]) for item in value)
    if name in ("audio_seconds", "audio_seconds_sent"):
        return _is_seconds(value)
    return isinstance(value, SAVED_KINDS[name]) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < FOREVER


def _download(link: str, *, timeout: float, max_bytes: int) -> bytes:
    # Only where they are needed: urllib.request imports half of the standard library.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.error import HTTPError
    from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

    ends = time.monotonic() + timeout
    sockets: List[socket.socket] = []

    def watch(connection: HTTPConnection) -> None:
        sockets.append(connection.sock)
        if time.monotonic() >= ends:
            raise TimeoutError("timed out")  # `cut` may have looked through `sockets` already

    def cut() -> None:
        for each in sockets:
            with suppress(OSError):
                # Past SSLSocket.shutdown(), which would take the TLS layer away from under the reading thread.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            watch(self)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            watch(self)

    class PlainHandler(HTTPHandler):
        def http_open(self, req: Request) -> Any:
            return self.do_open(Plain, req)

    class SecureHandler(HTTPSHandler):
        def https_open(self, req: Request) -> Any:
            return self.do_open(Secure, req)

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            fp.close()  # else its body would be read, however long it is
            _check_link(newurl, plain=req.type == "http")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    body = bytearray()
    # urllib's timeout begins anew with each byte that comes; this one does not.
    timer = threading.Timer(timeout, cut)
    timer.daemon = True
    timer.start()
    try:
        _check_link(link)
        handlers: List[Any] = [PlainHandler, SecureHandler, Redirects]
        if _is_loopback(urlsplit(link).hostname):
            handlers.append(ProxyHandler({}))
        with build_opener(*handlers).open(Request(link), timeout=timeout) as answer:
            while time.monotonic() < ends:
                part = answer.read1(65536)
                if not part and time.monotonic() < ends:
                    return bytes(body)
                body += part
                if len(body) > max_bytes:
                    raise ProtocolError(f"what result_link leads to has more than {max_bytes} bytes; raise max_bytes")
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        if time.monotonic() < ends:
            raise ConnectError(
                f"could not download result_link ({getattr(error, 'reason', None) or error}); try again later",
                status_code=getattr(error, "code", None),
            ) from error
    finally:
        timer.cancel()
        timer.join(1.0)  # cut() takes moments
    raise ConnectError(f"result_link took more than {timeout:g} s to download; raise timeout, or try later")


def _check_link(link: str, *, plain: bool = True) -> None:
    parts = urlsplit(link)
    if parts.scheme != "https" and not (plain and parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ConnectError(f"result_link is not fetched: it leads to {parts.scheme!r}, and only https:// is safe")


def _is_loopback(host: Optional[str]) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
