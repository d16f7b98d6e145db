"""Ready is taken back of leases that are over: before all else, and whatever hangs."""

import asyncio

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.controller.reporting import Reporter
from tests.unit.controller.world import KEY, NAME, World, cluster_away, key_of, manifest

FIRST = 600
"""Seconds that the shortest life has; each next one has ten more."""


async def ready(world: World, count: int) -> list[str]:
    """So many more DynamicLeases, Ready; their names, the first to end first."""
    names = [f"lease-{number}" for number in range(count)]
    for number, name in enumerate(names):
        world.cluster.user_applies(manifest(name=name, ttl=f"{FIRST + 10 * number}s"))
    for dl in world.cluster.leases.values():
        await world.controller.offer(key_of(dl.holder))
    await world.passed()
    world.trace.calls.clear()
    return names


def told(world: World) -> list[str]:
    """Who said that its lease is over, in order."""
    return [name for name, note in world.cluster.notes if note.reason == "LeaseExpired"]


async def test_all_that_are_over_say_so_in_their_order_before_the_provider_is_asked() -> None:
    world = World(workers=2)
    async with world.running():
        names = await ready(world, 40)
        world.clock.move(2 * 3600)  # the process was stopped for so long
        await world.passed()
    assert told(world) == [*names, NAME]
    asked = [one for one in world.trace.calls if one in ("patch dynamiclease", "inspect", "renew")]
    assert asked[:41] == ["patch dynamiclease"] * 41
    assert "renew" in asked


async def test_a_write_that_takes_ready_back_and_hangs_is_sent_anew() -> None:
    world = World()
    await world.settle()
    view, _ = await world.look()
    world.clock.move(3600)
    world.cluster.before("patch dynamiclease", asyncio.Event().wait)
    reporter = Reporter(world.performer, world.clock, patience=0.01)
    assert await reporter.ended(view)
    assert world.ready == "LeaseExpired"
    assert KEY in world.cluster.leases


async def test_after_an_outage_of_the_api_server_those_that_are_over_say_so_at_once() -> None:
    world = World()
    async with world.running() as controller:
        names = await ready(world, 40)
        world.cluster.down = cluster_away()
        await rested(world, after=2 * 3600)
        assert not controller.reaches_cluster
        assert told(world) == []
        world.cluster.down = None
        await rested(world, after=1)
    assert {*told(world)} == {*names, NAME}


async def rested(world: World, after: float) -> None:
    """Wait until what is due by then was tried."""
    taken = len(world.meter.lateness)
    world.clock.move(after)
    await world.controller.offer(world.key, poke=False)
    await world.trace.until(lambda: len(world.meter.lateness) > taken)
    async with asyncio.timeout(60):
        while not world.is_at_rest():  # noqa: ASYNC110 - fakes wait for nothing real
            await asyncio.sleep(0)


async def test_a_deletion_that_is_refused_is_not_ready_and_says_why() -> None:
    world = World()
    await world.settle()
    async with world.running():
        refused = errors.Refused(Reason.WRITE_REFUSED, "no right to delete secrets")
        world.cluster.before("delete secret", *[refused] * 99)
        world.cluster.user_deletes(*KEY)
        await rested(world, after=0)
        for kind, status in (("Ready", "False"), ("Stalled", "True")):
            (now,) = [one for one in world.dl.status.conditions if one.type == kind]
            assert (now.status, now.reason, now.message) == (
                status,
                "SecretWriteRefused",
                "no right to delete secrets",
            )
    assert [*world.provider.live] == ["lease-1"]


async def test_one_that_can_not_be_read_says_so_until_it_can() -> None:
    world = World()
    await world.settle()
    assert world.ready == "Ready"
    async with world.running():
        world.cluster.user_applies(manifest(ttl="2h"))
        sentence = "DynamicLease shop/orders can't be read"
        unreadable = errors.Unreadable(Reason.INVALID, sentence, rest=world.dl)
        world.cluster.before("get dynamiclease", unreadable)
        await rested(world, after=0)
        (now,) = [one for one in world.dl.status.conditions if one.type == "Ready"]
        assert (now.status, now.reason, now.message) == ("False", "InvalidRequest", sentence)
        await world.passed(600)
        assert world.ready == "Ready"
    assert world.count("issue") == 1
