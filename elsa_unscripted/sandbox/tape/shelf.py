"""`Shelf`: the exchanges of a tape, which of them were replayed, and which one fits what a client sends; for `player`.

What comes before the audio can't depend on it, so there the tape's order decides: a handshake *reserves* the first
exchange that is left, and a config the first that is left with that config. The audio then tells which exchange it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .format import AUDIO, CLIENT, REFUSED, STEPS_PER_SECOND, End, Said, Taped
from .heard import Heard


class Shelf:
    """All exchanges of a tape, in its order.

    Args:
        exchanges: What is on the tape.
        strict: Whether an exchange is replayed once only. If not, the last one is replayed again when none is left.
    """

    def __init__(self, exchanges: Sequence[Taped], strict: bool) -> None:
        self._all = list(exchanges)
        self._strict = strict
        self._used: set[int] = set()  # positions
        self._reserved: dict[int, object] = {}  # position → for whom

    @property
    def left(self) -> list[Taped]:
        """Those that were not replayed."""
        return [taped for at, taped in enumerate(self._all) if at not in self._used]

    def reserve_first(self, owner: object) -> int | None:
        """Returns the position of the exchange whose beginning a handshake gets; `None` if there is none."""
        accepted = [at for at in self._positions() if self._all[at].end.how != REFUSED]
        return self._reserve(owner, self._positions(), accepted or self._positions())

    def reserve_with(self, owner: object, config: Any) -> int | None:
        """Returns the position of the exchange whose stream id a config gets; `None` if there is none."""
        fitting = [at for at in self._positions() if _answers(self._all[at], config)]
        return self._reserve(owner, fitting, fitting)

    def release(self, owner: object) -> None:
        """Gives back what was reserved for somebody."""
        self._reserved = {at: other for at, other in self._reserved.items() if other is not owner}

    def use(self, position: int) -> None:
        """Notes that an exchange is being replayed."""
        self._used.add(position)

    def give_back(self, position: int) -> None:
        """Notes that it was another one after all."""
        self._used.discard(position)

    def candidates(self, owner: object, config: Any) -> list[int]:
        """Returns the positions of the exchanges with a config, the likeliest first."""
        fitting = [at for at in self._positions() if _answers(self._all[at], config) and self._all[at].frames]
        left = [at for at in fitting if at not in self._used]
        mine = [at for at in left if self._reserved.get(at) is owner]
        free = [at for at in left if at not in self._reserved]
        others = [at for at in left if at in self._reserved and at not in mine]
        again = [] if self._strict else [at for at in reversed(fitting) if at in self._used]
        return [*mine, *free, *others, *again]

    def __getitem__(self, position: int) -> Taped:
        return self._all[position]

    def explain(self, config: Any, heard: Heard) -> str:
        """Returns why nothing on the tape fits: what was asked, and what is nearest."""
        layout = heard.format or (1, 1, 1)
        audio = f"{_length(heard.frames, layout)} of {_layout(layout)}, SHA-256 {heard.sha256[:12]}"
        return f"not on the tape: {audio}, with {_config(config)}; nearest: {self._nearest(config, heard)}"

    def _nearest(self, config: Any, heard: Heard) -> str:
        streams = [taped for taped in self._all if taped.frames]
        same = [taped for taped in streams if taped.sha256 == heard.sha256 and taped.format == heard.format]
        if any(_answers(taped, config) for taped in same):
            whole = any(taped.whole and _answers(taped, config) for taped in same)
            return "the same recording, which was replayed already" if whole else "the same recording, broken off"
        if same:
            return f"the same recording, with {_differences(same[0].config, config)}"
        bytes_alike = [taped for taped in streams if taped.sha256 == heard.sha256]
        if bytes_alike:
            return f"the same bytes as {_layout(bytes_alike[0].format)}"
        alike = max(streams, key=lambda taped: (_common(taped, heard), _answers(taped, config)), default=None)
        if alike is None:
            return "nothing, as no recording is on the tape"
        other = "" if _answers(alike, config) else f", with {_differences(alike.config, config)}"
        length = _length(alike.frames, alike.format or (1, 1, 1))
        common = _common(alike, heard)
        if alike.format != heard.format:
            return f"a recording of {length} of {_layout(alike.format)}{other}"
        if common == 0:
            return f"a recording of {length} that differs from the first half second on{other}"
        return f"a recording of {length} that is the same for {common / STEPS_PER_SECOND:g} s{other}"

    def _positions(self) -> list[int]:
        return list(range(len(self._all)))

    def _reserve(self, owner: object, fitting: list[int], again: list[int]) -> int | None:
        self.release(owner)
        left = [at for at in fitting if at not in self._used]
        free = [at for at in left if at not in self._reserved]
        for at in [*free, *left][:1]:
            self._reserved.setdefault(at, owner)
            return at
        return again[-1] if again and not self._strict else None


def is_refuted(taped: Taped, heard: Heard) -> bool:
    """Returns whether what was heard so far can't be the audio of an exchange."""
    if taped.format != heard.format or (taped.whole and heard.frames > taped.frames):
        return True
    common = min(len(taped.steps), len(heard.steps))
    if list(taped.steps[:common]) != heard.steps[:common]:
        return True
    return any(frames <= heard.frames and heard.hashes.get(frames) != sha256 for frames, sha256 in checkpoints(taped))


def is_the_one(taped: Taped, heard: Heard) -> bool:
    """Returns whether a stream that has come to its end is that of an exchange."""
    if is_refuted(taped, heard):
        return False
    if taped.whole:
        return taped.frames == heard.frames
    # The server had decided, or stopped reading, before the end: after as much audio as was heard now.
    return any(line.cause.after == AUDIO and line.cause.frames <= heard.frames for line in _decisions(taped))


def checkpoints(taped: Taped) -> list[tuple[int, str]]:
    """Returns the numbers of frames of which an exchange has the hash, with the hashes."""
    found = [(line.cause.frames, line.cause.sha256) for line in taped.lines if line.cause.after == AUDIO]
    return [(frames, sha256) for frames, sha256 in [*found, (taped.frames, taped.sha256)] if frames]


def describe(taped: Taped) -> str:
    """Returns an exchange in some words, for those who look for what was not replayed."""
    if taped.end.how == REFUSED:
        return f"a handshake refused with {'HTTP ' + str(taped.end.status) if taped.end.status else 'no HTTP'}"
    audio = f"{_length(taped.frames, taped.format)} of {_layout(taped.format)}" if taped.format else "no audio"
    return f"{audio}, with {_config(taped.config)}"


def _decisions(taped: Taped) -> list[Said | End]:
    return [line for line in taped.lines if line is not taped.end or taped.end.how != CLIENT or taped.end.unread]


def _answers(taped: Taped, config: Any) -> bool:
    # Compared as JSON: to Python, 1 is true.
    return taped.config is not None and _canonical(taped.config) == _canonical(config)


def _common(taped: Taped, heard: Heard) -> int:
    count = 0
    for one, other in zip(taped.steps, heard.steps):
        if one != other:
            break
        count += 1
    return count if taped.format == heard.format else -1


def _differences(taped: Any, asked: Any) -> str:
    if not isinstance(taped, dict) or not isinstance(asked, dict):
        return f"the config {_config(taped)}"
    keys = [
        key
        for key in [*taped, *asked]
        if key not in taped or key not in asked or _canonical(taped[key]) != _canonical(asked[key])
    ]
    return " and ".join(f"{key} {_value(taped[key])}" if key in taped else f"no {key}" for key in dict.fromkeys(keys))


def _canonical(config: Any) -> str:
    return json.dumps(config, sort_keys=True)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else _config(value)


def _config(config: Any) -> str:
    return json.dumps(config)


def _length(frames: int, layout: tuple[int, int, int]) -> str:
    return f"{frames / layout[0]:.1f} s"


def _layout(layout: tuple[int, int, int] | None) -> str:
    if layout is None:
        return "no audio"
    rate, channels, width = layout
    return f"{rate} Hz {({1: 'mono', 2: 'stereo'}).get(channels, f'{channels} channels')} {8 * width} bit"
