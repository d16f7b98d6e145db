"""How pauses grow between tries at what fails again and again: one rule for all who wait.

The core plans retries by it (``core.schedule``), logins that were refused are stood back from by it
(``providers.kit.accounts``), watches begin anew by it. Spread, if there is any, is the caller's.
"""

from datetime import timedelta
from typing import Final, TypeVar

_DOUBLINGS: Final = 16
Pause = TypeVar("Pause", float, timedelta)


def doubled(times: int, first: Pause, most: Pause) -> Pause:
    """The pause after so many failures in a row (1 or more): from ``first`` up to ``most``."""
    return min(first * 2.0 ** min(times - 1, _DOUBLINGS), most)
