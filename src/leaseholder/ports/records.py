"""LeaseRecords: the ledger of what was issued.

Flows in: what is to be on record. Flows out: records as they are by then. ``controller.records`` is
the only one who writes them; ``cluster.records`` implements it.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from leaseholder.api import record

MOST_RIVALS: Final = 20
"""So many records of a slot are looked at. Of a shared account there are only a few; of a kind that
isn't shared there may be thousands, and none of them counts. Where a shared one has so many, none
is issued: the one that holds it may be among the rest."""


class LeaseRecords(Protocol):
    """Reads and writes LeaseRecords."""

    async def record_named(self, name: str) -> record.LeaseRecord | None:
        """A record, None where there is none."""
        ...

    async def records(self) -> Sequence[record.LeaseRecord]:
        """The whole ledger; what can't be read is left out."""
        ...

    async def records_of_slot(self, slot: str) -> Sequence[record.LeaseRecord]:
        """Some of the records with that slot, enough to see whether it is a shared account."""
        ...

    async def create_record(self, spec: record.RecordSpec) -> record.LeaseRecord:
        """Put a record on the ledger under the name of its subject; ``Conflict`` if it is there.

        Our finalizer is on it while leases are.
        """
        ...

    async def write_record(
        self, known: record.LeaseRecord, spec: record.RecordSpec
    ) -> record.LeaseRecord:
        """Make ``spec`` the record's, as it was read; gone: ``Conflict``."""
        ...

    async def delete_record(self, known: record.LeaseRecord) -> None:
        """Delete a record as it was read; it is fine if it is gone already."""
        ...
