"""A result, or a journal, as one HTML file that needs nothing else (extra `report`: Jinja2).

For `ScoreResult.to_html()` and `elsa-unscripted report`. All text of the server is untrusted: see `render`.
"""

from __future__ import annotations

try:
    import jinja2  # noqa: F401 - imported here, so that one message says that it is missing, and what to do
except ImportError as error:
    raise ModuleNotFoundError(
        "the report needs the package Jinja2: pip install 'elsa-unscripted[report]'", name="jinja2"
    ) from error

from .classroom import class_page
from .page import result_page

__all__ = ["class_page", "result_page"]
