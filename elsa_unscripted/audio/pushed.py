"""Live audio that the caller pushes: raw PCM (`PushedAudio`), or a container (`Handed`). For `exchange.stream`."""

from __future__ import annotations

import contextlib
import math
import os
import queue
from typing import Callable, Iterator, Optional, Union

from ..exceptions import AudioError
from ..mailbox import Mailbox
from .feed import PATIENCE, Data
from .live import Live, LiveAudio
from .packets import Packet
from .unpacking import plan
from .wav import Layout

__all__ = ["Handed", "PushedAudio"]

_MOST_BYTES = 2**20  # of a container, that may wait to be decoded


class PushedAudio(Live):
    """Raw PCM that one thread both pushes and sends. Has no thread, and never waits.

    Attributes:
        add: Takes any number of bytes of audio, and returns whether a packet is full, or the audio has ended. Set by
            `start()`: the feed's own method, as it is called a thousand times in a second.
    """

    add: Callable[[Data], bool]

    def __init__(self, layout: Layout, max_seconds: Optional[float], save: Union[str, os.PathLike[str], None]) -> None:
        """Makes live audio; `start()` opens `save`.

        Args:
            layout: The layout of the PCM.
            max_seconds: The most seconds of audio, and of time since the first audio; `None` for no bound.
            save: The path for a WAV file of exactly what was sent.

        Raises:
            ConfigError: An option is wrong.
        """
        super().__init__(max_seconds, save)
        self._layout = layout

    def start(self, chunk_seconds: float, sample_rate: Optional[int]) -> None:
        """Opens `save`, and makes the feed; takes the arguments of `LiveAudio.start()`.

        Raises:
            AudioError: The PCM can't be resampled.
            ConfigError: `save` can't be written.
        """
        told = plan(self._layout, sample_rate)
        self.begin(chunk_seconds)
        self._feed.expect(*told)
        self.add = self._feed.add

    def end(self) -> None:
        """Ends the audio."""
        self._feed.end()

    @property
    def is_full(self) -> bool:
        """Whether the caller should add nothing more until some audio was sent."""
        return self._feed.is_full

    @property
    def has_news(self) -> bool:
        """Whether `packets()` would now yield a packet, or end."""
        self._feed.look_at_clock()
        return self._feed.has_packet or self._feed.ended_by is not None

    def packets(self, chunk_seconds: float) -> Iterator[Optional[Packet]]:
        """Yields packets; yields `None` whenever no packet is full yet.

        Args:
            chunk_seconds: Not used: `start()` got it.

        Raises:
            AudioError: The audio has ended, and there was none.
        """
        while True:
            self._feed.look_at_clock()
            packet = self._feed.take()
            if packet is None and self._feed.ended_by is not None:
                if not self._feed.frame_count:
                    raise AudioError("the stream was finished without audio; check what it was fed by")
                return
            yield packet

    def close(self) -> None:
        """Does nothing: `packets()` never waits."""


class Handed:
    """Hands pieces of a container from the thread that pushes to the thread that decodes; a source for `LiveAudio`."""

    def __init__(self) -> None:
        self._pieces: Mailbox[Optional[bytes]] = Mailbox()  # `None` is the end
        self._given = 0  # bytes; written by the thread that pushes
        self._taken = 0  # bytes; written by the thread that decodes

    def audio(
        self,
        max_seconds: Optional[float],
        save: Union[str, os.PathLike[str], None],
        channels: int = 1,
        sample_width: int = 2,
    ) -> LiveAudio:
        """Returns a `LiveAudio` that draws from this; takes the arguments of `LiveAudio`.

        It has no `source_timeout`: the caller, who pushes the audio, notices when none comes.
        """
        return LiveAudio(
            self,
            channels=channels,
            sample_width=sample_width,
            max_seconds=max_seconds,
            save=save,
            source_timeout=math.inf,
        )

    def add(self, data: Data) -> bool:
        """Takes a piece of any size; returns `is_full`: else, the caller has nothing to do, as other threads send."""
        piece = bytes(data)
        self._given += len(piece)
        self._pieces.put(piece)
        return self.is_full

    def end(self) -> None:
        """Ends the audio."""
        self._pieces.put(None)

    def close(self) -> None:
        """Wakes the thread that decodes, so that it ends."""
        self._pieces.put(None)

    @property
    def is_full(self) -> bool:
        """Whether the caller should add nothing more until some of the container was decoded."""
        return self._given - self._taken > _MOST_BYTES

    def __iter__(self) -> Handed:
        return self

    def __next__(self) -> bytes:
        while True:
            with contextlib.suppress(queue.Empty):
                piece = self._pieces.get(PATIENCE)
                break
        if piece is None:
            raise StopIteration
        self._taken += len(piece)
        return piece
