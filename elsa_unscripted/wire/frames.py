"""`FrameMeter`: reads the headers of the server's frames, and refuses one that claims too much. For `wire`.

`websocket-client` would wait for all bytes that a header announces, be it 2^63.
"""

from __future__ import annotations

CONTROL_FRAME = 0x08  # RFC 6455, 5.5: the bit of the opcode that close, ping and pong have
MAX_CONTROL_BYTES = 125  # RFC 6455, 5.5

_LENGTH_BYTES = {126: 2, 127: 8}  # RFC 6455, 5.2: what follows the second byte


class MessageTooLongError(OSError):
    """The server sends a message longer than `max_message_bytes`, or a control frame longer than any may be."""


class FrameMeter:
    """Follows the server's bytes from frame to frame; they may come in pieces of any size."""

    def __init__(self, max_message_bytes: int) -> None:
        self._most = max_message_bytes
        self._header = bytearray()  # of the frame that begins
        self._left = 0  # bytes of the frame that are still to come
        self._message = 0  # bytes that the frames of the message have announced so far

    def take(self, data: bytes) -> None:
        """Takes the next bytes.

        Raises:
            MessageTooLongError: A frame announces more than is accepted.
        """
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            missing = _size(self._header) - len(self._header)
            self._header += data[at : at + missing]
            at += missing
            if len(self._header) == _size(self._header):
                self._begin_frame()

    def _begin_frame(self) -> None:
        opcode, length = self._header[0] & 0x0F, self._header[1] & 0x7F
        extra = _LENGTH_BYTES.get(length, 0)
        if extra:
            length = int.from_bytes(self._header[2 : 2 + extra], "big")
        self._left = length + (4 if self._header[1] & 0x80 else 0)  # a mask comes before the payload
        self._header.clear()
        if opcode & CONTROL_FRAME:  # one may come between the frames of a message
            if length > MAX_CONTROL_BYTES:
                raise MessageTooLongError(f"a control frame of {length} bytes")
            return
        self._message = length if opcode else self._message + length
        if self._message > self._most:
            raise MessageTooLongError(f"a message of more than {self._most} bytes")


def _size(header: bytearray) -> int:
    """Returns how long a frame's header is, without the mask, as far as its beginning tells."""
    if len(header) < 2:
        return 2
    return 2 + _LENGTH_BYTES.get(header[1] & 0x7F, 0)
