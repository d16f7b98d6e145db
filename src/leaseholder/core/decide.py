"""The decision: from one observation to the one thing to do next."""

from leaseholder.core import handover, live, retire
from leaseholder.core.steps import Idle, Step
from leaseholder.core.view import View


def decide(view: View) -> Step:
    """What to do next for one DynamicLease; pure, so every rule can be explored by machine."""
    if view.elsewhere:
        return handover.decide(view)
    if view.lease is None:
        return retire.vanished(view)
    if view.lease.deleting:
        return retire.deleting(view, view.lease)
    if view.draining:
        return Idle(None)  # it is made again, say: whoever drains deletes it, too
    return live.decide(view, view.lease)
