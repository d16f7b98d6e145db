"""Observe: a view is gathered from what is known and what has to be read.

Flows in: a key, and what this process remembers of it. Flows out: one ``View`` of the DynamicLease,
its record, Secrets, provider and workloads, which ``core.rules`` decides from. ``tenants`` says
whose the name is, ``records`` and ``secret_finder`` what there is, ``supplies`` which provider.

Nothing here is certain: each write says which version it is for, and where that isn't enough
whoever acts reads once more (``acquire``, ``deliver``, ``revoke``).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.lease import DynamicLease, RestartTarget
from leaseholder.api.record import Holder, LeaseRecord, RecordedLease, State, Subject
from leaseholder.controller import supplies
from leaseholder.controller.keys import Key
from leaseholder.controller.records import Records
from leaseholder.controller.secret_finder import NOTHING, FoundSecrets, SecretFinder
from leaseholder.controller.tenants import Pending, Tenants
from leaseholder.core import going, lease_clock, plan, rollout, shards, slots
from leaseholder.core.memory import Failure, Memory, failure_of
from leaseholder.core.observation import Restarted, Rival, Supply, TargetView
from leaseholder.core.view import View
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.provider import Capabilities, Provider
from leaseholder.ports.records import MOST_RIVALS


@dataclass(frozen=True, slots=True)
class Observer:
    """Gathers views."""

    cluster: Cluster
    records: Records
    clock: Clock
    supplies: supplies.Supplies
    rolled: Mapping[str, Restarted]
    """How this process last restarted a workload, by its uid."""
    tenants: Tenants
    secrets: SecretFinder
    shard: shards.Shard = field(default_factory=shards.Shard)
    """What this process serves."""
    draining: bool = False
    """The installation goes (``View.draining``)."""
    pending: Pending = field(default_factory=Pending)

    async def observe(self, key: Key, memory: Memory) -> View:
        """One observation of a DynamicLease, its record, Secrets and provider.

        Where Secret or status name a lease that isn't known, another process may have written the
        record: it is read, once for each such sign.

        Raises:
            errors.ClusterError: the API server can't be read.
        """
        await self.records.load()
        view = await self._observe(key, memory)
        before = self.records.known(view.subject)
        sign = _sign_of_others(view, before)
        if sign and memory.read_for != sign:
            memory.read_for = sign
            if await self.records.reread(view.subject) != before:
                return await self._observe(key, memory)
        return view

    async def _observe(self, key: Key, memory: Memory) -> View:
        named = await self.cluster.dynamic_lease(key.namespace, key.name)
        labels = named.metadata.labels if named is not None else None
        elsewhere = not self.shard.has(key.namespace, key.name, labels)
        dl, subject, terminating = await self.tenants.standing(key, named, memory)
        page = await self._page(subject, dl, memory, elsewhere=elsewhere)
        leases = page.leases if page is not None else ()
        trusts = page.spec.trusts if page is not None else {}
        holder = _holder(dl, subject, leases)
        found, unread = await self._find_secrets(subject, holder, dl, leases, memory, elsewhere)
        supply, failure, adapter = await self._supply(dl)
        adapters = await self._adapters(leases, trusts)
        clocks = [adapter, *adapters.values()] if adapter is not None else [*adapters.values()]
        now = clocks[0].now() if clocks else base.whole_second(self._cluster_time())
        self._remember(memory, dl, leases, self.records.missing(subject), now)
        view = View(
            now=now,
            has_time=bool(clocks) and clocks[0].has_time,
            monotonic=self.clock.monotonic(),
            subject=subject,
            holder=holder,
            dl=dl,
            records=leases,
            record_version=page.version if page is not None else "",
            kept_until=page.kept_until if page is not None else None,
            trusts=trusts,
            capabilities=_capabilities(leases, adapters),
            shifts=self._shifts(memory, leases, adapters, now),
            secrets=found.ours,
            target=found.target,
            unread=unread is not None,
            target_contested=found.contested,
            proven=found.proven,
            others=self.pending.beside(subject),
            supply=supply,
            supply_failure=failure,
            draining=self.draining,
            terminating=terminating,
            elsewhere=elsewhere,
            shared=bool(self.shard.others),
            memory=memory,
            rolled=self.rolled,
        )
        if unread is not None and not (dl is not None and going.may_be_wedged(view, dl)):
            raise unread
        self.pending.note(view)
        nothing = dl is None and page is None
        self.records.note_served(subject, elsewhere=elsewhere or nothing)
        if elsewhere:
            return view
        if rollout.matters(view):
            view = replace(view, targets=await self._targets(view))
        return await self._with_rivals(view, adapter)

    async def _find_secrets(
        self,
        subject: Subject,
        holder: Holder,
        dl: DynamicLease | None,
        leases: Sequence[RecordedLease],
        memory: Memory,
        elsewhere: bool,
    ) -> tuple[FoundSecrets, errors.Refused | None]:
        """The Secrets, and why they can't be read where a deletion may go on without them."""
        if elsewhere and not memory.has_credentials:
            return NOTHING, None
        try:
            return await self.secrets.find(subject, holder, dl, leases, memory), None
        except errors.Refused as refusal:
            if elsewhere or dl is None or not dl.deleting:
                raise
            return NOTHING, refusal

    async def _page(
        self, subject: Subject, dl: DynamicLease | None, memory: Memory, *, elsewhere: bool
    ) -> LeaseRecord | None:
        """The record of a name as it is known.

        What a DynamicLease of another shard left is read once, whether one was made again there or
        not: this process wrote nothing of it. So is the record of one that goes: nobody else could
        put back what is missing there.
        """
        if not self.shard.others:
            return await self.records.current(subject)
        served, known = self.records.served(subject), self.records.leases(subject)
        left = dl is not None and any(one.holder_uid != dl.metadata.uid for one in known)
        comes = memory.vanished_since is None if dl is None else left and not served
        if served if elsewhere else comes:
            return await self.records.reread(subject)
        return await self.records.current(subject)

    async def _with_rivals(self, view: View, adapter: Provider | None) -> View:
        """What others hold of the source, where a lease is to be issued from it.

        Where nobody is known to hold it, nothing is read (``Acquirer`` does, where it matters).
        """
        if view.dl is None or view.supply is None or adapter is None:
            return view
        seen = self._among_rivals(view, view.supply.slot, adapter)
        if slots.holder_of(seen) is None or plan.need(view, view.dl) is None:
            return view
        await self.records.read_slot(view.supply.slot)
        return self._among_rivals(view, view.supply.slot, adapter)

    def _among_rivals(self, view: View, slot: str, adapter: Provider) -> View:
        """With the leases of others that an issue would end: those of a kind with one slot."""
        rivals, theirs, plain = [], {}, adapter.capabilities({})
        own = self.records.name_of(view.subject)
        for known in self.records.of_slot(slot, MOST_RIVALS):
            for one in known.leases if known.name != own else ():
                noted = one.noted
                can = adapter.capabilities(noted) if noted else plain
                if can.slots == "One" and one.slot == slot:
                    rivals.append(Rival(known.subject, one))
                    theirs[one.attempt_id] = can
        if not rivals:
            return view
        return replace(view, rivals=tuple(rivals), capabilities={**theirs, **view.capabilities})

    async def recall(self, seen: View) -> View:
        """What was seen, at the time that it is now: the API server isn't asked.

        Raises:
            errors.EdgeError: the provider of the delivered lease isn't known any more.
        """
        held, monotonic = seen.delivered, self.clock.monotonic()
        if held is None:
            return replace(seen, monotonic=monotonic)
        date = (await self.supplies.for_lease(held, seen.trusts)).now()
        return replace(seen, now=seen.by_date(held, date), monotonic=monotonic)

    async def _supply(
        self, dl: DynamicLease | None
    ) -> tuple[Supply | None, Failure | None, Provider | None]:
        if dl is None:
            return None, None, None
        try:
            supply, adapter = await self.supplies.wanted(dl)
        except errors.EdgeError as error:
            return None, failure_of(error), None
        return supply, None, adapter

    async def _adapters(
        self, leases: Sequence[RecordedLease], trusts: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Provider]:
        found = {}
        for one in leases:
            try:
                found[one.attempt_id] = await self.supplies.for_lease(one, trusts)
            except errors.EdgeError:
                continue
        return found

    async def _targets(self, view: View) -> tuple[TargetView, ...]:
        """The restart targets as they stand, and since when the Secret shows the lease."""
        moving = rollout.pending(view)
        if moving is not None:
            view.known(moving).shown_since = rollout.shown_since(view, moving)
        wanted = view.dl.spec.rotation.restart_targets if view.dl is not None else ()
        views = (self._target_view(view.holder.namespace, one) for one in wanted)
        return tuple(rollout.once_each(await asyncio.gather(*views)))

    async def _target_view(self, namespace: str, wanted: RestartTarget) -> TargetView:
        try:
            if wanted.name is not None:
                found = await self.cluster.workload(wanted.kind, namespace, wanted.name)
                return TargetView(wanted, (found,) if found is not None else ())
            labels = wanted.selector.match_labels if wanted.selector is not None else {}
            return TargetView(
                wanted, tuple(await self.cluster.workloads(wanted.kind, namespace, labels))
            )
        except errors.Refused as error:
            return TargetView(wanted, refusal=error.sentence)

    def _shifts(
        self,
        memory: Memory,
        leases: Sequence[RecordedLease],
        adapters: Mapping[str, Provider],
        now: datetime,
    ) -> dict[str, timedelta]:
        """What brings each lease's own moments to the clock of the view.

        Nothing is kept of a clock that no answer has told: the wall clock may be wrong.
        """
        shifts, monotonic = {}, self.clock.monotonic()
        for one in leases:
            name, adapter = one.attempt_id, adapters.get(one.attempt_id)
            if adapter is None:
                continue
            date, ahead = adapter.now(), one.clock_ahead
            if not adapter.has_time:
                ahead = max(0, ahead)  # against the wall clock: the later one is safe
            known = memory.of(name)
            clock = known.clock
            if clock is None or clock.ahead != ahead:
                clock = lease_clock.LeaseClock.start(ahead, date, now, monotonic)
            clock = clock.seen(date, now, monotonic)
            shifts[name] = clock.shift
            if adapter.has_time:
                known.clock = clock
        return shifts

    def _cluster_time(self) -> datetime:
        """The time where no provider tells it: of this machine's clock only if nobody else does.

        An Orphan's record is kept by it: a clock that is ahead would let a sweep revoke its lease.
        """
        return self.cluster.server_now() or self.clock.wall()

    def _deleting_for(self, dl: DynamicLease) -> float:
        """Seconds since a deletion began, by the clock that dates it, the API server's.

        A process that sees it first, after a restart, doesn't begin ``deletion.timeout`` anew.
        """
        began, now = dl.metadata.deletion_timestamp, self.cluster.server_now()
        if began is None or now is None:
            return 0.0
        return max(0.0, (now - began).total_seconds())

    def _remember(
        self,
        memory: Memory,
        dl: DynamicLease | None,
        leases: Sequence[RecordedLease],
        missing: Collection[str],
        now: datetime,
    ) -> None:
        """First sights are measured on our own clock; what is gone is forgotten.

        What is to be put back isn't gone: that it was delivered decides what becomes of it.
        """
        if dl is not None:
            memory.meet(dl.metadata.uid)
            memory.vanished_since = None
            if dl.deleting and memory.deleting_since is None:
                memory.deleting_since = self.clock.monotonic() - self._deleting_for(dl)
        elif memory.vanished_since is None:
            memory.vanished_since = self.clock.monotonic()
        memory.keep_only({one.attempt_id for one in leases}, missing)
        shown = dl.status.lease.attempt if dl is not None and dl.status.lease is not None else ""
        for one in leases:
            known = memory.of(one.attempt_id)
            from_start = one.attempt_id in self.records.at_start
            known.ours = one.state is State.ATTEMPT and (known.ours or from_start)
            if one.attempt_id == shown and one.state is State.HELD and not memory.status_doubted:
                known.inspected_at = known.inspected_at or now


def _capabilities(
    leases: Sequence[RecordedLease], adapters: Mapping[str, Provider]
) -> dict[str, Capabilities]:
    """What can be done for each lease whose provider is known, by attempt id."""
    known = [one for one in leases if one.attempt_id in adapters]
    return {one.attempt_id: adapters[one.attempt_id].capabilities(one.noted) for one in known}


def _holder(dl: DynamicLease | None, subject: Subject, leases: Sequence[RecordedLease]) -> Holder:
    """Whose the leases are; of a DynamicLease that is gone, whom the newest was issued for."""
    if dl is not None:
        return dl.holder
    uid = leases[-1].holder_uid if leases else ""
    return Holder(namespace=subject.namespace, name=subject.name, uid=uid)


def _sign_of_others(view: View, page: LeaseRecord | None) -> str:
    """What names a lease that this process doesn't know; empty: nothing does.

    The target, one that isn't known to be Held; or status, one that isn't on record.
    """
    shown = view.target.annotations.get(names.ATTEMPT, "") if view.target is not None else ""
    if shown and shown not in {one.attempt_id for one in view.in_state(State.HELD)}:
        return f"Secret {view.target_version}"
    held = view.dl.status.lease if view.dl is not None else None
    if held is None or view.place_of(held.attempt) >= 0:
        return ""
    ended = page is not None and page.names_ended(held.attempt)
    return "" if ended else f"status {held.attempt}"
