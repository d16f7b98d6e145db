"""The one place where a change is told: a line of the log and, for some, an event.

Flows in: changes that a verb made. Flows out: the journal's line, and an event at the DynamicLease.
Changes that a condition tells make no event here (``core.status`` makes those).
"""

from dataclasses import dataclass
from typing import Final

from leaseholder.api import base
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease
from leaseholder.changes import Change, Kind
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note
from leaseholder.ports.journal import Journal

_EVENTS: Final = {
    Kind.ISSUED: (Reason.ISSUED, "issued lease {lease}", "Reconcile"),
    Kind.REVOKED: (
        Reason.REVOKED,
        "lease {lease} is revoked: the provider confirms that it is gone",
        "Reconcile",
    ),
    Kind.RESTARTED: (
        Reason.RESTARTED,
        "restarted {workload}: its pods take up the new lease",
        "Restart",
    ),
    Kind.RENEWED: (Reason.RENEWED, "lease {lease} is renewed until {expires}", "Reconcile"),
}
"""What is an event, too: its reason, its text, its action. The others are told by conditions."""
_ANSWERS: Final = frozenset({Kind.RENEWED})
"""Events only where somebody asked for it."""


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Tells changes."""

    cluster: Cluster
    journal: Journal

    async def note(self, dl: DynamicLease | None, change: Change | None) -> None:
        """Tell a change, at the DynamicLease where there is one; failures are swallowed."""
        if change is None:
            return
        self.journal.enter(change)
        await self.emit(dl, _note(change))

    async def emit(self, dl: DynamicLease | None, note: Note | None) -> None:
        """Post an event, where there is one and a DynamicLease that it is about."""
        if dl is not None and note is not None:
            await self.cluster.emit(dl, note)


def _note(change: Change) -> Note | None:
    if change.kind not in _EVENTS or (change.kind in _ANSWERS and not change.why):
        return None
    reason, text, action = _EVENTS[change.kind]
    expires = base.render_moment(change.expires) if change.expires is not None else ""
    workload = change.workload.replace("/", " ")
    text = text.format(lease=change.lease, workload=workload, expires=expires)
    why = f": {change.why}" if change.why else ""
    return Note("Normal", reason, text + why, action=action)
