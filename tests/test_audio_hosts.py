"""What the process around it may do while audio is read and decoded: signals, forks, modules of the same name."""

from __future__ import annotations

import array
import functools
import io
import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Iterator, Type

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import AUSTEN, SPEECH, encoded, wav

import elsa_unscripted
from elsa_unscripted.audio.libraries import import_audio_segment
from elsa_unscripted.audio.recording import load
from elsa_unscripted.audio.resampling import Resampler
from elsa_unscripted.exceptions import AudioError
from elsa_unscripted.signals import raised_by_handler

PACKAGE = str(Path(elsa_unscripted.__file__).parents[1])

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")

KINDS = [Exception, TimeoutError, RuntimeError, ValueError, LookupError, EOFError, ImportError, MemoryError]


def run(code: str, *path: Path) -> str:
    """Runs code in a fresh interpreter that finds modules in `path` first; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), PACKAGE])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture(name="limit", params=KINDS)
def _limit(request: pytest.FixtureRequest) -> Iterator[Type[Exception]]:
    """Sets a handler of SIGUSR1 that raises something of this kind, as task queues do for their time limits."""
    kind: Type[Exception] = request.param
    limit = type("Limit", (kind,), {})

    def raise_limit(*_: Any) -> None:
        raise limit("the caller's time limit")

    before = signal.signal(signal.SIGUSR1, raise_limit)
    yield limit
    signal.signal(signal.SIGUSR1, before)


def alarm() -> None:
    signal.raise_signal(signal.SIGUSR1)


# A caller's signal handler that raises


def test_a_limit_amid_the_decoding(limit: Type[Exception]) -> None:
    """What a handler raises while PyAV decodes comes through; it is taken neither for damage nor for no audio."""
    pytest.importorskip("av")
    with pytest.raises(limit):
        load(encoded("mp3"), recognized=alarm)


@pytest.mark.slow
@pytest.mark.interrupts
def test_a_limit_at_any_moment_of_the_decoding() -> None:
    """Whenever the signal comes, the caller hears of it; if it comes later, the recording is whole."""
    pytest.importorskip("av")

    class Limit(OSError):
        """An error that PyAV might raise as well."""

    raised: list[str] = []

    def raise_limit(number: int, frame: Any) -> None:
        raised.append("".join(traceback.format_stack(frame, 5)))
        raise Limit(number)

    file = encoded("mp3", 12.0)
    before = signal.signal(signal.SIGPROF, raise_limit)
    try:
        seen, lost = 0, []
        for milliseconds in (*range(1, 32), *range(1, 32)):  # of this process, however busy the machine is
            audio, before_it = None, len(raised)
            try:
                signal.setitimer(signal.ITIMER_PROF, milliseconds / 1000)
                audio = load(file)
                signal.setitimer(signal.ITIMER_PROF, 0)
            except Limit:
                seen += 1
            else:
                lost += raised[before_it:]
            until = time.monotonic() + 10
            while "elsa-decoder" in [thread.name for thread in threading.enumerate()]:  # it ends in a moment
                assert time.monotonic() < until
                time.sleep(0.001)
            if audio is not None:
                assert audio.warnings == ()
                assert audio.seconds == pytest.approx(12.0, abs=0.1)
        assert lost == []
        assert 0 < seen == len(raised)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts the threads of FFmpeg, too, as Linux does")
def test_decoding_leaves_nothing() -> None:
    """After a success, an error and a limit, no thread of ours or FFmpeg's and no decoder waits for the collector."""
    pytest.importorskip("av")
    code = """
import gc, os, sys, time
from elsa_unscripted import AudioError
from elsa_unscripted.audio.container import Decoder
from elsa_unscripted.audio.recording import load
class Limit(Exception): pass
def limit(): raise Limit
def left():
    decoders = [each for each in gc.get_objects() if isinstance(each, Decoder)]
    return len(os.listdir("/proc/self/task")), len(decoders)
good = bytes.fromhex(sys.stdin.read())
gc.collect()
gc.disable()
load(good)
try:
    load(bytes(range(256)) * 1000)
except AudioError as error:
    print("error")
try:
    load(good, recognized=limit)
except Limit:
    print("limit")
until = time.monotonic() + 10
while left() != (1, 0) and time.monotonic() < until:
    time.sleep(0.01)
print(*left())
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=encoded("mp3", 5).hex(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["error", "limit", "1", "0"], done.stderr


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_a_handler_amid_the_decoding() -> None:
    """A child that a signal handler forks while a recording is decoded is told so; its parent goes on."""
    pytest.importorskip("av")
    code = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from elsa_unscripted import AudioError
from elsa_unscripted.audio.recording import load
data = bytes.fromhex(sys.stdin.read())
children = []
def fork(number, frame):
    children.append(os.fork())
signal.signal(signal.SIGALRM, fork)
try:
    # Here the decoder waits: it isn't ready yet, and has started. A child that is forked while a thread starts waits
    # for that thread for ever, in `threading`.
    seconds = load(data, recognized=lambda: signal.raise_signal(signal.SIGALRM)).seconds
except AudioError as error:
    os._exit(7 if "handler forked" in str(error) else 1)
print(round(seconds), os.waitpid(children[0], 0)[1] >> 8)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=encoded("mp3", 24).hex(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["24", "7"], done.stderr


def test_decoding_while_the_interpreter_ends() -> None:
    """From `atexit`, compressed audio is decoded although Python 3.12 and later start no thread there."""
    pytest.importorskip("av")
    code = """
import atexit, sys
from elsa_unscripted.audio.recording import load
data = bytes.fromhex(sys.stdin.read())
load(data)
atexit.register(lambda: print(load(data).seconds > 0.4))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=encoded("mp3", 0.5).hex(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["True"], done.stderr


@pytest.mark.slow(everywhere=True)
@given(
    shape=st.tuples(
        st.sampled_from(["u8", "s16", "s32p", "flt", "fltp"]),
        st.sampled_from(["mono", "stereo", "5.1"]),
        st.sampled_from([8000, 16000, 44100, 192000]),
    ),
    sizes=st.lists(st.integers(1, 5000), max_size=8),
    rate=st.sampled_from([8000, 16000, 48000]),
    mono=st.booleans(),
)
def test_it_resamples_as_pyav_does(shape: tuple[str, str, int], sizes: list[int], rate: int, mono: bool) -> None:
    """The resampler by which no such exception is lost gives what PyAV's own gives, to the bit."""
    av = pytest.importorskip("av")

    # As floats, most of them between -1 and 1; as whole numbers, a noise.
    sound = array.array("f", [math.sin(number * number / 99) for number in range(40_000)]).tobytes()

    def resampled(resampler: Any) -> bytes:
        pcm, position = b"", 0
        for size in [*sizes, None]:
            frame = None
            if size is not None:
                frame = av.AudioFrame(format=shape[0], layout=shape[1], samples=size)
                for plane in frame.planes:
                    plane.update(sound[: plane.buffer_size])
                frame.sample_rate, frame.pts = shape[2], position
                position += size
            for given_frame in resampler.resample(frame):
                if given_frame is not None:
                    pcm += bytes(given_frame.planes[0])[: 2 * given_frame.samples * len(given_frame.layout.channels)]
        return pcm

    layout = {"layout": "mono"} if mono else {}
    assert resampled(Resampler(av, rate, mono=mono)) == resampled(av.AudioResampler(format="s16", rate=rate, **layout))


def test_a_limit_amid_a_file_object(limit: Type[Exception]) -> None:
    """What a handler raises while the caller's file object reads comes through; what the object raises doesn't."""

    class Slow(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            alarm()
            return super().read(size)

    with pytest.raises(limit):
        load(Slow(AUSTEN.read_bytes()))

    class Broken(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            raise limit("of its own")

    with pytest.raises(AudioError, match="of its own"):
        load(Broken())


def test_a_limit_amid_a_path(limit: Type[Exception]) -> None:
    """What a handler raises while a file is looked up comes through."""

    class Slow:
        asked = 0

        def __fspath__(self) -> str:
            self.asked += 1
            if self.asked > 2:  # the first two are for the message's sake
                alarm()
            return str(AUSTEN)

    with pytest.raises(limit):
        load(Slow())


@pytest.mark.parametrize("name", ["av", "pydub"])
def test_a_limit_amid_an_import(limit: Type[Exception], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler raises while a library is imported comes through."""

    class Finder:
        @staticmethod
        def find_spec(wanted: str, *_: Any) -> None:
            if wanted == name:
                alarm()

    pytest.importorskip(name)
    audio = encoded("mp3") if name == "av" else AUSTEN.read_bytes()
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    import_audio_segment.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "meta_path", [Finder, *sys.meta_path])
        with pytest.raises(limit):
            load(audio)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_a_limit_amid_ffmpeg(tmp_path: Path) -> None:
    """What a handler raises while pydub waits for ffmpeg comes through."""
    for name in ("ffmpeg", "ffprobe"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 3\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    code = """
import os, signal, sys
sys.modules["av"] = None
os.environ["PATH"] = sys.path[0] = %r
os.environ["PATH"] += os.pathsep + os.defpath
from elsa_unscripted.audio.recording import load
load(%r)
class Limit(RuntimeError): pass
def limit(number, frame): raise Limit("the caller's")
signal.signal(signal.SIGALRM, limit)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try: load(b"fLaC" + bytes(99))
except Exception as error: print(type(error).__name__, error)
"""
    assert run(code % (str(tmp_path), str(AUSTEN))).strip() == "Limit the caller's"


def test_who_raised() -> None:
    """A handler is known by its arguments, be it a function, a method, an object or a partial; nothing else is."""

    class Handler:
        def __call__(self, number: int, frame: Any) -> None:
            self.raise_it()

        def method(self, number: int, frame: Any) -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            self.raise_it()

        def raise_it(self) -> None:
            raise OSError("from far below")

    def named(reason: str, number: int, frame: Any = None) -> None:
        raise ValueError(reason)

    handlers: Any = [Handler(), Handler().method, functools.partial(named, "limit"), lambda *_: named("limit", 1)]
    before = signal.getsignal(signal.SIGUSR1)
    try:
        for handler in handlers:
            signal.signal(signal.SIGUSR1, handler)
            with pytest.raises((OSError, ValueError)) as caught:
                signal.raise_signal(signal.SIGUSR1)
            assert raised_by_handler(caught.value)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises((OSError, ValueError)) as caught:
        named("by itself", 1)
    assert not raised_by_handler(caught.value)


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("name", ["pydub", "av"])
def test_a_fork_while_a_thread_imports(name: str) -> None:
    """A child that is forked while another thread imports pydub or PyAV for the first time can decode."""
    if name == "av":
        pytest.importorskip("av")
    code = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from elsa_unscripted.audio.recording import load
data = bytes.fromhex(sys.stdin.read())
under_way = threading.Event()
class Slow:
    @staticmethod
    def find_spec(wanted, *_):
        if wanted == %r:
            under_way.set()
            time.sleep(1)
sys.meta_path.insert(0, Slow)
thread = threading.Thread(target=load, args=(data,))
thread.start()
under_way.wait()
time.sleep(0.1)
child = os.fork()
if not child:
    os._exit(0 if load(data).seconds > 0.4 else 1)
thread.join()
until = time.monotonic() + 20
while time.monotonic() < until:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        print("the child ended with", status)
        break
    time.sleep(0.01)
else:
    os.kill(child, 9)
    print("the child hangs")
"""
    file = wav(SPEECH[:16000]) if name == "pydub" else encoded("mp3", 0.5)
    command = [sys.executable, "-c", code % name]
    done = subprocess.run(command, input=file.hex(), check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "the child ended with 0", done.stderr


# Other modules of the same name


TRY = """
import io, sys
from elsa_unscripted.audio.recording import load
try: print("decoded", load(%r).seconds)
except Exception as error: print(type(error).__name__, error)
"""


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize("name", ["av", "pydub"])
@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "def open(*_): pass\nAudioSegment = 7\n",
        "raise ValueError('no')\n",
        "def broken(:\n",
        "import nothing_there\n",
    ],
)
def test_another_module_of_the_same_name(name: str, text: str, tmp_path: Path) -> None:
    """A script of the user's own that is called av or pydub is named at once, with what to do."""
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    source = str(tmp_path / "speech.mp3") if name == "av" else str(AUSTEN)
    (tmp_path / "speech.mp3").write_bytes(encoded("mp3"))
    began = time.monotonic()
    printed = run(TRY % source, tmp_path)
    assert printed.startswith("AudioError ")
    assert str(tmp_path / f"{name}.py") in printed
    assert "rename it" in printed
    assert time.monotonic() - began < 20


def test_a_folder_of_the_same_name(tmp_path: Path) -> None:
    """A mere folder called av, where PyAV isn't installed, is nothing in the way: the message says what to install."""
    (tmp_path / "av").mkdir()
    code = """
import importlib.machinery, sys
class NotInstalled:
    @staticmethod
    def find_spec(wanted, path=None, target=None):
        if wanted == "av":
            return importlib.machinery.PathFinder.find_spec(wanted, [%r])
sys.meta_path.insert(0, NotInstalled)
import os; os.environ["PATH"] = ""
"""
    printed = run(code % str(tmp_path) + TRY % encoded("mp3")[:3000])
    assert "nothing installed decodes it: pip install" in printed


def test_a_foreign_audio_segment(tmp_path: Path) -> None:
    """A foreign module called pydub can't make a source look like an AudioSegment."""
    (tmp_path / "pydub.py").write_text("AudioSegment = 'none'\n", encoding="utf-8")
    printed = run("import pydub\n" + TRY % str(AUSTEN), tmp_path)
    assert printed.startswith("AudioError ")
    assert "pydub.py" in printed
