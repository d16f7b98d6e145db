"""Who leads: the rules of an election by a Lease of coordination.k8s.io, without any I/O.

The semantics are client-go's. Whoever holds the Lease writes it every ``RETRY`` seconds and leads
for ``DEADLINE`` seconds after it *asked* for the last write that succeeded. Others take a Lease
that is free, or that they saw unchanged for as long as it says. No wall clock counts: two that
measure seconds alike never lead at once, because who takes over saw the write after it was asked
for, and waits longer than its writer leads.

Who led once and couldn't write in time acts no more; it leads again only if the Lease is still its
own, as nobody else can have acted meanwhile.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from leaseholder.ports.seats import Seat

DURATION: Final = 15.0
"""Seconds for which others leave a Lease alone that isn't written."""
DEADLINE: Final = 10.0
"""Seconds for which its holder leads without writing it."""
RETRY: Final = 2.0
"""Seconds between two writes, and between two looks of those who wait."""
LONGEST: Final = 3600.0
"""Nobody waits longer for a holder that is gone, whatever the Lease says."""


class Standing(Enum):
    """Where a process stands."""

    WAITING = auto()
    """It never led: somebody else may."""
    LEADING = auto()
    UNSURE = auto()
    """It led, and couldn't write the Lease in time: it doesn't act."""
    LOST = auto()
    """It led, and somebody else does now, or may have: only a new process may lead again."""


@dataclass(slots=True)
class Election:
    """One candidate. Moments are seconds of its own clock that never jumps."""

    me: str
    """An identity that no other process has or had."""
    _seen: Seat | None = None
    _since: float = -math.inf
    """When the Lease was first seen as it was last seen."""
    _until: float = -math.inf
    _led: bool = False
    _lost: bool = False

    def standing(self, now: float) -> Standing:
        """Where the candidate stands at a moment."""
        if self._lost:
            return Standing.LOST
        if now < self._until:
            return Standing.LEADING
        return Standing.UNSURE if self._led else Standing.WAITING

    @property
    def leader(self) -> str:
        """Who held the Lease when it was last seen; empty: nobody."""
        return self._seen.holder if self._seen is not None else ""

    def bid(self, seat: Seat | None, now: float) -> Seat | None:
        """What to write where the Lease was read as ``seat``; None: it is somebody else's.

        Args:
            seat: the Lease, None where there is none.
            now: after it was read.
        """
        if seat is None or seat != self._seen:
            self._seen, self._since = seat, now
        mine = seat is not None and seat.holder == self.me
        if self._led and not mine:
            self._lost, self._until = True, -math.inf
        if self._lost:
            return None
        if seat is None:
            return Seat(holder=self.me, duration=DURATION, version="", transitions=0, begins=True)
        if mine:
            return replace(seat, duration=DURATION, begins=False)
        if seat.holder and now < self._since + _patience(seat):
            return None
        return Seat(
            holder=self.me,
            duration=DURATION,
            version=seat.version,
            transitions=seat.transitions + 1,
            begins=True,
        )

    def wrote(self, seat: Seat, asked: float, now: float) -> None:
        """A bid was written.

        Args:
            seat: the Lease as the answer shows it.
            asked: before it was sent.
            now: after the answer came.
        """
        self._seen, self._since = seat, now
        self._led, self._until = True, asked + DEADLINE

    def released(self) -> Seat | None:
        """What to write when the work is finished; None: the Lease isn't ours, as far as is known.

        From here on the candidate doesn't lead.
        """
        held, self._seen = self._seen, None
        self._lost, self._until = True, -math.inf
        if held is None or held.holder != self.me:
            return None
        return replace(held, holder="", duration=1.0, begins=False)

    def next_at(self, now: float) -> float:
        """When to ask again."""
        if self._seen is None or self._seen.holder in ("", self.me):
            return now + RETRY
        return min(now + RETRY, max(now, self._since + _patience(self._seen)))


def _patience(seat: Seat) -> float:
    """For how long an unchanged Lease is left to its holder."""
    return min(LONGEST, max(DURATION, seat.duration))
