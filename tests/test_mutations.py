"""Damaged audio files end in audio or in an `AudioError`, whatever the damage: a short run that is always the same."""

from __future__ import annotations

import importlib.metadata
import random

import pytest
from mutations import SEEDS, complaint_about, mutate, seed

ROUNDS = 40  # for each seed; scripts/fuzz_audio.py runs as long as one likes
PYAV = int(importlib.metadata.version("av").split(".")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files(name: str) -> None:
    """Decoding a damaged file neither crashes nor hangs, and raises nothing but AudioError."""
    if name.startswith("mpegts") and PYAV < 16:
        pytest.skip("PyAV 15, the last for Python 3.9, crashes on some damaged MPEG-TS")
    rng = random.Random(name)
    for _ in range(ROUNDS):
        data = mutate(rng, seed(name), seed(rng.choice(SEEDS)))
        complaint = complaint_about(data, rng.choice((None, 16000)))
        assert complaint is None, data[:300].hex()


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_are_healthy(name: str) -> None:
    """What the damage begins with is sound audio: else the test above would test little."""
    assert complaint_about(seed(name), None) is None
