"""`Answer`: the upstream's HTTP answer to a handshake, as it comes; used by `recorder`."""

from __future__ import annotations

import re
import zlib

from websockets.utils import accept_key

MAX_HEAD_BYTES = 2**20
MAX_BODY_BYTES = 2**20
LAST_CHUNK = re.compile(rb"(?:^|\r\n)0[^\n]*\r\n(?:[^\r\n]+\r\n)*\r\n$")
# What holds for one connection alone, or is a secret.
LEFT_OUT = {"set-cookie", "set-cookie2", "content-length", "transfer-encoding", "content-encoding", "connection"}
LEFT_OUT |= {"keep-alive", "authorization", "proxy-authorization", "cookie"}


class Answer:
    """Reads an answer. Interim ones (RFC 9110, 15.2) are passed over.

    Args:
        key: The `Sec-WebSocket-Key` of the request.

    Attributes:
        raw: All that has come, up to the WebSocket's first frame; bounded.
        accepted: Whether a WebSocket was opened.
        status: The status of a refusal; `None` while nobody knows, and if this is no HTTP.
        headers: Of a refusal.
        whole: Whether a refusal has come as a whole.
    """

    def __init__(self, key: str) -> None:
        self.raw = bytearray()
        self.accepted = False
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.whole = False
        self._key = key
        self._at = 0  # in `raw`: where the answer begins that is not an interim one
        self._body = bytearray()
        self._odd = False

    def feed(self, data: bytes) -> bytes | None:
        """Takes bytes; once the WebSocket is open, returns those that belong to it already."""
        if self.status is not None:
            self._body += data[: max(0, MAX_BODY_BYTES - len(self._body))]
            self._look_for_end()
            return None
        self.raw += data[: max(0, MAX_HEAD_BYTES - len(self.raw))]
        while not self._odd and self.status is None:
            head, separator, rest = bytes(self.raw[self._at :]).partition(b"\r\n\r\n")
            if not separator:
                return None
            status = self._read_head(head)
            if status is None:
                self._odd = True
            elif status == 101:
                self.accepted = True
                return rest
            elif status < 200:
                self._at += len(head) + 4
            else:
                self.status = status
                self._body += rest[:MAX_BODY_BYTES]
                self._look_for_end()
        return None

    def end(self) -> None:
        """Takes the end of the connection, which may be that of the body."""
        if self.status is not None and "content-length" not in self._named and not self._is_chunked:
            self.whole = True

    @property
    def body(self) -> bytes:
        """The body of a refusal, as much as has come, neither in chunks nor packed."""
        body = _join_chunks(bytes(self._body)) if self._is_chunked else bytes(self._body)
        length = self._named.get("content-length", "")
        if length.isdecimal():
            body = body[: int(length)]
        return unpack(body, self._named.get("content-encoding", ""), MAX_BODY_BYTES)

    @property
    def kept_headers(self) -> tuple[tuple[str, str], ...]:
        """Those that a tape has."""
        return tuple((name, value) for name, value in self.headers if name.lower() not in LEFT_OUT)

    @property
    def _named(self) -> dict[str, str]:
        return {name.lower(): value.strip().lower() for name, value in self.headers}

    @property
    def _is_chunked(self) -> bool:
        return self._named.get("transfer-encoding", "").endswith("chunked")

    def _read_head(self, head: bytes) -> int | None:
        """Returns the status; `None` if it is no regular head, or a 101 that opens no WebSocket."""
        first, *lines = head.split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?", first)
        pairs = [line.partition(b":") for line in lines]
        if match is None or not all(colon and re.fullmatch(rb"[!#-'*+.^`|~\w-]+", name) for name, colon, _ in pairs):
            return None
        if re.search(rb"[\r\n\0]", b"".join(value for *_, value in pairs)):
            return None
        try:
            self.headers = [(name.decode("ascii"), value.strip().decode("utf-8")) for name, _, value in pairs]
        except UnicodeDecodeError:
            return None
        status = int(match[1])
        return status if status != 101 or self._opens() else None

    def _opens(self) -> bool:
        named = self._named
        return (
            named.get("sec-websocket-accept") == accept_key(self._key).lower()
            and named.get("upgrade") == "websocket"
            and "upgrade" in named.get("connection", "")
        )

    def _look_for_end(self) -> None:
        length = self._named.get("content-length", "")
        self.whole = (
            self.status in (204, 304)
            or (length.isdecimal() and len(self._body) >= int(length))
            or (self._is_chunked and LAST_CHUNK.search(self._body) is not None)
            or len(self._body) >= MAX_BODY_BYTES
        )


def unpack(body: bytes, coding: str, limit: int) -> bytes:
    """Returns a body as it was before its `Content-Encoding`, up to a bound: what is packed may hide a token.

    Of what can't be unpacked, nothing is returned.
    """
    gzipped = body.startswith(b"\x1f\x8b")
    coding = coding.strip().lower()
    if not gzipped and coding in ("", "identity"):
        return body
    if not gzipped and coding != "deflate":
        return b""
    # Some servers send deflate without the head of zlib.
    for bits in (zlib.MAX_WBITS | 16,) if gzipped else (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        unpacked, rest = bytearray(), body
        try:
            while rest and len(unpacked) < limit:  # gzip may come in several parts
                part = zlib.decompressobj(bits)
                unpacked += part.decompress(rest, limit - len(unpacked))
                rest = part.unused_data
        except zlib.error:
            if not unpacked:
                continue
        return bytes(unpacked)
    return b""


def _join_chunks(data: bytes) -> bytes:
    joined = bytearray()
    while chunk := re.match(rb"([0-9A-Fa-f]{1,8})[^\n]*\n", data):
        size = int(chunk[1], 16)
        joined += data[chunk.end() : chunk.end() + size]
        data = data[chunk.end() + size :].lstrip(b"\r\n")
    return bytes(joined)
