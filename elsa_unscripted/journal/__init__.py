"""The journal of a batch: JSON Lines of finished recordings. Written and read by `batch`; read by `report`, too."""

from __future__ import annotations

from .entry import Entry, Line, Who, copied, name_in, to_raw
from .file import Journal, read

__all__ = ["Entry", "Journal", "Line", "Who", "copied", "name_in", "read", "to_raw"]
