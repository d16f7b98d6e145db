"""`python -m tests.world` (or `make world`): the world for a person, up until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import collections.abc
import contextlib
import pathlib
import signal
import sys

from tests.world import houses, kube, operator, world

NAMESPACE = "shop"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--directory", type=pathlib.Path, help="keep logs and kubeconfig here")
    parser.add_argument("--min-ttl", type=float, help="shortest ttl in seconds; Infisical says 60")
    parser.add_argument("--seed", type=pathlib.Path, help="what the Infisical emulator holds")
    parser.add_argument(
        "--providers",
        nargs="+",
        choices=["all", *houses.NAMES],
        default=["infisical"],
        help="which servers to start, each with a manifest for a first lease",
    )
    parser.add_argument("--kubernetes-faults", action="store_true", help="with a fault proxy")
    parser.add_argument("--provider-faults", action="store_true", help="with a fault proxy")
    return parser.parse_args(arguments)


def describe(running: world.World, manifests: list[pathlib.Path]) -> str:
    """What a person needs to use the world."""
    lines = [
        f"kubeconfig   {running.control_plane.kubeconfig}",
        f"Kubernetes   {running.control_plane.url}",
        f"Infisical    {running.infisical.url}",
        f"PostgreSQL   {running.postgres.dsn}",
        f"logs         {running.directory}",
    ]
    for name, proxy in (
        ("Kubernetes", running.kubernetes_faults),
        ("Infisical", running.provider_faults),
    ):
        if proxy is not None:
            lines.append(f"faults       {name} through {proxy.url}, {proxy.faults.control_url}")
    lines += [
        "",
        "CRDs and the operator's namespace and rights are there. Start the operator:",
        f"  LEASEHOLDER_PROVIDER_HOSTS={operator.HOSTS} "
        f"KUBECONFIG={running.control_plane.kubeconfig} make run",
        "and in another terminal ask for a first lease:",
    ]
    apply = f"  kubectl --kubeconfig {running.control_plane.kubeconfig} apply -f "
    lines += [f"{apply}{path}" for path in manifests]
    return "\n".join([*lines, "", "The world is up; Ctrl-C ends it."])


def _chosen(providers: list[str]) -> list[str]:
    return [*houses.NAMES] if "all" in providers else list(dict.fromkeys(providers))


@contextlib.asynccontextmanager
async def _manifests(
    running: world.World, providers: list[str]
) -> collections.abc.AsyncIterator[list[str]]:
    """Start what doesn't run yet, and say for each what to apply for a first lease."""
    async with contextlib.AsyncExitStack() as stack:
        texts = []
        for one in providers:
            if one == "infisical":
                texts.append(world.manifest(running))
                continue
            house, trusts = await stack.enter_async_context(houses.opened(running, one))
            texts.append(world.written(_first_lease(house, trusts)))
        yield texts


def _first_lease(house: houses.House, trusts: str | None) -> list[kube.Object]:
    """A namespace, what lets in, and a lease."""
    source = house.sources[0]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *houses.manifests(house, NAMESPACE, house.type, trusts),
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "DynamicLease",
            "metadata": {"name": f"{house.type}-{source}", "namespace": NAMESPACE},
            "spec": {
                "providerRef": {"name": house.type},
                house.type: house.source(source),
                "ttl": "2m",
            },
        },
    ]


async def _serve(running: world.World, providers: list[str], ended: asyncio.Event) -> None:
    async with kube.Kube(running.control_plane) as client:
        await operator.install(client)
    async with _manifests(running, providers) as texts:
        paths = [running.directory / f"{one}.yaml" for one in providers]
        for path, text in zip(paths, texts, strict=True):
            await asyncio.to_thread(path.write_text, text, encoding="utf-8")
        print(*texts, describe(running, paths), sep="\n", flush=True)
        await ended.wait()


async def _until_told(running: world.World, providers: list[str]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await _serve(running, providers, ended)


def main(arguments: list[str]) -> None:
    """Start, describe, wait."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _end)
    if options.directory is not None:
        options.directory.mkdir(parents=True, exist_ok=True)
    print("Starting the world.", flush=True)
    with (
        contextlib.suppress(KeyboardInterrupt),
        world.World.start(
            directory=options.directory and options.directory.resolve(),
            kubernetes_faults=options.kubernetes_faults,
            provider_faults=options.provider_faults,
            min_ttl=options.min_ttl,
            seed=options.seed,
        ) as running,
    ):
        asyncio.run(_until_told(running, _chosen(options.providers)))
    print("The world is gone.", flush=True)


def _end(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(sys.argv[1:])
