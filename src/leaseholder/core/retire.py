"""A DynamicLease that goes or is gone: the Secrets first, then the leases, then the finalizer.

What is still owed when the finalizer goes stays on the ledger and is paid later.
"""

from dataclasses import replace
from datetime import timedelta

from leaseholder import ports
from leaseholder.api import base, conditions, durations, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import LeaseRecord, State
from leaseholder.core import debts, live, project, rollout, schedule, slots
from leaseholder.core.steps import DeleteSecret, Disown, Drop, Idle, Look, Release, Step
from leaseholder.core.view import View

NAMESAKE_AGAIN = timedelta(seconds=10)
HEIRLOOM_AGAIN = timedelta(seconds=60)
"""A Secret that is left to a namesake goes after all when the namesake goes without it."""
REREAD = timedelta(seconds=10)
"""A deletion is looked at this often, so that a force command is seen."""


def deleting(view: View, lease: DynamicLease) -> Step:
    """The one thing to do next for a DynamicLease with a deletionTimestamp."""
    if names.FINALIZER not in lease.metadata.finalizers:
        return _settle(view) or _retract(view, lease) or Idle(debts.wake(view))
    orphans = lease.spec.deletion.policy == "Orphan"
    if _wedged(view, lease) and (view.terminating or not orphans):
        return _release(view)
    orphan = _orphan(view) if orphans else None
    step = orphan or _settle(view) or _tell(view, lease)
    if step is not None or _may_release(view, lease):
        return step or _release(view)
    return _retract(view, lease) or _wait(view)


def vanished(view: View) -> Step:
    """The one thing to do next for the records and Secrets of a DynamicLease that is gone.

    A namesake may take its Secret over; its leases live on until the workloads have moved.
    """
    if view.namesake is not None and _in_use(view, view.namesake):
        owing = replace(view, records=view.in_state(State.REVOKING))
        again = Idle(view.now + NAMESAKE_AGAIN)
        return live.unclear(view) or debts.next_step(owing) or _look(view) or again
    own = _without_heirloom(view)
    left = view.now + HEIRLOOM_AGAIN if own is not view else None
    moments = [at for at in (debts.wake(view), left) if at is not None]
    return _settle(own) or Idle(min(moments, default=None))


def _without_heirloom(view: View) -> View:
    """Without the Secret that a namesake wants, where it shows no lease of the one that is gone.

    The namesake takes it over: it comes from a backup.
    """
    heir = view.namesake
    if heir is None or heir.deleting or any(view.named_anywhere(r) for r in view.records):
        return view
    kept = tuple(s for s in view.secrets if s.name != heir.secret_name)
    return replace(view, secrets=kept) if kept != view.secrets else view


def _in_use(view: View, namesake: DynamicLease) -> bool:
    """Whether workloads may still use a lease of the namesake's forerunner.

    A shared account must be free before the namesake can mint: nothing is gained by waiting.
    """
    alive = [r for r in view.in_state(State.HELD, State.SUPERSEDED) if _may_live(view, r)]
    shown = any(view.named_anywhere(record) for record in alive)
    return shown or (bool(alive) and not rollout.moved_on(namesake, view.now))


def _may_live(view: View, record: LeaseRecord) -> bool:
    """Whether workloads may use the lease; past its known end if it may have been extended."""
    if slots.one_slot(view, record):
        return False
    return not view.expired(record) or _unasked(view, record)


def _unasked(view: View, record: LeaseRecord) -> bool:
    """Whether the provider, which can tell, hasn't been asked since the lease's known end.

    What is known is a lower bound: a status that told of extensions went with its DynamicLease.
    """
    can, end = view.capabilities.get(record.name), view.expiry(record)
    shown = view.memory.shown_at.get(record.name)
    asked = shown is not None and end is not None and shown >= end
    return can is not None and can.verifiable and not asked


def _look(view: View) -> Look | None:
    """Ask about a lease that is past its known end before it counts as over."""
    for record in view.in_state(State.HELD, State.SUPERSEDED):
        looked = view.memory.looked.get(record.name)
        due = looked is None or view.now >= looked + timedelta(seconds=schedule.LOOK_AGAIN)
        if due and view.expired(record) and _may_live(view, record):
            return Look(record)
    return None


def _settle(view: View) -> Step | None:
    step = live.unclear(view)
    if step is not None:
        return step
    for secret in view.secrets:
        if not secret.deleting:
            return DeleteSecret(secret)
    for record in view.in_state(State.HELD, State.SUPERSEDED):
        return debts.owe(view, record, Reason.DELETING)
    return debts.next_step(view)


def _orphan(view: View) -> Step | None:
    """Lease and Secret stay; nobody holds them any more."""
    held = next((r for r in view.in_state(State.HELD) if view.named_anywhere(r)), None)
    if held is not None:
        until = view.stated_expiry(held)
        end = base.render_moment(until) if until is not None else "an unknown moment"
        text = f"lease {held.status.lease_id} stays alive until {end}: nobody holds it any more"
        return Drop(held, ports.Note("Warning", Reason.ORPHANED, text))
    return Disown(view.secrets[0]) if view.secrets else None


def _tell(view: View, lease: DynamicLease) -> Step | None:
    """A revocation that didn't succeed at once is told."""
    if not any(r.status.revoke and r.status.revoke.attempts for r in view.records):
        return None
    return project.report(view, lease)


def _retract(view: View, lease: DynamicLease) -> Step | None:
    """What status says of the time before the deletion is taken back before a wait.

    For a search, a next try, or for somebody else's finalizer. Where nothing is waited for the
    DynamicLease is gone at once, and a write is saved.
    """
    ready = conditions.find(lease.status.conditions, ConditionType.READY)
    if ready is None or ready.reason == Reason.DELETING:
        return None
    return project.report(view, lease)


def _wedged(view: View, lease: DynamicLease) -> bool:
    """Whether the time is over and a Secret is still there: our right to it may be gone for good.

    In a terminating namespace RoleBindings can go before the finalizer does.
    """
    return _timed_out(view, lease) and any(not secret.deleting for secret in view.secrets)


def _timed_out(view: View, lease: DynamicLease) -> bool:
    """Measured on our own clock from our own first sight: a wall clock may be wrong by days."""
    since = view.memory.deleting_since
    waited = view.monotonic - since if since is not None else 0.0
    return waited >= durations.parse(lease.spec.deletion.timeout).total_seconds()


def _owing(view: View) -> list[LeaseRecord]:
    return [r for r in view.records if r.state != State.ABANDONED]


def _may_release(view: View, lease: DynamicLease) -> bool:
    """Whether nothing is owed, the time is over, or no revocation can succeed here any more."""
    owing = _owing(view)
    tried = all(r.status.revoke and r.status.revoke.attempts for r in owing)
    return not owing or _timed_out(view, lease) or (view.terminating and tried)


def _release(view: View) -> Release:
    owing = _owing(view)
    if not owing:
        return Release()
    text = f"{len(owing)} lease(s) couldn't be revoked yet; they stay on record and are paid later"
    return Release(ports.Note("Warning", Reason.TIMED_OUT, text))


def _wait(view: View) -> Idle:
    again = view.now + REREAD
    return Idle(min(debts.wake(view) or again, again))
