"""What the container around the audio means: pauses, tracks and channels are sent as a player plays them."""

from __future__ import annotations

import array
import io
import random
from typing import Any, List, Tuple

import pytest
from recordings import SPEECH, WITH_TIME, container, steady, tone, tracks, wav

from elsa_unscripted.audio import container as containers
from elsa_unscripted.audio.gaps import LONGEST_GAP
from elsa_unscripted.audio.recording import Recording, load
from elsa_unscripted.exceptions import AudioError

av = pytest.importorskip("av")


def samples(audio: Recording) -> array.array[int]:
    return array.array("h", bytes(audio.pcm))


def loudest(audio: Recording, start: float, stop: float) -> int:
    rate = audio.format.sample_rate
    return max(map(abs, samples(audio)[round(start * rate) : round(stop * rate)]))


# Pauses


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("kind", ["webm", "matroska", "ogg"])
def test_a_pause_is_silence(kind: str, live: bool) -> None:
    """A gap of 4 s in the time stamps is sent as 4 s of silence, with a warning of how much and where."""
    options = {"live": "1"} if live and kind in ("webm", "matroska") else None
    audio = load(container(kind, steady(1) + steady(1, 5.0), options=options))
    assert audio.seconds == pytest.approx(6.0, abs=0.008)  # the encoder's own delay
    assert loudest(audio, 0.1, 0.9) > 5000
    assert loudest(audio, 1.1, 4.9) < 30
    assert loudest(audio, 5.1, 5.9) > 5000
    (warning,) = audio.warnings
    assert "4.0 s (4 s at 1.0 s) are pauses" in warning


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_a_pause_at_another_rate(rate: int) -> None:
    """After a pause the audio goes on where its time stamp says, whatever it is resampled to."""
    audio = load(
        container("matroska", steady(1) + steady(1, 2.5) + steady(1, 4.0), codec="pcm_s16le"), sample_rate=rate
    )
    assert abs(audio.frame_count - 5 * rate) <= 1


def test_lost_packets_are_silence() -> None:
    """Packets of 20 ms that got lost, here and there, are 20 ms of silence each: nothing moves."""
    rng = random.Random(1)
    kept = [start for start in steady(6) if rng.random() < 0.8 or start in (0.0, 5.98)]
    audio = load(container("webm", kept))
    assert audio.seconds == pytest.approx(6.0, abs=0.02)
    assert "are pauses" in audio.warnings[0]


@pytest.mark.parametrize("kind", WITH_TIME)
def test_healthy_time_stamps_make_no_silence(kind: str) -> None:
    """Time stamps that containers round, and the delay of encoders, are no gaps."""
    audio = load(container(kind, steady(4), rate=44100 if WITH_TIME[kind] == "aac" else 48000))
    assert audio.seconds == pytest.approx(4.0, abs=0.07)
    assert audio.warnings == ()


def test_time_stamps_that_tremble() -> None:
    """A recorder whose packets come now early, now late, pauses no more than by the worst of it, and only once."""
    rng = random.Random(2)
    trembling = sorted(max(0.0, start + rng.uniform(-0.015, 0.015)) for start in steady(6))
    audio = load(container("matroska", trembling, codec="pcm_s16le"))
    assert 6.0 <= audio.seconds <= 6.05


@pytest.mark.slow(everywhere=True)
def test_a_clock_that_goes_wrong_by_a_little() -> None:
    """Audio that falls behind its time stamps by a thousandth, as sound cards do, has no pauses."""
    audio = load(container("matroska", [start * 1.001 for start in steady(20)], codec="pcm_s16le"))
    assert audio.seconds == pytest.approx(20.0)
    assert audio.warnings == ()


@pytest.mark.parametrize("kind", ["webm", "matroska", "mpegts", "ogg"])
def test_a_stream_that_begins_late(kind: str) -> None:
    """The time stamp of the first audio means nothing: recorders and broadcasts begin their clocks anywhere."""
    audio = load(container(kind, steady(2, 1.5)))
    assert audio.seconds == pytest.approx(2.0, abs=0.06)
    assert audio.warnings == ()


@pytest.mark.parametrize("jump", [200.0, 7200.0])
def test_a_broken_time_stamp_makes_no_hours_of_silence(jump: float) -> None:
    """A gap that is too long for a pause that anybody pays for stays out, and a warning tells of it."""
    audio = load(container("matroska", steady(1) + steady(1, jump) + steady(1, jump + 2)))
    assert audio.seconds == pytest.approx(4.0, abs=0.02)
    filled, jumped = audio.warnings
    assert "1.0 s (1 s at 2.0 s) are pauses" in filled
    assert "jump" in jumped
    assert f"{LONGEST_GAP:.0f} s" in jumped


def test_many_pauses_are_bounded() -> None:
    """All silence together stays within the bound and the audio's own length, and the warnings stay short."""
    starts = [start for minute in range(10) for start in steady(0.2, minute * 40.0)]
    audio = load(container("matroska", starts))
    assert 100 < audio.seconds <= LONGEST_GAP + 2 * 2
    assert all(len(warning) < 300 for warning in audio.warnings)


def test_a_clock_that_begins_anew() -> None:
    """Time stamps that go back to the beginning, as in joined Ogg files, lose no audio."""
    file = container("ogg", steady(2))
    audio = load(file + container("ogg", steady(1) + steady(1, 2.0)))
    assert audio.seconds == pytest.approx(5.0, abs=0.05)


@pytest.mark.parametrize("kind", ["webm", "matroska", "mp4", "ogg"])
def test_a_pause_is_no_damage(kind: str) -> None:
    """A file with a pause isn't called cut off: the header's length is that of the audio and the pause."""
    codec = None if kind != "mp4" else "libopus"
    audio = load(container(kind, steady(1) + steady(1, 5.0), codec=codec))
    assert audio.seconds == pytest.approx(6.0, abs=0.03)
    assert ["cut off" in warning for warning in audio.warnings] == [False]


def test_a_pause_and_a_cut() -> None:
    """A file with a pause that is cut off afterwards has both told."""
    file = container("matroska", steady(1) + steady(3, 2.0), codec="pcm_s16le")
    audio = load(file[: len(file) * 3 // 4])
    assert audio.seconds == pytest.approx(4.0, abs=0.1)
    cut, pause = audio.warnings
    assert "cut off" in cut
    assert "are pauses" in pause


# Tracks


has_disposition = pytest.mark.skipif(not hasattr(av.stream, "Disposition"), reason="PyAV 13 can't mark a track")


@has_disposition
@pytest.mark.parametrize("kind", ["matroska", "mp4"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_track(kind: str, default: int) -> None:
    """The track that is marked default is sent; a warning names it, and the others."""
    audio = load(tracks(kind, [1000, 3000, 9000], default))
    assert loudest(audio, 0.5, 1.5) == pytest.approx([1000, 3000, 9000][default], rel=0.2)
    (warning,) = audio.warnings
    assert f"3 audio tracks: track {default + 1} (aac, 16000 Hz, 1 ch., marked default) is sent, not track" in warning


@pytest.mark.parametrize("kind", ["matroska", "mp4", "mpegts"])
@pytest.mark.parametrize("loud", [0, 1, 2])
def test_a_track_with_a_sound(kind: str, loud: int) -> None:
    """A silent track is sent only if there is no other."""
    audio = load(tracks(kind, [9000 if index == loud else 0 for index in range(3)]))
    assert loudest(audio, 0.5, 1.5) > 7000
    assert f"track {loud + 1} (aac" in audio.warnings[0].split(" is sent")[0]


def test_silent_tracks_only() -> None:
    """Where all tracks are silent, one is sent, with a warning of its silence."""
    audio = load(tracks("matroska", [0, 0]))
    assert audio.seconds == pytest.approx(2.0, abs=0.1)
    assert "silent" in audio.warnings[-1]


def test_a_track_that_cannot_be_decoded() -> None:
    """A track in a codec that nobody knows gives way to the next one, be it the default."""
    file = tracks("matroska", [9000, 3000], 0 if hasattr(av.stream, "Disposition") else None)
    at = file.index(b"A_AAC")
    audio = load(file[:at] + b"A_ZZZ" + file[at + 5 :])
    assert loudest(audio, 0.5, 1.5) == pytest.approx(3000, rel=0.2)
    assert "not track 1 (" in audio.warnings[0]


def test_no_track_can_be_decoded() -> None:
    """Where no track can be decoded, it is an error, as with one."""
    with pytest.raises(AudioError, match="codec"):
        load(tracks("matroska", [9000, 3000]).replace(b"A_AAC", b"A_ZZZ"))


def test_tells_once_that_there_is_audio() -> None:
    """`recognized` is called once, however many tracks and channels are tried."""
    calls: List[int] = []
    load(tracks("matroska", [0, 0, 9000]), recognized=lambda: calls.append(1))
    assert calls == [1]


# Channels


def stereo(kind: str, codec: str, gains: Tuple[float, ...], layout: str = "stereo") -> bytes:
    return container(kind, steady(2), codec=codec, rate=48000, layout=layout, channels=gains)


@pytest.mark.parametrize(("kind", "codec"), [("flac", "flac"), ("mov", "pcm_s16le"), ("matroska", "pcm_s16le")])
@pytest.mark.parametrize("gains", [(1.0, -1.0), (0.9, -1.0), (-1.0, 0.85)])
def test_channels_of_opposite_phase(kind: str, codec: str, gains: Tuple[float, float]) -> None:
    """Where a mix would be all but silent, the louder channel is sent alone, with a warning."""
    audio = load(stereo(kind, codec, gains))
    assert loudest(audio, 0.2, 1.8) == pytest.approx(9000, rel=0.03)
    (warning,) = audio.warnings
    assert "opposite phase" in warning
    assert f"channel {2 if abs(gains[1]) > abs(gains[0]) else 1} of 2" in warning


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.5, 0.5), (1.0, -0.5), (0.0, 0.0)])
def test_other_channels_are_mixed(gains: Tuple[float, float]) -> None:
    """Channels that survive a mix are mixed, without a word; silence is no case of opposite phase."""
    audio = load(stereo("flac", "flac", gains))
    assert loudest(audio, 0.2, 1.8) == pytest.approx(9000 * abs(sum(gains)) / 2, rel=0.03, abs=2)
    assert [warning for warning in audio.warnings if "channel" in warning] == []


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 12])
def test_resampling_channels_of_opposite_phase(channels: int) -> None:
    """The same holds where a WAV of two or more channels is resampled."""
    pcm = array.array("h", [value * (1, -1, 0)[min(c, 2)] for value in tone(32000) for c in range(channels)])
    audio = load(wav(pcm.tobytes(), 16000, channels), sample_rate=8000)
    assert loudest(audio, 0.2, 1.8) == pytest.approx(9000, rel=0.03)
    assert f"channel 1 of {channels}" in audio.warnings[0]


@pytest.mark.parametrize("channels", [2, 3, 5, 6, 8])
def test_a_voice_on_one_channel_of_many(channels: int) -> None:
    """A voice on one channel, the others silent, is mixed as ever, but where the mix leaves that channel out (LFE)."""
    for voice in range(channels):
        pcm = array.array("h", [value if c == voice else 0 for value in tone(16000) for c in range(channels)])
        audio = load(wav(pcm.tobytes(), 16000, channels), sample_rate=8000)
        assert loudest(audio, 0.2, 0.8) > 500
        assert bool(audio.warnings) == ((channels, voice) in [(3, 2), (6, 3), (8, 3)])


def test_speech_in_stereo() -> None:
    """Real speech, a little later on one channel than on the other, as two microphones hear it, is mixed."""
    left = array.array("h", SPEECH[:128000])
    right = array.array("h", bytes(16) + SPEECH[: 128000 - 16])
    both = array.array("h", [value for pair in zip(left, right) for value in pair])
    assert load(wav(both.tobytes(), 16000, 2), sample_rate=8000).warnings == ()


# As it comes


class Pipe:
    """Has `read(n)` only, and gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 500))


@pytest.mark.parametrize("kind", ["webm", "matroska", "ogg"])
def test_decoding_as_it_comes(kind: str) -> None:
    """Read in pieces that can't be sought, a container gives what it gives as a whole, its pauses included."""
    file = container(kind, steady(1) + steady(2, 3.0), options={"live": "1"} if kind == "webm" else None)
    decoder = containers.Decoder(av, Pipe(file), 16000, "the pipe")
    pieces: List[Any] = list(decoder.pieces())
    assert all(pieces)
    assert b"".join(pieces) == load(file).pcm
    assert len(decoder.warnings()) == 1
