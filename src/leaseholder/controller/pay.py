"""Paying debts: searching for the lease of an unclear attempt, revoking, seeing it gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from leaseholder import changes, errors, ports
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordStatus, State
from leaseholder.controller import acquire, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.recorded import Recorded
from leaseholder.core import arrival, debts, steps
from leaseholder.core.view import View

OTHERS_AGAIN: Final = 10.0
"""Seconds after which a search that met other open attempts is tried again."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Brings debts to their end."""

    cluster: ports.Cluster
    records: Recorded
    supplies: supplies.Supplies
    meter: ports.Meter
    chronicle: Chronicle

    async def search(self, view: View, record: LeaseRecord) -> None:
        """Look for the lease of an unclear attempt; not found twice: there is none."""
        try:
            adapter = await self.supplies.for_record(record)
            found = _storable(await adapter.recover(acquire.attempt_of(record)))
        except errors.ProviderError as error:
            await self._failed(view, record, error)
            return
        if found and adapter.capabilities(record.handle).found_by == "OwnerAndTime":
            unexplained = await self._unexplained(record, found)
            if unexplained is None:
                later = debts.held_back(view, record, Reason.UNCLEAR, OTHERS_AGAIN)
                await self.write(view, record, later)
                return
            found = unexplained
        if not found:
            if record.name in view.memory.searched:
                await self.records.delete(record)
                change = changes.of_record(changes.Kind.NOT_FOUND, record, reason=Reason.UNCLEAR)
                await self.chronicle.tell(None, change)
            view.memory.searched.setdefault(record.name, view.monotonic)
            return
        first, *others = found
        # The others first: a record that names a lease isn't searched for again.
        for other in others:
            await acquire.put_on_record(self.records, self.chronicle, record, other, Reason.UNCLEAR)
        status = acquire.held_status(record, first, State.REVOKING)
        await self.records.update(record, status)
        change = changes.of_record(changes.Kind.FOUND, record, status, reason=Reason.UNCLEAR)
        await self.chronicle.tell(None, change)

    async def _unexplained(
        self, record: LeaseRecord, found: Sequence[ports.Lease]
    ) -> Sequence[ports.Lease] | None:
        """What no record and no Secret explains of the leases that look like the attempt's.

        The ledger is read after the provider: what was minted meanwhile is on it, or its attempt
        is still open. None: an attempt is open there, and any of these may be its lease.
        """
        records = await self.cluster.all_records()
        others = [r for r in records if r.metadata.uid != record.metadata.uid]
        address = record.spec.provider.address
        if any(r.state is State.ATTEMPT and r.spec.provider.address == address for r in others):
            return None
        known = {r.status.lease_id for r in others} | await self.cluster.leases_shown()
        return [lease for lease in found if lease.id not in known]

    async def revoke(self, view: View, step: steps.Revoke) -> None:
        """Revoke a lease and look whether it is gone."""
        record = step.record
        if step.fence is not None and await self._delivered_after_all(view, step.fence, record):
            return
        try:
            adapter = await self.supplies.for_record(record)
            status = await self._revoked(view, step, adapter)
        except errors.LeaseGone:
            status = debts.after_gone(view, record)
            if status is not None:
                self.meter.revoked(record.spec.provider.ref, errors.Outcome.GONE)
        except errors.ProviderError as error:
            await self._failed(view, record, error)
            return
        if status is None:
            await self._paid(view, record)
        else:
            await self.write(view, record, status)

    async def write(self, view: View, record: LeaseRecord, status: RecordStatus) -> None:
        """Move a record, and tell what that means for its lease.

        Raises:
            errors.ClusterError: it wasn't written.
        """
        await self.records.update(record, status)
        await self.chronicle.tell(view.lease, changes.moved(record, status))

    async def _revoked(
        self, view: View, step: steps.Revoke, adapter: ports.Provider
    ) -> RecordStatus | None:
        """What an attempt to revoke makes of the record; None: the lease is gone.

        Raises:
            errors.LeaseGone: the provider had no such lease to begin with.
        """
        record = step.record
        lease = lease_of(view, record)
        if record.status.revoke is not None and record.status.revoke.answered_at is not None:
            await adapter.inspect(lease)
        answer = await adapter.revoke(lease, force=step.force)
        if not answer.done:
            self.meter.revoked(record.spec.provider.ref, errors.Outcome.REFUSED)
            return debts.after_failure(view, record, answer.reason)
        try:
            await adapter.inspect(lease)
        except errors.LeaseGone:
            return None
        self.meter.revoked(record.spec.provider.ref, errors.Outcome.UNCLEAR)
        return debts.after_answer(view, record)

    async def _delivered_after_all(
        self, view: View, fence: ports.SecretView, record: LeaseRecord
    ) -> bool:
        """Move the Secret's resourceVersion, then see whether it names the lease."""
        await self.cluster.touch_secret(fence)
        now = await self.cluster.secret(fence.namespace, fence.name)
        ours = now is not None and now.belongs_to(view.holder.uid)
        return ours and now is not None and now.annotations.get(names.RECORD) == record.name

    async def _paid(self, view: View, record: LeaseRecord) -> None:
        await self.records.delete(record)
        self.meter.revoked(record.spec.provider.ref, errors.Outcome.OK)
        reason = record.status.revoke.reason if record.status.revoke is not None else ""
        change = changes.of_record(changes.Kind.REVOKED, record, reason=reason)
        await self.chronicle.tell(view.lease, change)

    async def _failed(self, view: View, record: LeaseRecord, error: errors.ProviderError) -> None:
        view.memory.poked = False
        reason = Reason.AUTH_GONE if error.reason == Reason.AUTH_MISSING else error.reason
        self.meter.revoked(record.spec.provider.ref, error.outcome)
        if isinstance(error, errors.Unavailable) and error.retry_after is not None:
            status = debts.held_back(view, record, reason, error.retry_after)
        else:
            status = debts.after_failure(view, record, reason, error.retry_after)
        await self.write(view, record, status)


def _storable(found: Sequence[ports.Lease]) -> Sequence[ports.Lease]:
    """What a search found, if it fits on records.

    Raises:
        errors.Unavailable: it doesn't.
    """
    if all(arrival.fits_on_record(lease) for lease in found):
        return found
    sentence = "the provider shows a lease whose id or notes are longer than a record holds"
    raise errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=False)


def lease_of(view: View, record: LeaseRecord) -> ports.Lease:
    """The lease as its record knows it."""
    fresh = view.memory.leases.get(record.name)
    if fresh is not None:
        return fresh
    issued = record.status.issued_at or record.spec.started_at
    return ports.Lease(
        id=record.status.lease_id,
        source=record.spec.source,
        issued_at=issued,
        expires_at=view.stated_expiry(record) or issued,
        handle=record.handle,
    )
