"""A server's clock, as far as its answers tell it.

Moments that a server sets are compared with that server's time: the ``Date`` of its answers,
carried on by a clock of ours that never jumps. The wall clock stands in where there is no ``Date``,
read once, so that setting it moves nothing.

``Date`` isn't always the server's own. A reverse proxy writes its own, and behind one address there
may be several servers whose clocks differ. So an answer whose ``Date`` is far from what is expected
only raises a doubt. The clock goes forward when a second answer agrees and none between them
agreed with the clock as it was. It goes back when all answers of a minute agree: who believes a
moment that is too early lets a lease die.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import utils
from typing import Final

from leaseholder.api import base

JUMP: Final = timedelta(seconds=30)
"""A ``Date`` that is ahead by more isn't explained by drift: one answer alone isn't believed."""
LATE: Final = timedelta(seconds=2)
"""A ``Date`` may be behind by so much: it is cut to the second, and its answer takes a moment."""
ALIKE: Final = timedelta(seconds=10)
"""Two answers agree that the clock was set when they differ by no more."""
BACK: Final = 60.0
"""Seconds for which all answers have to agree before the clock goes back."""
DOUBT_EVERY: Final = 60.0
"""Seconds between two doubts that are reported."""
_LONGEST: Final = 64
"""Characters of a ``Date``; what takes longer ones apart takes long for it."""


@dataclass(slots=True)
class _OtherTime:
    """Another time than the clock's, that answers agree on."""

    moment: datetime
    at: float
    """Monotonic seconds when it was ``moment``."""
    since: float
    """Monotonic seconds of the first of these answers."""


class ServerClock:
    """Now, as a server sees it, in whole seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        wall: Callable[[], datetime],
        *,
        doubted: Callable[[], None] = lambda: None,
        was_set: Callable[[], None] = lambda: None,
    ) -> None:
        """A clock that shows the wall clock's time until an answer says more.

        Args:
            monotonic: seconds that never jump.
            wall: this machine's wall clock (UTC).
            doubted: called, once in ``DOUBT_EVERY``, when one answer is far ahead: another one
                would tell.
            was_set: called when the clock went forward by more than ``JUMP``, and when the first
                answer shows that the wall clock was wrong.
        """
        self._monotonic, self._wall = monotonic, wall
        self._doubted, self._was_set = doubted, was_set
        self._anchor: tuple[datetime, float] | None = None
        self._heard = False
        self._rival: _OtherTime | None = None
        self._doubted_at: float | None = None
        self._skew = 0

    @property
    def heard(self) -> bool:
        """Whether any answer told the time; before, the wall clock stands in."""
        return self._heard

    @property
    def skew(self) -> int:
        """The last ``Date`` minus the wall clock at that answer, in seconds."""
        return self._skew

    def now(self) -> datetime:
        """The ``Date`` of answers carried on, cut to the second."""
        return base.whole_second(self._now())

    def observe(self, date: str | None) -> None:
        """Take note of an answer's ``Date`` header; one that can't be read is ignored."""
        stated = moment(date)
        if stated is None:
            return
        self._skew = int((stated - self._wall()).total_seconds())
        ahead = stated - self._now()
        if not self._heard:
            self._hear(stated, ahead)
        elif -LATE <= ahead <= JUMP:
            self._rival = None
            if ahead > timedelta(0):
                self._go_to(stated)
        else:
            self._doubt(stated, ahead)

    def _hear(self, stated: datetime, ahead: timedelta) -> None:
        """The first answer: what was planned by the wall clock may be wrong."""
        self._heard = True
        self._go_to(stated)
        if abs(ahead) > LATE:
            self._was_set()

    def _now(self) -> datetime:
        if self._anchor is None:
            self._go_to(self._wall())
        assert self._anchor is not None  # noqa: S101 - it was set just now
        stated, at = self._anchor
        return stated + timedelta(seconds=self._monotonic() - at)

    def _go_to(self, moment: datetime) -> None:
        self._anchor, self._rival = (moment, self._monotonic()), None

    def _doubt(self, stated: datetime, ahead: timedelta) -> None:
        """An answer contradicts the clock: it is set when others say the same."""
        now, known = self._monotonic(), self._rival
        carried = known.moment + timedelta(seconds=now - known.at) if known is not None else stated
        if known is None or abs(stated - carried) > ALIKE:
            self._rival = _OtherTime(stated, now, now)
            if ahead > JUMP:
                self._report_doubt(now)
            return
        if stated > carried:  # the latest of them was the quickest to come
            known.moment, known.at = stated, now
        if ahead > JUMP:
            self._go_to(max(stated, carried))
            self._was_set()
        elif now - known.since >= BACK:
            self._go_to(max(stated, carried))

    def _report_doubt(self, now: float) -> None:
        if self._doubted_at is None or now - self._doubted_at >= DOUBT_EVERY:
            self._doubted_at = now
            self._doubted()


def ahead(issued_at: datetime, asked: datetime, answered: datetime) -> int:
    """Seconds that a fresh lease's own moments are ahead of the provider's ``Date``.

    It was issued between question and answer; where its own moment of issue lies between them,
    nothing is known to be wrong, and it is 0. Else the latest time that its own clock can show at
    the answer counts: who takes it for earlier lets the lease die.

    Args:
        issued_at: the moment of issue, as the lease tells.
        asked: the provider's clock when the lease was asked for.
        answered: the same when the answer came.
    """
    if asked - LATE <= issued_at <= answered + LATE:
        return 0
    return int((issued_at - asked).total_seconds())


def moment(date: str | None) -> datetime | None:
    """The moment that a header tells, as ``Date`` does; None where it tells none."""
    return None if date is None or len(date) > _LONGEST else _read(date)


@functools.lru_cache(maxsize=64)  # all answers of a second show the same text
def _read(date: str) -> datetime | None:
    try:
        stated = utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return base.sensible(stated.replace(tzinfo=stated.tzinfo or UTC))
