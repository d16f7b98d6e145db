"""Renewals that aren't proven: the provider says a later end, and may end the lease at its first.

Flows in: a view and a lease that was renewed. Flows out: whether it counts, when it is inspected,
and until when Ready may stay True. ``wanted`` inspects by it, ``status_conditions`` reports by it.

The strategy Auto replaces such leases in time. With the strategy Renew they are renewed all the
same, and around their first expiry nothing is promised: the provider may be late to end the lease,
and show it as alive meanwhile over credentials that are dead. So Ready is False until the lease is
shown by a look that was asked for when the provider can't be late any more. What is gone then is
replaced at once: until then the lease is inspected again and again, at first soon.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder.api.conditions import Reason
from leaseholder.api.record import RecordedLease
from leaseholder.core import schedule
from leaseholder.core.view import View
from leaseholder.ports.events import Note

_SOON: Final = timedelta(seconds=1)
"""So long after the first expiry a provider that is in time has ended the lease."""


def first_end(view: View, record: RecordedLease) -> datetime | None:
    """When a renewed lease would have ended but for its renewals; None: nothing to prove."""
    can, end = view.capabilities.get(record.attempt_id), record.expires_at
    if can is None or can.proven_after is None or not can.verifiable or end is None:
        return None
    renewed = view.granted(record) and (view.stated_expiry(record) or end) > end
    return view.here(record, end) if renewed else None


def missing(view: View, record: RecordedLease) -> bool:
    """Whether the first expiry is near or past and no inspection has shown the lease beyond it."""
    doubted = doubted_at(view, record)
    return doubted is not None and view.now >= doubted


def doubted_at(view: View, record: RecordedLease) -> datetime | None:
    """When Ready goes False unless the lease is proven; None where there is nothing to prove."""
    end = first_end(view, record)
    return None if end is None or _outlived(view, record, end) else end - schedule.AHEAD


def proven_from(view: View, record: RecordedLease, end: datetime) -> datetime:
    """From when on an inspection that shows the lease proves that it outlived its first end."""
    can = view.capabilities.get(record.attempt_id)
    return end + timedelta(seconds=(can.proven_after or 0) if can is not None else 0)


def inspection_due(view: View, record: RecordedLease) -> datetime | None:
    """When the lease is to be inspected next: ever more seldom, until it is proven."""
    end = first_end(view, record)
    if end is None or _outlived(view, record, end):
        return None
    shown = view.known(record).shown_at
    if shown is None or shown <= end:
        return end + _SOON
    pause = max(timedelta(seconds=schedule.INSPECT_AGAIN), (shown - end) / 2)
    proven = proven_from(view, record, end)
    return min(shown + pause, max(proven, shown + _SOON))


def failed(view: View, record: RecordedLease) -> Note | None:
    """What to say of a lease that is gone although it was renewed; None where it wasn't."""
    end = first_end(view, record)
    if end is None or view.now < end:
        return None
    text = (
        "the provider ended the lease at its first expiry, although it had renewed it: with "
        "renewal.strategy Auto it is replaced before"
    )
    return Note("Warning", Reason.RENEWAL_UNPROVEN, text)


def _outlived(view: View, record: RecordedLease, end: datetime) -> bool:
    shown = view.known(record).shown_at
    return shown is not None and shown >= proven_from(view, record, end)
