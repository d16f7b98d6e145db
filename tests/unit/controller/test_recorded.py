"""Records as they are known: asked for once, and again after what was met otherwise."""

import pytest

from leaseholder import errors
from leaseholder.api.record import State
from leaseholder.core import steps
from tests.unit.controller.world import World, cluster_away

pytestmark = pytest.mark.asyncio


async def held(world: World) -> None:
    await world.settle()
    assert world.records == [(State.HELD, "lease-1")]


def listings(world: World) -> int:
    return world.count("list records")


async def test_what_our_own_writes_left_needs_no_list() -> None:
    world = World()
    await held(world)
    before = listings(world)
    known = await world.observer.records.of(world.holder.uid)
    assert [(one.state, one.status.lease_id) for one in known] == world.records
    assert known == await world.cluster.records(world.holder.uid)
    assert listings(world) == before + 1  # the test's own


async def test_a_write_that_meets_another_s_is_a_conflict_and_then_the_list_is_read() -> None:
    world = World()
    await held(world)
    records = world.observer.records
    (stale,) = await records.of(world.holder.uid)
    theirs = world.cluster.put_record(stale)
    with pytest.raises(errors.Conflict):
        await records.update(stale, stale.status)
    assert await records.of(world.holder.uid) == (theirs,)


async def test_after_a_lost_answer_the_list_is_read() -> None:
    world = World()
    await held(world)
    records = world.observer.records
    (known,) = await records.of(world.holder.uid)
    world.cluster.after("patch record", cluster_away())
    before = listings(world)
    with pytest.raises(errors.ClusterUnavailable):
        await records.update(known, known.status)
    await records.of(world.holder.uid)
    assert listings(world) == before + 1


async def test_a_record_that_somebody_took_is_noticed_at_the_next_write() -> None:
    world = World()
    await held(world)
    records = world.observer.records
    (known,) = await records.of(world.holder.uid)
    del world.cluster.ledger[known.name]
    assert await records.of(world.holder.uid) == (known,)
    assert await records.update(known, known.status) is None
    assert await records.of(world.holder.uid) == ()


async def test_the_comparison_names_whose_records_changed_and_trusts_no_list_beyond_that() -> None:
    world = World()
    await held(world)
    records = world.observer.records
    (known,) = await records.of(world.holder.uid)
    assert records.compare([known]) == set()
    assert records.compare([]) == {world.holder.uid}
    assert await records.of(world.holder.uid) == (known,)


async def test_the_finalizer_stays_while_another_process_puts_a_lease_on_record() -> None:
    world = World()
    await held(world)
    world.cluster.user_deletes("shop", "orders")
    view, step = await world.upto(steps.Release)
    world.rival(9)
    with pytest.raises(errors.Conflict):
        await world.performer.perform(view, step)
    assert world.dl.metadata.finalizers
