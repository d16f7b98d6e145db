"""Due times by key: what is to be looked at when, each key once.

Flows in: keys with the moment at which they are due. Flows out: the key that goes next; of those
that are due it is the one with the least time, because after an outage many are due at once, and
some of their leases end soon. ``controller.line`` adds fairness between namespaces.

A heap with lazily discarded entries, as in cert-manager's scheduler. Moments are whatever the
caller counts in (monotonic seconds).
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

PATIENCE: Final = 60.0
"""Who loses nothing by waiting is treated as if it did so long after it became due: whatever
is more urgent goes first, but not for ever."""
_STALE_AT_MOST: Final = 64
"""So many entries may be discarded later, beside as many as there are keys."""


@dataclass(frozen=True, slots=True)
class _QueuePlace:
    at: float
    by: float
    number: int


class DueQueue(Generic[K]):
    """Keys with due times; what is earlier or more urgent counts, unless set outright."""

    def __init__(self) -> None:
        self._places: dict[K, _QueuePlace] = {}
        self._later: list[tuple[float, int, K]] = []
        self._due: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: K) -> bool:
        return key in self._places

    def offer(self, key: K, at: float, *, by: float | None = None) -> None:
        """Look at ``key`` at ``at`` or earlier; something is lost if not ``by`` then.

        One that waits already can become more urgent: a user's change, while an inspection is due.
        """
        by, known = at + PATIENCE if by is None else by, self._places.get(key)
        if known is not None:
            at, by = min(at, known.at), min(by, known.by)
        if known is None or (at, by) != (known.at, known.by):
            self.set(key, at, by=by)

    def set(self, key: K, at: float, *, by: float | None = None) -> None:
        """Look at ``key`` at ``at``, whatever was said before."""
        self._count += 1
        place = _QueuePlace(at, at + PATIENCE if by is None else by, self._count)
        self._places[key] = place
        heapq.heappush(self._later, (at, place.number, key))
        if len(self._later) > _STALE_AT_MOST + 2 * len(self._places):
            # A time far ahead that was replaced would stay until it is reached.
            self._later = [entry for entry in self._later if self._stands(entry)]
            heapq.heapify(self._later)

    def forget(self, key: K) -> None:
        """Don't look at ``key`` any more."""
        self._places.pop(key, None)

    def next_due(self) -> float | None:
        """When a key is due that ``pop`` would give, None where none ever is."""
        for heap in (self._due, self._later):
            self._discard_stale(heap)
            if heap:
                return self._places[heap[0][2]].at
        return None

    def urgency(self, now: float) -> float | None:
        """By when the key that ``pop`` would give has to be looked at; None where none is due."""
        self._ripen(now)
        return self._due[0][0] if self._due else None

    def due(self, now: float) -> int:
        """How many keys ``pop`` would give one after the other."""
        self._ripen(now)
        return sum(self._stands(entry) for entry in self._due)

    def pop(self, now: float) -> tuple[K, float] | None:
        """Take the most urgent of the keys that are due, None where none is.

        Returns:
            The key, and since when it has been due.
        """
        self._ripen(now)
        if not self._due:
            return None
        _, _, key = heapq.heappop(self._due)
        return key, self._places.pop(key).at

    def _ripen(self, now: float) -> None:
        """Move what has become due, so that the most urgent stands first."""
        self._discard_stale(self._later)
        while self._later and self._later[0][0] <= now:
            _, number, key = heapq.heappop(self._later)
            heapq.heappush(self._due, (self._places[key].by, number, key))
            self._discard_stale(self._later)
        self._discard_stale(self._due)

    def _discard_stale(self, heap: list[tuple[float, int, K]]) -> None:
        while heap and not self._stands(heap[0]):
            heapq.heappop(heap)

    def _stands(self, entry: tuple[float, int, K]) -> bool:
        place = self._places.get(entry[2])
        return place is not None and place.number == entry[1]
