"""The throttle: a sliding minute for each account; what it refuses doesn't count."""

import collections
import math
from typing import Final

from tests.world.phase import clock as clocks
from tests.world.phase import errors

_WINDOW: Final = 60.0


class Throttle:
    """Counts the requests of each account."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.per_minute: int | None = None
        self._seen: dict[str, collections.deque[float]] = {}

    def take(self, account: str) -> None:
        """Count a request, or refuse it."""
        if self.per_minute is None:
            return
        now = self.clock.now().timestamp()
        seen = self._seen.setdefault(account, collections.deque())
        while seen and seen[0] <= now - _WINDOW:
            seen.popleft()
        if len(seen) >= self.per_minute:
            wait = math.ceil(seen[0] + _WINDOW - now)
            told = f"Request was throttled. Expected available in {wait} seconds."
            raise errors.ApiError(429, told, headers={"Retry-After": str(wait)})
        seen.append(now)
