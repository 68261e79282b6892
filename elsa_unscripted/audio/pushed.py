"""Audio that its owner pushes: raw PCM in the pusher's own thread, all else by way of a `LiveAudio`. For `stream`."""

from __future__ import annotations

import contextlib
import math
import os
import queue
from typing import Iterator, Optional, Union

from ..exceptions import AudioError
from ..mailbox import Mailbox
from .feed import BUFFER_SECONDS, PATIENCE, Data
from .live import Live, LiveAudio
from .packets import Packet
from .unpacking import plan
from .wav import Layout

__all__ = ["Handed", "PushedAudio"]

_MOST_BYTES = 2**20  # of a container that wait to be decoded


class PushedAudio(Live):
    """Raw PCM that is pushed, and sent, by one thread: it has none of its own, and never waits."""

    def __init__(self, layout: Layout, max_seconds: Optional[float], save: Union[str, os.PathLike[str], None]) -> None:
        """Makes one; `start()` opens `save`.

        Args:
            layout: Of the PCM.
            max_seconds: Bounds the audio, and the time since the first of it; `None` for no bound.
            save: A path that gets the WAV of exactly what was sent.

        Raises:
            ConfigError: An option is wrong.
        """
        super().__init__(max_seconds, save)
        self._layout = layout

    def start(self, chunk_seconds: float, sample_rate: Optional[int]) -> None:
        """Makes it ready; the arguments are those of `LiveAudio.start()`.

        Raises:
            AudioError: It can't be resampled.
            ConfigError: `save` can't be written.
        """
        told = plan(self._layout, sample_rate)
        self.begin(chunk_seconds)
        self._feed.expect(*told)

    def add(self, data: Data) -> None:
        """Takes audio: any number of bytes."""
        self._feed.add(data)

    def end(self) -> None:
        """Takes the end of the audio."""
        self._feed.end()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added until some of it has been sent."""
        return self._feed.backlog > BUFFER_SECONDS

    @property
    def needs_work(self) -> bool:
        """Whether a packet is full, and so something is to be sent."""
        return self._feed.has_packet

    @property
    def has_news(self) -> bool:
        """Whether `packets()` would give more than `None`."""
        self._feed.look_at_clock()
        return self._feed.has_packet or self._feed.ended_by is not None

    def packets(self, chunk_seconds: float) -> Iterator[Optional[Packet]]:
        """Yields packets, and `None` wherever there is none yet.

        Args:
            chunk_seconds: Has been told to `start()`.

        Raises:
            AudioError: It has ended without audio.
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
    """Hands pieces of a container from who pushes them to the thread that decodes them: an iterable for `LiveAudio`."""

    def __init__(self) -> None:
        self._pieces: Mailbox[Optional[bytes]] = Mailbox()  # `None` is the end
        self._given = 0  # bytes; written by who pushes
        self._taken = 0  # bytes; written by who decodes

    def audio(
        self,
        max_seconds: Optional[float],
        save: Union[str, os.PathLike[str], None],
        channels: int = 1,
        sample_width: int = 2,
    ) -> LiveAudio:
        """Returns what is sent of it; the arguments are those of `LiveAudio`.

        Nobody counts its silence: who pushes it is there to notice.
        """
        return LiveAudio(
            self,
            channels=channels,
            sample_width=sample_width,
            max_seconds=max_seconds,
            save=save,
            source_timeout=math.inf,
        )

    def add(self, data: Data) -> None:
        """Takes a piece of any size."""
        piece = bytes(data)
        self._given += len(piece)
        self._pieces.put(piece)

    def end(self) -> None:
        """Takes the end."""
        self._pieces.put(None)

    def close(self) -> None:
        """Lets the thread that decodes end."""
        self._pieces.put(None)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added until some of it has been decoded."""
        return self._given - self._taken > _MOST_BYTES

    @property
    def needs_work(self) -> bool:
        """Whether there is something to wait for."""
        return self.is_full

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
