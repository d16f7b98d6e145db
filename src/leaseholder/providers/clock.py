"""The provider's clock, as far as its answers tell it.

Expiries are the provider's moments, so they are compared with the provider's time: the ``Date``
of its last answer, carried on by a clock of ours that never jumps. The wall clock only stands in
until there was an answer, and shows the skew.
"""

from datetime import UTC, datetime, timedelta
from email import utils

from leaseholder import ports
from leaseholder.api import base


class ProviderClock:
    """Now, as the provider sees it, in whole seconds."""

    def __init__(self, clock: ports.Clock) -> None:
        self._clock = clock
        self._anchor: tuple[datetime, float] | None = None
        self._skew = 0

    def observe(self, date: str | None) -> None:
        """Take note of an answer's ``Date`` header; one that can't be read is ignored."""
        stated = _parse(date)
        if stated is None:
            return
        self._anchor = (stated, self._clock.monotonic())
        self._skew = int((stated - self._clock.wall()).total_seconds())

    def now(self) -> datetime:
        """The last ``Date`` carried on; the wall clock before the first answer."""
        if self._anchor is None:
            return base.whole_second(self._clock.wall())
        stated, at = self._anchor
        return base.whole_second(stated + timedelta(seconds=self._clock.monotonic() - at))

    @property
    def skew(self) -> int:
        """Provider's clock minus the wall clock at the last answer, in seconds."""
        return self._skew


def _parse(date: str | None) -> datetime | None:
    if date is None:
        return None
    try:
        stated = utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return stated.replace(tzinfo=stated.tzinfo or UTC)
