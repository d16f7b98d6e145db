"""Revoke: pending revocations are brought to their end.

Flows in: a view and the step Search or Revoke, which ``core.revocations`` found due. Flows out: the
record says how far it came: a lease that was found, a try that failed, or no entry any more,
because the provider confirms that the lease is gone. What is due next is decided from there.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from leaseholder import changes, errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import MOST_LEASES, RecordedLease, State
from leaseholder.controller import acquire, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.records import Records
from leaseholder.core import actions, arrival, revocations
from leaseholder.core.view import View
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.meter import Meter
from leaseholder.ports.provider import Attempt, Lease, Provider
from leaseholder.ports.secrets import SecretView

OTHERS_AGAIN: Final = 10.0
"""Seconds after which a search that met other open attempts is tried again."""
LOGIN_GONE: Final = frozenset({Reason.AUTH_MISSING, Reason.AUTH_GONE})
"""What is met where nothing is left to log in with; a login that is refused can be mended."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Revoker:
    """Brings pending revocations to their end."""

    cluster: Cluster
    records: Records
    supplies: supplies.Supplies
    acquirer: acquire.Acquirer
    meter: Meter
    chronicle: Chronicle

    async def search(self, view: View, record: RecordedLease) -> None:
        """Look for the lease of an unclear attempt; not found twice: there is none."""
        attempt = self.acquirer.attempt_of(record)
        try:
            found = await self._ask(view, record, lambda at: _found_by(at, attempt))
        except _NothingFound:
            found = ()
        except errors.ProviderError as error:
            await self._failed(view, record, error)
            return
        if found and view.capabilities[record.attempt_id].found_by == "OwnerAndTime":
            unexplained = await self._unexplained(record, found)
            if unexplained is None:
                later = revocations.held_back(view, record, Reason.UNCLEAR, OTHERS_AGAIN)
                await self.write(view, record, later)
                return
            found = unexplained
        known = {one.lease_id for one in view.records}
        found = [lease for lease in found if lease.id not in known]
        if found:
            await self._found(view, record, found)
            return
        after = revocations.after_search(view, record)
        if after is not None:
            await self.records.replace(view.subject, after, was=record)
            return
        await self.records.end(view.subject, record.attempt_id, "NotFound", view.now, was=record)
        change = changes.of_lease(
            changes.Kind.NOT_FOUND, view.subject, record, reason=Reason.UNCLEAR
        )
        await self.chronicle.note(None, change)

    async def _found(self, view: View, record: RecordedLease, found: Sequence[Lease]) -> None:
        """Leases that an unclear attempt left behind: on record, to be revoked, by one write.

        An attempt that has a lease isn't searched for again. So where there isn't room for all, it
        gets none: the rest is found once some are gone.
        """
        first, *others = found
        beside = [
            arrival.with_answer(record, other, State.REVOKING).but(attempt_id=secrets.token_hex(16))
            for other in others[:MOST_LEASES]
        ]
        fitting = beside[: self.records.room_for(view.subject, beside)]
        after = arrival.with_answer(record, first, State.REVOKING)
        if len(fitting) < len(others):
            after = revocations.held_back(view, record, Reason.UNCLEAR, OTHERS_AGAIN)
        await self.records.replace(view.subject, after, *fitting, was=record)
        kinds = [(changes.Kind.PENDING, one) for one in fitting]
        if after.lease_id:
            kinds.append((changes.Kind.FOUND, after))
        for kind, lease in kinds:
            change = changes.of_lease(kind, view.subject, lease, reason=Reason.UNCLEAR)
            await self.chronicle.note(None, change)

    async def _unexplained(
        self, record: RecordedLease, found: Sequence[Lease]
    ) -> Sequence[Lease] | None:
        """What no record and no Secret explains of the leases that look like the attempt's.

        The ledger is read after the provider: what was issued meanwhile is on it, or its attempt
        is still open. None: an attempt is open there, and any of these may be its lease; or Secrets
        or leases at another address name all that are left. Anybody may have one say so: the search
        goes on while they live.
        """
        every = [one for known in await self.cluster.records() for one in known.leases]
        others = [one for one in every if one.attempt_id != record.attempt_id]
        address = record.provider.address
        if any(o.state is State.ATTEMPT and o.provider.address == address for o in others):
            return None
        known = {one.lease_id for one in others if one.provider.address == address}
        left = [lease for lease in found if lease.id not in known]
        named = {one.lease_id for one in others} | await self.cluster.leases_shown()
        free = [lease for lease in left if lease.id not in named]
        return free if free or not left else None

    async def revoke(self, view: View, step: actions.Revoke) -> None:
        """Revoke a lease and look whether it is gone."""
        record = step.record
        if step.fence is not None and await self._delivered_after_all(view, step.fence, record):
            return
        try:
            after = await self._ask(view, record, lambda at: self._revoked(view, step, at))
        except errors.LeaseGone:
            after = revocations.after_gone(view, record)
            if after is not None:
                self.meter.revoked(record.provider.ref, errors.Outcome.GONE)
        except errors.ProviderError as error:
            await self._failed(view, record, error)
            return
        if after is None:
            await self._confirmed(view, record)
        else:
            await self.write(view, record, after)

    async def _ask(
        self,
        view: View,
        record: RecordedLease,
        ask: Callable[[Provider], Awaitable[Answer]],
    ) -> Answer:
        """Ask where a lease was issued; with the last resort's login where its own is gone.

        Raises:
            errors.ProviderError: what was met, by its own login where there is no last resort.
            errors.Denied: the last resort sees no such lease, which proves nothing.
        """
        try:
            return await ask(await self.supplies.for_lease(record, view.trusts))
        except errors.Denied as error:
            gone = error.reason in LOGIN_GONE
            other = await self.supplies.last_resort(record.provider) if gone else None
            if other is None:
                raise
        try:
            return await ask(other)
        except errors.LeaseGone as gone:
            if revocations.is_proof(view, record, gone):
                raise
        sentence = "its own login is gone, and the ClusterLeaseProvider's sees no such lease"
        raise errors.Denied(Reason.AUTH_GONE, sentence)

    async def write(self, view: View, record: RecordedLease, to: RecordedLease) -> None:
        """Move a lease on record, and tell what that means.

        Raises:
            errors.ClusterError: it wasn't written.
        """
        await self.records.replace(view.subject, to, was=record)
        await self.chronicle.note(view.dl, changes.moved(view.subject, record, to))

    async def _revoked(
        self, view: View, step: actions.Revoke, adapter: Provider
    ) -> RecordedLease | None:
        """What an attempt to revoke makes of the record; None: the lease is gone.

        Raises:
            errors.LeaseGone: the provider had no such lease to begin with.
        """
        record = step.record
        lease = lease_of(view, record)
        if record.revocation.answered_at is not None:
            await adapter.inspect(lease)
        answer = await adapter.revoke(lease, force=step.force)
        if not answer.done:
            self.meter.revoked(record.provider.ref, errors.Outcome.REFUSED)
            return revocations.after_failure(view, record, answer.reason)
        try:
            await adapter.inspect(lease)
        except errors.LeaseGone:
            return None
        self.meter.revoked(record.provider.ref, errors.Outcome.UNCLEAR)
        return revocations.after_answer(view, record)

    async def _delivered_after_all(
        self, view: View, fence: SecretView, record: RecordedLease
    ) -> bool:
        """Move the Secret's resourceVersion, then see whether it names the lease."""
        await self.cluster.touch_secret(fence)
        now = await self.cluster.secret(fence.namespace, fence.name)
        ours = now is not None and now.belongs_to(view.holder.uid)
        return ours and now is not None and now.annotations.get(names.ATTEMPT) == record.attempt_id

    async def _confirmed(self, view: View, record: RecordedLease) -> None:
        """The provider confirms the end: that holds also where another wrote the record meanwhile.

        Raises:
            errors.ClusterError: it wasn't written, or the lease isn't to be revoked any more.
        """
        try:
            await self.records.end(view.subject, record.attempt_id, "Confirmed", view.now)
        except errors.Conflict:
            now = self.records.lease(view.subject, record.attempt_id)
            if now is None or not now.state.pending:
                raise
            await self.records.end(view.subject, record.attempt_id, "Confirmed", view.now)
        self.meter.revoked(record.provider.ref, errors.Outcome.OK)
        reason = record.revocation.reason
        change = changes.of_lease(changes.Kind.REVOKED, view.subject, record, reason=reason)
        await self.chronicle.note(view.dl, change)

    async def _failed(self, view: View, record: RecordedLease, error: errors.ProviderError) -> None:
        view.memory.poked = False
        reason = Reason.AUTH_GONE if error.reason == Reason.AUTH_MISSING else error.reason
        self.meter.revoked(record.provider.ref, error.outcome)
        if isinstance(error, errors.Unavailable) and error.retry_after is not None:
            after = revocations.held_back(view, record, reason, error.retry_after)
        else:
            after = revocations.after_failure(view, record, reason, error.retry_after)
        await self.write(view, record, after)


class _NothingFound(errors.LeaseGone):
    """No lease of an unclear attempt is there."""


async def _found_by(adapter: Provider, attempt: Attempt) -> Sequence[Lease]:
    """The leases of an unclear attempt.

    Raises:
        _NothingFound: there are none.
    """
    found = _storable(await adapter.recover(attempt))
    if not found:
        raise _NothingFound(Reason.GONE, "no lease of the attempt is there")
    return found


def _storable(found: Sequence[Lease]) -> Sequence[Lease]:
    """What a search found, if it fits on records.

    Raises:
        errors.Unavailable: it doesn't.
    """
    if all(arrival.fits_on_record(lease) for lease in found):
        return found
    sentence = "the provider shows a lease whose id or notes are longer than a record holds"
    raise errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=False)


def lease_of(view: View, record: RecordedLease) -> Lease:
    """The lease as its record knows it."""
    fresh = view.known(record).shown
    if fresh is not None:
        return fresh
    issued = record.issued_at or record.started_at
    return Lease(
        id=record.lease_id,
        source=record.source,
        issued_at=issued,
        expires_at=view.stated_expiry(record) or issued,
        handle=record.noted,
    )
