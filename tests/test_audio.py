"""What `audio.load()` promises for every kind of source, and `Recording.packets()` for every kind of audio."""

from __future__ import annotations

import array
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import unicodedata
import wave
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recordings import AUSTEN, ENCODINGS, FLOAT_GUID, PCM_GUID, SPEECH, chunk, encoded, layout, wav

import elsa_unscripted
from elsa_unscripted.audio.level import is_silent
from elsa_unscripted.audio.packets import Format
from elsa_unscripted.audio.recording import Recording, load, seconds_in
from elsa_unscripted.exceptions import AudioError

DATA = Path(__file__).parent / "data"
WIRE = json.loads((DATA / "wire" / "transcripts.json").read_text(encoding="utf-8"))


def unpack(packet: bytes) -> Tuple[Any, bytes]:
    with wave.open(io.BytesIO(packet)) as reader:
        return reader.getparams(), reader.readframes(reader.getnframes())


def run(code: str, **environment: str) -> str:
    """Runs code in a fresh interpreter where warnings are errors; returns what it prints."""
    command = [sys.executable, "-W", "error", "-c", "from elsa_unscripted.audio.recording import load\n" + code]
    return subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True, timeout=60
    ).stdout


WITHOUT_PYAV = "import sys; sys.modules['av'] = None\n"


# Packets


@pytest.mark.parametrize("name", WIRE)
def test_packets_are_the_references(name: str) -> None:
    """Every packet of every recorded file is the reference client's, byte for byte."""
    audio = load(DATA / "wire" / name)
    packets = list(audio.packets(0.5))
    expected = [frame["sha256"] for frame in WIRE[name]["frames"] if frame["kind"] == "binary"]
    assert [hashlib.sha256(packet.data).hexdigest() for packet in packets] == expected
    assert len(packets) == audio.packet_count(0.5)
    assert audio.warnings == ()


@pytest.mark.slow
@settings(deadline=None)
@given(
    bits=st.sampled_from([8, 16, 24, 32]),
    channels=st.integers(1, 5),
    rate=st.one_of(st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]), st.integers(1, 400_000)),
    frames=st.integers(1, 700),
    chunk_seconds=st.one_of(st.sampled_from([0.1, 0.5, 1 / 3, 1, 1e-9, 1e6]), st.floats(1e-5, 2.0)),
    data=st.randoms(use_true_random=False),
)
@example(bits=16, channels=1, rate=10, frames=700, chunk_seconds=0.3, data=__import__("random").Random(0))
def test_packets_joined_are_the_decoded_pcm(
    bits: int, channels: int, rate: int, frames: int, chunk_seconds: float, data: Any
) -> None:
    """Joined, the packets are what pydub decodes; each is a WAV that `wave` reads, cut at the exact frame."""
    from pydub import AudioSegment

    file = wav(bytes(data.getrandbits(8) for _ in range(frames * channels * bits // 8)), rate, channels, bits)
    audio = load(file)
    expected = AudioSegment(data=file).raw_data
    if bits == 8:
        expected = bytes(value ^ 0x80 for value in expected)
    packets = [unpack(packet.data) for packet in audio.packets(chunk_seconds)]
    assert b"".join(pcm for _, pcm in packets) == expected == audio.pcm
    assert audio.packet_count(chunk_seconds) == len(packets)
    width = {8: 1, 16: 2, 24: 4, 32: 4}[bits]
    step = max(Decimal(str(chunk_seconds)) * rate, Decimal(1))
    for index, (parameters, _) in enumerate(packets):
        assert parameters[:3] == (channels, width, rate)
        start, stop = (int((k * step).to_integral_value(ROUND_FLOOR)) for k in (index, index + 1))
        assert parameters[3] == min(stop, frames) - start > 0


def test_a_packet_is_made_when_it_is_asked_for() -> None:
    """A packet costs nothing before its turn: an hour of audio is not held twice."""
    audio = Recording(bytes(32_000_000), Format(16000, 1, 2))
    tracemalloc.start()
    try:
        for _ in audio.packets(0.5):
            pass
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_audio_knows_its_measures() -> None:
    """Frame width is in bytes, frame count in frames, seconds in seconds; `repr` doesn't show the PCM."""
    audio = Recording(bytes(6000), Format(1000, 3, 2))
    assert (audio.format.frame_width, audio.frame_count, audio.seconds) == (6, 1000, 1.0)
    assert "pcm" not in repr(audio)


# WAV


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_loading_holds_little_more_than_file_and_pcm(bits: int, tmp_path: Path) -> None:
    """The peak of memory is at most 2.2 times the PCM."""
    load(wav(b"\1" * 120))  # imports pydub
    path = tmp_path / "long.wav"
    path.write_bytes(wav(bytes(range(1, 241)) * 50_000, bits=bits))
    tracemalloc.start()
    try:
        audio = load(path)
        assert tracemalloc.get_traced_memory()[1] <= 2.2 * len(audio.pcm)
    finally:
        tracemalloc.stop()


def test_a_wav_is_known_by_its_content(tmp_path: Path) -> None:
    """A WAV may have any name."""
    path = tmp_path / "speech.mp3"
    shutil.copy(AUSTEN, path)
    assert load(path).pcm == SPEECH


@pytest.mark.parametrize("padded", [True, False])
def test_odd_chunks_before_the_audio(padded: bool) -> None:
    """Chunks of odd length are skipped, with the pad byte that the format asks for or without it."""
    odd = chunk(b"note", b"odd") + (b"\0" if padded else b"")
    assert load(wav(SPEECH, before=odd)).pcm == SPEECH


def test_many_chunks_before_the_audio() -> None:
    """The audio is found behind any number of chunks (pydub looks at ten)."""
    audio = load(wav(SPEECH, before=chunk(b"LIST", b"INFO") * 30))
    assert (audio.pcm, audio.warnings) == (SPEECH, ())


@pytest.mark.parametrize("tail", [b"\0" + chunk(b"LIST", b"INFOx") + b"\0", chunk(b"id3 ", b"odd"), b"\0", b""])
def test_proper_chunks_behind_the_audio(tail: bytes) -> None:
    """Metadata behind the audio is neither audio nor worth a warning."""
    audio = load(wav(b"\1\2\3", bits=8, after=tail))
    assert (audio.pcm, audio.warnings) == (b"\1\2\3", ())


def test_every_cut_of_a_wav(caplog: pytest.LogCaptureFixture) -> None:
    """A WAV cut anywhere gives its whole frames and a warning, or an error if nothing is left; the log tells too."""
    pcm = bytes(range(1, 25))
    whole = wav(pcm, channels=2, before=chunk(b"LIST", b"INFO"))
    first = len(whole) - len(pcm) + 4
    for end in range(len(whole)):
        caplog.clear()
        if end < first:
            with pytest.raises(AudioError):
                load(whole[:end])
            continue
        audio = load(whole[:end])
        assert audio.pcm == pcm[: (end - first + 4) // 4 * 4]
        assert "cut off" in audio.warnings[0]
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == list(audio.warnings)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_length_that_means_unknown(size: int) -> None:
    """What a writer to a pipe leaves as the length means all there is, without a warning."""
    audio = load(wav(SPEECH, size=size))
    assert (audio.pcm, audio.warnings) == (SPEECH, ())


@pytest.mark.parametrize(("tag", "channels", "bits"), [(1, 1, 24), (1, 2, 24), (1, 6, 16), (3, 1, 32), (7, 1, 8)])
@pytest.mark.parametrize("promise", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFF00, 0x7FFFF000])
def test_a_length_that_means_unknown_in_whole_frames(tag: int, channels: int, bits: int, promise: int) -> None:
    """Who rounds such a length down to whole frames, or tells it in a `fact` chunk as well, means the same."""
    if tag != 1:
        pytest.importorskip("av")
    width = channels * bits // 8
    fact = b"" if tag == 1 else chunk(b"fact", struct.pack("<I", promise // width))
    pcm = SPEECH[: 96000 // width * width]
    audio = load(wav(pcm, form=layout(tag, channels, 16000, bits), size=promise // width * width, before=fact))
    assert audio.seconds == pytest.approx(len(pcm) / width / 16000)
    assert audio.warnings == ()


@pytest.mark.parametrize(("kind", "claim"), [("aiff", 0x7F000000), ("au", 0xFFFFFFFF), ("au", 0x7FFFFFFF)])
def test_other_formats_of_unknown_length(kind: str, claim: int) -> None:
    """The same holds for AIFF, as SoX writes it to a pipe, and for AU."""
    pytest.importorskip("av")
    big = array.array("h", SPEECH[:64000])
    big.byteswap()
    if kind == "au":
        file = b".snd" + struct.pack(">5I", 24, claim, 3, 16000, 1)
    else:
        common = struct.pack(">hIhHQH", 1, claim // 2, 16, 16383 + 13, 16000 << 50, 0)[:18]
        file = b"FORM" + struct.pack(">I", claim + 46) + b"AIFFCOMM" + struct.pack(">I", 18) + common
        file += b"SSND" + struct.pack(">III", claim + 8, 0, 0)
    audio = load(file + big.tobytes())
    assert audio.pcm == SPEECH[:64000]
    assert audio.warnings == ()


@pytest.mark.parametrize(("tag", "bits"), [(3, 32), (7, 8)])
def test_other_encodings_in_wav_cut_short(tag: int, bits: int) -> None:
    """A float or µ-law WAV that is cut off is told like one of PCM."""
    pytest.importorskip("av")
    audio = load(wav(SPEECH[:64000], form=layout(tag, 1, 16000, bits))[:-16000])
    assert audio.seconds == pytest.approx(48000 / (bits // 8) / 16000)
    assert ["cut off" in warning for warning in audio.warnings] == [True]


def test_a_recorder_that_never_finished() -> None:
    """A length of zero before audio is an unfinished recording: all is sent, with a warning."""
    audio = load(wav(SPEECH, size=0))
    assert audio.pcm == SPEECH
    assert "never finished" in audio.warnings[0]


@pytest.mark.parametrize("rest", [SPEECH[2000:4000], chunk(b"data", SPEECH[2000:]), chunk(b"LIST", b"INFO", 99)])
def test_a_length_that_is_too_small(rest: bytes) -> None:
    """What lies behind the audio and isn't metadata is left out, as in the reference, with a warning that counts it."""
    audio = load(wav(SPEECH[:2000], after=rest))
    assert audio.pcm == SPEECH[:2000]
    assert f"the {len(rest)} bytes behind" in audio.warnings[0]


def test_an_incomplete_last_frame() -> None:
    """Only whole frames are sent; what is left out is told."""
    audio = load(wav(SPEECH[:4003], channels=2, after=b"\0"))
    assert audio.pcm == SPEECH[:4000]
    assert "3 bytes are left out" in audio.warnings[0]


@pytest.mark.parametrize(
    ("channels", "bits", "align"),
    [(1, 16, align) for align in (0, 1, 3, 4)]
    + [(2, 16, 1), (2, 16, 2), (6, 16, 2), (1, 8, 0), (1, 8, 2)]
    + [(1, 24, 0), (1, 24, 1), (1, 24, 6), (2, 24, 3), (2, 24, 4), (1, 32, 2), (1, 32, 3)],
)
@pytest.mark.parametrize("extensible", [True, False])
def test_a_frame_width_that_contradicts_the_bits(channels: int, bits: int, align: int, extensible: bool) -> None:
    """What a header says twice is worked out from channels and bits, as players do, with a warning."""
    form = layout(1, channels, 16000, bits, align)
    if extensible:
        form = layout(0xFFFE, channels, 16000, bits, align) + struct.pack("<HHI", 22, bits, 0) + PCM_GUID
    audio = load(wav(SPEECH[:48000], channels=channels, bits=bits, form=form))
    assert audio.pcm == load(wav(SPEECH[:48000], channels=channels, bits=bits)).pcm
    (warning,) = audio.warnings
    assert f"{align} bytes in a frame" in warning
    assert f"{channels} channel(s) of {bits} bit at 16000 Hz" in warning


def test_a_byte_rate_that_contradicts_the_rest() -> None:
    """So is a wrong number of bytes in a second; nothing depends on it."""
    audio = load(wav(SPEECH, form=struct.pack("<HHIIHH", 1, 1, 16000, 16000, 2, 16)))
    assert audio.pcm == SPEECH
    assert "16000 in a second" in audio.warnings[0]


@pytest.mark.parametrize("form", [layout(1, 2, 16000, 0, align=4), layout(1, 2, 16000, 16)[:14]])
def test_a_header_without_bits(form: bytes) -> None:
    """Bits that a header doesn't tell follow from its frames."""
    audio = load(wav(SPEECH, form=form))
    assert audio.pcm == SPEECH
    assert (audio.format.channels, audio.format.sample_width) == (2, 2)
    assert "16 fit the rest" in audio.warnings[0]


def in_4_bytes(extensible: bool) -> bytes:
    if not extensible:
        return layout(1, 1, 16000, 24, align=4)
    return layout(0xFFFE, 1, 16000, 24, align=4) + struct.pack("<HHI", 22, 24, 0) + PCM_GUID


@pytest.mark.parametrize("extensible", [True, False])
@pytest.mark.parametrize("high", [True, False])
def test_24_bits_in_4_bytes(high: bool, extensible: bool) -> None:
    """Where 24 bit lie in 4 bytes, the samples themselves say in which three; a warning tells of it."""
    packed = SPEECH[1:48001]
    filled = bytearray(4 * 16000)
    for place in range(3):
        filled[place + high :: 4] = packed[place::3]
    if not high:
        filled[3::4] = bytes(0xFF if byte > 0x7F else 0 for byte in packed[2::3])
    audio = load(wav(bytes(filled), form=in_4_bytes(extensible)))
    expected = bytes(filled) if high else load(wav(packed, bits=24)).pcm
    assert audio.pcm == expected
    assert audio.format == Format(16000, 1, 4)
    assert "24 bit lie in 4 bytes" in audio.warnings[0]
    assert seconds_in(wav(bytes(filled), form=in_4_bytes(extensible))) == 1.0


@pytest.mark.parametrize("extensible", [True, False])
def test_floats_called_24_bits(extensible: bool) -> None:
    """Where they don't, they are floats of 24 bit, as Adobe writes them: left to PyAV, or an error that names it."""
    samples = struct.unpack("<16000h", SPEECH[:32000])
    file = wav(struct.pack("<16000f", *(sample * 256.0 for sample in samples)), form=in_4_bytes(extensible))
    code = "try: load(bytes.fromhex(%r))\nexcept Exception as error: print(type(error).__name__, error)"
    printed = run(WITHOUT_PYAV + code % file[:4000].hex(), PATH="")
    assert printed.startswith("AudioError the given bytes is not a plain PCM WAV, and nothing installed decodes it")
    pytest.importorskip("av")
    audio = load(file)
    decoded = struct.unpack("<16000h", audio.pcm)
    assert max(abs(a - b) for a, b in zip(samples, decoded)) <= 1
    assert audio.warnings == ()


@pytest.mark.parametrize(("bits", "width"), [(12, 2), (20, 3)])
def test_bits_that_fill_no_bytes(bits: int, width: int) -> None:
    """Samples of 12 or 20 bit, which stand at the upper end of 2 or 3 bytes, are decoded by PyAV."""
    pytest.importorskip("av")
    pcm = SPEECH[:32000] if width == 2 else bytes(3 * 16000)
    if width == 3:
        wide = bytearray(pcm)
        wide[1::3], wide[2::3] = SPEECH[0:32000:2], SPEECH[1:32000:2]
        pcm = bytes(wide)
    assert load(wav(pcm, form=layout(1, 1, 16000, bits, align=width))).pcm == SPEECH[:32000]


def test_extensible_pcm() -> None:
    """WAVE_FORMAT_EXTENSIBLE with the PCM sub-format is PCM."""
    form = layout(0xFFFE, 2, 44100, 16) + struct.pack("<HHI", 22, 16, 3) + PCM_GUID
    audio = load(wav(SPEECH, form=form))
    assert (audio.pcm, audio.format.channels, audio.format.sample_rate) == (SPEECH, 2, 44100)


@pytest.mark.parametrize("extensible", [True, False])
def test_float_is_not_taken_for_pcm(extensible: bool) -> None:
    """Float samples, which pydub would play as noise, are decoded to what they mean."""
    pytest.importorskip("av")
    samples = struct.unpack("<1600h", SPEECH[16000:19200])
    floats = struct.pack("<1600f", *(sample / 2**15 for sample in samples))
    form = layout(3, 1, 16000, 32)
    if extensible:
        form = layout(0xFFFE, 1, 16000, 32) + struct.pack("<HHI", 22, 32, 4) + FLOAT_GUID
    audio = load(wav(floats, form=form))
    decoded = struct.unpack("<1600h", audio.pcm)
    assert max(abs(a - b) for a, b in zip(samples, decoded)) <= 1


@pytest.mark.parametrize(("tag", "bits"), [(6, 8), (7, 8), (3, 64)])
def test_other_encodings_in_wav(tag: int, bits: int) -> None:
    """A-law, µ-law and 64-bit float in a WAV are decoded like any other format."""
    pytest.importorskip("av")
    audio = load(wav(bytes(8000), form=layout(tag, 1, 8000, bits)))
    assert (audio.format.sample_rate, audio.format.channels, audio.format.sample_width) == (16000, 1, 2)
    assert audio.seconds == pytest.approx(8000 / (bits // 8) / 8000, abs=0.005)


@pytest.mark.parametrize(
    "file",
    [
        wav(SPEECH, form=layout(1, 0, 16000, 16)),
        wav(SPEECH, form=layout(1, 1, 0, 16)),
        wav(SPEECH, form=layout(1, 2, 2**32 - 1, 16)),
        wav(SPEECH, form=b"\1\0"),
        wav(b""),
        chunk(b"RIFF", b"WAVE" + chunk(b"data", SPEECH)),
        chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", layout(1, 1, 16000, 16))),
    ],
    ids=["no-channels", "no-rate", "rate", "short-fmt", "no-audio", "no-fmt", "no-data"],
)
def test_wav_headers_that_make_no_sense(file: bytes) -> None:
    """A WAV that can't be right is an error that names the source."""
    with pytest.raises(AudioError, match="the given bytes"):
        load(file)


# Other formats


@pytest.mark.parametrize("container", ENCODINGS)
def test_compressed_formats(container: str) -> None:
    """Compressed audio comes out whole, as 16 kHz mono 16 bit, and sounds like what went in."""
    audio = load(encoded(container))
    assert (audio.format.sample_rate, audio.format.channels, audio.format.sample_width, audio.warnings) == (
        16000,
        1,
        2,
        (),
    )
    assert audio.seconds == pytest.approx(3.0, abs=0.08)  # codecs pad
    loudness = [sum(map(abs, struct.unpack(f"<{len(p) // 2}h", p))) / len(p) for p in (audio.pcm, SPEECH[:96000])]
    assert loudness[0] == pytest.approx(loudness[1], rel=0.1)


def test_lossless_is_lossless() -> None:
    """Nothing is changed on the way through a lossless format that is 16 kHz mono 16 bit already."""
    assert load(encoded("flac", rate=16000)).pcm == SPEECH[:96000]


def test_a_stream_that_changes_its_rate() -> None:
    """Chained Ogg files are one recording: all of it is decoded."""
    audio = load(encoded("ogg", 1.0) + encoded("ogg", 2.0))
    assert audio.seconds == pytest.approx(3.0, abs=0.08)


@pytest.mark.parametrize("container", ["flac", "webm", "mp4", "ipod"])
def test_compressed_audio_cut_short(container: str) -> None:
    """A compressed file that was cut gives a warning with what is there, or an error: never less in silence."""
    file = encoded(container)
    try:
        audio = load(file[: len(file) // 2])
    except AudioError:
        assert container in ("mp4", "ipod")  # their index is at the end
    else:
        assert 0.5 < audio.seconds < 2.5
        assert len(audio.warnings) == 1


@pytest.mark.parametrize("container", ["flac", "mp3", "ipod", "ogg", "webm"])
def test_damage_in_mid_file(container: str) -> None:
    """What can be decoded around the damage is kept, and a warning tells of the rest."""
    file = bytearray(encoded(container))
    middle, sixth = len(file) // 2, len(file) // 6
    file[middle : middle + sixth] = (b"\xff\xfb\xaa" * sixth)[:sixth]
    audio = load(file)
    assert 1.0 < audio.seconds < 2.6
    assert "can't be decoded" in audio.warnings[0] or "damaged" in audio.warnings[0]


@pytest.mark.slow(everywhere=True)
@given(
    container=st.sampled_from([*ENCODINGS, "wav"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6),
    end=st.floats(0.0, 1.0),
)
def test_damaged_files(container: str, damage: Any, end: float) -> None:
    """However a file is damaged, it gives whole frames or an AudioError."""
    file = bytearray(wav(SPEECH[:16000]) if container == "wav" else encoded(container, 0.5))
    for where, what in damage:
        at = int(where * len(file))
        file[at : at + len(what)] = what
    try:
        audio = load(file[: int(end * len(file))])
    except AudioError:
        return
    assert audio.frame_count
    assert len(audio.pcm) % audio.format.frame_width == 0


@pytest.mark.parametrize("file", [b"Hello, world.\n" * 100, b"\0" * 5000, b"\x89PNG\r\n\x1a\n" + bytes(99), b"RIFF"])
def test_a_file_that_is_not_audio(file: bytes) -> None:
    """What isn't audio is an error that asks whether it is."""
    pytest.importorskip("av")
    with pytest.raises(AudioError, match=r"the given bytes can't be decoded .* is it audio\?") as caught:
        load(file)
    assert caught.value.__cause__ is not None


def test_a_video_without_sound() -> None:
    """A file without an audio stream holds no audio."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as target:
        stream = target.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for frame in [av.VideoFrame(64, 64, "yuv420p"), None]:
            target.mux(stream.encode(frame))
    with pytest.raises(AudioError, match="no audio stream"):
        load(file.getvalue())


def test_metadata_that_is_not_utf8() -> None:
    """A title in an old encoding doesn't stop the audio."""
    file = encoded("webm")
    assert file.count(b"Sense") == 1
    assert load(file.replace(b"Sense", b"S\xe9\xff\xfes")).seconds == pytest.approx(3.0)


def test_an_unknown_codec() -> None:
    """A codec that PyAV doesn't know is an error, not a crash."""
    with pytest.raises(AudioError, match=r"codec|decoded"):
        load(encoded("webm").replace(b"A_OPUS", b"A_ZZZZ"))


@pytest.mark.parametrize("rate", [10, 2**30])
def test_resampling_from_a_rate_that_makes_no_sense(rate: int) -> None:
    """A broken header can't make the resampler work for minutes or take all memory."""
    pytest.importorskip("av")
    with pytest.raises(AudioError, match=f"{rate} Hz"):
        load(wav(SPEECH, rate), sample_rate=16000)


@pytest.mark.parametrize("kind", ["m3u8", "concat", "mpd"])
def test_a_playlist_opens_nothing(kind: str, tmp_path: Path) -> None:
    """A playlist reaches neither the files nor the addresses that it names."""
    pytest.importorskip("av")
    (tmp_path / "part.mp3").write_bytes(encoded("mp3"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        local, remote = f"{tmp_path}/part.mp3", f"http://127.0.0.1:{server.getsockname()[1]}/part.mp3"
        text = {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{local}\n#EXTINF:3,\n{remote}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile '{remote}'\nfile '{local}'\n",
            "mpd": f"<?xml version='1.0'?><MPD><BaseURL>{remote}</BaseURL></MPD>",
        }[kind]
        path = tmp_path / f"list.{kind}"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(AudioError):
            load(path)
        with pytest.raises(BlockingIOError):
            server.accept()


# Without PyAV


def test_nothing_decodes_it(tmp_path: Path) -> None:
    """Without PyAV and ffmpeg, another format is an error that names both; a WAV needs neither."""
    (tmp_path / "a.mp3").write_bytes(encoded("mp3"))
    code = f"""
print(len(load({str(AUSTEN)!r}).pcm), len(load({str(AUSTEN)!r}, sample_rate=16000).pcm))
for options in ({{}}, {{"sample_rate": 16000}}):
    try: load({str(tmp_path / "a.mp3")!r}, **options)
    except Exception as error: print(error)
try: load({str(AUSTEN)!r}, sample_rate=8000)
except Exception as error: print(error)
"""
    lengths, *errors, resampling = run(WITHOUT_PYAV + code, PATH=str(tmp_path)).splitlines()
    assert lengths == f"{len(SPEECH)} {len(SPEECH)}"
    assert len(errors) == 2
    for error in errors:
        assert "a.mp3" in error
        assert "pip install 'elsa-unscripted[formats]'" in error
        assert "the ffmpeg program" in error
    assert "pip install 'elsa-unscripted[formats]'" in resampling


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize("container", ENCODINGS)
def test_ffmpeg_decodes_it(container: str, tmp_path: Path) -> None:
    """Without PyAV, an installed ffmpeg decodes the other formats."""
    (tmp_path / "speech").write_bytes(encoded(container))
    seconds = float(run(WITHOUT_PYAV + f"print(load({str(tmp_path / 'speech')!r}).seconds)"))
    assert seconds == pytest.approx(3.0, abs=0.08)


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize("start", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_ffmpeg_never_sees_a_playlist(start: bytes, tmp_path: Path) -> None:
    """What may be a playlist is not given to ffmpeg, not even behind an ID3 tag."""
    witness = tmp_path / "was-run"
    for name in ("ffmpeg", "ffprobe"):
        (tmp_path / name).write_text(f"#!/bin/sh\n: > {witness}\nexit 1\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    code = """
try: load(%r)
except Exception as error: print(type(error).__name__, error)
"""
    printed = run(WITHOUT_PYAV + code % (start + b"#EXTM3U\n/etc/passwd\n"), PATH=str(tmp_path))
    assert printed.startswith("AudioError the given bytes")
    assert not witness.exists()
    printed = run(WITHOUT_PYAV + code % (start + b"fLaC" + bytes(99)), PATH=str(tmp_path))
    assert "can't be decoded by ffmpeg" in printed
    assert witness.exists()


def test_imports_are_lazy_and_quiet() -> None:
    """Importing the module loads neither pydub nor PyAV; a WAV never loads PyAV; many threads may be the first."""
    code = f"""
import sys, warnings
from concurrent.futures import ThreadPoolExecutor
assert not {{"pydub", "av"}} & set(sys.modules)
before = list(warnings.filters)
with ThreadPoolExecutor(8) as pool:
    lengths = set(pool.map(lambda _: len(load({str(AUSTEN)!r}).pcm), range(16)))
assert warnings.filters == before
print(lengths, "av" in sys.modules)
"""
    assert run(code, PATH="").strip() == f"{{{len(SPEECH)}}} False"


def test_a_broken_pydub() -> None:
    """A pydub that can't be imported is an AudioError that tells how to repair it."""
    code = "import sys; sys.modules['pydub'] = None\ntry: load(%r)\nexcept Exception as error: print(repr(error))"
    assert "pip install --force-reinstall" in run(code % str(AUSTEN))


# Resampling


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize(("rate", "channels", "target"), [(44100, 2, 16000), (8000, 1, 16000), (48000, 6, 11025)])
def test_resampling_keeps_the_length(bits: int, rate: int, channels: int, target: int) -> None:
    """Ten seconds stay ten seconds: nothing is lost in the resampler."""
    pytest.importorskip("av")
    audio = load(wav(bytes(10 * rate * channels * bits // 8), rate, channels, bits), sample_rate=target)
    assert (audio.format.sample_rate, audio.format.channels, audio.format.sample_width) == (target, 1, 2)
    assert audio.seconds == pytest.approx(10, abs=0.003)


def test_resampling_what_needs_none() -> None:
    """Mono 16 bit at the wanted rate passes untouched."""
    assert load(AUSTEN, sample_rate=16000).pcm == SPEECH


def test_resampling_keeps_the_warnings() -> None:
    """A truncated file is a truncated file at any rate."""
    pytest.importorskip("av")
    audio = load(AUSTEN.read_bytes()[:-1000], sample_rate=8000)
    assert ["cut off" in warning for warning in audio.warnings] == [True]
    assert audio.seconds == pytest.approx((len(SPEECH) - 1000) / 32000, abs=0.003)


def test_other_formats_at_another_rate() -> None:
    """Compressed audio is decoded right to the wanted rate."""
    audio = load(encoded("flac"), sample_rate=22050)
    assert audio.format.sample_rate == 22050
    assert audio.seconds == pytest.approx(3.0, abs=0.003)


# Sources


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview, io.BytesIO])
def test_sources_in_memory(convert: Any) -> None:
    """Bytes, bytearrays, memoryviews and file objects all do."""
    assert load(convert(AUSTEN.read_bytes())).pcm == SPEECH


def test_paths() -> None:
    """A path may be a str or an os.PathLike."""
    assert load(str(AUSTEN)).pcm == load(AUSTEN).pcm == SPEECH


def test_a_file_object_is_read_from_where_it_stands() -> None:
    """A file object is read from its position to its end, and left open."""
    with io.BytesIO(b"junk" + AUSTEN.read_bytes()) as file:
        file.seek(4)
        assert load(file).pcm == SPEECH
        assert not file.closed


def test_audio_segments() -> None:
    """An AudioSegment goes out as it is, its 8-bit samples unsigned as WAV wants them."""
    from pydub import AudioSegment

    segment = AudioSegment(data=b"\x80\x00\x7f\x01", sample_width=1, frame_rate=8000, channels=2)
    assert load(segment) == Recording(b"\x00\x80\xff\x81", Format(8000, 2, 1))
    segment = AudioSegment(data=SPEECH, sample_width=2, frame_rate=44100, channels=2)
    assert load(segment) == Recording(SPEECH, Format(44100, 2, 2))


def test_an_audio_segment_with_half_a_frame() -> None:
    """An AudioSegment that was made of a broken WAV is sent in whole frames, with a warning."""
    from pydub import AudioSegment

    audio = load(AudioSegment(data=wav(SPEECH[:103])))
    assert audio.pcm == SPEECH[:102]
    assert "1 bytes are left out" in audio.warnings[0]


def test_an_empty_audio_segment() -> None:
    """An AudioSegment without a frame is an error."""
    from pydub import AudioSegment

    with pytest.raises(AudioError, match="the given AudioSegment holds no audio"):
        load(AudioSegment.empty())


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_segment_over_a_buffer_that_changes(kind: Any, width: int) -> None:
    """An AudioSegment may hold any buffer: what is sent is what it held at the call."""
    from pydub import AudioSegment

    buffer = kind(SPEECH[:4000])
    sent = load(AudioSegment(data=buffer, sample_width=width, frame_rate=8000, channels=1))
    expected = load(AudioSegment(data=SPEECH[:4000], sample_width=width, frame_rate=8000, channels=1))
    buffer[:] = bytes(4000)
    assert list(sent.packets(0.5)) == list(expected.packets(0.5))


@pytest.mark.parametrize("source", [b"", io.BytesIO()])
def test_nothing_at_all(source: Any) -> None:
    """An empty file is an error that says so."""
    with pytest.raises(AudioError, match="holds no audio: it is empty"):
        load(source)


def test_a_file_object_at_its_end() -> None:
    """A file object that was written or read to its end, and not rewound, is an error that tells how to rewind it."""
    file = io.BytesIO()
    file.write(AUSTEN.read_bytes())
    with pytest.raises(AudioError, match=r"at its end\? seek\(0\)"):
        load(file)


@pytest.mark.parametrize("text", ["UklGR" * 160_000, "data:audio/wav;base64," + "A" * 800_000, '{"audio": 1}\n' * 9999])
def test_text_in_place_of_a_path(text: str) -> None:
    """Whatever is given for a path, the message has as much of it as one reads; so has the cause."""
    with pytest.raises(AudioError) as caught:
        load(text)
    errors = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert all(len(str(error)) < 500 and len(repr(error)) < 500 for error in errors)
    assert repr(text[:50])[1:-1] in str(caught.value)
    assert f"{len(text)} characters" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bucket.example/x.wav?signature=SECRET", "https://bucket.example/x.wav"),
        ("https://user:SECRET@host.example:8080/x.wav#SECRET", "https://host.example:8080/x.wav"),
        ("HTTP://SECRET@host.example", "HTTP://host.example"),
        ("s3://bucket/key?versionId=SECRET", "s3://bucket/key"),
        ("https://h.example/x?sig=SECRET" + "x" * 5000, "https://h.example/x"),
        ("ftp://a@b:SECRET@host.example/x", "ftp://host.example/x"),
    ],
)
def test_a_url(url: str, shown: str) -> None:
    """A URL is called one, and told without what may be secret: user, password, query, fragment."""
    with pytest.raises(AudioError) as caught:
        load(url)
    assert str(caught.value).startswith(f"{shown!r} is a URL: download it first")
    assert "SECRET" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"


def test_a_file_url() -> None:
    """Of a file: URL, the path is wanted."""
    with pytest.raises(AudioError, match="is a URL: give the path of the file"):
        load(AUSTEN.resolve().as_uri())


@pytest.mark.parametrize("kind", ["mp3", "wav"])
def test_a_file_whose_name_looks_like_a_url(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is read, whatever it is called."""
    monkeypatch.chdir(tmp_path)
    Path("http:").mkdir()
    Path(f"http:/speech.{kind}").write_bytes(AUSTEN.read_bytes())
    assert load(f"http://speech.{kind}").pcm == SPEECH


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_in_another_unicode_form(forms: Tuple[Any, Any], tmp_path: Path) -> None:
    """A name that differs from a file's in its Unicode form only: the message says that this file is there."""
    there, given = (unicodedata.normalize(form, "Zo\u00eb \u1ebf") for form in forms)
    (tmp_path / there).mkdir()
    (tmp_path / there / f"{there}.wav").write_bytes(AUSTEN.read_bytes())
    if (tmp_path / given).exists():
        pytest.skip("this file system takes one form for the other")
    for path in (tmp_path / there / f"{given}.wav", tmp_path / given / f"{given}.wav"):
        with pytest.raises(AudioError, match="no such file") as caught:
            load(path)
        assert "looks the same" in str(caught.value)
        assert ascii(str(tmp_path / there / f"{there}.wav")) in str(caught.value)
    with pytest.raises(AudioError) as caught:
        load(tmp_path / f"{given}.wav")
    assert "looks the same" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a directory that is somebody's working directory")
def test_a_working_directory_that_was_deleted(tmp_path: Path) -> None:
    """Where the working directory is gone, a missing file is the error, and the message tells why."""
    (tmp_path / "gone").mkdir()
    code = f"""
import os
os.chdir({str(tmp_path / "gone")!r})
os.rmdir({str(tmp_path / "gone")!r})
for path in ("speech.wav", "spe\u00ebch.wav", "/nonexistent/speech.wav"):
    try: load(path)
    except Exception as error: print(ascii(f"{{type(error).__name__}} {{error}}"))
"""
    first, second, third = run(code, PYTHONPATH=str(Path(elsa_unscripted.__file__).parents[1])).splitlines()
    assert first.startswith("\"AudioError no such file: 'speech.wav'")
    assert "was deleted" in first
    assert "was deleted" in second
    assert "deleted" not in third


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xef\xbb\xbf<!DOCTYPE html><html>" + b"x" * 5000, "HTML or XML"),
        (b'{"error": "expired"}', "JSON"),
        ("spr\u00e4che.wav\n".encode() * 500, "text"),
        (b"speech.wav", "text"),
    ],
)
def test_bytes_of_text(data: bytes, kind: str) -> None:
    """Text is called what it is: an error page in place of a download, or a name in place of a file."""
    with pytest.raises(AudioError, match=rf"is it audio\?.*\(it looks like {kind}\)"):
        load(data)


@pytest.mark.parametrize(
    ("pcm", "bits"), [(bytes(3), 24), (bytes(2), 16), (b"\x80", 8), (b"\0", 8), (b"\5\0", 16), (bytes(4), 32)]
)
def test_silence_is_told(pcm: bytes, bits: int, caplog: pytest.LogCaptureFixture) -> None:
    """A recording in which nothing is heard has a warning, and is no error: all zero, or the middle of 8 bit."""
    for channels in (1, 2):
        caplog.clear()
        audio = load(wav(pcm * 200_000, channels=channels, bits=bits))
        assert audio.frame_count == 200_000 // channels
        (warning,) = audio.warnings
        assert "silent" in warning
        assert warning in [record.getMessage() for record in caplog.records]


def test_one_sample_is_no_silence() -> None:
    """A single sample that differs, wherever it is, is no silence."""
    for at in (0, 1, 99_999, 199_998, 199_999):
        pcm = array.array("h", bytes(400_000))
        pcm[at] = 1
        assert load(wav(pcm.tobytes())).warnings == ()


def test_silence_in_compressed_audio() -> None:
    """Silence is told of compressed recordings and AudioSegments as well."""
    from pydub import AudioSegment

    assert "silent" in load(AudioSegment.silent(500)).warnings[0]
    pytest.importorskip("av")
    silent = load(wav(bytes(32000)), sample_rate=8000)
    assert "silent" in silent.warnings[0]


def test_to_look_for_silence_takes_no_time() -> None:
    """A minute of silence at 48 kHz is looked through in a moment, and not copied."""
    pcm = bytes(60 * 48000 * 2)
    tracemalloc.start()
    try:
        began = time.thread_time()
        assert is_silent(pcm, 2)
        took = time.thread_time() - began
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert took < 0.02  # 0.5 ms on a machine that does nothing else


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    """A missing file, a directory and an impossible path are errors that name the path."""
    with pytest.raises(AudioError, match=r"no such file: .*missing\.wav"):
        load(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="no such file"):
        load(AUSTEN / "below-a-file")
    with pytest.raises(AudioError, match="is a directory"):
        load(tmp_path)
    for impossible in ("nul\0.wav", "x" * 5000):
        with pytest.raises(AudioError, match="can't be read") as caught:
            load(impossible)
        assert caught.value.__cause__ is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no such files")
def test_devices_and_pipes(tmp_path: Path) -> None:
    """What could block for ever is refused, with the way round it."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(AudioError, match="pass the file object"):
            load(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux's /proc for a file that can't be read")
def test_a_file_that_cannot_be_read() -> None:
    """A file that the system lets nobody read is an error that says what it said."""
    with pytest.raises(AudioError, match=r"can't be read \(.*permissions"):
        load("/proc/self/mem")


def test_text_files(tmp_path: Path) -> None:
    """A file object in text mode is an error that tells how to open it; it is not even read."""
    with open(AUSTEN, encoding="latin-1") as file:
        with pytest.raises(AudioError, match="open it with 'rb'"):
            load(file)  # type: ignore[arg-type,unused-ignore]
        assert file.tell() == 0


class Reader:
    """A file object of somebody else's making."""

    def __init__(self, result: object) -> None:
        self.result = result

    def read(self) -> object:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_strange_file_objects() -> None:
    """Whatever a file object's read() does, it is an AudioError."""
    for result, message in (("text", "'rb'"), (None, "NoneType, not bytes"), (KeyError("no"), "KeyError")):
        with pytest.raises(AudioError, match=message):
            load(Reader(result))
    with open(AUSTEN, "rb") as file:
        pass
    with pytest.raises(AudioError, match="is it open") as caught:
        load(file)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("source", [None, 7, [b"RIFF"]])
def test_other_types(source: Any) -> None:
    """Anything else is an error that names the types that do."""
    with pytest.raises(AudioError, match=r"os.PathLike.*file object.*pydub.AudioSegment, not (NoneType|int|list)"):
        load(source)


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "ogg"])
def test_tells_that_there_is_audio_before_all_of_it_is_decoded(kind: str) -> None:
    """`recognized` is called once, and for compressed audio before the rest is decoded: the client connects then."""
    calls: list[int] = []
    decoded = load(wav(SPEECH) if kind == "wav" else encoded(kind), recognized=lambda: calls.append(1))
    assert decoded.frame_count
    assert calls == [1]


@pytest.mark.parametrize(
    "make",
    [lambda: b"no audio", lambda: wav(b""), lambda: b"RIFF\0\0\0\0WAVE", lambda: encoded("mp3")[:40]],
    ids=["text", "no frames", "half a head", "part of MP3"],
)
def test_tells_nothing_where_there_is_no_audio(make: Callable[[], bytes]) -> None:
    """What can't be scored costs no connection."""
    calls: list[int] = []
    with pytest.raises(AudioError):
        load(make(), recognized=lambda: calls.append(1))
    assert calls == []
