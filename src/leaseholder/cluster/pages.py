"""What a write of a LeaseRecord says: the operator's, and an administrator's by kubectl."""

from collections.abc import Sequence

from leaseholder.api import names, record
from leaseholder.cluster import client, patches


def finalizers(before: Sequence[str], spec: record.RecordSpec, *, going: bool = False) -> list[str]:
    """A record's finalizers: while leases are on it, nobody deletes it by accident.

    One that somebody took off a record which is being deleted stays off: the API server refuses
    each write that puts it on again, and the leases on it have to move on.
    """
    others = [one for one in before if one != names.ON_RECORD]
    taken = going and len(others) == len(before)
    return [*others, names.ON_RECORD] if spec.leases and not taken else others


def released(known: record.LeaseRecord) -> client.Body:
    """The patch that takes our finalizer off, if the record is still as it was read."""
    meta = known.metadata
    others = [one for one in meta.finalizers if one != names.ON_RECORD]
    guard = patches.guard(meta.uid, meta.resource_version)
    return {"metadata": {**guard, "finalizers": others}}


def written(known: record.LeaseRecord, spec: record.RecordSpec) -> client.Body:
    """The patch that makes ``spec`` the record's, if it is still as it was read."""
    meta = known.metadata
    stale = [one for one in meta.labels if one.startswith(f"{names.SLOT}/")]
    return {
        "metadata": {
            **patches.guard(meta.uid, meta.resource_version),
            "finalizers": finalizers(
                meta.finalizers, spec, going=meta.deletion_timestamp is not None
            ),
            "labels": {**dict.fromkeys(stale), **record.slot_labels(spec.leases)},
        },
        "spec": patches.replace(known.spec.dump(), spec.dump()),
    }
