"""Status writes: so many at once, and those that take Ready back wait for no others.

Flows in: a status that differs from the one that is known. Flows out: one PATCH, a line of the log
for what changed with it, and its events. ``perform`` writes what a rule reports, ``reporting`` what
can't wait for a rule.

Almost every step ends with such a write, and a slow API server takes seconds for one. So nobody
keeps a turn for it (``runner.elsewhere``), and what bounds them is here.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from leaseholder import changes
from leaseholder.api import conditions
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus
from leaseholder.controller.chronicle import Chronicle
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note

AT_ONCE: Final = 64
"""So many are written at once, beside those that take Ready back."""
BACK_AT_ONCE: Final = 256
"""So many take Ready back at once: about what the API server's queues hold for one client."""
_READY: Final = conditions.ConditionType.READY


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Writes statuses."""

    cluster: Cluster
    chronicle: Chronicle
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _room_back: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BACK_AT_ONCE))

    async def write(
        self,
        dl: DynamicLease,
        status: DynamicLeaseStatus,
        notes: Sequence[Note],
        *,
        patience: float | None = None,
    ) -> None:
        """Write a status, log what changed with it, and post the events that go with it.

        Args:
            dl: whose.
            status: to be.
            notes: the events.
            patience: seconds that the write itself may take.

        Raises:
            errors.ClusterError: it wasn't written.
            TimeoutError: it took longer.
        """
        async with self._room_back if takes_back(dl, status) else self._room:
            async with asyncio.timeout(patience):
                await self.cluster.patch_lease_status(dl, status)
        for change in changes.reported(dl, status):
            await self.chronicle.note(None, change)
        for note in notes:
            await self.chronicle.emit(dl, note)


def takes_back(dl: DynamicLease, status: DynamicLeaseStatus) -> bool:
    """Whether a status takes Ready back."""
    was_ready = conditions.is_true(dl.status.conditions, _READY)
    return was_ready and not conditions.is_true(status.conditions, _READY)
