"""The adapter before the session's API server, in namespaces of each test's own."""

import asyncio
import pathlib
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from leaseholder.cluster import adapter
from tests.cluster.adapter import objects
from tests.world import faults, kube, kubernetes, processes

CRDS = processes.CHECKOUT / "crds"


async def _install(plane: kubernetes.ControlPlane) -> dict[str, kube.Object]:
    """Apply the CRDs and wait until they are served; the CRDs as the API server has them."""
    served: dict[str, kube.Object] = {}
    async with kube.Kube(plane) as user:
        for path in sorted(CRDS.glob("*.yaml")):
            await user.apply_file(path)
            name = f"{path.stem}.leaseholder.dev"
            found = await user.wait(
                "CustomResourceDefinition", name, "", _established, what="the CRD is established"
            )
            assert found is not None
            served[path.stem] = found
    return served


def _established(crd: kube.Object | None) -> bool:
    return kube.condition(crd, "Established").get("status") == "True"


@pytest.fixture(scope="session")
def served(control_plane: kubernetes.ControlPlane) -> Iterator[dict[str, kube.Object]]:
    """The CRDs as the API server has them, by plural."""
    with asyncio.Runner() as runner:
        # The loop stays: TLS of a watch that was broken off is still being closed in it.
        yield runner.run(_install(control_plane))


@pytest.fixture
async def user(
    control_plane: kubernetes.ControlPlane, served: dict[str, kube.Object]
) -> AsyncIterator[kube.Kube]:
    """An administrator, beside the adapter."""
    async with kube.Kube(control_plane) as connected:
        yield connected


@pytest.fixture
async def place(user: kube.Kube) -> objects.Place:
    """Two namespaces that stay: one with a record of ours would never go, and be tried for ever.

    The namespace controller asks for every kind of object each time, some 130 requests.
    """
    suffix = secrets.token_hex(4)
    found = objects.Place(f"shop-{suffix}", f"home-{suffix}")
    for name in (found.shop, found.home):
        await user.apply(objects.manifest("Namespace", name))
    return found


@pytest.fixture
async def cluster(
    control_plane: kubernetes.ControlPlane, place: objects.Place
) -> AsyncIterator[adapter.KubernetesCluster]:
    """The adapter with all rights."""
    async with objects.connected(control_plane.kubeconfig, place) as found:
        yield found


@pytest.fixture(scope="session")
def proxy(
    control_plane: kubernetes.ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[faults.FaultProxy]:
    with faults.FaultProxy.start(
        control_plane.url,
        directory=tmp_path_factory.mktemp("adapter-faults"),
        upstream_ca=control_plane.ca_file,
    ) as running:
        yield running


@pytest.fixture
def through_proxy(
    control_plane: kubernetes.ControlPlane, proxy: faults.FaultProxy
) -> Iterator[pathlib.Path]:
    """A kubeconfig with all rights whose server is the fault proxy."""
    assert control_plane.admin_token is not None
    yield control_plane.kubeconfig_for(
        control_plane.admin_token, url=proxy.url, ca_file=proxy.ca_file
    )
    proxy.faults.clear()
