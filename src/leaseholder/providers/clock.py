"""The provider's clock, as far as its answers tell it.

Expiries are the provider's moments, so they are compared with the provider's time: the ``Date``
of its last answer, carried on by a clock of ours that never jumps. The wall clock only stands in
until there was an answer, and shows the skew.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import utils
from typing import Final

from leaseholder import ports
from leaseholder.api import base

JUMP: Final = timedelta(seconds=30)
"""A ``Date`` that is off by more from the one before, carried on, means that a clock was set."""


_LONGEST: Final = 64
"""Characters of a ``Date``; what takes longer ones apart takes long for it."""


class ProviderClock:
    """Now, as the provider sees it, in whole seconds."""

    def __init__(self, clock: ports.Clock, jumped: Callable[[], None] = lambda: None) -> None:
        """A clock that shows the wall clock's time at first.

        Args:
            clock: this machine's.
            jumped: called when the provider's clock was set: what was planned by it is wrong.
        """
        self._clock = clock
        self._jumped = jumped
        self._anchor: tuple[datetime, float] | None = None
        self._skew = 0

    def observe(self, date: str | None) -> None:
        """Take note of an answer's ``Date`` header; one that can't be read is ignored."""
        stated = _parse(date)
        if stated is None:
            return
        was_set = self._anchor is not None and abs(stated - self.now()) > JUMP
        self._anchor = (stated, self._clock.monotonic())
        self._skew = int((stated - self._clock.wall()).total_seconds())
        if was_set:
            self._jumped()

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
    if date is None or len(date) > _LONGEST:
        return None
    try:
        stated = utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return base.sensible(stated.replace(tzinfo=stated.tzinfo or UTC))
