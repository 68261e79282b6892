"""Shows the whole exchange: streams real speech in real time, to a local sandbox or to ELSA's service.

Needs only Python, and PyPI the first time, when it makes .venv.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import _venv
from _venv import ROOT, VENV, CommandError, program

AUDIO = ROOT / "tests" / "data" / "austen.wav"
TOKEN_VARIABLE = "ELSA_API_TOKEN"

NEXT = """
What to try next
  your own recording        python3 scripts/demo.py --audio speech.wav
  ELSA's service (metered)  {variable}=... python3 scripts/demo.py --audio speech.wav
  what else can happen      {tool} sandbox --list
  ELSA's sample, replaced   {python} scripts/streaming_unscripted_client.py --help
  from Python, in full      README.md
"""


def main() -> int:
    """Runs the demo; returns the exit status."""
    options = parse_arguments()
    try:
        if Path(sys.prefix).resolve() != VENV.resolve():
            return rerun_in_venv()
        return demo(options.audio, options.token)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--audio",
        metavar="FILE",
        help=f"the recording; default: {AUDIO.relative_to(ROOT)}, 25 s of a novel read aloud",
    )
    parser.add_argument(
        "--token",
        metavar="T",
        help=f"score with ELSA's service, which is metered, in place of the sandbox; others can see a command line, "
        f"so --audio together with ${TOKEN_VARIABLE} does the same",
    )
    return parser.parse_args()


def rerun_in_venv() -> int:
    """Runs this script again where the package is installed; returns the exit status."""
    if not _venv.is_current(VENV, *_venv.DEVELOPMENT):
        _venv.make(VENV, *_venv.PACKAGE)
    return call([program(VENV, "python"), __file__, *sys.argv[1:]], os.environ)


def demo(audio: str | None, token: str | None) -> int:
    """Scores a recording with the command line itself; returns its exit status."""
    if audio is not None:
        token = token or os.environ.get(TOKEN_VARIABLE)
    recording = audio or os.path.relpath(AUDIO)
    status = score(recording, token) if token else score_in_sandbox(recording)
    if status == 0:
        tool, python = (os.path.relpath(program(VENV, name)) for name in ("elsa-unscripted", "python"))
        print(NEXT.format(tool=tool, python=python, variable=TOKEN_VARIABLE))
    return status


def score_in_sandbox(recording: str) -> int:
    """Scores a recording with a local sandbox; returns the exit status."""
    from elsa_unscripted.sandbox import Sandbox

    with Sandbox() as sandbox:
        print(f"A sandbox that speaks ELSA's protocol listens until the demo ends, at {sandbox.url}")
        return score(recording, "any-token-will-do", "--url", sandbox.url)


def score(recording: str, token: str, *arguments: str) -> int:
    """Scores a recording with `elsa-unscripted score`; returns the exit status."""
    command = ["elsa-unscripted", "score", recording, *arguments]
    print(f"\n$ {TOKEN_VARIABLE}=... {shlex.join(command)}", flush=True)
    return call([program(VENV, command[0]), *command[1:]], {**os.environ, TOKEN_VARIABLE: token})


def call(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command; returns its exit status, as a shell would.

    Ctrl-C reaches it too, from the terminal: wait until it has cleaned up.
    """
    with subprocess.Popen(command, env=environment) as process:
        while process.returncode is None:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main())
