"""Rate limits per client address: fixed windows, one for all calls and one per category.

Only the Cloud enforces them; here they are off until a test turns them on. Limited routes carry
``x-ratelimit-*`` on every answer, and a 429 adds ``retry-after``, which old servers gave in
milliseconds.
"""

import dataclasses
import math

from tests.world.infisical import clock as clocks
from tests.world.infisical import errors, switches


@dataclasses.dataclass(slots=True)
class Window:
    """Calls since the window opened."""

    opened: float
    used: int = 0


class Windows:
    """All the windows there are."""

    def __init__(self, clock: clocks.Clock) -> None:
        self.clock = clock
        self.limits = switches.Limits()
        self._windows: dict[tuple[str, str], Window] = {}

    def take(self, address: str, category: str) -> dict[str, str]:
        """Count a call: the headers for its answer, or the 429."""
        if not self.limits.enabled:
            return {}
        headers: dict[str, str] = {}
        for name in ("total", category):
            if name != "none":
                headers = self._count(address, name)
        return headers

    def _count(self, address: str, category: str) -> dict[str, str]:
        limit: int = getattr(self.limits, category)
        window = self._window(address, category)
        window.used += 1
        left = window.opened + self.limits.window_seconds * 1000 - self.clock.now()
        seconds = max(1, math.ceil(left / 1000))
        headers = {
            "x-ratelimit-limit": str(limit),
            "x-ratelimit-remaining": str(max(0, limit - window.used)),
            "x-ratelimit-reset": str(seconds),
        }
        if window.used <= limit:
            return headers
        factor = 1000 if self.limits.retry_after_unit == "milliseconds" else 1
        raise errors.too_many(
            f"Rate limit exceeded. Please try again in {seconds} seconds",
            headers={**headers, "retry-after": str(seconds * factor)},
        )

    def _window(self, address: str, category: str) -> Window:
        now = self.clock.now()
        window = self._windows.get((address, category))
        if window is None or now >= window.opened + self.limits.window_seconds * 1000:
            window = self._windows[address, category] = Window(opened=now)
        return window
