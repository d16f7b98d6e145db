"""What an adapter logs in with: ``Access`` says where, ``Credentialing`` reads it afresh.

``controller.supplies`` gives both to the adapter that it builds; ``cluster.credentialing``
implements it over Secrets and ServiceAccounts.
"""

from dataclasses import dataclass
from typing import Protocol

from leaseholder.api import provider, refs
from leaseholder.ports.provider import ProviderObject
from leaseholder.secrecy import Hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach and log in at one provider: everything an adapter is built from."""

    spec: provider.ProviderSpec
    of: ProviderObject
    """Whose spec it is, or was: references are followed only while this very object is there."""

    @property
    def namespace(self) -> str | None:
        """Namespace that references default to; None for a ClusterLeaseProvider."""
        return self.of.namespace or None


class Credentialing(Protocol):
    """Where an adapter gets what it logs in with, afresh each time it logs in."""

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        """One value of a Secret, read live.

        Raises:
            Denied: reason AuthSecretMissing; Secret or key is missing or empty. Reason AuthGone;
                the provider object that refers to it is gone.
            Unavailable: the API server is away.
        """
        ...

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        """A fresh short-lived token of a ServiceAccount, for that audience only.

        Raises:
            Denied: reason AuthSecretMissing; no such ServiceAccount, or no right to it. Reason
                AuthGone; the provider object that refers to it is gone.
            Unavailable: the API server is away.
        """
        ...

    async def ca_bundle(self) -> str | None:
        """PEM of the CAs to trust beside the system's, None for the system's alone.

        Raises:
            Denied: reason AuthSecretMissing; caBundleRef points nowhere. Reason AuthGone; the
                provider object that refers to it is gone.
        """
        ...
