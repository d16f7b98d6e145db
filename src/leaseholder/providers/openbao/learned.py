"""What answers teach beside what they say: rights, the longest lives, and the server's time.

A look at what a token may do tells it of all that have the same policies.

No field tells a maximum; a renewal that gives less than was asked does. It is kept for the
leases that come, for a while, since an administrator may change it.

``Date`` may be a proxy's. Each look at a token or a lease tells its end and the seconds that are
left, and so the server's own time. A leased read tells a length only: what is reckoned from it has
to be on the clock that later looks are on.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cachetools import TTLCache

_VALID_SECONDS: Final = 6 * 3600.0
_FRESH_SECONDS: Final = 300.0
_MOST: Final = 1024
"""Of so many paths; a DynamicLease may ask for any."""
_GRANTED_SECONDS: Final = 60.0
"""Policies are seldom changed; what was withdrawn meanwhile shows in a refusal, which ends it."""
_SLACK: Final = timedelta(seconds=3)
"""``Date``, and what is left, are cut to the second, and the answer took a moment."""


class Granted:
    """Rights that a token with certain policies was just seen to have.

    Each lease has a login of its own, and all of them have the policies of one role.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Nothing is known yet; ``now`` are seconds that never jump."""
        self._known: TTLCache[str, bool] = TTLCache(_MOST, _GRANTED_SECONDS, timer=now)

    def learn(self, policies: Sequence[str], rights: Sequence[object]) -> None:
        """Take note that they give these rights."""
        self._known[_digest(policies, rights)] = True

    def known(self, policies: Sequence[str], rights: Sequence[object]) -> bool:
        """Whether they do; of a token that shows no policies nothing is known."""
        return bool(policies) and _digest(policies, rights) in self._known

    def forget(self) -> None:
        """Take note that something was refused."""
        self._known.clear()


def _digest(policies: Sequence[str], rights: Sequence[object]) -> str:
    """A key of one length: a server may show as many policies as it likes."""
    return hashlib.sha256(repr((sorted(policies), rights)).encode()).hexdigest()


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
