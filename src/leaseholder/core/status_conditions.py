"""The conditions of a DynamicLease, each derived from what was observed.

They follow one picture: LeaseHeld and SecretSynced say how far things have come, Ready whether the
Secret holds credentials that live, RolloutComplete whether the workloads use them,
RevocationPending what is still to be revoked, Stalled whether somebody has to do something.

Flows in: one observation and its back-off. Flows out: conditions as they are now; ``status`` keeps
their times of transition and puts them beside the rest.
"""

from datetime import datetime
from typing import Final

from leaseholder.api import base, conditions, lease, names
from leaseholder.api.conditions import Condition, ConditionType, Reason, Verdict
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import drift, obstacles, plan, proof, rollout, schedule
from leaseholder.core.memory import Failure
from leaseholder.core.view import View

_HALTED: Final = "spec.suspend is true: no lease is issued, replaced or repaired"


def derived(view: View, dl: lease.DynamicLease, retry: lease.Retry | None) -> tuple[Condition, ...]:
    """The conditions as they are now; ``retry``: the back-off that stands, or stood."""
    trouble = _trouble(view, dl, retry)
    held, current = view.delivered, drift.kept(view, dl)
    waiting = (False, *_waiting(view, dl, trouble))
    synced = held is not None and not view.edited(held)
    ready = held is not None and synced and not dl.deleting
    has_lease = view.in_hand is not None or current is not None
    verdicts: dict[ConditionType, rollout.Verdict | None] = {
        ConditionType.READY: _readiness(view, held, trouble) if ready and held else waiting,
        ConditionType.LEASE_HELD: (
            (True, Reason.HELD, _bounds(view, dl, current)) if has_lease else waiting
        ),
        ConditionType.SECRET_SYNCED: (True, Reason.DELIVERED, "") if synced else waiting,
        ConditionType.ROLLOUT_COMPLETE: _rollout(view, dl),
        ConditionType.REVOCATION_PENDING: _pending_revocations(view),
        ConditionType.STALLED: _stalled(trouble),
    }
    return tuple(
        _condition(view, dl, kind, verdict)
        for kind, verdict in verdicts.items()
        if verdict is not None
    )


def _condition(
    view: View, dl: lease.DynamicLease, kind: ConditionType, verdict: rollout.Verdict
) -> Condition:
    is_true, reason, message = verdict
    word: Verdict = "True" if is_true else "False"
    return conditions.made(kind, word, reason, message, of=dl.metadata, at=view.now)


def _stalled(trouble: Failure | None) -> rollout.Verdict:
    """Whether somebody has to do something."""
    if trouble is None:
        return False, Reason.NOT_STALLED, ""
    return trouble.permanent, trouble.reason, trouble.sentence


def _trouble(view: View, dl: lease.DynamicLease, retry: lease.Retry | None) -> Failure | None:
    """What stands in the way: seen now, just met, or met before and not yet overcome."""
    if view.memory.failure is not None:
        return view.memory.failure
    seen = obstacles.obstacle(view, dl)
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
    if plan.unrenewed_until(view, dl, held) is not None and not dl.spec.suspend:
        replaced_at = view.own(held, plan.plan(view, dl, held).at)
        limits.append(
            f"its renewals fail: without one the lease is replaced at "
            f"{base.render_moment(replaced_at)}"
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
    if trouble is None and view.dl is not None and view.dl.spec.suspend:
        halted = _halted(view.dl)
        return True, Reason.SUSPENDED, f"the Secret holds credentials that live; {halted}"
    if trouble is None:
        return True, Reason.READY, "the Secret holds credentials that live"
    return True, trouble.reason, f"the credentials are good until {until}, but: {trouble.sentence}"


def _until(moment: datetime | None) -> str:
    return base.render_moment(moment) if moment is not None else "an unknown moment"


def _awaited(view: View) -> str:
    """What a deletion waits for, and for how long at most; empty where it waits for nothing."""
    dl, pending = view.dl, view.in_state(State.REVOKING)
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
