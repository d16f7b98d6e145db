"""A shared account has room for one lease: whoever issues the next one ends the last.

Flows in: a view, and leases of this record or of others. Flows out: which of them share an account
with what the DynamicLease wants. ``obstacles`` asks who holds it, ``wanted`` what to vacate, and
``controller.acquire`` once more, with the attempt on record.
"""

from leaseholder.api.record import RecordedLease, State
from leaseholder.core.observation import Rival
from leaseholder.core.view import View


def one_slot(view: View, lease: RecordedLease) -> bool:
    """Whether a newer lease on the same slot kills this one."""
    can = view.capabilities.get(lease.attempt_id)
    return can is not None and can.slots == "One"


def holder_of(view: View) -> Rival | None:
    """A lease of another DynamicLease that an issue from this source would kill."""
    shared = (rival for rival in view.rivals if one_slot(view, rival.lease))
    return next((rival for rival in shared if takes_slot(view, rival.lease)), None)


def takes_slot(view: View, lease: RecordedLease) -> bool:
    """Whether another's lease, or its attempt, keeps an account that only one can use."""
    over = lease.state is State.REVOKING and view.expired(lease)
    return lease.state is not State.ABANDONED and not over
