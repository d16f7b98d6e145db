"""The operator as a process: its own ServiceAccount, exactly the rights that the chart gives.

Several can run at once, each with a namespace, a ledger and served namespaces of its own.
"""

import asyncio
import dataclasses
import functools
import os
import pathlib
import signal
import types
import typing
import urllib.error
import urllib.request

from tests.world import charts, kube, processes
from tests.world import world as worlds

_CRDS = processes.CHECKOUT / "crds"
_HOME = "leaseholder"
FAST = {
    "LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS": "2",
    "LEASEHOLDER_INFISICAL__SETTLE_SECONDS": "2",
    "LEASEHOLDER_INFISICAL__REPLICA_LAG_SECONDS": "2",
}
"""Settings for the emulator with ``--min-ttl 2`` and no replicas."""
IMAGE = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""What deploy/Dockerfile sets: the operator runs as in its image."""
IMPORTED = ("leaseholder.app", "leaseholder.settings")
"""What the program imports once it runs."""
HOSTS = f"http://{processes.LOOPBACK}"
"""Where the world's providers are; an administrator has to allow it."""


OPTIONS = ("tokens", "workloads", "configmaps")
"""The rights that an administrator binds where they are wanted."""


def rights(*options: str, shards: typing.Sequence[str] = ()) -> charts.Values:
    """Values that bind these rights, cluster-wide, and that for reviews of tokens."""
    return {**charts.rights(*options, shards=shards), "metricsAuth": True}


async def install(
    client: kube.Kube,
    namespace: str = _HOME,
    *,
    options: typing.Sequence[str] = OPTIONS,
    shards: typing.Sequence[str] = (),
) -> None:
    """CRDs, and the operator's namespace, ServiceAccount and rights, as the chart has them."""
    await _install_crds(client)
    rendered = await asyncio.to_thread(charts.rendered, rights(*options, shards=shards))
    home = kube.documents(processes.CHECKOUT / "deploy" / "namespace.yaml")
    for document in [*home, *(one for one in rendered if one["kind"] in charts.ROLES)]:
        await client.apply(_moved(document, namespace))


@dataclasses.dataclass(slots=True)
class Operator:
    """A running operator."""

    process: processes.Process
    metrics_url: str

    @classmethod
    async def start(
        cls,
        world: worlds.World,
        client: kube.Kube,
        *,
        name: str = "operator",
        home: str = _HOME,
        namespaces: str = "",
        settings: typing.Mapping[str, str] = types.MappingProxyType(FAST),
        awaited: bool = True,
    ) -> "Operator":
        """Start it and, if ``awaited``, wait until it is ready; ``install`` comes first."""
        token = await client.service_account_token("leaseholder", home)
        port = processes.free_port()
        environment = {
            **IMAGE,
            "KUBECONFIG": os.fspath(world.kubeconfig_for(token)),
            "LEASEHOLDER_OPERATOR_NAMESPACE": home,
            "LEASEHOLDER_NAMESPACES": namespaces,
            "LEASEHOLDER_METRICS_ADDRESS": f"{processes.LOOPBACK}:{port}",
            "LEASEHOLDER_LOG_LEVEL": "DEBUG",
            "LEASEHOLDER_PROVIDER_HOSTS": HOSTS,
            **settings,
        }
        process = _run(world, name, environment)
        running = cls(process, f"http://{processes.LOOPBACK}:{port}")
        if awaited:
            await running.until_ready()
        return running

    async def until_ready(self) -> None:
        """Wait until it is ready; one that isn't in time is stopped."""
        try:
            await asyncio.to_thread(
                processes.wait_until,
                self.ready,
                timeout=90,
                what="the operator is ready",
                part=self.process,
            )
        except BaseException as error:
            self.process.stop()
            raise AssertionError(f"{error}\n{self.process.last_words(40)}") from None

    @property
    def log(self) -> pathlib.Path:
        """Everything that it logged."""
        return self.process.log

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether a path answers 200."""
        try:
            with urllib.request.urlopen(self.metrics_url + path, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def exposition(self) -> str:
        """What /metrics answers."""
        with urllib.request.urlopen(self.metrics_url + "/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def metrics(self) -> dict[str, float]:
        """All samples of /metrics, by name with labels."""
        lines = self.exposition().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    @property
    def resident(self) -> float:
        """MiB that it has in memory."""
        return self._memory("VmRSS")

    @property
    def peak(self) -> float:
        """MiB that it ever had in memory."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> float:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(field))
        return int(line.split()[1]) / 1024

    def terminate(self) -> None:
        """SIGTERM, as Kubernetes stops a pod; returns at once."""
        os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        self.process.stop()


def _run(
    world: worlds.World, name: str, environment: typing.Mapping[str, str]
) -> processes.Process:
    """The program, started as a user starts it where the world doesn't fork it."""
    program, directory = ("leaseholder.cli.main", "run"), world.directory
    if world.forks is not None:
        return world.forks.fork(name, *program, directory=directory, environment=environment)
    command = processes.python(*program)
    return processes.Process.start(name, command, directory=directory, environment=environment)


async def _install_crds(client: kube.Kube) -> None:
    """Those that aren't there as they were installed before: one takes an API server 80 ms."""
    for crd in await asyncio.to_thread(_crds):
        place = client.plane.url, crd["metadata"]["name"]
        found = await client.get("CustomResourceDefinition", place[1])
        if found is None or _INSTALLED.get(place) != _version(found):
            await client.apply(crd)
    for crd in _crds():
        place = client.plane.url, crd["metadata"]["name"]
        found = await client.wait(
            "CustomResourceDefinition", place[1], "", _established, what="the CRD is established"
        )
        assert found is not None
        _INSTALLED[place] = _version(found)


_INSTALLED: dict[tuple[str, str], tuple[str, int, bool]] = {}
"""How CRDs were after they were applied, by API server and name."""


def _version(crd: kube.Object) -> tuple[str, int, bool]:
    """Differs where anybody changed what a CRD says, or began to delete it."""
    meta = crd["metadata"]
    return meta["uid"], meta["generation"], "deletionTimestamp" in meta


@functools.cache
def _crds() -> list[kube.Object]:
    return [one for path in sorted(_CRDS.glob("*.yaml")) for one in kube.documents(path)]


def _established(found: kube.Object | None) -> bool:
    return kube.condition(found, "Established").get("status") == "True"


def _moved(document: kube.Object, namespace: str) -> kube.Object:
    """A manifest for an operator in another namespace."""
    if namespace == _HOME:
        return document
    meta = document["metadata"]
    if meta.get("namespace") == _HOME:
        meta["namespace"] = namespace
    if document["kind"] == "Namespace":
        meta["name"] = namespace
    if document["kind"] == "ClusterRoleBinding":
        meta["name"] = f"{meta['name']}-{namespace}"
    for subject in document.get("subjects", []):
        subject["namespace"] = namespace
    return document
