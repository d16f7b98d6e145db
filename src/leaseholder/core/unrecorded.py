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
from leaseholder.api.record import LeaseRecord, address_key
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

    ids: frozenset[tuple[str, str]]
    """Hash of the address, and id, of leases that are on record or were let go alive: what a server
    calls its own leases says nothing of another's."""
    attempts: frozenset[str]
    """Attempts whose lease isn't known yet."""
    open_at: frozenset[str]
    """Addresses at which there are such."""
    noted: Mapping[str, Sequence[Mapping[str, Any]]]
    """What adapters noted of the leases on record, by slot; of each ``MOST_RIVALS`` at most."""

    @classmethod
    def of(
        cls, pages: Iterable[LeaseRecord], ids: Mapping[str, Collection[str]] | None = None
    ) -> "KnownLeases":
        """What the whole ledger says, and ``ids`` of leases known elsewhere, by their address."""
        pages = [*pages]
        leases = [one for page in pages for one in page.leases]
        here = [(address_key(one.provider.address), one.lease_id) for one in leases]
        let_go = [
            (one.address or "", one.lease_id or "") for page in pages for one in page.spec.ended
        ]
        elsewhere = [(address_key(at), one) for at, some in (ids or {}).items() for one in some]
        opened = [one for one in leases if not one.lease_id]
        noted = defaultdict[str, list[Mapping[str, Any]]](list)
        for one in leases:
            if len(noted[one.slot]) < MOST_RIVALS:
                noted[one.slot].append(one.noted)
        return cls(
            frozenset((at, one) for at, one in (*here, *let_go, *elsewhere) if one),
            frozenset(one.attempt_id for one in opened),
            frozenset(one.provider.address for one in opened),
            noted,
        )

    def names(self, address: str, lease_id: str) -> bool:
        """Whether the lease of that id at that address is on record, or was let go."""
        return (address_key(address), lease_id) in self.ids

    @property
    def anywhere(self) -> frozenset[str]:
        """The ids of these leases, at whichever address: one server may have two of them."""
        return frozenset(lease_id for _, lease_id in self.ids)

    def lacks(self, shown: Shown, send_within: timedelta) -> bool:
        """Whether a lease was lost.

        Args:
            shown: the lease.
            send_within: how long after its begin an attempt may still be sent.
        """
        lease, can = shown.marked.lease, shown.can
        if self.names(shown.address, lease.id) or shown.marked.attempt_id in self.attempts:
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
    named: int = 0
    """Those of them that a Secret of ours or a lease at another address names: they may be in use,
    or somebody made it say so."""
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
        kept = [f"{self.shared} of a shared account"] if self.shared else []
        kept += [f"{self.named} that Secrets or other addresses name"] if self.named else []
        if kept:
            return f"{' and '.join(kept)} stay, any others are revoked"
        return "put on record, some at a time, and revoked"
