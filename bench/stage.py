"""The world of the measures: real servers, one provider, the operator as users run it.

Everything is seen from outside: readiness by a watch on DynamicLeases, processor time and memory
by process, requests by the operator's and the provider's counters and the API server's own.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import json
import os
import re
import sys
import typing

from bench import usage
from tests.world import faults, houses, kube, openbao, openbao_mounts, operator, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical

NAMESPACE: typing.Final = "bench"
CONCURRENCY: typing.Final = 8
PATIENCE: typing.Final = 1800.0
"""Seconds for one wait; a measure that takes longer has failed."""

_APPLIERS: typing.Final = 50
_MEMORY: typing.Final = "4GiB"
"""What the control plane may take, as in a cluster: with less it collects garbage all the time."""
_READS: typing.Final = re.compile(r'leaseholder_cluster_requests_total\{.*verb="(get|list)"')
_OWN_WRITES: typing.Final = re.compile(
    r'leaseholder_cluster_requests_total\{.*verb="(create|patch|delete)"'
)
_WRITES: typing.Final = re.compile(
    r'apiserver_request_total\{.*code="2\d\d".*resource="([a-z]+)".*'
    r'verb="(POST|PUT|PATCH|APPLY|DELETE)".*\} ([\d.e+]+)'
)
_LATENESS: typing.Final = re.compile(r'leaseholder_lateness_seconds_bucket\{le="([^"]+)"\}')
_NO_PROXY: typing.Final = faults.Faults("")
Settled = collections.abc.Callable[[kube.Object], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """Counters and clocks of all parts at one moment."""

    operator: usage.Usage
    control_plane: usage.Usage
    provider: usage.Usage
    reads: float
    writes: float
    """Of whomever; the operator's are among them."""
    own_writes: float
    """The operator's since it started."""
    provider_requests: float
    lateness: dict[float, float]
    """How many due keys were taken up within so many seconds, by bound."""


@dataclasses.dataclass(slots=True)
class Bare:
    """The floor's process."""

    process: asyncio.subprocess.Process

    async def report(self, content: typing.Any) -> None:
        """Write one line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(content).encode() + b"\n")
        await self.process.stdin.drain()

    async def answer(self) -> dict[str, float]:
        """Its next line."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            raise SystemExit("the floor ended early")
        found: dict[str, float] = json.loads(line)
        return found


@dataclasses.dataclass(slots=True)
class Stage:
    """What a measure acts on."""

    world: worlds.World
    client: kube.Kube
    house: houses.House
    provider_pids: list[int]
    source: str
    running: operator.Operator | None = None

    # -- the operator

    async def start_operator(self) -> None:
        """Start it, and wait until it serves the provider."""
        self.running = await operator.Operator.start(
            self.world,
            self.client,
            settings={**operator.FAST, "LEASEHOLDER_LOG_LEVEL": "INFO"},
        )
        await self.client.wait(
            "LeaseProvider", self.house.type, NAMESPACE, kube.is_ready, what="Ready", timeout=60
        )

    def stop_operator(self) -> None:
        """Stop it in good order."""
        if self.running is not None:
            self.running.stop()
            self.running = None

    async def read(self) -> Reading:
        """All counters now."""
        found = {} if self.running is None else self.running.metrics()
        plane = self.world.control_plane.process
        return Reading(
            operator=usage.of(self.running.process.pid) if self.running else usage.Usage(0, 0),
            control_plane=usage.of(plane.pid) if plane else usage.Usage(0, 0),
            provider=_sum([usage.of(pid) for pid in self.provider_pids]),
            reads=sum(total for key, total in found.items() if _READS.match(key)),
            writes=await self._writes(),
            own_writes=sum(total for key, total in found.items() if _OWN_WRITES.match(key)),
            provider_requests=sum(
                total
                for key, total in found.items()
                if key.startswith("leaseholder_provider_requests_total")
            ),
            lateness={
                float(match[1]): total
                for key, total in found.items()
                if (match := _LATENESS.match(key)) is not None
            },
        )

    async def _writes(self) -> float:
        async with (
            self.world.control_plane.session() as raw,
            raw.get("/metrics") as answer,
        ):
            text = await answer.text()
        return sum(float(match[3]) for match in _WRITES.finditer(text))

    # -- DynamicLeases

    def manifest(self, name: str, **spec: typing.Any) -> kube.Object:
        """A DynamicLease of this provider; an hour, unless ``spec`` says otherwise."""
        return {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "DynamicLease",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "providerRef": {"name": self.house.type},
                self.house.type: self.house.source(self.source),
                "ttl": "1h",
                **spec,
            },
        }

    async def create(
        self, names: collections.abc.Sequence[str], seen: Bare | None = None, **spec: typing.Any
    ) -> None:
        """Create DynamicLeases, ``_APPLIERS`` at once; ``seen`` hears of each."""

        async def one(name: str) -> None:
            made = await self.client.create(self.manifest(name, **spec))
            if seen is not None:
                await seen.report(made)

        await each(names, one)

    async def command(self, names: collections.abc.Sequence[str], verb: str, nonce: str) -> None:
        """Annotate them all with a command."""

        async def one(name: str) -> None:
            change = {"metadata": {"annotations": {f"leaseholder.dev/{verb}": nonce}}}
            await self.client.patch("DynamicLease", name, NAMESPACE, change)

        await each(names, one)

    async def delete(self, names: collections.abc.Sequence[str], seen: Bare | None = None) -> None:
        """Delete them all; ``seen`` hears of each."""

        async def one(name: str) -> None:
            await self.client.delete("DynamicLease", name, NAMESPACE)
            if seen is not None:
                await seen.report({"metadata": {"name": name}})

        await each(names, one)

    @contextlib.asynccontextmanager
    async def until_all(
        self, names: collections.abc.Sequence[str], settled: Settled
    ) -> collections.abc.AsyncIterator[None]:
        """Watch from before the body on; returns when all of them are as wanted."""
        waiting = set(names)
        watching = asyncio.Event()

        async def watch() -> None:
            async with kube.Kube(self.world.control_plane) as own:
                # Something is always listed: the watch runs once it is there.
                async for found in own.watch("DynamicLease", NAMESPACE):
                    watching.set()
                    if settled(found):
                        waiting.discard(found["metadata"]["name"])
                    if not waiting:
                        return

        task = asyncio.create_task(watch())
        try:
            await asyncio.wait(
                [task, asyncio.create_task(watching.wait())],
                timeout=1,
                return_when=asyncio.FIRST_COMPLETED,
            )
            yield
            await asyncio.wait_for(task, PATIENCE)
        finally:
            task.cancel()

    # -- the floor

    @contextlib.asynccontextmanager
    async def bare(self) -> collections.abc.AsyncIterator[Bare]:
        """The floor's process, logged in."""
        plane = self.world.control_plane
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.floor",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=processes.CHECKOUT,
            env={**os.environ, "FLOOR_TOKEN": plane.admin_token or ""},
            limit=2**20,
        )
        floor = Bare(process)
        try:
            await floor.report(
                {
                    "ca": str(plane.ca_file),
                    "kubernetes": plane.url,
                    "namespace": NAMESPACE,
                    "concurrency": CONCURRENCY,
                    "type": self.house.type,
                    "provider": self._provider_order(),
                }
            )
            await floor.answer()
            yield floor
        finally:
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()

    def _provider_order(self) -> dict[str, typing.Any]:
        if isinstance(self.house, houses.OpenBao):
            role = self.house.role
            source = self.house.source(self.source)["path"]
            secrets = {"roleId": role.role_id, "secretId": role.secret_id}
            return {"url": self.house.url, "source": source, **secrets}
        source = dict(self.house.source(self.source))
        name = source.pop("dynamicSecretName")
        return {"url": self.world.infisical.url, "source": name, "place": source} | dict(
            self.house.login()
        )


async def each(
    names: collections.abc.Sequence[str],
    work: collections.abc.Callable[[str], collections.abc.Awaitable[None]],
) -> None:
    """Do it for each name, ``_APPLIERS`` at once."""
    gate = asyncio.Semaphore(_APPLIERS)

    async def one(name: str) -> None:
        async with gate:
            await work(name)

    await asyncio.gather(*(one(name) for name in names))


def _sum(parts: list[usage.Usage]) -> usage.Usage:
    return usage.Usage(sum(part.cpu_seconds for part in parts), sum(part.rss_mib for part in parts))


@contextlib.asynccontextmanager
async def opened(type_: str, *, latency: float = 0.0) -> collections.abc.AsyncIterator[Stage]:
    """A world with one provider and no operator yet; ``latency`` in ms, of the emulator only.

    Lives are shorter than a real server lets them be, so that a young lease can be renewed.
    """
    world = await asyncio.to_thread(lambda: worlds.World.start(min_ttl=2, memory=_MEMORY))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(world.stop)
        client = await stack.enter_async_context(kube.Kube(world.control_plane))
        await operator.install(client)
        await client.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        house, pids = await _house(stack, world, type_, latency)
        for document in houses.manifests(house, NAMESPACE, house.type):
            if document["kind"] == "LeaseProvider":
                document["spec"]["limits"] = {"concurrency": CONCURRENCY}
            await client.apply(document)
        stage = Stage(world, client, house, pids, house.sources[0])
        stack.callback(stage.stop_operator)
        yield stage


async def _house(
    stack: contextlib.AsyncExitStack, world: worlds.World, type_: str, latency: float
) -> tuple[houses.House, list[int]]:
    """The provider without a proxy before it (what a proxy costs isn't measured), and its pids."""
    database = world.postgres.process.pid
    if type_ == "infisical":
        admin = await stack.enter_async_context(infisical.InfisicalAdmin(world.infisical.url))
        await admin.turn(latencyMs=latency)
        house: houses.House = houses.Infisical(world, admin, _NO_PROXY, world.infisical.url)
        return house, [world.infisical.process.pid, database]
    bao = await asyncio.to_thread(openbao.OpenBao.start, world.directory, world.postgres)
    stack.callback(bao.stop)
    role = await asyncio.to_thread(
        lambda: bao.approle(openbao_mounts.POLICY, token_ttl="1h", token_max_ttl="24h")
    )
    house = houses.OpenBao(world, bao, role, _NO_PROXY, bao.url)
    return house, [bao.process.pid, database]
