"""Streams real speech in real time to a local sandbox, or to ELSA's service; prints the result, and writes its page.

Needs only Python. The first time, it makes .venv, and needs access to PyPI.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import textwrap
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _venv
from _venv import ROOT, VENV, CommandError, program

AUDIO = ROOT / "tests" / "data" / "austen.wav"
TOKEN_VARIABLE = "ELSA_API_TOKEN"

PAGE = Path("demo.html")  # in the working directory
BAR = "{n:5.1f} of {total:.1f} s |{bar:32}| {percentage:3.0f} %"

SANDBOX = (
    "A sandbox stands in for ELSA's service: a server on this machine that speaks the same protocol. It can't assess "
    "speech: the {what} that follow are made up."
)

NEXT = """
What to try next
  your recording       python3 scripts/demo.py --audio a.wav
  ELSA's, metered      {variable}=... python3 scripts/demo.py --audio a.wav
  the command line     {tool} --help
  what else can happen {tool} sandbox --list
  from Python          README.md
"""


def main() -> int:
    """Runs the demo; returns the exit status."""
    options = parse_arguments()
    try:
        if Path(sys.prefix).resolve() != VENV.resolve():
            return rerun_in_venv()
        return demo(options)
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
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser.parse_args()


def rerun_in_venv() -> int:
    """Runs this script again where the package is installed; returns the exit status."""
    if not _venv.is_current(VENV, *_venv.DEVELOPMENT):
        _venv.make(VENV, *_venv.PACKAGE)
    return call([program(VENV, "python"), __file__, *sys.argv[1:]], os.environ)


def demo(options: argparse.Namespace) -> int:
    """Scores a recording, prints the result and writes its page; returns the exit status."""
    from elsa_unscripted import ElsaError
    from elsa_unscripted.cli.statuses import exit_status
    from elsa_unscripted.sandbox import Sandbox

    token = options.token or (options.audio and os.environ.get(TOKEN_VARIABLE))
    recording = options.audio or os.path.relpath(AUDIO)
    with contextlib.ExitStack() as stack:
        url = None
        if not token:
            url = stack.enter_context(Sandbox("example")).url
            print(textwrap.fill(SANDBOX.format(what="scores and words" if options.audio else "scores")), end="\n\n")
        try:
            show(recording, token or "any-token-will-do", url, open_page=options.open)
        except ElsaError as error:
            print(f"error: {error}", file=sys.stderr)
            return exit_status(error)
        except OSError as error:
            print(f"error: can't write {PAGE} ({error.strerror}): change to a folder of yours", file=sys.stderr)
            return 2
    print(NEXT.format(tool=os.path.relpath(program(VENV, "elsa-unscripted")), variable=TOKEN_VARIABLE))
    return 0


def show(recording: str, token: str, url: str | None, *, open_page: bool) -> None:
    """Streams a recording; shows its progress, statuses and result, and writes its page.

    Raises:
        ElsaError: There is no result.
    """
    from tqdm import tqdm

    from elsa_unscripted import Client, ScoreResult
    from elsa_unscripted.cli.result import print_result
    from elsa_unscripted.results.text import printable

    with Client(token, url=url) as client:
        print(f"Streaming {recording}, as it would be spoken, to\n{client.config.url}\n", flush=True)
        # On a terminal alone: anywhere else, a bar would be a line for each packet.
        with tqdm(bar_format=BAR, total=0.0, leave=True, disable=not sys.stdout.isatty(), file=sys.stdout) as bar:

            def on_progress(sent: float, total: float) -> None:
                bar.total = total
                bar.update(sent - bar.n)

            def on_status(status: Mapping[str, Any]) -> None:
                told = [str(status[key]) for key in ("status", "stream_id", "message", "reason") if status.get(key)]
                bar.write(f"< {printable(', '.join(told))}")

            result: ScoreResult = client.score(recording, on_status=on_status, on_progress=on_progress)
    print(flush=True)
    print_result(result, "summary", has_page=True)
    PAGE.write_text(result.to_html(audio=recording, title=Path(recording).stem), encoding="utf-8")
    print(f"\nIts page, which plays the recording, is {PAGE}: open it in a browser.\n{PAGE.resolve().as_uri()}")
    if open_page and not webbrowser.open(PAGE.resolve().as_uri()):
        print("No browser was found to open it.")


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
