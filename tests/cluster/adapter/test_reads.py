"""What the adapter reads of resources and namespaces."""

import asyncio
from datetime import timedelta

import pytest

from leaseholder import errors
from leaseholder.api import lease
from leaseholder.cluster import adapter, client
from leaseholder.ports.cluster import Cluster
from tests.cluster.adapter import objects
from tests.world import kube


def test_the_adapter_is_what_the_controller_needs() -> None:
    # That it is a Cluster is for mypy to see.
    adapted: type[Cluster] = adapter.KubernetesCluster
    assert callable(adapted.secret_events)


async def test_what_is_not_there_is_none(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    both = ("LeaseProvider", "ClusterLeaseProvider")
    assert await cluster.dynamic_lease(place.shop, "orders") is None
    assert await cluster.secret(place.shop, "orders") is None
    assert await cluster.namespace("nowhere") is None
    for kind in both:
        ref = lease.ProviderRef.model_validate({"kind": kind, "name": "nowhere"})
        assert await cluster.provider_of(ref, place.shop) is None


async def test_a_dynamiclease_is_read_live_one_and_all(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    made = await user.apply(objects.orders(place, ttl="1h"))
    one = await cluster.dynamic_lease(place.shop, "orders")
    assert one is not None
    assert (one.metadata.uid, one.spec.ttl) == (made["metadata"]["uid"], "1h")
    assert [found async for found in cluster.dynamic_leases()] == [one]


async def test_a_deletion_is_dated_by_the_clock_that_the_answers_tell(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    assert cluster.server_now() is None
    made = objects.orders(place)
    made["metadata"]["finalizers"] = ["tests/hold"]
    await user.apply(made)
    await user.delete("DynamicLease", "orders", place.shop)
    found = await cluster.read_dynamic_lease(place.shop, "orders")
    now = cluster.server_now()
    assert found is not None
    assert now is not None
    assert found.metadata.deletion_timestamp is not None
    assert timedelta(0) <= now - found.metadata.deletion_timestamp < timedelta(seconds=30)
    freed: kube.Object = {"metadata": {"finalizers": None}}
    await user.patch("DynamicLease", "orders", place.shop, freed)


async def test_a_list_of_several_pages_is_whole(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    manifest = objects.orders(place, ttl="1h")
    names = [f"orders-{number:03}" for number in range(client.PAGE + 10)]
    await asyncio.gather(
        *(
            user.apply({**manifest, "metadata": {**manifest["metadata"], "name": name}})
            for name in names
        )
    )
    assert [dl.metadata.name async for dl in cluster.dynamic_leases()] == names


async def test_a_namespace_tells_its_labels_and_that_it_terminates(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    blocker = objects.manifest("ConfigMap", "blocker", place.shop)
    blocker["metadata"]["finalizers"] = ["tests/hold"]
    await user.apply(blocker)
    before = await cluster.namespace(place.shop)
    assert before is not None
    assert before.labels["kubernetes.io/metadata.name"] == place.shop
    assert not before.terminating
    await user.delete("Namespace", place.shop)
    after = await cluster.namespace(place.shop)
    assert after is not None
    assert after.terminating
    with pytest.raises(errors.Refused, match=f"the namespace {place.shop} is being deleted"):
        await cluster.write_secret(objects.draft(place), None, dry_run=True)
    free = {"metadata": {"finalizers": None}}
    await user.patch("ConfigMap", "blocker", place.shop, free)


async def test_the_installation_is_the_cluster_and_the_operators_namespace(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    system = await user.get("Namespace", "kube-system")
    assert system is not None
    assert await cluster.installation() == f"{system['metadata']['uid']}/{place.home}"
