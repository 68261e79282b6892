"""Chooses, by a sandbox's options, who holds its connections: a `Recorder`, a `Player`, or its scenarios."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Union

from .dial import SERVICE, parse_upstream
from .heard import Finished, Opened
from .player import Player
from .recorder import Recorder

NONE, ONCE, ALL = "none", "once", "all"
MODES = {
    NONE: "replay alone",
    ONCE: "record if there is no tape, else replay",
    ALL: "record anew, in place of what is on the tape",
}

PathLike = Union[str, "os.PathLike[str]"]


def put_in(
    *,
    record: PathLike | None,
    replay: PathLike | None,
    upstream: str | None,
    mode: str | None,
    keep_audio: bool,
    strict: bool,
    speed: float | None,
    opened: Opened,
    finished: Finished,
) -> Recorder | Player | None:
    """Returns who holds the connections; `None` if there is no tape.

    Args:
        record: The tape to record on.
        replay: The tape to replay.
        upstream: The real service's URL; the vendor's if it isn't given.
        mode: One of `MODES`; `None` is to append with `record`, and `none` with `replay`.
        keep_audio: As `Recorder` has it.
        strict: As `Player` has it.
        speed: As `Player` has it.
        opened: As both have it.
        finished: As both have it.

    Raises:
        ValueError: The options contradict each other, or the tape can't be used.
    """
    if record is None and replay is None:
        if upstream is not None or mode is not None or keep_audio or strict or speed is not None:
            raise ValueError("upstream, mode, keep_audio, strict and speed go with a tape: give record or replay")
        return None
    if record is not None and replay is not None:
        raise ValueError("record and replay exclude each other; to record only what is missing, give the mode 'once'")
    if mode is not None and mode not in MODES:
        raise ValueError(f"the mode must be one of {', '.join(MODES)}, not {mode!r}")
    if record is not None and mode == NONE:
        raise ValueError("the mode 'none' replays alone: give replay in place of record")
    if speed is not None and not (speed > 0 and math.isfinite(speed)):
        raise ValueError("speed must be a number above 0, or None for at once")
    path = Path(record if record is not None else replay or "")
    service = parse_upstream(upstream or SERVICE)
    is_missing = not path.exists() or (path.is_file() and path.stat().st_size == 0)
    if (record is not None and mode is None) or mode == ALL or (mode == ONCE and is_missing):
        return Recorder(path, service, keep_audio, mode == ALL, opened, finished)
    return Player(path, strict, speed, opened, finished)
