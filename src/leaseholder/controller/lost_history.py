"""Brings back on record what a restore of etcd took off the ledger under us."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from leaseholder import changes, errors
from leaseholder.api.record import Holder, LeaseRecord, State
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.recorded import Recorded
from leaseholder.controller.supplies import Supplies
from leaseholder.core import lost_history
from leaseholder.core.view import Memory

_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class LostHistory:
    """What was known of each DynamicLease's records before the restore, until it is put back."""

    records: Recorded
    supplies: Supplies
    chronicle: Chronicle
    _known: dict[str, tuple[LeaseRecord, ...]] = field(default_factory=dict)

    def begin(self) -> set[Holder]:
        """Etcd was restored: what is known of records isn't true any more; whose they are."""
        for uid, known in self.records.forget_all():
            self._known.setdefault(uid, known)
        return {record.spec.for_ for known in self._known.values() for record in known}

    async def put_back(self, holder: Holder, memory: Memory) -> None:
        """Put the lost leases of a DynamicLease on the ledger, and have the others inspected.

        Raises:
            errors.ClusterError: the ledger can't be read or written; the rest stays to be done.
        """
        known = self._known.get(holder.uid)
        if known is None:
            return
        listed = await self.records.listed(holder.uid)
        for record in lost_history.lost(known, listed):
            await self._put_back(holder, record)
        for record in listed:
            if record.state is State.HELD:
                memory.looked[record.name] = _LONG_AGO
        del self._known[holder.uid]

    async def _put_back(self, holder: Holder, record: LeaseRecord) -> None:
        try:
            now = (await self.supplies.for_record(record)).now()
        except errors.EdgeError:
            now = record.status.issued_at or record.spec.started_at
        status = lost_history.put_back(record, now)
        numbers = [one.number for one in await self.records.of(holder.uid)]
        number = 1 + max([record.number, *numbers])
        made = await self.records.create(holder, number, record.spec, status)
        await self.chronicle.tell(None, changes.of_record(changes.Kind.PUT_BACK, made))
