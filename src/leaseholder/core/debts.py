"""Debts: every record in Revoking is a lease that the provider must confirm to be gone.

A debt without a lease id is an unclear attempt: it is searched for first. A debt with one is
revoked and then looked at. ``next_step`` says what is due; the ``after_…`` functions say what
an outcome makes of the record (None: paid, the record may go).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordStatus, Revocation, State
from leaseholder.core import schedule
from leaseholder.core.steps import Drop, Move, Revoke, Search, Step
from leaseholder.core.view import View

REVERSIBLE: Final = frozenset({Reason.SUPERSEDED, Reason.UNDELIVERED, Reason.UNCLEAR})
"""Reasons that a Secret which names the lease after all proves wrong."""
UNKNOWN_LIFE: Final = timedelta(days=1)
"""How long a lease of unknown ttl is thought to live, where it can't be found."""


def owe(view: View, record: LeaseRecord, reason: Reason) -> Move:
    """The move that makes a record a debt, due at once; the best known expiry goes with it."""
    status = record.status.model_copy(
        update={
            "state": State.REVOKING,
            "expires_at": view.expiry(record),
            "revoke": Revocation(reason=reason),
        }
    )
    return Move(record, status)


def next_step(view: View) -> Step | None:
    """The step that a debt needs now, if any."""
    return next((step for step in map_debts(view) if not isinstance(step, datetime)), None)


def wake(view: View) -> datetime | None:
    """When the next debt is due."""
    return min((at for at in map_debts(view) if isinstance(at, datetime)), default=None)


def map_debts(view: View) -> Iterator[Step | datetime]:
    """For each debt the step that is due, or when there will be one."""
    for record in view.in_state(State.SUPERSEDED):
        yield _superseded(view, record)
    for record in view.in_state(State.REVOKING):
        yield _search(view, record) if not record.status.lease_id else _revoke(view, record)


def _superseded(view: View, record: LeaseRecord) -> Step | datetime:
    not_before = _revocation(record).not_before
    if not_before is not None and view.now < not_before:
        return not_before
    return owe(view, record, Reason.SUPERSEDED)


def _revocation(record: LeaseRecord) -> Revocation:
    return record.status.revoke or Revocation()


def _search(view: View, record: LeaseRecord) -> Step | datetime:
    can = view.capabilities.get(record.name)
    if can is None:
        return view.now + timedelta(seconds=schedule.RETRY_MOST)
    spec = record.spec
    if not can.recoverable:
        life = timedelta(seconds=spec.ttl_seconds) if spec.ttl_seconds else UNKNOWN_LIFE
        end = spec.deadline + timedelta(seconds=can.settle) + life
        return Drop(record) if view.now >= end else end
    wait = (spec.deadline - spec.started_at).total_seconds() + can.settle
    due = view.memory.sighted.get(record.name, view.monotonic) + wait
    if record.name in view.memory.searched:
        due = view.memory.searched[record.name] + max(can.replica_lag, schedule.LOOK_AGAIN)
    left = due - view.monotonic
    if left > 0:
        return view.now + timedelta(seconds=left)
    return _when_due(view, record) or Search(record)


def _when_due(view: View, record: LeaseRecord) -> datetime | None:
    """When the next try is due, None when it is now."""
    next_at = _revocation(record).next_at
    return next_at if next_at is not None and view.now < next_at else None


def _revoke(view: View, record: LeaseRecord) -> Step | datetime:
    revocation = _revocation(record)
    wanted = view.lease is not None and not view.lease.deleting
    if wanted and view.names(record) and revocation.reason in REVERSIBLE:
        return Move(record, record.status.model_copy(update={"state": State.HELD, "revoke": None}))
    force = force_nonce(view) not in ("", revocation.forced_nonce)
    later = _when_due(view, record)
    if later is not None and not force:
        return later
    undelivered = revocation.reason == Reason.UNDELIVERED and revocation.attempts == 0
    return Revoke(record, force=force, fence=view.target if undelivered else None)


def force_nonce(view: View) -> str:
    """The force command that stands and wasn't there at first sight; empty where there's none."""
    if view.lease is None or view.lease.status.handled is None:
        return ""
    nonce = view.lease.metadata.annotations.get(names.FORCE, "")
    return nonce if nonce != view.lease.status.handled.force else ""


def after_answer(view: View, record: LeaseRecord) -> RecordStatus:
    """The provider says that it revoked the lease, but still shows it: look again soon."""
    again = view.now + timedelta(seconds=schedule.LOOK_AGAIN)
    return _with(
        record,
        attempts=_revocation(record).attempts + 1,
        answered_at=_revocation(record).answered_at or view.now,
        next_at=again,
        last_reason=Reason.NOT_CONFIRMED,
        forced_nonce=force_nonce(view) or _revocation(record).forced_nonce,
    )


def after_gone(view: View, record: LeaseRecord) -> RecordStatus | None:
    """The provider says that it has no such lease: believed when old enough and said twice."""
    if _revocation(record).answered_at is not None:
        return None
    can = view.capabilities.get(record.name)
    lag = timedelta(seconds=can.replica_lag if can else 60)
    written = record.status.issued_at or record.spec.started_at
    if view.now < written + lag:
        return _with(record, next_at=written + lag, last_reason=Reason.NOT_CONFIRMED)
    again = view.now + timedelta(seconds=schedule.LOOK_AGAIN)
    return _with(record, answered_at=view.now, next_at=again, last_reason=Reason.NOT_CONFIRMED)


def after_failure(
    view: View, record: LeaseRecord, reason: Reason, retry_after: float | None = None
) -> RecordStatus:
    """A try that didn't succeed: the next one later, slowly past expiry, for a week."""
    revocation = _revocation(record)
    attempts = revocation.attempts + 1
    most = schedule.REVOKE_MOST
    expiry = view.expiry(record)
    state = State.REVOKING
    if expiry is not None and view.now >= expiry + schedule.ABANDON_AFTER:
        state = State.ABANDONED
    if expiry is not None and view.now >= expiry and attempts > 1:
        most = schedule.REVOKE_SLOW
    wait = schedule.backoff(attempts, seed=record.name, most=most, retry_after=retry_after)
    changed = _with(
        record,
        attempts=attempts,
        next_at=view.now + wait,
        last_reason=reason,
        forced_nonce=force_nonce(view) or revocation.forced_nonce,
    )
    return changed.model_copy(update={"state": state})


def found(record: LeaseRecord, lease_id: str, expires_at: datetime) -> RecordStatus:
    """The search found the attempt's lease: its id goes on record before it is revoked."""
    return record.status.model_copy(update={"lease_id": lease_id, "expires_at": expires_at})


def _with(record: LeaseRecord, **changes: object) -> RecordStatus:
    revocation = _revocation(record).model_copy(update=changes)
    return record.status.model_copy(update={"revoke": revocation})
