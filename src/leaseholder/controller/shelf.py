"""LeaseRecords in memory, by their name, by whom they are for, by the slots of leases, by provider.

Flows in: records as ``records`` read or wrote them. Flows out: the same, by each of the first
three, which providers have a lease on record, and whether a lease of an id is on one.
``known_records`` is built on it and says what they mean.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, field
from typing import Any

from leaseholder.api.record import LeaseRecord

_Names = defaultdict[Any, dict[str, None]]
"""Names of records, in the order in which they came."""


def _names() -> _Names:
    return defaultdict(dict)


@dataclass(slots=True)
class Shelf:
    """The records that are known, and the trusts that they name."""

    trusts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By their hash; also those of leases that are to be put back."""
    _by_name: dict[str, LeaseRecord] = field(default_factory=dict)
    _of: _Names = field(default_factory=_names)
    """By namespace and name of the DynamicLease."""
    _on_slot: _Names = field(default_factory=_names)
    _of_provider: _Names = field(default_factory=_names)
    """By uid of the provider object of a lease."""
    _holding: _Names = field(default_factory=_names)
    """By address and id of a lease."""

    def get(self, name: str) -> LeaseRecord | None:
        """The record of that name, None where none is known."""
        return self._by_name.get(name)

    def of(self, namespace: str, name: str) -> list[LeaseRecord]:
        """The records for a DynamicLease's name."""
        return [self._by_name[one] for one in self._of.get((namespace, name), ())]

    def of_slot(self, slot: str, most: int | None = None) -> list[LeaseRecord]:
        """The records with a lease of that slot, or ``most`` of them, last written last."""
        return [self._by_name[one] for one in itertools.islice(self._on_slot.get(slot, ()), most)]

    def holds(self, address: str, lease_id: str) -> bool:
        """Whether the lease of that id at that address is on a record."""
        return (address, lease_id) in self._holding

    @property
    def providers(self) -> KeysView[str]:
        """Uids of the provider objects that have a lease on record, as they are at each moment."""
        return self._of_provider.keys()

    def all(self) -> dict[str, LeaseRecord]:
        """All as they are at this moment, by name."""
        return dict(self._by_name)

    def __iter__(self) -> Iterator[LeaseRecord]:
        return iter(tuple(self._by_name.values()))

    def keep(self, found: LeaseRecord) -> None:
        """Know a record as it is now."""
        self._leave_indexes(found.name)
        self._by_name[found.name] = found
        for one in found.leases:
            self._of_provider[one.provider.uid][found.name] = None
            if one.slot:
                self._on_slot[one.slot][found.name] = None
            if one.lease_id:
                self._holding[one.provider.address, one.lease_id][found.name] = None
        self._of[found.subject.namespace, found.subject.name][found.name] = None
        self.trusts.update(found.spec.trusts)

    def drop(self, name: str) -> None:
        """A record is gone."""
        self._leave_indexes(name)
        known = self._by_name.pop(name, None)
        if known is not None:
            place = known.subject.namespace, known.subject.name
            _leave(self._of, [place], name)

    def forget_trusts(self) -> None:
        """Certificates that no lease needs go: tenants choose how many there are."""
        if len(self.trusts) > 2 * len(self._by_name) + 64:
            used = {key for known in self._by_name.values() for key in known.spec.trusts}
            self.trusts = {key: trust for key, trust in self.trusts.items() if key in used}

    def _leave_indexes(self, name: str) -> None:
        known = self._by_name.get(name)
        if known is not None:
            _leave(self._on_slot, {one.slot for one in known.leases if one.slot}, name)
            _leave(self._of_provider, {one.provider.uid for one in known.leases}, name)
            held = {(one.provider.address, one.lease_id) for one in known.leases if one.lease_id}
            _leave(self._holding, held, name)


def _leave(index: _Names, keys: Iterable[Any], name: str) -> None:
    """Take a record's name out of an index, and what is empty then with it."""
    for key in keys:
        index[key].pop(name, None)
        if not index[key]:
            del index[key]
