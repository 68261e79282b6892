"""What the tests of batches share: distinct short recordings, their likeness in the sandbox, and a choosy sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from recordings import wav

from elsa_unscripted.sandbox import Sandbox
from elsa_unscripted.sandbox.pages import page

TOKEN = "a-token-of-a-test"


def recordings(folder: Path, count: int, seconds: float = 0.1) -> List[str]:
    """Makes recordings of noise, no two alike."""
    paths = []
    for number in range(count):
        path = folder / f"{number:04}.wav"
        path.write_bytes(wav(random.Random(number).randbytes(int(16000 * seconds) * 2)))
        paths.append(str(path))
    return paths


def sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def lines(journal: Path) -> List[Dict[str, Any]]:
    """Reads a journal as any program would."""
    return [json.loads(line) for line in journal.read_text(encoding="ascii").splitlines()]


class Choosy(Sandbox):
    """A sandbox that turns some handshakes away.

    Args:
        answer: Number of the handshake, from 0 → the HTTP status to refuse it with, or `None`.
        scenario: What the others get.
        together: How many must have come before the first of them is answered.
        headers: Of a refusal.

    Attributes:
        arrivals: When each handshake came, monotonic.
    """

    def __init__(
        self, answer: Callable[[int], Optional[int]], scenario: str = "success", *, together: int = 1, **headers: str
    ) -> None:
        super().__init__(scenario)
        self.arrivals: List[float] = []
        self._together = together
        self._answer = answer
        self._headers = headers

    def __enter__(self) -> Choosy:
        self.start()
        return self

    async def _process_request(self, connection: Any, request: Any) -> Any:
        number = len(self.arrivals)
        self.arrivals.append(time.monotonic())
        while len(self.arrivals) < self._together:
            await asyncio.sleep(0.01)
        status = self._answer(number)
        if status is not None:
            self.handshakes += 1
            return page(status, "Turned away by a test.", **self._headers)
        return await super()._process_request(connection, request)
