"""Which of the leases that a provider shows were lost: pure judgement for ``controller.sweep``.

Flows in: leases that a provider shows as ours (``controller.survey``), and what ledger and Secrets
say, read after the provider answered: then the attempt of a lease that was issued meanwhile is
there. Flows out: those that were lost. A lease was lost if this installation had it issued, nothing
in the cluster knows it, and it is too old for its issue to be still under way.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api.conditions import Reason, Verdict
from leaseholder.api.record import LeaseRecord
from leaseholder.core import arrival
from leaseholder.ports.provider import MOST_MARKED, Capabilities, Marked
from leaseholder.ports.records import MOST_RIVALS

OVER: Final = timedelta(days=1)
"""A lease so long past its end is left to its provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A lease that a provider shows as this installation's."""

    marked: Marked
    address: str
    """Of the provider."""
    now: datetime
    """By the provider's clock."""
    can: Capabilities
    """What can be done for leases there."""


@dataclass(frozen=True, slots=True)
class KnownLeases:
    """What is known of leases."""

    ids: frozenset[str]
    """Of leases that are on record or in a Secret of ours, or that were let go alive."""
    attempts: frozenset[str]
    """Attempts whose lease isn't known yet."""
    open_at: frozenset[str]
    """Addresses at which there are such."""
    noted: Mapping[str, Sequence[Mapping[str, Any]]]
    """What adapters noted of the leases on record, by slot; of each ``MOST_RIVALS`` at most."""

    @classmethod
    def of(cls, pages: Iterable[LeaseRecord], ids: Collection[str]) -> "KnownLeases":
        """What the whole ledger says, and ``ids`` of leases that are known elsewhere."""
        pages = [*pages]
        leases = [one for page in pages for one in page.leases]
        let_go = [one.lease_id or "" for page in pages for one in page.spec.ended]
        opened = [one for one in leases if not one.lease_id]
        noted = defaultdict[str, list[Mapping[str, Any]]](list)
        for one in leases:
            if len(noted[one.slot]) < MOST_RIVALS:
                noted[one.slot].append(one.noted)
        return cls(
            frozenset({*ids, *let_go, *(one.lease_id for one in leases)} - {""}),
            frozenset(one.attempt_id for one in opened),
            frozenset(one.provider.address for one in opened),
            noted,
        )

    def lacks(self, shown: Shown, send_within: timedelta) -> bool:
        """Whether a lease was lost.

        Args:
            shown: the lease.
            send_within: how long after its begin an attempt may still be sent.
        """
        lease, can = shown.marked.lease, shown.can
        if lease.id in self.ids or shown.marked.attempt_id in self.attempts:
            return False
        if can.found_by == "OwnerAndTime" and shown.address in self.open_at:
            return False  # it may be that attempt's
        under_way = send_within + timedelta(seconds=can.settle + can.replica_lag)
        lives = lease.issued_at + under_way <= shown.now < lease.expires_at + OVER
        return lives and arrival.fits_on_record(lease)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep of a provider came to."""

    number: int = 0
    """Leases on no record."""
    shared: int = 0
    """Those of them whose revocation would end the lease in use, because they share an account."""
    revokes: bool = False
    """``spec.sweep`` says Revoke."""
    sweepable: bool = True
    """Leases there can be distinguished from others'."""
    failure: errors.EdgeError | None = None
    """Why not all was seen."""

    def condition(self) -> tuple[Verdict, Reason, str]:
        """Status, reason and sentence of the condition UnrecordedLeases."""
        if not self.sweepable:
            sentence = "leases there have no mark of whose they are: take spec.sweep out"
            return "Unknown", Reason.NOT_SWEEPABLE, sentence
        if not self.number and self.failure is not None:
            sentence = f"the last sweep failed: {self.failure.sentence}"
            return "Unknown", self.failure.reason, sentence
        if not self.number:
            sentence = "the last sweep found no lease of this installation that is on no record"
            return "False", Reason.ALL_RECORDED, sentence
        many = f"{self.number}{' or more' if self.number >= MOST_MARKED else ''} leases"
        what, are = ("1 lease", "is") if self.number == 1 else (many, "are")
        sentence = f"{what} of this installation {are} on no record: {self._next()}"
        return "True", Reason.UNRECORDED, sentence

    def _next(self) -> str:
        if not self.revokes:
            return "check them there, or write sweep: Revoke"
        if self.shared:
            return f"{self.shared} of a shared account stay, any others are revoked"
        return "put on record, some at a time, and revoked"
