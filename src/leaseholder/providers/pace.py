"""How fast a provider may be driven: the administrator's bound and what answers teach.

Nobody sleeps here. A request that would come too early is refused with the time after which it
makes sense, and the controller's queue does the waiting. Reads and writes are paced apart, as
the server counts them apart.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

from leaseholder import ports

Category = Literal["read", "write"]

LONGEST: Final = 120.0
"""No wait is longer: old servers state Retry-After in milliseconds."""
UNSTATED: Final = 10.0
"""The wait after a 429 that doesn't say how long."""
_WINDOW: Final = 60.0
_IN_MESSAGE: Final = re.compile(r"try again in ([0-9]{1,9}) ?s", re.IGNORECASE)


class Pace:
    """Knows how long a request of a category has to wait."""

    def __init__(self, clock: ports.Clock, per_minute: int | None) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._sent: deque[float] = deque()
        self._until: dict[Category, float] = {"read": 0.0, "write": 0.0}

    def wait(self, category: Category) -> float:
        """Seconds until a request may be sent; 0 for at once."""
        now = self._clock.monotonic()
        return max(0.0, self._until[category] - now, self._budget(now))

    def sent(self) -> None:
        """Count a request that is sent now."""
        if self._per_minute is not None:
            self._sent.append(self._clock.monotonic())

    def learn(self, category: Category, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says about the requests that are left."""
        if _number(headers.get("x-ratelimit-remaining")) == 0:
            self._hold(category, _number(headers.get("x-ratelimit-reset")) or 0.0)

    def throttled(self, category: Category, headers: Mapping[str, str], message: str) -> float:
        """Take note of a 429.

        Returns:
            Seconds after which the next try makes sense.
        """
        stated = _number(headers.get("retry-after")) or _number(headers.get("x-ratelimit-reset"))
        in_message = _IN_MESSAGE.search(message)
        told = float(in_message[1]) if in_message else None
        if stated is None or (stated > LONGEST and told is not None):
            stated = told
        wait = min(stated or UNSTATED, LONGEST)
        self._hold(category, wait)
        return wait

    def _hold(self, category: Category, seconds: float) -> None:
        until = self._clock.monotonic() + min(seconds, LONGEST)
        self._until[category] = max(self._until[category], until)

    def _budget(self, now: float) -> float:
        while self._sent and self._sent[0] <= now - _WINDOW:
            self._sent.popleft()
        if self._per_minute is None or len(self._sent) < self._per_minute:
            return 0.0
        return self._sent[0] + _WINDOW - now


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text.strip()):
        return None
    return float(text)
