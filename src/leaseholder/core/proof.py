"""Renewals that aren't proven: the provider says a later end, and may end the lease at its first.

The strategy Auto replaces such leases in time. With the strategy Renew they are extended all the
same, and around their first expiry nothing is promised: Ready is False until a look after it has
shown the lease. What is gone then is replaced at once.
"""

from datetime import datetime, timedelta
from typing import Final

from leaseholder import ports
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord
from leaseholder.core import schedule
from leaseholder.core.view import View

LATE: Final = timedelta(seconds=schedule.LOOK_AGAIN)
"""So long after it a lease that lives has outlived it (Phase's expiry job is up to 2 s late)."""


def first_end(view: View, record: LeaseRecord) -> datetime | None:
    """When an extended lease would have ended but for its extensions; None: nothing to prove."""
    can, end = view.capabilities.get(record.name), record.status.expires_at
    if can is None or can.renewal == "Reliable" or not can.verifiable or end is None:
        return None
    return end if view.granted(record) and (view.expiry(record) or end) > end else None


def missing(view: View, record: LeaseRecord) -> bool:
    """Whether the first expiry is near or past and no look has shown the lease beyond it."""
    end = first_end(view, record)
    return end is not None and view.now >= end - schedule.AHEAD and not _outlived(view, record, end)


def wake(view: View, record: LeaseRecord) -> datetime | None:
    """When Ready is to go False; None where there is nothing to prove."""
    end = first_end(view, record)
    return None if end is None else end - schedule.AHEAD


def look_due(view: View, record: LeaseRecord) -> datetime | None:
    """When the lease is to be looked at: soon after its first expiry, and once more."""
    end = first_end(view, record)
    if end is None or _outlived(view, record, end):
        return None
    shown = view.memory.shown_at.get(record.name)
    return end + LATE if shown is not None and shown > end else end + timedelta(seconds=1)


def failed(view: View, record: LeaseRecord) -> ports.Note | None:
    """What to say of a lease that is gone although it was extended; None where it wasn't."""
    end = first_end(view, record)
    if end is None or view.now < end:
        return None
    text = (
        "the provider ended the lease at its first expiry, although it had extended it: with "
        "renewal.strategy Auto it is replaced before"
    )
    return ports.Note("Warning", Reason.RENEWAL_UNPROVEN, text)


def _outlived(view: View, record: LeaseRecord, end: datetime) -> bool:
    shown = view.memory.shown_at.get(record.name)
    return shown is not None and shown >= end + LATE
