"""How fast a provider may be driven: the administrator's bound and what answers teach.

Nobody sleeps here. A request that would come too early is refused with the time after which it
makes sense, and the controller's queue does the waiting. Reads and writes are paced apart, as
the server counts them apart.

A part of what may be sent is kept for those who keep leases alive: mints, and even more so
revocations and looks at the provider, stop while there is still room for extensions.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

from leaseholder import ports
from leaseholder.providers.turns import Rank

Category = Literal["read", "write"]

LONGEST: Final = 120.0
"""No wait is longer: old servers state Retry-After in milliseconds."""
LEAST: Final = 1.0
"""No wait is shorter: OpenBao cuts what is left to whole seconds, and says 0."""
UNSTATED: Final = 10.0
"""The wait after a 429 that doesn't say how long."""
_WINDOW: Final = 60.0
_SHARE: Final = {Rank.LOGIN: 1.0, Rank.KEEP: 1.0, Rank.MINT: 0.75, Rank.OWED: 0.5, Rank.CHECK: 0.5}
"""How much of a budget may be used up for each rank; one request is always granted."""
_IN_MESSAGE: Final = re.compile(r"(?:try again|available) in ([0-9]{1,9}) ?s", re.IGNORECASE)


class Pace:
    """Knows how long a request of a category has to wait."""

    def __init__(self, clock: ports.Clock, per_minute: int | None) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._sent: deque[float] = deque()
        self._until: dict[Category, float] = {"read": 0.0, "write": 0.0}
        self._quota: dict[Category, tuple[float, float]] = {"read": (1.0, 0.0), "write": (1.0, 0.0)}
        """By category the share of the server's quota that is left, and when it is whole again."""

    def wait(self, category: Category, rank: Rank = Rank.KEEP) -> float:
        """Seconds until a request may be sent; 0 for at once."""
        now = self._clock.monotonic()
        left, renewed = self._quota[category]
        reserved = renewed if left <= 1 - _SHARE[rank] else 0.0
        until = max(self._until[category], reserved)
        return max(0.0, until - now, self._budget(now, _SHARE[rank]))

    def used(self) -> float | None:
        """The share of the budget that is used up, 0 to 1; None where no bound is known."""
        now = self._clock.monotonic()
        if any(until > now for until in self._until.values()):
            return 1.0
        shares = [1 - left for left, renewed in self._quota.values() if renewed > now]
        if self._per_minute is not None:
            self._budget(now, 1.0)  # lets go what was sent before this minute
            shares.append(len(self._sent) / self._per_minute)
        return min(1.0, max(shares)) if shares else None

    def sent(self) -> None:
        """Count a request that is sent now."""
        if self._per_minute is not None:
            self._sent.append(self._clock.monotonic())

    def learn(self, category: Category, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says about the requests that are left."""
        remaining = _number(headers.get("x-ratelimit-remaining"))
        if remaining is None:
            return
        limit = _number(headers.get("x-ratelimit-limit")) or max(1.0, remaining)
        reset = min(_number(headers.get("x-ratelimit-reset")) or 0.0, LONGEST)
        self._quota[category] = remaining / limit, self._clock.monotonic() + reset

    def throttled(self, category: Category, headers: Mapping[str, str], message: str) -> float:
        """Take note of a 429.

        Returns:
            Seconds after which the next try makes sense.
        """
        after, reset = headers.get("retry-after"), headers.get("x-ratelimit-reset")
        stated = _number(reset) if _number(after) is None else _number(after)
        in_message = _IN_MESSAGE.search(message)
        told = float(in_message[1]) if in_message else None
        if stated is None or (stated > LONGEST and told is not None):
            stated = told
        wait = UNSTATED if stated is None else min(max(stated, LEAST), LONGEST)
        self._hold(category, wait)
        return wait

    def _hold(self, category: Category, seconds: float) -> None:
        until = self._clock.monotonic() + min(seconds, LONGEST)
        self._until[category] = max(self._until[category], until)

    def _budget(self, now: float, share: float) -> float:
        while self._sent and self._sent[0] <= now - _WINDOW:
            self._sent.popleft()
        if self._per_minute is None:
            return 0.0
        over = len(self._sent) - max(1, int(self._per_minute * share))
        return self._sent[over] + _WINDOW - now if over >= 0 else 0.0


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text.strip()):
        return None
    return float(text)
