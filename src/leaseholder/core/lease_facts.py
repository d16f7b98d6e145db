"""Facts about one lease: whose clock its moments are of, when it ends, how long it lives.

Flows in: an observation. Flows out: moments by the clock of ``now``, for decisions, and by the
lease's own clock, for records and status. ``secret_facts`` builds on it; ``plan`` and ``ends`` ask
most.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from leaseholder.api import durations
from leaseholder.api.record import RecordedLease
from leaseholder.core.facts import fact
from leaseholder.core.memory import LeaseMemory
from leaseholder.core.observation import Observation
from leaseholder.core.schedule import AHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFacts(Observation):
    """An observation, and what it says of a lease."""

    def known(self, record: RecordedLease) -> LeaseMemory:
        """What this process knows first-hand of a lease."""
        return self.memory.of(record.attempt_id)

    def here(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment of a lease's own clock, by the clock of ``now``."""
        return moment + self.shifts.get(record.attempt_id, timedelta(0))

    def by_date(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment by the ``Date`` of a lease's provider, by the clock of ``now``."""
        return self.here(record, moment + timedelta(seconds=record.clock_ahead))

    def own(self, record: RecordedLease, moment: datetime) -> datetime:
        """A moment by the clock of ``now``, by the lease's own clock."""
        return moment - self.shifts.get(record.attempt_id, timedelta(0))

    def own_now(self, record: RecordedLease) -> datetime:
        """Now, by the clock that a lease's own moments are of."""
        return self.own(record, self.now)

    def expiry(self, record: RecordedLease) -> datetime | None:
        """The latest expiry known of a record's lease, by the clock of ``now``."""
        stated = self.stated_expiry(record)
        return self.here(record, stated) if stated is not None else None

    @fact
    def stated_expiry(self, record: RecordedLease) -> datetime | None:
        """The latest expiry known of a lease as its provider says it, for records and status.

        It is a lower bound of the true one. Only a renewal of ours that gave an earlier one is
        believed before what was noted: that answer can't trail.
        """
        known, noted = self.known(record), self.noted_expiry(record)
        if known.shown is None:
            return noted
        end = known.shown.expires_at
        return end if noted is None or known.was_cut else max(noted, end)

    def noted_expiry(self, record: RecordedLease) -> datetime | None:
        """The latest expiry that record and status say."""
        shown = self.dl.status.lease if self.dl is not None else None
        known = [record.expires_at]
        if shown is not None and shown.attempt == record.attempt_id:
            known.append(shown.expires_at)
        return max((moment for moment in known if moment is not None), default=None)

    def expired(self, record: RecordedLease) -> bool:
        """Whether the lease is past what we know of its expiry."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry

    def ending(self, record: RecordedLease) -> bool:
        """Whether the lease is over, or will be before that can be told."""
        expiry = self.expiry(record)
        return expiry is not None and self.now >= expiry - AHEAD

    def life(self, record: RecordedLease) -> timedelta:
        """The lifetime that a lease is held at: what is asked for, else what was granted."""
        if self.dl is not None and self.dl.spec.ttl is not None:
            return durations.parse(self.dl.spec.ttl)
        if record.ttl_seconds is not None:
            return timedelta(seconds=record.ttl_seconds)
        return self.granted(record)

    def granted(self, record: RecordedLease) -> timedelta:
        """The lifetime that the provider gave the lease at its issue; 0 where it isn't known."""
        issued, expires = record.issued_at, record.expires_at
        return expires - issued if issued and expires else timedelta(0)
