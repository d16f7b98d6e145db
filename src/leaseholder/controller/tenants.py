"""Tenants: which Namespace a name stands in, and how much each namespace has still to be revoked.

Flows in: a key with the DynamicLease as it is known, and each view that was gathered. Flows out:
the DynamicLease that counts, the subject of its record (the name with its Namespace's uid), whether
that Namespace goes; and counts of the other DynamicLeases there. ``observe`` asks for both: a
Namespace that was made again is another tenant, and a tenant has a bound of pending revocations.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import Subject
from leaseholder.controller.keys import Key
from leaseholder.controller.records import Records
from leaseholder.core import obstacles
from leaseholder.core.memory import Memory
from leaseholder.core.observation import Others
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.namespaces import NamespaceView

NAMESPACE_FOR: Final = 5.0
"""Seconds for which a Namespace isn't read again while a DynamicLease in it goes."""


@dataclass(frozen=True, slots=True)
class Tenants:
    """Whose the names are."""

    cluster: Cluster
    records: Records
    clock: Clock

    async def standing(
        self, key: Key, named: DynamicLease | None, memory: Memory
    ) -> tuple[DynamicLease | None, Subject, bool]:
        """The DynamicLease, whose name it is, and whether its Namespace goes or has gone.

        What an earlier tenant left under the name has no DynamicLease, whoever has one now. While a
        DynamicLease stands its Namespace is the one that it was when it was first seen. It is known
        first: one of a Namespace that was made again meanwhile isn't taken for the former's. Nor is
        the Namespace read for one that came while another stood there.
        """
        dl = named if not key.former else None
        uid, ends = self.records.namespaces.get(key.namespace, ""), False
        same = dl is not None and self._is_placed(dl, memory)
        if not uid or dl is None or dl.deleting or not same:
            place = await self._namespace(key.namespace, memory, known=uid if same else "")
            uid = place.uid if place is not None else ""
            ends = place is None or place.terminating
            self.records.namespaces[key.namespace] = uid
            if dl is not None:
                self.records.witnesses[key.namespace] = dl.holder
        wanted = key.former or uid
        subject = Subject(namespace=key.namespace, namespace_uid=wanted, name=key.name)
        if not uid or wanted != uid:
            return None, subject, True
        return dl, subject, ends

    def _is_placed(self, dl: DynamicLease, memory: Memory) -> bool:
        """Whether a DynamicLease stands in the Namespace that is known under its name."""
        other = self.records.witnesses.get(dl.metadata.namespace)
        beside = other is not None and self.cluster.shown_beside(dl, other)
        return beside or dl.metadata.uid == memory.uid

    async def _namespace(self, name: str, memory: Memory, *, known: str) -> NamespaceView | None:
        """A Namespace; ``known``: uid of that in which the DynamicLease stands, or empty.

        That one is as it was a moment ago; what was read before it was made is another.
        """
        now, read = self.clock.monotonic(), memory.namespace
        recent = read[1] if read is not None and now < read[0] + NAMESPACE_FOR else None
        if recent is not None and recent.uid == known:
            return recent
        found = await self.cluster.namespace(name)
        memory.namespace = (now, found)
        return found


@dataclass(slots=True)
class _Namespace:
    """The counts of one namespace, by DynamicLease and in all: there may be thousands."""

    seen: dict[Subject, Others] = field(default_factory=dict)
    total: Others = field(default_factory=Others)

    def put(self, subject: Subject, one: Others) -> None:
        before = self.seen.pop(subject, Others())
        if one != Others():
            self.seen[subject] = one
        leases = self.total.leases - before.leases + one.leases
        self.total = Others(leases, self.total.pending - before.pending + one.pending)


@dataclass(slots=True)
class Pending:
    """Pending revocations by namespace, as this process last saw its DynamicLeases.

    A bound that hostile tenants meet, so a count of what was seen is enough: the ledger isn't
    listed before each issue. After a start it is whole as soon as each record was looked at once.
    Nothing is kept of a DynamicLease that is gone with its leases.
    """

    _known: dict[str, _Namespace] = field(default_factory=lambda: defaultdict(_Namespace))

    def note(self, view: View) -> None:
        """Count what a look showed; another shard's isn't counted here."""
        leases, pending = int(view.dl is not None), obstacles.counted(view)
        self._put(view.subject, Others() if view.elsewhere else Others(leases, pending))

    def _put(self, subject: Subject, one: Others) -> None:
        self._known[subject.namespace].put(subject, one)
        if not self._known[subject.namespace].seen:
            del self._known[subject.namespace]

    def beside(self, subject: Subject) -> Others:
        """All in a namespace but one."""
        known = self._known.get(subject.namespace)
        if known is None:
            return Others()
        own, total = known.seen.get(subject, Others()), known.total
        return Others(total.leases - own.leases, total.pending - own.pending)
