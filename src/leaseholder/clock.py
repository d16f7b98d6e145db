"""This machine's clocks, behind the port."""

import time
from datetime import UTC, datetime
from typing import Final

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Runs on while the machine sleeps; where the system has none, the monotonic clock."""


class SystemClock:
    """``Clock`` on the system's clocks."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.clock_gettime(_BOOTTIME)

    def wall(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)
