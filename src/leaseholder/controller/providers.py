"""LeaseProviders: looked at now and then, and told in their status.

Flows in: events of provider objects, and news from their adapters. Flows out: their status and
metrics; a provider that becomes Ready, or whose spec changed, makes the DynamicLeases that use it
due (``hints``). ``supplies`` has the adapters.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from leaseholder import changes, errors
from leaseholder.api import base, conditions, durations, lease, provider
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.controller import mishaps
from leaseholder.controller.line import Line
from leaseholder.controller.loop import Controller
from leaseholder.controller.runner import NAP
from leaseholder.controller.supplies import Ref, Supplies
from leaseholder.core import schedule
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.events import Note
from leaseholder.ports.journal import Journal
from leaseholder.ports.provider import Health

logger = logging.getLogger(__name__)

CHECKS: Final = 32
"""So many providers are looked at at once: a server that doesn't answer keeps a place, and a
connection, until its time is over. No namespace takes all places."""
CHECK_AT_MOST_EVERY: Final = 1.0
PAUSE: Final = 30.0
"""The longest time between two looks that fail, unless the provider says so."""
WHILE_DOWN: Final = 5.0
"""A provider that is down is looked at this often: what isn't urgent waits for it. How often it is
really asked is the circuit breaker's choice."""
ROUSE_EVERY: Final = 300.0
"""Seconds between two times at which all users of one provider are made due because of its clock:
behind one address may be servers whose clocks differ, and each of them would rouse all again."""
Version = tuple[str, int]
"""Uid and generation: what a user made, and changed. Status doesn't move it."""


@dataclass(slots=True)
class ProviderWatch:
    """Keeps the status of LeaseProviders and ClusterLeaseProviders true."""

    cluster: Cluster
    clock: Clock
    supplies: Supplies
    controller: Controller
    journal: Journal
    reports: bool = True
    """Whether it writes status; of several shards one does."""
    _line: Line[Ref] = field(default_factory=lambda: Line(CHECKS, _namespace))
    _failures: dict[Ref, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: dict[Ref, Version] = field(default_factory=dict)
    _addresses: dict[Ref, str] = field(default_factory=dict)
    _to_rouse: set[Ref] = field(default_factory=set)
    _roused: dict[Ref, float] = field(default_factory=dict)
    """When the users of each provider were last roused (monotonic seconds)."""

    def check(self, address: str, *, rouse: bool = False) -> None:
        """Look soon at the providers with that address: something happened to it.

        Args:
            address: as ``Supplies.address`` gives it.
            rouse: what their leases planned is wrong: let them look too, once in
                ``ROUSE_EVERY``.
        """
        for ref, known in self._addresses.items():
            if known == address:
                self._line.offer(ref, self.clock.monotonic())
                self._to_rouse.update([ref] if rouse else [])
        self._changed.set()

    @property
    def depth(self) -> int:
        """How many providers are due and wait for their look."""
        return self._line.waiting(self.clock.monotonic())

    async def offer(self, ref: Ref, version: Version | None) -> None:
        """A provider object was seen (``version``) or went (None).

        If it changed, look at it, and let its leases look too. What we write into its status
        comes back as an event: that is no change.
        """
        if version is not None and self._seen.get(ref) == version:
            return
        if version is None:
            self._forget(ref)
        else:
            self._seen[ref] = version
            self.controller.meter.provider_observed(ref, None, Reason.PENDING)
        self.supplies.invalidate(ref)
        self._line.offer(ref, self.clock.monotonic())
        self._changed.set()
        await self.controller.offer_users_of(ref)

    def _forget(self, ref: Ref) -> None:
        """Keep nothing of a provider object that is gone; the last event of it may be lost."""
        uid, _ = self._seen.pop(ref, ("", 0))
        self.supplies.absent(ref, uid)
        self.journal.forget(uid)
        self.controller.meter.forget_provider(ref)
        self._failures.pop(ref, None)
        self._addresses.pop(ref, None)
        self._to_rouse.discard(ref)
        self._roused.pop(ref, None)

    async def run(self) -> None:
        """Look at providers when they are due, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = self.clock.monotonic()
                while not self._line.is_full and (due := self._line.take(now)) is not None:
                    group.create_task(self._check(due[0]))
                await self._sleep(now)

    async def _sleep(self, now: float) -> None:
        due = None if self._line.is_full else self._line.next_due()
        self._changed.clear()
        try:
            async with asyncio.timeout(NAP if due is None else min(NAP, max(0.0, due - now))):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _check(self, ref: Ref) -> None:
        after: float | None = PAUSE
        try:
            after = await self._ask(ref)
        except Exception as error:
            kind, namespace, name = ref
            fields = {"provider": f"{kind}/{name}", "namespace": namespace}
            fields["why"] = mishaps.described(error)
            logged = ref in self._failures or isinstance(error, errors.Unreadable)
            level = logging.DEBUG if logged else logging.WARNING
            logger.log(level, "check failed", extra={"fields": fields})
            self._failures[ref] = self._failures.get(ref, 0) + 1
            wait = schedule.backoff(self._failures[ref], seed=name, most=PAUSE)
            after = wait.total_seconds()
        finally:
            now = self.clock.monotonic()
            if after is not None:
                self._line.offer(ref, now + max(after, CHECK_AT_MOST_EVERY))
            self._line.done(ref, now + CHECK_AT_MOST_EVERY)
            self._changed.set()

    async def _ask(self, ref: Ref) -> float | None:
        """Look at one provider and tell; returns the seconds until the next look."""
        await self._rouse(ref)
        kind, namespace, name = ref
        wanted = lease.ProviderRef.model_validate({"kind": kind, "name": name})
        try:
            known = await self.cluster.provider_of(wanted, namespace)
        except errors.Unreadable as error:
            await self._report_unreadable(ref, error)
            raise
        if kind == provider.ClusterLeaseProvider.KIND:
            self.supplies.note_revoker(name, known)
        if known is None:
            self._forget(ref)
            return None
        health, failure = await self._health(ref, known)
        address = self._addresses.get(ref)
        status = _status(known, address, health, failure, self.clock)
        reason = Reason.READY if failure is None else failure.reason
        self.controller.meter.provider_observed(ref, failure is None, reason)
        if self.reports:
            await self._report(ref, known, status)
        elif failure is None and ref in self._failures:
            await self.controller.offer_users_of(ref)
        if failure is None:
            self._failures.pop(ref, None)
            return durations.parse(known.spec.probe.interval).total_seconds()
        self._failures[ref] = self._failures.get(ref, 0) + 1
        return _again(self._failures[ref], known, failure)

    async def _report_unreadable(self, ref: Ref, error: errors.Unreadable) -> None:
        """Say at a provider that it can't be read: nobody uses it, whatever status says."""
        self.controller.meter.provider_observed(ref, False, error.reason)
        if self.reports and isinstance(error.rest, provider.AnyProvider):
            await self._report(ref, error.rest, _unreadable(error.rest, error, self.clock))

    async def _rouse(self, ref: Ref) -> None:
        """Make the users of a provider due whose clock was set, unless they were a moment ago."""
        now = self.clock.monotonic()
        if ref in self._to_rouse and now - self._roused.get(ref, -ROUSE_EVERY) >= ROUSE_EVERY:
            self._to_rouse.discard(ref)
            self._roused[ref] = now
            await self.controller.offer_users_of(ref, poke=False)

    async def _health(
        self, ref: Ref, known: provider.AnyProvider
    ) -> tuple[Health | None, errors.EdgeError | None]:
        try:
            self._addresses[ref] = self.supplies.address(known.spec)
            return await self.supplies.adapter(known).check(), None
        except errors.EdgeError as error:
            return None, error

    async def _report(
        self, ref: Ref, known: provider.AnyProvider, status: provider.ProviderStatus
    ) -> None:
        if status == known.status:
            return
        await self.cluster.patch_provider_status(known, status)
        now = conditions.find(status.conditions, ConditionType.READY)
        before = conditions.find(known.status.conditions, ConditionType.READY)
        if now is None or (before and (before.status, before.reason) == (now.status, now.reason)):
            return
        self.journal.enter(changes.of_provider(known, now))
        good = now.status == "True"
        note = Note("Normal" if good else "Warning", Reason(now.reason), now.message)
        await self.cluster.emit(known, note)
        if good:
            await self.controller.offer_users_of(ref)


def _namespace(ref: Ref) -> str:
    return ref[1]


def _again(failures: int, known: provider.AnyProvider, failure: errors.EdgeError) -> float:
    """Seconds until a provider that failed is looked at again.

    A refused login is looked at often: the adapter sends nothing while its credentials stay
    the same, and a corrected Secret should heal soon, though nobody tells us of it.
    """
    if isinstance(failure, errors.Denied):
        most, retry_after = 10.0, None
    elif isinstance(failure, errors.Unavailable):
        if failure.retry_after is not None:
            return failure.retry_after  # held back: then the look can be the trial
        most, retry_after = WHILE_DOWN, None
    else:
        most, retry_after = PAUSE, failure.retry_after
    wait = schedule.backoff(failures, seed=known.metadata.uid, most=most, retry_after=retry_after)
    return wait.total_seconds()


def _status(
    known: provider.AnyProvider,
    address: str | None,
    health: Health | None,
    failure: errors.EdgeError | None,
    clock: Clock,
) -> provider.ProviderStatus:
    """What a look makes of the status; what was learned before is kept through an outage."""
    now = base.whole_second(clock.wall())
    ready = conditions.made(
        ConditionType.READY,
        "True" if failure is None else "False",
        Reason.READY if failure is None else failure.reason,
        _found_well(health) if failure is None else failure.sentence,
        of=known.metadata,
        at=now,
    )
    before = known.status
    learned = (
        {
            "capabilities": health.capabilities,
            "server_version": health.server_version,
            "clock_skew_seconds": health.clock_skew,
        }
        if health is not None
        else {}
    )
    return before.model_copy(
        update={
            "type": provider.type_of(known.spec),
            "url": address,
            "observed_generation": known.metadata.generation,
            "conditions": conditions.carry([ready, *_swept(known)], before.conditions),
            **learned,
        }
    )


def _unreadable(
    known: provider.AnyProvider, error: errors.Unreadable, clock: Clock
) -> provider.ProviderStatus:
    """The status of one whose spec can't be read; all that was learned before is kept."""
    now = base.whole_second(clock.wall())
    ready = conditions.made(
        ConditionType.READY, "False", error.reason, error.sentence, of=known.metadata, at=now
    )
    others = (one for one in known.status.conditions if one.type != ConditionType.READY)
    return known.status.model_copy(
        update={
            "observed_generation": known.metadata.generation,
            "conditions": (*conditions.carry([ready], known.status.conditions), *others),
        }
    )


def _swept(known: provider.AnyProvider) -> list[Condition]:
    """What the last sweep reported (``sweep``), as long as there is one."""
    last = conditions.find(known.status.conditions, ConditionType.UNRECORDED_LEASES)
    return [last] if last is not None and known.spec.sweep is not None else []


def _found_well(health: Health | None) -> str:
    well = "the provider answers and the login works"
    return f"{well}; {health.caveat}" if health is not None and health.caveat else well
