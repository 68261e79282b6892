"""`Budget`: the seconds of audio that a batch may start, and what may be billed for those that it started.

Asked by `intake` and `fate`; booked from by `run`.
"""

from __future__ import annotations

import math
from typing import Optional

BILLABLE_UNIT_SECONDS = 15.0  # s: a third-party catalogue says so; unconfirmed


class Budget:
    """What may be spent, and what was.

    Each exchange has a reservation of its recording's length. Ask `has_room()`, then call `reserve()`, with no other
    question between: one thread does all of it. When the exchange has ended, `bill()` what it sent, or `release()` the
    reservation if the server has metered nothing.

    Attributes:
        most_seconds: How much audio may be started; `None` if there is no limit.
        billable_seconds: An estimate of what is billed: the started units of every stream that may be metered.
    """

    def __init__(self, most_seconds: Optional[float], unit_seconds: float) -> None:
        self.most_seconds = most_seconds
        self.billable_seconds = 0.0
        self._unit_seconds = unit_seconds
        self._reserved_seconds = 0.0  # of exchanges that are under way, or were metered

    def has_room(self, seconds: float) -> bool:
        """Returns whether a recording of that length may be started."""
        return self.most_seconds is None or self._reserved_seconds + seconds <= self.most_seconds

    def reserve(self, seconds: float) -> None:
        """Sets a recording's length aside for an exchange."""
        self._reserved_seconds += seconds

    def release(self, seconds: float) -> None:
        """Takes back the reservation of an exchange that was not metered."""
        self._reserved_seconds -= seconds

    def bill(self, sent_seconds: float) -> None:
        """Adds a stream that may be metered to the estimate; its reservation stays.

        Args:
            sent_seconds: The audio that was sent. A stream costs one unit at least.
        """
        self.billable_seconds += max(1, math.ceil(sent_seconds / self._unit_seconds)) * self._unit_seconds
