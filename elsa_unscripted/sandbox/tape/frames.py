"""WebSocket frames (RFC 6455, 5.2) as bytes: reads them as they come, and makes those of a server.

The library's own parser is of no use on the way through: it ends a connection whose frames are broken, and a tape keeps
just these.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE_BYTES = 64 * 2**20
MAX_BROKEN_BYTES = 16 * 2**20  # so much is kept of what comes after a broken frame


class Message(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    data: bytes


class Frames:
    """Cuts a stream of bytes into messages, for one direction of a connection.

    Args:
        masked: Whether the frames must be masked, as a client's are.

    Attributes:
        held: The bytes that belong to no whole message yet; once `broken`, all from the first wrong frame on.
        broken: Whether a frame came that no endpoint may send. Nothing is read after it.
    """

    def __init__(self, *, masked: bool) -> None:
        self.held = bytearray()
        self.broken = False
        self._masked = masked
        self._at = 0  # in `held`: where the frame begins that is to be read next
        self._opcode = 0  # of the message in fragments; 0 if there is none
        self._parts = bytearray()

    def feed(self, data: bytes) -> list[tuple[Message, bytes]]:
        """Takes bytes; returns the messages that are whole now, each with the bytes that it was in."""
        if self.broken:
            self.held += data[: max(0, MAX_BROKEN_BYTES - len(self.held))]
            return []
        self.held += data
        found = []
        while not self.broken:
            frame = self._next_frame()
            if frame is None:
                break
            end, opcode, fin, payload = frame
            if opcode >= CLOSE:
                # Its bytes are taken out of those of the message that it may have come amid.
                spelled = bytes(self.held[self._at : end])
                del self.held[self._at : end]
                found.append((Message(opcode, payload), spelled))
                continue
            self._at = end
            self._opcode = opcode or self._opcode
            self._parts += payload
            if fin:
                message, spelled = Message(self._opcode, bytes(self._parts)), bytes(self.held[:end])
                del self.held[:end]
                self._at = self._opcode = 0
                self._parts.clear()
                found.append((message, spelled))
        return found

    def _next_frame(self) -> tuple[int, int, bool, bytes] | None:
        """Returns the next frame: where it ends in `held`, its opcode, whether it is the last, its payload."""
        head = self.held[self._at : self._at + 14]
        if len(head) < 2:
            return None
        fin, opcode, size, at = bool(head[0] & 0x80), head[0] & 0x0F, head[1] & 0x7F, 2
        control = opcode >= CLOSE
        amid = self._opcode != 0
        self.broken = (
            bool(head[0] & 0x70)
            or opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG)
            or bool(head[1] & 0x80) != self._masked
            or (control and (not fin or size > 125))
            or (not control and (opcode == CONT) != amid)
        )
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(head) < 2 + width:
                return None
            size, at = int.from_bytes(head[2 : 2 + width], "big"), 2 + width
        if size + len(self._parts) > MAX_MESSAGE_BYTES:
            self.broken = True
        if self.broken:
            return None
        start = self._at + at + (4 if self._masked else 0)
        if len(self.held) < start + size:
            return None
        payload = bytes(self.held[start : start + size])
        if self._masked:
            payload = _unmask(payload, bytes(head[at : at + 4]))
        if opcode == CLOSE and not is_close(payload):
            self.broken = True
            return None
        return start + size, opcode, fin, payload


def _unmask(payload: bytes, mask: bytes) -> bytes:
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


def is_close(payload: bytes) -> bool:
    """Returns whether an endpoint may send this in a close frame."""
    if not payload:
        return True
    code = int.from_bytes(payload[:2], "big")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return False
    # RFC 6455, 7.4: 1004 to 1006 and 1015 never go over the wire.
    return len(payload) > 1 and (code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code < 5000)


def frame(opcode: int, payload: bytes) -> bytes:
    """Returns a frame of a server: whole, not masked."""
    first = 0x80 | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 2**16:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def close_frame(code: int | None, reason: str) -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())
