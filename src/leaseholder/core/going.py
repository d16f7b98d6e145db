"""What each rule about a DynamicLease that goes, or is gone, finds.

Flows in: a view. Flows out: the step that one rule finds due: the Secrets go first, then the
leases, then the finalizer. What is still to be revoked when the finalizer goes stays on record and
is revoked later (``revocations``). ``rules`` has the order, with the reasons.
"""

from datetime import datetime, timedelta

from leaseholder.api import base, conditions, durations, names
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import ends, revocations, status
from leaseholder.core.actions import (
    Action,
    DeleteSecret,
    Discard,
    Disown,
    Drop,
    Found,
    Later,
    Release,
)
from leaseholder.core.view import View
from leaseholder.ports.events import Note

MADE_AGAIN = timedelta(seconds=60)
"""So long the leases of a DynamicLease that is gone wait for one of its name."""
REREAD = timedelta(seconds=10)
"""A deletion is looked at this often, so that a force command is seen."""


def release_wedged(view: View, dl: DynamicLease) -> Release | None:
    """The time is over and a Secret can't be deleted: our right to it may be gone for good.

    In a terminating namespace RoleBindings can go before the finalizer does. Where the time was
    over before we saw the deletion, it is tried first. Who may delete none may read none, either.
    """
    left = any(not secret.deleting for secret in view.secrets)
    stuck = view.unread or (left and view.memory.keeps_secret)
    let_go = stuck and may_be_wedged(view, dl)
    return _release(view) if let_go else None


def may_be_wedged(view: View, dl: DynamicLease) -> bool:
    """Whether a deletion doesn't wait for its Secrets any longer."""
    let_go = view.terminating or dl.spec.deletion.policy != "Orphan"
    return dl.deleting and let_go and _holds(dl) and _timed_out(view, dl)


def delete_secrets(view: View) -> Found:
    """Secrets of ours go, but for those of a DynamicLease that may be made again."""
    again = _made_again_until(view)
    if again is not None:
        return Later(again)
    left = (secret for secret in view.secrets if not secret.deleting)
    return next((DeleteSecret(secret) for secret in left), None)


def revoke(view: View) -> Found:
    """Leases that are in use are to be revoked, but for the same."""
    again = _made_again_until(view)
    if again is not None:
        return Later(again)
    used = view.in_state(State.HELD, State.SUPERSEDED)
    return next((revocations.begin(view, record, Reason.DELETING) for record in used), None)


def _made_again_until(view: View) -> datetime | None:
    """Until when a DynamicLease that is gone may be made again, and go on with what it had.

    Not where its Namespace goes: what comes next is another tenant's. Nor where the installation
    goes: nobody would hold its leases.
    """
    nothing_left = not view.records and not view.secrets
    if view.dl is not None or view.terminating or view.draining or nothing_left:
        return None
    since = view.memory.vanished_since
    left = MADE_AGAIN.total_seconds() - (view.monotonic - since if since is not None else 0.0)
    return view.now + timedelta(seconds=left) if left > 0 else None


def discard(view: View) -> Found:
    """A record without leases goes where no DynamicLease stands that could need one.

    One that says of a lease that it was let go stays while that may live: a sweep would take it for
    a lost one.
    """
    held_on = view.dl is not None and _holds(view.dl)
    if not view.record_version or view.records or view.secrets or held_on:
        return None
    kept = view.kept_until
    if kept is None or view.now >= kept or view.draining:
        return Discard()
    return Later(kept)


def orphan(view: View, dl: DynamicLease) -> Action | None:
    """Lease and Secret stay; nobody holds them any more."""
    if dl.spec.deletion.policy != "Orphan" or not _holds(dl):
        return None
    held = next((r for r in view.in_state(State.HELD) if view.named_anywhere(r)), None)
    if held is not None:
        until = view.stated_expiry(held)
        end = base.render_moment(until) if until is not None else "an unknown moment"
        text = f"lease {held.lease_id} stays alive until {end}: nobody holds it any more"
        note = Note("Warning", Reason.ORPHANED, text)
        return Drop(held, "Orphaned", note, ends.let_go(view, held))
    return Disown(view.secrets[0]) if view.secrets else None


def report_attempts(view: View, dl: DynamicLease) -> Action | None:
    """A revocation that didn't succeed at once is told."""
    tried = _holds(dl) and any(r.revocation.attempts for r in view.records)
    return status.report(view, dl) if tried else None


def release(view: View, dl: DynamicLease) -> Found:
    """Nothing is pending, the time is over, or no revocation can succeed here any more."""
    if not _holds(dl):
        return None
    pending = _pending(view)
    tried = all(r.revocation.attempts for r in pending)
    if not pending or _timed_out(view, dl) or (view.terminating and tried):
        return _release(view)
    return Later(view.now + REREAD)


def retract(view: View, dl: DynamicLease) -> Action | None:
    """What status says of the time before the deletion is taken back before a wait.

    For a search, a next try, or for somebody else's finalizer. Where nothing is waited for the
    DynamicLease is gone at once, and a write is saved.
    """
    ready = conditions.find(dl.status.conditions, ConditionType.READY)
    if ready is None or ready.reason == Reason.DELETING:
        return None
    return status.report(view, dl)


def _holds(dl: DynamicLease) -> bool:
    """Whether the deletion waits for us."""
    return names.FINALIZER in dl.metadata.finalizers


def _timed_out(view: View, dl: DynamicLease) -> bool:
    """Measured on our own clock, which never jumps, also where we saw the begin after a restart."""
    since = view.memory.deleting_since
    waited = view.monotonic - since if since is not None else 0.0
    return waited >= durations.parse(dl.spec.deletion.timeout).total_seconds()


def _pending(view: View) -> list[RecordedLease]:
    return [r for r in view.records if r.state != State.ABANDONED]


def _release(view: View) -> Release:
    pending = _pending(view)
    if not pending:
        return Release()
    text = (
        f"{len(pending)} lease(s) couldn't be revoked yet; they stay on record and are revoked "
        "later"
    )
    return Release(Note("Warning", Reason.TIMED_OUT, text))
