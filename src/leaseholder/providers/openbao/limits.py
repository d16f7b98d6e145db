"""What truncated answers taught: how long leases of a path, and tokens of the login, can live.

No field tells a maximum; an extension that gives less than was asked does. It is kept for the
leases that come, for a while, since an administrator may change it.
"""

from collections.abc import Callable
from typing import Final

_VALID_SECONDS: Final = 6 * 3600.0
_FRESH_SECONDS: Final = 300.0


class Limits:
    """Maximal lives by path; the empty path stands for the login's tokens."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Nothing is known yet; ``now`` are seconds that never jump."""
        self._now = now
        self._known: dict[str, tuple[int, float]] = {}

    def learn(self, path: str, seconds: int) -> None:
        """Take note of a maximum that an answer showed."""
        self._known[path] = seconds, self._now()

    def forget(self, path: str) -> None:
        """Take note that something lived longer."""
        self._known.pop(path, None)

    def known(self, path: str) -> int | None:
        """Seconds, None where nothing was learned lately."""
        return self._within(path, _VALID_SECONDS)

    def fresh(self, path: str) -> int | None:
        """The same, but only where it was learned so lately that it needn't be tried again."""
        return self._within(path, _FRESH_SECONDS)

    def _within(self, path: str, age: float) -> int | None:
        seconds, at = self._known.get(path, (0, 0.0))
        return seconds if seconds and self._now() - at < age else None
