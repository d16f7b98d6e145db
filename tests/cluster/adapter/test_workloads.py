"""Workloads before a real API server: found by name or label, stamped as they were read."""

from datetime import UTC, datetime

import pytest

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import adapter
from leaseholder.ports.workloads import Workload
from tests.cluster import workloads
from tests.cluster.adapter import objects
from tests.world import kube, kubernetes

KEY = f"{names.RESTART}/orders"
WHEN = datetime(2026, 11, 21, 8, tzinfo=UTC)


async def _orders(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> Workload:
    """A Deployment as the adapter reads it."""
    await user.apply(workloads.manifest("Deployment", "orders", place.shop, team="shop"))
    found = await cluster.workload("Deployment", place.shop, "orders")
    assert found is not None
    return found


async def test_a_restart_is_seen_on_the_pods(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    for value in ("u-1", "u-2"):
        found = await _orders(cluster, user, place)
        # The Deployment's own controller writes too: who comes too late looks again.
        while True:
            try:
                await cluster.stamp_workload(found, KEY, value, restart_at=WHEN)
                break
            except errors.Conflict:
                found = await _orders(cluster, user, place)
        raw = await user.get("Deployment", "orders", place.shop)
        assert raw is not None
        assert workloads.restarts(raw) == [value]
        seen = await cluster.workload("Deployment", place.shop, "orders")
        assert seen is not None
        assert seen.stamps == {KEY: value}


async def test_a_workload_that_changed_or_went_is_a_conflict(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    found = await _orders(cluster, user, place)
    await user.patch("Deployment", "orders", place.shop, {"spec": {"paused": True}})
    with pytest.raises(errors.Conflict):
        await cluster.stamp_workload(found, KEY, "u-2", restart_at=WHEN)
    await user.delete("Deployment", "orders", place.shop)
    with pytest.raises(errors.Conflict):
        await cluster.stamp_workload(found, KEY, "u-2", restart_at=WHEN)
    assert await cluster.workload("Deployment", place.shop, "orders") is None


async def test_workloads_are_found_by_all_their_labels(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    await _orders(cluster, user, place)
    await user.apply(workloads.manifest("Deployment", "web", place.shop, team="web"))
    (found,) = await cluster.workloads("Deployment", place.shop, {"team": "shop"})
    assert found.name == "orders"
    assert list(await cluster.workloads("StatefulSet", place.shop, {"team": "shop"})) == []


async def test_who_may_not_look_reads_which_role_is_missing(
    control_plane: kubernetes.ControlPlane, user: kube.Kube, place: objects.Place
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    await user.apply({**account, "metadata": {"name": "nobody", "namespace": place.shop}})
    token = await user.service_account_token("nobody", place.shop)
    async with objects.connected(control_plane.kubeconfig_for(token), place) as nobody:
        for look in (
            nobody.workload("Deployment", place.shop, "orders"),
            nobody.workloads("Rollout", place.shop, {"team": "shop"}),
        ):
            with pytest.raises(errors.Refused) as refused:
                await look
            assert refused.value.reason == Reason.DENIED
            assert "bind the ClusterRole leaseholder-workloads there" in refused.value.sentence
