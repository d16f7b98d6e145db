"""An API server that is away, slow, odd, or says no."""

import pathlib
from collections.abc import Callable

import pytest

from leaseholder import errors
from leaseholder.api.lease import DynamicLeaseStatus
from leaseholder.cluster import adapter, client, places
from tests.cluster.adapter import objects
from tests.world import faults, kube, kubernetes


async def test_an_api_server_that_is_away_slow_or_throttling_is_unavailable(
    place: objects.Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    here = f"namespaces/{place.shop}/secrets/x"
    ways: tuple[Callable[[], str], ...] = (
        lambda: proxy.faults.answer(503, path=here, body=objects.CANARY),
        lambda: proxy.faults.reset(path=here),
        lambda: proxy.faults.answer(200, path=here, body=objects.CANARY),
        lambda: proxy.faults.answer(429, path=here, retry_after=3),
    )
    failures = []
    async with objects.connected(through_proxy, place) as proxied:
        for fail in ways:
            fail()
            with pytest.raises(errors.ClusterUnavailable) as away:
                await proxied.secret(place.shop, "x")
            assert away.value.__context__ is None
            failures.append(away.value)
            proxy.faults.clear()
        assert failures[-1].retry_after == 3.0
        assert objects.CANARY not in repr(failures)
        assert await proxied.secret(place.shop, "x") is None


async def test_a_hanging_api_server_is_unavailable(
    place: objects.Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.hang(path="namespaces/kube-system", times=1)
    api = await client.Api.connect(through_proxy)
    try:
        with pytest.raises(errors.ClusterUnavailable, match="no answer in time"):
            await api.request("GET", places.NAMESPACES.at("", "kube-system"), timeout=0.3)
    finally:
        await api.aclose()


async def test_a_write_is_never_sent_twice(
    place: objects.Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.reset_after_commit(method="POST", path=f"{place.home}/leaserecords", times=1)
    async with objects.connected(through_proxy, place) as proxied:
        with pytest.raises(errors.ClusterUnavailable):
            await proxied.create_record(objects.page(place, objects.attempt(place)))
        assert len(await proxied.records()) == 1


async def test_a_missing_right_is_named(
    control_plane: kubernetes.ControlPlane, user: kube.Kube, place: objects.Place
) -> None:
    kubeconfig = await objects.powerless(user, control_plane, place)
    async with objects.connected(kubeconfig, place) as powerless:
        with pytest.raises(errors.Refused, match="no right to get secrets"):
            await powerless.secret(place.shop, "x")
        with pytest.raises(errors.Refused, match="no right to create secrets"):
            await powerless.write_secret(objects.draft(place), None)
        with pytest.raises(errors.Refused, match="no right to list dynamicleases"):
            await anext(powerless.dynamic_leases())
        with pytest.raises(errors.Refused, match="no right to create leaserecords"):
            await powerless.create_record(objects.page(place))


async def test_a_token_that_is_not_accepted_makes_the_api_server_unavailable(
    control_plane: kubernetes.ControlPlane, place: objects.Place
) -> None:
    async with objects.connected(control_plane.kubeconfig_for("wrong"), place) as stranger:
        with pytest.raises(errors.ClusterUnavailable, match="401"):
            await stranger.secret(place.shop, "x")


async def test_an_unreadable_object_hides_no_other_and_is_refused_by_itself(
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await cluster.create_record(objects.page(place, objects.attempt(place)))
    made = await cluster.create_record(objects.page(place, objects.attempt(place), name="odd"))
    (lease,) = (await _body(user, made.name, place))["spec"]["leases"]
    change = {"spec": {"leases": [{**lease, "startedAt": _YEAR_0}]}}
    await user.patch("LeaseRecord", made.name, place.home, change)
    assert [one.spec.for_.name for one in await cluster.records()] == ["orders"]
    assert f"LeaseRecord {place.home}/{made.name} can't be read" in caplog.text
    with pytest.raises(errors.Refused, match=r"see spec\.leases\.0\.startedAt"):
        await cluster.record_named(made.name)


async def test_a_status_that_can_not_be_read_counts_as_lost(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    status = {"status": {"target": {"secretName": "x"}, "conditions": [_ODD_CONDITION]}}
    await user.patch("DynamicLease", "orders/status", place.shop, status)
    (dl,) = [one async for one in cluster.dynamic_leases()]
    assert dl.status == DynamicLeaseStatus()


async def _body(user: kube.Kube, name: str, place: objects.Place) -> kube.Object:
    found = await user.get("LeaseRecord", name, place.home)
    assert found is not None
    return found


_YEAR_0 = "0000-01-01T00:00:00Z"
"""The API server takes it, datetime doesn't."""
_ODD_CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "lastTransitionTime": _YEAR_0,
}


async def test_each_request_is_counted(
    control_plane: kubernetes.ControlPlane, place: objects.Place
) -> None:
    seen: list[tuple[str, str]] = []
    async with objects.connected(
        control_plane.kubeconfig, place, lambda verb, resource: seen.append((verb, resource))
    ) as counted:
        await counted.secret(place.shop, "x")
        made = await counted.create_record(objects.page(place))
        await counted.write_record(made, objects.page(place, objects.held(place)))
        await counted.records()
    assert seen == [
        ("get", "secrets"),
        ("create", "leaserecords"),
        ("patch", "leaserecords"),
        ("list", "leaserecords"),
    ]
