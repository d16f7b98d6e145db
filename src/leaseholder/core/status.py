"""Status: a projection of what was observed; it is reported, never believed.

Flows in: one observation. Flows out: the status that a DynamicLease should have, with an event for
each condition that changed. ``status_conditions`` derives the conditions, the rest is here;
``wanted`` and ``going`` say when a status is written.
"""

import functools
from dataclasses import replace
from datetime import datetime
from typing import Final

from leaseholder.api import conditions, lease, names
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import drift, obstacles, plan, proof, revocations, schedule, status_conditions
from leaseholder.core.actions import Report
from leaseholder.core.facts import fact
from leaseholder.core.memory import Failure
from leaseholder.core.view import View
from leaseholder.ports.events import Note
from leaseholder.ports.meter import Figures

_REPORTED: Final = (
    ConditionType.READY,
    ConditionType.ROLLOUT_COMPLETE,
    ConditionType.REVOCATION_PENDING,
)
_SILENT: Final = frozenset(
    {
        Reason.PROGRESSING,
        Reason.NONE_PENDING,
        Reason.REVOCATION_PENDING,
        Reason.DELETING,
        Reason.ROLLING_OUT,
        Reason.ROLLED_OUT,
    }
)
"""Conditions, and reasons of theirs, that make an event and that don't."""
_GOOD: Final = frozenset({Reason.READY, Reason.SUSPENDED})
"""Reasons of Ready that nobody has to be warned of."""
_CALM: Final = frozenset({Reason.PENDING, Reason.PROGRESSING})
"""Reasons of Ready before the first lease, where nothing is wrong; the CRD's default is one."""


def status(view: View, dl: lease.DynamicLease) -> lease.DynamicLeaseStatus:
    """What status should say now."""
    retry = _retry(view, dl)
    conds = conditions.carry(status_conditions.derived(view, dl, retry), dl.status.conditions)
    held = drift.kept(view, dl)
    target = view.target if view.delivered is not None else None
    return lease.DynamicLeaseStatus(
        observed_generation=dl.metadata.generation,
        conditions=conds,
        lease=_lease(view, dl, held) if held and not plan.unseen(view, held) else None,
        retry=retry,
        drift=drift.counted(view, dl),
        handled=_handled(view, dl),
        target=lease.TargetStatus(
            secret_name=dl.secret_name,
            keys=target.keys[: lease.MOST_KEYS] if target is not None else (),
        ),
    )


def unready_at(view: View, held: RecordedLease) -> datetime | None:
    """When Ready is to go False unless the lease is renewed, or proven to live, before."""
    expiry = view.expiry(held)
    ends = None if expiry is None else expiry - schedule.AHEAD
    return min((at for at in (ends, proof.doubted_at(view, held)) if at is not None), default=None)


def ended(view: View, dl: lease.DynamicLease) -> lease.DynamicLeaseStatus:
    """What status should say when the delivered lease ends while a step is under way."""
    held = view.delivered
    at = unready_at(view, held) if held is not None else None
    return status(view if at is None else replace(view, now=max(view.now, at)), dl)


@fact
def report(view: View, dl: lease.DynamicLease) -> Report | None:
    """The step that tells what status doesn't say yet; None where it says all."""
    new, refused = status(view, dl), plan.renew_refused(view, dl)
    if new == dl.status:
        return None
    answers = (refused, _forced(new, dl.status))
    return Report(new, (*notes(new, dl.status), *(one for one in answers if one is not None)))


def notes(new: lease.DynamicLeaseStatus, old: lease.DynamicLeaseStatus) -> tuple[Note, ...]:
    """An event for each condition worth one whose status or reason changed."""
    found = []
    for kind in _REPORTED:
        now, before = conditions.find(new.conditions, kind), conditions.find(old.conditions, kind)
        if now is None or (before and (before.status, before.reason) == (now.status, now.reason)):
            continue
        if now.reason in _SILENT or _is_first(now, before):
            continue
        good = kind is ConditionType.READY and now.reason in _GOOD
        text = now.message or now.reason
        found.append(Note("Normal" if good else "Warning", conditions.reason_of(now.reason), text))
    return tuple(found)


def _is_first(now: Condition, before: Condition | None) -> bool:
    """Whether a lease was just delivered, and nothing was wrong: its issue was the event."""
    calm = before is None or before.reason in _CALM
    return now.type == ConditionType.READY and now.reason == Reason.READY and calm


def refused(dl: lease.DynamicLease, failure: Failure, now: datetime) -> lease.DynamicLeaseStatus:
    """What status should say where we can see neither records nor Secrets, or not what it wants."""
    wrong = functools.partial(conditions.made, of=dl.metadata, at=now)
    ready = wrong(ConditionType.READY, "False", failure.reason, failure.sentence)
    stalled = wrong(ConditionType.STALLED, "True", failure.reason, failure.sentence)
    fresh = conditions.carry((ready, stalled), dl.status.conditions)
    kinds = {one.type for one in fresh}
    others = tuple(one for one in dl.status.conditions if one.type not in kinds)
    changes = {"conditions": (*fresh, *others), "observed_generation": dl.metadata.generation}
    return dl.status.model_copy(update=changes)


def _forced(new: lease.DynamicLeaseStatus, old: lease.DynamicLeaseStatus) -> Note | None:
    """The answer to a force command that was acted on; None where there was none."""
    if new.handled is None or old.handled is None or new.handled.force == old.handled.force:
        return None
    pending = conditions.find(new.conditions, ConditionType.REVOCATION_PENDING)
    left = (
        pending.message if pending is not None and pending.message else "no lease is to be revoked"
    )
    return Note("Normal", Reason.FORCED, f"{names.FORCE} is acted on: {left}")


def _lease(view: View, dl: lease.DynamicLease, held: RecordedLease) -> lease.LeaseStatus:
    planned = plan.plan(view, dl, held)
    expiry = view.stated_expiry(held) or view.own_now(held)
    issued = held.issued_at or held.started_at
    shown = dl.status.lease
    renewals = shown.renewals if shown is not None and shown.attempt == held.attempt_id else 0
    renewed = shown is not None and shown.attempt == held.attempt_id and expiry > shown.expires_at
    return lease.LeaseStatus(
        attempt=held.attempt_id,
        id=held.lease_id,
        issued_at=issued,
        expires_at=expiry,
        renew_at=view.own(held, planned.at),
        renewals=renewals + renewed,
        strategy=planned.strategy,
    )


def _handled(view: View, dl: lease.DynamicLease) -> lease.Handled:
    known = dl.status.handled
    if known is None:
        return lease.Handled(
            rotate=dl.command(names.ROTATE),
            renew=dl.command(names.RENEW),
            force=dl.command(names.FORCE),
        )
    held, rotate, renew = view.delivered, plan.rotate_nonce(dl), plan.renew_nonce(view, dl)
    refused = plan.renew_refused(view, dl) is not None
    force = revocations.force_nonce(view)
    waiting = any(r.revocation.forced_nonce != force for r in view.in_state(State.REVOKING))
    answered = held is not None and held.rotate_nonce == rotate
    return lease.Handled(
        rotate=rotate if rotate and answered else known.rotate,
        renew=known.renew if renew and not refused else dl.command(names.RENEW),
        force=force if force and not waiting else known.force,
    )


def _retry(view: View, dl: lease.DynamicLease) -> lease.Retry | None:
    failure, old = view.memory.failure, dl.status.retry
    fresh_spec = dl.status.observed_generation != dl.metadata.generation
    if failure is None:
        void = old is None or (fresh_spec and obstacles.costly(old.reason))
        return None if void or not _unsettled(view, dl) else old
    costly = obstacles.costly(failure.reason)
    # After an outage the first try that costs isn't the last for hours.
    anew = fresh_spec or (costly and old is not None and not obstacles.costly(old.reason))
    failures = (old.failures if old is not None and not anew else 0) + 1
    most = schedule.RETRY_MOST_PERMANENT if failure.permanent else schedule.RETRY_MOST
    held = drift.kept(view, dl)
    if held is not None and view.expired(held) and not failure.permanent:
        most = schedule.RETRY_MOST_DEAD
    expiry = view.expiry(held) if held is not None else None
    left = expiry - view.now if expiry is not None and expiry > view.now else None
    first = schedule.RETRY_FIRST
    if costly:
        first, most, left = schedule.RETRY_FIRST_COSTLY, schedule.RETRY_MOST_COSTLY, None
    wait = schedule.backoff(
        failures,
        seed=dl.metadata.uid,
        first=first,
        most=most,
        left=left,
        retry_after=failure.retry_after,
    )
    return lease.Retry(
        failures=failures,
        next_at=view.now + wait,
        reason=failure.reason,
        rotate=plan.rotate_nonce(dl),
    )


def _unsettled(view: View, dl: lease.DynamicLease) -> bool:
    """Whether what failed is still to be done."""
    if view.in_hand is not None or plan.need(view, dl) is not None:
        return True
    if drift.misfit(view, dl) is not None or drift.former(view, dl):
        return True
    return plan.to_renew(view, dl) is not None


def figures(view: View) -> Figures:
    """What metrics show of a DynamicLease: figures of one look at it.

    They come from what was observed, not from status: a lease that is renewed while the API server
    is away shows its new end. Only what conditions say is read in status.
    """
    dl, held = view.dl, view.delivered
    leases = tuple((one.attempt_id, one.state, one.provider.ref) for one in view.records)
    if dl is None:
        return Figures(now=view.now, ready=None, reason=Reason.DELETING, leases=leases)
    ready = conditions.find(dl.status.conditions, ConditionType.READY)
    pending = conditions.find(dl.status.conditions, ConditionType.REVOCATION_PENDING)
    return Figures(
        now=view.own_now(held) if held is not None else view.now,
        ready=ready is not None and ready.status == "True",
        reason=conditions.reason_of(ready.reason) if ready is not None else Reason.PENDING,
        issued_at=held.issued_at if held is not None else None,
        expires_at=view.stated_expiry(held) if held is not None else None,
        renews_at=view.own(held, plan.plan(view, dl, held).at) if held is not None else None,
        leases=leases,
        pending_since=(
            pending.last_transition_time
            if pending is not None and pending.status == "True"
            else None
        ),
    )
