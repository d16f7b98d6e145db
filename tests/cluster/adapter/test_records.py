"""The ledger: records created, written and deleted, each write fenced by uid and version."""

import asyncio

import pytest

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.cluster import adapter
from tests.cluster.adapter import objects


async def test_a_record_is_created_whole_under_a_name_made_of_what_it_is_for(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    spec = objects.page(place, objects.attempt(place))
    made = await cluster.create_record(spec)
    assert made.spec == spec
    assert made.name == record.name_of(spec.installation, spec.for_)
    assert made.metadata.finalizers == (names.ON_RECORD,)
    other = await cluster.create_record(objects.page(place, name="other"))
    assert other.metadata.finalizers == ()
    assert {one.name for one in await cluster.records()} == {made.name, other.name}
    assert await cluster.record_named(made.name) == made
    assert await cluster.record_named("nobody") is None


async def test_a_record_that_exists_is_a_conflict(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    await cluster.create_record(objects.page(place))
    with pytest.raises(errors.Conflict, match="exists already"):
        await cluster.create_record(objects.page(place))


async def test_leases_are_written_whole_and_the_finalizer_goes_with_the_last(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    attempt = objects.attempt(place)
    known = await cluster.create_record(objects.page(place, attempt))
    held = objects.held(place)
    written = await cluster.write_record(known, objects.page(place, held))
    assert written.leases == (held,)
    back = await cluster.write_record(written, objects.page(place, attempt))
    assert back.leases == (attempt,)
    emptied = await cluster.write_record(back, objects.page(place))
    assert (emptied.leases, emptied.metadata.finalizers) == ((), ())


async def test_records_are_found_by_the_slots_of_their_leases(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    lease = objects.attempt(place).but(slot="one")
    made = await cluster.create_record(objects.page(place, lease))
    assert [*await cluster.records_of_slot("one")] == [made]
    moved = await cluster.write_record(made, objects.page(place, lease.but(slot="two")))
    assert not await cluster.records_of_slot("one")
    assert [*await cluster.records_of_slot("two")] == [moved]


async def test_of_two_writers_of_a_record_one_meets_a_conflict(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(objects.page(place, objects.attempt(place)))
    revoking = objects.attempt(place).but(state=record.State.REVOKING)
    written = await asyncio.gather(
        cluster.write_record(known, objects.page(place, objects.held(place))),
        cluster.write_record(known, objects.page(place, revoking)),
        return_exceptions=True,
    )
    (winner,) = [w for w in written if isinstance(w, record.LeaseRecord)]
    assert [type(w) for w in written if w is not winner] == [errors.Conflict]
    assert [*await cluster.records()] == [winner]


async def test_a_record_that_is_gone_is_a_conflict_and_deleting_it_again_is_fine(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(objects.page(place))
    await cluster.delete_record(known)
    with pytest.raises(errors.Conflict):
        await cluster.write_record(known, objects.page(place, objects.held(place)))
    await cluster.delete_record(known)


async def test_a_recreated_record_is_neither_written_nor_deleted_for_the_old_one(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(objects.page(place))
    await cluster.delete_record(known)
    successor = await cluster.create_record(objects.page(place))
    with pytest.raises(errors.Conflict):
        await cluster.write_record(known, objects.page(place, objects.held(place)))
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)
    assert [*await cluster.records()] == [successor]


async def test_a_changed_record_is_not_deleted(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(objects.page(place))
    await cluster.write_record(known, objects.page(place, objects.held(place)))
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)


async def test_a_record_that_holds_a_lease_outlives_its_deletion(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(objects.page(place, objects.held(place)))
    await cluster.delete_record(known)
    going = await cluster.record_named(known.name)
    assert going is not None
    assert going.leases == known.leases
    emptied = await cluster.write_record(going, objects.page(place))
    assert emptied.leases == ()
    assert await cluster.record_named(known.name) is None
