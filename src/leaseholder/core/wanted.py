"""What each rule about a DynamicLease that is wanted finds.

Flows in: a view. Flows out: the step that one rule finds due, or when it may be. ``rules`` has them
in their order, with the reason for each. ``plan``, ``obstacles``, ``drift`` and ``proof`` answer
what they ask; what becomes of the leases beside the current one is in ``replaced``.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder.api import conditions, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import (
    drift,
    ends,
    handover,
    obstacles,
    plan,
    proof,
    revocations,
    rollout,
    schedule,
    slots,
    status,
)
from leaseholder.core.actions import (
    Acquire,
    Action,
    DeleteSecret,
    Deliver,
    Found,
    Hold,
    Idle,
    Inspect,
    Later,
    Move,
    Protect,
    Renew,
    soonest,
)
from leaseholder.core.view import View
from leaseholder.ports.provider import Capabilities

OBSTACLE_AGAIN: Final = timedelta(seconds=60)
"""An obstacle that no event announces the end of is looked at this often."""
USUAL_INTERVAL: Final = timedelta(minutes=5)
"""``probe.interval`` where no provider object says it: its default."""


def drains(view: View) -> Idle | None:
    """The installation goes: whoever drains deletes the DynamicLease, too."""
    return Idle(None) if view.draining else None


def protect(view: View, dl: DynamicLease) -> Protect | None:
    """The finalizer is on before anything else is done."""
    return None if names.FINALIZER in dl.metadata.finalizers else Protect()


def unclear(view: View) -> Found:
    """What to do about an Attempt that nobody is working on any more.

    Finish it if its answer is ours: one that was claimed meanwhile gets its lease id. Else claim
    it, so that whoever wrote it can't complete it. Another process may be working on one that this
    one didn't write: until its deadline.
    """
    for record in view.in_state(State.ATTEMPT, State.REVOKING):
        if not record.lease_id and view.known(record).shown is not None:
            return Hold(record)
        if record.state is State.REVOKING:
            continue
        if view.known(record).ours or view.own_now(record) >= record.deadline:
            return revocations.begin(view, record, Reason.UNCLEAR)
    attempts = view.in_state(State.ATTEMPT)
    return soonest(view.now, *(view.here(record, record.deadline) for record in attempts))


def take_over(view: View, dl: DynamicLease) -> Move | None:
    """What the Secret proves goes on for a DynamicLease that was made again under its name.

    Only where it can be seen to live: Ready waits for that look (``plan.unseen``). And where the
    Secret gets the new owner's marks at once, so not while ``suspend`` is set: the former ones are
    found by the uid on record, also when somebody takes our notes off.
    """
    held = view.delivered
    if held is None or view.supply is None or not view.inherited(held) or view.edited(held):
        return None
    if dl.spec.suspend:
        return None
    can = view.capabilities.get(held.attempt_id)
    if not plan.is_of_source(view, held) or can is None or not can.verifiable:
        return None
    return Move(held, held.but(holder_uid=view.holder.uid))


def renew_before_delivery(view: View, dl: DynamicLease) -> Found:
    """A Secret was refused: a due renewal goes before the next try to deliver.

    Unless it just failed: that is told first, or it would be tried without end.
    """
    retry = dl.status.retry
    if retry is None or not obstacles.about_secret(retry) or view.memory.failure is not None:
        return None
    return _renew(view, dl)


def deliver(view: View, dl: DynamicLease) -> Found:
    """What is in hand goes into the Secret; after a failed try when the back-off is over."""
    fresh = view.in_hand
    if fresh is None or view.target_contested or view.memory.failure is not None:
        return None
    is_copy = view.known(fresh).credentials is None
    if (is_copy and dl.spec.suspend) or obstacles.given_up(view, dl):
        return None
    blocked = _delivery_blocked_until(view, dl)
    return Later(blocked) if blocked is not None else Deliver(fresh)


def _delivery_blocked_until(view: View, dl: DynamicLease) -> datetime | None:
    """The end of a back-off; one that was told before there was a lease doesn't count."""
    shown = conditions.find(dl.status.conditions, ConditionType.LEASE_HELD)
    before_issue = shown is not None and shown.status == "False"
    return None if before_issue else obstacles.blocked_until(view, dl)


def delete_former(view: View, dl: DynamicLease) -> Found:
    """Secrets under former names go when the one under the wanted name is delivered."""
    former = drift.former(view, dl)
    if view.delivered is None or not former:
        return None
    blocked = obstacles.blocked_until(view, dl)
    return Later(blocked) if blocked is not None else DeleteSecret(former[0])


def report_failure(view: View, dl: DynamicLease) -> Action | None:
    """What the last step met is told before it is tried again."""
    return status.report(view, dl) if view.memory.failure is not None else None


def renew_first(view: View, dl: DynamicLease) -> Found:
    """A due renewal, but for after an odd number of failures."""
    return None if _is_replaced_first(dl) else _renew(view, dl)


def renew_second(view: View, dl: DynamicLease) -> Found:
    """A due renewal, after an odd number of failures."""
    return _renew(view, dl) if _is_replaced_first(dl) else None


def _is_replaced_first(dl: DynamicLease) -> bool:
    retry = dl.status.retry
    return retry is not None and retry.failures % 2 == 1


def vacate(view: View, dl: DynamicLease) -> Found:
    """One slot: each lease on it is revoked, and that is told, until the next may be issued."""
    shared = _on_slot(view) if _due(view, dl) is not None else []
    for record in shared:
        if record.state in (State.HELD, State.SUPERSEDED):
            return revocations.begin(view, record, Reason.ROTATING)
    return (status.report(view, dl) or revocations.pending(view)) if shared else None


def retract(view: View, dl: DynamicLease) -> Action | None:
    """Ready goes False before dead credentials are replaced, or asked for again.

    All leases of an installation may be over at once: by that each of them says so, before the
    provider is asked for any. One that is about to end is renewed first: it can't wait for a write.
    """
    ready = conditions.is_true(dl.status.conditions, ConditionType.READY)
    held = view.delivered
    over = held is not None and view.expired(held)
    step = status.report(view, dl) if ready and (over or _may_issue(view, dl)) else None
    if step is None or conditions.is_true(step.status.conditions, ConditionType.READY):
        return None
    return step


def issue(view: View, dl: DynamicLease) -> Found:
    """A new lease, when one is needed and nothing stands in the way."""
    need = _may_issue(view, dl)
    if need is None:
        return _issue_later(view, dl)
    return Acquire(need.rotate_nonce, rollout.replaces(view, dl), need.reason)


def _may_issue(view: View, dl: DynamicLease) -> plan.Need | None:
    """The need for a lease that may be issued now."""
    need = _due(view, dl)
    busy = need is None or _on_slot(view) or view.in_state(State.ATTEMPT)
    return None if busy else need


def _due(view: View, dl: DynamicLease) -> plan.Need | None:
    """The need for a lease that only others of its slot, or an Attempt, may keep waiting."""
    need = plan.need(view, dl)
    if need is None or view.supply is None or obstacles.obstacle(view, dl) is not None:
        return None
    waits = obstacles.blocked_until(view, dl) is not None or handover.awaited(view) is not None
    return None if waits else need


def _issue_later(view: View, dl: DynamicLease) -> Later | None:
    """When there may be a need: at the end of a back-off or a hand-over, of a lease, as planned."""
    held, fresh = drift.kept(view, dl), view.in_hand
    moments = [obstacles.blocked_until(view, dl), handover.awaited(view)]
    if drift.waits(view, dl) and dl.status.drift is not None:
        moments.append(drift.until(dl.status.drift))
    if held is not None:
        planned = plan.plan(view, dl, held)
        moments += [planned.at if planned.strategy == "Rotate" else None, view.expiry(held)]
    moments += [view.expiry(fresh)] if fresh is not None else []
    return soonest(view.now, *moments)


def _on_slot(view: View) -> list[RecordedLease]:
    """Leases of ours that an issue from this source would kill."""
    same = [r for r in view.records if view.supply is not None and r.slot == view.supply.slot]
    return [r for r in same if slots.one_slot(view, r) and r.state != State.ABANDONED]


def _renew(view: View, dl: DynamicLease) -> Found:
    held = plan.to_renew(view, dl)
    if held is None:
        return soonest(view.now, *plan.renewal_moments(view, dl))
    blocked = obstacles.renewal_blocked_until(view, dl, held)
    if blocked is not None:
        return Later(blocked)
    longer = ends.before_renewal(view, held)
    if longer is not None:
        return Move(held, longer)
    nonce = plan.renew_nonce(view, dl) if held == drift.kept(view, dl) else ""
    fresh = view.known(held).shown is not None and dl.status.retry is None
    until = view.own_now(held) + view.life(held)
    return Renew(held, until, inspect_first=not fresh, nonce=nonce or None)


def repair(view: View, dl: DynamicLease) -> Found:
    """Marks taken off, keys put in, a template that changed: written again, never an issue."""
    if dl.spec.suspend or obstacles.template_fault(view, dl) is not None:
        return None
    held = drift.misfit(view, dl)
    if held is None:
        return None
    left = drift.repair_at(view, dl) - view.monotonic
    return Later(view.now + timedelta(seconds=left)) if left > 0 else Deliver(held)


def inspect_first(view: View) -> Found:
    """Ready waits until a lease that nothing tells of has been seen to live."""
    held = view.delivered
    return inspect(view) if held is not None and plan.unseen(view, held) else None


def inspect(view: View) -> Found:
    """The delivered lease is looked at: by the probe, or soon again to be sure."""
    held = view.delivered
    due = _inspection_due(view, held) if held is not None else None
    if held is None or due is None:
        return None
    return Inspect(held) if view.now >= due else Later(due)


def _inspection_due(view: View, held: RecordedLease) -> datetime | None:
    """When the delivered lease is to be looked at.

    Also where the provider that is wanted isn't there, or may not be used: the lease is held on.
    """
    can = view.capabilities.get(held.attempt_id)
    if can is None or not can.verifiable:
        return None
    known = view.known(held)
    if known.inspected_at is None:
        return view.now
    interval = view.supply.probe_interval if view.supply is not None else USUAL_INTERVAL
    due = _probe_due(interval, can, known.inspected_at)
    proof_due = proof.inspection_due(view, held)
    if known.gone_since is not None or plan.unseen(view, held):
        due = known.inspected_at + timedelta(seconds=schedule.INSPECT_AGAIN)
    elif proof_due is not None:
        due = min(due, max(proof_due, known.inspected_at + timedelta(seconds=1)))
    return max(due, known.inspect_from or due)


def _probe_due(interval: timedelta, can: Capabilities, inspected_at: datetime) -> datetime:
    """The next probe: by the provider's interval, sooner where it costs little."""
    due = inspected_at + interval
    if can.probe_seconds is None:
        return due
    passed = inspected_at.timestamp() % can.probe_seconds
    return min(due, inspected_at + timedelta(seconds=can.probe_seconds - passed))


def report(view: View, dl: DynamicLease) -> Found:
    """Status says what is. What it says changes when a lease ends, and with what is in the way."""
    step = status.report(view, dl)
    if step is not None:
        return step
    held = drift.kept(view, dl)
    moments = [status.unready_at(view, held) if held is not None else None]
    moments += [view.expiry(record) for record in view.in_state(State.HELD)]
    if obstacles.obstacle(view, dl) is not None:
        moments.append(view.now + OBSTACLE_AGAIN)
    return soonest(view.now, *moments)
