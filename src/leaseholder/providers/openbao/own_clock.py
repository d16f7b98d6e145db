"""OpenBao's own clock, where ``Date`` is a proxy's.

Each look at a token or a lease tells its end and the seconds that are left, and so the server's
time. A leased read tells a length only: what is reckoned from it has to be on the clock that later
looks are on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

_SLACK: Final = timedelta(seconds=3)
"""``Date``, and what is left, are cut to the second, and the answer took a moment."""


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
