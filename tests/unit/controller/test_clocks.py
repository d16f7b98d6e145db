"""Clocks that don't agree: a proxy's ``Date``, one that jumps, and two providers'."""

import pytest

from leaseholder import errors
from leaseholder.api import base, conditions
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.core import actions
from tests.unit.controller import fakes
from tests.unit.controller.world import SPEC, World, denied, infisical, manifest

OFF = [-1500, -120, 120, 1500]


async def lives_on(world: World, seconds: int = 7200, every: float = 20) -> None:
    """Time passes; the lease is the one that it was, is renewed, and always lives."""
    for _ in range(int(seconds / every)):
        await world.settle(every)
        assert world.ready == "Ready"
        assert world.provider.live["lease-1"].expires_at > world.provider.own_now()
    assert world.count("issue") == 1


@pytest.mark.parametrize("off", OFF)
async def test_a_proxys_date_that_differs_from_the_leases_moments_costs_nothing(off: int) -> None:
    world = World()
    world.provider.date_ahead = off
    await world.settle()
    assert world.recorded.clock_ahead == -off
    assert world.dl.status.lease is not None
    assert world.dl.status.lease.expires_at == world.provider.live["lease-1"].expires_at
    await lives_on(world)


@pytest.mark.parametrize("off", OFF)
async def test_a_restart_knows_how_far_a_proxys_date_is_off(off: int) -> None:
    world = World()
    world.provider.date_ahead = off
    await world.settle()
    world.crash()
    await lives_on(world)


@pytest.mark.parametrize("off", OFF)
async def test_a_date_that_jumps_rotates_nothing_and_no_lease_dies(off: int) -> None:
    world = World()
    await world.settle(10)
    for jump in (off, 0, -off, 0):
        world.provider.date_ahead = jump
        await lives_on(world, 3600, 60)


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("percent", [66, 95])
async def test_when_a_lease_is_replaced_is_said_by_its_own_clock(percent: int, off: int) -> None:
    world = World()
    world.provider.date_ahead = off
    world.cluster.user_applies(manifest(renewal={"afterPercent": percent}))
    await world.settle()
    failure = errors.Unavailable(Reason.UNAVAILABLE, "not done", sent=False, served=True)
    world.provider.before("renew", failure)
    await world.settle(36 * percent + 30)
    said = conditions.find(world.dl.status.conditions, ConditionType.LEASE_HELD)
    assert said is not None
    held = world.dl.status.lease
    assert held is not None
    assert held.renew_at is not None
    assert said.message.endswith(base.render_moment(held.renew_at))


async def test_a_lease_is_judged_by_the_clock_of_the_provider_that_made_it() -> None:
    """The DynamicLease names another provider now, half an hour behind, which gives no lease."""
    world = World()
    await world.settle()
    other = fakes.FakeProvider(world.trace, world.clock)
    other.date_ahead = -1800
    other.before("prepare", *[denied()] * 1000)
    world.build = lambda: other
    world.cluster.put_provider(infisical("other", uid="other-uid"))
    world.cluster.user_applies(manifest(providerRef={"name": "other"}))
    for _ in range(360):
        await world.settle(20)
        assert world.provider.live["lease-1"].expires_at > world.provider.own_now()
    assert world.secret == "lease-1"
    assert SPEC["providerRef"] == {"name": "infisical"}


async def test_until_a_provider_told_the_time_nothing_is_kept_of_its_clock() -> None:
    world = World()
    await world.settle()
    world.crash()
    world.provider.told_time = False
    world.provider.date_ahead = 86_400
    view, _ = await world.look()
    assert view.known(view.records[0]).clock is None
    assert view.expired(view.records[0])
    world.provider.told_time = True
    world.provider.date_ahead = 0
    view, step = await world.look()
    assert not view.expired(view.records[0])
    assert isinstance(step, actions.Idle)
