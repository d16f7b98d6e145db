"""A name goes from one shard to another, because somebody changed the label of its DynamicLease.

Flows in: a view. Flows out, at the shard that served the name: the steps that end what nobody else
can, as the answer to an issue is in its memory alone, and so are credentials that aren't delivered
yet. It does nothing else any more, and then forgets the name (``rules``, ``elsewhere``).

Flows out, at the other shard: until when it leaves such leases alone (``wanted``): an attempt until
its deadline, as with any attempt that isn't its own, and a lease that isn't in the Secret for a
moment longer. Where the first shard isn't there any more to end them, they are revoked then, as
after any crash.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease, State
from leaseholder.core import revocations
from leaseholder.core.actions import Deliver, Discard, Hold, Move
from leaseholder.core.view import View

DELIVERY: Final = timedelta(seconds=10)
"""So long after the deadline of its issue a lease may be on its way into the Secret."""


def hold(view: View) -> Hold | None:
    """The answer to an issue is in this process's memory."""
    for record in view.in_state(State.ATTEMPT, State.REVOKING):
        if not record.lease_id and view.known(record).shown is not None:
            return Hold(record)
    return None


def claim(view: View) -> Move | None:
    """An attempt of this process that came to nothing is claimed, and searched for."""
    for record in view.in_state(State.ATTEMPT):
        if view.known(record).ours:
            return revocations.begin(view, record, Reason.UNCLEAR)
    return None


def discard(view: View) -> Discard | None:
    """A record is as the deletion of its DynamicLease here left it.

    One that says of a lease that it was let go is left to the shard that has the name by now: it
    stays while that may live (``going.discard``).
    """
    is_left = view.dl is None and view.record_version and not view.records
    kept = view.kept_until is not None and view.now < view.kept_until
    return Discard() if is_left and not kept else None


def deliver(view: View, dl: DynamicLease) -> Deliver | None:
    """Credentials that are in this process's memory are delivered."""
    fresh = view.in_hand
    if fresh is None or view.known(fresh).credentials is None:
        return None
    blocked = dl.deleting or view.target_contested or view.memory.failure is not None
    return None if blocked else Deliver(fresh)


def awaited(view: View) -> datetime | None:
    """When the last lease has had its time that another shard may be about to deliver; None: none.

    Until then no other is issued.
    """
    moments = (awaited_until(view, record) for record in view.in_state(State.HELD))
    return max((at for at in moments if at is not None), default=None)


def awaited_until(view: View, record: RecordedLease) -> datetime | None:
    """Until when another shard may be about to deliver a Held lease; None: it isn't.

    This process didn't issue it, and no Secret shows it.
    """
    if not view.shared or view.known(record).shown is not None or view.named_anywhere(record):
        return None
    until = view.here(record, record.deadline) + DELIVERY
    return until if view.now < until else None
