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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from leaseholder import errors
from leaseholder.api import lease, provider
from leaseholder.api.conditions import Reason
from leaseholder.api.record import LeaseRecord
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


@dataclass(frozen=True, slots=True, eq=False)
class SweptSource:
    """A source that DynamicLeases name at a provider."""

    supply: Supply
    adapter: Provider
    users: list[lease.DynamicLease]
    """Those who name it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A lease that was found and that nothing in the cluster knows."""

    place: SweptSource
    lease: Lease
    shared: bool = False
    """Its revocation would end the lease in use, because they share an account."""

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

        async def ask(users: Sequence[lease.DynamicLease]) -> Swept | None:
            async with turns:
                return await self._ask(users, known, unasked=unasked)

        wanted = await self._users()
        chosen = _chosen([ref for ref in wanted if only is None or ref in only])
        tasks = [asyncio.create_task(ask(wanted[ref])) for ref in chosen]
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
        known = unrecorded.KnownLeases.of(pages, await self.cluster.leases_shown())
        return [one for one in found if one.lease.id not in known.ids]

    async def _users(self) -> dict[Ref, list[lease.DynamicLease]]:
        """The DynamicLeases that name each provider."""
        users = defaultdict[Ref, list[lease.DynamicLease]](list)
        async for dl in self.cluster.dynamic_leases():
            ref, shared = dl.spec.provider_ref, provider.ClusterLeaseProvider.KIND
            namespace = "" if ref.kind == shared else dl.metadata.namespace
            if not dl.deleting and issuers.fits_on_record(dl):
                users[ref.kind, namespace, ref.name].append(dl)
        return users

    async def _ask(
        self, users: Sequence[lease.DynamicLease], known: set[str], *, unasked: bool
    ) -> Swept | None:
        """Ask a provider about the sources that these name; None: it isn't to be swept."""
        first = users[0]
        ref, namespace = first.spec.provider_ref, first.metadata.namespace
        try:
            found = await self.cluster.provider_of(ref, namespace)
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

    async def _gather(
        self, swept: Swept, users: Sequence[lease.DynamicLease], known: set[str]
    ) -> None:
        """What each source shows that isn't known.

        Whoever names a source that isn't there, or that nobody may list, keeps no other from being
        asked about.

        Raises:
            errors.EdgeError: the provider can't be asked.
        """
        for place in await self._places(users):
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

    async def _listed(self, place: SweptSource, known: set[str]) -> Sequence[Marked]:
        source, installation = place.supply.source, self.records.installation
        for _ in range(TRIES - 1):
            try:
                return await place.adapter.sweep(installation, source, known)
            except (errors.Unavailable, errors.Throttled) as error:
                if error.retry_after is None:
                    raise
                later = min(error.retry_after, LATER)
            await asyncio.sleep(later)
        return await place.adapter.sweep(installation, source, known)

    async def _places(self, users: Sequence[lease.DynamicLease]) -> list[SweptSource]:
        """The sources that DynamicLeases may use, some of them where there are many."""
        places: dict[str, SweptSource] = {}
        async for dl in runner.in_slices(random.sample(users, len(users))):
            try:
                supply, adapter = await self.supplies.wanted(dl)
            except errors.ProviderError:
                continue  # its own status says why
            if supply.slot not in places and len(places) < MOST_SOURCES:
                places[supply.slot] = SweptSource(supply, adapter, [])
            if supply.slot in places:
                places[supply.slot].users.append(dl)
        return [*places.values()]

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
        ids = self.records.lease_ids() | await self.cluster.leases_shown()
        known = unrecorded.KnownLeases.of(pages, ids)
        shared = set[tuple[str, str]]()
        for one in swept:
            lost: dict[str, Lost] = {}
            async for place, found in runner.in_slices(one.marked):
                if known.lacks(_shown(place, found), acquire.SEND_WITHIN):
                    each = Lost(place, found.lease)
                    lost.setdefault(each.lease.id, each)
                    if _is_shared(place, found.lease, known):
                        shared.add(each.named)
            one.lost += lost.values()
            one.marked.clear()
        for one in swept:
            one.lost = [replace(each, shared=each.named in shared) for each in one.lost]


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
