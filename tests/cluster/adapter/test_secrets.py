"""Secrets: written whole in one write, fenced, refused without showing a value."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import refs
from leaseholder.cluster import adapter
from leaseholder.ports.secrets import SecretDraft, SecretView
from leaseholder.secrecy import Credentials
from tests.cluster.adapter import objects
from tests.world import kube, processes


async def test_a_secret_is_written_whole_and_foreign_labels_stay(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    first = await cluster.write_secret(objects.draft(place, owner, A="1", B="2"), None)
    assert first.keys == ("A", "B")
    foreign = {"metadata": {"labels": {"team": "shop"}}}
    await user.patch("Secret", "orders-db", place.shop, foreign)
    current = await cluster.secret(place.shop, "orders-db")
    assert current is not None
    second = await cluster.write_secret(objects.draft(place, owner, B="3", C="4"), current)
    assert second.keys == ("B", "C")
    assert second.labels["team"] == "shop"
    assert second.owner_uids == (owner.uid,)
    raw = await user.get("Secret", "orders-db", place.shop)
    assert raw is not None
    assert raw["data"] == {"B": "Mw==", "C": "NA=="}
    listed = dataclasses.replace(second, keys=(), is_read=False)
    assert list(await cluster.secrets_of(place.shop, owner.uid)) == [listed]
    assert list(await cluster.secrets_of(place.shop, "another")) == []


async def test_the_leases_that_secrets_of_ours_name_are_known_and_others_are_not(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    noted = {"leaseholder.dev/lease-id": f"lease-in-{place.shop}"}
    draft = dataclasses.replace(objects.draft(place, owner, A="1"), annotations=noted)
    await cluster.write_secret(draft, None)
    notes = {"leaseholder.dev/lease-id": f"foreign-in-{place.shop}"}
    foreign = {"namespace": place.shop, "name": "foreign", "annotations": notes}
    await user.apply({"apiVersion": "v1", "kind": "Secret", "metadata": foreign})
    shown = await cluster.leases_shown()
    assert f"lease-in-{place.shop}" in shown
    assert f"foreign-in-{place.shop}" not in shown


async def test_a_dry_run_writes_nothing(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    await cluster.write_secret(objects.draft(place, owner), None, dry_run=True)
    assert await cluster.secret(place.shop, "orders-db") is None
    made = await cluster.write_secret(objects.draft(place, owner, A="1"), None)
    await cluster.write_secret(objects.draft(place, owner, B="2"), made, dry_run=True)
    assert await cluster.secret(place.shop, "orders-db") == made


async def test_a_secret_that_exists_changed_or_is_gone_is_a_conflict(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    with pytest.raises(errors.Conflict):
        await cluster.write_secret(objects.draft(place, owner), None)
    await cluster.touch_secret(made)
    for write in _writes(cluster, objects.draft(place, owner), made):
        with pytest.raises(errors.Conflict):
            await write()
    fresh = await cluster.secret(place.shop, "orders-db")
    assert fresh is not None
    await cluster.delete_secret(fresh)
    await cluster.delete_secret(fresh)
    with pytest.raises(errors.Conflict):
        await cluster.write_secret(objects.draft(place, owner), fresh)
    assert await cluster.secret(place.shop, "orders-db") is None


def _writes(
    cluster: adapter.KubernetesCluster, wanted: SecretDraft, known: SecretView
) -> list[Callable[[], Any]]:
    return [
        lambda: cluster.write_secret(wanted, known),
        lambda: cluster.touch_secret(known),
        lambda: cluster.disown_secret(known, wanted.owner),
        lambda: cluster.delete_secret(known),
    ]


async def test_a_recreated_secret_is_not_taken_for_the_one_that_was_read(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    await cluster.delete_secret(made)
    successor = await cluster.write_secret(objects.draft(place, owner), None)
    stale_uid = dataclasses.replace(successor, uid=made.uid)
    for known in (made, stale_uid):
        for write in _writes(cluster, objects.draft(place, owner), known):
            with pytest.raises(errors.Conflict):
                await write()
    assert await cluster.secret(place.shop, "orders-db") == successor


async def test_two_writers_of_a_secret_never_both_win(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    written = await asyncio.gather(
        cluster.write_secret(objects.draft(place, owner, A="1"), made),
        cluster.write_secret(objects.draft(place, owner, B="1"), made),
        return_exceptions=True,
    )
    assert sorted(type(w).__name__ for w in written) == ["Conflict", "SecretView"]


async def test_a_touch_moves_the_version_and_leaves_the_data(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    made = await cluster.write_secret(
        objects.draft(place, await objects.owner_of(user, place)), None
    )
    await cluster.touch_secret(made)
    touched = await cluster.secret(place.shop, "orders-db")
    assert touched is not None
    assert touched.resource_version != made.resource_version
    assert touched.keys == made.keys


async def test_a_disowned_secret_keeps_its_data_and_survives_its_owner(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    await cluster.disown_secret(made, owner)
    free = await cluster.secret(place.shop, "orders-db")
    assert free is not None
    assert (free.owner_uids, free.labels, free.annotations) == ((), {}, {})
    assert free.keys == ("PASSWORD",)


async def test_a_secret_over_quota_or_of_another_type_is_refused_and_shows_nothing(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    other = dataclasses.replace(objects.draft(place, owner), type="example.dev/other")
    with pytest.raises(errors.Refused, match="of another type, and no write") as invalid:
        await cluster.write_secret(other, made)
    bad_key = dataclasses.replace(
        objects.draft(place, owner), credentials=Credentials({"a b": objects.CANARY})
    )
    with pytest.raises(errors.Refused, match="invalid \\(422\\), see data") as bad:
        await cluster.write_secret(bad_key, made, dry_run=True)
    hard = {"hard": {"count/secrets": "0"}}
    await user.apply(objects.manifest("ResourceQuota", "none", place.shop, spec=hard))
    # What the quota controller would see, which the control plane doesn't run.
    used = {"status": {**hard, "used": {"count/secrets": "0"}}}
    await user.patch("ResourceQuota", "none/status", place.shop, used)

    async def refused() -> bool:
        another = dataclasses.replace(objects.draft(place, owner), name="another")
        try:
            await cluster.write_secret(another, None, dry_run=True)
        except errors.Refused as refusal:
            return "quota" in refusal.sentence
        return False

    await processes.wait_until_async(refused, what="the quota is in force")
    for error in (invalid.value, bad.value):
        assert objects.CANARY not in repr(error)
        assert error.__cause__ is None


async def test_values_of_secrets_reach_no_log_and_no_exception(
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.Logger.manager.loggerDict):
        if not name.startswith("kubernetes"):
            caplog.set_level(logging.DEBUG, logger=name)
    owner = await objects.owner_of(user, place)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    await cluster.secrets_of(place.shop, owner.uid)
    await cluster.secret(place.shop, "orders-db")
    access = await objects.access(user, place)
    ref = refs.SecretKeyRef(name="orders-db", key="PASSWORD")
    await cluster.credentialing(access).secret_value(ref)
    shown = [repr(made)]
    for wanted in (None, dataclasses.replace(made, resource_version="1")):
        with pytest.raises(errors.ClusterError) as failed:
            await cluster.write_secret(objects.draft(place, owner), wanted)
        shown += [repr(failed.value), repr(failed.value.__context__)]
    everything = "\n".join((caplog.text, *shown))
    assert objects.CANARY not in everything
    assert objects.CANARY_ENCODED not in everything
