"""Etcd was restored under us: what the ledger lost comes back on it."""

import asyncio

import pytest

from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.controller.compare import Comparison
from tests.unit.controller.world import KEY, World, cluster_away, manifest

pytestmark = pytest.mark.asyncio


async def test_the_lease_of_a_dynamic_lease_that_never_was_is_revoked() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        assert [*world.provider.live] == ["lease-1"]
        world.cluster.vanish(*KEY)
        world.cluster.ledger.clear()
        await controller.restored()
        await world.passed(10)
        await world.passed(60)
        assert ([*world.provider.live], world.records) == ([], [])


async def test_of_a_lease_that_was_replaced_since_the_backup_neither_is_forgotten() -> None:
    world = World()
    cluster = world.cluster
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        parts = (cluster.leases, cluster.ledger, cluster.secrets, cluster.values)
        leases, ledger, secrets, values = (dict(one) for one in parts)
        cluster.user_applies(manifest(annotations={names.ROTATE: "1"}, rotation={"overlap": "0s"}))
        await controller.offer(world.key)
        await world.passed()
        await world.passed(60)
        assert [*world.provider.live] == ["lease-2"]
        for now, then in zip(parts, (leases, ledger, secrets, values), strict=True):
            now.clear()  # type: ignore[attr-defined]
            now.update(then)  # type: ignore[attr-defined]
        cluster.before("read record", cluster_away())  # it is tried again
        await controller.restored()
        for _ in range(6):
            await world.passed(60)
        (living,) = world.provider.live
        assert living == world.secret == "lease-3"
        assert [lease_id for _, lease_id in world.records] == ["lease-3"]
        assert world.ready == Reason.READY


async def test_after_a_restore_a_lease_is_inspected_and_status_is_no_longer_doubted() -> None:
    world = World()
    async with world.running() as controller:
        await controller.offer(world.key)
        await world.passed()
        before = world.count("inspect")
        await controller.restored()
        (entry,) = controller._entries.values()
        assert entry.memory.status_doubted
        await world.passed(10)
        assert world.count("inspect") == before + 1
        assert not entry.memory.status_doubted


async def test_after_a_restore_everything_is_compared_at_once() -> None:
    world = World()
    comparison = Comparison(world.cluster, world.controller, world.observer.records, world.supplies)
    comparing = asyncio.create_task(comparison.run())
    try:
        async with world.running() as controller:
            await controller.offer(world.key)
            await world.trace.until(lambda: world.secret == "lease-1")
            before = world.count("list records")
            await comparison.restored()
            await world.trace.until(lambda: world.count("list records") > before)
    finally:
        comparing.cancel()
        await asyncio.gather(comparing, return_exceptions=True)


async def test_what_is_to_be_put_back_is_remembered_as_delivered() -> None:
    world = World()
    await world.settle()
    delivered = world.recorded.attempt_id
    world.cluster.ledger.clear()
    await world.observer.records.compare()
    view, _ = await world.look()
    assert view.records == ()
    assert world.memory.of(delivered).contents is not None
