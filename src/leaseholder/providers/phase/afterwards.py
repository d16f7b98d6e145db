"""One more revocation, a settle time after Phase confirmed the first.

Phase writes a lease's row whole, as it read it before. So a renewal that meets a revocation (one
whose answer we gave up on, say) can leave the row active over a dead key, after both were answered
with success. Asked again, Phase revokes such a lease; of others it says that they are revoked.

Nobody waits for this: record and finalizer are gone by then. It is kept in memory alone; where the
process ends before, the job of the row's own expiry ends it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from leaseholder import errors
from leaseholder.ports.provider import Lease, RevocationAnswer

MOST: Final = 4096
"""So many leases are remembered; of more the oldest are let go."""
TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Planned:
    lease: Lease
    at: float
    """When it is due, by the event loop's clock in seconds."""
    left: int
    """So many tries are left."""


class Afterwards:
    """Revokes leases once more, one after the other."""

    def __init__(self, revoke: Callable[[Lease], Awaitable[RevocationAnswer]], wait: float) -> None:
        self._revoke = revoke
        self._wait = wait
        self._planned: dict[str, _Planned] = {}
        """By the lease's id, in the order in which they are due."""
        self._task: asyncio.Task[None] | None = None

    def plan(self, lease: Lease) -> None:
        """Revoke a lease again when the wait is over."""
        self._put(lease, TRIES)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Forget what is planned."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _put(self, lease: Lease, left: int) -> None:
        self._planned.pop(lease.id, None)
        while len(self._planned) >= MOST:
            del self._planned[next(iter(self._planned))]
        at = asyncio.get_running_loop().time() + self._wait
        self._planned[lease.id] = _Planned(lease, at, left)

    async def _work(self) -> None:
        while self._planned:
            first = next(iter(self._planned.values()))
            left = first.at - asyncio.get_running_loop().time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            del self._planned[first.lease.id]
            if not await self._done(first.lease) and first.left > 1:
                self._put(first.lease, first.left - 1)

    async def _done(self, lease: Lease) -> bool:
        try:
            return (await self._revoke(lease)).done
        except errors.LeaseGone:
            return True
        except errors.ProviderError:
            return False
