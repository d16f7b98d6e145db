"""What this process knows of the ledger, without a request.

Flows in: records as ``records`` read or wrote them. Flows out: the leases of a name, of a slot, and
what is to be put back: a lease that was on a record, and that neither is there now nor was ended.
No lease is lost that this process knows. ``shelf`` finds the records; ``records`` reads and writes.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from leaseholder.api import record
from leaseholder.api.record import Holder, LeaseRecord, RecordedLease, Subject
from leaseholder.controller.keys import Key
from leaseholder.controller.shelf import Shelf

MOST_NAMESPACES: Final = 10_000


@dataclass(slots=True)
class KnownRecords:
    """The ledger of one installation, as far as it is known."""

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

    def holds(self, address: str, lease_id: str) -> bool:
        """Whether the lease of that id at that address is on a record, whoever's it is."""
        return self._shelf.holds(address, lease_id)

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

    def providers(self) -> set[str]:
        """Uids of the provider objects that have a lease on record, or one to be put back."""
        return {*self._shelf.providers, *(one.provider.uid for one in self.to_put_back)}

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

    def version(self, subject: Subject) -> str:
        """Uid and resourceVersion of a record as it is known; empty where there is none."""
        known = self.known(subject)
        return known.version if known is not None else ""

    def miss(self, subject: Subject, lease: RecordedLease) -> None:
        """A lease isn't on record: it is to be put back as it is here, however often that fails."""
        name = self.name_of(subject)
        missing = self._lost.get(name, ())
        others = (one for one in missing if one.attempt_id != lease.attempt_id)
        self._lost[name] = (*others, lease)

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


@functools.lru_cache(maxsize=1024)
def _named(installation: str, namespace: str, namespace_uid: str, name: str) -> str:
    """``record.name_of``: a hash, which each step asks for a dozen times."""
    of = Subject(namespace=namespace, namespace_uid=namespace_uid, name=name)
    return record.name_of(installation, of)
