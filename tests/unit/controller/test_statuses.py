"""A slow API server: its status writes keep nobody from a turn, and Ready is taken back in time."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from leaseholder.api import conditions
from leaseholder.api.conditions import ConditionType
from leaseholder.core import schedule
from tests.simulation.loop import ManualLoop
from tests.unit.controller import fakes
from tests.unit.controller.world import SHOP, World, away, key_of, manifest

COUNT = 40
RENEWED = replace(fakes.CAN, minimum_renewal=1, replica_lag=1)
"""A kind whose leases of 60 s are renewed."""
WRITE = 2.0
"""Seconds that a write of status takes."""


class Slow(World):
    """DynamicLeases of 60 s at an API server that is slow, in virtual time."""

    def __init__(self, loop: ManualLoop, count: int) -> None:
        super().__init__(can=RENEWED, workers=2)
        self.loop, self.names = loop, [f"lease-{number}" for number in range(count)]
        loop.begin(self.clock)
        for name in self.names:
            self.cluster.user_applies(manifest(name=name, ttl="60s"))
        self.work = [loop.create_task(self.controller.run()), loop.create_task(self._offer())]
        self.passes(10)
        self.cluster.status_seconds = WRITE

    async def _offer(self) -> None:
        for name in self.names:
            await self.controller.offer(key_of(self.cluster.leases[SHOP, name].holder))

    def passes(self, seconds: float) -> None:
        """Time passes, and all is done that is due meanwhile."""
        end = self.clock.seconds + seconds
        self.loop.drain()
        while (at := self.loop.next_timer()) is not None and at <= end:
            self.clock.seconds = max(self.clock.seconds, at)
            self.loop.drain()
        self.clock.seconds = end
        self.loop.drain()

    def is_ready(self, name: str) -> bool:
        """What is said of a DynamicLease."""
        known = self.cluster.leases[SHOP, name].status.conditions
        return conditions.is_true(known, ConditionType.READY)

    def end(self, name: str) -> datetime:
        """When its credentials end, as the provider has it."""
        return self.provider.live[self.cluster.values[SHOP, name]["DB_USERNAME"]].expires_at


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    made = ManualLoop()
    yield made
    for task in asyncio.all_tasks(made):
        task.cancel()
    made.drain()
    assert made.mishaps == []
    made.close()


def test_renewals_are_in_time_however_long_their_status_takes(loop: ManualLoop) -> None:
    world = Slow(loop, COUNT)
    for _ in range(180):
        world.passes(1)
        assert all(world.is_ready(name) for name in world.names)
        assert all(world.end(name) > world.clock.wall() for name in world.names)
    assert max(world.meter.lateness) < 1


def test_of_all_that_end_together_ready_is_taken_back_in_time(loop: ManualLoop) -> None:
    world = Slow(loop, COUNT)
    world.passes(60)
    world.provider.down = away()
    late = 0.0
    for _ in range(90):
        world.passes(1)
        dead = [n for n in world.names if world.is_ready(n) and world.end(n) < world.clock.wall()]
        ages = [(world.clock.wall() - world.end(name)).total_seconds() for name in dead]
        late = max([late, *ages])
    assert not any(world.is_ready(name) for name in world.names)
    # One write is under way, one meets a conflict with it, and one takes Ready back.
    assert late <= 3 * WRITE - schedule.AHEAD.total_seconds()


def test_what_is_due_next_is_reckoned_from_the_look_and_not_from_the_end_of_the_write(
    loop: ManualLoop,
) -> None:
    world = Slow(loop, 1)
    world.cluster.status_seconds = 15.0
    (name,) = world.names
    for _ in range(300):
        world.passes(1)
        assert (world.end(name) - world.clock.wall()).total_seconds() >= 18
