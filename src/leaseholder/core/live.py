"""A DynamicLease that is wanted: acquire, deliver, renew, replace, report.

``decide`` is a list read top to bottom: the first rule with something to do decides. What
must not wait (unclear attempts, credentials in hand) comes first, the report before pending
revocations, so that a slow one doesn't keep a Ready lease from being reported.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder import ports
from leaseholder.api import conditions, durations, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, Revocation, State
from leaseholder.core import debts, drift, handover, plan, project, proof, rollout, schedule, slots
from leaseholder.core.steps import (
    Acquire,
    DeleteSecret,
    Deliver,
    Extend,
    Hold,
    Idle,
    Look,
    Move,
    Protect,
    Step,
)
from leaseholder.core.view import Supply, View

OBSTACLE_AGAIN: Final = timedelta(seconds=60)
"""An obstacle that no event announces the end of is looked at this often."""


def decide(view: View, lease: DynamicLease) -> Step:
    """The one thing to do next for a DynamicLease that isn't being deleted."""
    if names.FINALIZER not in lease.metadata.finalizers:
        return Protect()
    return (
        unclear(view)
        or debts.reinstated(view)
        or _take_over(view)
        or _save(view, lease)
        or _deliver(view, lease)
        or _rank(view, lease)
        or _make_room(view, lease)
        or _tell_failure(view, lease)
        or _first_look(view)
        or _keep(view, lease)
        or _delete_former(view, lease)
        or _repair(view, lease)
        or rollout.next_step(view, lease)
        or _look(view)
        or project.report(view, lease)
        or debts.next_step(view)
        or Idle(_wake(view, lease))
    )


def unclear(view: View) -> Step | None:
    """What to do about an Attempt that nobody is working on any more.

    Finish it if its answer is ours: one that was claimed meanwhile gets its lease id. Else claim
    it, so that whoever wrote it can't complete it. Another process may be working on one that this
    one didn't write: until its deadline.
    """
    for record in view.in_state(State.ATTEMPT, State.REVOKING):
        if not record.lease_id and record.attempt_id in view.memory.leases:
            return Hold(record)
        if record.state is State.REVOKING:
            continue
        if record.attempt_id in view.memory.ours or view.own_now(record) >= record.deadline:
            return debts.owe(view, record, Reason.UNCLEAR)
    return None


def _take_over(view: View) -> Move | None:
    """What the Secret proves goes on for a DynamicLease that was made again under its name.

    Only where it can be seen to live: Ready waits for that look (``plan.unseen``).
    """
    held = view.delivered
    if held is None or view.supply is None or not view.inherited(held) or view.edited(held):
        return None
    can = view.capabilities.get(held.attempt_id)
    same = held.source_hash == view.supply.source_hash
    if not same or can is None or not can.verifiable:
        return None
    return Move(held, held.but(holder_uid=view.holder.uid))


def _save(view: View, lease: DynamicLease) -> Step | None:
    """A due extension goes before a Secret that is refused: that mustn't cost the lease.

    Unless it just failed: that is told first, or it would be tried without end.
    """
    retry = lease.status.retry
    if retry is None or not plan.about_secret(retry) or view.memory.failure is not None:
        return None
    return _extend(view, lease)


def _deliver(view: View, lease: DynamicLease) -> Step | None:
    fresh = view.in_hand
    if fresh is None or view.target_contested or view.memory.failure is not None:
        return None
    if lease.spec.suspend and fresh.attempt_id not in view.memory.credentials:
        return None
    return None if _delivery_blocked(view, lease) else Deliver(fresh)


def _delivery_blocked(view: View, lease: DynamicLease) -> bool:
    """Whether a delivery failed a moment ago; a back-off told before there was a lease doesn't."""
    told = conditions.find(lease.status.conditions, ConditionType.LEASE_HELD)
    before_mint = told is not None and told.status == "False"
    return not before_mint and plan.blocked_until(view, lease) is not None


def _delete_former(view: View, lease: DynamicLease) -> Step | None:
    """Secrets under former names go when the one under the wanted name is delivered."""
    if view.delivered is None or plan.blocked_until(view, lease) is not None:
        return None
    former = drift.former(view, lease)
    return DeleteSecret(former[0]) if former else None


def _rank(view: View, lease: DynamicLease) -> Step | None:
    """A Held lease that no Secret of ours shows was replaced, or never got there."""
    held, fresh, kept = view.delivered, view.in_hand, drift.kept(view, lease)
    for record in view.in_state(State.HELD):
        if view.named_in(record, drift.former(view, lease)):
            continue
        if held is not None and view.place(record) < view.place(held):
            return _supersede(view, lease, record)
        if view.inherited(record):
            continue  # workloads may use it: it lives until the one that takes its place is there
        if handover.awaited_until(view, record) is not None:
            continue
        if record not in (held, fresh, kept) and not view.named_anywhere(record):
            return (
                _supersede(view, lease, record)
                if _maybe_delivered(view, lease, record)
                else debts.owe(view, record, Reason.UNDELIVERED)
            )
    return None


def _maybe_delivered(view: View, lease: DynamicLease, record: RecordedLease) -> bool:
    """Whether workloads may use a lease that no Secret of ours shows.

    Status says so, or this process saw it there: status may trail. Or the Secret says nothing; or
    somebody else has it, who may have written it over ours before status told of that.
    """
    told = lease.status.lease
    was_there = told is not None and told.attempt == record.attempt_id
    return (
        was_there or record.attempt_id in view.memory.contents or view.mute or view.target_contested
    )


def _make_room(view: View, lease: DynamicLease) -> Step | None:
    """At the limit with nothing delivered, the oldest replaced lease goes before its time.

    Not one that a workload was restarted for: its pods may well run.
    """
    replaced = [
        record
        for record in view.in_state(State.HELD, State.SUPERSEDED)
        if (record.state is State.SUPERSEDED or view.inherited(record))
        and not view.named_anywhere(record)
        and not rollout.stamped(view, record)
    ]
    if not replaced or not plan.needs_room(view, lease):
        return None
    return debts.owe(view, replaced[0], Reason.SUPERSEDED)


def _supersede(view: View, lease: DynamicLease, record: RecordedLease) -> Move:
    not_before = view.now + durations.parse(lease.spec.rotation.overlap)
    ends = Revocation(reason=Reason.SUPERSEDED, since=view.now, not_before=not_before)
    return debts.moved(view, record, State.SUPERSEDED, ends)


def _tell_failure(view: View, lease: DynamicLease) -> Step | None:
    return project.report(view, lease) if view.memory.failure is not None else None


def _keep(view: View, lease: DynamicLease) -> Step | None:
    """Extend or replace: the extension first, so that the lease outlives a failing replacement.

    After an odd number of failures the other way round: neither keeps the other from its turn.
    """
    retry = lease.status.retry
    if retry is not None and retry.failures % 2:
        return _acquire(view, lease) or _extend(view, lease)
    return _extend(view, lease) or _acquire(view, lease)


def _acquire(view: View, lease: DynamicLease) -> Step | None:
    need = plan.need(view, lease)
    if need is None or view.supply is None or plan.obstacle(view, lease) is not None:
        return None
    if plan.blocked_until(view, lease) is not None or handover.awaited(view) is not None:
        return None
    same = [r for r in view.records if r.slot == view.supply.slot]
    shared = [r for r in same if slots.one_slot(view, r) and r.state != State.ABANDONED]
    if shared:
        return _vacate(view, lease, shared)
    if view.in_state(State.ATTEMPT):
        return None
    restarts = rollout.replaces(view, lease)
    return _retract(view, lease) or Acquire(need.rotate_nonce, restarts, need.reason)


def _retract(view: View, lease: DynamicLease) -> Step | None:
    """Ready goes False before a dead credential is replaced."""
    step = project.report(view, lease)
    if step is None or not conditions.is_true(lease.status.conditions, ConditionType.READY):
        return None
    return None if conditions.is_true(step.status.conditions, ConditionType.READY) else step


def _vacate(view: View, lease: DynamicLease, shared: list[RecordedLease]) -> Step | None:
    """One slot only: every lease on it must be gone before the next is issued."""
    for record in shared:
        if record.state in (State.HELD, State.SUPERSEDED):
            return debts.owe(view, record, Reason.ROTATING)
    return project.report(view, lease) or debts.next_step(view)


def _extend(view: View, lease: DynamicLease) -> Step | None:
    if plan.extension_blocked(view, lease):
        return None
    held = plan.extends_now(view, lease)
    if held is None:
        return None
    nonce = plan.renew_nonce(view, lease) if held == drift.kept(view, lease) else ""
    fresh = held.attempt_id in view.memory.leases and lease.status.retry is None
    until = view.own_now(held) + view.life(held)
    return Extend(held, until, inspect_first=not fresh, nonce=nonce or None)


def _repair(view: View, lease: DynamicLease) -> Deliver | None:
    """Marks taken off, keys put in, a template that changed: written again, never an issue."""
    if lease.spec.suspend or plan.template_fault(view, lease) is not None:
        return None
    held = drift.misfit(view, lease)
    ready = view.monotonic >= drift.repair_at(view, lease)
    return Deliver(held) if held is not None and ready else None


def _first_look(view: View) -> Step | None:
    """Ready waits until a lease that nothing tells of has been seen to live."""
    held = view.delivered
    return _look(view) if held is not None and plan.unseen(view, held) else None


def _look(view: View) -> Step | None:
    held = view.delivered
    due = _look_due(view, held) if held is not None else None
    return Look(held) if held is not None and due is not None and view.now >= due else None


def _look_due(view: View, held: RecordedLease) -> datetime | None:
    """When the delivered lease is to be looked at: by the probe, or soon again to be sure."""
    can = view.capabilities.get(held.attempt_id)
    if view.supply is None or can is None or not can.verifiable:
        return None
    looked = view.memory.looked.get(held.attempt_id)
    if looked is None:
        return view.now
    due, proof_due = _probe_due(view.supply, can, looked), proof.inspection_due(view, held)
    if held.attempt_id in view.memory.gone_since or plan.unseen(view, held):
        due = looked + timedelta(seconds=schedule.LOOK_AGAIN)
    elif proof_due is not None:
        due = min(due, max(proof_due, looked + timedelta(seconds=1)))
    return max(due, view.memory.inspect_from.get(held.attempt_id, due))


def _probe_due(supply: Supply, can: ports.Capabilities, looked: datetime) -> datetime:
    """The next probe: by the provider's interval, sooner where it costs little."""
    due = looked + supply.probe_interval
    if can.probe_seconds is None:
        return due
    passed = looked.timestamp() % can.probe_seconds
    return min(due, looked + timedelta(seconds=can.probe_seconds - passed))


def _wake(view: View, lease: DynamicLease) -> datetime | None:
    held = drift.kept(view, lease)
    moments = [debts.wake(view), plan.blocked_until(view, lease), _repair_wake(view, lease)]
    moments += [rollout.wake(view, lease), handover.awaited(view)]
    moments += [view.expiry(record) for record in view.in_state(State.HELD)]
    if held is not None:
        moments += [plan.plan(view, lease, held).at, plan.extension_at(view, lease, held)]
        moments += [
            project.untold_at(view, held),
            _look_due(view, held),
        ]
    moments += [view.here(record, record.deadline) for record in view.in_state(State.ATTEMPT)]
    if drift.waits(view, lease) and lease.status.drift is not None:
        moments.append(drift.until(lease.status.drift))
    if plan.obstacle(view, lease) is not None:
        moments.append(view.now + OBSTACLE_AGAIN)
    later = [m for m in moments if m is not None and m > view.now]
    return min(later, default=None)


def _repair_wake(view: View, lease: DynamicLease) -> datetime | None:
    left = drift.repair_at(view, lease) - view.monotonic
    if left <= 0 or lease.spec.suspend or drift.misfit(view, lease) is None:
        return None
    return view.now + timedelta(seconds=left)
