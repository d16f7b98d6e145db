"""Names that are part of the contract: group, kinds, finalizer, labels and annotations."""

from typing import Final

GROUP: Final = "leaseholder.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FINALIZER: Final = f"{GROUP}/revoke"
"""On every DynamicLease before its first mint; goes when its leases are revoked."""

MANAGER: Final = "leaseholder"
"""Field manager, event source and value of ``app.kubernetes.io/managed-by``."""

# On Secrets that we write.
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OWNER_UID: Final = f"{GROUP}/owner-uid"
"""Label on Secrets: uid of the DynamicLease that the Secret belongs to."""
OWNER_NAME: Final = f"{GROUP}/owner-name"
"""Annotation on Secrets: name of the owning DynamicLease, in the Secret's namespace."""
RECORD: Final = f"{GROUP}/record"
"""Annotation on Secrets: name of the LeaseRecord whose credentials the Secret holds."""
LEASE_ID: Final = f"{GROUP}/lease-id"
"""Annotation on Secrets and LeaseRecords: the provider's id of the lease."""
SOURCE_HASH: Final = f"{GROUP}/source-hash"
"""Annotation on Secrets: hash of provider and source that the credentials came from."""
CONTENTS: Final = f"{GROUP}/contents"
"""Annotation on Secrets: which keys we wrote, and their seal (core/contents.py)."""
EXPIRES_AT: Final = f"{GROUP}/expires-at"
"""Annotation on LeaseRecords: expiry at the provider, a lower bound (RFC 3339, UTC)."""

# On workloads.
RESTART: Final = f"restart.{GROUP}"
"""Prefix of annotations on workloads and their pods: the LeaseRecord that they were restarted for,
one annotation for each DynamicLease."""

# On LeaseRecords.
FOR_UID: Final = f"{GROUP}/for-uid"
"""Label on LeaseRecords: uid of the DynamicLease that the lease was minted for."""

SLOT: Final = f"{GROUP}/slot"
"""Label on LeaseRecords: hash of the address and source that the lease was minted from."""

# Commands, on DynamicLeases; only a changed nonce acts.
ROTATE: Final = f"{GROUP}/rotate"
RENEW: Final = f"{GROUP}/renew"
FORCE: Final = f"{GROUP}/force"
