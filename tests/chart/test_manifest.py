"""deploy/install.yaml and the base for kustomize, as the page has them, on a real API server."""

import collections.abc
import pathlib
import shutil
import subprocess
import typing

import pytest
import pytest_asyncio
import yaml

from tests import pages
from tests.world import kube, kubernetes
from tools import chart

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS: typing.Final = "LEASEHOLDER_PROVIDER_HOSTS"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(
    control_plane_binary: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.AsyncIterator[kube.Kube]:
    """A control plane of its own: nobody else has put our CRDs there."""
    with kubernetes.ControlPlane.start(tmp_path_factory.mktemp("plane")) as plane:
        async with kube.Kube(plane) as opened:
            yield opened


def overlaid(kustomize: pathlib.Path, folder: pathlib.Path) -> list[kube.Object]:
    """What the page's overlay makes of deploy/."""
    (overlay,) = (one for _, one in pages.documents() if one.get("kind") == "Kustomization")
    (folder / "deploy").mkdir()
    for name in ("kustomization.yaml", "install.yaml"):
        shutil.copy(chart.MANIFEST.with_name(name), folder / "deploy")
    (folder / "ours").mkdir()
    (folder / "ours" / "kustomization.yaml").write_text(yaml.safe_dump(overlay), "utf-8")
    built = subprocess.run(
        [kustomize, "build", folder / "ours"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return [*yaml.safe_load_all(built.stdout)]


def _container(objects: collections.abc.Iterable[kube.Object]) -> kube.Object:
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return typing.cast("kube.Object", container)


def _names(objects: collections.abc.Iterable[kube.Object]) -> list[tuple[str, str]]:
    return sorted((one["kind"], one["metadata"]["name"]) for one in objects)


async def test_the_api_server_takes_the_manifest_twice_and_field_by_field(
    client: kube.Kube,
) -> None:
    for _ in range(2):
        await client.apply_file(chart.MANIFEST)
    found = await client.get("Deployment", chart.RELEASE, chart.RELEASE)
    assert found is not None
    assert found["metadata"]["generation"] == 1


async def test_the_overlay_of_the_page_writes_image_and_hosts_and_nothing_else(
    client: kube.Kube, kustomize: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    plain = [*yaml.safe_load_all(chart.MANIFEST.read_text("utf-8"))]
    built = overlaid(kustomize, tmp_path)
    assert _names(built) == _names(plain)
    before, after = _container(plain), _container(built)
    assert after["image"].startswith("registry.example.com/leaseholder:")
    hosts = {one["name"]: one["value"] for one in after["env"]}
    assert hosts[HOSTS] == "us.infisical.com"
    assert {one["name"]: one["value"] for one in before["env"]} == {**hosts, HOSTS: ""}
    for one in built:
        await client.apply(one)
    found = await client.get("Deployment", chart.RELEASE, chart.RELEASE)
    assert found is not None
    assert _container([found])["image"] == after["image"]
