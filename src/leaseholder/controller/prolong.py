"""Renewing a lease at the provider: the one way, for delivered and for replaced leases."""

import dataclasses
from datetime import datetime, timedelta

from leaseholder import changes, errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease
from leaseholder.controller import revoke
from leaseholder.controller.chronicle import Chronicle
from leaseholder.core import plan
from leaseholder.core.memory import Shortfall
from leaseholder.core.view import View
from leaseholder.ports.provider import Lease, Provider


async def inspected(adapter: Provider, view: View, record: RecordedLease) -> Lease:
    """Inspect a lease; memory keeps what the provider shows, and when it was asked.

    Just after a renewal a replica may show the end before it: then the later one counts. The
    next renewal would add too much, and that of another process would take it off again.

    Raises:
        errors.LeaseGone: the provider has no such lease.
        errors.ProviderError: it doesn't say.
    """
    memory, asked = view.memory, adapter.now()
    known = memory.leases.get(record.attempt_id)
    lease = await adapter.inspect(revoke.lease_of(view, record))
    if known is not None and lease.expires_at < known.expires_at and _trails(view, record, asked):
        lease = dataclasses.replace(lease, expires_at=known.expires_at)
    memory.leases[record.attempt_id] = lease
    memory.gone_since.pop(record.attempt_id, None)
    memory.status_doubted = False
    memory.shown_at[record.attempt_id] = view.by_date(record, lease.seen_at or asked)
    return lease


def _trails(view: View, record: RecordedLease, asked: datetime) -> bool:
    """Whether an answer to what was asked then may show the lease before its last renewal."""
    renewed = view.memory.renewed_at.get(record.attempt_id)
    can = view.capabilities.get(record.attempt_id)
    if renewed is None or can is None:
        return False
    return asked <= renewed + timedelta(seconds=can.replica_lag)


def _due(view: View, record: RecordedLease) -> bool:
    """Whether a lease is to be renewed all the same, by the end that was just seen."""
    at = plan.renewal_at(view, view.lease, record) if view.lease is not None else None
    return at is not None and view.now >= at


def _measure(view: View, record: RecordedLease, until: datetime, given: datetime) -> None:
    """Remember by what a renewal fell short. No clock is asked: both ends are the lease's own."""
    now, shortfalls = view.own_now(record), view.memory.shortfalls
    shortfalls.pop(record.attempt_id, None)
    if given < until:
        shortfalls[record.attempt_id] = Shortfall(asked=until - now, left=given - now)


async def prolong(
    adapter: Provider,
    view: View,
    record: RecordedLease,
    until: datetime,
    *,
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
        chronicle: told of it.
        inspect_first: what the last try did isn't known: a renewal may have taken effect.
        commanded: a user asks for it; one that took effect unnoticed is no answer.

    Raises:
        errors.LeaseGone: the provider has no such lease.
        errors.CannotRenew: it is at its end, or too little would be added.
        errors.ProviderError: it isn't clear whether the lease was renewed.
    """
    memory, lease, known = view.memory, revoke.lease_of(view, record), view.stated_expiry(record)
    if inspect_first:
        lease = await inspected(adapter, view, record)
        if known is not None and lease.expires_at > known and not (commanded or _due(view, record)):
            return lease
    least = plan.least_renewal(adapter.capabilities(lease.handle))
    if until < lease.expires_at + timedelta(seconds=least):
        sentence = f"a lease is renewed by {least} seconds or more: it is too soon"
        raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, sentence, latest=lease.latest)
    renewed = memory.leases[record.attempt_id] = await adapter.renew(lease, until)
    memory.renewed_at[record.attempt_id] = adapter.now()
    _measure(view, record, until, renewed.expires_at)
    if renewed.expires_at <= lease.expires_at < until:
        memory.unrenewable.add(record.attempt_id)
    if renewed.expires_at > lease.expires_at:
        why = f"{names.RENEW} says so" if commanded else ""
        kind = changes.Kind.RENEWED
        change = changes.of_lease(kind, view.subject, record, expires=renewed.expires_at, why=why)
        await chronicle.note(view.lease if commanded else None, change)
    return renewed
