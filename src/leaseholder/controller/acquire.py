"""Acquire: from a need to a Held record with its credentials in hand.

The order is the protocol's: nothing is minted that isn't on record, the mint is never sent
twice, and a mint whose answer is lost is left for a search (DESIGN, section 3).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import changes, errors, ports, server_clock
from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import (
    LeaseRecord,
    RecordProvider,
    RecordSpec,
    RecordStatus,
    Revocation,
    State,
)
from leaseholder.controller import supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.recorded import Recorded
from leaseholder.core import arrival, contents, ends, marks, slots
from leaseholder.core.steps import Acquire
from leaseholder.core.view import Failure, Memory, Supply, View

SEND_WITHIN: Final = timedelta(seconds=20)
"""A mint that isn't sent so soon after its record was planned isn't sent at all."""


_BECAUSE: Final = {
    Reason.SOURCE_CHANGED: "the provider or the source was changed",
    Reason.COMMANDED: f"{names.ROTATE} says so",
    Reason.ROTATING: "it is time to replace the last one",
    Reason.SECRET_CHANGED: "the data of the last one was changed or deleted",
    Reason.TEMPLATE_CHANGED: "the template needs values that are kept nowhere",
}
"""Why a lease takes another one's place, as log and event say it."""


@dataclass(frozen=True, slots=True)
class Acquirer:
    """Mints leases."""

    cluster: ports.Cluster
    records: Recorded
    supplies: supplies.Supplies
    meter: ports.Meter
    chronicle: Chronicle
    installation: str

    async def acquire(self, view: View, dl: DynamicLease, step: Acquire) -> None:
        """Mint lease number ``step.number``; leaves it Held with its credentials in memory.

        Raises:
            errors.ProviderError: nothing was minted, or (``Unavailable.sent``) it isn't clear.
            errors.ClusterError: the ledger couldn't be written.
        """
        supply, adapter = await self.supplies.wanted(dl)
        await self._preflight(view, dl)
        spec = self._spec(dl, supply, adapter, step)
        notes = dict(await adapter.prepare(_planned(spec, {})))
        spec = spec.model_copy(update={"notes": notes})
        posted = await self.records.create(
            view.holder, step.number, spec, RecordStatus(state=State.ATTEMPT)
        )
        can = adapter.capabilities(posted.handle)
        if not await self._stands(view, dl, posted, can):
            await self.records.delete(posted)
            return
        asked = adapter.now()
        issued = await self._issue(adapter, posted, replaces=step.reason in _BECAUSE)
        view.memory.uids[posted.name] = posted.metadata.uid
        view.memory.leases[posted.name] = issued.lease
        view.memory.credentials[posted.name] = issued.credentials
        view.memory.just_issued.add(posted.name)
        view.memory.looked[posted.name] = view.now
        ahead = server_clock.ahead(issued.lease.issued_at, asked, adapter.now())
        view.memory.ahead[posted.name] = ahead
        await self.hold(view, posted, step.reason)

    async def hold(self, view: View, posted: LeaseRecord, why: Reason = Reason.PROGRESSING) -> None:
        """Attempt becomes Held, with the lease's id and expiry, in one write.

        A lease that can't be used is to be revoked instead, and its issue counts as failed.
        """
        minted, ahead = view.memory.leases[posted.name], view.memory.ahead[posted.name]
        date = (await self.supplies.for_record(posted)).now()
        wrong = arrival.fault(minted, date + timedelta(seconds=ahead), ahead)
        state = State.HELD if wrong is None else State.REVOKING
        status = _arrived(held_status(posted, minted, state, ahead), wrong, view.now)
        try:
            written = await self.records.update(posted, status)
        except errors.Conflict:
            written = await self._claimed(view, posted, status)
        known = posted if written is None else written
        change = changes.of_record(
            changes.Kind.ISSUED,
            known,
            held_status(known, minted, known.state),
            why=_BECAUSE.get(why, ""),
        )
        await self.chronicle.tell(view.lease, change)
        if wrong is not None:
            view.memory.credentials.pop(posted.name, None)
            view.memory.failure, view.memory.poked = wrong, False
        if written is None:
            await self._put_back(view, posted, minted)

    async def put_back(self, memory: Memory) -> None:
        """Put leases whose records are gone on the ledger again; what fails stays in memory."""
        for name, (posted, minted) in list(memory.lost.items()):
            await put_on_record(self.records, self.chronicle, posted, minted, Reason.UNDELIVERED)
            del memory.lost[name]

    async def _preflight(self, view: View, dl: DynamicLease) -> None:
        """A dry run of the Secret's write: what would refuse it refuses before the mint.

        With the keys that it will have: the API server asks for some with types of its own, and
        rules of admission may ask for any.
        """
        made_up = contents.rehearsed(dl, view.target)
        await self.cluster.write_secret(draft(dl, None, made_up), view.target, dry_run=True)

    def _spec(
        self, dl: DynamicLease, supply: Supply, adapter: ports.Provider, step: Acquire
    ) -> RecordSpec:
        now, ttl = adapter.now(), dl.spec.ttl
        return RecordSpec.model_validate(
            {
                "for": dl.holder,
                "installation": self.installation,
                "attemptId": secrets.token_hex(16),
                "rotateNonce": step.rotate_nonce,
                "restarts": step.restarts,
                "provider": RecordProvider(
                    type=supply.type,
                    kind=supply.kind,
                    namespace=supply.namespace,
                    name=supply.name,
                    uid=supply.uid,
                    address=supply.address,
                    auth_ref=dict(supply.auth_ref),
                    trust=dict(supply.trust),
                    options=dict(supply.options),
                ),
                "source": dict(supply.source),
                "sourceHash": supply.source_hash,
                "slot": supply.slot,
                "ttlSeconds": int(durations.parse(ttl).total_seconds()) if ttl else None,
                "startedAt": now,
                "deadline": now + SEND_WITHIN,
            }
        )

    async def _stands(
        self, view: View, dl: DynamicLease, posted: LeaseRecord, can: ports.Capabilities
    ) -> bool:
        """Whether what was observed still holds, now that the record is on the ledger.

        Raises:
            errors.ClusterError: it can't be seen. Nothing was sent, so the record goes again.
        """
        try:
            if await self._overtaken(view, posted) or not await self._wanted(view, dl):
                return False
            if can.slots == "Many":
                return True
            rivals = await self.cluster.records_of_slot(posted.spec.slot)
            return not slots.taken_since(view, posted, rivals)
        except errors.ClusterError:
            await self.records.delete(posted)
            raise

    async def _overtaken(self, view: View, posted: LeaseRecord) -> bool:
        """Whether another process put a record on the ledger since we looked."""
        seen = {record.name for record in view.records} | {posted.name}
        now = await self.records.listed(view.holder.uid)
        ours = (record for record in now if record.spec.installation == self.installation)
        return any(record.name not in seen for record in ours)

    async def _wanted(self, view: View, dl: DynamicLease) -> bool:
        """Whether the DynamicLease still stands as it was known, now that its record does.

        Who released it before saw no record; who sees it go from now on sees this one.
        """
        holder = view.holder
        now = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        if now is None or now.metadata.uid != holder.uid or now.deleting:
            return False
        same = now.metadata.generation == dl.metadata.generation
        return same and names.FINALIZER in now.metadata.finalizers

    async def _issue(
        self, adapter: ports.Provider, posted: LeaseRecord, *, replaces: bool
    ) -> ports.Issued:
        by = posted.spec.provider.ref
        try:
            issued = _checked(await adapter.issue(attempt_of(posted)))
        except errors.ProviderError as error:
            self.meter.issued(by, error.outcome, replaces=replaces)
            if error.outcome is not errors.Outcome.UNCLEAR:
                await self.records.delete(posted)
            raise
        self.meter.issued(by, errors.Outcome.OK, replaces=replaces)
        return issued

    async def _claimed(
        self, view: View, posted: LeaseRecord, ours: RecordStatus
    ) -> LeaseRecord | None:
        """Somebody wrote our record: add what we know.

        If it was moved, its state stays and the credentials are dropped.
        """
        records = await self.records.listed(view.holder.uid)
        current = next((r for r in records if r.metadata.uid == posted.metadata.uid), None)
        if current is None:
            return None
        if current.state is State.ATTEMPT:
            return await self.records.update(current, ours)
        if current.state is not State.HELD:
            view.memory.credentials.pop(posted.name, None)
        minted, ahead = view.memory.leases[posted.name], ours.clock_ahead
        status = held_status(current, minted, current.state, ahead)
        return await self.records.update(current, status)

    async def _put_back(self, view: View, posted: LeaseRecord, minted: ports.Lease) -> None:
        """Our record is gone: the lease goes on the ledger again, to be revoked."""
        view.memory.forget(posted.name)
        view.memory.lost[posted.name] = posted, minted
        await self.put_back(view.memory)


def _checked(issued: ports.Issued) -> ports.Issued:
    """A new lease, if it fits on the record.

    Raises:
        errors.Unavailable: it doesn't; the attempt is as unclear as if its answer were lost.
    """
    if arrival.fits_on_record(issued.lease):
        return issued
    sentence = (
        "the provider gave a lease whose id or notes are longer than a record holds: it is looked "
        "for, to be revoked"
    )
    raise errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=True)


def _arrived(status: RecordStatus, wrong: Failure | None, now: datetime) -> RecordStatus:
    """What the record says of a lease that was just issued; ``wrong``: why it can't be used."""
    if wrong is None:
        return status
    return status.model_copy(update={"revoke": Revocation(reason=wrong.reason, since=now)})


def attempt_of(known: LeaseRecord) -> ports.Attempt:
    """What a record's mint asks the provider for, with the adapter's notes about it."""
    return _planned(known.spec, known.handle)


def _planned(spec: RecordSpec, notes: Mapping[str, Any]) -> ports.Attempt:
    return ports.Attempt(
        installation=spec.installation,
        attempt_id=spec.attempt_id,
        source=spec.source,
        ttl_seconds=spec.ttl_seconds,
        started_at=spec.started_at,
        deadline=spec.deadline,
        handle=notes,
    )


def held_status(
    known: LeaseRecord, minted: ports.Lease, state: State, ahead: int | None = None
) -> RecordStatus:
    """The record's status with what the provider said of the lease.

    One that is to be revoked ends no later there than was asked for.

    Args:
        known: the record.
        minted: the lease.
        state: where it stands now.
        ahead: seconds that its moments are ahead of the provider's ``Date``; None: as recorded.
    """
    revoking = state is State.REVOKING
    return known.status.model_copy(
        update={
            "state": state,
            "lease_id": minted.id,
            "handle": dict(minted.handle),
            "issued_at": minted.issued_at,
            "expires_at": ends.latest(known.spec, minted) if revoking else minted.expires_at,
            "clock_ahead": known.status.clock_ahead if ahead is None else ahead,
        }
    )


async def put_on_record(
    records: Recorded,
    chronicle: Chronicle,
    known: LeaseRecord,
    found: ports.Lease,
    reason: Reason,
) -> None:
    """A lease of ``known``'s attempt that no record shows becomes a debt with its own record."""
    holder = known.spec.for_
    numbers = [r.number for r in await records.listed(holder.uid)]
    status = held_status(known, found, State.REVOKING).model_copy(
        update={"revoke": Revocation(reason=reason)}
    )
    number = 1 + max([known.number, *numbers])
    made = await records.create(holder, number, known.spec, status)
    await chronicle.tell(None, changes.of_record(changes.Kind.PENDING, made, reason=reason))


def draft(
    dl: DynamicLease,
    record: LeaseRecord | None,
    filling: contents.Filling,
    before: contents.Contents | None = None,
) -> ports.SecretDraft:
    """The Secret as ``dl`` wants it for a record; ``before``: what it holds of ours now.

    Without a record it is the rehearsal: it has the template's annotations and none of ours.
    """
    notes: dict[str, str | None] = dict(dl.spec.target.template.metadata.annotations)
    if record is not None:
        notes = marks.annotations(dl, record, filling.contents, before)
    return ports.SecretDraft(
        namespace=dl.metadata.namespace,
        name=dl.secret_name,
        type=dl.spec.target.type,
        labels=marks.labels(dl, before),
        annotations=notes,
        owner=dl.holder,
        credentials=filling.values,
    )
