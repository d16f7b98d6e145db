"""A shared account has room for one lease: whoever issues the next one ends the last.

Here is which records share one with a view's source, for ``plan`` (who waits), ``live`` and
``retire`` (who is replaced in place), and for whoever is about to issue.
"""

from collections.abc import Sequence

from leaseholder.api.record import LeaseRecord, State
from leaseholder.core.view import View


def one_slot(view: View, record: LeaseRecord) -> bool:
    """Whether a newer lease on the same slot kills this one."""
    can = view.capabilities.get(record.name)
    return can is not None and can.slots == "One"


def holder_of(view: View) -> LeaseRecord | None:
    """A record of another DynamicLease whose lease an issue from this source would kill."""
    for rival in view.rivals:
        over = rival.state is State.REVOKING and view.expired(rival)
        if one_slot(view, rival) and rival.state is not State.ABANDONED and not over:
            return rival
    return None


def taken_since(view: View, posted: LeaseRecord, rivals: Sequence[LeaseRecord]) -> bool:
    """Whether another DynamicLease came first to the account, since both found it free.

    ``posted`` is our attempt, on record before ``rivals`` were listed: of two attempts, one is in
    the other's list at least, and the one that was posted later stands back.
    """
    seen = {rival.name for rival in view.rivals}
    new = (r for r in rivals if r.name not in seen and r.spec.for_.uid != view.holder.uid)
    alive = (r for r in new if r.state is not State.ABANDONED)
    return any(r.state is not State.ATTEMPT or not _is_later(r, posted) for r in alive)


def _is_later(record: LeaseRecord, other: LeaseRecord) -> bool:
    """Whether an attempt was posted after another; where nothing tells, it wasn't.

    An attempt is written once, so its resourceVersion is that of its creation.
    """
    versions = record.metadata.resource_version, other.metadata.resource_version
    return all(map(str.isdecimal, versions)) and int(versions[0]) > int(versions[1])
