"""What a decision may see: an observation, with all facts about it.

Flows in: an observation of ``controller.observe``. Flows out: what the rules ask. ``in_hand`` is
the one fact that needs leases and Secrets together: a lease that was issued and isn't delivered
yet.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

from leaseholder.api.record import RecordedLease, State
from leaseholder.core.facts import fact
from leaseholder.core.secret_facts import SecretFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class View(SecretFacts):
    """One observation, with all facts about it."""

    def for_decision(self) -> Self:
        """The same view, whose facts are answered once each: nothing changes in a decision."""
        if self._facts is not None:
            return self
        seen = dataclasses.replace(self)
        object.__setattr__(seen, "_facts", {})
        return seen

    @property
    @fact
    def in_hand(self) -> RecordedLease | None:
        """The newest Held record that can be delivered and isn't yet: fresh, or to be copied."""
        held = [
            record
            for record in self.in_state(State.HELD)
            if self._deliverable(record) and not self.expired(record)
        ]
        return held[-1] if held else None

    def _deliverable(self, record: RecordedLease) -> bool:
        if self.place(record) < self.shown:
            return False
        if self.known(record).credentials is not None:
            return True
        return not self.names(record) and self.source_of(record) is not None
