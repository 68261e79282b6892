"""Live PCM cut into packets as it comes: `Feed`, without a clock or a thread; and the WAV file of what was sent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import full_disk
from hypothesis import given
from hypothesis import strategies as st

from elsa_unscripted import ConfigError
from elsa_unscripted.audio.decoding import widen
from elsa_unscripted.audio.feed import Feed
from elsa_unscripted.audio.growing import GrowingWav
from elsa_unscripted.audio.packets import Format, Packet, cut
from elsa_unscripted.audio.recording import load
from elsa_unscripted.audio.unpacking import plan, raw_format

MONO = Format(1000, 1, 2)
HEADER = 44


def taken(feed: Feed) -> Iterator[Packet]:
    while feed.has_packet:
        packet = feed.take()
        assert packet is not None
        yield packet


formats = st.builds(Format, st.integers(1, 400), st.integers(1, 3), st.sampled_from([1, 2, 4]))


@given(
    pieces=st.lists(st.binary(max_size=300), max_size=30),
    audio_format=formats,
    chunk_seconds=st.sampled_from([0.001, 0.03, 0.1, 0.5, 1.7]),
)
def test_whatever_the_pieces_the_packets_are_those_of_a_recording(
    pieces: list[bytes], audio_format: Format, chunk_seconds: float
) -> None:
    """The packets are byte for byte those that a recording of the same PCM has, each given as soon as it is full."""
    feed = Feed(chunk_seconds, None)
    feed.expect(audio_format)
    whole = b"".join(pieces)
    pcm = whole[: len(whole) - len(whole) % audio_format.frame_width]
    wanted = list(cut(pcm, audio_format, chunk_seconds))
    found: list[Packet] = []
    size = 0
    for piece in pieces:
        feed.add(piece)
        size += len(piece)
        found += taken(feed)
        end, due = 0, 0
        for packet in wanted[:-1]:  # the last one may be short, and then comes at the end only
            end += len(packet.data) - HEADER
            due += end <= size
        assert len(found) >= due
    feed.end()
    found += taken(feed)
    assert found == wanted
    assert feed.frame_count == len(pcm) // audio_format.frame_width
    assert bool(feed.warnings) == (len(pcm) < len(whole))
    assert feed.ended_by == "source"


@given(pieces=st.lists(st.binary(max_size=40), max_size=20), channels=st.integers(1, 3))
def test_24_bit_is_widened_whatever_the_pieces(pieces: list[bytes], channels: int) -> None:
    """Samples of 3 bytes, cut anywhere, become those of 4 bytes that a recording gets."""
    feed = Feed(0.01, None)
    feed.expect(*plan(raw_format(1000, channels, 3), None))
    for piece in pieces:
        feed.add(piece)
    feed.end()
    whole = b"".join(pieces)
    sent = b"".join(packet.data[HEADER:] for packet in taken(feed))
    assert sent == widen(whole[: len(whole) - len(whole) % (3 * channels)])


@pytest.mark.parametrize(("more", "ended_by"), [(b"", "source"), (b"\0", "limit"), (bytes(500), "limit")])
@pytest.mark.parametrize("piece", [1, 2, 7, 2000])
def test_limit_by_audio(more: bytes, ended_by: str, piece: int) -> None:
    """No frame beyond `max_seconds` is given; a source that ends just there has ended by itself."""
    feed = Feed(0.4, 1.0)
    feed.expect(MONO)
    whole = bytes(range(200)) * 10 + more
    for at in range(0, len(whole), piece):
        feed.add(whole[at : at + piece])
    feed.end()
    packets = list(taken(feed))
    assert [packet.frames for packet in packets] == [400, 400, 200]
    assert b"".join(packet.data[HEADER:] for packet in packets) == whole[:2000]
    assert feed.ended_by == ended_by
    assert feed.warnings == []


@pytest.mark.parametrize("tail", [b"", b"tail"])
def test_limit_of_audio_that_is_converted(tail: bytes) -> None:
    """A converter that has kept something back gives no frame beyond the limit either."""
    feed = Feed(0.5, 0.5)
    feed.expect(MONO, 2, lambda data: data or tail)
    feed.add(bytes(2 * 500))
    feed.end()
    assert (feed.frame_count, feed.ended_by) == (500, "source")
    assert [packet.frames for packet in taken(feed)] == [500]


def test_what_a_full_feed_holds() -> None:
    """The backlog is what was given and not taken, in seconds, what isn't in a packet yet included."""
    feed = Feed(0.5, None)
    assert feed.backlog == 0.0
    feed.expect(MONO)
    feed.add(bytes(2 * 1200))
    assert feed.backlog == 1.2
    feed.take()
    assert feed.backlog == 0.7


# `save=`


def test_the_file_is_whole_after_each_packet(tmp_path: Path) -> None:
    """What was sent so far can be read as a WAV at any time, also by somebody else while it is being written."""
    path = tmp_path / "speech.wav"
    path.write_bytes(b"x" * 100_000)
    pcm = os.urandom(5000)
    wav = GrowingWav(path)
    assert path.read_bytes() == b"x" * 100_000  # an older one stays until there is something to write
    sent = 0
    for packet in cut(pcm, MONO, 0.5):
        assert wav.add(packet.data, MONO) is None
        sent += packet.frames
        found = load(path)
        assert (bytes(found.pcm), found.format, found.warnings) == (pcm[: 2 * sent], MONO, ())
    wav.close()
    assert bytes(load(path).pcm) == pcm


def test_a_file_that_got_nothing_is_not_left(tmp_path: Path) -> None:
    """Where nothing was sent, no new file appears, and an older one is as it was."""
    new, old = tmp_path / "new.wav", tmp_path / "old.wav"
    old.write_bytes(b"old")
    for path in (new, old):
        wav = GrowingWav(path)
        wav.close()
        wav.close()
    assert not new.exists()
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("path", ["", "missing/speech.wav", 7.5, "nul\0", "."])
def test_path_that_cannot_be_written(path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything else happens, and says which option is meant."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="save"):
        GrowingWav(path)  # type: ignore[arg-type]


def test_path_of_a_pipe(tmp_path: Path) -> None:
    """A pipe, which would block for ever, is no place for a file whose header is corrected."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe"):
        GrowingWav(tmp_path / "pipe")


@pytest.mark.slow(everywhere=True)
@pytest.mark.forks  # in a process of its own, for its limit
def test_disk_that_fills_up(tmp_path: Path) -> None:
    """What could be written is a whole WAV; the rest is given up, and why is told once."""
    path = tmp_path / "speech.wav"
    packets = list(cut(bytes(range(250)) * 40, MONO, 0.5))
    wav = GrowingWav(path)
    with full_disk(3500):
        told = [wav.add(packet.data, MONO) for packet in packets]
    with contextlib.suppress(OSError):
        wav.close()
    assert told[:3] == [None, None, None]
    assert told[3] is not None
    assert "1.5 s" in told[3]
    assert set(told[4:]) == {None}
    assert bytes(load(path).pcm) == (bytes(range(250)) * 40)[:3000]
    assert load(path).warnings == ()
