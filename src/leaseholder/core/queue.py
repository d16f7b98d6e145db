"""Due times by key: what is to be looked at when, each key once.

A heap with lazily discarded entries, as in cert-manager's scheduler. Moments are whatever
the caller counts in (monotonic seconds).
"""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class DueQueue(Generic[K]):
    """Keys with due times; an earlier time replaces a later one, unless set outright."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def offer(self, key: K, at: float) -> None:
        """Look at ``key`` at ``at`` or earlier."""
        known = self._due.get(key)
        if known is None or at < known:
            self.set(key, at)

    def set(self, key: K, at: float) -> None:
        """Look at ``key`` at ``at``, whatever was said before."""
        self._due[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))

    def forget(self, key: K) -> None:
        """Don't look at ``key`` any more."""
        self._due.pop(key, None)

    def next_due(self) -> float | None:
        """When the next key is due, None where none is."""
        self._discard_stale()
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> K | None:
        """Take the key that has been due longest, None where none is due."""
        self._discard_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key

    def _discard_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
