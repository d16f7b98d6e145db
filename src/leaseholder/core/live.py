"""A DynamicLease that is wanted: acquire, deliver, renew, replace, tell.

``decide`` is a list read top to bottom: the first rule with something to do decides. What
must not wait (unclear attempts, credentials in hand) comes first, telling the user before
debts, so that a slow revocation doesn't keep a Ready lease from being told.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import LeaseRecord, Revocation, State, number_of
from leaseholder.core import debts, plan, project
from leaseholder.core.steps import Acquire, Deliver, Extend, Hold, Idle, Look, Move, Report, Step
from leaseholder.core.view import View

OBSTACLE_AGAIN: Final = timedelta(seconds=60)
"""An obstacle that no event announces the end of is looked at this often."""


def decide(view: View, lease: DynamicLease) -> Step:
    """The one thing to do next for a DynamicLease that isn't being deleted."""
    if names.FINALIZER not in lease.metadata.finalizers:
        return Idle(None)
    return (
        unclear(view)
        or _deliver(view, lease)
        or _rank(view, lease)
        or _tell_failure(view, lease)
        or _acquire(view, lease)
        or _extend(view, lease)
        or _look(view)
        or _tell(view, lease)
        or debts.next_step(view)
        or Idle(_wake(view, lease))
    )


def unclear(view: View) -> Step | None:
    """What to do about an Attempt that nobody is working on any more.

    Finish it if its answer is ours, else claim it, so that whoever posted it can't complete it.
    """
    for record in view.in_state(State.ATTEMPT):
        if record.name in view.memory.leases:
            return Hold(record)
        return debts.owe(view, record, Reason.UNCLEAR)
    return None


def _deliver(view: View, lease: DynamicLease) -> Step | None:
    fresh, held = view.in_hand, view.delivered
    if fresh is None or (held is not None and fresh.number < held.number):
        return None
    if view.target_contested or plan.blocked_until(view, lease) or view.memory.failure:
        return None
    return Deliver(fresh)


def _rank(view: View, lease: DynamicLease) -> Step | None:
    """A Held lease that the Secret doesn't show was replaced, or never got there."""
    held = view.delivered
    for record in view.in_state(State.HELD):
        if held is not None and record.number < held.number:
            return _supersede(view, lease, record)
        if record != held and record.name not in view.memory.credentials:
            return debts.owe(view, record, Reason.UNDELIVERED)
    return None


def _supersede(view: View, lease: DynamicLease, record: LeaseRecord) -> Move:
    not_before = view.now + durations.parse(lease.spec.rotation.overlap)
    status = record.status.model_copy(
        update={
            "state": State.SUPERSEDED,
            "expires_at": view.expiry(record),
            "revoke": Revocation(reason=Reason.SUPERSEDED, not_before=not_before),
        }
    )
    return Move(record, status)


def _tell_failure(view: View, lease: DynamicLease) -> Step | None:
    return _tell(view, lease) if view.memory.failure is not None else None


def _tell(view: View, lease: DynamicLease) -> Step | None:
    status = project.status(view, lease)
    if status == lease.status:
        return None
    return Report(status, project.notes(status, lease.status))


def _acquire(view: View, lease: DynamicLease) -> Step | None:
    need = plan.need(view, lease)
    if need is None or view.supply is None or plan.obstacle(view, lease) is not None:
        return None
    if plan.blocked_until(view, lease) is not None:
        return None
    shared = [r for r in view.records if plan.one_slot(view, r) and r.state != State.ABANDONED]
    if shared:
        return _vacate(view, lease, shared)
    return Acquire(_next_number(view, lease), need.rotate_nonce)


def _vacate(view: View, lease: DynamicLease, shared: list[LeaseRecord]) -> Step | None:
    """One slot only: every lease on it must be gone before the next is minted."""
    for record in shared:
        if record.state in (State.HELD, State.SUPERSEDED):
            return debts.owe(view, record, Reason.ROTATING)
    return _tell(view, lease) or debts.next_step(view)


def _next_number(view: View, lease: DynamicLease) -> int:
    """One more than the highest number that any trace of an earlier lease shows."""
    told = lease.status.lease
    seen = [record.number for record in view.records]
    seen.append(number_of(told.record) if told is not None else 0)
    if view.target is not None and view.target.labels.get(names.OWNER_UID) == lease.metadata.uid:
        seen.append(number_of(view.target.annotations.get(names.RECORD, "")))
    return 1 + max(seen)


def _extend(view: View, lease: DynamicLease) -> Step | None:
    held = view.delivered
    if held is None or plan.blocked_until(view, lease) is not None:
        return None
    planned = plan.plan(view, lease, held)
    nonce = plan.renew_nonce(view, lease)
    if planned.strategy == "Rotate" or (view.now < planned.at and not nonce):
        return None
    fresh = held.name in view.memory.leases and lease.status.retry is None
    until = view.now + view.life(held)
    return Extend(held, until, inspect_first=not fresh, nonce=nonce or None)


def _look(view: View) -> Step | None:
    held = view.delivered
    due = _look_due(view, held) if held is not None else None
    return Look(held) if held is not None and due is not None and view.now >= due else None


def _look_due(view: View, held: LeaseRecord) -> datetime | None:
    """When the delivered lease is to be looked at: by the probe, or soon again to be sure."""
    can = view.capabilities.get(held.name)
    if view.supply is None or can is None or not can.verifiable:
        return None
    looked = view.memory.looked.get(held.name)
    if looked is None:
        return None
    gone = view.memory.gone_since.get(held.name)
    if gone is not None:
        return looked + timedelta(seconds=5)
    return looked + view.supply.probe_interval


def _wake(view: View, lease: DynamicLease) -> datetime | None:
    held = view.delivered
    moments = [debts.wake(view), plan.blocked_until(view, lease)]
    if held is not None:
        moments += [plan.plan(view, lease, held).at, view.expiry(held), _look_due(view, held)]
    if plan.obstacle(view, lease) is not None:
        moments.append(view.now + OBSTACLE_AGAIN)
    later = [m for m in moments if m is not None and m > view.now]
    return min(later, default=None)
