"""What was reckoned once and may be asked for again: bounded in bytes, the least used goes first.

Flows in: values with their size; flows out: the same, as long as there is room. Tenants choose how
much there is to remember, so a number of entries is no bound. ``contents`` keeps notes and compiled
templates here.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """Values by key, of so many bytes in all; what is larger than that isn't kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: LRUCache[K, tuple[int, V]] = LRUCache(most, getsizeof=lambda kept: kept[0])

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of all that is kept, as far as that was said."""
        return int(self._kept.currsize)

    def get(self, key: K) -> V | None:
        """The value, None where it isn't kept."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def keep(self, key: K, value: V, size: int) -> V:
        """Keep a value that takes ``size`` bytes, its key's among them; returns it."""
        self.forget(key)
        if size <= self._most:
            self._kept[key] = size, value
        return value

    def forget(self, key: K) -> None:
        """Let a value go."""
        self._kept.pop(key, None)
