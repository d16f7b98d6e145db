"""Renew: leases are renewed and inspected at their provider; memory keeps what it shows.

Flows in: a view and the step Renew or Inspect. Flows out: the lease's new end in memory, or the
failure there, which ``status`` reports. A lease that the provider no longer has is put on record as
to be revoked (``revoke``). ``prolong`` is the one way to renew: ``rollouts`` takes it for replaced
leases, ``away`` while the API server doesn't answer.
"""

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from leaseholder import changes, errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease
from leaseholder.controller import revoke, supplies
from leaseholder.controller.chronicle import Chronicle
from leaseholder.core import actions, obstacles, plan, proof, revocations
from leaseholder.core.memory import Failure, Shortfall, failure_of
from leaseholder.core.schedule import INSPECT_AGAIN, RETRY_FIRST
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock
from leaseholder.ports.events import Note
from leaseholder.ports.meter import Meter
from leaseholder.ports.provider import Lease, Provider

RENEW_AGAIN: Final = 60.0
"""Most seconds between two tries to renew a lease of which status has no back-off."""


@dataclass(frozen=True, slots=True)
class Renewer:
    """Renews and inspects leases."""

    supplies: supplies.Supplies
    meter: Meter
    chronicle: Chronicle
    revoker: revoke.Revoker

    async def renew_offline(self, view: View, step: actions.Renew) -> None:
        """Renew a lease while the API server is away: only provider and memory are touched.

        What fails is left in memory, as after any step.
        """
        memory, known = view.memory, view.known(step.record)
        try:
            await self._prolong(view, step)
            memory.failure = None
        except errors.LeaseGone as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            known.inspected_at, known.gone_since = view.now, known.gone_since or view.now
        except errors.ProviderError as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            memory.failure, known.not_renewed = failure_of(error), error.served
            if error.reason == Reason.CANNOT_RENEW:
                known.unrenewable = True

    async def renew(self, view: View, dl: DynamicLease, step: actions.Renew) -> None:
        """Renew a lease; one that is gone, or can't be renewed, is told by the way of each.

        Raises:
            errors.ProviderError: it isn't renewed, and that is all that is known.
            errors.ClusterError: what became of it couldn't be written.
        """
        try:
            await self._prolong(view, step)
            await self._note_cut(view, step.record)
        except errors.LeaseGone as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            await self.gone(view, step.record, report=True, certain=error.certain)
        except errors.CannotRenew as error:
            await self._cannot_renew(view, dl, step, error)
        except errors.ProviderError as error:
            self.meter.renewed(step.record.provider.ref, error.outcome)
            view.known(step.record).not_renewed = error.served
            self._failed(view, dl, step.record, error)

    async def _prolong(self, view: View, step: actions.Renew) -> None:
        adapter = await self.supplies.for_lease(step.record, view.trusts)
        commanded, inspect_first = step.nonce is not None, step.inspect_first
        await prolong(
            adapter,
            view,
            step.record,
            step.until,
            clock=self.supplies.clock,
            chronicle=self.chronicle,
            inspect_first=inspect_first,
            commanded=commanded,
        )
        view.memory.renew_handled = step.nonce or view.memory.renew_handled
        self.meter.renewed(step.record.provider.ref, errors.Outcome.OK)

    async def _note_cut(self, view: View, record: RecordedLease) -> None:
        """Put an earlier end on record: a process that comes later would believe the old one."""
        known = view.known(record)
        if known.was_cut and known.shown is not None:
            cut = record.but(expires_at=known.shown.expires_at)
            await self.revoker.records.replace(view.subject, cut, was=record)

    async def _cannot_renew(
        self, view: View, dl: DynamicLease, step: actions.Renew, error: errors.CannotRenew
    ) -> None:
        self.meter.renewed(step.record.provider.ref, error.outcome)
        if step.nonce:
            view.memory.renew_handled = step.nonce
            instead = f"; {plan.INSTEAD}" if error.reason == Reason.CANNOT_RENEW else ""
            note = Note("Warning", error.reason, error.sentence + instead)
            await self.chronicle.emit(dl, note)
        elif error.reason == Reason.RENEWAL_TOO_SOON:
            self._failed(view, dl, step.record, error)
        elif step.inspect_first:
            view.known(step.record).unrenewable = True
        else:
            # Somebody else may just have renewed it: the next try looks first.
            view.known(step.record).shown = None

    def _failed(
        self, view: View, dl: DynamicLease, record: RecordedLease, error: errors.ProviderError
    ) -> None:
        """A renewal failed: its back-off would take the place of that of issues that cost.

        Raises:
            errors.ProviderError: there is no such back-off.
        """
        if not obstacles.spares(view, dl):
            raise error
        later(view, record, error.retry_after)

    async def inspect(self, view: View, record: RecordedLease) -> None:
        """See whether a lease lives; where the provider doesn't say, it is asked again later."""
        adapter = await self.supplies.for_lease(record, view.trusts)
        known = view.known(record)
        known.inspected_at, known.inspect_from = view.now, None
        try:
            await inspected(adapter, view, record)
        except errors.LeaseGone as error:
            await self.gone(view, record, report=False, certain=error.certain)
        except errors.ProviderError as error:
            # The provider's own status tells it; the lease is inspected again later.
            pause = timedelta(seconds=math.ceil(error.retry_after or INSPECT_AGAIN))
            known.inspect_from = view.by_date(record, adapter.now()) + pause

    async def gone(
        self, view: View, record: RecordedLease, *, report: bool, certain: bool = False
    ) -> None:
        """The provider has no such lease: believed when certain, or old enough and said twice."""
        known = view.known(record)
        since = known.gone_since or view.now
        known.inspected_at, known.gone_since = view.now, since
        twice = since + timedelta(seconds=INSPECT_AGAIN)
        old_enough = max(revocations.shows_from(view, record), twice)
        if certain or view.now >= old_enough:
            move = revocations.begin(view, record, Reason.GONE)
            await self.revoker.write(view, record, move.to)
            await self.chronicle.emit(view.dl, proof.failed(view, record))
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


def later(view: View, record: RecordedLease, retry_after: float | None) -> None:
    """Have a renewal that failed, and that status doesn't count, tried again; near its end soon."""
    expiry = view.expiry(record) or view.now
    left = (expiry - view.now).total_seconds()
    soon = min(RENEW_AGAIN, max(RETRY_FIRST, left / 5))
    wait = retry_after or (soon if left > 0 else RENEW_AGAIN)
    view.known(record).sustain_at = view.now + timedelta(seconds=wait)


async def inspected(adapter: Provider, view: View, record: RecordedLease) -> Lease:
    """Inspect a lease; memory keeps what the provider shows, and when it was asked.

    Just after a renewal a replica may show the end before it: then the later one counts. The
    next renewal would add too much, and that of another process would take it off again.

    Raises:
        errors.LeaseGone: the provider has no such lease.
        errors.ProviderError: it doesn't say.
    """
    known, asked = view.known(record), adapter.now()
    last = known.shown
    lease = await adapter.inspect(revoke.lease_of(view, record))
    is_older = last is not None and (known.was_cut or lease.expires_at < last.expires_at)
    if last is not None and is_older and _trails(view, record):
        lease = dataclasses.replace(lease, expires_at=last.expires_at)
    lease = known.know(record, lease)
    known.gone_since, view.memory.status_doubted = None, False
    known.shown_at = view.by_date(record, lease.seen_at or asked)
    return lease


def _trails(view: View, record: RecordedLease) -> bool:
    """Whether replicas may show the lease before its last renewal, by our own clock."""
    renewed = view.known(record).renewed_at
    can = view.capabilities.get(record.attempt_id)
    if renewed is None or can is None:
        return False
    return view.monotonic <= renewed + can.replica_lag


def _due(view: View, record: RecordedLease) -> bool:
    """Whether a lease is to be renewed all the same, by the end that was just seen."""
    at = plan.renewal_at(view, view.dl, record) if view.dl is not None else None
    return at is not None and view.now >= at


def _measure(view: View, record: RecordedLease, until: datetime, given: datetime) -> None:
    """Remember by what a renewal fell short. No clock is asked: both ends are the lease's own."""
    now = view.own_now(record)
    fell_short = given < until
    short = Shortfall(asked=until - now, left=given - now) if fell_short else None
    view.known(record).shortfall = short


async def prolong(
    adapter: Provider,
    view: View,
    record: RecordedLease,
    until: datetime,
    *,
    clock: Clock,
    chronicle: Chronicle,
    inspect_first: bool,
    commanded: bool = False,
) -> Lease:
    """Renew a lease to ``until``, after a look where one is needed; memory keeps what it says.

    Args:
        adapter: the provider that has the lease.
        view: what was observed.
        record: the lease's record.
        until: its end to be (UTC).
        clock: ours.
        chronicle: told of it.
        inspect_first: what the last try did isn't known: a renewal may have taken effect.
        commanded: a user asks for it; one that took effect unnoticed is no answer.

    Raises:
        errors.LeaseGone: the provider has no such lease.
        errors.CannotRenew: it is at its end, or too little would be added.
        errors.ProviderError: it isn't clear whether the lease was renewed.
    """
    known, stated = view.known(record), view.stated_expiry(record)
    lease = revoke.lease_of(view, record)
    if inspect_first:
        lease = await inspected(adapter, view, record)
        is_later = stated is not None and lease.expires_at > stated
        if is_later and not (commanded or _due(view, record)):
            return lease
    least, shown = plan.least_renewal(adapter.capabilities(lease.handle)), plan.apart(view, record)
    is_short = until < lease.expires_at + timedelta(seconds=least)
    if is_short or (shown is not None and view.now < shown):
        sentence = f"a lease is renewed by {least} seconds or more: it is too soon"
        raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, sentence, latest=lease.latest)
    renewed = known.know(record, await adapter.renew(lease, until))
    noted = view.noted_expiry(record)
    known.was_cut = noted is not None and renewed.expires_at < noted
    known.renewed_at, known.not_renewed = clock.monotonic(), False
    _measure(view, record, until, renewed.expires_at)
    if renewed.expires_at <= lease.expires_at < until:
        known.unrenewable = True
    if renewed.expires_at > lease.expires_at:
        why = f"{names.RENEW} says so" if commanded else ""
        kind = changes.Kind.RENEWED
        change = changes.of_lease(kind, view.subject, record, expires=renewed.expires_at, why=why)
        await chronicle.note(view.dl if commanded else None, change)
    return renewed
