"""What becomes of the leases beside the current one: replaced, undelivered, or over for long.

Flows in: one observation of a DynamicLease that is wanted, with several leases on its record. Flows
out: the one of them that moves on next (``rules`` has the order). What is to be revoked then is up
to ``revocations``; a replaced lease waits for its workloads (``rollout``) first.
"""

from datetime import timedelta
from typing import Final

from leaseholder.api import base, durations
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import MOST_LEASES, RecordedLease, Revocation, State
from leaseholder.core import drift, ends, handover, obstacles, plan, revocations, rollout
from leaseholder.core.actions import Action, Drop, Found, Move, soonest
from leaseholder.core.view import View
from leaseholder.ports.events import Note

DELIVERED_WITHIN: Final = timedelta(minutes=5)
"""A lease that was held for longer counts as delivered where status is lost: a delivery takes a
second."""
LONG_OVER: Final = timedelta(minutes=30)
"""So long after the last end that was ever asked for a lease is over by any clock."""


def rank(view: View, dl: DynamicLease) -> Action | None:
    """A Held lease that no Secret of ours shows was replaced, or never got there."""
    held, kept = view.delivered, drift.kept(view, dl)
    fresh = None if obstacles.given_up(view, dl) else view.in_hand
    for record in view.in_state(State.HELD):
        if view.named_in(record, drift.former(view, dl)):
            continue
        if held is not None and view.place(record) < view.place(held):
            return _supersede(view, dl, record)
        if view.inherited(record):
            continue  # workloads may use it: it lives until the one that takes its place is there
        if handover.awaited_until(view, record) is not None:
            continue
        if record not in (held, fresh, kept) and not view.named_anywhere(record):
            return (
                _supersede(view, dl, record)
                if _maybe_delivered(view, dl, record)
                else revocations.begin(view, record, Reason.UNDELIVERED)
            )
    return None


def _maybe_delivered(view: View, dl: DynamicLease, record: RecordedLease) -> bool:
    """Whether workloads may use a lease that no Secret of ours shows.

    Status says so, or this process saw it there: status may trail. Or the Secret says nothing; or
    somebody else has it, who may have written it over ours before status told of that. Where a
    backup was restored without status and Secret, the record tells: workloads moved to the lease,
    or it is older than a delivery takes.
    """
    shown = dl.status.lease
    was_there = shown is not None and shown.attempt == record.attempt_id
    if was_there or view.known(record).contents is not None or view.mute:
        return True
    moved_to = record.rolled_out_at is not None
    return moved_to or view.target_contested or _outlived_status(view, dl, record)


def _outlived_status(view: View, dl: DynamicLease, record: RecordedLease) -> bool:
    """Whether status is lost, and the lease older than one is whose delivery a crash stopped.

    What this process issued itself it knows whether it delivered. The CRD's default for a status is
    one that says nothing of any generation.
    """
    known = view.known(record).shown is not None
    if known or dl.status.observed_generation or record.issued_at is None:
        return False
    return view.own_now(record) >= record.issued_at + DELIVERED_WITHIN


def make_room(view: View, dl: DynamicLease) -> Found:
    """At the limit a replaced lease that is over goes before its time, though its overlap isn't.

    With nothing delivered the oldest one goes, but none that a workload was restarted for: its pods
    may well run.
    """
    replaced = [
        record
        for record in view.in_state(State.HELD, State.SUPERSEDED)
        if (record.state is State.SUPERSEDED or view.inherited(record))
        and not view.named_anywhere(record)
        and not rollout.stamped(view, record)
    ]
    is_full = view.has_time and len(obstacles.live(view)) >= obstacles.MOST_LIVE
    passing = [
        record
        for record in replaced
        if is_full and record.state is State.SUPERSEDED
        if not (view.mute or rollout.keeps(view, record))
    ]
    over = [record for record in passing if view.expired(record)]
    if over:
        return revocations.begin(view, over[0], Reason.SUPERSEDED)
    if replaced and obstacles.needs_room(view, dl):
        return revocations.begin(view, replaced[0], Reason.SUPERSEDED)
    return soonest(view.now, *(view.expiry(record) for record in passing))


def let_go(view: View, dl: DynamicLease) -> Drop | None:
    """On a full record the lease goes whose end is longest past, though nobody confirmed it."""
    if len(view.records) < MOST_LEASES or plan.need(view, dl) is None or not view.has_time:
        return None
    unconfirmed = view.in_state(State.REVOKING, State.ABANDONED)
    ended = [(ends.last_asked(view, record), record) for record in unconfirmed]
    end, oldest = min(ended, key=lambda one: one[0], default=(view.now, None))
    if oldest is None or view.now < end + LONG_OVER:
        return None
    text = (
        f"lease {oldest.lease_id or 'of attempt ' + oldest.attempt_id} ended by "
        f"{base.render_moment(end)}, and the provider didn't confirm that: it goes from the full "
        "LeaseRecord, so that the next one can be issued"
    )
    return Drop(oldest, "Expired", Note("Warning", Reason.ABANDONED, text))


def _supersede(view: View, dl: DynamicLease, record: RecordedLease) -> Move:
    not_before = view.now + durations.parse(dl.spec.rotation.overlap)
    revocation = Revocation(reason=Reason.SUPERSEDED, since=view.now, not_before=not_before)
    return revocations.moved(view, record, State.SUPERSEDED, revocation)
