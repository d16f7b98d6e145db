"""What looks at something showed, kept for some seconds, and never more than so much of it.

Many leases of one source ask at once: they share one look. A DynamicLease may name any source, and
a server may be anybody's, so what is kept is bounded by number (cachetools), and what isn't asked
for any more goes first. A look that fails isn't kept.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from cachetools import TLRUCache

MOST: Final = 4096
"""Looks that are kept."""
Value = TypeVar("Value")


class Checks(Generic[Value]):
    """Looks by key."""

    def __init__(self, now: Callable[[], float], holds: Callable[[Value], float]) -> None:
        """Nothing was looked at.

        Args:
            now: seconds that never jump.
            holds: seconds for which what a look showed is believed.
        """
        self._known: TLRUCache[str, Value] = TLRUCache(
            MOST, ttu=lambda _, value, at: at + holds(value), timer=now
        )
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, key: str, ask: Callable[[], Awaitable[Value]]) -> Value:
        """What the last look showed, or a new one does; one at a time for each key.

        Raises:
            ProviderError: as ``ask`` does.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = await ask()
        return found

    def forget(self, is_old: Callable[[Value], bool]) -> None:
        """Let go of what isn't true any more."""
        for key in [key for key, value in self._known.items() if is_old(value)]:
            self._known.pop(key, None)
