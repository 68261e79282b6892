"""The journal of a batch: JSON Lines of finished recordings. Appended to by `batch`; read by it, reports and tables."""

from __future__ import annotations

from .entry import Entry, to_raw
from .file import Journal, Line, read

__all__ = ["Entry", "Journal", "Line", "read", "to_raw"]
