"""The journal of a batch: JSON Lines of finished recordings. Appended to by `batch`; read by it, reports and tables."""

from __future__ import annotations

from .entry import Entry, describe
from .file import Journal, read

__all__ = ["Entry", "Journal", "describe", "read"]
