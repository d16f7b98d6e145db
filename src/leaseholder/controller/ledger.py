"""The ledger compared with the world: what no event told us.

At the start and every ten minutes all DynamicLeases and all records are listed; whatever the
controller hasn't seen in that version, or doesn't know at all, is made due, and so is what it
keeps although neither list has it. The lists are a hint: whether a DynamicLease is really gone
is judged from a live GET.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from leaseholder import ports
from leaseholder.api import record
from leaseholder.controller import mishaps
from leaseholder.controller.loop import Controller
from leaseholder.controller.supplies import Supplies

logger = logging.getLogger(__name__)

INTERVAL: Final = 600.0
"""Seconds between two comparisons."""
RETRY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Makes due what events missed."""

    cluster: ports.Cluster
    controller: Controller
    supplies: Supplies

    async def run(self) -> None:
        """Compare now and every ten minutes, for ever."""
        while True:
            try:
                await self.compare()
                wait = INTERVAL
            except Exception as error:
                logger.warning("comparing the ledger: %s", mishaps.told(error))
                wait = RETRY
            await asyncio.sleep(wait)

    async def compare(self) -> None:
        """Make due whose DynamicLease or record is unknown or changed, or on no list any more."""
        before = self.controller.holders
        wanted = await self.cluster.dynamic_leases()
        records = await self.cluster.all_records()
        owing = {known.spec.for_ for known in records}
        self.supplies.forget_unused({known.spec.provider.uid for known in records})
        due = {dl.holder for dl in wanted if not self.controller.knows(dl)}
        due |= {holder for holder in owing if holder not in self.controller}
        due |= {*before} - {dl.holder for dl in wanted}
        for holder in due:
            await self.controller.offer(holder, poke=False)

    async def follow_secrets(self) -> None:
        """Make the owner of each Secret due that somebody else changed, for ever.

        Where one went or changed hands, also those who want a Secret that isn't theirs.
        """
        async for event in self.cluster.secret_events():
            holder = record.Holder(
                namespace=event.namespace, name=event.owner_name, uid=event.owner_uid
            )
            if not self.controller.wrote(holder, event.version):
                await self.controller.offer(holder, poke=False, harmed=True)
            if not event.version:
                await self.controller.offer_contested(event.namespace)
