"""`elsa-unscripted live`, run as a process, with a virtual microphone."""

from __future__ import annotations

import array
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, PATIENCE, ROOT, SHORT, Finished, Terminal, interrupt, run, shadow, started, unmeasured
from microphones import (
    BLOCK,
    MISSING,
    SECOND,
    SoundDevice,
    VirtualMicrophone,
    device,
    is_heard,
    pretend,
    until,
    virtual_microphone,
)
from rawserver import RawServer
from recordings import SPEECH

from elsa_unscripted.audio.recording import load
from elsa_unscripted.cli import main
from elsa_unscripted.sandbox import Sandbox

TOKEN = "a-token-that-is-secret"
LIVE = (*COMMAND, "live")


@pytest.fixture(name="mic")
def _mic() -> Iterator[VirtualMicrophone]:
    if MISSING:
        pytest.skip(f"no virtual microphone without {', '.join(MISSING)}")
    with virtual_microphone() as microphone:
        yield microphone


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def variables(mic: VirtualMicrophone, sandbox: Sandbox) -> dict[str, Any]:
    return {"PULSE_SERVER": mic.server, "ELSA_UNSCRIPTED_URL": sandbox.url, "ELSA_API_TOKEN": TOKEN}


def say(mic: VirtualMicrophone, sandbox: Sandbox, packets: int) -> bytes:
    """Says as much as fills so many packets, and waits until the sandbox has heard them; returns what was said."""
    said = SPEECH[: packets * SECOND // 2]
    mic.say(said)
    until(lambda: sandbox.exchanges and sandbox.exchanges[-1].heard == packets)
    return said


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(("columns", "key"), [(80, b"\n"), (40, b"\n"), (80, b"\x04")])
def test_from_the_first_word_to_the_verdict(mic: VirtualMicrophone, sandbox: Sandbox, columns: int, key: bytes) -> None:
    """It says to whom it listens and what ends that, shows level and clock, ends on Enter, or Ctrl-D, and prints the
    verdict and what has ended the speech. What the server hears is what was said, to the bit. The meter leaves nothing
    behind."""
    with Terminal(*LIVE, columns=columns, **variables(mic, sandbox)) as terminal:
        terminal.wait_for("150 s are over")
        said = say(mic, sandbox, 3)
        terminal.wait_for("0:01 |")
        terminal.press(key)
        assert terminal.end() == 0
    assert is_heard(said, sandbox.exchanges[-1].pcm)
    assert "listening to 'default', until you press Enter, the server hears the end or" in terminal.written
    assert re.search(r"0:01 \|.+\| -\d\d dB  Enter ends it", terminal.written)
    assert "waiting for the verdict" in terminal.written
    assert re.search(r"the speech was ended by Enter, after 1\.[5-8] s", terminal.written)
    assert "Sandbox" in terminal.written
    left = screen(terminal.written, columns)
    assert " the end or 150 s are over" in left
    assert not [line for line in left if "dB" in line or "waiting" in line]
    for part in re.split(r"[\r\n]", terminal.written):
        if "dB" in part:
            assert len(part) + len("^C") <= columns


def screen(written: str, columns: int) -> list[str]:
    """Returns the lines that are left on a screen, for what this program writes there."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[A|\x1b\[[\d;]*m|.|\n", written, re.DOTALL):
        if token == "\x1b[A":
            row -= 1
        elif token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif not token.startswith("\x1b"):
            if column == columns:
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.mark.slow(everywhere=True)
def test_the_server_ends_it(mic: VirtualMicrophone) -> None:
    """The server's early verdict ends the speech. In pipes there is no meter; only the result is on stdout."""
    with Sandbox("early=2") as sandbox, piped(mic, sandbox, "--format", "json") as process:
        listening(process)
        mic.say(SPEECH[: 11 * BLOCK])
        out, err = process.communicate(timeout=PATIENCE)
        assert json.loads(out) == sandbox.exchanges[-1].verdict
    assert process.returncode == 0
    assert re.fullmatch(r"elsa-unscripted: the speech was ended by the server, [^\n]*\n", err.decode())


def piped(mic: VirtualMicrophone, sandbox: Sandbox, *options: str, stdin: Any = subprocess.PIPE) -> Any:
    return subprocess.Popen(
        [*LIVE, *options],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=unmeasured(**variables(mic, sandbox)),
    )


def listening(process: Any) -> str:
    line: str = process.stderr.readline().decode()
    assert "listening to 'default'" in line
    return line


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("key", [b"\n", b""])
def test_stdin_that_is_a_pipe(mic: VirtualMicrophone, sandbox: Sandbox, key: bytes) -> None:
    """A line on a pipe is Enter; its end is not: whoever has started this may be gone. The limit ends it then."""
    with piped(mic, sandbox, "--max-seconds", "1.5", "--format", "json") as process:
        listening(process)
        if key:
            say(mic, sandbox, 1)
            os.write(process.stdin.fileno(), key)
        else:
            process.stdin.close()
            mic.say(SPEECH[: 16 * BLOCK])
        err = process.stderr.read()
    by = "Enter" if key else "--max-seconds, after 1."
    assert f"the speech was ended by {by}" in err.decode()


@pytest.mark.slow(everywhere=True)
def test_ctrl_c_once(mic: VirtualMicrophone, sandbox: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C ends the speech, and the verdict is waited for; `--save` has what was sent."""
    path = tmp_path / "said.wav"
    with started(*LIVE, "--save", str(path), **variables(mic, sandbox)) as process:
        listening(process)
        said = say(mic, sandbox, 2)
        outcome = interrupt(process)
    assert outcome.status == 0
    assert re.fullmatch(r"elsa-unscripted: the speech was ended by Ctrl-C, after 1\.[0-3] s\n", outcome.err)
    assert is_heard(said, sandbox.exchanges[-1].pcm)
    assert bytes(load(path).pcm) == sandbox.exchanges[-1].pcm


@pytest.mark.slow(everywhere=True)
def test_ctrl_c_twice(mic: VirtualMicrophone) -> None:
    """The second Ctrl-C gives up the verdict, with one line."""
    with Sandbox("slow=300") as sandbox, Terminal(*LIVE, **variables(mic, sandbox)) as terminal:
        terminal.wait_for("150 s are over")
        said = say(mic, sandbox, 1)
        terminal.press(b"\x03")
        terminal.wait_for("waiting for the verdict, Ctrl-C gives up")
        until(lambda: [kind for kind, _ in sandbox.exchanges[-1].frames].count("text") == 2)  # the end of the stream
        terminal.press(b"\x03")
        assert terminal.end() == 130
        assert is_heard(said, sandbox.exchanges[-1].pcm)
    assert [line for line in screen(terminal.written, 80) if line][2:] == ["elsa-unscripted: interrupted"]


@pytest.mark.slow(everywhere=True)
def test_sound_server_that_ends(mic: VirtualMicrophone, sandbox: Sandbox) -> None:
    """A microphone that goes away in mid-speech is told at once, with the bill, in one line and none of PortAudio's."""
    with started(*LIVE, **variables(mic, sandbox)) as process:
        listening(process)
        say(mic, sandbox, 1)
        mic.kill()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 5
    line = (
        r"elsa-unscripted: error: the microphone 'default' has gone away: .* \[0\.5 s were sent and may be billed.*\]\n"
    )
    assert re.fullmatch(line, err.decode())


@pytest.mark.slow(everywhere=True)
def test_nothing_but_zeros(mic: VirtualMicrophone, sandbox: Sandbox) -> None:
    """Zeros are warned of while there is time to do something about it, and are an error in the end."""
    with Terminal(*LIVE, **variables(mic, sandbox)) as terminal:
        terminal.wait_for("150 s are over")
        mic.say(bytes(21 * BLOCK))
        terminal.wait_for("warning: the microphone 'default' has given nothing but digital silence for 2 s")
        terminal.press(b"\n")
        assert terminal.end() == 5
    assert "quiet" in terminal.written
    assert "error: the microphone 'default' gave nothing but digital silence to the end" in terminal.written
    assert sandbox.exchanges[-1].verdict is None


@pytest.mark.slow(everywhere=True)
def test_the_meter_tells_what_check_would(mic: VirtualMicrophone, sandbox: Sandbox) -> None:
    """While one speaks, the meter says "too quiet" after 3 s below the level of speech, and "clipping" at once."""
    quiet = array.array("h", (sample // 500 for sample in array.array("h", SPEECH[: 36 * BLOCK]))).tobytes()
    loud = array.array("h", (max(-32768, min(32767, 20 * s)) for s in array.array("h", SPEECH[: 12 * BLOCK]))).tobytes()
    with Terminal(*LIVE, **variables(mic, sandbox)) as terminal:
        terminal.wait_for("150 s are over")
        mic.say(quiet)
        terminal.wait_for("too quiet  Enter ends it")
        mic.say(loud)
        terminal.wait_for("clipping  Enter ends it")
        terminal.press(b"\n")
        assert terminal.end() == 0


def test_devices(mic: VirtualMicrophone) -> None:
    """`--list-devices` lists them, and marks the default."""
    listed = run(*LIVE, "--list-devices", PULSE_SERVER=mic.server)
    assert (listed.status, listed.err) == (0, "")
    assert re.search(r"^\* +\d+  default, ALSA \(\d+ channels, \d+ Hz\)$", listed.out.decode(), re.MULTILINE)


def test_no_devices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """To list no device is an error."""
    pretend(monkeypatch, SoundDevice(devices=[]))
    assert main(["live", "--list-devices"]) == 5
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "there is no microphone" in err


def test_names_of_devices_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's name that standard output can't spell is spelt out."""
    pretend(monkeypatch, SoundDevice(devices=[device("Größe")]))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["live", "--list-devices"]) == 0
    assert b"0  Gr\\xf6\\xdfe, Sound" in out.buffer.getvalue()


@pytest.mark.slow(everywhere=True)
def test_quiet(mic: VirtualMicrophone, sandbox: Sandbox) -> None:
    """`-q` prints nothing but the result; a number chooses the device; `-o` has the result."""
    with piped(mic, sandbox, "-q", "--device", "1", "--max-seconds", "0.5", stdin=subprocess.DEVNULL) as process:
        until(lambda: sandbox.handshakes)
        mic.say(SPEECH[: 12 * BLOCK])
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, b"")
    assert b"Ended by       the limit of seconds, after 0.5 s of audio" in out


@pytest.mark.parametrize(
    ("words", "named", "status"),
    [
        (["--max-seconds", "0"], "--max-seconds", 2),
        (["--device", ""], "--device", 2),
        (["--save", "no/folder.wav"], "--save", 2),
        (["--save", SHORT], "holds a recording", 2),
        (["--save", "a.wav", "-o", "./a.wav"], "--save", 2),
        (["--save", "/dev/null", "--ca-bundle", "/dev/null"], "--save", 2),
        (["--device", "camera"], "'camera'; there are 0 'mic, Sound'", 5),
        (["--device", "7"], "microphone 7; there are 0 'mic, Sound'", 5),
    ],
)
def test_what_makes_no_sense(
    words: list[str], named: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that make no sense, or name no microphone, are refused before a connection is made, by name."""
    pretend(monkeypatch, SoundDevice())
    with RawServer(lambda connection: None) as server:
        assert main(["live", "--token", TOKEN, "--url", server.url, *words]) == status
        assert server.connections == []
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert named in err


@pytest.mark.slow(everywhere=True)
def test_without_the_extra(tmp_path: Path) -> None:
    """Without sounddevice, one line says what to install."""
    code = "raise ModuleNotFoundError('none', name='sounddevice')"
    outcome: Finished = run(*LIVE, ELSA_API_TOKEN=TOKEN, PYTHONPATH=shadow(tmp_path, "sounddevice", code)["PYTHONPATH"])
    assert outcome.status == 5
    assert "pip install 'elsa-unscripted[microphone]'" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["-", "FIFO", "/dev/zero"])
def test_batch_is_not_for_live_audio(
    kind: str, tmp_path: Path, short: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """`batch` refuses standard input, pipes and devices before anything is sent, and names the command for them."""
    path = kind
    if kind == "FIFO":
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
    journal = tmp_path / "scores.jsonl"
    assert main(["batch", str(short), path, "-o", str(journal), "--token", TOKEN, "--url", sandbox.url]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"batch is not for live audio, which 'score {path}' sends" in err
    assert not journal.exists()
    assert sandbox.handshakes == 0


@pytest.mark.slow(everywhere=True)
def test_in_the_background(mic: VirtualMicrophone, sandbox: Sandbox) -> None:
    """In a shell's background, it leaves the terminal's keys to the shell: else the shell would stop it."""
    line = f"{' '.join(LIVE)} --max-seconds 1 & wait $!; echo status $?"
    with Terminal("bash", "--norc", "-i", columns=200, **variables(mic, sandbox)) as terminal:
        terminal.press(f"{line}\n".encode())
        terminal.wait_for("until you press Ctrl-C")
        mic.say(SPEECH[: 11 * BLOCK])
        terminal.wait_for("status 0")
        terminal.press(b"exit\n")
        terminal.end()
