"""The status of DynamicLeases and providers: replaced whole, never over a change."""

import pytest

from leaseholder import errors
from leaseholder.api import conditions, lease, provider
from leaseholder.cluster import adapter
from tests.cluster.adapter import objects
from tests.world import kube


async def test_status_is_replaced_with_what_went_gone(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    first = lease.DynamicLeaseStatus(
        observed_generation=1,
        conditions=(_ready("True"),),
        retry=lease.Retry(failures=1, next_at=objects.MOMENT, reason="x"),
        handled=lease.Handled(rotate="n"),
        target=lease.TargetStatus(secret_name="orders", keys=("A", "B")),
    )
    second = lease.DynamicLeaseStatus(
        observed_generation=1, target=lease.TargetStatus(secret_name="orders", keys=("B",))
    )
    for status in (first, second):
        known = await cluster.dynamic_lease(place.shop, "orders")
        assert known is not None
        await cluster.patch_lease_status(known, status)
        written = await cluster.dynamic_lease(place.shop, "orders")
        assert written is not None
        assert written.status == status
    raw = await user.get("DynamicLease", "orders", place.shop)
    assert raw is not None
    assert "retry" not in raw["status"]


def _ready(status: conditions.Verdict) -> conditions.Condition:
    return conditions.Condition(
        type="Ready", status=status, reason="Ready", last_transition_time=objects.MOMENT
    )


async def test_status_of_a_changed_or_vanished_dynamiclease_is_a_conflict(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    known = await cluster.dynamic_lease(place.shop, "orders")
    assert known is not None
    await user.patch("DynamicLease", "orders", place.shop, {"spec": {"suspend": True}})
    with pytest.raises(errors.Conflict):
        await cluster.patch_lease_status(known, lease.DynamicLeaseStatus(observed_generation=9))
    await user.delete("DynamicLease", "orders", place.shop)
    with pytest.raises(errors.Conflict):
        await cluster.patch_lease_status(known, lease.DynamicLeaseStatus(observed_generation=9))


async def test_both_kinds_of_provider_are_found_and_told_their_status(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    name = f"shared-{place.shop}"
    shared = objects.shared_infisical(name, tokenAuth=objects.token_of(place.shop))
    await user.apply(objects.infisical(place))
    await user.apply(shared)
    status = provider.ProviderStatus(type="infisical", conditions=(_ready("True"),))
    for ref in (
        lease.ProviderRef(name="infisical"),
        lease.ProviderRef(kind="ClusterLeaseProvider", name=name),
    ):
        known = await cluster.provider_of(ref, place.shop)
        assert known is not None
        assert ref.kind == known.KIND
        await cluster.patch_provider_status(known, status)
        with pytest.raises(errors.Conflict):
            await cluster.patch_provider_status(known, provider.ProviderStatus(type="x"))
        again = await cluster.provider_of(ref, place.shop)
        assert again is not None
        assert again.status == status
    await user.delete("ClusterLeaseProvider", name)
