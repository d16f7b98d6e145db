"""After etcd was restored: what this process still knows of leases that the ledger has lost.

A record that was made after the backup is gone with it, and its lease lives on. Whoever made the
record goes on running, so the lease comes back on the ledger, to be revoked as any that was
replaced: no Secret of the restored cluster shows it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordStatus, Revocation, State

LONGEST: Final = timedelta(days=1)
"""The overlap of a lease that is put back; that of its DynamicLease counts where it is shorter."""


def lost(known: Sequence[LeaseRecord], listed: Sequence[LeaseRecord]) -> list[LeaseRecord]:
    """The records that were known and aren't there, oldest first; their names may be others'."""
    there = {record.spec.attempt_id for record in listed}
    gone = (record for record in known if record.spec.attempt_id not in there)
    return sorted(gone, key=lambda record: record.number)


def put_back(record: LeaseRecord, now: datetime) -> RecordStatus:
    """What a lost record says when it is put on the ledger again.

    Args:
        record: as it was last known.
        now: by the clock of its provider.
    """
    match record.state:
        case State.HELD | State.SUPERSEDED:
            end = Revocation(reason=Reason.SUPERSEDED, since=now, not_before=now + LONGEST)
            state = State.SUPERSEDED
        case State.ATTEMPT:
            end, state = Revocation(reason=Reason.UNCLEAR, since=now), State.REVOKING
        case _:
            return record.status
    return record.status.model_copy(update={"state": state, "revoke": end})
