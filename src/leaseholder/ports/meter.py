"""Figures for metrics: what the controller counts, and what each look at a DynamicLease showed.

Flows in: outcomes of requests, and ``Figures``, which ``core.status`` makes of a view. Flows out:
nothing to the controller; ``telemetry.metrics`` keeps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from leaseholder import errors
from leaseholder.api import conditions, record
from leaseholder.ports.provider import ProviderName


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a look at a DynamicLease showed; moments are the provider's, in UTC."""

    now: datetime
    """When it was looked at, by the same clock."""
    ready: bool | None
    """None: there is no such DynamicLease any more."""
    reason: conditions.Reason
    """Of Ready."""
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    renews_at: datetime | None = None
    """Of the lease whose credentials are in the Secret."""
    leases: Sequence[tuple[str, record.State, ProviderName]] = ()
    """Each lease on record: its record, its state, where it was issued."""
    pending_since: datetime | None = None
    """Since when status says that a lease is to be revoked (our clock)."""


class Meter(Protocol):
    """Where figures go; names of leases, never values of theirs."""

    def issued(self, by: ProviderName, outcome: errors.Outcome, *, replaces: bool) -> None:
        """An issue ended; ``replaces``: the lease takes another one's place."""
        ...

    def renewed(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A renewal ended."""
        ...

    def revoked(self, by: ProviderName, outcome: errors.Outcome) -> None:
        """A revocation ended; ``OK``: the provider confirms that the lease is gone."""
        ...

    def observed(self, holder: record.Holder, figures: Figures) -> None:
        """A DynamicLease was looked at."""
        ...

    def forget(self, holder: record.Holder) -> None:
        """A DynamicLease is gone, and nothing of it is left on record."""
        ...

    def provider_observed(
        self, ref: ProviderName, ready: bool | None, reason: conditions.Reason
    ) -> None:
        """A provider object was looked at, or seen for the first time (None: not looked at)."""
        ...

    def swept(self, ref: ProviderName, unrecorded: int | None) -> None:
        """A sweep found so many leases of a provider on no record; None: it isn't swept."""
        ...

    def forget_provider(self, ref: ProviderName) -> None:
        """A provider object is gone."""
        ...

    def late(self, seconds: float) -> None:
        """A due time was met that much late."""
        ...
