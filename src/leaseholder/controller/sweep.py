"""Leases that nothing in the cluster knows: found at their providers, reported, put on record.

They are what a restore of etcd under a stopped operator leaves, and what a request leaves that came
about after its attempt was given up. Flows in: what ``survey`` found at the providers with
``spec.sweep``. Flows out: the condition UnrecordedLeases, a metric, an event. With ``Revoke`` also
entries in state Revoking on the record of a DynamicLease that names the source; from there they go
the way of all revocations (``core.revocations``, ``revoke``).

What was found is the word of a server that may be anybody's. So nothing gets on record for it that
isn't at its own address, and only a few leases for each DynamicLease at a time.
"""

import asyncio
import itertools
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from leaseholder import changes, errors
from leaseholder.api import base, conditions, lease, provider
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.api.record import Holder, RecordedLease, Revocation, State, Subject
from leaseholder.controller import mishaps
from leaseholder.controller.keys import Key
from leaseholder.controller.records import Records
from leaseholder.controller.supplies import Ref
from leaseholder.controller.survey import Lost, Survey, Swept, SweptSource
from leaseholder.core import arrival, issuers
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note
from leaseholder.ports.journal import Journal
from leaseholder.ports.meter import Meter

logger = logging.getLogger(__name__)

AGAIN: Final = 600.0
"""Seconds after which a provider is swept once more whose leases are to be revoked; all are when a
round failed."""
FIRST: Final = 300.0
"""The first sweep comes within so many seconds of the start's comparison."""
MOST_BESIDE: Final = 3
"""A lease that was found is put on a record with fewer leases: it mustn't keep the next lease of
the DynamicLease from being issued, nor fill the record."""
_TRIES: Final = 3


@dataclass(slots=True)
class Sweeper:
    """Sweeps providers."""

    cluster: Cluster
    records: Records
    survey: Survey
    clock: Clock
    meter: Meter
    journal: Journal
    offer: Callable[[Key], Awaitable[None]]
    """Makes a DynamicLease due whose record was written."""
    first: float = FIRST
    again: float = AGAIN
    _measured: set[Ref] = field(default_factory=set)
    """The providers that have a figure."""

    async def run(self, compared: asyncio.Event, interval: float) -> None:
        """Sweep now and then, for ever; who had leases put on record a little later once more.

        Args:
            compared: set when the ledger was compared for the first time.
            interval: seconds between two rounds.
        """
        await compared.wait()
        await asyncio.sleep(min(self.first, interval) * random.random())  # noqa: S311 - jitter
        due, again = self.clock.monotonic(), frozenset[Ref]()
        while True:
            now = self.clock.monotonic()
            try:
                if now >= due:
                    due = now + interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
                    again = await self.round()
                elif again:
                    again = await self.round(again)
            except Exception as error:
                logger.warning("sweeping: %s", mishaps.described(error))
                due = min(due, now + self.again)
            left = due - self.clock.monotonic()
            await asyncio.sleep(max(0.0, min(left, self.again) if again else left))

    async def round(self, only: Collection[Ref] | None = None) -> frozenset[Ref]:
        """Sweep all providers that want it, or only some; returns who is to be swept again.

        Raises:
            errors.ClusterError: the API server is away.
        """
        again, swept = set(), await self.survey.find(only=only)
        for one in swept:
            if one.revokes and not all(lost.stays for lost in one.lost):
                await self.put_on_record(one.lost)
                again.add(one.ref)
            try:
                await self._report(one)
            except errors.Refused as error:  # it is a tenant's object, and keeps back no other
                logger.warning("reporting the sweep of %s: %s", one.name, error.sentence)
        if only is None:
            for gone in self._measured - {one.ref for one in swept}:
                self.meter.swept(gone, None)
            self._measured = {one.ref for one in swept}
        return frozenset(again)

    # -- finding

    # -- acting

    async def put_on_record(self, found: Iterable[Lost]) -> int:
        """Put leases on record to be revoked, as far as there is room; returns how many.

        One that may be in use isn't, nor one of a shared account: that would end the one in use.

        Raises:
            errors.ClusterError: the API server is away.
        """
        written, rooms = 0, dict[SweptSource, Iterator[Holder]]()
        for one in found:
            if one.stays:
                continue
            room = rooms.setdefault(one.place, self._with_room(one.place.users))
            for holder in room:
                if await self._on_record_of(holder, one):
                    written += 1
                    break
        return written

    def _with_room(self, users: Iterable[Holder]) -> Iterator[Holder]:
        """Those on whose record there is room, by name: each once, then each once more."""

        def has_room(key: Key) -> bool:
            pages = self.records.of(key.namespace, key.name)
            return sum(len(page.leases) for page in pages) < MOST_BESIDE

        known = {Key.of(one): one for one in users}
        for key in itertools.chain(sorted(known), sorted(known)):
            if has_room(key):
                yield known[key]

    async def _on_record_of(self, holder: Holder, found: Lost) -> bool:
        """Put a lease on the record of a DynamicLease's name; whether there was room."""
        space = await self.cluster.namespace(holder.namespace)
        if space is None or space.terminating:
            return False
        subject = Subject(namespace=space.name, namespace_uid=space.uid, name=holder.name)
        entry = _entry(holder, found, base.whole_second(self.clock.wall()))
        for _ in range(_TRIES):
            if len(self.records.leases(subject)) >= MOST_BESIDE:
                return False
            try:
                await self.records.add_found(subject, entry, found.place.supply.trust)
            except errors.Conflict:
                continue
            except errors.Refused:
                return False
            kind, reason = changes.Kind.FOUND, Reason.UNRECORDED
            self.journal.enter(changes.of_lease(kind, subject, entry, reason=reason))
            await self.offer(Key.of(holder))
            return True
        return False

    # -- reporting

    async def _report(self, swept: Swept) -> None:
        """Report in the provider's status what a sweep showed."""
        if swept.failure is None:
            self.meter.swept(swept.ref, len(swept.lost))
        kind, namespace, name = swept.ref
        ref = lease.ProviderRef.model_validate({"kind": kind, "name": name})
        for _ in range(_TRIES):
            known = await self.cluster.provider_of(ref, namespace)
            if known is None or known.metadata.uid != swept.known.metadata.uid:
                return
            before = conditions.find(known.status.conditions, ConditionType.UNRECORDED_LEASES)
            now = self._condition(swept, known)
            if before is not None and before.message == now.message:
                return
            others = [one for one in known.status.conditions if one.type != now.type]
            carried = conditions.carry([*others, now], known.status.conditions)
            status = known.status.model_copy(update={"conditions": carried})
            try:
                await self.cluster.patch_provider_status(known, status)
            except errors.Conflict:
                continue
            await self._announce(known, now, before)
            return

    async def _announce(
        self, known: provider.AnyProvider, now: Condition, before: Condition | None
    ) -> None:
        """A line of the log and an event where leases are on no record, or not any more."""
        found = now.status == "True"
        if found or (before is not None and before.status == "True"):
            self.journal.enter(changes.swept(known, now))
            note = Note("Warning" if found else "Normal", Reason(now.reason), now.message)
            await self.cluster.emit(known, note)

    def _condition(self, swept: Swept, known: provider.AnyProvider) -> Condition:
        status, reason, message = swept.found.condition()
        kind, now = ConditionType.UNRECORDED_LEASES, base.whole_second(self.clock.wall())
        return conditions.made(kind, status, reason, message, of=known.metadata, at=now)


def _entry(holder: Holder, found: Lost, now: datetime) -> RecordedLease:
    """What goes on record of a lease that was found: to be revoked, and nothing else.

    Its attempt id is a fresh one: what a tag says may be anybody's word.
    """
    supply = found.place.supply
    blank = RecordedLease(
        attempt_id=secrets.token_hex(16),
        holder_uid=holder.uid,
        state=State.REVOKING,
        provider=issuers.recorded(supply),
        source=dict(supply.source),
        source_hash=supply.source_hash,
        started_at=found.lease.issued_at,
        deadline=found.lease.issued_at,
        revoke=Revocation(reason=Reason.UNRECORDED, since=now),
    )
    return arrival.with_answer(blank, found.lease, State.REVOKING)
