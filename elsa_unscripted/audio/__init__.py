"""From anything that holds audio to the packets of the wire. For `exchange`, `batch` and `report`."""

from .packets import Format, Packet, Source
from .recording import Recording, load

__all__ = ["Format", "Packet", "Recording", "Source", "load"]
