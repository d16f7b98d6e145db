"""How many revocations each namespace waits for, as this process last saw its DynamicLeases.

A bound that hostile tenants meet, so a count of what was seen is enough: the ledger isn't listed
before each issue. After a start it is whole as soon as each record was looked at once.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from leaseholder.api.record import Subject
from leaseholder.core import plan
from leaseholder.core.observation import Others
from leaseholder.core.view import View


@dataclass(slots=True)
class _Namespace:
    """The counts of one namespace, by DynamicLease and in all: there may be thousands."""

    seen: dict[Subject, Others] = field(default_factory=dict)
    total: Others = field(default_factory=Others)

    def put(self, subject: Subject, one: Others) -> None:
        before = self.seen.pop(subject, Others())
        if one != Others():
            self.seen[subject] = one
        leases = self.total.leases - before.leases + one.leases
        self.total = Others(leases, self.total.pending - before.pending + one.pending)


@dataclass(slots=True)
class Pending:
    """Counts by namespace; nothing is kept of a DynamicLease that is gone with its leases."""

    _known: dict[str, _Namespace] = field(default_factory=lambda: defaultdict(_Namespace))

    def note(self, view: View) -> None:
        """Count what a look showed; another shard's isn't counted here."""
        leases, pending = int(view.lease is not None), plan.counted(view)
        self._put(view.subject, Others() if view.elsewhere else Others(leases, pending))

    def _put(self, subject: Subject, one: Others) -> None:
        self._known[subject.namespace].put(subject, one)
        if not self._known[subject.namespace].seen:
            del self._known[subject.namespace]

    def beside(self, subject: Subject) -> Others:
        """All in a namespace but one."""
        known = self._known.get(subject.namespace)
        if known is None:
            return Others()
        own, total = known.seen.get(subject, Others()), known.total
        return Others(total.leases - own.leases, total.pending - own.pending)
