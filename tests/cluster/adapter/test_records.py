"""The ledger: records created, moved and deleted, each write fenced by uid and version."""

import asyncio

import pytest

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.cluster import adapter
from tests.cluster.adapter import objects


async def test_a_record_is_created_whole_and_listed_by_uid_oldest_first(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    owner = objects.holder(place)
    for number in (10, 2, 1):
        made = await cluster.create_record(owner, number, objects.attempt(place), objects.ATTEMPT)
        assert made.status == objects.ATTEMPT
        assert made.spec == objects.attempt(place)
    other = objects.holder(place, "22222222-2222-2222-2222-222222222222")
    await cluster.create_record(other, 1, objects.attempt(place), objects.ATTEMPT)
    assert [known.number for known in await cluster.records(owner.uid)] == [1, 2, 10]
    assert len(await cluster.all_records()) == 4


async def test_a_record_that_exists_is_a_conflict(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    await cluster.create_record(objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT)
    with pytest.raises(errors.Conflict, match="exists already"):
        await cluster.create_record(
            objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
        )


async def test_a_records_status_is_replaced_whole_with_its_annotations(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    assert names.LEASE_ID not in known.metadata.annotations
    held = await cluster.update_record(known, objects.HELD)
    assert held is not None
    assert held.status == objects.HELD
    assert held.metadata.annotations[names.LEASE_ID] == "l-1"
    assert held.metadata.annotations[names.EXPIRES_AT] == "2026-11-21T03:04:05Z"
    back = await cluster.update_record(held, objects.ATTEMPT)
    assert back is not None
    assert back.status == objects.ATTEMPT
    assert names.LEASE_ID not in back.metadata.annotations


async def test_of_two_writers_of_a_record_one_meets_a_conflict(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    revoking = record.RecordStatus(state=record.State.REVOKING)
    written = await asyncio.gather(
        cluster.update_record(known, objects.HELD),
        cluster.update_record(known, revoking),
        return_exceptions=True,
    )
    (winner,) = [w for w in written if isinstance(w, record.LeaseRecord)]
    assert [type(w) for w in written if w is not winner] == [errors.Conflict]
    assert await cluster.records(objects.holder(place).uid) == (winner,)


async def test_a_record_that_is_gone_is_none_and_deleting_it_again_is_fine(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    await cluster.delete_record(known)
    assert await cluster.update_record(known, objects.HELD) is None
    await cluster.delete_record(known)


async def test_a_recreated_record_is_neither_written_nor_deleted_for_the_old_one(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    await cluster.delete_record(known)
    namesake = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    with pytest.raises(errors.Conflict):
        await cluster.update_record(known, objects.HELD)
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)
    assert await cluster.records(objects.holder(place).uid) == (namesake,)


async def test_a_changed_record_is_not_deleted(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    known = await cluster.create_record(
        objects.holder(place), 1, objects.attempt(place), objects.ATTEMPT
    )
    await cluster.update_record(known, objects.HELD)
    with pytest.raises(errors.Conflict):
        await cluster.delete_record(known)
