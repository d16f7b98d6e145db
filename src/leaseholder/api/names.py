"""Names that are part of the contract: group, kinds, finalizer, labels and annotations."""

import re
from typing import Final, TypeGuard

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
SECRET: Final = f"{GROUP}/secret"
"""Annotation on Secrets: ``namespace/name`` of the Secret that we wrote; a copy names another."""
AUTH: Final = f"{GROUP}/auth"
"""Label on Secrets that hold what providers log in with; its value is ``true``."""
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

_PART: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME: Final = re.compile(rf"{_PART}(\.{_PART})*")
_UID: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def is_name(text: object) -> TypeGuard[str]:
    """Whether a text is a name that a Kubernetes object can have."""
    return isinstance(text, str) and len(text) <= 253 and _NAME.fullmatch(text) is not None


def is_uid(text: object) -> TypeGuard[str]:
    """Whether a text can be a uid: one that fits into a label."""
    return isinstance(text, str) and len(text) <= 63 and _UID.fullmatch(text) is not None
