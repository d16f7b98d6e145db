"""A provider: what its adapter is asked, and what it answers.

A lease goes through ``prepare``, ``issue``, ``renew``, ``inspect`` and ``revoke``; ``recover``
finds the one of a lost answer, ``sweep`` those of a lost record. Capabilities say which of these a
kind of lease can be asked for. Adapters under ``providers/`` implement ``Provider``.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from leaseholder.api import conditions
from leaseholder.secrecy import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do for one kind of lease."""

    renewable: bool
    """Renewing keeps the credentials alive (False where renewal is refused or a no-op)."""
    revocable: bool
    """A revocation kills the credentials."""
    verifiable: bool
    """A lease can be looked at."""
    recoverable: bool
    """A lease of a lost answer can be found."""
    sweepable: bool = False
    """Whether a lease was issued for this installation can be seen at the provider."""
    found_by: Literal["Tag", "OwnerAndTime"] = "Tag"
    """How it is: by what was sent along with the issue, or as a lease of our own account that was
    made in the attempt's time and that nobody else's record explains."""
    proven_after: int | None = None
    """Seconds after a lease's first expiry from which a look at it proves that a renewal kept it
    alive: before, the provider may still end it, whatever it said of a later expiry, and show it
    as alive meanwhile. None: a renewal is as good as its word."""
    probe_seconds: int | None = None
    """An inspection of a lease costs the provider little if it comes no more often than this, at a
    multiple of these seconds, so that one question serves all who ask; None: not known."""
    slots: Literal["One", "Many"] = "Many"
    """One: a shared account, where a newer lease kills the older one's credentials."""
    minimum_renewal: int = 1
    """Shortest renewal that the provider takes, in seconds; its shortest ttl is the adapter's."""
    settle: int = 0
    """Seconds after which a late commit of a lost issue must be visible."""
    replica_lag: int = 0
    """Seconds for which a read may still miss what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An issue that is on record: what to ask for, and the tag to ask with."""

    installation: str
    attempt_id: str
    source: Mapping[str, Any]
    """The source as in the DynamicLease and the record, wire names."""
    ttl_seconds: int | None
    started_at: datetime
    deadline: datetime
    """The request isn't sent after this moment (provider's clock)."""
    handle: Mapping[str, Any] = field(default_factory=dict)
    """What ``prepare`` noted for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease as the provider knows it."""

    id: str
    source: Mapping[str, Any]
    issued_at: datetime
    expires_at: datetime
    latest: datetime | None = None
    """It can't be renewed beyond this moment; None: no known bound."""
    seen_at: datetime | None = field(default=None, compare=False)
    """What an inspection shows held at this moment or later, by the provider's clock; None: at the
    moment when it was asked for."""
    handle: Mapping[str, Any] = field(default_factory=dict)
    """The adapter's own notes, JSON values, kept in the record; no credentials."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A lease that this installation had issued, as a list of leases shows it."""

    lease: Lease
    attempt_id: str = ""
    """The attempt that it was issued for, as its tag says; empty where it has none."""


MOST_MARKED: Final = 100
"""So many leases of a provider a sweep reports; the others when these are gone."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new lease and its credentials."""

    lease: Lease
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class RevocationAnswer:
    """What the provider answered to a revocation.

    ``done``: it says that the lease and its credentials are gone. Otherwise ``reason`` and
    ``sentence`` say what it met; the lease is still to be revoked.
    """

    done: bool
    reason: conditions.Reason = conditions.Reason.REVOKED
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a look at the provider showed."""

    server_version: str | None
    clock_skew: int
    """Provider's clock minus ours, in seconds."""
    capabilities: tuple[str, ...]
    caveat: str = ""
    """What the way to log in keeps us from promising, in a sentence."""


class Provider(Protocol):
    """One login at one provider; safe to share between leases.

    Every method may raise ``Unavailable``, ``Throttled`` and ``Denied``.
    """

    def now(self) -> datetime:
        """The provider's clock: its last ``Date``, carried on by a clock that never jumps."""
        ...

    @property
    def has_time(self) -> bool:
        """Whether an answer told the time; before, this machine's wall clock stands in."""
        ...

    async def check(self) -> Health:
        """Log in if need be and look whether the provider answers."""
        ...

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Get ready for an issue; refuse what can't be issued, as far as may be known.

        Returns:
            Notes that must be on record before the issue, so that its lease can be found: JSON
            values, no credentials. They stand in ``Attempt.handle`` from then on.

        Raises:
            Invalid: source missing or being deleted, ttl above the maximum.
        """
        ...

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease; never tries twice.

        Raises:
            Invalid: the source or the ttl can't be served; nothing was issued.
            Unavailable: with ``sent`` the issue may have happened.
        """
        ...

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew ``lease`` so that it ends at ``until``, never later.

        Raises:
            CannotRenew: it is at its end, or its kind can't be renewed.
            LeaseGone: the provider has no such lease.
        """
        ...

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease.

        Raises:
            LeaseGone: the provider has no such lease.
        """
        ...

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back; ``force`` also gives up on the system behind the provider.

        Raises:
            LeaseGone: the provider has no such lease.
        """
        ...

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The live leases that carry the attempt's tag: none, one or more."""
        ...

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The live leases of a source that an installation had issued, ``MOST_MARKED`` at most.

        Where a capability says ``sweepable``; elsewhere none.

        Args:
            installation: as tags name it; where leases have none, who logs in stands for it.
            source: as in the DynamicLease.
            known: ids of leases that are left out.
        """
        ...

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        ...

    async def aclose(self) -> None:
        """Close connections; the login isn't revoked."""
        ...


ProviderName = tuple[str, str, str]
"""Kind, namespace (empty for a ClusterLeaseProvider) and name of a provider object."""


@dataclass(frozen=True, slots=True)
class ProviderObject:
    """A LeaseProvider or ClusterLeaseProvider, told by its uid from one made again."""

    kind: str
    namespace: str
    """Empty for a ClusterLeaseProvider."""
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What the connections to a provider show at a moment."""

    circuit_open: bool
    """Requests are held back, because the provider doesn't answer."""
    budget_used: float | None
    """Share of the requests of a minute that is used up, 0 to 1; None: no bound is known."""
    clock_skew: int
    """Provider's clock minus ours at its last answer, in seconds."""
