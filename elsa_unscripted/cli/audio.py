"""The audio that `score` is given: a file, standard input, or what comes through a pipe, which is sent as it comes."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any, Callable, Dict, Optional

from ..audio.feed import checked_limit
from ..audio.live import SOURCE_TIMEOUT, LiveAudio
from ..audio.recording import read_file
from ..audio.unpacking import raw_format
from ..audio.wav import Layout, header
from ..exceptions import AudioError, ConfigError
from ..exchange.client import AudioSource
from ..log import logger
from .inflow import Inflow, find_inflow
from .options import LONGEST, number, stdin

__all__ = ["find_audio"]

MOST_RAW_BYTES = 2**32 - 2**16  # of raw PCM in a file: what a WAV header can tell
DEFAULT_LAYOUT = ("1", "16")  # channels and bits of raw PCM, if --pcm doesn't tell them

Tell = Callable[[str], object]


def find_audio(options: argparse.Namespace, stack: contextlib.ExitStack) -> Callable[[Tell], AudioSource]:
    """Opens the audio that a command line names, without waiting for it.

    Args:
        options: The command line.
        stack: Closes what is opened.

    Returns:
        A function that waits for the first audio, and returns what `Client.score()` takes. It gets a function that
        tells people what is being waited for.

    Raises:
        ConfigError: An option is wrong, or standard input is a terminal.
        AudioError: The audio can't be opened.
    """
    layout = None if options.pcm is None else _layout(options.pcm)
    limit, patience = None, SOURCE_TIMEOUT
    if options.max_seconds is not None:
        limit = checked_limit(
            number("--max-seconds", options.max_seconds, float, "a number of seconds above 0", LONGEST)
        )
    if options.source_timeout is not None:
        patience = number("--source-timeout", options.source_timeout, float, "a number of seconds above 0")
    inflow = find_inflow(options.audio, patience)
    if inflow is None:
        if limit is not None:
            raise ConfigError("--max-seconds is for audio that comes through a pipe: a recording is sent whole")
        return lambda _: _recording(options.audio, layout)
    stack.callback(inflow.close)
    found = inflow
    return lambda tell: _as_it_comes(found, layout, limit, patience, tell)


def _layout(text: str) -> Layout:
    """Returns the layout of raw PCM that `--pcm` tells."""
    given = text.split(":")
    values = [*given, *DEFAULT_LAYOUT[len(given) - 1 :]] if len(given) < 3 else given
    if len(values) == 3 and all(value.isascii() and value.isdigit() and len(value) < 20 for value in values):
        rate, channels, bits = map(int, values)
        if bits in (8, 16, 24, 32):
            try:
                return raw_format(rate, channels, bits // 8)
            except ConfigError as error:
                raise ConfigError(f"--pcm {text}: {error}") from error
    raise ConfigError(
        f"--pcm must be RATE[:CHANNELS[:BITS]], such as 16000 or 48000:2:24, with 8, 16, 24 or 32 bits, not {text!r}"
    )


def _recording(path: str, layout: Optional[Layout]) -> AudioSource:
    if layout is None:
        return stdin() if path == "-" else path
    pcm = stdin().read() if path == "-" else read_file(path)
    if len(pcm) > MOST_RAW_BYTES:
        raise AudioError("a recording of raw PCM has 4 GiB at most: cut it up")
    return header(layout.sample_rate, layout.channels, layout.width, len(pcm)) + pcm


def _as_it_comes(
    inflow: Inflow, layout: Optional[Layout], limit: Optional[float], patience: float, tell: Tell
) -> AudioSource:
    tell("waiting for audio")
    if layout is not None:
        inflow.wait()
    elif not inflow.comes_decodable():
        if limit is not None:
            raise ConfigError(f"{inflow.name} can't be decoded as it comes: leave out --max-seconds, or send WAV")
        logger.info("%s can't be decoded as it comes: it is read to its end, and sent as a recording", inflow.name)
        tell("reading to the end")
        return inflow.read_all()
    tell("connecting")
    raw: Dict[str, Any] = {}
    if layout is not None:
        raw = {"sample_rate": layout.sample_rate, "channels": layout.channels, "sample_width": layout.width}
    audio = LiveAudio(inflow, **raw, max_seconds=limit, source_timeout=patience)
    audio.name, audio.timeout_option = inflow.name, "--source-timeout"
    return audio
