"""The chart on a real API server: installed, run with its rights, upgraded, taken out and back."""

import asyncio
import collections.abc
import dataclasses
import pathlib
import shutil
import typing

import pytest
import pytest_asyncio
import yaml

from tests.chart import argo
from tests.cluster import sites
from tests.world import charts, kube, kubernetes, operator
from tests.world import postgres as postgres_server
from tests.world import world as worlds
from tests.world.infisical import client as infisical

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HOME: typing.Final = charts.RELEASE
VALUES: typing.Final[charts.Values] = {
    "providerHosts": [operator.HOSTS],
    "namespaces": ["shop"],
    "podDisruptionBudget": {"enabled": True},
    "monitoring": {"dashboard": {"enabled": True}},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A cluster with the chart in it, and the operator that its Deployment would run."""

    helm: charts.Helm
    site: sites.Site

    @property
    def client(self) -> kube.Kube:
        return self.site.client

    async def helm_run(self, *arguments: str, values: charts.Values | None = None) -> str:
        return await asyncio.to_thread(self.helm.run, *arguments, values=values)

    async def upgrade(self, chart: pathlib.Path, values: charts.Values) -> None:
        await self.helm_run("upgrade", charts.RELEASE, str(chart), values=values)

    async def has_field(self, name: str) -> bool:
        """Whether DynamicLeases have a field in their spec."""
        crd = await self.client.get("CustomResourceDefinition", "dynamicleases.leaseholder.dev")
        assert crd is not None
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return name in schema["properties"]["spec"]["properties"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(
    control_plane_binary: pathlib.Path,
    helm: pathlib.Path,
    postgres: postgres_server.Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> collections.abc.AsyncIterator[Installed]:
    """A control plane of its own: nobody else has put our CRDs there."""
    with (
        kubernetes.ControlPlane.start(tmp_path_factory.mktemp("plane")) as plane,
        worlds.World.start(
            directory=tmp_path_factory.mktemp("installed"),
            control_plane=plane,
            database=postgres,
            min_ttl=2,
        ) as world,
    ):
        async with (
            kube.Kube(plane) as client,
            infisical.InfisicalAdmin(world.infisical.url) as admin,
        ):
            chart = charts.Helm(kubeconfig=plane.kubeconfig)
            await client.apply_file(charts.CHART.parent / "namespace.yaml")
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
            await client.apply(namespace)
            await asyncio.to_thread(chart.install, VALUES)
            deployment = await client.get("Deployment", HOME, HOME)
            running = await operator.Operator.start(
                world, client, settings={**_environment(deployment), **operator.FAST}
            )
            site = sites.Site(world, client, admin, running, "shop", HOME, {})
            try:
                await site.auth_secret()
                labels = {"metadata": {"labels": {"leaseholder.dev/auth": "true"}}}
                await client.patch("Secret", "infisical-auth", "shop", labels)
                await site.provider()
                yield Installed(chart, site)
            finally:
                site.operator.stop()


def _environment(deployment: kube.Object | None) -> dict[str, str]:
    assert deployment is not None
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


async def test_the_operator_serves_with_the_rights_and_settings_that_are_installed(
    installed: Installed,
) -> None:
    site = installed.site
    await site.lease("orders", ttl="1h")
    await site.ready("orders")
    assert await site.logs_in("orders")
    await site.delete("orders")
    await site.gone("orders")


async def test_the_pod_is_admitted_where_the_restricted_standard_is_enforced(
    installed: Installed,
) -> None:
    namespace = await installed.client.get("Namespace", HOME)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    async with asyncio.timeout(60):
        async for found in installed.client.watch("Pod", HOME):
            if found["metadata"]["name"].startswith(f"{HOME}-"):
                break


async def test_a_dry_run_by_the_server_takes_every_object_of_the_chart(
    installed: Installed,
) -> None:
    powers = {power: {"enabled": True} for power in ("tokens", "workloads", "configmaps")}
    told = await installed.helm_run(
        *("upgrade", charts.RELEASE, str(charts.CHART), "--dry-run=server"),
        values={
            **VALUES,
            "rights": powers,
            "networkPolicy": {"egress": [{}]},
            "metricsAuth": True,
        },
    )
    assert "leaseholder-workloads" in told
    assert "leaseholder-metrics-reader" in told


async def test_what_is_installed_is_what_the_chart_says_field_by_field(
    installed: Installed,
) -> None:
    """No default of the API server makes a difference for a tool that compares."""
    manifest = await installed.helm_run("get", "manifest", charts.RELEASE)
    documents = [one for one in yaml.safe_load_all(manifest) if one is not None]
    assert len(documents) > 20
    for wanted in documents:
        meta = wanted["metadata"]
        found = await installed.client.get(wanted["kind"], meta["name"], meta.get("namespace", ""))
        assert [*_differences(wanted, found)] == [], f"{wanted['kind']} {meta['name']}"


def _differences(
    wanted: typing.Any, found: typing.Any, path: str = ""
) -> collections.abc.Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from _differences(value, found.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif wanted != found and not (wanted in ({}, [], "") and found is None):
        yield path


async def test_an_upgrade_brings_new_fields_and_back_and_rotates_nothing(
    installed: Installed, tmp_path: pathlib.Path
) -> None:
    site = installed.site
    await site.lease("steady", ttl="1h")
    before = await site.ready("steady")
    newer = _newer(tmp_path)
    await installed.upgrade(newer, {**VALUES, "rights": {"workloads": {"enabled": True}}})
    assert await installed.has_field("addedLater")
    assert await installed.client.get("RoleBinding", "leaseholder-workloads", "shop")
    change = {"spec": {"renewal": {"afterPercent": 50}}}
    await installed.client.patch("DynamicLease", "steady", "shop", change)
    generation = before["metadata"]["generation"] + 1
    found = await site.until("steady", _inspected(generation), what="looked at in the new shape")
    assert found["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    await installed.helm_run("rollback", charts.RELEASE)
    assert not await installed.has_field("addedLater")
    assert await installed.client.get("RoleBinding", "leaseholder-workloads", "shop") is None
    change = {"spec": {"renewal": {"afterPercent": 60}}}
    await installed.client.patch("DynamicLease", "steady", "shop", change)
    found = await site.until("steady", _inspected(generation + 1), what="looked at in the old one")
    assert found["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert await site.logs_in("steady")
    await site.delete("steady")
    await site.gone("steady")


async def test_values_that_change_the_shape_of_the_deployment_are_taken_and_taken_back(
    installed: Installed,
) -> None:
    """What a former shape leaves behind, by the API server's defaults, refuses no new one."""
    shapes: list[tuple[charts.Values, str, int]] = [
        ({"leaderElection": False}, "Recreate", 1),
        ({"replicas": 2, "shards": ["batch"], "runAsUser": None}, "RollingUpdate", 2),
        ({}, "RollingUpdate", 1),
    ]
    for changes, strategy, replicas in shapes:
        await installed.upgrade(charts.CHART, {**VALUES, **changes})
        found = await installed.client.get("Deployment", HOME, HOME)
        assert found is not None
        assert found["spec"]["strategy"]["type"] == strategy
        assert found["spec"]["replicas"] == replicas
    assert await installed.client.get("Deployment", f"{HOME}-batch", HOME) is None


async def test_a_second_installation_leaves_the_crds_to_the_first(installed: Installed) -> None:
    await installed.client.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "second"}}
    )
    second = charts.Helm(kubeconfig=installed.helm.kubeconfig, namespace="second")
    given = {**VALUES, "namespaces": ["second"]}
    install = ("install", "second", str(charts.CHART))
    with pytest.raises(charts.Refused) as refused:
        await asyncio.to_thread(second.run, *install, values=given)
    assert "clusterleaseproviders.leaseholder.dev" in str(refused.value)
    shared = {**given, "crds": {"enabled": False}, "aggregateRoles": False}
    install = ("install", charts.RELEASE, str(charts.CHART))
    with pytest.raises(charts.Refused) as refused:
        await asyncio.to_thread(second.run, *install, values=shared)
    assert f'ClusterRole "{HOME}' in str(refused.value)
    shared["fullnameOverride"] = "second"
    await asyncio.to_thread(second.run, *install, values=shared)
    assert await installed.client.get("Deployment", "second", "second")
    assert await installed.client.get("ClusterRole", "second-secrets")
    await asyncio.to_thread(second.run, "uninstall", charts.RELEASE)
    assert await installed.has_field("ttl")
    assert await installed.client.get("ClusterRole", HOME)


def _inspected(generation: int) -> collections.abc.Callable[[kube.Object | None], bool]:
    return lambda one: (
        one is not None
        and one["status"].get("observedGeneration") == generation
        and kube.is_ready(one)
    )


def _newer(folder: pathlib.Path) -> pathlib.Path:
    """The chart of a later version, whose DynamicLeases have one field more."""
    chart = pathlib.Path(shutil.copytree(charts.CHART, folder / "newer"))
    about = chart / "Chart.yaml"
    about.write_text(about.read_text("utf-8").replace("version: 0.1.0", "version: 0.2.0"), "utf-8")
    path = chart / "files" / "crds" / "dynamicleases.yaml"
    crd = yaml.safe_load(path.read_text("utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["addedLater"] = {"type": "string", "maxLength": 9}
    path.write_text(yaml.safe_dump(crd, sort_keys=False), "utf-8")
    return chart


async def test_crds_leases_and_records_outlive_an_uninstall_and_are_taken_over_again(
    installed: Installed,
) -> None:
    site = installed.site
    await site.lease("kept", ttl="1h")
    before = await site.ready("kept")
    await installed.helm_run("uninstall", charts.RELEASE)
    assert await installed.client.get("Deployment", HOME, HOME) is None
    assert await installed.client.get("ClusterRole", HOME) is None
    assert await site.found("kept") is not None
    assert await installed.client.list("LeaseRecord", HOME)
    assert await site.logs_in("kept")
    await asyncio.to_thread(installed.helm.install, VALUES)
    site.operator.stop()
    deployment = await installed.client.get("Deployment", HOME, HOME)
    site.operator = await operator.Operator.start(
        site.world, installed.client, settings={**_environment(deployment), **operator.FAST}
    )
    await installed.client.patch(
        "DynamicLease", "kept", "shop", {"spec": {"renewal": {"afterPercent": 50}}}
    )
    after = before["metadata"]["generation"] + 1
    found = await site.until("kept", _inspected(after), what="taken over")
    assert found["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    await site.delete("kept")
    await site.gone("kept")


async def test_tools_that_read_kstatus_wait_until_a_lease_is_ready(
    installed: Installed, tmp_path: pathlib.Path, glua: pathlib.Path
) -> None:
    """Helm waits by kstatus, as Flux does; Argo CD asks our script."""
    chart = tmp_path / "waiting"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: waiting\nversion: 1.0.0\n", "utf-8")
    spec = {"providerRef": {"name": "infisical"}, **installed.site.source("orders-db")}
    document = {
        "apiVersion": "leaseholder.dev/v1alpha1",
        "kind": "DynamicLease",
        "metadata": {"name": "waited-for", "namespace": "shop"},
        "spec": spec,
    }
    (chart / "templates" / "lease.yaml").write_text(yaml.safe_dump(document), "utf-8")
    wait = ("--wait", "--timeout", "90s")
    await installed.helm_run("install", "waiting", str(chart), *wait)
    found = await installed.site.found("waited-for")
    assert found is not None
    assert argo.health(glua, found) == ("Healthy", "the Secret holds credentials that live")
    provider = await installed.client.get("LeaseProvider", "infisical", "shop")
    assert provider is not None
    assert argo.health(glua, provider).status == "Healthy"
    await installed.helm_run("uninstall", "waiting", *wait)
    await installed.site.gone("waited-for")
    document["spec"] = {**spec, "providerRef": {"name": "missing"}}
    (chart / "templates" / "lease.yaml").write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(charts.Refused):
        await installed.helm_run("install", "waiting", str(chart), "--wait", "--timeout", "3s")
    waits = await installed.site.reason("waited-for", "ProviderMissing")
    assert argo.health(glua, waits).status == "Degraded"
    await installed.helm_run("uninstall", "waiting", *wait)
