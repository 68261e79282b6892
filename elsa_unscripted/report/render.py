"""Assembles a page: template, styles and scripts in one HTML file that loads nothing and runs only its own script.

Called by `page` and `classroom`. Three layers keep the server's text from being more than text. Jinja2 escapes
everything. Control characters, and those that change the direction of text, are spelled out. And a
Content-Security-Policy admits only the one style and the one script of the page, by their hashes, so that no inline
handler and no style attribute works, and nothing is fetched or sent.
"""

from __future__ import annotations

import base64
import codecs
import functools
import hashlib
from importlib import resources
from typing import Any, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from ..imports import importing
from ..results.bands import band
from ..results.text import number, percent, printable
from ..version import __version__

__all__ = ["page"]


def page(template_name: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = (), **values: Any) -> str:
    """Renders a template that extends `base.html`.

    Args:
        template_name: The template, a file beside this one.
        styles: Names of CSS files beside this one, behind `theme.css`.
        scripts: Names of JavaScript files beside this one.
        **values: What the template shows; `title` is the page's.

    Returns:
        The whole page.
    """
    style = "\n".join(map(_asset, ("theme.css", *styles)))
    script = "\n".join(map(_asset, scripts))
    policy = {
        "default-src": "'none'",
        "style-src": _source(style),
        "script-src": _source(script) if script else "'none'",
        "img-src": "data:",
        "media-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return (
        _environment()
        .get_template(template_name)
        .render(
            style=style,
            script=script,
            policy="; ".join(f"{name} {source}" for name, source in policy.items()),
            version=__version__,
            **values,
        )
    )


def _source(text: str) -> str:
    """Returns what makes a Content-Security-Policy admit this text inline, and no other: its hash."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@functools.cache
def _asset(name: str) -> str:
    # A checkout on Windows may have "\r\n". A browser reads that as "\n", and compares the hash of what it has read.
    text = importing(lambda: resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return text.replace("\r\n", "\n")


@functools.cache
def _environment() -> Environment:
    importing(lambda: codecs.lookup("unicode-escape"))  # Jinja would import it unguarded, see `imports`
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(lines=_lines, number=number, percent=percent, clock=_clock, points=_points, band=band)
    environment.filters["json"] = functools.partial(htmlsafe_json_dumps, ensure_ascii=True, separators=(",", ":"))
    return environment


def _shown(value: Any) -> Any:
    """Spells out what would be invisible or turn the line around; markup that is safe already stays."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _lines(text: str) -> Markup:
    """Does what `_shown()` does to each line of a text; its line breaks stay."""
    return escape("\n".join(map(printable, text.split("\n"))))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _points(value: float) -> str:
    """Returns a width on a scale of percent, for SVG."""
    return f"{min(max(value, 0.0), 100.0):.2f}%"
