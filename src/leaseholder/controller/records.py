"""The ledger as this process knows it: the one way to read and write LeaseRecords.

All records are listed once, at the start; from then on a record is known as its own last write left
it, and each write is a compare-and-swap on what is known. A write that meets another's reads the
record and leaves it to the caller to judge again. What another's write, a restore or somebody's
hand took off a record without saying so (``ended``) is put back: no lease is lost that this
process knows.
"""

import asyncio
import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from cachetools import LRUCache

from leaseholder import errors
from leaseholder.api import record
from leaseholder.api.conditions import Reason
from leaseholder.api.record import (
    Holder,
    LeaseRecord,
    RecordedLease,
    RecordSpec,
    State,
    Subject,
)
from leaseholder.controller import runner
from leaseholder.controller.shelf import Shelf
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.records import MOST_RIVALS

MOST_NAMESPACES: Final = 10_000
FULL: Final = (
    "no room is left on the LeaseRecord: the next lease is issued when the end of another one is "
    "confirmed; caBundles and parameters of leases that aren't gone yet take room, too"
)


class Named(Protocol):
    """What has a namespace and a name."""

    @property
    def namespace(self) -> str:
        """Its namespace."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Key(NamedTuple):
    """What a look is about: the DynamicLease of a name, or what an earlier tenant left under it."""

    namespace: str
    name: str
    former: str = ""
    """Uid of a Namespace that is gone, or was made again since; empty: the one that stands."""

    @classmethod
    def of(cls, dl: Named) -> "Key":
        """The DynamicLease of that namespace and name, as its metadata, record or holder has it."""
        return cls(dl.namespace, dl.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Records:
    """The ledger of one installation."""

    cluster: Cluster
    installation: str
    """Records of another installation, restored here with a backup, are left alone."""
    shared: bool = False
    """Other shards write records, too: only what this one serves is as it left it."""
    _shelf: Shelf = field(default_factory=Shelf)
    _doubted: set[str] = field(default_factory=set)
    """Names of records of which a write's answer was lost."""
    _lost: dict[str, tuple[RecordedLease, ...]] = field(default_factory=dict)
    """What is to be put back, by the record's name."""
    namespaces: "LRUCache[str, str]" = field(default_factory=lambda: LRUCache(MOST_NAMESPACES))
    """Uid of each Namespace as it was last read; empty where it was gone. One that isn't here any
    more is read at the next look: some clusters make a Namespace for each test."""
    witnesses: "LRUCache[str, Holder]" = field(default_factory=lambda: LRUCache(MOST_NAMESPACES))
    """A DynamicLease that stood in each Namespace when that was read."""
    at_start: frozenset[str] = frozenset()
    """Attempts that were open when this process started: whoever wrote them is gone. With shards
    nobody knows that."""
    _served: set[str] = field(default_factory=set)
    """Names of records that this process serves, where others are served elsewhere."""
    _loaded: bool = False
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    # -- what is known

    def of(self, namespace: str, name: str) -> Sequence[LeaseRecord]:
        """The records for a name: more than one where its Namespace was made again."""
        return self._shelf.of(namespace, name)

    def of_slot(self, slot: str, most: int) -> Sequence[LeaseRecord]:
        """Up to so many records with a lease of that slot."""
        return self._shelf.of_slot(slot, most)

    def name_of(self, subject: Subject) -> str:
        """The name of a subject's record."""
        return _named(self.installation, subject.namespace, subject.namespace_uid, subject.name)

    def known(self, subject: Subject) -> LeaseRecord | None:
        """The record of a subject, None where there is none."""
        return self._shelf.get(self.name_of(subject))

    def leases(self, subject: Subject) -> tuple[RecordedLease, ...]:
        """The leases on the record of a subject as it is known, oldest first."""
        known = self.known(subject)
        return known.leases if known is not None else ()

    def lease(self, subject: Subject, attempt_id: str) -> RecordedLease | None:
        """A lease on the record of a subject as it is known; None where it isn't on it."""
        known = self.known(subject)
        return known.lease(attempt_id) if known is not None else None

    def is_former(self, subject: Subject) -> bool:
        """Whether a subject's Namespace is known to be gone, or another by now."""
        return (
            self.namespaces.get(subject.namespace, subject.namespace_uid) != subject.namespace_uid
        )

    def formers(self, namespace: str, name: str) -> Sequence[Key]:
        """What earlier tenants of a Namespace's name left on record under a name."""
        subjects = (page.subject for page in self.of(namespace, name))
        gone = (one for one in subjects if self.is_former(one))
        return [Key(namespace, name, one.namespace_uid) for one in gone]

    def missing(self, subject: Subject) -> frozenset[str]:
        """Attempt ids of what is to be put back on the record of a subject."""
        gone = self._lost.get(self.name_of(subject), ())
        return frozenset(one.attempt_id for one in gone)

    def lost(self, subject: Subject) -> bool:
        """Whether something is to be put back on the record of a subject, and there is room."""
        full = len(self.leases(subject)) >= record.MOST_IN_ALL
        return self.name_of(subject) in self._lost and not full

    @property
    def to_put_back(self) -> Iterator[RecordedLease]:
        """What isn't on record any more and is to be put back, of all subjects."""
        return itertools.chain.from_iterable(tuple(self._lost.values()))

    def lease_ids(self) -> dict[str, set[str]]:
        """Ids of all leases that this process knows to be on record, or to be put back.

        By the address of their provider: a server calls its own leases what it likes.
        """
        there = (one for known in self for one in known.leases)
        ids = defaultdict[str, set[str]](set)
        for one in itertools.chain(there, self.to_put_back):
            if one.lease_id:
                ids[one.provider.address].add(one.lease_id)
        return ids

    def __iter__(self) -> Iterator[LeaseRecord]:
        return iter(self._shelf)

    def served(self, subject: Subject) -> bool:
        """Whether this process served a name when it was last looked at."""
        return self.name_of(subject) in self._served

    def note_served(self, subject: Subject, *, elsewhere: bool) -> None:
        """A look showed whether another shard serves a name."""
        if not self.shared:
            return
        change = self._served.discard if elsewhere else self._served.add
        change(self.name_of(subject))

    # -- reading

    async def load(self) -> None:
        """List the ledger once, before anything is decided.

        Raises:
            errors.ClusterError: it can't be listed.
        """
        async with self._loading:
            if not self._loaded:
                await self.compare()
                leases = (one for known in self for one in known.leases)
                opened = (one.attempt_id for one in leases if one.state is State.ATTEMPT)
                self.at_start = frozenset(() if self.shared else opened)
                self._loaded = True

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

    def _is_ours(self, found: LeaseRecord) -> bool:
        spec = found.spec
        named = found.name == record.name_of(spec.installation, spec.for_)
        return spec.installation == self.installation and named

    def _take(self, found: LeaseRecord) -> None:
        known = self._shelf.get(found.name)
        there = {one.attempt_id for one in found.leases}
        missing = [
            one
            for one in (known.leases if known is not None else ())
            if one.attempt_id not in there and not found.names_ended(one.attempt_id)
        ]
        self._note_missing(found.name, missing)
        self._shelf.keep(found)

    def _note_missing(self, name: str, leases: Iterable[RecordedLease]) -> None:
        """What isn't there any more, and was, is to be put back, once each.

        Of a record that another shard serves nobody here knows how it was.
        """
        if self.shared and name not in self._served:
            return
        already = self._lost.get(name, ())
        ids = {one.attempt_id for one in already}
        more = tuple(one for one in leases if one.attempt_id not in ids)
        if already or more:
            self._lost[name] = (*already, *more)

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
        if not record.fits(spec):
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
        return record.room_for(self._spec(subject, self.leases(subject)), leases)

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

    def miss(self, subject: Subject, lease: RecordedLease) -> None:
        """A lease isn't on record: it is to be put back as it is here, however often that fails."""
        name = self.name_of(subject)
        missing = self._lost.get(name, ())
        others = (one for one in missing if one.attempt_id != lease.attempt_id)
        self._lost[name] = (*others, lease)

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

    def version(self, subject: Subject) -> str:
        """Uid and resourceVersion of a record as it is known; empty where there is none."""
        known = self.known(subject)
        return known.version if known is not None else ""

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


@functools.lru_cache(maxsize=1024)
def _named(installation: str, namespace: str, namespace_uid: str, name: str) -> str:
    """``record.name_of``: a hash, which each step asks for a dozen times."""
    of = Subject(namespace=namespace, namespace_uid=namespace_uid, name=name)
    return record.name_of(installation, of)


def _back(lease: RecordedLease) -> RecordedLease:
    """A lease as it was last known; an attempt is unclear now: nobody else may complete it."""
    if lease.state is not State.ATTEMPT:
        return lease
    return lease.but(state=State.REVOKING, revoke=record.Revocation(reason=Reason.UNCLEAR))
