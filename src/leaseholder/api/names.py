"""Names that are part of the contract: group, kinds, finalizer, labels and annotations."""

import re
from typing import Final, TypeGuard

GROUP: Final = "leaseholder.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FINALIZER: Final = f"{GROUP}/revoke"
"""On every DynamicLease before its first issue; goes when its leases are revoked."""

MANAGER: Final = "leaseholder"
"""Field manager, event source and value of ``app.kubernetes.io/managed-by``."""

# On DynamicLeases.
SHARD: Final = f"{GROUP}/shard"
"""Label on DynamicLeases: which shard serves it (core/shards.py)."""

# On Secrets that we write.
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OWNER_UID: Final = f"{GROUP}/owner-uid"
"""Label on Secrets: uid of the DynamicLease that the Secret belongs to."""
OWNER_NAME: Final = f"{GROUP}/owner-name"
"""Annotation on Secrets: name of the owning DynamicLease, in the Secret's namespace."""
ATTEMPT: Final = f"{GROUP}/attempt"
"""Annotation on Secrets: attempt id of the lease whose credentials the Secret holds."""
LEASE_ID: Final = f"{GROUP}/lease-id"
"""Annotation on Secrets: the provider's id of that lease."""
SECRET: Final = f"{GROUP}/secret"
"""Annotation on Secrets: ``namespace/name`` of the Secret that we wrote; a copy names another."""
AUTH: Final = f"{GROUP}/auth"
"""Label on Secrets that hold what providers log in with; its value is ``true``."""
SOURCE_HASH: Final = f"{GROUP}/source-hash"
"""Annotation on Secrets: hash of provider and source that the credentials came from."""
CONTENTS: Final = f"{GROUP}/contents"
"""Annotation on Secrets: which keys we wrote, and their seal (core/contents.py)."""
# On workloads.
RESTART: Final = f"restart.{GROUP}"
"""Prefix of annotations on workloads and their pods: attempt id of the lease that they were
restarted for, one annotation for each DynamicLease."""

# On LeaseRecords.
ON_RECORD: Final = f"{GROUP}/record"
"""Finalizer on a LeaseRecord that holds leases: whoever deletes the CRDs or our namespace waits."""
SLOT: Final = f"slot.{GROUP}"
"""Prefix of labels on LeaseRecords, one for each slot: the hash of address and source that a lease
was issued from."""

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
