"""Status: a projection of what was observed; it is told, never believed.

Conditions follow one picture: LeaseHeld and SecretSynced say how far things have come, Ready
whether the Secret holds credentials that live, RolloutComplete whether the workloads use them,
RevocationPending what is still to be revoked, Stalled whether somebody has to do something.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from leaseholder.api import base, conditions, lease, names
from leaseholder.api.conditions import Condition, ConditionType, Reason, Verdict
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import drift, plan, proof, revocations, rollout, schedule
from leaseholder.core.actions import Report
from leaseholder.core.facts import fact
from leaseholder.core.memory import Failure
from leaseholder.core.view import View
from leaseholder.ports.events import Note

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
_HALTED: Final = "spec.suspend is true: no lease is issued, replaced or repaired"


def status(view: View, dl: lease.DynamicLease) -> lease.DynamicLeaseStatus:
    """What status should say now."""
    retry = _retry(view, dl)
    conds = conditions.carry(_conditions(view, dl, retry), dl.status.conditions)
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
    """What status should say where the API server lets us see neither records nor Secrets."""

    def condition(kind: ConditionType, verdict: Verdict) -> Condition:
        return Condition(
            type=kind,
            status=verdict,
            reason=failure.reason,
            message=failure.sentence,
            last_transition_time=now,
            observed_generation=dl.metadata.generation,
        )

    bad = (condition(ConditionType.READY, "False"), condition(ConditionType.STALLED, "True"))
    fresh = conditions.carry(bad, dl.status.conditions)
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
        void = old is None or (fresh_spec and plan.costly(old.reason))
        return None if void or not _unsettled(view, dl) else old
    failures = (old.failures if old is not None and not fresh_spec else 0) + 1
    most = schedule.RETRY_MOST_PERMANENT if failure.permanent else schedule.RETRY_MOST
    held = drift.kept(view, dl)
    if held is not None and view.expired(held) and not failure.permanent:
        most = schedule.RETRY_MOST_DEAD
    expiry = view.expiry(held) if held is not None else None
    left = expiry - view.now if expiry is not None and expiry > view.now else None
    first = schedule.RETRY_FIRST
    if plan.costly(failure.reason):
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


def _trouble(view: View, dl: lease.DynamicLease, retry: lease.Retry | None) -> Failure | None:
    """What stands in the way: seen now, just met, or met before and not yet overcome."""
    if view.memory.failure is not None:
        return view.memory.failure
    seen = plan.obstacle(view, dl)
    if seen is not None:
        return seen
    if retry is None:
        return None
    kind = ConditionType.STALLED
    before = conditions.find(dl.status.conditions, kind)
    stalled = conditions.is_true(dl.status.conditions, kind)
    return Failure(
        reason=conditions.reason_of(retry.reason),
        sentence=before.message if before is not None else "",
        permanent=stalled,
    )


def _conditions(
    view: View, dl: lease.DynamicLease, retry: lease.Retry | None
) -> tuple[Condition, ...]:
    def condition(
        kind: ConditionType, verdict: bool, reason: Reason, message: str = ""
    ) -> Condition:
        word: Verdict = "True" if verdict else "False"
        return Condition(
            type=kind,
            status=word,
            reason=reason,
            message=message,
            last_transition_time=view.now,
            observed_generation=dl.metadata.generation,
        )

    trouble = _trouble(view, dl, retry)
    held, fresh = view.delivered, view.in_hand
    waiting, why = _waiting(view, dl, trouble)
    synced = held is not None and not view.edited(held)
    ready, ready_reason, ready_message = (
        _readiness(view, held, trouble)
        if held is not None and synced and not dl.deleting
        else (False, waiting, why)
    )
    pending, pending_reason, pending_message = _pending_revocations(view)
    stalled = trouble is not None and trouble.permanent
    has = fresh is not None or drift.kept(view, dl) is not None
    rolled = _rollout(view, dl)
    return (
        condition(ConditionType.READY, ready, ready_reason, ready_message),
        condition(
            ConditionType.LEASE_HELD,
            has,
            Reason.HELD if has else waiting,
            _bounds(view, dl, drift.kept(view, dl)) if has else why,
        ),
        condition(
            ConditionType.SECRET_SYNCED,
            synced,
            Reason.DELIVERED if synced else waiting,
            "" if synced else why,
        ),
        *([condition(ConditionType.ROLLOUT_COMPLETE, *rolled)] if rolled is not None else []),
        condition(ConditionType.REVOCATION_PENDING, pending, pending_reason, pending_message),
        condition(
            ConditionType.STALLED,
            stalled,
            trouble.reason if trouble is not None else Reason.NOT_STALLED,
            trouble.sentence if trouble is not None else "",
        ),
    )


def _bounds(view: View, dl: lease.DynamicLease, held: RecordedLease | None) -> str:
    """What a lease's kind, or the life that it was given, keeps us from promising."""
    can = view.capabilities.get(held.attempt_id) if held is not None else None
    if held is None or can is None:
        return ""
    limits = []
    life = plan.given_life(view, held)
    if schedule.before_is_cut(dl.spec.renewal, life):
        limits.append(
            f"renewal.before {dl.spec.renewal.before} is more than half of the life that the "
            f"provider gave ({int(life.total_seconds())} s): half of it counts; write a shorter one"
        )
    short = plan.dwindling(view, held)
    if short is not None:
        ends = "ends, as renewal.strategy is Renew"
        after = ends if dl.spec.renewal.strategy == "Renew" else "is replaced before its end"
        limits.append(
            f"the last renewal left {int(short.left.total_seconds())} s of the "
            f"{int(short.asked.total_seconds())} s that were asked for: the lease {after}; find "
            "out what bounds renewals at the provider"
        )
    if can.slots == "One":
        limits.append("the source is one shared account: its lease is replaced in place")
    if not can.revocable:
        limits.append("leases of this kind can't be revoked: they die at their end alone")
    return "; ".join(limits)


def _rollout(view: View, dl: lease.DynamicLease) -> rollout.Verdict | None:
    """What RolloutComplete says, where there are restart targets and was a delivery."""
    if not dl.spec.rotation.restart_targets:
        return None
    known = conditions.find(dl.status.conditions, ConditionType.ROLLOUT_COMPLETE)
    now = rollout.verdict(view, dl)
    if now is not None or known is None:
        return now
    return known.status == "True", conditions.reason_of(known.reason), known.message


def _waiting(view: View, dl: lease.DynamicLease, trouble: Failure | None) -> tuple[Reason, str]:
    """Why there is no lease or no Secret that holds it."""
    if dl.deleting:
        return Reason.DELETING, "the lease is being revoked"
    if trouble is not None:
        return trouble.reason, trouble.sentence
    if dl.spec.suspend:
        return Reason.SUSPENDED, _halted(dl)
    if drift.damaged(view, dl) is not None:
        return _damage(view, dl)
    return Reason.PROGRESSING, "a lease is being acquired"


def _halted(dl: lease.DynamicLease) -> str:
    """What suspend holds up, a command among it: each is answered."""
    waits = f"; {names.ROTATE} waits until it is false"
    return _HALTED + (waits if plan.rotate_nonce(dl) else "")


def _damage(view: View, dl: lease.DynamicLease) -> tuple[Reason, str]:
    found = f"Secret {dl.secret_name} was changed or deleted by somebody else"
    known = drift.counted(view, dl)
    healed = drift.until(known) if known is not None else view.now
    if healed <= view.now:
        return Reason.SECRET_CHANGED, f"{found}; a new lease is being acquired"
    return (
        Reason.SECRET_CONTESTED,
        f"{found}, again and again: find out by whom; a new lease is acquired at {_until(healed)}",
    )


def _readiness(
    view: View, held: RecordedLease, trouble: Failure | None
) -> tuple[bool, Reason, str]:
    """Whether a delivered lease is good, and for how long where something is wrong."""
    until = _until(view.stated_expiry(held))
    if plan.unseen(view, held):
        return False, Reason.PROGRESSING, "the lease is inspected before its Secret counts as good"
    if view.ending(held):
        met = f": {trouble.sentence}" if trouble is not None and trouble.sentence else ""
        ends = f"the credentials end at {until}, as far as is known; the lease"
        return False, Reason.EXPIRED, f"{ends} couldn't be kept alive{met}"
    if proof.missing(view, held):
        unsure = "the lease was renewed, but this provider may end it at its first expiry"
        return False, Reason.RENEWAL_UNPROVEN, f"{unsure}: it is inspected before it counts again"
    if trouble is None and view.lease is not None and view.lease.spec.suspend:
        halted = _halted(view.lease)
        return True, Reason.SUSPENDED, f"the Secret holds credentials that live; {halted}"
    if trouble is None:
        return True, Reason.READY, "the Secret holds credentials that live"
    return True, trouble.reason, f"the credentials are good until {until}, but: {trouble.sentence}"


def _until(moment: datetime | None) -> str:
    return base.render_moment(moment) if moment is not None else "an unknown moment"


def _awaited(view: View) -> str:
    """What a deletion waits for, and for how long at most; empty where it waits for nothing."""
    dl, pending = view.lease, view.in_state(State.REVOKING)
    if (
        dl is None
        or not dl.deleting
        or names.FINALIZER not in dl.metadata.finalizers
        or not pending
    ):
        return ""
    lost = any(not record.lease_id for record in pending)
    search = "; the answer to an issue was lost, so its lease is searched for first"
    most = f"; the deletion waits for that, {dl.spec.deletion.timeout} (deletion.timeout) at most"
    return f"{search if lost else ''}{most}"


def _pending_revocations(view: View) -> tuple[bool, Reason, str]:
    """What is still to be revoked; not yet a replaced lease that lives out its overlap."""
    pending = view.in_state(State.REVOKING, State.ABANDONED)
    if not pending:
        return False, Reason.NONE_PENDING, ""
    last = next(
        (r.revocation.last_reason for r in pending if r.revocation.attempts),
        "",
    )
    reason = conditions.reason_of(last) if last else Reason.REVOCATION_PENDING
    word = "lease is" if len(pending) == 1 else "leases are"
    message = f"{len(pending)} {word} still to be revoked{_awaited(view)}"
    given_up = [r.attempt_id for r in pending if r.state == State.ABANDONED]
    if not given_up:
        return True, reason, message
    advice = (
        f"given up for {given_up[0]}: see to the lease at the provider, then say kubectl "
        f"leaseholder forget {given_up[0]}"
    )
    return True, Reason.ABANDONED, f"{message}; {advice}"
