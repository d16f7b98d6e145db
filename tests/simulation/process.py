"""One operator process: controller and comparison, and the events that kopf hands on.

Each change of a DynamicLease is told, be it late, and what is there when the process starts is told
again.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, cast

from leaseholder.api import provider
from leaseholder.controller import assembly, compare, supplies
from leaseholder.core import shards
from leaseholder.core.memory import Memory
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.secrets import SecretEvent, SecretView
from tests.simulation import caches, cluster, gate, server
from tests.simulation.loop import ManualLoop
from tests.unit import clocks
from tests.unit.controller import fakes, world


class Clock:
    """One machine's clocks: the monotonic one is right, the wall clock may be anywhere."""

    def __init__(self, true: clocks.FakeClock) -> None:
        self._true = true
        self.off = 0.0

    def monotonic(self) -> float:
        return self._true.monotonic()

    def wall(self) -> datetime:
        return self._true.wall() + timedelta(seconds=self.off)


class Process:
    """A process from its start to its end."""

    def __init__(
        self,
        loop: ManualLoop,
        truth: cluster.Truth,
        behind: server.Server,
        late: gate.Late,
        shard: shards.Shard,
        *,
        draining: bool = False,
    ) -> None:
        self.shard = shard
        self._watched: set[caches.Key] = set()
        """The DynamicLeases whose last event showed that they are served here."""
        self.gate = gate.Gate(self._struck, late)
        self.clock = Clock(loop.clock)
        self.deaf = False
        """No event reaches it any more: it learns by comparing only."""
        self.trails = 0.0
        """Seconds that events take to reach it; answers to its own requests come at once."""
        self.misses_secrets = False
        """No event of a Secret reaches it."""
        self._loop, self._truth = loop, truth
        self._way = cluster.Way(truth, self.gate, shard)
        self.port = cast(Cluster, self._way)
        adapter = server.Adapter(behind, self.gate)
        self.supplies = supplies.Supplies(
            self.port, self.clock, lambda access, credentials: adapter, _address
        )
        self.controller = assembly.assemble(
            self.port,
            self.supplies,
            clock=self.clock,
            meter=fakes.FakeMeter(fakes.Trace()),
            journal=fakes.FakeJournal(),
            installation=world.HERE,
            workers=1,
            shard=shard,
            draining=draining,
        )
        records = self.controller.observer.records
        self.comparison = compare.Comparison(
            self.port, self.controller, records, self.supplies, shard
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts = [
            self._spawn(self.controller.run()),
            self._spawn(self.comparison.run()),
            self._spawn(self.comparison.follow_secrets()),
        ]
        self.lists()

    @property
    def alive(self) -> bool:
        """Whether it hasn't crashed."""
        return not self.gate.dead

    @property
    def runs(self) -> bool:
        """Whether it is neither dead, nor held up, nor about to meet something."""
        return self.alive and not self.gate.paused and not self.gate.armed

    @property
    def hears_all(self) -> bool:
        """Whether it runs, and hears of everything at once."""
        return self.runs and not (self.deaf or self.trails or self.misses_secrets)

    @property
    def memories(self) -> list[Memory]:
        """What it knows first-hand."""
        return [entry.memory for entry in self.controller._entries.values()]

    def recalls(self, attempt: str) -> bool:
        """Whether it knows a lease of that attempt to be on record, or is to put it back.

        Of shards the one that serves a record does that.
        """
        known = self.controller.observer.records
        lost = (one for leases in known._lost.values() for one in leases)
        pages = (page for page in known if not known.shared or page.name in known._served)
        on_record = (one for page in pages for one in page.leases)
        return any(one.attempt_id == attempt for one in (*on_record, *lost))

    def lists(self) -> None:
        """The watches begin: each tells first what is there."""
        if not self.deaf:
            self._way.leases.listed([*self._truth.leases.values()], self._truth.version)
        for dl in self._truth.leases.values():
            self.hears(caches.Seen(dl))
        for event in self._truth.marked():
            self.hears_of_secret(event)
        if not self.deaf:
            self._way.labels.listed(self._truth.secrets.values())

    def hears(self, seen: caches.Seen) -> None:
        """An event about a DynamicLease reaches the process, as late as events do."""
        self._arrives(lambda: self._heard(seen))

    def hears_of_secret(self, event: SecretEvent) -> None:
        """An event about a Secret reaches the process."""
        if self.misses_secrets:
            return
        self._arrives(lambda: self._way.events.put_nowait(event))

    def hears_of_label(self, view: SecretView, *, gone: bool) -> None:
        """An event tells what our label says on a Secret."""
        if not self.misses_secrets:
            number = self._way.labels.send()
            self._arrives(lambda: self._way.labels.shown(view, number, gone=gone))

    def _arrives(self, event: Callable[[], None]) -> None:
        if self.alive and not self.deaf and self.trails:
            self._loop.call_later(self.trails, lambda: self._arrived(event))
        else:
            self._arrived(event)

    def _arrived(self, event: Callable[[], None]) -> None:
        if self.alive and not self.deaf:
            event()

    def _heard(self, seen: caches.Seen) -> None:
        """An event as the watch of this shard has it: what goes to another one is gone here."""
        if not seen.gone and self.shard.serves(seen.dl.metadata.labels):
            self._watched.add(seen.key)
        elif seen.key in self._watched:
            self._watched.discard(seen.key)
            version = seen.version or int(seen.dl.metadata.resource_version)
            seen = caches.Seen(seen.dl, gone=True, version=version)
        else:
            return
        self._way.leases.shown(seen, watched=True)
        self._spawn(self.controller.heard(seen.dl.metadata, gone=seen.gone))

    def crash(self) -> None:
        """The process ends here and now, and everything that only it knew is lost."""
        self.gate.kill()
        self.bury()

    def bury(self) -> None:
        """Take a dead process's tasks off the loop."""
        for task in self._tasks:
            task.cancel()
        self._loop.drain()

    def check(self) -> None:
        """Raises what ended a part of the process that never ends by itself."""
        for part in self._parts:
            if self.alive and part.done():
                raise AssertionError(f"{part.get_coro()} ended") from part.exception()

    def _struck(self) -> None:
        """The process crashed at a call of its own; ``bury`` is called from outside."""
        self.gate.kill()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _address(spec: provider.ProviderSpec) -> str:
    return spec.infisical.url if spec.infisical is not None else ""
