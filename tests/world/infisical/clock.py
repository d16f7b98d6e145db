"""The emulator's time in milliseconds since 1970.

A float, because that is what the server computes with: a ttl that doesn't parse has to be able to
poison it (NaN).
"""

import datetime
import math

from tests.world.emulation import clock as clocks


class Clock(clocks.Clock):
    """Now, as this server sees it."""

    def now(self) -> float:
        return math.floor(self.moment().timestamp() * 1000)

    def real(self, moment: float) -> float:
        """The same moment on the machine's clock, which the databases go by."""
        return moment - self.offset.total_seconds() * 1000


def iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds; a poisoned time raises, as toISOString does."""
    if math.isnan(moment):
        raise ValueError("Invalid time value")
    when = datetime.datetime.fromtimestamp(math.trunc(moment) / 1000, tz=datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
