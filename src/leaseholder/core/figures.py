"""What metrics show of a DynamicLease: figures of one look at it.

They come from what was observed, not from status: a lease that is renewed while the API server is
away shows its new end. Only what conditions say is read in status.
"""

from leaseholder.api import conditions
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.core import plan
from leaseholder.core.view import View
from leaseholder.ports.meter import Figures


def figures(view: View) -> Figures:
    """The figures of a look."""
    dl, held = view.lease, view.delivered
    leases = tuple((one.attempt_id, one.state, one.provider.ref) for one in view.records)
    if dl is None:
        return Figures(now=view.now, ready=None, reason=Reason.DELETING, leases=leases)
    ready = conditions.find(dl.status.conditions, ConditionType.READY)
    pending = conditions.find(dl.status.conditions, ConditionType.REVOCATION_PENDING)
    return Figures(
        now=view.own_now(held) if held is not None else view.now,
        ready=ready is not None and ready.status == "True",
        reason=conditions.reason_of(ready.reason) if ready is not None else Reason.PENDING,
        issued_at=held.issued_at if held is not None else None,
        expires_at=view.stated_expiry(held) if held is not None else None,
        renews_at=view.own(held, plan.plan(view, dl, held).at) if held is not None else None,
        leases=leases,
        pending_since=(
            pending.last_transition_time
            if pending is not None and pending.status == "True"
            else None
        ),
    )
