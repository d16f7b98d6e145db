"""Events: counted when repeated, swallowed when they cannot be posted."""

import dataclasses

from leaseholder.api import base, conditions, lease, provider
from leaseholder.cluster import adapter, patches
from leaseholder.ports.events import Note
from tests.cluster.adapter import objects
from tests.world import kube, kubernetes


async def test_repeated_events_are_counted_and_others_posted(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    about = await cluster.dynamic_lease(place.shop, "orders")
    assert about is not None
    note = Note("Warning", conditions.Reason.THROTTLED, "later")
    for _ in range(3):
        await cluster.emit(about, note)
    await cluster.emit(about, dataclasses.replace(note, message="still later"))
    found = await user.list("Event", place.shop)
    assert {e["message"]: e["count"] for e in found} == {"later": 3, "still later": 1}
    assert found[0]["involvedObject"]["uid"] == about.metadata.uid
    assert found[0]["source"]["component"] == found[0]["reportingComponent"] == "leaseholder"
    for event in found:
        await user.delete("Event", event["metadata"]["name"], place.shop)
    await cluster.emit(about, note)
    assert len(await user.list("Event", place.shop)) == 1


async def test_an_event_about_a_shared_provider_is_posted_in_default(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    meta = base.ObjectMeta(name=f"shared-{place.shop}", uid=place.shop)
    spec = provider.ClusterLeaseProviderSpec.model_validate(
        objects.infisical_spec(tokenAuth=objects.token_of("b"))
    )
    about = provider.ClusterLeaseProvider(metadata=meta, spec=spec)
    await cluster.emit(about, Note("Normal", conditions.Reason.READY, "fine"))
    found = await user.list("Event", "default")
    ours = [e for e in found if e["involvedObject"].get("name") == meta.name]
    assert [e["message"] for e in ours] == ["fine"]


async def test_events_that_can_not_be_posted_are_swallowed(
    control_plane: kubernetes.ControlPlane, user: kube.Kube, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    found = await user.get("DynamicLease", "orders", place.shop)
    assert found is not None
    about = patches.read(lease.DynamicLease, found)
    async with objects.connected(control_plane.kubeconfig_for("wrong"), place) as stranger:
        await stranger.emit(about, Note("Normal", conditions.Reason.READY, "fine"))
