"""What answers teach beside what they say: the longest lives that are given, and the server's time.

No field tells a maximum; a renewal that gives less than was asked does. It is kept for the
leases that come, for a while, since an administrator may change it.

``Date`` may be a proxy's. Each look at a token or a lease tells its end and the seconds that are
left, and so the server's own time. A leased read tells a length only: what is reckoned from it has
to be on the clock that later looks are on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from cachetools import TTLCache

_VALID_SECONDS: Final = 6 * 3600.0
_FRESH_SECONDS: Final = 300.0
_MOST: Final = 1024
"""Of so many paths; a DynamicLease may ask for any."""
_SLACK: Final = timedelta(seconds=3)
"""``Date``, and what is left, are cut to the second, and the answer took a moment."""


class Maxima:
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


class OwnClock:
    """Now, by the clock that the server's moments are of."""

    def __init__(self, date: Callable[[], datetime]) -> None:
        """A clock that shows ``date`` until a look says more."""
        self.date = date
        """The clock that answers' ``Date`` shows."""
        self.is_known = False
        """Whether any look told the time."""
        self._ahead = timedelta(0)

    def learn(self, end: datetime | None, left: int) -> None:
        """Take note of a look: something ends at ``end``, in ``left`` seconds (0: unknown)."""
        if end is None or left <= 0:
            return
        self.is_known = True
        ahead = end - timedelta(seconds=left) - self.date()
        self._ahead = ahead if abs(ahead) > _SLACK else timedelta(0)

    def now(self) -> datetime:
        """The server's time, in whole seconds."""
        return (self.date() + self._ahead).replace(microsecond=0)
