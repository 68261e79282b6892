"""A result, or a journal, as one HTML file that needs nothing else (extra `report`: Jinja2).

For `ScoreResult.to_html()` and `elsa-unscripted report`. All text of the server is untrusted: see `render`.
"""

from __future__ import annotations

from ..imports import another_module

try:
    import jinja2  # imported here, so that one message says that it is missing, and what to do
except ImportError as error:
    raise ModuleNotFoundError(
        "the report needs the package Jinja2: pip install 'elsa-unscripted[report]'", name="jinja2"
    ) from error
if not hasattr(jinja2, "Environment"):
    raise ImportError(another_module(jinja2, "jinja2", "pip install --force-reinstall Jinja2"), name="jinja2")

from .classroom import class_page
from .page import result_page, titled

__all__ = ["class_page", "result_page", "titled"]
