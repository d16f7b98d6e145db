"""What can become of a lease: the words in which logs and events speak of it.

Whoever changes a lease tells one ``Change`` of it, after the change is written down. The log has
a line for each (docs/operations.md); some are events, too. A change names leases, never
credentials: who knows an id of a lease can do nothing with it that a login isn't needed for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from leaseholder.api import conditions
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.lease import DynamicLease, DynamicLeaseStatus
from leaseholder.api.provider import AnyProvider
from leaseholder.api.record import LeaseRecord, RecordStatus, State


class Kind(StrEnum):
    """What happened; the value is how a line of the log begins."""

    ISSUED = "lease issued"
    DELIVERED = "lease delivered"
    RENEWED = "lease renewed"
    ROLLED_OUT = "lease rolled out"
    SUPERSEDED = "lease rotated"
    REINSTATED = "lease kept"
    PUT_BACK = "lease put back on record"
    PENDING = "lease pending revocation"
    REVOCATION_FAILED = "lease not revoked yet"
    REVOKED = "lease revoked"
    ENDED = "lease ended"
    ABANDONED = "lease abandoned"
    ORPHANED = "lease let go"
    UNCLEAR = "issue unclear"
    FOUND = "lease found"
    NOT_FOUND = "no lease found"
    RESTARTED = "workload restarted"
    SECRET_DELETED = "secret deleted"  # noqa: S105 - a word, not a password
    READY = "ready"
    NOT_READY = "not ready"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    ROLLOUT = "rollout"
    PROVIDER_READY = "provider ready"
    PROVIDER_NOT_READY = "provider not ready"


OUTAGES = frozenset({Reason.UNREACHABLE, Reason.UNAVAILABLE, Reason.THROTTLED, Reason.CLUSTER})
"""Reasons that all who use a server meet at once: the log has a line for the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change; empty fields don't apply."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    """Of the DynamicLease, or of the provider that the change is about."""
    provider: str = ""
    """Kind and name of the provider: ``LeaseProvider/openbao``."""
    record: str = ""
    """The LeaseRecord."""
    lease: str = ""
    """The provider's id of the lease."""
    expires: datetime | None = None
    """When the lease ends, as far as is known (UTC)."""
    until: datetime | None = None
    """Until when a replaced lease lives at least (UTC)."""
    reason: str = ""
    """As conditions have it."""
    good: bool = True
    """Nobody has to be warned."""
    why: str = ""
    """What it happened for, in our own words."""
    secret: str = ""
    """The Secret that was written or deleted."""
    keys: int | None = None
    """How many keys it holds."""
    workload: str = ""
    """Kind and name: ``Deployment/orders``."""


def of_record(
    kind: Kind,
    known: LeaseRecord,
    status: RecordStatus | None = None,
    *,
    reason: str = "",
    why: str = "",
    until: datetime | None = None,
    good: bool = True,
    expires: datetime | None = None,
) -> Change:
    """A change of the lease that ``known`` records; ``status``: what the record says now."""
    now, holder, provider = status or known.status, known.spec.for_, known.spec.provider
    return Change(
        kind=kind,
        namespace=holder.namespace,
        name=holder.name,
        uid=holder.uid,
        provider=f"{provider.kind}/{provider.name}",
        record=known.name,
        lease=now.lease_id,
        expires=expires or now.expires_at,
        reason=reason,
        why=why,
        until=until,
        good=good,
    )


def of_dl(
    kind: Kind,
    dl: DynamicLease,
    *,
    reason: str = "",
    why: str = "",
    good: bool = True,
    workload: str = "",
    secret: str = "",
) -> Change:
    """A change of a DynamicLease, or of what it stands for in its namespace."""
    meta, ref = dl.metadata, dl.spec.provider_ref
    held = dl.status.lease
    return Change(
        kind=kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        provider=f"{ref.kind}/{ref.name}",
        lease=held.id if held is not None else "",
        expires=held.expires_at if held is not None else None,
        reason=reason,
        why=why,
        good=good,
        workload=workload,
        secret=secret,
    )


def moved(known: LeaseRecord, status: RecordStatus) -> Change | None:
    """What a move on the ledger means; None where it is no change of the lease."""
    before, now, revoke = known.state, status.state, status.revoke
    reason = revoke.reason if revoke is not None else ""
    if now is before:
        rolled = status.rolled_out_at is not None and known.status.rolled_out_at is None
        return of_record(Kind.ROLLED_OUT, known, status) if rolled else _retried(known, status)
    match now:
        case State.SUPERSEDED:
            until = revoke.not_before if revoke is not None else None
            return of_record(Kind.SUPERSEDED, known, status, reason=reason, until=until)
        case State.REVOKING if not status.lease_id:
            return of_record(Kind.UNCLEAR, known, status, reason=reason, good=False)
        case State.REVOKING:
            return of_record(Kind.PENDING, known, status, reason=reason)
        case State.ABANDONED:
            last = revoke.last_reason if revoke is not None else ""
            return of_record(Kind.ABANDONED, known, status, reason=last, good=False)
        case State.HELD if before is not State.ATTEMPT:
            return of_record(Kind.REINSTATED, known, status, why="the Secret shows it after all")
    return None


def delivered(known: LeaseRecord, secret: str, keys: int, expires: datetime | None) -> Change:
    """A Secret was written for a lease: for the first time, or put right."""
    change = of_record(Kind.DELIVERED, known, expires=expires)
    return replace(change, secret=secret, keys=keys)


def dropped(known: LeaseRecord) -> Change:
    """A record went without a revocation: its lease is let go, or over, or never was."""
    if known.state is State.HELD:
        return of_record(Kind.ORPHANED, known, reason=Reason.ORPHANED, good=False)
    return of_record(Kind.ENDED if known.status.lease_id else Kind.NOT_FOUND, known)


def _retried(known: LeaseRecord, status: RecordStatus) -> Change | None:
    """A revocation that didn't come about: told where it meets something new."""
    revoke, before = status.revoke, known.status.revoke
    if revoke is None or not revoke.last_reason:
        return None
    if before is not None and before.last_reason == revoke.last_reason:
        return None
    good = revoke.last_reason == Reason.NOT_CONFIRMED
    kind = Kind.REVOCATION_FAILED if status.lease_id else Kind.UNCLEAR
    return of_record(kind, known, status, reason=revoke.last_reason, good=good)


def reported(dl: DynamicLease, new: DynamicLeaseStatus) -> Iterator[Change]:
    """What changed between the status of ``dl`` and the one that is told now."""
    after = dl.model_copy(update={"status": new})
    kind = ConditionType.READY
    now, before = conditions.find(new.conditions, kind), conditions.find(dl.status.conditions, kind)
    if now is not None and not _same(now, before):
        yield from _readiness(after, now, before)
    kind = ConditionType.ROLLOUT_COMPLETE
    now, before = conditions.find(new.conditions, kind), conditions.find(dl.status.conditions, kind)
    if now is not None and not _same(now, before) and now.reason not in _QUIET:
        yield of_dl(Kind.ROLLOUT, after, reason=now.reason, why=now.message, good=False)


_QUIET = frozenset({Reason.ROLLING_OUT, Reason.ROLLED_OUT})
_CALM = frozenset({Reason.READY, Reason.PROGRESSING, Reason.SUSPENDED, Reason.DELETING})


def _same(now: Condition, before: Condition | None) -> bool:
    return before is not None and (before.status, before.reason) == (now.status, now.reason)


def _readiness(dl: DynamicLease, now: Condition, before: Condition | None) -> Iterator[Change]:
    if now.reason == Reason.SUSPENDED:
        yield of_dl(Kind.SUSPENDED, dl, reason=now.reason, why=now.message)
        return
    if before is not None and before.reason == Reason.SUSPENDED and not dl.spec.suspend:
        yield of_dl(Kind.RESUMED, dl, reason=now.reason)
    elif now.status == "True" and now.reason == Reason.READY:
        yield of_dl(Kind.READY, dl, reason=now.reason)
    if now.reason not in _CALM:
        kind = Kind.READY if now.status == "True" else Kind.NOT_READY
        yield of_dl(kind, dl, reason=now.reason, why=now.message, good=False)


def of_provider(known: AnyProvider, ready: Condition) -> Change:
    """A provider became ready, or isn't any more."""
    good = ready.status == "True"
    return Change(
        kind=Kind.PROVIDER_READY if good else Kind.PROVIDER_NOT_READY,
        namespace=known.metadata.namespace,
        name=known.metadata.name,
        uid=known.metadata.uid,
        provider=f"{known.KIND}/{known.metadata.name}",
        reason=ready.reason,
        why="" if good else ready.message,
        good=good,
    )
