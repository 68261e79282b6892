"""A local server that speaks the unscripted streaming protocol, strictly: the staging server that the vendor lacks.

For demos, and for the tests of those who use this package (extra `sandbox`):

    from elsa_unscripted import score
    from elsa_unscripted.sandbox import Sandbox

    with Sandbox("slow=3") as sandbox:
        result = score("speech.wav", "any token", url=sandbox.url)
    assert sandbox.exchanges[-1].close_code == 1000

It imports nothing from the rest of the package. If it shared the client's encoders, a wrong protocol would pass
every test.
"""

from __future__ import annotations

import sys

try:
    import websockets.asyncio.server  # noqa: F401 - the part that websockets 13 brought
except ImportError as error:
    found = sys.modules.get("websockets")
    if found is not None and not hasattr(found, "__path__"):
        raise ImportError(
            f"{getattr(found, '__file__', None)!r} is called websockets and hides the package of that name: rename it, "
            "or take its folder off sys.path",
            name="websockets",
        ) from error
    raise ModuleNotFoundError(
        "the sandbox needs the package websockets: pip install 'elsa-unscripted[sandbox]'", name="websockets"
    ) from error

from .assertion import assert_sent
from .exchange import Exchange
from .scenarios import SCENARIOS
from .server import Sandbox
from .tape.format import TapeError

__all__ = ["SCENARIOS", "Exchange", "Sandbox", "TapeError", "assert_sent"]
