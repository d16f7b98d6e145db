"""Events that are posted about a resource; ``cluster.announcing`` posts them.

A ``Note`` comes from ``core.status`` with a status, or from ``controller.chronicle`` with a change.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from leaseholder.api import conditions, lease, provider


class Events(Protocol):
    """Posts events."""

    async def emit(self, about: lease.DynamicLease | provider.AnyProvider, note: "Note") -> None:
        """Post an event about a resource; failures are swallowed."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """An event's text."""

    type: Literal["Normal", "Warning"]
    reason: conditions.Reason
    message: str
    action: str = "Reconcile"
