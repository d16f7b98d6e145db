"""How many revocations each namespace waits for, as this process last saw its DynamicLeases.

A bound that hostile tenants meet, so a count of what was seen is enough: the ledger isn't listed
before each issue. After a start it is whole as soon as each record was looked at once.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from leaseholder.api.record import Holder, State
from leaseholder.core.view import Others, View


@dataclass(slots=True)
class Pending:
    """Counts by namespace; nothing is kept of a DynamicLease that is gone with its leases."""

    _seen: dict[str, dict[Holder, Others]] = field(default_factory=lambda: defaultdict(dict))

    def note(self, view: View) -> None:
        """Count what a look showed."""
        one = Others(int(view.lease is not None), len(view.in_state(State.REVOKING)))
        if one == Others():
            self.forget(view.holder)
        else:
            self._seen[view.holder.namespace][view.holder] = one

    def forget(self, holder: Holder) -> None:
        """Nothing is left of a DynamicLease."""
        known = self._seen.get(holder.namespace, {})
        known.pop(holder, None)
        if not known:
            self._seen.pop(holder.namespace, None)

    def beside(self, holder: Holder) -> Others:
        """All in a namespace but one."""
        known = self._seen.get(holder.namespace, {})
        others = [one for other, one in known.items() if other != holder]
        return Others(sum(o.leases for o in others), sum(o.pending for o in others))
