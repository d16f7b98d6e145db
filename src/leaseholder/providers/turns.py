"""Turns at one provider: so many requests at once, and who loses most by waiting goes first.

What keeps held leases alive comes before all else, by the time that is left to them; then new
leases, then what is owed, then looks at the provider itself. A lease past its known end waits
after those that live: it can't be lost any more.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator
from enum import IntEnum


class Rank(IntEnum):
    """What a request is for; a lower rank goes first."""

    LOGIN = 0
    """Everybody else waits for it."""
    KEEP = 1
    """Extends or looks at a lease that there is, or finds out how to."""
    MINT = 2
    OWED = 3
    """Revokes, or searches for what is to be revoked."""
    CHECK = 4
    """Only looks whether the provider answers."""


class Turns:
    """Bounds how many requests are under way; a semaphore whose queue has an order."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[tuple[Rank, float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @contextlib.asynccontextmanager
    async def turn(self, rank: Rank, left: float | None = None) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Args:
            rank: what for.
            left: seconds that the lease which it keeps alive still lives; None: not known.
        """
        await self._take(rank, float("inf") if left is None else left)
        try:
            yield
        finally:
            self._give()

    async def _take(self, rank: Rank, left: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, left, next(self._count), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn came at the same moment
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
