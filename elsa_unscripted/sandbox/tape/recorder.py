"""`Recorder`: passes exchanges on to the real service and back, byte for byte, and writes down what was said.

`server` makes one for a sandbox that records. Each exchange has a `Relay`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from pathlib import Path

from websockets.http11 import Request, Response

from ..connection import Connection
from ..pages import page
from . import format as tape
from .dial import Upstream, dial, in_thread
from .format import Fetched, TapeError
from .heard import Finished, Opened
from .links import fetch, new_path
from .reading import read
from .redact import Redaction
from .relay import Relay

logger = logging.getLogger("elsa_unscripted.sandbox")


class Recorder:
    """Passes connections on.

    Args:
        path: The tape.
        upstream: The real service.
        keep_audio: Whether the tape gets the audio, too.
        anew: Whether what is on the tape now is replaced by what is recorded first.
        opened: Called with each exchange whose handshake the service has accepted.
        finished: Called with it and its close code when it has ended, and is on the tape.

    Raises:
        TapeError: The file is no tape, so nothing can be recorded on it; or it can't be written.
    """

    def __init__(
        self, path: Path, upstream: Upstream, keep_audio: bool, anew: bool, opened: Opened, finished: Finished
    ) -> None:
        _check(path, anew)
        self.upstream = upstream
        self.keep_audio = keep_audio
        self.opened = opened
        self.finished = finished
        self._path = path
        self._anew = anew
        self._links: dict[str, tuple[str, str, Redaction]] = {}  # path in the sandbox → key, link, secrets
        self.unplayed: tuple[str, ...] = ()

    async def hold(self, connection: Connection, request: Request, host: str) -> Response:
        """Holds one connection to its end, from the handshake on; returns the answer if the service isn't reached."""
        dialling = asyncio.ensure_future(dial(self.upstream))
        gone = asyncio.ensure_future(connection.wait_closed())
        await asyncio.wait({dialling, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            # Nothing was said: there is nothing to record.
            if not dialling.cancel() and dialling.exception() is None:
                dialling.result()[1].transport.abort()
            return page(502, "The connection has ended.")
        gone.cancel()
        try:
            reader, writer = dialling.result()
        except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError, too
            why = _why(error)
            logger.warning("%s can't be reached: %s", self.upstream.authority, why)
            return page(502, f"The sandbox records, and can't reach {self.upstream.authority}: {why}.")
        relay = Relay(self, connection, request, host, reader, writer)
        await relay.run()
        return page(502, "The connection has ended.")

    async def find(self, path: str) -> Response:
        """Returns what a link leads to, and puts it on the tape."""
        if path not in self._links:
            return page(404, "Nothing is here. The sandbox records; a verdict's links lead to what it has.")
        key, link, secrets = self._links[path]
        try:
            status, content_type, body = await in_thread(lambda: fetch(link))
        except (OSError, ValueError) as error:
            return page(502, f"The sandbox can't fetch what the link leads to: {_why(error)}.")
        kept = key == "result_link" or status >= 400 or self.keep_audio
        taped = (secrets.clean(body) if key == "result_link" else secrets.mask(body)) if kept else None
        kind = secrets.clean(content_type.encode("utf-8", "replace")).decode("utf-8", "replace")
        self.write(tape.write_fetched(Fetched(path, status, kind, taped)))
        try:
            return page(status, body, content_type or "application/octet-stream")
        except ValueError:  # a status that nobody knows
            return page(502, f"The link leads to HTTP {status}.")

    def link(self, key: str, link: str, secrets: Redaction) -> str:
        """Returns where in the sandbox a link of the service leads now."""
        path = new_path(key)
        self._links[path] = (key, link, secrets)
        return path

    def write(self, block: str) -> None:
        """Writes on the tape."""
        try:
            tape.append(self._path, block, anew=self._anew)
            self._anew = False
        except OSError as error:
            logger.error("the tape %s can't be written: %s", self._path, error.strerror or error)


def _check(path: Path, anew: bool) -> None:
    """Raises unless a tape can be written: the first exchange would be billed, and lost."""
    try:
        if path.parent.exists() and not path.parent.is_dir():  # of which mkdir() says that the file exists
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            open(path, "r+b").close()
            if not anew:
                read(path)
        elif not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise TapeError(f"the tape {str(path)!r} can't be written ({error.strerror})") from error


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name isn't known"
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error)
