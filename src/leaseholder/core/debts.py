"""Debts: every record in Revoking is a lease that the provider must confirm to be gone.

A debt without a lease id is an unclear attempt: it is searched for first. A debt with one is
revoked and then looked at. ``next_step`` says what is due; the ``after_…`` functions say what
an outcome makes of the record (None: paid, the record may go).
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordStatus, Revocation, State
from leaseholder.core import ends, rollout, schedule
from leaseholder.core.steps import Drop, Move, Revoke, Search, Step
from leaseholder.core.view import View

REVERSIBLE: Final = frozenset({Reason.SUPERSEDED, Reason.UNDELIVERED, Reason.UNCLEAR})
"""Reasons that a Secret which names the lease after all proves wrong."""
LOGIN_FAILED: Final = frozenset({Reason.AUTH_GONE, Reason.LOGIN_REFUSED})
"""What a last try may have met that other credentials put right."""
UNKNOWN_LAG: Final = 60
"""Seconds that a read may trail a write at a provider that can't be asked."""
UNSEEN: Final = timedelta(seconds=60)
"""A lease that can be neither looked at nor revoked is thought gone so long after its end."""


def owe(view: View, record: LeaseRecord, reason: Reason) -> Move:
    """The move that makes a record a debt, due at once."""
    return moved(view, record, State.REVOKING, Revocation(reason=reason, since=view.now))


def moved(view: View, record: LeaseRecord, state: State, revocation: Revocation) -> Move:
    """The move towards a lease's end; the best known expiry goes with it, if it was asked for."""
    changes = {"state": state, "expires_at": ends.bounded(view, record), "revoke": revocation}
    return Move(record, record.status.model_copy(update=changes))


def shows_from(view: View, record: LeaseRecord) -> datetime:
    """From when on every replica shows the lease, so that "no such lease" can be believed."""
    can = view.capabilities.get(record.name)
    lag = timedelta(seconds=can.replica_lag if can is not None else UNKNOWN_LAG)
    issued = record.status.issued_at
    if issued is None:
        return view.by_date(record, record.spec.started_at) + lag
    return view.here(record, issued) + lag


def next_step(view: View) -> Step | None:
    """The step that a debt needs now, if any."""
    due = (step for step in map_debts(view) if not isinstance(step, datetime))
    return reinstated(view) or next(due, None)


def wake(view: View) -> datetime | None:
    """When the next debt is due."""
    return min((at for at in map_debts(view) if isinstance(at, datetime)), default=None)


def map_debts(view: View) -> Iterator[Step | datetime]:
    """For each debt the step that is due, or when there will be one."""
    for record in view.in_state(State.SUPERSEDED):
        if not rollout.keeps(view, record):
            yield _superseded(view, record)
    for record in view.in_state(State.REVOKING):
        yield _search(view, record) if not record.status.lease_id else _revoke(view, record)


def reinstated(view: View) -> Move | None:
    """A lease that the Secret shows after all is no debt: a delivery came before the fence.

    Nor is the newest lease replaced: whoever replaced it had looked long before.
    """
    if view.lease is None or view.lease.deleting:
        return None
    replaced = [record for record in view.records[-1:] if record.state is State.SUPERSEDED]
    for record in (*view.in_state(State.REVOKING), *replaced):
        shown = view.names(record) and not view.edited(record)
        if shown and _revocation(record).reason in REVERSIBLE:
            status = record.status.model_copy(update={"state": State.HELD, "revoke": None})
            return Move(record, status)
    return None


def _superseded(view: View, record: LeaseRecord) -> Step | datetime:
    not_before = _lives_until(view, record)
    if not_before is not None and view.now < not_before:
        return not_before
    end = view.expiry(record)
    if view.mute and end is not None and view.now < end:
        return end  # the Secret may hold it
    return owe(view, record, Reason.SUPERSEDED)


def _lives_until(view: View, record: LeaseRecord) -> datetime | None:
    """When the overlap of a replaced lease ends; one that was made shorter since counts at once."""
    known = _revocation(record)
    if known.since is None or known.not_before is None or view.lease is None:
        return known.not_before
    overlap = durations.parse(view.lease.spec.rotation.overlap)
    return min(known.not_before, known.since + overlap)


def _revocation(record: LeaseRecord) -> Revocation:
    return record.status.revoke or Revocation()


def _search(view: View, record: LeaseRecord) -> Step | datetime:
    can = view.capabilities.get(record.name)
    if can is None:
        return view.now + timedelta(seconds=schedule.RETRY_MOST)
    if not can.recoverable:
        end = _end(view, record)
        return Drop(record) if view.now >= end else end
    spec = record.spec
    wait = (spec.deadline - spec.started_at).total_seconds() + can.settle
    due = view.memory.sighted.get(record.name, view.monotonic) + wait
    if record.name in view.memory.searched:
        due = view.memory.searched[record.name] + max(can.replica_lag, schedule.LOOK_AGAIN)
    left = due - view.monotonic
    if left > 0:
        return view.now + timedelta(seconds=left)
    return _when_due(view, record) or Search(record)


def _end(view: View, record: LeaseRecord) -> datetime:
    """When a lease ends by itself, as far as is known."""
    can = view.capabilities.get(record.name)
    return ends.end(view, record, timedelta(seconds=can.settle if can is not None else 0))


def _when_due(view: View, record: LeaseRecord) -> datetime | None:
    """When the next try is due, None when it is now.

    A login that failed is tried at once where something changed, such as the provider: it sends
    nothing while the credentials stay the same.
    """
    revocation = _revocation(record)
    if view.memory.poked and revocation.last_reason in LOGIN_FAILED:
        return None
    next_at = revocation.next_at
    return next_at if next_at is not None and view.now < next_at else None


def _revoke(view: View, record: LeaseRecord) -> Step | datetime:
    revocation = _revocation(record)
    can = view.capabilities.get(record.name)
    if can is not None and not can.verifiable and not can.revocable:
        over = _end(view, record) + UNSEEN
        return Drop(record) if view.now >= over else over
    force = force_nonce(view) not in ("", revocation.forced_nonce)
    later = _when_due(view, record)
    if later is not None and not force:
        return later
    undelivered = revocation.reason == Reason.UNDELIVERED and revocation.attempts == 0
    fenced = undelivered and not view.target_contested
    return Revoke(record, force=force, fence=view.target if fenced else None)


def force_nonce(view: View) -> str:
    """The force command that stands and wasn't there at first sight; empty where there's none."""
    if view.lease is None or view.lease.status.handled is None:
        return ""
    nonce = view.lease.command(names.FORCE)
    return nonce if nonce != view.lease.status.handled.force else ""


def after_answer(view: View, record: LeaseRecord) -> RecordStatus:
    """The provider says that it revoked the lease, but still shows it: look again soon."""
    unconfirmed = after_failure(view, record, Reason.NOT_CONFIRMED, schedule.LOOK_AGAIN)
    answered = _revocation(record).answered_at or view.now
    revocation = (unconfirmed.revoke or Revocation()).model_copy(update={"answered_at": answered})
    return unconfirmed.model_copy(update={"revoke": revocation})


def after_gone(view: View, record: LeaseRecord) -> RecordStatus | None:
    """The provider says that it has no such lease: believed when old enough and said twice."""
    if _revocation(record).answered_at is not None:
        return None
    believable = shows_from(view, record)
    if view.now < believable:
        return _tried(view, record, Reason.NOT_CONFIRMED, next_at=believable)
    again = view.now + timedelta(seconds=schedule.LOOK_AGAIN)
    return _tried(view, record, Reason.NOT_CONFIRMED, next_at=again, answered_at=view.now)


def after_failure(
    view: View, record: LeaseRecord, reason: Reason, retry_after: float | None = None
) -> RecordStatus:
    """A try that didn't succeed: the next one later, slowly past expiry, for a week."""
    attempts, end = _revocation(record).attempts + 1, _end(view, record)
    most = schedule.REVOKE_SLOW if view.now >= end else schedule.REVOKE_MOST
    wait = schedule.backoff(attempts, seed=record.name, most=most, retry_after=retry_after)
    tried = _tried(view, record, reason, attempts=attempts, next_at=view.now + wait)
    since = _revocation(record).since or end
    hopeless = view.now >= max(since, end) + schedule.ABANDON_AFTER
    state = State.ABANDONED if hopeless else State.REVOKING
    return tried.model_copy(update={"state": state})


def held_back(view: View, record: LeaseRecord, reason: Reason, retry_after: float) -> RecordStatus:
    """A try that wasn't made, because the provider is known to be down: it doesn't count."""
    wait = timedelta(seconds=math.ceil(retry_after))
    return _tried(view, record, reason, next_at=view.now + wait)


def _tried(view: View, record: LeaseRecord, reason: Reason, **changes: object) -> RecordStatus:
    """The record after a try that left the lease owed; it answers the force command that stands."""
    known = _revocation(record)
    nonce = force_nonce(view) or known.forced_nonce
    revocation = known.model_copy(update={"last_reason": reason, "forced_nonce": nonce, **changes})
    return record.status.model_copy(update={"revoke": revocation})
