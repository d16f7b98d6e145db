"""Etcd was restored under us: what the ledger lost comes back on it."""

import asyncio

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.api.record import State
from leaseholder.controller.ledger import Ledger
from tests.unit.controller import fakes
from tests.unit.controller.world import KEY, World, cluster_away, denied, manifest

pytestmark = pytest.mark.asyncio


async def test_the_lease_of_a_dynamic_lease_that_never_was_is_revoked() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.holder)
        await world.passed()
        assert [*world.provider.live] == ["lease-1"]
        world.cluster.vanish(*KEY)
        world.cluster.ledger.clear()
        await controller.restored()
        await world.passed(10)
        await world.passed(60)
        assert ([*world.provider.live], world.records) == ([], [])


async def test_it_is_revoked_too_if_its_record_was_missed_before_the_restore_was_seen() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.holder)
        await world.passed()
        world.cluster.vanish(*KEY)
        world.cluster.ledger.clear()
        await controller.offer(world.holder)
        await world.passed(10)
        assert world.holder not in controller
        assert [*world.provider.live] == ["lease-1"]
        await controller.restored()
        await world.passed(10)
        await world.passed(60)
        assert ([*world.provider.live], world.records) == ([], [])


async def test_of_a_lease_that_was_replaced_since_the_backup_neither_is_forgotten() -> None:
    world = World()
    cluster = world.cluster
    async with world.running() as controller:
        await controller.offer(world.holder)
        await world.passed()
        parts = (cluster.leases, cluster.ledger, cluster.secrets, cluster.values)
        leases, ledger, secrets, values = (dict(one) for one in parts)
        cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, rotation={"overlap": "0s"}))
        await controller.offer(world.holder)
        await world.passed()
        await world.passed(60)
        assert [*world.provider.live] == ["lease-2"]
        for now, then in zip(parts, (leases, ledger, secrets, values), strict=True):
            now.clear()  # type: ignore[attr-defined]
            now.update(then)  # type: ignore[attr-defined]
        cluster.before("list records", cluster_away())  # it is tried again
        await controller.restored()
        for _ in range(6):
            await world.passed(60)
        (living,) = world.provider.live
        assert living == world.secret == "lease-3"
        assert [lease_id for _, lease_id in world.records] == ["lease-3"]
        assert world.ready == Reason.READY


async def test_a_record_comes_back_also_where_its_provider_can_not_be_asked() -> None:
    world = World()
    await world.settle()
    history = world.controller.lost_history

    def refused() -> fakes.FakeProvider:
        raise denied()

    world.build = refused
    history.supplies = world.other_supplies()
    world.cluster.ledger.clear()
    assert history.begin() == {world.holder}
    await history.put_back(world.holder, world.memory)
    assert world.records == [(State.SUPERSEDED, "lease-1")]


async def test_after_a_restore_everything_is_compared_at_once() -> None:
    world = World()
    ledger = Ledger(world.cluster, world.controller, world.supplies)
    comparing = asyncio.create_task(ledger.run())
    try:
        async with world.running():
            await world.trace.until(lambda: world.secret == "lease-1")
            before = world.count("list all records")
            await ledger.restored()
            await world.trace.until(lambda: world.count("list all records") > before)
    finally:
        comparing.cancel()
        await asyncio.gather(comparing, return_exceptions=True)
