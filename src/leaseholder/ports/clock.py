"""Time on this machine. ``leaseholder.clock`` has it; tests turn their own."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time on this machine."""

    def monotonic(self) -> float:
        """Seconds that never jump, running on through sleep (CLOCK_BOOTTIME)."""
        ...

    def wall(self) -> datetime:
        """The wall clock in UTC; shows a moment, decides nothing."""
        ...
