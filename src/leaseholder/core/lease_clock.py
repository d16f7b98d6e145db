"""The clock of one lease: what its server's clock says, carried on from the first look.

Flows in: ``Date`` of the provider, and ``ahead``, by which the fresh lease's own moment of issue
was later. Flows out: ``shift``, what to add to the lease's moments to have them on the clock of a
view. ``controller.observe`` keeps one for each lease in memory.

``Date`` may come from a proxy. So the clock is carried on by one of ours that never jumps; it goes
forward where ``Date`` does, and never back: a lease that has a minute to live has a minute to live,
whatever a proxy says later. A view has leases of several providers, whose clocks may be half an
hour apart, so all moments in it are on one clock, that of its ``now``.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

_TICK: Final = timedelta(seconds=1)
"""Both clocks are read in whole seconds: a difference of one may come of that alone."""


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """What one process knows of the clock of one lease."""

    moment: datetime
    """What it showed …"""
    at: float
    """… at that time of ours (monotonic seconds)."""
    ahead: int
    """Seconds that it is ahead of the provider's ``Date``, as the record has it."""
    shift: timedelta
    """What to add to the lease's own moments to have them on the view's clock."""

    @classmethod
    def start(cls, ahead: int, date: datetime, now: datetime, monotonic: float) -> Self:
        """The clock at first sight of a lease.

        Args:
            ahead: as on its record, in seconds.
            date: the clock of the lease's provider.
            now: the view's clock.
            monotonic: seconds of ours.
        """
        own = date + timedelta(seconds=ahead)
        return cls(own, monotonic, ahead, now - own)

    def read(self, monotonic: float) -> datetime:
        """The clock, carried on."""
        return self.moment + timedelta(seconds=monotonic - self.at)

    def seen(self, date: datetime, now: datetime, monotonic: float) -> Self:
        """The clock at another look; arguments as of ``start``."""
        own = max(self.read(monotonic), date + timedelta(seconds=self.ahead))
        shift = now - own
        if abs(shift - self.shift) <= _TICK:
            shift = self.shift
        return replace(self, moment=own, at=monotonic, shift=shift)
