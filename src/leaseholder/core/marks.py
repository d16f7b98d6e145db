"""The labels and annotations of the target Secret: what the user wants, and ours over it.

Flows in: a DynamicLease, the lease that the Secret is to hold, and what was written last. Flows
out: labels and annotations for ``controller.deliver``, and for ``drift``, which holds the Secret
against them. A value of None means: off with it, because the template had it when we last wrote.
"""

from leaseholder.api import names
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import RecordedLease
from leaseholder.core.contents import Contents


def labels(dl: DynamicLease, written: Contents | None = None) -> dict[str, str | None]:
    """The labels of the target Secret; ``written`` is the note of the last write."""
    return {
        **dict.fromkeys(written.labels if written is not None else ()),
        **dl.spec.target.template.metadata.labels,
        names.MANAGED_BY: names.MANAGER,
        names.OWNER_UID: dl.metadata.uid,
    }


def annotations(
    dl: DynamicLease, record: RecordedLease, contents: Contents, written: Contents | None = None
) -> dict[str, str | None]:
    """The annotations of the target Secret when it holds ``contents`` for a record."""
    return {
        **dict.fromkeys(written.annotations if written is not None else ()),
        **dl.spec.target.template.metadata.annotations,
        names.OWNER_NAME: dl.metadata.name,
        names.SECRET: f"{dl.metadata.namespace}/{dl.secret_name}",
        names.ATTEMPT: record.attempt_id,
        names.LEASE_ID: record.lease_id,
        names.SOURCE_HASH: record.source_hash,
        names.CONTENTS: contents.text(),
    }
