"""A DynamicLease that goes or is gone: the Secrets first, then the leases, then the finalizer.

What is still owed when the finalizer goes stays on the ledger and is paid later.
"""

from datetime import timedelta

from leaseholder import ports
from leaseholder.api import base, durations, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import State
from leaseholder.core import debts, live, project
from leaseholder.core.steps import DeleteSecret, Disown, Drop, Idle, Release, Report, Step
from leaseholder.core.view import View

NAMESAKE_AGAIN = timedelta(seconds=10)
REREAD = timedelta(seconds=10)
"""A deletion is looked at this often, so that a force command is seen."""


def deleting(view: View, lease: DynamicLease) -> Step:
    """The one thing to do next for a DynamicLease with a deletionTimestamp."""
    if names.FINALIZER not in lease.metadata.finalizers:
        return _settle(view) or Idle(debts.wake(view))
    orphan = _orphan(view) if lease.spec.deletion.policy == "Orphan" else None
    return orphan or _settle(view) or _tell(view, lease) or _release(view, lease) or _wait(view)


def vanished(view: View) -> Step:
    """The one thing to do next for the records and Secrets of a DynamicLease that is gone."""
    if view.namesake and view.secrets:
        return live.unclear(view) or Idle(view.now + NAMESAKE_AGAIN)
    return _settle(view) or Idle(debts.wake(view))


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
    held = view.delivered
    if held is not None:
        until = view.expiry(held)
        end = base.render_moment(until) if until is not None else "an unknown moment"
        text = f"lease {held.status.lease_id} stays alive until {end}: nobody holds it any more"
        return Drop(held, ports.Note("Warning", Reason.ORPHANED, text))
    return Disown(view.secrets[0]) if view.secrets else None


def _tell(view: View, lease: DynamicLease) -> Step | None:
    """A revocation that didn't succeed at once is told."""
    if not any(r.status.revoke and r.status.revoke.attempts for r in view.records):
        return None
    status = project.status(view, lease)
    return None if status == lease.status else Report(status, project.notes(status, lease.status))


def _release(view: View, lease: DynamicLease) -> Step | None:
    owing = [r for r in view.records if r.state != State.ABANDONED]
    if not owing:
        return Release()
    since = lease.metadata.deletion_timestamp or view.wall
    timed_out = view.wall >= since + durations.parse(lease.spec.deletion.timeout)
    refused = [r for r in owing if r.status.revoke and r.status.revoke.attempts]
    hopeless = view.terminating and len(refused) == len(owing)
    if not timed_out and not hopeless:
        return None
    text = f"{len(owing)} lease(s) couldn't be revoked yet; they stay on record and are paid later"
    return Release(ports.Note("Warning", Reason.TIMED_OUT, text))


def _wait(view: View) -> Idle:
    again = view.now + REREAD
    return Idle(min(debts.wake(view) or again, again))
