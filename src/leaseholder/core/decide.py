"""The decision: from one observation to the one thing to do next."""

from leaseholder.core import live, retire
from leaseholder.core.steps import Step
from leaseholder.core.view import View


def decide(view: View) -> Step:
    """What to do next for one DynamicLease; pure, so every rule can be explored by machine."""
    if view.lease is None:
        return retire.vanished(view)
    if view.lease.deleting:
        return retire.deleting(view, view.lease)
    return live.decide(view, view.lease)
