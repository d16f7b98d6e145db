"""What lives at providers and is on no record: the eyes of ``sweep``.

Flows in: the DynamicLeases, which name providers and sources there. Each source is asked for the
leases that this installation had issued and that this process doesn't know; only then the ledger
and the Secrets are read, and ``core.unrecorded`` judges. Flows out: one ``Swept`` for each
provider, which ``sweep`` reports and acts upon.

A list is the word of a server that may be anybody's: of each provider so many leases are taken
note of, of each namespace so many providers, for so many seconds.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leaseholder import errors
from leaseholder.api import lease, provider
from leaseholder.api.conditions import Reason
from leaseholder.api.record import Holder, LeaseRecord
from leaseholder.controller import acquire, mishaps, runner
from leaseholder.controller.records import Records
from leaseholder.controller.supplies import Ref, Supplies
from leaseholder.core import issuers, unrecorded
from leaseholder.core.observation import Supply
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.provider import MOST_MARKED, Lease, Marked, Provider

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""So many providers are asked at once."""
PATIENCE: Final = 300.0
"""Seconds that one provider's lists may take in all."""
MOST_SOURCES: Final = 200
"""So many sources of a provider are asked about in a round, any of them."""
MOST_OF_NAMESPACE: Final = 20
"""So many LeaseProviders of a namespace are asked in a round, any of them."""
TRIES: Final = 3
"""So often a list is asked for that the provider says to ask for later: a long one is read
meanwhile."""
LATER: Final = 30.0
"""Seconds that are waited in between at most."""
_UNREADABLE: Final = (
    "a LeaseRecord can't be read, and any lease may be on it: the operator's log names it"
)


_Users = dict[tuple[str, str], list[Holder]]
"""Who names a source at a provider, by namespace and digest of the source."""
_Ids = Mapping[str, Collection[str]]
"""Of leases that are known, by the address of their provider."""


@dataclass(frozen=True, slots=True, eq=False)
class SweptSource:
    """A source that DynamicLeases name at a provider."""

    supply: Supply
    adapter: Provider
    users: list[Holder]
    """Those who name it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A lease that was found and that nothing in the cluster knows."""

    place: SweptSource
    lease: Lease
    shared: bool = False
    """Its revocation would end the lease in use, because they share an account."""
    is_named: bool = False
    """A Secret of ours names it, or a lease on record at another address has its id. It may be in
    use, where its record was lost, or where one server has two addresses. Anybody may have a Secret
    or a server say so: that hides no lease."""

    @property
    def stays(self) -> bool:
        """Whether it is reported, and not revoked."""
        return self.shared or self.is_named

    @property
    def named(self) -> tuple[str, str]:
        """Address and id: several sources may name one dynamic secret, and one knows its kind."""
        return self.place.supply.address, self.lease.id


@dataclass(slots=True)
class Swept:
    """What a sweep of one provider showed."""

    known: provider.AnyProvider
    sweepable: bool = True
    """Its leases can be distinguished from others'."""
    marked: list[tuple[SweptSource, Marked]] = field(default_factory=list)
    """What lives there of this installation and wasn't known before."""
    lost: list[Lost] = field(default_factory=list)
    """What of it isn't known afterwards, either."""
    failure: errors.EdgeError | None = None
    """Why not all was seen."""

    @property
    def ref(self) -> Ref:
        """Kind, namespace and name."""
        meta = self.known.metadata
        return self.known.KIND, meta.namespace, meta.name

    @property
    def name(self) -> str:
        """The same, to read."""
        kind, namespace, name = self.ref
        return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"

    @property
    def revokes(self) -> bool:
        """Whether its administrator wants leases on no record revoked."""
        return self.known.spec.sweep == "Revoke"

    @property
    def found(self) -> unrecorded.SweepResult:
        """What is to be reported of it."""
        return unrecorded.SweepResult(
            number=len(self.lost),
            shared=sum(one.shared for one in self.lost),
            named=sum(one.is_named and not one.shared for one in self.lost),
            revokes=self.revokes,
            sweepable=self.sweepable,
            failure=self.failure,
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """Looks at providers."""

    cluster: Cluster
    records: Records
    supplies: Supplies

    async def find(
        self, *, only: Collection[Ref] | None = None, unasked: bool = False
    ) -> list[Swept]:
        """What lives at providers and is on no record.

        Args:
            only: the providers to ask; None: all that DynamicLeases name.
            unasked: those without ``spec.sweep``, too.

        Raises:
            errors.ClusterError: the API server can't be read.
        """
        await self.records.load()
        known, turns = self.records.lease_ids(), asyncio.Semaphore(AT_ONCE)

        async def ask(ref: Ref, users: _Users) -> Swept | None:
            async with turns:
                return await self._ask(ref, users, known, unasked=unasked)

        wanted = await self._users()
        chosen = _chosen([ref for ref in wanted if only is None or ref in only])
        tasks = [asyncio.create_task(ask(ref, wanted[ref])) for ref in chosen]
        asked = await asyncio.gather(*tasks, return_exceptions=True)
        swept = []
        for one in asked:
            if isinstance(one, BaseException):
                raise one
            swept += [one] if one is not None else []
        if any(one.marked for one in swept):
            await self._judge(swept)
        return sorted(swept, key=lambda one: one.ref)

    async def still_lost(self, found: Collection[Lost]) -> list[Lost]:
        """Those of some that nothing in the cluster knows even now, a while after they were found.

        Raises:
            errors.ClusterError: the ledger and the Secrets can't be read.
        """
        pages = await self.cluster.records()
        if self.cluster.unreadable_objects(LeaseRecord.KIND):
            raise errors.Refused(Reason.INTERNAL, _UNREADABLE)
        known = unrecorded.KnownLeases.of(pages)
        named = known.anywhere | await self.cluster.leases_shown()
        lost = [one for one in found if not known.names(*one.named)]
        return [replace(one, is_named=one.lease.id in named) for one in lost]

    async def _users(self) -> dict[Ref, _Users]:
        """The DynamicLeases that name each provider; no more is kept of them than who they are."""
        users = defaultdict[Ref, _Users](lambda: defaultdict(list))
        async for dl in self.cluster.dynamic_leases():
            if not dl.deleting and issuers.fits_on_record(dl):
                source = dl.metadata.namespace, issuers.digest(dl.source)
                users[_ref_of(dl)][source].append(dl.holder)
        return users

    async def _ask(self, ref: Ref, users: _Users, known: _Ids, *, unasked: bool) -> Swept | None:
        """Ask a provider about the sources that these name; None: it isn't to be swept."""
        kind, namespace, name = ref
        named = lease.ProviderRef.model_validate({"kind": kind, "name": name})
        try:
            found = await self.cluster.provider_of(named, namespace)
        except errors.Unreadable:
            return None  # a tenant wrote it, and keeps nobody else from being swept
        if found is None or (found.spec.sweep is None and not unasked):
            return None
        swept = Swept(found)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._gather(swept, users, known)
        except errors.EdgeError as error:
            swept.failure = error
        except TimeoutError:
            sentence = f"its lists took longer than {PATIENCE:.0f} s"
            swept.failure = errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=False)
        except Exception as error:  # what a server says ends nobody else's sweep
            logger.error("sweeping %s: %s", swept.name, mishaps.described(error))
            swept.failure = errors.Unavailable(Reason.INTERNAL, "see the log", sent=False)
        return swept

    async def _gather(self, swept: Swept, users: _Users, known: _Ids) -> None:
        """What each source shows that isn't known.

        Whoever names a source that isn't there, or that nobody may list, keeps no other from being
        asked about.

        Raises:
            errors.EdgeError: the provider can't be asked.
        """
        for place in await self._places(swept.ref, users):
            room = MOST_MARKED - len(swept.marked)
            if not room:
                return
            if not place.adapter.capabilities({}).sweepable:
                swept.sweepable = False
                return
            try:
                found = await self._listed(place, known)
            except errors.Invalid:
                continue  # a source that isn't there has no leases
            except errors.Denied as error:
                swept.failure = error
                continue
            swept.marked += [(place, one) for one in found[:room]]

    async def _listed(self, place: SweptSource, known: _Ids) -> Sequence[Marked]:
        source, installation = place.supply.source, self.records.installation
        here = known.get(place.supply.address, ())
        for _ in range(TRIES - 1):
            try:
                return await place.adapter.sweep(installation, source, here)
            except (errors.Unavailable, errors.Throttled) as error:
                if error.retry_after is None:
                    raise
                later = min(error.retry_after, LATER)
            await asyncio.sleep(later)
        return await place.adapter.sweep(installation, source, here)

    async def _places(self, ref: Ref, users: _Users) -> list[SweptSource]:
        """The sources that DynamicLeases may use, some of them where there are many."""
        places: dict[str, SweptSource] = {}
        for source in random.sample(list(users), min(len(users), MOST_SOURCES)):
            found = await self._place(ref, source[1], users[source])
            if found is not None:
                before = places.get(found.supply.slot)
                others = before.users if before is not None else []
                places[found.supply.slot] = replace(found, users=[*others, *users[source]])
        return [*places.values()]

    async def _place(self, ref: Ref, source: str, users: Sequence[Holder]) -> SweptSource | None:
        """The place of a source, by one of those who name it, as it is now; None: it may not."""
        one = random.choice(users)  # noqa: S311 - any of them will do
        try:
            dl = await self.cluster.read_dynamic_lease(one.namespace, one.name)
            if dl is None or _ref_of(dl) != ref or issuers.digest(dl.source) != source:
                return None  # it changed, and its source is asked about in the next round
            return SweptSource(*await self.supplies.wanted(dl), [])
        except (errors.ProviderError, errors.Unreadable):
            return None  # its own status says why

    async def _judge(self, swept: Iterable[Swept]) -> None:
        """See which leases are on no record, by the ledger and the Secrets as they are now.

        Where a record can't be read, nothing is: any lease may be on it.

        Raises:
            errors.ClusterError: they can't be read.
        """
        pages = await self.cluster.records()
        if self.cluster.unreadable_objects(LeaseRecord.KIND):
            for one in swept:
                one.failure = errors.Refused(Reason.INTERNAL, _UNREADABLE)
            return
        known = unrecorded.KnownLeases.of(pages, self.records.lease_ids())
        named, shared = known.anywhere | await self.cluster.leases_shown(), set[tuple[str, str]]()
        for one in swept:
            lost: dict[str, Lost] = {}
            async for place, found in runner.in_slices(one.marked):
                if known.lacks(_shown(place, found), acquire.SEND_WITHIN):
                    each = Lost(place, found.lease, is_named=found.lease.id in named)
                    lost.setdefault(each.lease.id, each)
                    if _is_shared(place, found.lease, known):
                        shared.add(each.named)
            one.lost += lost.values()
            one.marked.clear()
        for one in swept:
            one.lost = [replace(each, shared=each.named in shared) for each in one.lost]


def _ref_of(dl: lease.DynamicLease) -> Ref:
    ref, shared = dl.spec.provider_ref, provider.ClusterLeaseProvider.KIND
    return ref.kind, "" if ref.kind == shared else dl.metadata.namespace, ref.name


def _chosen(refs: Sequence[Ref]) -> list[Ref]:
    """Providers in any order, those of one namespace up to a number."""
    taken = defaultdict[str, int](int)
    chosen = []
    for ref in random.sample(refs, len(refs)):
        taken[ref[1]] += 1
        if not ref[1] or taken[ref[1]] <= MOST_OF_NAMESPACE:
            chosen.append(ref)
    return chosen


def _shown(place: SweptSource, found: Marked) -> unrecorded.Shown:
    can, now = place.adapter.capabilities({}), place.adapter.now()
    return unrecorded.Shown(marked=found, address=place.supply.address, now=now, can=can)


def _is_shared(place: SweptSource, found: Lease, known: unrecorded.KnownLeases) -> bool:
    notes = (found.handle, *known.noted.get(place.supply.slot, ()))
    return any(place.adapter.capabilities(one).slots == "One" for one in notes)
