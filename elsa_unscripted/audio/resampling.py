"""`Resampler`: does what `av.AudioResampler` does. For `container` and `unpacking`.

Why not that one: after each frame, it asks FFmpeg for another one, until an exception says that there is none. PyAV is
written in Cython, which runs some Python code of its own while an exception passes. If a signal handler of the caller
raises in there, Cython drops what it raised, and the caller's time limit is lost. Most of the time that resampling
takes lies just before that moment: of 250 time limits, 29 were lost.
"""

from __future__ import annotations

from typing import Any, Iterator

from ..signals import raised_by_handler

__all__ = ["Resampler"]


class Resampler:
    """Converts frames of one shape to 16 bit, at another rate, and to mono, if asked for."""

    def __init__(self, av: Any, rate: int, *, mono: bool) -> None:
        """Makes a resampler; the first frame tells what it converts from.

        Args:
            av: The module of PyAV.
            rate: The sample rate of what it gives, in Hz.
            mono: Whether to mix the channels to one.
        """
        self._av = av
        self._rate = rate
        self._mono = mono
        self._graph: Any = None
        self._has_begun = False

    def resample(self, frame: Any) -> Iterator[Any]:
        """Yields what one frame becomes, at most one frame; for `None`, after the last frame, what was kept back."""
        if not self._has_begun and frame is not None:
            self._begin(frame)
        if self._graph is None:
            if frame is not None:
                yield frame
            return
        self._graph.push(frame)
        try:
            # FFmpeg's filter makes one frame of each; of some first ones none, if they are short.
            yield self._graph.pull()
            while frame is None:
                yield self._graph.pull()
        except (BlockingIOError, EOFError) as error:
            if raised_by_handler(error):
                raise

    def _begin(self, frame: Any) -> None:
        self._has_begun = True
        layout = "mono" if self._mono else frame.layout.name
        if (frame.format.name, frame.layout.name, frame.sample_rate) == ("s16", layout, self._rate):
            return
        graph = self._av.filter.Graph()
        if hasattr(graph, "threads"):  # from PyAV 19 on; else FFmpeg starts threads, which end with the graph
            graph.threads = 1
        given = {"sample_rate": str(frame.sample_rate), "sample_fmt": frame.format.name}
        if frame.time_base is not None:
            given["time_base"] = str(frame.time_base)
        wanted = {"sample_rates": str(self._rate), "sample_fmts": "s16", "channel_layouts": layout}
        source = graph.add("abuffer", channel_layout=frame.layout.name, **given)
        converter, sink = graph.add("aformat", **wanted), graph.add("abuffersink")
        source.link_to(converter)
        converter.link_to(sink)
        graph.configure()
        self._graph = graph
