"""Provider objects: LeaseProviders and ClusterLeaseProviders.

``controller.supplies`` reads them, ``controller.providers`` writes their status.
"""

from typing import Protocol

from leaseholder.api import lease, provider
from leaseholder.ports.credentials import Access, Credentialing


class ProviderObjects(Protocol):
    """Reads provider objects, writes their status, and says what to log in with."""

    async def provider_of(
        self, ref: lease.ProviderRef, namespace: str
    ) -> provider.AnyProvider | None:
        """The provider that a DynamicLease of ``namespace`` means, None where there is none."""
        ...

    async def patch_provider_status(
        self, known: provider.AnyProvider, status: provider.ProviderStatus
    ) -> None:
        """Make ``status`` the provider's status."""
        ...

    def credentialing(self, access: Access) -> Credentialing:
        """Where an adapter for ``access`` gets what it logs in with."""
        ...
