"""The emulator's time: the machine's, plus an offset that a test may move.

Time is milliseconds since 1970 as a float, because that is what the server computes with: a ttl
that doesn't parse has to be able to poison it (NaN).
"""

import datetime
import email.utils
import math
import time


class Clock:
    """Now, as this server sees it."""

    def __init__(self) -> None:
        self.offset_ms = 0.0

    def now(self) -> float:
        return math.floor(time.time() * 1000 + self.offset_ms)

    def http_date(self) -> str:
        return email.utils.formatdate(self.now() / 1000, usegmt=True)

    def real(self, moment: float) -> float:
        """The same moment on the machine's clock, which the databases go by."""
        return moment - self.offset_ms


def iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds; a poisoned time raises, as toISOString does."""
    if math.isnan(moment):
        raise ValueError("Invalid time value")
    when = datetime.datetime.fromtimestamp(math.trunc(moment) / 1000, tz=datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
