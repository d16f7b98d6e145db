"""DynamicLeases as they are known and as they are read live, and the writes of them.

Flows in: names, and what is to be written. Flows out: models. Leases of a provider aren't meant
here: those are in ``provider``.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from leaseholder.api import lease, record


class DynamicLeases(Protocol):
    """Reads and writes DynamicLeases."""

    async def dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease as it is known; None: there is none, as was read live.

        Each write of it carries its version, and before anything is asked of a provider that can't
        be taken back it is read live.
        """
        ...

    async def read_dynamic_lease(self, namespace: str, name: str) -> lease.DynamicLease | None:
        """A DynamicLease, read live; None where there is none.

        For what a write of the DynamicLease itself doesn't protect: a lease is issued or revoked,
        a Secret is written or deleted for it.
        """
        ...

    def outline(self, namespace: str, name: str) -> lease.Outline | None:
        """Metadata and status of a DynamicLease as it is known; None: it isn't. Nothing is read."""
        ...

    def dynamic_leases(self) -> AsyncIterator[lease.DynamicLease]:
        """All DynamicLeases in the watched namespaces, page by page: each may have a megabyte."""
        ...

    async def patch_lease_status(
        self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus
    ) -> None:
        """Make ``status`` the status of ``dl`` as it was read (resourceVersion)."""
        ...

    async def patch_finalizer(self, dl: lease.DynamicLease, *, on: bool) -> None:
        """Put our finalizer on ``dl`` as it was read, or take it off; gone: ``Conflict``."""
        ...

    def shown_beside(self, dl: lease.DynamicLease, other: record.Holder) -> bool:
        """Whether watch or list showed a DynamicLease while another of its namespace stood.

        It still stands, as far as is known: so their Namespace is one and the same.
        """
        ...

    def known_name(self, namespace: str, uid: str) -> str | None:
        """The name of the DynamicLease of that uid; None: it isn't known. Nothing is read."""
        ...
