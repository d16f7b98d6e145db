"""Who is worked on next: by due time and urgency, and no namespace takes all workers.

A tenant may have a provider that never answers, and any number of leases there. So a namespace
gets three quarters of the workers that others leave, at most, and always one if one is free; who
is due beyond that is parked, and the others go first.
"""

import collections
from collections.abc import Callable
from dataclasses import dataclass, field

from leaseholder.api.record import Holder
from leaseholder.core.queue import DueQueue

Urgency = Callable[[Holder, float], float | None]
"""By when something is lost that is due then; None: nothing is."""


@dataclass(slots=True)
class Line:
    """The keys that are due some time, and those that are worked on; moments are monotonic."""

    workers: int
    urgency: Urgency
    _queue: DueQueue[Holder] = field(default_factory=DueQueue)
    _parked: dict[str, DueQueue[Holder]] = field(default_factory=dict)
    """Due, by namespace, where that has as many workers as it may."""
    _busy: collections.Counter[str] = field(default_factory=collections.Counter)
    """Workers by namespace."""
    _held: set[Holder] = field(default_factory=set)
    _again: set[Holder] = field(default_factory=set)
    """Became due while a worker held them."""

    def offer(self, holder: Holder, at: float) -> None:
        """Look at it then, or earlier where that was said before."""
        self._queue.offer(holder, at, by=self.urgency(holder, at))

    def next_due(self) -> float | None:
        """When the next one is due that isn't parked."""
        return self._queue.next_due()

    def take(self, now: float) -> tuple[Holder, float] | None:
        """What a worker is to do now, and since when it has been due; None: nothing."""
        while (queue := self._most_urgent(now)) is not None:
            due = queue.pop(now)
            assert due is not None  # noqa: S101 - its urgency was just read
            holder, since = due
            if queue is not self._queue and not len(queue):
                del self._parked[holder.namespace]
            if holder in self._held:
                self._again.add(holder)
            elif not self._has_room(holder.namespace):
                self._park(holder, since)
            else:
                return self._given(holder, since)
        return None

    def done(self, holder: Holder, now: float) -> None:
        """A worker is through with it; due again at once if that was said meanwhile."""
        self._held.discard(holder)
        self._busy[holder.namespace] -= 1
        if not self._busy[holder.namespace]:
            del self._busy[holder.namespace]
        if holder in self._again:
            self._again.discard(holder)
            self.offer(holder, now)

    def _has_room(self, namespace: str) -> bool:
        own = self._busy[namespace]
        others = self._busy.total() - own
        return own == 0 or own < (self.workers - others) * 3 // 4

    def _park(self, holder: Holder, since: float) -> None:
        parked = self._parked.setdefault(holder.namespace, DueQueue())
        parked.offer(holder, since, by=self.urgency(holder, since))

    def _most_urgent(self, now: float) -> DueQueue[Holder] | None:
        """Where the most urgent key stands that may be worked on: queued, or parked with room.

        Whoever is parked mustn't wait until the queue is empty: leases end meanwhile.
        """
        parked = [(name, queue) for name, queue in self._parked.items() if self._has_room(name)]
        ranked = [
            (by, self._busy[name], queue)
            for name, queue in [("", self._queue), *parked]
            if (by := queue.urgency(now)) is not None
        ]
        return min(ranked, key=lambda one: one[:2])[2] if ranked else None

    def _given(self, holder: Holder, since: float) -> tuple[Holder, float]:
        self._held.add(holder)
        self._busy[holder.namespace] += 1
        return holder, since
