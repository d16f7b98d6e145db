"""Gathering a view: live reads in the order that the protocol needs.

The DynamicLease first, then its records, then its Secrets: a record that is missing from a
view wasn't there when the DynamicLease was read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from leaseholder import errors, ports
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, RestartTarget
from leaseholder.api.record import Holder, LeaseRecord, State
from leaseholder.controller import supplies
from leaseholder.controller.pending import Pending
from leaseholder.controller.recorded import Recorded
from leaseholder.core import contents, lease_clock, plan, rollout
from leaseholder.core.view import Failure, Memory, Restarted, Supply, TargetView, View

_PASSING: Final = frozenset({Reason.UNAVAILABLE, Reason.LOCKED_OUT, Reason.TOO_MANY})
"""Refusals that pass by themselves: nobody has to change anything."""
_STAYING: Final = frozenset({Reason.BACKEND_FAILED})
"""Failures that somebody has to see to, also where it isn't clear what they left."""
MOST_READ: Final = 2
"""So many Secrets under former names are read with their data."""


def failure_of(error: errors.EdgeError) -> Failure:
    """An edge's error as decisions see it."""
    stays = isinstance(error, errors.Denied | errors.Invalid | errors.Refused)
    permanent = error.reason in _STAYING or (stays and error.reason not in _PASSING)
    return Failure(
        reason=error.reason,
        sentence=error.sentence,
        permanent=permanent,
        retry_after=error.retry_after,
    )


@dataclass(frozen=True, slots=True)
class Observer:
    """Gathers views."""

    cluster: ports.Cluster
    records: Recorded
    clock: ports.Clock
    supplies: supplies.Supplies
    installation: str
    """Records of another installation, restored here with a backup, are left alone."""
    rolled: Mapping[str, Restarted]
    """How this process last restarted a workload, by its uid."""
    pending: Pending = field(default_factory=Pending)

    async def observe(self, holder: Holder, memory: Memory) -> View:
        """One observation of a DynamicLease, its records, Secrets and provider.

        Raises:
            errors.ClusterError: the API server can't be read.
        """
        dl = await self.cluster.dynamic_lease(holder.namespace, holder.name)
        namesake = dl if dl is not None and dl.metadata.uid != holder.uid else None
        dl = None if namesake is not None else dl
        of_uid = asyncio.create_task(self.records.of(holder.uid))
        by_label = asyncio.create_task(self.cluster.secrets_of(holder.namespace, holder.uid))
        by_name = asyncio.create_task(self._target(dl or namesake, holder))
        # Of several refusals always the same one is raised: a sentence that changed from look to
        # look would be logged anew each time.
        await asyncio.gather(of_uid, by_label, by_name, return_exceptions=True)
        listed, labelled, found = of_uid.result(), by_label.result(), by_name.result()
        records = tuple(r for r in listed if self._is_of(r, holder))
        target = found if dl is not None else None
        contested = await self._contested(dl, target, records)
        others = [s for s in labelled if found is None or s.name != found.name]
        former = await self._former(holder, others, records)
        secrets = [*_ours(holder, found, records), *former]
        supply, failure, adapter = await self._supply(dl)
        adapters = await self._adapters(records)
        clocks = [adapter, *adapters.values()] if adapter is not None else [*adapters.values()]
        now = clocks[0].now() if clocks else base.whole_second(self.clock.wall())
        self._remember(memory, records, now)
        if dl is not None and dl.deleting and memory.deleting_since is None:
            memory.deleting_since = self.clock.monotonic()
        view = View(
            now=now,
            monotonic=self.clock.monotonic(),
            holder=holder,
            lease=dl,
            namesake=namesake,
            records=records,
            foreign=max((r.number for r in listed if r not in records), default=0),
            capabilities={
                r.name: adapters[r.name].capabilities(r.handle)
                for r in records
                if r.name in adapters
            },
            shifts=self._shifts(memory, records, adapters, now),
            secrets=tuple(secrets),
            target=target,
            target_contested=contested,
            others=self.pending.beside(holder),
            supply=supply,
            supply_failure=failure,
            terminating=await self._terminating(dl),
            memory=memory,
            rolled=self.rolled,
        )
        self.pending.note(view)
        if rollout.matters(view):
            view = replace(view, targets=await self._targets(view))
        return await self._with_rivals(view)

    def _is_of(self, known: LeaseRecord, holder: Holder) -> bool:
        """Whether a record is this installation's, for just this DynamicLease.

        The holder may come from the marks of a Secret, where anybody can write a uid.
        """
        return known.spec.installation == self.installation and known.spec.for_ == holder

    async def _with_rivals(self, view: View) -> View:
        """What others hold of the source, where a lease is to be minted from it."""
        if view.lease is None or view.supply is None or plan.need(view, view.lease) is None:
            return view
        found = await self.cluster.records_of_slot(view.supply.slot)
        rivals = tuple(r for r in found if r.spec.for_.uid != view.holder.uid)
        adapters = await self._adapters(rivals)
        known = (r for r in rivals if r.name in adapters)
        theirs = {r.name: adapters[r.name].capabilities(r.handle) for r in known}
        return replace(view, rivals=rivals, capabilities={**theirs, **view.capabilities})

    async def recall(self, seen: View) -> View:
        """What was seen, at the time that it is now: the API server isn't asked.

        Raises:
            errors.EdgeError: the provider of the delivered lease isn't known any more.
        """
        held, monotonic = seen.delivered, self.clock.monotonic()
        if held is None:
            return replace(seen, monotonic=monotonic)
        date = (await self.supplies.for_record(held)).now()
        return replace(seen, now=seen.by_date(held, date), monotonic=monotonic)

    async def _target(self, dl: DynamicLease | None, holder: Holder) -> ports.SecretView | None:
        """The Secret under the wanted name; of a DynamicLease that is gone, under its own.

        Somebody may have taken our label off it: then only its name leads to it.
        """
        name = dl.secret_name if dl is not None else holder.name
        return await self.cluster.secret(holder.namespace, name)

    async def _former(
        self, holder: Holder, labelled: Sequence[ports.SecretView], records: Sequence[LeaseRecord]
    ) -> list[ports.SecretView]:
        """Secrets of ours under other names than the wanted one; a few with their data.

        A lease may have to be copied from one. Which, their annotations tell: those that show a
        Held lease, and those that show nothing.
        """
        mine = [s for s in labelled if _is_former(s, holder)]
        held = {r.name: r.number for r in records if r.state is State.HELD}
        telling = sorted(mine, key=lambda s: -held.get(s.annotations.get(names.RECORD, ""), 0))
        read = [s for s in telling if s.annotations.get(names.RECORD) in {None, *held}]
        found = await asyncio.gather(
            *(self.cluster.secret(s.namespace, s.name) for s in read[:MOST_READ])
        )
        whole = {s.uid: s for s in found if s is not None}
        return [whole.get(s.uid, s) for s in mine]

    async def _contested(
        self,
        dl: DynamicLease | None,
        target: ports.SecretView | None,
        records: Sequence[LeaseRecord],
    ) -> bool:
        """Whether the target belongs to somebody else: not to us, nobody who is gone or younger."""
        if dl is None or target is None or target.belongs_to(dl.metadata.uid):
            return False
        if _sealed(target, records):
            return False
        if names.SECRET in target.annotations and not target.written_here:
            return True
        uid = target.labels.get(names.OWNER_UID)
        if uid is None:
            return True
        owner = await self._owner(target, uid)
        if owner is None:
            return False
        wants = owner.secret_name == target.name and not owner.deleting
        return not wants or _age(owner) < _age(dl)

    async def _owner(self, secret: ports.SecretView, uid: str) -> DynamicLease | None:
        """The DynamicLease of that uid; looked for far and wide where its name was taken off."""
        name = secret.annotations.get(names.OWNER_NAME)
        if name is not None:
            named = await self.cluster.read_dynamic_lease(secret.namespace, name)
            return named if named is not None and named.metadata.uid == uid else None
        found = await self.cluster.dynamic_leases()
        return next((dl for dl in found if dl.metadata.uid == uid), None)

    async def _supply(
        self, dl: DynamicLease | None
    ) -> tuple[Supply | None, Failure | None, ports.Provider | None]:
        if dl is None:
            return None, None, None
        try:
            supply, adapter = await self.supplies.wanted(dl)
        except errors.EdgeError as error:
            return None, failure_of(error), None
        return supply, None, adapter

    async def _adapters(self, records: tuple[LeaseRecord, ...]) -> dict[str, ports.Provider]:
        found = {}
        for known in records:
            try:
                found[known.name] = await self.supplies.for_record(known)
            except errors.EdgeError:
                continue
        return found

    async def _targets(self, view: View) -> tuple[TargetView, ...]:
        """The restart targets as they stand, and since when the Secret shows the lease."""
        moving = rollout.pending(view)
        if moving is not None:
            view.memory.shown_since.setdefault(moving.name, view.monotonic)
        wanted = view.lease.spec.rotation.restart_targets if view.lease is not None else ()
        namespace = view.holder.namespace
        return tuple(await asyncio.gather(*(self._target_view(namespace, one) for one in wanted)))

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

    async def _terminating(self, dl: DynamicLease | None) -> bool:
        if dl is None or not dl.deleting:
            return False
        found = await self.cluster.namespace(dl.metadata.namespace)
        return found is not None and found.terminating

    def _shifts(
        self,
        memory: Memory,
        records: tuple[LeaseRecord, ...],
        adapters: Mapping[str, ports.Provider],
        now: datetime,
    ) -> dict[str, timedelta]:
        """What brings each lease's own moments to the clock of the view.

        Nothing is kept of a clock that no answer has told: the wall clock may be wrong.
        """
        shifts, monotonic = {}, self.clock.monotonic()
        for known in records:
            adapter = adapters.get(known.name)
            if adapter is None:
                continue
            date, ahead = adapter.now(), known.status.clock_ahead
            if not adapter.has_time:
                ahead = max(0, ahead)  # against the wall clock: the later one is safe
            clock = memory.clocks.get(known.name)
            if clock is None or clock.ahead != ahead:
                clock = lease_clock.LeaseClock.start(ahead, date, now, monotonic)
            clock = clock.seen(date, now, monotonic)
            shifts[known.name] = clock.shift
            if adapter.has_time:
                memory.clocks[known.name] = clock
        return shifts

    def _remember(self, memory: Memory, records: tuple[LeaseRecord, ...], now: datetime) -> None:
        """First sights are measured on our own clock; what is gone is forgotten."""
        for known in records:
            if memory.uids.setdefault(known.name, known.metadata.uid) != known.metadata.uid:
                memory.forget(known.name)
                memory.uids[known.name] = known.metadata.uid
        present = {r.name for r in records}
        for name in {
            *memory.uids,
            *memory.leases,
            *memory.credentials,
            *memory.sighted,
            *memory.looked,
        } - present:
            memory.forget(name)
        for known in records:
            if known.state is State.REVOKING and not known.status.lease_id:
                memory.sighted.setdefault(known.name, self.clock.monotonic())
            if known.state is State.HELD:
                memory.looked.setdefault(known.name, now)


def _ours(
    holder: Holder, target: ports.SecretView | None, records: Sequence[LeaseRecord]
) -> list[ports.SecretView]:
    """The Secret under the wanted name where it is ours, also if our label was taken off."""
    if target is None:
        return []
    return [target] if target.belongs_to(holder.uid) or _sealed(target, records) else []


def _is_former(secret: ports.SecretView, holder: Holder) -> bool:
    """Whether we wrote a Secret with the holder's label for the holder, under another name.

    Our label alone says little, and on a copy all marks are ours: its note names another Secret.
    """
    uid, _, number = secret.annotations.get(names.RECORD, "").rpartition("-")
    if number.isdecimal() and uid != holder.uid:
        return False
    if secret.annotations.get(names.OWNER_NAME, holder.name) != holder.name:
        return False
    bare = names.SECRET not in secret.annotations and holder.uid in secret.owner_uids
    return secret.written_here or bare


def _sealed(secret: ports.SecretView, records: Sequence[LeaseRecord]) -> bool:
    """Whether a Secret's data proves that we wrote it for one of these records."""
    known = contents.noted(secret)
    held = (r for r in records if r.state is State.HELD)
    return known is not None and any(contents.holds(secret, r, known) for r in held)


def _age(dl: DynamicLease) -> tuple[float, str]:
    """What sorts DynamicLeases from the oldest to the youngest."""
    made = dl.metadata.creation_timestamp
    return made.timestamp() if made is not None else 0.0, dl.metadata.uid
