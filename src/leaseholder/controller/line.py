"""Who is worked on next: by due time and urgency, and no namespace takes all workers.

A tenant may have a provider that never answers, and any number of leases there. So a namespace
gets three quarters of the workers that others leave, at most, and always one if one is free; who
is due beyond that is parked, and the others go first.

DynamicLeases stand in one line, providers in another.
"""

import collections
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from leaseholder.core.queue import DueQueue

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Line(Generic[K]):
    """The keys that are due some time, and those that are worked on; moments are monotonic."""

    workers: int
    namespace: Callable[[K], str]
    urgency: Callable[[K, float], float | None] = lambda key, due: None
    """By when something is lost that is due then; None: nothing is."""
    _queue: DueQueue[K] = field(default_factory=DueQueue)
    _parked: dict[str, DueQueue[K]] = field(default_factory=dict)
    """Due, by namespace, where that has as many workers as it may."""
    _busy: collections.Counter[str] = field(default_factory=collections.Counter)
    """Workers by namespace."""
    _held: set[K] = field(default_factory=set)
    _again: set[K] = field(default_factory=set)
    """Became due while a worker held them."""

    @property
    def is_full(self) -> bool:
        """Whether no worker is free."""
        return self._busy.total() >= self.workers

    def offer(self, key: K, at: float) -> None:
        """Look at it then, or earlier where that was said before."""
        self._queue.offer(key, at, by=self.urgency(key, at))

    def next_due(self) -> float | None:
        """When the next one is due that isn't parked."""
        return self._queue.next_due()

    def waiting(self, now: float) -> int:
        """How many are due and wait for a worker."""
        return self._queue.due(now) + sum(len(parked) for parked in self._parked.values())

    def take(self, now: float) -> tuple[K, float] | None:
        """What a worker is to do now, and since when it has been due; None: nothing."""
        while (queue := self._most_urgent(now)) is not None:
            due = queue.pop(now)
            assert due is not None  # noqa: S101 - its urgency was just read
            key, since = due
            namespace = self.namespace(key)
            if queue is not self._queue and not len(queue):
                del self._parked[namespace]
            if key in self._held:
                self._again.add(key)
            elif not self._has_room(namespace):
                self._park(key, since)
            else:
                self._held.add(key)
                self._busy[namespace] += 1
                return key, since
        return None

    def done(self, key: K, again: float) -> None:
        """A worker is through with it; due ``again`` if that was said meanwhile."""
        namespace = self.namespace(key)
        self._held.discard(key)
        self._busy[namespace] -= 1
        if not self._busy[namespace]:
            del self._busy[namespace]
        if key in self._again:
            self._again.discard(key)
            self.offer(key, again)

    def _has_room(self, namespace: str) -> bool:
        own = self._busy[namespace]
        others = self._busy.total() - own
        return own == 0 or own < (self.workers - others) * 3 // 4

    def _park(self, key: K, since: float) -> None:
        parked = self._parked.setdefault(self.namespace(key), DueQueue())
        parked.offer(key, since, by=self.urgency(key, since))

    def _most_urgent(self, now: float) -> DueQueue[K] | None:
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
