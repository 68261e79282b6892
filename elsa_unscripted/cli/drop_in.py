"""The drop-in for the vendor's script: the same options, and the same beginnings of the log lines on stderr.

`scripts/streaming_unscripted_client.py` calls `main()`. README.md in this folder lists what differs from the vendor's
script: above all, a failure has an exit status other than 0.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time

from ..exceptions import BadQualityError, ElsaError, ScoreTimeoutError, ScoringFailedError
from ..exchange.client import Client
from ..exchange.events import Progress
from ..quoting import cut
from ..results.result import ScoreResult
from ..results.text import printable
from ..wire.messages import Info, Opened, Status
from . import interrupts
from .statuses import EXIT_STATUSES, INTERRUPTED, MAX_STREAM_ID, exit_status, explain
from .terminal import flush_stderr

# The statuses that the vendor's script logs at INFO, followed by the whole message as JSON.
TOLD_IN_FULL = ("processing", "accepted", "paused", "success")


def main() -> int:
    """Runs the script; returns the exit status."""
    try:
        interrupts.raise_once()
        try:
            return run(make_parser().parse_args())
        finally:
            flush_stderr()
            interrupts.ignore()
    except KeyboardInterrupt:
        return INTERRUPTED


def run(options: argparse.Namespace) -> int:
    """Scores the recording and logs it; returns the exit status."""
    set_up_logging()
    narrator = Narrator()
    logging.info("Waiting for websocket connection...")
    try:
        with Client(options.token, api_plan=options.api_plan, return_json=options.return_json) as client:
            result = client.score(options.audio_path, on_event=narrator.event, on_progress=narrator.progress)
    except ElsaError as error:
        log_error(error)
        if isinstance(error, ScoringFailedError) and not isinstance(error, BadQualityError):
            narrator.conclude()
        return exit_status(error)
    log_result(result)
    narrator.conclude()
    return 0


class Narrator:
    """Tells an exchange in the log lines that parsers of the vendor's script expect, in their order."""

    def __init__(self) -> None:
        self._opened = self._decided = time.monotonic()  # when the socket was open, and when the verdict came
        self._stream_id = ""
        self._packets = 0
        self._all_sent = False

    def event(self, event: object) -> None:
        """Takes each event of the exchange."""
        if isinstance(event, Opened):
            self._opened = time.monotonic()
            logging.info("Socket opened! ready for action.")
            logging.info("Starting a new stream")
            logging.info("Sending config")
        elif isinstance(event, Info) and event.type is not None:
            logging.info("%s", printable(event.type))
        elif isinstance(event, Progress):
            logging.info("Sending packet %d", self._packets)
            self._packets += 1
        elif isinstance(event, Status):
            self._status(event)

    def progress(self, sent: float, total: float) -> None:
        """Takes the seconds of audio sent, after each packet."""
        # Logged with the last packet. If this line waited until `end_stream` has left, the server's answer could be
        # logged before it.
        if sent >= total:
            self._all_sent = True
            logging.info("Sending end_stream")

    def conclude(self) -> None:
        """Logs the lines that follow a verdict `success` or `failed`."""
        logging.info("Stream time: %5.2f sec", self._decided - self._opened)
        # Last, because the vendor's script notices the verdict only when its next packet is due.
        if self._stream_id and not self._all_sent:
            logging.info("Stopping sending audio packets")

    def _status(self, status: Status) -> None:
        self._decided = time.monotonic()
        if status.status == "processing" and status.stream_id and not self._stream_id:
            self._stream_id = status.stream_id
            logging.info("processing stream ID: %s", printable(cut(status.stream_id, MAX_STREAM_ID)))
        elif status.status in TOLD_IN_FULL:
            logging.info("%s: %s", status.status, indented(status))
        elif status.status in ("failed", "bad_quality"):
            logging.error("%s: %s", status.status, printable(cut(status.reason or "no reason given", 1000)))
        else:
            logging.error("unknown status %s: %s", printable(cut(status.status)), indented(status))


def indented(status: Status) -> str:
    """Returns a message as JSON over several lines, in ASCII."""
    return json.dumps(status.raw, indent=4).replace("\x7f", "\\u007f")


def log_error(error: ElsaError) -> None:
    """Logs an error, unless it is the server's verdict: `Narrator` has logged that already."""
    if isinstance(error, ScoreTimeoutError):
        logging.critical("Timed out")
    if not isinstance(error, ScoringFailedError):
        logging.error("%s", printable(explain(error, own_options=False)))


def log_result(result: ScoreResult) -> None:
    """Logs the lines that follow the verdict `success`."""
    for warning in result.warnings:
        logging.warning("%s", printable(warning))
    if "result_link" in result:
        logging.info("result url: %s", printable(result.result_link or ""))
    else:
        logging.error("result url: none, as the server gave no link")
    logging.info("audio url: %s", printable(result.audio_link or ""))


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the vendor's options."""
    parser = argparse.ArgumentParser(
        description="Stream a recording to ELSA's unscripted API and log its assessment. "
        "$ELSA_UNSCRIPTED_URL points it to another server, such as `elsa-unscripted sandbox`.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--token", required=True, help="the API token; everybody on this machine can read it with ps")
    parser.add_argument("--audio_path", required=True, help="the recording")
    parser.add_argument("--api_plan", default="standard", help="standard or premium; default: %(default)s")
    parser.add_argument("--return_json", action="store_true", help="ask for the assessment itself, beside the links")
    return parser


def set_up_logging() -> None:
    """Logs as `logging.basicConfig(level=INFO)` does, but leaves out what libraries log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    handler.addFilter(lambda record: record.name == "root")
    logging.basicConfig(level=logging.INFO, handlers=[handler])
