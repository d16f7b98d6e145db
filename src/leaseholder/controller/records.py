"""The ledger: the one way to read and write LeaseRecords.

Flows in: what is to be on record. Flows out: writes, each a compare-and-swap on what is known.
All records are listed once, at the start; from then on a record is known as its own last write left
it (``known_records``). A write that meets another's reads the record and leaves it to the caller to
judge again. What another's write, a restore or somebody's hand took off a record without saying so
(``ended``) is put back.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import record
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordedLease, RecordSpec, State, Subject
from leaseholder.controller import runner
from leaseholder.controller.keys import Key
from leaseholder.controller.known_records import KnownRecords
from leaseholder.core import arrival
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.records import MOST_RIVALS

FULL: Final = (
    "no room is left on the LeaseRecord: the next lease is issued when the end of another one is "
    "confirmed; caBundles and parameters of leases that aren't gone yet take room, too"
)


@dataclass(slots=True)
class Records(KnownRecords):
    """The ledger of one installation."""

    cluster: Cluster = field(kw_only=True)
    _loaded: bool = False
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    # -- reading

    async def load(self) -> bool:
        """List the ledger once, before anything is decided; whether it was listed just now.

        Raises:
            errors.ClusterError: it can't be listed.
        """
        async with self._loading:
            if self._loaded:
                return False
            await self.compare()
            leases = (one for known in self for one in known.leases)
            opened = (one.attempt_id for one in leases if one.state is State.ATTEMPT)
            self.at_start = frozenset(() if self.shared else opened)
            self._loaded = True
            return True

    async def compare(self) -> list[Key]:
        """List the ledger; returns for which names it isn't as it was known.

        Raises:
            errors.ClusterError: it can't be listed.
        """
        before = self._shelf.all()
        listed = await self._ours(await self.cluster.records())
        changed = await self._take_listed(before, listed)
        return changed + await self._reread_absent(before, before, listed)

    async def read_slot(self, slot: str) -> Sequence[LeaseRecord] | None:
        """The records with that slot, as the API server has them now; None: not all were read.

        Raises:
            errors.ClusterError: they can't be listed.
        """
        before = self._shelf.all()
        listed = await self.cluster.records_of_slot(slot)
        found = await self._ours(listed)
        await self._take_listed(before, found)
        await self._reread_absent(before, [one.name for one in self._shelf.of_slot(slot)], found)
        return found if len(listed) < MOST_RIVALS else None

    async def _reread_absent(
        self,
        before: Mapping[str, LeaseRecord],
        wanted: Iterable[str],
        listed: Iterable[LeaseRecord],
    ) -> list[Key]:
        """Read what a list doesn't have: it may miss what a read doesn't, so it is a hint."""
        present, changed = {one.name for one in listed}, []
        async for name in runner.in_slices([one for one in wanted if one not in present]):
            known = before.get(name)
            if known is not None and self._shelf.get(name) is known:
                await self.reread(known.subject)
                changed.append(Key.of(known.subject))
        return changed

    async def _take_listed(
        self, before: Mapping[str, LeaseRecord], listed: Iterable[LeaseRecord]
    ) -> list[Key]:
        """Take what a list shows otherwise than it was known, unless it was written meanwhile."""
        changed = []
        async for found in runner.in_slices(listed):
            known = self._shelf.get(found.name)
            same = known is not None and known.version == found.version
            if known is before.get(found.name) and not same:
                self._take(found)
                changed.append(Key.of(found.subject))
        return changed

    def doubt_all(self) -> list[Key]:
        """Etcd was restored: nothing holds until it is read; returns whose records are known."""
        self._doubted.update(known.name for known in self)
        self.namespaces.clear()
        return [Key.of(known.subject) for known in self]

    async def current(self, subject: Subject) -> LeaseRecord | None:
        """A record as it is known; read where the answer to our last write was lost.

        Raises:
            errors.ClusterError: it can't be read.
        """
        if self.name_of(subject) in self._doubted:
            return await self.reread(subject)
        return self.known(subject)

    async def reread(self, subject: Subject) -> LeaseRecord | None:
        """A record as it is now; what it lacks of what is known is to be put back.

        Raises:
            errors.ClusterError: it can't be read.
        """
        name = self.name_of(subject)
        found = await self.cluster.record_named(name)
        self._doubted.discard(name)
        if found is None:
            gone = self._shelf.get(name)
            self._note_missing(name, gone.leases if gone is not None else ())
            self._shelf.drop(name)
        else:
            self._take(found)
        return found

    async def _ours(self, listed: Iterable[LeaseRecord]) -> list[LeaseRecord]:
        return [one async for one in runner.in_slices(listed) if self._is_ours(one)]

    # -- writing; each raises ClusterError where nothing, or nobody knows what, was written

    async def add(
        self, subject: Subject, lease: RecordedLease, trust: Mapping[str, Any] | None = None
    ) -> RecordedLease:
        """Put a lease on record, the record with it where there is none; returns it as recorded.

        Raises:
            errors.Refused: there is no room for it.
        """
        leases = [*self.leases(subject), lease]
        written = await self._add(subject, leases, lease, trust)
        return written.lease(lease.attempt_id) or lease

    async def _add(
        self,
        subject: Subject,
        leases: Sequence[RecordedLease],
        lease: RecordedLease,
        trust: Mapping[str, Any] | None,
    ) -> LeaseRecord:
        if trust:
            self._shelf.trusts[lease.provider.trust] = trust
        spec = self._spec(subject, tuple(leases))
        if not arrival.has_room(spec):
            raise errors.Refused(Reason.TOO_MANY, FULL)
        return await self._write(subject, spec)

    async def add_found(
        self, subject: Subject, lease: RecordedLease, trust: Mapping[str, Any]
    ) -> None:
        """Put a lease that was found at a provider on record, in its place by age.

        Raises:
            errors.Refused: there is no room for it.
        """
        leases = sorted((*self.leases(subject), lease), key=lambda one: one.started_at)
        await self._add(subject, leases, lease, trust)

    def room_for(self, subject: Subject, leases: Sequence[RecordedLease]) -> int:
        """How many of these leases, from the first, can be put on record.

        They are of providers whose trusts are on it.
        """
        return arrival.room_for(self._spec(subject, self.leases(subject)), leases)

    async def replace(
        self,
        subject: Subject,
        lease: RecordedLease,
        *more: RecordedLease,
        was: RecordedLease | None = None,
    ) -> None:
        """Make a lease on record what it is to be.

        Args:
            subject: whose record it is.
            lease: as it is to be.
            more: what is put on record by the same write (``room_for``).
            was: as the caller saw it; None: however it is.

        Raises:
            errors.Conflict: it isn't on record, or isn't as the caller saw it: the record may have
                been read since.
        """
        known, now = self.known(subject), self.lease(subject, lease.attempt_id)
        if known is None or now is None or was not in (None, now):
            raise errors.Conflict(Reason.CONFLICT, "the lease isn't on record as it was")
        leases = [lease if one.attempt_id == lease.attempt_id else one for one in known.leases]
        await self._write(subject, self._spec(subject, (*leases, *more)))

    async def end(
        self,
        subject: Subject,
        attempt_id: str,
        why: record.Why,
        now: datetime,
        *,
        was: RecordedLease | None = None,
        until: datetime | None = None,
    ) -> None:
        """Take a lease off the record, which says so; fine if it isn't on it.

        ``until``: so long it may live all the same.

        Raises:
            errors.Conflict: it isn't as the caller saw it (``was``).
        """
        known, found = self.known(subject), self.lease(subject, attempt_id)
        if known is None or found is None:
            return
        if was not in (None, found):
            raise errors.Conflict(Reason.CONFLICT, "the lease isn't on record as it was")
        after = record.without(known.spec, attempt_id, why, now, until=until)
        await self._write(subject, after)

    async def put_back(self, subject: Subject) -> Sequence[RecordedLease]:
        """Put back what is missing and has room, as it was last known; returns what was."""
        name = self.name_of(subject)
        missing, there = self._lost.get(name, ()), self.leases(subject)
        ids = {one.attempt_id for one in there}
        missing = tuple(one for one in missing if one.attempt_id not in ids)
        most = max(0, record.MOST_IN_ALL - len(there))
        back = [_back(one) for one in missing[:most]]
        if back:
            leases = sorted((*there, *back), key=lambda one: one.started_at)
            await self._write(subject, self._spec(subject, tuple(leases)))
        self._lost.pop(name, None)
        if missing[most:]:
            self._lost[name] = missing[most:]
        return back

    async def discard(self, subject: Subject) -> None:
        """Delete a record without leases; fine if it is gone."""
        known = self.known(subject)
        if known is None or known.leases:
            return
        try:
            await self.cluster.delete_record(known)
        except errors.Conflict:
            await self.reread(subject)
            raise
        self._shelf.drop(known.name)
        self._served.discard(known.name)

    def _spec(self, subject: Subject, leases: tuple[RecordedLease, ...]) -> RecordSpec:
        known = self.known(subject)
        used = {one.provider.trust for one in leases} & self._shelf.trusts.keys()
        before = known.spec if known is not None else self._blank(subject)
        trusts = {key: dict(self._shelf.trusts[key]) for key in sorted(used)}
        return before.model_copy(update={"leases": leases, "trusts": trusts})

    def _blank(self, subject: Subject) -> RecordSpec:
        return RecordSpec(for_=subject, installation=self.installation)

    async def _write(self, subject: Subject, spec: RecordSpec) -> LeaseRecord:
        known = self.known(subject)
        try:
            if known is None:
                written = await self.cluster.create_record(spec)
            else:
                written = await self.cluster.write_record(known, spec)
        except errors.Conflict:
            await self.reread(subject)
            raise
        except errors.ClusterError:
            self._doubted.add(self.name_of(subject))
            raise
        self._shelf.keep(written)
        self._shelf.forget_trusts()
        return written


def _back(lease: RecordedLease) -> RecordedLease:
    """A lease as it was last known; an attempt is unclear now: nobody else may complete it."""
    if lease.state is not State.ATTEMPT:
        return lease
    return lease.but(state=State.REVOKING, revoke=record.Revocation(reason=Reason.UNCLEAR))
