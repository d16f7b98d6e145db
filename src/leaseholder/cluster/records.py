"""LeaseRecords at the API server, and what each write of one says.

Flows in: what is to be on record, by the operator's ledger (``controller.records``) or by an
administrator's command. Flows out: one write, which carries uid and resourceVersion as they were
read, and the record as it is afterwards. Our finalizer is on a record while leases are.
"""

from collections.abc import Sequence

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, objects, patches, places, refusals
from leaseholder.ports.records import MOST_RIVALS


class KubernetesRecords:
    """The ledger in the operator's namespace, ``home``; see ``ports.records``."""

    def __init__(self, api: client.Api, kept: objects.Objects, home: str) -> None:
        self._api = api
        self._objects = kept
        self._home = home

    async def named(self, name: str) -> record.LeaseRecord | None:
        """A record, None where there is none."""
        found = await self._objects.get(places.RECORDS.at(self._home, name))
        return self._objects.reader.found(record.LeaseRecord, found, self._home, name)

    async def all(self) -> Sequence[record.LeaseRecord]:
        """The whole ledger; what can't be read is left out."""
        return [
            one async for one in self._objects.each(record.LeaseRecord, places.RECORDS, self._home)
        ]

    async def of_slot(self, slot: str) -> Sequence[record.LeaseRecord]:
        """Up to ``MOST_RIVALS`` records with that slot."""
        place = places.RECORDS.at(self._home)
        found = await self._objects.listed(place, f"{names.SLOT}/{slot}", most=MOST_RIVALS)
        return self._objects.reader.readable(record.LeaseRecord, found)

    async def create(self, spec: record.RecordSpec) -> record.LeaseRecord:
        """Put a record on the ledger."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": record.LeaseRecord.KIND,
            "metadata": {
                "namespace": self._home,
                "name": record.name_of(spec.installation, spec.for_),
                "labels": record.slot_labels(spec.leases),
                "finalizers": finalizers((), spec),
            },
            "spec": spec.dump(),
        }
        place = places.RECORDS.at(self._home)
        made = await self._api.request("POST", place, query=patches.writing(), body=body)
        return patches.read(record.LeaseRecord, made)

    async def write(self, known: record.LeaseRecord, spec: record.RecordSpec) -> record.LeaseRecord:
        """Make ``spec`` the record's, as it was read; gone: ``Conflict``."""
        body = changed(known, spec)
        place = places.RECORDS.at(self._home, known.name)
        try:
            written = await self._objects.patch(place, body)
        except refusals.NotFound as gone:
            raise errors.Conflict(Reason.CONFLICT, gone.sentence) from None
        return patches.read(record.LeaseRecord, written)

    async def delete(self, known: record.LeaseRecord) -> None:
        """Take a record off the ledger; it is fine if it is gone already."""
        meta = known.metadata
        body = patches.preconditions(meta.uid, meta.resource_version)
        try:
            await self._api.request("DELETE", places.RECORDS.at(self._home, meta.name), body=body)
        except refusals.NotFound:
            return

    async def give_up(self, known: record.LeaseRecord) -> None:
        """Take a record off the ledger as it was read, leases and all: another one has them.

        Its finalizer goes first, by uid and resourceVersion; where it is being deleted it is gone
        with that.
        """
        place = places.RECORDS.at(self._home, known.name)
        try:
            meta = (await self._objects.patch(place, released(known)))["metadata"]
            body = patches.preconditions(meta["uid"], meta["resourceVersion"])
            await self._api.request("DELETE", place, body=body)
        except refusals.NotFound:
            return


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


def changed(known: record.LeaseRecord, spec: record.RecordSpec) -> client.Body:
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
