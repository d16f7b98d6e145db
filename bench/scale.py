"""1,000 DynamicLeases applied at once, beside their floor: the same writes without an operator.

``python -m bench.scale [--leases N] [--latency-ms MS]``. The world is real: API server,
PostgreSQL, the Infisical emulator with a latency on each answer. Figures come from outside:
the API server's own request counter, the emulator's counters, /proc through /metrics.

The floor mints as many leases at the same concurrency as a provider's default and writes one
Secret each: what no operator could do without. Both run in the same world one after the
other, so their ratio holds when the machine's speed doesn't.
"""

import argparse
import asyncio
import base64
import dataclasses
import re
import time
import typing

import aiohttp

from tests.world import kube, operator
from tests.world import world as worlds
from tests.world.infisical import client as infisical

NAMESPACE = "scale"
CONCURRENCY = 8
SOURCE = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/"}
WRITES = re.compile(
    r'apiserver_request_total\{.*code="2\d\d".*resource="(?P<resource>[a-z]+)".*'
    r'verb="(?P<verb>POST|PUT|PATCH|APPLY|DELETE)".*\} (?P<count>[\d.e+]+)'
)

_READ = re.compile(r'leaseholder_cluster_requests_total\{.*verb="(get|list)"')


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    seconds: float
    writes: dict[str, float]
    peak_in_flight: int
    provider_requests: int
    reads: float
    cpu_seconds: float
    rss_megabytes: float


async def _writes(client: aiohttp.ClientSession) -> dict[str, float]:
    """Successful writes at the API server, by verb and resource."""
    async with client.get("/metrics") as answer:
        text = await answer.text()
    totals: dict[str, float] = {}
    for match in WRITES.finditer(text):
        key = f"{match['verb']} {match['resource']}"
        totals[key] = totals.get(key, 0.0) + float(match["count"])
    return totals


async def _bounded(
    count: int, width: int, work: typing.Callable[[int], typing.Awaitable[None]]
) -> None:
    gate = asyncio.Semaphore(width)

    async def one(number: int) -> None:
        async with gate:
            await work(number)

    await asyncio.gather(*(one(number) for number in range(count)))


async def floor(world: worlds.World, client: kube.Kube, count: int) -> float:
    """Seconds that the bare work takes: a mint and a Secret each."""
    url = f"{world.infisical.url}/api/v1"
    login = {
        "clientId": world.infisical.client_id,
        "clientSecret": world.infisical.client_secret,
    }
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/auth/universal-auth/login", json=login) as answer:
            token = (await answer.json())["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}

        async def one(number: int) -> None:
            body = {**SOURCE, "dynamicSecretName": "orders-db", "ttl": "3600s"}
            async with session.post(
                f"{url}/dynamic-secrets/leases", json=body, headers=headers
            ) as answer:
                data = (await answer.json())["data"]
            values = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
            metadata = {"name": f"floor-{number}", "namespace": NAMESPACE}
            await client.apply(
                {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": values}
            )

        started = time.monotonic()
        await _bounded(count, CONCURRENCY, one)
        return time.monotonic() - started


async def leases(
    world: worlds.World,
    client: kube.Kube,
    admin: infisical.InfisicalAdmin,
    running: operator.Operator,
    count: int,
) -> Figures:
    """Apply all at once, and wait until all are Ready."""
    async with world.control_plane.session() as raw:
        before = await _writes(raw)
        await admin.reset_counters()
        cpu = running.metrics()["process_cpu_seconds_total"]
        started = time.monotonic()
        await _bounded(count, 50, lambda number: _apply(client, number))
        while await _ready(client) < count:
            if time.monotonic() - started > 600:
                raise SystemExit("not all Ready within 10 minutes")
            await asyncio.sleep(0.5)
        seconds = time.monotonic() - started
        after = await _writes(raw)
    counters, metrics = await admin.counters(), running.metrics()
    changed = {key: after[key] - before.get(key, 0.0) for key in after}
    changed["APPLY dynamicleases"] = changed.get("APPLY dynamicleases", 0.0) - count
    return Figures(
        seconds=seconds,
        writes={key: total for key, total in changed.items() if total > count / 20},
        peak_in_flight=counters.peak_in_flight,
        provider_requests=sum(counters.by_route.values()),
        reads=sum(total for key, total in metrics.items() if _READ.match(key)),
        cpu_seconds=metrics["process_cpu_seconds_total"] - cpu,
        rss_megabytes=metrics["process_resident_memory_bytes"] / 2**20,
    )


async def _apply(client: kube.Kube, number: int) -> None:
    await client.apply(
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "DynamicLease",
            "metadata": {"name": f"lease-{number}", "namespace": NAMESPACE},
            "spec": {
                "providerRef": {"name": "infisical"},
                "infisical": {**SOURCE, "dynamicSecretName": "orders-db"},
                "ttl": "1h",
            },
        }
    )


async def _ready(client: kube.Kube) -> int:
    found = await client.list("DynamicLease", NAMESPACE)
    return sum(kube.is_ready(one) for one in found)


async def _provider(world: worlds.World, client: kube.Kube) -> None:
    auth = {
        "clientId": world.infisical.client_id,
        "clientSecretRef": {"name": "infisical-auth", "key": "clientSecret"},
    }
    metadata = {"namespace": NAMESPACE}
    await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    await client.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "infisical-auth", **metadata},
            "stringData": {"clientSecret": world.infisical.client_secret},
        }
    )
    await client.apply(
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "LeaseProvider",
            "metadata": {"name": "infisical", **metadata},
            "spec": {
                "infisical": {"url": world.infisical.url, "auth": {"universalAuth": auth}},
                "limits": {"concurrency": CONCURRENCY},
            },
        }
    )


async def run(count: int, latency: float) -> None:
    """Floor, then operator, then what came out."""
    world = await asyncio.to_thread(worlds.World.start)
    with world:
        async with (
            kube.Kube(world.control_plane) as client,
            infisical.InfisicalAdmin(world.infisical.url) as admin,
        ):
            await operator.install(client)
            await _provider(world, client)
            await admin.turn(latencyMs=latency)
            bare = await floor(world, client, count)
            running = await operator.Operator.start(
                world, client, settings={"LEASEHOLDER_LOG_LEVEL": "INFO"}
            )
            try:
                await client.wait(
                    "LeaseProvider", "infisical", NAMESPACE, kube.is_ready, what="Ready"
                )
                figures = await leases(world, client, admin, running, count)
            finally:
                running.stop()
            alive = len(await admin.alive())
    _print(count, latency, bare, figures, alive)


def _print(count: int, latency: float, bare: float, figures: Figures, alive: int) -> None:
    each = sum(figures.writes.values()) / count
    print(f"DynamicLeases             {count}, provider latency {latency:g} ms")
    print(f"all Ready after           {figures.seconds:.1f} s ({count / figures.seconds:.0f}/s)")
    print(f"floor (mint + Secret)     {bare:.1f} s; ratio {figures.seconds / bare:.2f}")
    print(f"live leases at provider   {alive} ({count} of the floor, {alive - count} held)")
    print(f"operator CPU              {figures.cpu_seconds:.1f} s")
    print(f"operator RSS              {figures.rss_megabytes:.0f} MiB")
    print(f"peak requests in flight   {figures.peak_in_flight} (limit {CONCURRENCY})")
    print(f"provider requests         {figures.provider_requests / count:.2f} for each lease")
    print(f"API reads                 {figures.reads / count:.2f} for each lease")
    print(f"API writes                {each:.2f} for each lease")
    for key, total in sorted(figures.writes.items()):
        print(f"  {key:<30}{total / count:.2f}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leases", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.leases, arguments.latency_ms))


if __name__ == "__main__":
    main()
