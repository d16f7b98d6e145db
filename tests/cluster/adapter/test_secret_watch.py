"""The watch on our Secrets: metadata only, and nothing is missed."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncGenerator, AsyncIterator

from leaseholder.cluster import adapter, client, documents, places, watching
from leaseholder.ports.secrets import SecretCopy, SecretEvent
from tests.cluster.adapter import objects
from tests.world import faults, kube, kubernetes, processes


async def upcoming(
    stream: AsyncIterator[SecretEvent | SecretCopy],
) -> SecretEvent | SecretCopy:
    return await asyncio.wait_for(anext(stream), 20)


async def test_the_watch_sees_what_is_there_created_changed_and_deleted_without_data(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    owner = await objects.owner_of(user, place)
    expected = SecretEvent(place.shop, owner.name, owner.uid)
    made = await cluster.write_secret(objects.draft(place, owner), None)
    async with contextlib.aclosing(_generator(cluster.secret_events())) as stream:
        assert await upcoming(stream) == expected
        await cluster.touch_secret(made)
        assert await upcoming(stream) == expected
        current = await cluster.secret(place.shop, "orders-db")
        assert current is not None
        await cluster.delete_secret(current)
        assert await upcoming(stream) == expected
        await cluster.write_secret(objects.draft(place, owner), None)
        assert await upcoming(stream) == expected


def _generator(
    stream: AsyncIterator[SecretEvent | SecretCopy],
) -> AsyncGenerator[SecretEvent | SecretCopy, None]:
    assert isinstance(stream, AsyncGenerator)
    return stream


async def test_lists_and_watches_ask_for_metadata_only(
    control_plane: kubernetes.ControlPlane,
    user: kube.Kube,
    place: objects.Place,
    cluster: adapter.KubernetesCluster,
) -> None:
    await cluster.write_secret(objects.draft(place, await objects.owner_of(user, place)), None)
    api = await client.Api.connect(control_plane.kubeconfig)
    try:
        listed = await api.request(
            "GET", places.SECRETS.at(place.shop), accept=documents.METADATA_LIST, query={}
        )
        stream = api.watch(
            places.SECRETS.at(place.shop), query={}, accept=documents.METADATA, seconds=5
        )
        async with contextlib.aclosing(stream) as events:
            first = await anext(events)
    finally:
        await api.aclose()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert first["object"]["kind"] == "PartialObjectMetadata"
    assert objects.CANARY_ENCODED not in json.dumps([listed, first])


async def test_the_watch_survives_cut_connections_expiry_and_errors_and_misses_nothing(
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
    proxy: faults.FaultProxy,
    through_proxy: pathlib.Path,
) -> None:
    owner = await objects.owner_of(user, place)
    expected = SecretEvent(place.shop, owner.name, owner.uid)
    await cluster.write_secret(objects.draft(place, owner), None)
    async with (
        objects.connected(through_proxy, place) as proxied,
        contextlib.aclosing(_generator(proxied.secret_events())) as stream,
    ):
        assert await upcoming(stream) == expected
        watched = f"namespaces/{place.shop}/secrets"

        async def dropped() -> bool:
            return await asyncio.to_thread(proxy.faults.drop_watches, watched) > 0

        await processes.wait_until_async(dropped, what="a watch was cut")
        assert await upcoming(stream) == expected

        proxy.faults.answer(503, path=watched, times=1)
        proxy.faults.answer(429, path=watched, times=1, retry_after=1)
        proxy.faults.expire_watches(path=watched, times=1)
        await processes.wait_until_async(dropped, what="a watch was cut")
        current = await cluster.secret(place.shop, "orders-db")
        assert current is not None
        await cluster.delete_secret(current)
        assert await upcoming(stream) == expected


async def test_a_watch_that_hangs_is_given_up(
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
    proxy: faults.FaultProxy,
    through_proxy: pathlib.Path,
) -> None:
    proxy.faults.hang(path=f"{place.shop}/secrets.*watch=true", times=1)
    owner = await objects.owner_of(user, place)
    await cluster.write_secret(objects.draft(place, owner), None)
    api = await client.Api.connect(through_proxy)
    try:
        watch = watching.SecretWatch(api, [place.shop], seconds=1)
        async with contextlib.aclosing(watch.events()) as stream:
            first = await upcoming(stream)
            # The list after the hang.
            assert await upcoming(stream) == first
    finally:
        await api.aclose()


async def test_a_watch_that_ends_in_its_time_goes_on_where_it_was(
    control_plane: kubernetes.ControlPlane,
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
) -> None:
    asked: list[str] = []
    api = await client.Api.connect(
        control_plane.kubeconfig, observe=lambda verb, _: asked.append(verb)
    )
    try:
        watch = watching.SecretWatch(api, [place.shop], seconds=1)
        async with contextlib.aclosing(watch.events()) as stream:
            listening = asyncio.ensure_future(anext(stream))

            async def watched_twice() -> bool:
                return asked.count("watch") >= 2

            await processes.wait_until_async(watched_twice, what="a second watch")
            owner = await objects.owner_of(user, place)
            await cluster.write_secret(objects.draft(place, owner), None)
            event = await asyncio.wait_for(listening, 20)
            assert event.owner_uid == owner.uid
        # The second list is of one object: before a watch goes on, whether etcd was restored.
        assert asked[:4] == ["list", "watch"] * 2
    finally:
        await api.aclose()
