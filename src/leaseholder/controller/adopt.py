"""Records move to another installation: each is written there, read back, and then deleted here.

Flows in: the records in two operators' namespaces. Flows out: those of the first in the second, as
``core.adoption`` joins them. Both operators are away meanwhile. Nothing is asked of a provider, no
Secret and no DynamicLease is touched: keys of seals and what is known of each lease stand on the
record. A crash between two writes leaves a record in both places; the next run goes on.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from leaseholder import errors
from leaseholder.api import base, names, record
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord, RecordSpec
from leaseholder.core import adoption
from leaseholder.ports.clock import Clock

AGAIN: Final = 1.0
"""Seconds between two tries of what met a conflict, or an API server that was away."""
_PRUNED: Final = (
    "it isn't stored as it was written: apply the CRDs of this version (crds/), then adopt again"
)
_CROWDED: Final = (
    f"beside those of LeaseRecord {{}} it has more than {record.MOST_IN_ALL} leases: start the "
    "operator there, wait until it has revoked some, then adopt again"
)


class HomeRecords(Protocol):
    """The records in one operator's namespace."""

    async def records(self) -> Sequence[LeaseRecord]:
        """All of them."""
        ...

    async def record_named(self, name: str) -> LeaseRecord | None:
        """A record, None where there is none."""
        ...

    async def create_record(self, spec: RecordSpec) -> LeaseRecord:
        """Put a record on the ledger."""
        ...

    async def write_record(self, known: LeaseRecord, spec: RecordSpec) -> LeaseRecord:
        """Make ``spec`` the record's, as it was read."""
        ...

    async def give_up_record(self, known: LeaseRecord) -> None:
        """Take a record off the ledger as it was read, leases and all."""
        ...

    def unreadable_objects(self, kind: str) -> Sequence[str]:
        """Namespace and name of the objects of a kind that couldn't be read."""
        ...


@dataclass(slots=True)
class Adoption:
    """One installation takes over what another one has on record."""

    source: HomeRecords
    source_installation: str
    target: HomeRecords
    target_installation: str
    clock: Clock
    say: Callable[[str], None]
    again: float = AGAIN
    found: list[LeaseRecord] = field(default_factory=list)
    """What is to be taken over, as it was last listed."""
    taken: dict[str, int] = field(default_factory=dict)
    """How many leases were taken over, by namespace and name of the DynamicLease."""
    left: dict[str, str] = field(default_factory=dict)
    """Why the last try of a record failed, by the same."""
    others: list[str] = field(default_factory=list)
    """Names of records there that another installation wrote."""
    trouble: str = ""
    """Why the records couldn't be listed the last time."""

    async def read(self) -> None:
        """Read what is to be taken over.

        Raises:
            errors.ClusterError: it can't be listed.
        """
        listed = sorted(await self.source.records(), key=lambda one: one.name)
        self.found = [one for one in listed if self._is_theirs(one)]
        self.others = [one.name for one in listed if not self._is_theirs(one)]

    def _is_theirs(self, page: LeaseRecord) -> bool:
        named = page.name == record.name_of(self.source_installation, page.subject)
        return named and page.spec.installation == self.source_installation

    @property
    def unreadable(self) -> Sequence[str]:
        """Namespace and name of the records that this version can't read."""
        return self.source.unreadable_objects(LeaseRecord.KIND)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left, as far as anybody can know."""
        return not (self.left or self.others or self.unreadable or self.trouble)

    async def run(self, until: float) -> None:
        """Take over all that can be, or until that moment (monotonic seconds)."""
        while True:
            again = await self._round()
            if not again or self.clock.monotonic() >= until:
                return
            await asyncio.sleep(self.again)

    async def _round(self) -> bool:
        """Try each record once; whether another try makes sense."""
        self.left.clear()
        try:
            await self.read()
        except errors.ClusterError as error:
            self.trouble = error.sentence
            return not isinstance(error, errors.Refused)
        self.trouble, again = "", False
        for page in self.found:
            name = f"{page.subject.namespace}/{page.subject.name}"
            try:
                await self._adopt(page)
            except errors.ClusterError as error:
                self.left[name] = error.sentence
                again = again or not isinstance(error, errors.Refused)
            else:
                self.taken[name] = len(page.leases)
                self.say(f"{name} is adopted: {base.counted(len(page.leases), 'lease')}")
        return again

    async def _adopt(self, page: LeaseRecord) -> None:
        """Write, read back, delete.

        Raises:
            errors.Refused: it can't be taken over as it is.
            errors.ClusterError: something came between, and it is to be tried again.
        """
        name = record.name_of(self.target_installation, page.subject)
        there = await self.target.record_named(name)
        if there is not None and there.spec.installation != self.target_installation:
            sentence = f"LeaseRecord {name} is there already, and another installation's: delete it"
            raise errors.Refused(Reason.INVALID, sentence)
        before = there.spec if there is not None else None
        spec = adoption.adopted(page.spec, before, self.target_installation)
        if len(spec.leases) > record.MOST_IN_ALL:
            raise errors.Refused(Reason.TOO_MANY, _CROWDED.format(name))
        if there is None:
            await self.target.create_record(spec)
        elif spec != before:
            await self.target.write_record(there, spec)
        await self._read_back(name, spec)
        await self.source.give_up_record(page)

    async def _read_back(self, name: str, spec: RecordSpec) -> None:
        """See that the API server has it, all of it, and keeps it: only then the other may go."""
        stored = await self.target.record_named(name)
        if stored is None:
            raise errors.Conflict(Reason.CONFLICT, f"LeaseRecord {name} was deleted meanwhile")
        kept = not spec.leases or names.ON_RECORD in stored.metadata.finalizers
        if stored.spec.dump() != spec.dump() or not kept:
            raise errors.Refused(Reason.INVALID, f"LeaseRecord {name}: {_PRUNED}")
