"""Performing one step: the edges are called here, and what they say becomes memory or ledger.

A provider's failure on the way to a lease is left in memory, to be told in status; one on the
way to a revocation goes on the record. The API server's failures are the caller's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from leaseholder import changes, errors
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus
from leaseholder.api.record import RecordedLease, State
from leaseholder.controller import acquire, revoke, rollouts, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.controller.observe import failure_of
from leaseholder.controller.prolong import inspected, prolong
from leaseholder.controller.records import Records
from leaseholder.core import actions, contents, drift, plan, proof, revocations
from leaseholder.core.memory import Failure
from leaseholder.core.schedule import INSPECT_AGAIN
from leaseholder.core.view import View
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note
from leaseholder.ports.meter import Meter
from leaseholder.ports.secrets import SecretDraft, SecretView


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs steps."""

    cluster: Cluster
    records: Records
    supplies: supplies.Supplies
    meter: Meter
    chronicle: Chronicle
    acquirer: acquire.Acquirer
    revoker: revoke.Revoker
    mover: rollouts.Mover

    async def put_back(self, view: View) -> None:
        """Put on record again what was taken off it without our doing.

        Its credentials are dropped: whoever took it off may have revoked it.

        Raises:
            errors.ClusterError: it can't be written; it stays to be done.
        """
        for attempt_id in self.records.missing(view.subject):
            view.memory.credentials.pop(attempt_id, None)
        for lease in await self.records.put_back(view.subject):
            put_back = changes.of_lease(changes.Kind.PUT_BACK, view.subject, lease)
            await self.chronicle.note(view.lease, put_back)

    async def perform(self, view: View, step: actions.Action) -> None:
        """Do what ``step`` says; the world is to be observed again afterwards.

        Raises:
            errors.ClusterError: the API server didn't take a write that isn't about a lease.
        """
        match step:
            case actions.Move(record, to):
                if to.revocation.reason == Reason.UNDELIVERED:
                    await self._check_status(view)
                await self.revoker.write(view, record, to)
                if to.state is not State.HELD:
                    view.memory.credentials.pop(record.attempt_id, None)
            case actions.Search(record):
                await self.revoker.search(view, record)
            case actions.Revoke():
                await self.revoker.revoke(view, step)
            case actions.Drop(record, why, note, until):
                name = record.attempt_id
                await self.records.end(view.subject, name, why, view.now, was=record, until=until)
                await self._emit(view.lease, note)
                await self.chronicle.note(None, changes.dropped(view.subject, record))
            case actions.Discard():
                await self.records.discard(view.subject)
            case actions.Restart() | actions.Sustain():
                await self._towards_rollout(view, step)
            case actions.DeleteSecret(secret):
                await self._delete(view, secret)
            case actions.Disown(secret):
                await self.cluster.disown_secret(secret, view.holder)
            case actions.Report():
                await self._report(view, step)
            case actions.Protect() | actions.Release():
                await self._change_finalizer(view, step)
            case actions.Idle():
                pass
            case (
                actions.Acquire()
                | actions.Hold()
                | actions.Deliver()
                | actions.Renew()
                | actions.Inspect()
            ):
                await self._towards_lease(view, step)
            case _:
                assert_never(step)

    async def _change_finalizer(self, view: View, step: actions.Protect | actions.Release) -> None:
        if view.lease is None:
            return
        if isinstance(step, actions.Release):
            await self._check_record(view)
        await self.cluster.patch_finalizer(view.lease, on=isinstance(step, actions.Protect))
        if isinstance(step, actions.Release):
            await self._emit(view.lease, step.note)

    async def _check_status(self, view: View) -> None:
        """The DynamicLease is as it is known: a lease that its status tells was delivered.

        Raises:
            errors.Conflict: it isn't; look again.
        """
        if view.lease is None:
            return
        meta = view.lease.metadata
        now = await self.cluster.read_dynamic_lease(meta.namespace, meta.name)
        if now is None or now.metadata.resource_version != meta.resource_version:
            raise errors.Conflict(Reason.CONFLICT, "the DynamicLease was written meanwhile")

    async def _check_record(self, view: View) -> None:
        """The record is as it was seen, so that no lease of another process is let go unseen.

        Raises:
            errors.Conflict: it isn't; look again.
        """
        page = await self.records.reread(view.subject)
        leases = page.leases if page is not None else ()
        if leases != view.records or self.records.lost(view.subject):
            raise errors.Conflict(Reason.CONFLICT, "another process wrote the record")

    async def _towards_lease(
        self,
        view: View,
        step: actions.Acquire | actions.Hold | actions.Deliver | actions.Renew | actions.Inspect,
    ) -> None:
        dl = view.lease
        try:
            match step:
                case actions.Hold(record):
                    await self.acquirer.hold(view, record)
                case actions.Inspect(record):
                    await self._inspect(view, record)
                case actions.Acquire() if dl is not None:
                    await self.acquirer.acquire(view, dl, step)
                case actions.Deliver(record) if dl is not None:
                    await self._deliver(view, dl, record)
                case actions.Renew() if dl is not None:
                    await self._renew(view, dl, step)
        except (errors.Conflict, errors.ClusterUnavailable):
            raise
        except errors.EdgeError as error:
            if isinstance(step, actions.Hold):
                raise  # the lease is in memory: the ledger is tried again until it takes it
            view.memory.poked = False
            view.memory.failure = failure_of(error)

    async def _delete(self, view: View, secret: SecretView) -> None:
        """Delete a Secret; a refusal is told where somebody is there to be told."""
        dl = view.lease if view.lease is not None and not view.lease.deleting else None
        if await self._is_wanted(view, secret):
            return
        try:
            await self.cluster.delete_secret(secret)
        except errors.ClusterUnavailable:
            if dl is None:
                view.memory.note_undeleted()
            raise
        except errors.Refused as error:
            if dl is None:
                view.memory.keeps_secret = True
                raise
            view.memory.poked = False
            view.memory.failure = failure_of(error)
            return
        seen, view.memory.undeleted = view.memory.secrets, 0
        view.memory.secrets = seen.deleted(secret) if seen is not None else None
        if view.lease is not None:
            change = changes.of_dl(changes.Kind.SECRET_DELETED, view.lease, secret=secret.name)
            await self.chronicle.note(None, change)

    async def _is_wanted(self, view: View, secret: SecretView) -> bool:
        """Whether a DynamicLease of the name wants the Secret by now.

        It may have another secretName again, or was made again and took the Secret over before it
        was read here. What belongs to the one that goes itself nobody else has.
        """
        holder, going = view.holder, view.lease is not None and view.lease.deleting
        if going and secret.belongs_to(holder.uid):
            return False
        now = await self.cluster.read_dynamic_lease(holder.namespace, holder.name)
        if now is None or (going and now.metadata.uid == holder.uid):
            return False
        return now.secret_name == secret.name

    async def _report(self, view: View, step: actions.Report) -> None:
        if view.lease is None:
            return
        await self.report(view.lease, step.status, step.notes)
        view.memory.failure = None

    async def report(
        self, dl: DynamicLease, status: DynamicLeaseStatus, notes: Sequence[Note]
    ) -> None:
        """Write a status, log what changed with it, and post the events that go with it.

        Raises:
            errors.ClusterError: it wasn't written.
        """
        await self.cluster.patch_lease_status(dl, status)
        for change in changes.reported(dl, status):
            await self.chronicle.note(None, change)
        for note in notes:
            await self._emit(dl, note)

    async def _emit(self, dl: DynamicLease | None, note: Note | None) -> None:
        if dl is not None and note is not None:
            await self.cluster.emit(dl, note)

    async def _deliver(self, view: View, dl: DynamicLease, record: RecordedLease) -> None:
        """Write the Secret as it was read before record and DynamicLease are read again.

        Whoever revokes the lease moves the record first and the Secret next: then either this
        sees the record moved, or the write conflicts. The DynamicLease was read live a moment ago
        where the lease was just issued; later its uid may be a former one's, and the garbage
        collector would delete the Secret.
        """
        if view.names(record):
            _count_repair(view, dl)
        now = dl if self._fenced(view, record) else await self._still(view, dl, record)
        if now is None:
            view.memory.secrets = None
            return
        filling = _filling(view, now, record)
        news = drift.keys_changed(view, filling.contents)
        before = view.known_contents(view.target, record) if view.target is not None else None
        wanted = acquire.draft(now, record, filling, before)
        written = await self._write(view, wanted)
        seen = view.memory.secrets
        view.memory.secrets = seen.written(written) if seen is not None else None
        view.memory.secret_version = written.resource_version
        view.memory.contents[record.attempt_id] = filling.contents
        view.memory.credentials.pop(record.attempt_id, None)
        await self._emit(now, news)
        change = changes.delivered(
            view.subject, record, written.name, len(written.keys), view.stated_expiry(record)
        )
        await self.chronicle.note(None, change)

    async def _write(self, view: View, wanted: SecretDraft) -> SecretView:
        """Write the target; what the watch tells of meanwhile, beside that, is read afterwards."""
        shown, own = set[str](), ""
        view.memory.writing = shown
        try:
            written = await self.cluster.write_secret(wanted, view.target)
            own = written.resource_version
            return written
        finally:
            view.memory.writing = None
            others = shown - {own} if own else shown  # one that went has no version
            view.memory.doubted = view.memory.doubted or bool(others)

    @staticmethod
    def _fenced(view: View, record: RecordedLease) -> bool:
        """Whether the lease was put on record as Held after this very Secret was known.

        Then that write is the look: whoever moves the lease since then writes the Secret next, and
        this delivery meets a conflict. Only for the first try: later ones come who knows when.
        """
        return view.memory.fences.pop(record.attempt_id, None) == view.target_version

    async def _still(
        self, view: View, dl: DynamicLease, record: RecordedLease
    ) -> DynamicLease | None:
        """The DynamicLease as it is now, where its newest Held lease is still this one."""
        page = await self.records.reread(view.subject)
        held = [one for one in page.leases if one.state is State.HELD] if page is not None else []
        newest = held[-1].attempt_id if held else ""
        named = view.named_anywhere(record)
        if not any(one.attempt_id == record.attempt_id for one in held):
            return None
        if newest != record.attempt_id and not named:
            return None
        now = await self.cluster.read_dynamic_lease(dl.metadata.namespace, dl.metadata.name)
        same = now is not None and now.metadata.uid == dl.metadata.uid and not now.deleting
        if now is None or not same or now.secret_name != dl.secret_name:
            return None
        return now

    async def renew_blindly(self, view: View, step: actions.Renew) -> None:
        """Renew a lease while the API server is away: only provider and memory are touched.

        What fails is left in memory, as after any step.
        """
        memory, name = view.memory, step.record.attempt_id
        try:
            await self._prolong(view, step)
            memory.failure = None
        except errors.LeaseGone as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            memory.inspected_at[name] = view.now
            memory.gone_since.setdefault(name, view.now)
        except errors.ProviderError as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            memory.failure = failure_of(error)
            if error.reason == Reason.CANNOT_RENEW:
                memory.unrenewable.add(name)

    async def _renew(self, view: View, dl: DynamicLease, step: actions.Renew) -> None:
        try:
            await self._prolong(view, step)
        except errors.LeaseGone as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            await self._gone(view, step.record, report=True, certain=error.certain)
        except errors.CannotRenew as error:
            await self._cannot_renew(view, dl, step, error)
        except errors.ProviderError as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            raise

    async def _prolong(self, view: View, step: actions.Renew) -> None:
        adapter = await self.supplies.for_lease(step.record, view.trusts)
        commanded, inspect_first = step.nonce is not None, step.inspect_first
        await prolong(
            adapter,
            view,
            step.record,
            step.until,
            chronicle=self.chronicle,
            inspect_first=inspect_first,
            commanded=commanded,
        )
        view.memory.renew_handled = step.nonce or view.memory.renew_handled
        self.meter.renewed(step.record.provider.ref, errors.Outcome.OK)

    async def _cannot_renew(
        self, view: View, dl: DynamicLease, step: actions.Renew, error: errors.CannotRenew
    ) -> None:
        self.meter.renewed(step.record.provider.ref, error.outcome)
        if step.nonce:
            view.memory.renew_handled = step.nonce
            instead = f"; {plan.INSTEAD}" if error.reason == Reason.CANNOT_RENEW else ""
            note = Note("Warning", error.reason, error.sentence + instead)
            await self.cluster.emit(dl, note)
        elif error.reason == Reason.RENEWAL_TOO_SOON:
            raise error
        elif step.inspect_first:
            view.memory.unrenewable.add(step.record.attempt_id)
        else:
            # Somebody else may just have renewed it: the next try looks first.
            view.memory.leases.pop(step.record.attempt_id, None)

    async def _towards_rollout(self, view: View, step: actions.Restart | actions.Sustain) -> None:
        match step:
            case actions.Restart():
                await self.mover.restart(view, step)
            case actions.Sustain(record):
                try:
                    await self.mover.sustain(view, step)
                except errors.LeaseGone as error:
                    await self._gone(view, record, report=False, certain=error.certain)

    async def _inspect(self, view: View, record: RecordedLease) -> None:
        adapter = await self.supplies.for_lease(record, view.trusts)
        view.memory.inspected_at[record.attempt_id] = view.now
        view.memory.inspect_from.pop(record.attempt_id, None)
        try:
            await inspected(adapter, view, record)
        except errors.LeaseGone as error:
            await self._gone(view, record, report=False, certain=error.certain)
        except errors.ProviderError as error:
            # The provider's own status tells it; the lease is inspected again later.
            pause = timedelta(seconds=math.ceil(error.retry_after or INSPECT_AGAIN))
            again = view.by_date(record, adapter.now()) + pause
            view.memory.inspect_from[record.attempt_id] = again

    async def _gone(
        self, view: View, record: RecordedLease, *, report: bool, certain: bool = False
    ) -> None:
        """The provider has no such lease: believed when certain, or old enough and said twice."""
        view.memory.inspected_at[record.attempt_id] = view.now
        since = view.memory.gone_since.setdefault(record.attempt_id, view.now)
        twice = since + timedelta(seconds=INSPECT_AGAIN)
        old_enough = max(revocations.shows_from(view, record), twice)
        if certain or view.now >= old_enough:
            move = revocations.begin(view, record, Reason.GONE)
            await self.revoker.write(view, record, move.to)
            await self._emit(view.lease, proof.failed(view, record))
            view.memory.poked = True  # the back-off was for a lease that might still live
        elif report:
            view.memory.poked = False
            view.memory.failure = Failure(
                reason=Reason.GONE,
                sentence="the provider has no such lease; it is inspected once more before a "
                "new one is issued",
                permanent=False,
                retry_after=(old_enough - view.now).total_seconds(),
            )


def _filling(view: View, dl: DynamicLease, record: RecordedLease) -> contents.Filling:
    """What the Secret is to hold: from the issue, or from a Secret of ours that holds it.

    Raises:
        errors.Conflict: the Secret isn't as it was when this was decided.
        errors.Invalid: the template can't be rendered.
    """
    issued = view.memory.credentials.get(record.attempt_id)
    if issued is not None:
        return contents.filled(dl, record, issued.reveal())
    source = view.source_of(record)
    if source is None:
        raise errors.Conflict(Reason.CONFLICT, "no Secret holds what is to be written")
    known = view.known_contents(source, record) or contents.assumed(dl, record, source)
    return contents.refilled(dl, record, source, known)


def _count_repair(view: View, dl: DynamicLease) -> None:
    """Repairs in a row make the next one wait."""
    memory = view.memory
    calm = view.monotonic > drift.repair_at(view, dl) + drift.QUIET.total_seconds()
    memory.repairs = 1 if calm else memory.repairs + 1
    memory.repaired, memory.repaired_generation = view.monotonic, dl.metadata.generation
