"""What truncated answers taught: how long leases of a path, and tokens of the login, can live.

No field tells a maximum; an extension that gives less than was asked does. It is kept for the
leases that come, for a while, since an administrator may change it.
"""

from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

_VALID_SECONDS: Final = 6 * 3600.0
_FRESH_SECONDS: Final = 300.0
_MOST: Final = 1024
"""Of so many paths; a DynamicLease may ask for any."""


class Limits:
    """Maximal lives by path; the empty path stands for the login's tokens."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Nothing is known yet; ``now`` are seconds that never jump."""
        self._now = now
        self._known: TTLCache[str, tuple[int, float]] = TTLCache(_MOST, _VALID_SECONDS, timer=now)

    def learn(self, path: str, seconds: int) -> None:
        """Take note of a maximum that an answer showed."""
        self._known[path] = seconds, self._now()

    def forget(self, path: str) -> None:
        """Take note that something lived longer."""
        self._known.pop(path, None)

    def known(self, path: str) -> int | None:
        """Seconds, None where nothing was learned lately."""
        return self._known.get(path, (None, 0.0))[0]

    def fresh(self, path: str) -> int | None:
        """The same, but only where it was learned so lately that it needn't be tried again."""
        seconds, at = self._known.get(path, (None, 0.0))
        return seconds if self._now() - at < _FRESH_SECONDS else None
