"""The API server is away: leases live on, and nothing else happens until it is back."""

import functools

import pytest

from leaseholder import circuit, errors
from leaseholder.api.conditions import Reason
from leaseholder.controller import away as away_
from leaseholder.core import offline
from tests.unit.controller.test_renew import DUE, ends
from tests.unit.controller.world import KEY, World, away, cluster_away, key_of, manifest

LIFE = 3600
READS = {"get namespace", "get dynamiclease", "list secrets", "get secret"}
REFUSED = errors.Refused(Reason.DENIED, "the operator has no right to get dynamicleases")


async def held(world: World) -> None:
    """A lease is held and told, and the API server goes away."""
    await world.controller.offer(world.key)
    await world.trace.until(lambda: world.meter.seen.get(world.holder) and world.ready == "Ready")
    await turned(world)


async def turned(world: World, after: float = 0.0) -> None:
    """A worker has looked at the key at least once: it is taken again when it is given back."""
    world.clock.move(after)
    for _ in range(2):
        taken = len(world.meter.lateness) + 1
        await world.controller.offer(world.key, poke=False)
        await world.trace.until(functools.partial(_reached, world, taken))


def _reached(world: World, taken: int) -> bool:
    return len(world.meter.lateness) >= taken


@pytest.mark.parametrize("trouble", [cluster_away(), REFUSED])
async def test_a_lease_is_renewed_and_nothing_else_is_done(trouble: Exception) -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down = trouble
        done = len(world.trace.calls)
        for _ in range(50):
            await turned(world, after=100)
        made = world.trace.calls[done:]
        assert set(made) <= READS | {"renew"}
        assert ends(world) > 5000 + 1000
        assert world.meter.renewals == ["ok", "ok"]
        world.cluster.down = None
        await world.controller.offer(world.key)
        await world.passed(after=circuit.LONGEST)
    assert world.dl.status.lease is not None
    assert (world.dl.status.lease.expires_at - world.clock.wall()).total_seconds() > 1000
    assert (world.count("issue"), world.ready) == (1, "Ready")


async def test_a_renewal_never_goes_beyond_the_life_that_was_asked_for() -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down = cluster_away()
        for _ in range(100):
            await turned(world, after=60)
            assert ends(world) - (world.clock.monotonic() - 1000) <= LIFE


async def test_after_a_day_leases_are_left_to_their_end() -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down = cluster_away()
        for _ in range(160):
            await turned(world, after=600)
    assert ends(world) <= offline.LONGEST.total_seconds() + LIFE
    assert ends(world) > offline.LONGEST.total_seconds()


async def test_a_failed_renewal_is_tried_again_and_told_when_that_is_possible() -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down, world.provider.down = cluster_away(), away(sent=True)
        await turned(world, after=DUE)
        assert world.meter.renewals == ["unclear"]
        await turned(world)
        assert world.count("renew") == 1
        world.provider.down = None
        await turned(world, after=300)
        assert world.count("inspect") >= 1
        assert ends(world) == DUE + 300 + LIFE
        world.cluster.down = None
        await world.controller.offer(world.key)
        await world.passed(after=circuit.LONGEST)
    assert (world.ready, world.count("issue")) == ("Ready", 1)


async def test_a_lease_that_is_gone_is_replaced_when_the_api_server_is_back() -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down = cluster_away()
        world.provider.live.clear()
        for _ in range(3):
            await turned(world, after=DUE)
        assert world.count("renew") == 1
        world.cluster.down = None
        await world.controller.offer(world.key)
        for _ in range(3):
            await world.passed(after=60)
    assert (world.secret, world.ready) == ("lease-2", "Ready")


async def test_a_lease_at_its_latest_is_left_alone() -> None:
    world = World()
    async with world.running():
        await held(world)
        world.cluster.down = cluster_away()
        latest = errors.CannotRenew(Reason.CANNOT_RENEW, "it is at its end")
        world.provider.before("renew", latest)
        for _ in range(3):
            await turned(world, after=DUE / 2)
        assert world.count("renew") == 1


async def test_what_is_being_deleted_or_was_never_seen_is_not_touched() -> None:
    world = World()
    unseen = world.cluster.user_applies(manifest(name="unseen")).holder
    async with world.running():
        await held(world)
        world.provider.before("revoke", *[away()] * 9)
        world.cluster.user_deletes(*KEY)
        await turned(world)
        world.cluster.down = cluster_away()
        await world.controller.offer(key_of(unseen))
        done = len(world.trace.calls)
        for _ in range(5):
            await turned(world, after=DUE)
        assert set(world.trace.calls[done:]) <= READS


async def test_an_api_server_that_is_away_is_asked_seldom_and_by_one_at_a_time() -> None:
    world = World(workers=4)
    async with world.running():
        await held(world)
        world.cluster.down = cluster_away()
        done = world.count("get dynamiclease")
        for _ in range(200):
            await turned(world, after=0.5)
        asked = world.count("get dynamiclease") - done
        assert circuit.OPEN_AFTER <= asked <= circuit.OPEN_AFTER + 25


async def test_who_was_cut_off_tries_again_as_soon_as_the_api_server_answers_somebody() -> None:
    world = World()
    async with world.running() as controller:
        world.cluster.down = cluster_away()
        for _ in range(8):
            await turned(world, after=away_.PAUSE)
        world.cluster.down = None
        other = world.cluster.user_applies(manifest("other")).holder
        world.clock.move(away_.PAUSE)
        await controller.offer(key_of(other))
        await world.trace.until(lambda: "lease-1" in world.provider.live)
        assert KEY not in world.cluster.secrets
        world.clock.move(2)
        await controller.offer(key_of(other))
        await world.trace.until(lambda: KEY in world.cluster.secrets)
