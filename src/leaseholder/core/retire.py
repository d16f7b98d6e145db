"""A DynamicLease that goes or is gone: the Secrets first, then the leases, then the finalizer.

What is still to be revoked when the finalizer goes stays on record and is revoked later.
"""

from datetime import datetime, timedelta

from leaseholder import ports
from leaseholder.api import base, conditions, durations, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import debts, live, project
from leaseholder.core.steps import DeleteSecret, Discard, Disown, Drop, Idle, Release, Step
from leaseholder.core.view import View

MADE_AGAIN = timedelta(seconds=60)
"""So long the leases of a DynamicLease that is gone wait for one of its name."""
REREAD = timedelta(seconds=10)
"""A deletion is looked at this often, so that a force command is seen."""


def deleting(view: View, lease: DynamicLease) -> Step:
    """The one thing to do next for a DynamicLease with a deletionTimestamp."""
    if names.FINALIZER not in lease.metadata.finalizers:
        return _settle(view) or _discard(view) or _retract(view, lease) or _rest(view)
    orphans = lease.spec.deletion.policy == "Orphan"
    if _wedged(view, lease) and (view.terminating or not orphans):
        return _release(view)
    orphan = _orphan(view) if orphans else None
    step = orphan or _settle(view) or _tell(view, lease)
    if step is not None or _may_release(view, lease):
        return step or _release(view)
    return _retract(view, lease) or _wait(view)


def vanished(view: View) -> Step:
    """The one thing to do next for the leases and Secrets of a DynamicLease that is gone.

    It may be made again in a moment, by a restore or by GitOps, and go on with what it had: so its
    leases live on for a minute. Not where its Namespace goes: what comes next is another tenant's.
    Nor where the installation goes: nobody would hold them.
    """
    since = view.memory.vanished_since
    left = view.monotonic - since if since is not None else 0.0
    left_behind = view.records or view.secrets
    may_come_again = not view.terminating and not view.draining
    if left_behind and may_come_again and left < MADE_AGAIN.total_seconds():
        again = view.now + MADE_AGAIN - timedelta(seconds=left)
        step = live.unclear(view) or debts.next_step(view)
        return step or Idle(min(again, debts.wake(view) or again))
    return _settle(view) or _discard(view) or _rest(view)


def _discard(view: View) -> Discard | None:
    """A record without leases goes where no DynamicLease stands that could need one.

    One that says of a lease that it was let go stays while that may live: a sweep would take it for
    a lost one.
    """
    if not view.record_version or view.records or view.secrets:
        return None
    return Discard() if _kept_until(view) is None else None


def _kept_until(view: View) -> datetime | None:
    kept = view.kept_until
    return kept if kept is not None and view.now < kept and not view.draining else None


def _rest(view: View) -> Idle:
    moments = (debts.wake(view), _kept_until(view))
    return Idle(min((one for one in moments if one is not None), default=None))


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
        text = f"lease {held.lease_id} stays alive until {end}: nobody holds it any more"
        return Drop(held, "Orphaned", ports.Note("Warning", Reason.ORPHANED, text), until)
    return Disown(view.secrets[0]) if view.secrets else None


def _tell(view: View, lease: DynamicLease) -> Step | None:
    """A revocation that didn't succeed at once is told."""
    if not any(r.revocation.attempts for r in view.records):
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


def _owing(view: View) -> list[RecordedLease]:
    return [r for r in view.records if r.state != State.ABANDONED]


def _may_release(view: View, lease: DynamicLease) -> bool:
    """Whether nothing is pending, the time is over, or no revocation can succeed here any more."""
    owing = _owing(view)
    tried = all(r.revocation.attempts for r in owing)
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
