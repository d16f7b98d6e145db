"""Acquire: from a need to a Held record with its credentials in hand.

Flows in: a view and the step Acquire, or Hold for an answer that couldn't be put on record. Flows
out: the lease on record as Held, its credentials in memory, or an attempt that nobody may finish
any more. ``deliver`` comes next; an attempt whose answer is lost is left to ``revoke``, which
searches.

The order is the protocol's: nothing is issued that isn't on record, and no issue is sent twice
(docs/design/0001, 0006).
"""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from leaseholder import changes, errors, server_clock
from leaseholder.api import durations, names, record
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.controller import deliver, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.records import Records
from leaseholder.controller.undelivered import Undelivered
from leaseholder.core import arrival, contents, issuers, shards, slots
from leaseholder.core.actions import Acquire
from leaseholder.core.memory import Failure
from leaseholder.core.observation import Supply
from leaseholder.core.view import View
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.meter import Meter
from leaseholder.ports.provider import Attempt, Issued, Lease, Provider
from leaseholder.ports.records import MOST_RIVALS

SEND_WITHIN: Final = timedelta(seconds=20)
"""An issue that isn't sent so soon after it was planned isn't sent at all."""
SLOT_AGAIN: Final = 2.0
"""Seconds until one of two that asked for the same account at once asks again, the other later."""
SLOT_FULL_AGAIN: Final = 60.0
"""Seconds until an account is looked at again that more records name than are read."""
_SLOT_CROWDED: Final = (
    f"the source is one shared account, and {MOST_RIVALS} records or more have leases of it: "
    "delete DynamicLeases with that source, and let those go that are Abandoned"
)
_SLOT_ASKED: Final = (
    "the source is one shared account, and somebody else asks for it at this moment"
)
_OLDER: Final = "the provider answered with a lease that is on record already, not with a new one"
_TOO_LONG: Final = (
    "the provider gave a lease whose id or notes are longer than a record holds: it is looked for, "
    "to be revoked"
)
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
    """Issues leases."""

    cluster: Cluster
    records: Records
    supplies: supplies.Supplies
    meter: Meter
    chronicle: Chronicle
    shard: shards.Shard = field(default_factory=shards.Shard)
    _arriving: set[tuple[str, str]] = field(default_factory=set)
    """Address and id of each lease that came and is about to be put on record."""
    _undelivered: Undelivered = field(default_factory=Undelivered)

    async def acquire(self, view: View, dl: DynamicLease, step: Acquire) -> None:
        """Issue a lease; leaves it Held with its credentials in memory.

        Raises:
            errors.ProviderError: nothing was issued, or (``Unavailable.sent``) it isn't clear.
            errors.ClusterError: the ledger couldn't be written.
        """
        supply, adapter = await self.supplies.wanted(dl)
        known_before = await self._preflight(view, dl)
        planned = self._planned(view, dl, supply, adapter, step)
        notes = dict(await adapter.prepare(self.attempt_of(planned)))
        view.known(planned).ours = True
        attempt = await self._post(view, planned.but(notes=notes), supply)
        if not await self._may_send(view, supply, adapter, attempt):
            return
        asked_at = adapter.now()
        issued = await self._issue(view, adapter, attempt, replaces=step.reason in _BECAUSE)
        known = view.known(attempt)
        known.shown, known.credentials = issued.lease, issued.credentials
        self._undelivered.note(view.subject.namespace, attempt.attempt_id, known)
        known.inspected_at, known.fence = view.now, known_before
        known.ahead = server_clock.ahead(issued.lease.issued_at, asked_at, adapter.now())
        try:
            await self._hold(view, attempt, issued.lease, adapter, step.reason)
        finally:
            self._arriving.discard((attempt.provider.address, issued.lease.id))

    async def _post(self, view: View, attempt: RecordedLease, supply: Supply) -> RecordedLease:
        """Put the attempt on the record that it was decided from.

        Raises:
            errors.Conflict: it was read anew since: another process may have issued.
        """
        if self.records.version(view.subject) != view.record_version:
            raise errors.Conflict(Reason.CONFLICT, "the record was written meanwhile")
        return await self.records.add(view.subject, attempt, supply.trust)

    async def hold(self, view: View, attempt: RecordedLease) -> None:
        """What an answer in memory makes of an attempt, at another try.

        Raises:
            errors.ClusterError: it wasn't written; the lease is in memory, for another try.
        """
        adapter = await self.supplies.for_lease(attempt, view.trusts)
        issued = view.known(attempt).shown
        if issued is not None:
            await self._hold(view, attempt, issued, adapter, Reason.PROGRESSING)

    async def _hold(
        self, view: View, attempt: RecordedLease, issued: Lease, adapter: Provider, why: Reason
    ) -> None:
        """Attempt becomes Held, with the lease's id and expiry, in one write.

        A lease that can't be used is to be revoked instead, and its issue counts as failed. Where
        another wrote the record meanwhile, it is written again on what was read. One that was
        claimed keeps its state, and its credentials are dropped.
        """
        known = view.known(attempt)
        ahead = known.ahead
        now = adapter.now() + timedelta(seconds=ahead)
        wrong = arrival.fault(issued, known.credentials, now, ahead)
        held = _arrived(view, attempt, issued, ahead, wrong)
        try:
            await self.records.replace(view.subject, held, was=attempt)
        except errors.Conflict:
            held = await self._hold_anyway(view, attempt, issued, ahead, wrong)
        known.ours = False
        known.know(self.records.lease(view.subject, attempt.attempt_id) or held, issued)
        if held.state is not State.HELD:
            known.credentials = None
        because = _BECAUSE.get(why, "")
        change = changes.of_lease(changes.Kind.ISSUED, view.subject, held, why=because)
        await self.chronicle.note(view.dl, change)
        if wrong is not None:
            view.memory.failure, view.memory.poked = wrong, False

    async def _hold_anyway(
        self,
        view: View,
        attempt: RecordedLease,
        issued: Lease,
        ahead: int,
        wrong: Failure | None,
    ) -> RecordedLease:
        """The same on the record as it was read after a conflict."""
        current = self.records.lease(view.subject, attempt.attempt_id)
        view.known(attempt).fence = None
        if current is None:  # gone from the record: back on it, to be revoked
            view.known(attempt).credentials = None
            lost = arrival.with_answer(attempt, issued, State.REVOKING, ahead)
            lost = lost.but(revoke=Revocation(reason=Reason.UNDELIVERED))
            self.records.miss(view.subject, lost)
            await self.records.put_back(view.subject)
            return lost
        held = _arrived(view, current, issued, ahead, wrong)
        if held.state is not State.HELD:
            view.known(attempt).credentials = None
        await self.records.replace(view.subject, held)
        return held

    async def _preflight(self, view: View, dl: DynamicLease) -> str:
        """A dry run of the Secret's write: what would refuse it refuses before the issue.

        With the keys that it will have: the API server asks for some with types of its own, and
        rules of admission may ask for any.

        Returns:
            Uid and version of the Secret that was known before.

        Raises:
            errors.Conflict: what is refused was only supposed: the Secrets are to be read first, so
                that of two refusals always the same one is said.
        """
        rehearsed, seen = contents.rehearsed(dl, view.target), view.memory.secrets
        try:
            draft = deliver.draft(dl, None, rehearsed)
            await self.cluster.write_secret(draft, view.target, dry_run=True)
        except errors.Refused as refusal:
            if seen is not None and seen.supposed:
                raise errors.Conflict(Reason.CONFLICT, "no Secret was read yet") from refusal
            raise
        if seen is not None:
            seen.supposed = False  # the dry run found none
        return view.target_version

    def _planned(
        self, view: View, dl: DynamicLease, supply: Supply, adapter: Provider, step: Acquire
    ) -> RecordedLease:
        now, ttl = adapter.now(), dl.spec.ttl
        return RecordedLease(
            attempt_id=secrets.token_hex(16),
            seal_key=secrets.token_hex(16),
            holder_uid=view.holder.uid,
            state=State.ATTEMPT,
            provider=issuers.recorded(supply),
            source=dict(supply.source),
            source_hash=supply.source_hash,
            slot=supply.slot,
            ttl_seconds=int(durations.parse(ttl).total_seconds()) if ttl else None,
            rotate_nonce=step.rotate_nonce,
            restarts=step.restarts,
            started_at=now,
            deadline=now + SEND_WITHIN,
        )

    def attempt_of(self, lease: RecordedLease) -> Attempt:
        """What a lease's issue asks the provider for, with the adapter's notes about it."""
        return Attempt(
            installation=lease.installation or self.records.installation,
            attempt_id=lease.attempt_id,
            source=lease.source,
            ttl_seconds=lease.ttl_seconds,
            started_at=lease.started_at,
            deadline=lease.deadline,
            handle=lease.noted,
        )

    async def _may_send(
        self, view: View, supply: Supply, adapter: Provider, attempt: RecordedLease
    ) -> bool:
        """Whether what was observed still holds, now that the attempt is on record; else it goes.

        Raises:
            errors.EdgeError: it can't be seen, or somebody else is about to ask for the account.
                Nothing was sent, so the attempt goes, too.
        """
        try:
            stands = await self._wanted(view)
            if stands and _is_shared(view, adapter, attempt):
                stands = await self._has_turn(view, supply, attempt)
        except errors.EdgeError:
            await self._unsent(view, attempt)
            raise
        if not stands:
            await self._unsent(view, attempt)
        return stands

    async def _wanted(self, view: View) -> bool:
        """Whether the DynamicLease still stands as it was known, now that the attempt is on record.

        Who released it before saw no attempt; who sees it go from now on sees this one.
        """
        holder, seen = view.holder, view.dl
        dl = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        if dl is None or seen is None or dl.metadata.uid != holder.uid or dl.deleting:
            return False
        if not self.shard.serves(dl.metadata.labels):
            return False  # another shard may have seen it, and no attempt
        same = dl.metadata.generation == seen.metadata.generation
        return same and names.FINALIZER in dl.metadata.finalizers

    async def _has_turn(self, view: View, supply: Supply, attempt: RecordedLease) -> bool:
        """Whether a shared account is free, looked at while our attempt is on record.

        Two that looked before would both have seen nothing.

        Raises:
            errors.Unavailable: there is another attempt, and nobody knows whether it was sent; or
                so many records are there that one which wasn't read may hold the account.
        """
        own = record.name_of(self.records.installation, view.subject)
        read = await self.records.read_slot(supply.slot)
        if read is None:
            raise _unavailable(_SLOT_CROWDED, retry_after=SLOT_FULL_AGAIN)
        others = [one for one in read if one.name != own]
        rivals = [one for other in others for one in other.leases if one.slot == supply.slot]
        taking = [one for one in rivals if slots.takes_slot(view, one)]
        if any(one.state is State.ATTEMPT for one in taking):
            is_first = own < min(other.name for other in others)
            raise _unavailable(_SLOT_ASKED, retry_after=SLOT_AGAIN * (1 if is_first else 3))
        return not taking

    async def _issue(
        self, view: View, adapter: Provider, attempt: RecordedLease, *, replaces: bool
    ) -> Issued:
        provider = attempt.provider.ref
        try:
            issued = self._checked(attempt, await adapter.issue(self.attempt_of(attempt)))
        except errors.ProviderError as error:
            self.meter.issued(provider, error.outcome, replaces=replaces)
            if error.outcome is not errors.Outcome.UNCLEAR:
                await self._unsent(view, attempt)
            raise
        self.meter.issued(provider, errors.Outcome.OK, replaces=replaces)
        return issued

    def _checked(self, attempt: RecordedLease, issued: Issued) -> Issued:
        """A new lease, if it is one and fits on the record.

        An id that is on a record already is an older lease's, as a cache answers. On this one:
        revoking the older one after the overlap would end the credentials that were delivered as
        new. On another's: two DynamicLeases would have the same credentials, and who goes first
        would end the other's.

        Raises:
            errors.Unavailable: it isn't; the attempt is as unclear as if its answer were lost.
        """
        place = attempt.provider.address, issued.lease.id
        if self.records.holds(*place) or place in self._arriving:
            raise errors.Unavailable(Reason.BAD_ANSWER, _OLDER, sent=True)
        if not arrival.fits_on_record(issued.lease):
            raise errors.Unavailable(Reason.BAD_ANSWER, _TOO_LONG, sent=True)
        self._arriving.add(place)
        return issued

    async def _unsent(self, view: View, attempt: RecordedLease) -> None:
        await self.records.end(view.subject, attempt.attempt_id, "NotIssued", view.now)


def _unavailable(sentence: str, *, retry_after: float) -> errors.Unavailable:
    """A shared account can't be had now; nothing was sent."""
    return errors.Unavailable(Reason.SLOT_TAKEN, sentence, sent=False, retry_after=retry_after)


def _is_shared(view: View, adapter: Provider, attempt: RecordedLease) -> bool:
    """Whether a lease would kill others of its slot; some kinds are only known by their leases."""
    same = (one for one in view.records if one.slot == attempt.slot)
    kind = adapter.capabilities(attempt.noted)
    return kind.slots == "One" or any(slots.one_slot(view, one) for one in same)


def _arrived(
    view: View, lease: RecordedLease, issued: Lease, ahead: int, wrong: Failure | None
) -> RecordedLease:
    """What the answer makes of a lease on record; ``wrong``: why it can't be used."""
    if lease.state is not State.ATTEMPT:
        return arrival.with_answer(lease, issued, lease.state, ahead)
    if wrong is None:
        return arrival.with_answer(lease, issued, State.HELD, ahead)
    over = Revocation(reason=wrong.reason, since=view.now)
    return arrival.with_answer(lease, issued, State.REVOKING, ahead).but(revoke=over)
