"""The labels and annotations of the target Secret: what the user wants, and ours over it."""

from leaseholder.api import names
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import LeaseRecord


def labels(dl: DynamicLease) -> dict[str, str]:
    """The labels of the target Secret."""
    return {
        **dl.spec.target.template.metadata.labels,
        names.MANAGED_BY: names.MANAGER,
        names.OWNER_UID: dl.metadata.uid,
    }


def annotations(dl: DynamicLease, record: LeaseRecord) -> dict[str, str]:
    """The annotations of the target Secret when it holds a record's credentials."""
    return {
        **dl.spec.target.template.metadata.annotations,
        names.OWNER_NAME: dl.metadata.name,
        names.RECORD: record.name,
        names.LEASE_ID: record.status.lease_id,
        names.SOURCE_HASH: record.spec.source_hash,
    }
