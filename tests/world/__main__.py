"""`python -m tests.world` (or `make world`): the world for a person, up until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import pathlib
import signal
import sys
import threading

from tests.world import kube, operator, world


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--directory", type=pathlib.Path, help="keep logs and kubeconfig here")
    parser.add_argument("--min-ttl", type=float, help="shortest ttl in seconds; Infisical says 60")
    parser.add_argument("--seed", type=pathlib.Path, help="what the Infisical emulator holds")
    parser.add_argument("--kubernetes-faults", action="store_true", help="with a fault proxy")
    parser.add_argument("--provider-faults", action="store_true", help="with a fault proxy")
    return parser.parse_args(arguments)


def describe(running: world.World) -> str:
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
        f"  kubectl --kubeconfig {running.control_plane.kubeconfig} apply -f "
        f"{running.directory / 'manifest.yaml'}",
        "",
        "The world is up; Ctrl-C ends it.",
    ]
    return "\n".join(lines)


async def _install(running: world.World) -> None:
    async with kube.Kube(running.control_plane) as client:
        await operator.install(client)


def main(arguments: list[str]) -> None:
    """Start, describe, wait."""
    options = parse(arguments)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    if options.directory is not None:
        options.directory.mkdir(parents=True, exist_ok=True)
    print("Starting the world.", flush=True)
    with world.World.start(
        directory=options.directory and options.directory.resolve(),
        kubernetes_faults=options.kubernetes_faults,
        provider_faults=options.provider_faults,
        min_ttl=options.min_ttl,
        seed=options.seed,
    ) as running:
        asyncio.run(_install(running))
        manifest = world.manifest(running)
        (running.directory / "manifest.yaml").write_text(manifest, encoding="utf-8")
        print(manifest, describe(running), sep="\n", flush=True)
        ended.wait()
    print("The world is gone.", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
