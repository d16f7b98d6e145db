"""The ledger compared with the world: what no event told us.

At the start and every ten minutes all DynamicLeases and all records are listed; whatever the
controller hasn't seen in that version, or doesn't know at all, is made due. The list is a
hint: whether a DynamicLease is really gone is judged from a live GET.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from leaseholder import errors, ports
from leaseholder.api import record
from leaseholder.controller.loop import Controller

logger = logging.getLogger(__name__)

INTERVAL: Final = 600.0
"""Seconds between two comparisons."""
RETRY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Makes due what events missed."""

    cluster: ports.Cluster
    controller: Controller

    async def run(self) -> None:
        """Compare now and every ten minutes, for ever."""
        while True:
            try:
                await self.compare()
                wait = INTERVAL
            except errors.ClusterError as error:
                logger.warning("comparing the ledger: %s: %s", error.reason, error.sentence)
                wait = RETRY
            await asyncio.sleep(wait)

    async def compare(self) -> None:
        """Make every DynamicLease and every record's holder due that is unknown or changed."""
        for dl in await self.cluster.dynamic_leases():
            if not self.controller.knows(dl):
                await self.controller.offer(dl.holder, poke=False)
        for known in await self.cluster.all_records():
            if known.spec.for_ not in self.controller:
                await self.controller.offer(known.spec.for_, poke=False)

    async def follow_secrets(self) -> None:
        """Make the owner of each Secret due that somebody else changed, for ever."""
        async for event in self.cluster.secret_events():
            holder = record.Holder(
                namespace=event.namespace, name=event.owner_name, uid=event.owner_uid
            )
            if not self.controller.wrote(holder, event.version):
                await self.controller.offer(holder, poke=False)
