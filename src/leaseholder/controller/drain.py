"""An installation goes: its DynamicLeases are deleted, and this waits until no lease is left.

Flows in: what the installation serves and has on record. Flows out: deletions, and what is still
left, which the command reports. The controller beside it, which was assembled for draining, revokes
what they held, as it does for any deletion.

What somebody makes again meanwhile, a GitOps tool say, is deleted again; nothing is issued for it.
Nothing is created here, so it works in namespaces and with CRDs that are going.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from leaseholder import changes, errors
from leaseholder.api import base, conditions, names
from leaseholder.api.conditions import ConditionType
from leaseholder.api.lease import DynamicLease
from leaseholder.api.record import LeaseRecord, RecordedLease, State
from leaseholder.ports.clock import Clock
from leaseholder.ports.journal import Journal

AGAIN: Final = 1.0
"""Seconds between two looks at what is left."""
_OUTCOMES: Final = {
    changes.Kind.REVOKED: "revoked",
    changes.Kind.ENDED: "ended by itself",
    changes.Kind.NOT_FOUND: "not found at the provider",
    changes.Kind.ORPHANED: "left alive",
}
"""What may have become of a lease that isn't on record any more."""


class Drained(Protocol):
    """The API server, as far as a drain needs it; ``ports.cluster.Cluster`` is more than that."""

    def dynamic_leases(self) -> AsyncIterator[DynamicLease]:
        """All that the installation serves."""
        ...

    async def delete_dynamic_lease(self, dl: DynamicLease) -> None:
        """Delete one, if it is still the one that was read; fine if it is gone."""
        ...

    async def records(self) -> Sequence[LeaseRecord]:
        """The whole ledger."""
        ...

    def unreadable_objects(self, kind: str) -> Sequence[str]:
        """Namespace and name of the objects of a kind that couldn't be read."""
        ...


class Name(NamedTuple):
    """What a DynamicLease is called."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class Remains:
    """What is left under a name."""

    dl: DynamicLease | None = None
    """A DynamicLease that nobody deleted yet, or that our finalizer keeps."""
    leases: list[RecordedLease] = field(default_factory=list)
    refused: str = ""
    """Why the API server didn't delete the DynamicLease."""

    @property
    def given_up(self) -> bool:
        """Whether only leases are left that nobody tries to revoke any more."""
        return self.dl is None and all(one.state is State.ABANDONED for one in self.leases)

    @property
    def why(self) -> str:
        """What it waits for."""
        if self.refused:
            return self.refused
        parts = [_pending(one) for one in self.leases]
        if parts or self.dl is None:
            return "; ".join(parts)
        known = conditions.find(self.dl.status.conditions, ConditionType.REVOCATION_PENDING)
        waits = known is not None and known.status == "True"
        return known.message if known is not None and waits else "the finalizer isn't off yet"


def _pending(one: RecordedLease) -> str:
    lease = f"lease {one.lease_id}" if one.lease_id else f"the lease of attempt {one.attempt_id}"
    if one.state is State.ABANDONED:
        return f"{lease} is given up (kubectl leaseholder forget {one.attempt_id})"
    if one.state is not State.REVOKING:
        return f"{lease} is {one.state}"
    known = one.revocation
    last = f", the last try met {known.last_reason}" if known.last_reason else ""
    again = f", the next is at {base.render_moment(known.next_at)}" if known.next_at else ""
    return f"{lease} is to be revoked: {known.attempts} tries{last}{again}"


@dataclass(slots=True)
class Tally:
    """A journal that counts how leases ended, beside the one that writes it down."""

    journal: Journal
    ends: defaultdict[Name, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How many leases of a name ended in which way."""

    def enter(self, change: changes.Change) -> None:
        """A lease, a DynamicLease or a provider changed."""
        if change.kind in _OUTCOMES:
            self.ends[Name(change.namespace, change.name)][_OUTCOMES[change.kind]] += 1
        self.journal.enter(change)

    def forget(self, uid: str) -> None:
        """A DynamicLease or a provider is gone."""
        self.journal.forget(uid)

    @property
    def all(self) -> Counter[str]:
        """The same, of all names."""
        return sum(self.ends.values(), Counter[str]())


def outcomes_in(ends: Counter[str]) -> str:
    """``2 leases revoked, 1 left alive``, in words."""
    parts = [f"{ends[one]} {one}" for one in _OUTCOMES.values() if ends[one]]
    return f"leases: {', '.join(parts)}" if parts else "no lease was held"


@dataclass(slots=True)
class Drain:
    """One drain."""

    cluster: Drained
    installation: str
    clock: Clock
    tally: Tally
    say: Callable[[str], None]
    again: float = AGAIN
    left: dict[Name, Remains] = field(default_factory=dict)
    """What was left at the last look."""
    unrecorded: list[Name] = field(default_factory=list)
    """Those that hold a lease by their status and that nobody deleted, and for which this
    installation has no record, which stays as long as they do: another operator's, it seems. None
    where a record can't be read: it may be theirs."""
    trouble: str = ""
    """Why the last look failed."""
    seen: set[Name] = field(default_factory=set)
    """Whatever was there at some look."""
    refusals: set[str] = field(default_factory=set)
    """Those of deletions that were said."""

    async def check(self) -> None:
        """See what is left.

        Raises:
            errors.ClusterError: the API server can't be read.
        """
        found = defaultdict[Name, Remains](Remains)
        # First: what a record is for may go between the two lists, a record without its name not.
        async for dl in self.cluster.dynamic_leases():
            if not dl.deleting or names.FINALIZER in dl.metadata.finalizers:
                found[Name(dl.metadata.namespace, dl.metadata.name)].dl = dl
        recorded = set[Name]()
        for page in await self.cluster.records():
            if page.spec.installation == self.installation:
                recorded.add(name := Name(page.subject.namespace, page.subject.name))
                if page.leases:
                    found[name].leases += page.leases
        self.left = dict(sorted(found.items()))
        self.unrecorded = [] if self._unread_records else [*self._held_outside(recorded)]
        self.seen.update(self.left)

    def _held_outside(self, recorded: Collection[Name]) -> Iterator[Name]:
        for name, one in self.left.items():
            held = one.dl is not None and not one.dl.deleting and one.dl.status.lease is not None
            if held and name not in recorded:
                yield name

    @property
    def _unread_records(self) -> Sequence[str]:
        return self.cluster.unreadable_objects(LeaseRecord.KIND)

    @property
    def unreadable(self) -> list[str]:
        """What this version can't read, so that nobody knows what it holds."""
        kinds = (DynamicLease.KIND, LeaseRecord.KIND)
        return [f"{kind} {one}" for kind in kinds for one in self.cluster.unreadable_objects(kind)]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that this could end."""
        return not self.trouble and all(one.given_up for one in self.left.values())

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left at all, as far as anybody can know."""
        return not (self.left or self.trouble or self.unreadable)

    async def run(self, until: float) -> None:
        """Delete all, and wait until nothing is left or that moment (monotonic seconds) is over."""
        before: set[Name] = set()
        while True:
            await self._round()
            for name in sorted(before - self.left.keys()):
                self.say(f"{name} is done: {outcomes_in(self.tally.ends[name])}")
            before = {*self.left}
            if self.is_over or self.clock.monotonic() >= until:
                return
            await asyncio.sleep(self.again)

    async def _round(self) -> None:
        try:
            await self.check()
            for one in self.left.values():
                if one.dl is not None and not one.dl.deleting:
                    one.refused = await self._deleted(one.dl)
        except errors.ClusterError as error:
            if error.sentence != self.trouble:
                self.say(f"waiting: {error.sentence}")
            self.trouble = error.sentence
        else:
            self.trouble = ""

    async def _deleted(self, dl: DynamicLease) -> str:
        """Delete one; why it is refused: one tenant's object is no reason to leave the others."""
        try:
            await self.cluster.delete_dynamic_lease(dl)
        except (errors.Conflict, errors.Refused) as error:
            if error.sentence not in self.refusals:
                self.say(f"waiting: {error.sentence}")
            self.refusals.add(error.sentence)
            return error.sentence
        return ""
