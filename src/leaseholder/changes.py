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
from leaseholder.api.record import RecordedLease, State, Subject


class Kind(StrEnum):
    """What happened; the value is how a line of the log begins."""

    ISSUED = "lease issued"
    DELIVERED = "lease delivered"
    RENEWED = "lease renewed"
    ROLLED_OUT = "lease rolled out"
    SUPERSEDED = "lease rotated"
    HELD_AGAIN = "lease kept"
    PUT_BACK = "lease put back on record"
    PENDING = "lease pending revocation"
    REVOCATION_FAILED = "lease not revoked yet"
    REVOKED = "lease revoked"
    ENDED = "lease ended"
    ABANDONED = "lease abandoned"
    ORPHANED = "lease let go"
    UNCLEAR = "issue unclear"
    FOUND = "lease found"
    UNRECORDED = "leases on no record"
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
    attempt: str = ""
    """Its attempt id."""
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


def of_lease(
    kind: Kind,
    of: Subject,
    known: RecordedLease,
    *,
    reason: str = "",
    why: str = "",
    until: datetime | None = None,
    good: bool = True,
    expires: datetime | None = None,
) -> Change:
    """A change of a lease of that name, as the record has it now."""
    provider = known.provider
    return Change(
        kind=kind,
        namespace=of.namespace,
        name=of.name,
        uid=known.holder_uid,
        provider=f"{provider.kind}/{provider.name}",
        attempt=known.attempt_id,
        lease=known.lease_id,
        expires=expires or known.expires_at,
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


def moved(of: Subject, before: RecordedLease, now: RecordedLease) -> Change | None:
    """What a move on the ledger means; None where it is no change of the lease."""
    revoke = now.revocation
    if now.state is before.state:
        rolled = now.rolled_out_at is not None and before.rolled_out_at is None
        return of_lease(Kind.ROLLED_OUT, of, now) if rolled else _retried(of, before, now)
    match now.state:
        case State.SUPERSEDED:
            until = revoke.not_before
            return of_lease(Kind.SUPERSEDED, of, now, reason=revoke.reason, until=until)
        case State.REVOKING if not now.lease_id:
            return of_lease(Kind.UNCLEAR, of, now, reason=revoke.reason, good=False)
        case State.REVOKING:
            return of_lease(Kind.PENDING, of, now, reason=revoke.reason)
        case State.ABANDONED:
            return of_lease(Kind.ABANDONED, of, now, reason=revoke.last_reason, good=False)
        case State.HELD if before.state is not State.ATTEMPT:
            return of_lease(Kind.HELD_AGAIN, of, now, why="the Secret shows it after all")
    return None


def delivered(
    of: Subject, known: RecordedLease, secret: str, keys: int, expires: datetime | None
) -> Change:
    """A Secret was written for a lease: for the first time, or put right."""
    change = of_lease(Kind.DELIVERED, of, known, expires=expires)
    return replace(change, secret=secret, keys=keys)


def dropped(of: Subject, known: RecordedLease) -> Change:
    """A lease went from the record without a revocation: it is let go, or over, or never was."""
    if known.state is State.HELD:
        return of_lease(Kind.ORPHANED, of, known, reason=Reason.ORPHANED, good=False)
    return of_lease(Kind.ENDED if known.lease_id else Kind.NOT_FOUND, of, known)


def _retried(of: Subject, before: RecordedLease, now: RecordedLease) -> Change | None:
    """A revocation that didn't come about: told where it meets something new."""
    last = now.revocation.last_reason
    if not last or before.revocation.last_reason == last:
        return None
    kind = Kind.REVOCATION_FAILED if now.lease_id else Kind.UNCLEAR
    return of_lease(kind, of, now, reason=last, good=last == Reason.NOT_CONFIRMED)


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


def swept(known: AnyProvider, found: Condition) -> Change:
    """A sweep found leases of a provider that are on no record, or none any more."""
    good = found.status == "False"
    return replace(of_provider(known, found), kind=Kind.UNRECORDED, good=good, why=found.message)


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
