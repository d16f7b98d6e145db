"""``kubectl leaseholder forget`` at a real API server: only what was given up is let go."""

import contextlib

import pytest

from leaseholder.api import record
from leaseholder.cli import exits, forgetting, session
from leaseholder.cluster import adapter
from tests.cluster.adapter import objects
from tests.world import kubernetes


def _administrator(
    plane: kubernetes.ControlPlane, place: objects.Place
) -> contextlib.AbstractAsyncContextManager[session.Session]:
    return session.opened(kubeconfig=str(plane.kubeconfig), context="", namespace=place.home)


async def test_an_abandoned_lease_goes_and_the_record_says_so(
    cluster: adapter.KubernetesCluster,
    control_plane: kubernetes.ControlPlane,
    place: objects.Place,
) -> None:
    lost = objects.held(place).but(state=record.State.ABANDONED)
    kept = objects.held(place).but(attempt_id="b", lease_id="l-2")
    made = await cluster.create_record(objects.page(place, lost, kept))
    async with _administrator(control_plane, place) as user:
        said = await forgetting.forget(user, "a")
    assert said == f"lease l-1 of {place.shop}/orders is forgotten"
    found = await cluster.record_named(made.name)
    assert found is not None
    assert found.leases == (kept,)
    assert [(one.attempt_id, one.why) for one in found.spec.ended] == [("a", "Forgotten")]


async def test_of_the_last_lease_the_finalizer_goes_too(
    cluster: adapter.KubernetesCluster,
    control_plane: kubernetes.ControlPlane,
    place: objects.Place,
) -> None:
    lost = objects.held(place).but(state=record.State.ABANDONED)
    made = await cluster.create_record(objects.page(place, lost))
    async with _administrator(control_plane, place) as user:
        await forgetting.forget(user, "a")
    found = await cluster.record_named(made.name)
    assert found is not None
    assert (found.leases, found.metadata.finalizers) == ((), ())


async def test_what_was_not_given_up_stays(
    cluster: adapter.KubernetesCluster,
    control_plane: kubernetes.ControlPlane,
    place: objects.Place,
) -> None:
    made = await cluster.create_record(objects.page(place, objects.held(place)))
    async with _administrator(control_plane, place) as user:
        with pytest.raises(exits.Failed, match="is Held: only an Abandoned lease"):
            await forgetting.forget(user, "a")
        with pytest.raises(exits.Failed, match="has attempt nothing: mind -n"):
            await forgetting.forget(user, "nothing")
    assert await cluster.record_named(made.name) == made
