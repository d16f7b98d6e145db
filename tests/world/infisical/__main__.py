"""The emulator as a process: ``python -m tests.world.infisical``.

It prints one line, ``ready http://127.0.0.1:PORT``, when it serves, and ends on SIGTERM, SIGINT or,
with ``--exit-with-stdin``, when its standard input closes.
"""

import argparse
import asyncio
import contextlib
import pathlib
import signal
import sys
import threading

from tests.world.infisical import emulator as emulators
from tests.world.infisical import reviews, seeds, server

SHORT_SECONDS = 10
"""The default ttl of ``short-db``, where the shortest ttl allows it."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.world.infisical", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--postgres-dsn", help="superuser of the PostgreSQL that mints roles")
    parser.add_argument("--postgres-connections", type=int, default=4)
    parser.add_argument("--kubernetes-url", help="API server for TokenReview and JWKS")
    parser.add_argument("--kubernetes-ca", type=pathlib.Path, help="its CA, as a PEM file")
    parser.add_argument("--min-ttl", type=float, help="seconds; the real server says 60")
    parser.add_argument("--replica-lag", type=float, help="seconds that reads trail writes")
    parser.add_argument("--latency-ms", type=float, help="added to every answer")
    parser.add_argument("--seed", type=pathlib.Path, help="JSON, see seeds.py")
    parser.add_argument("--client-id", help="of the identity in the default seed")
    parser.add_argument("--client-secret", help="of the identity in the default seed")
    parser.add_argument("--exit-with-stdin", action="store_true")
    return parser.parse_args(arguments)


def settings(options: argparse.Namespace) -> emulators.Settings:
    cluster = None
    if options.kubernetes_url:
        pem = options.kubernetes_ca.read_text() if options.kubernetes_ca else None
        cluster = reviews.Cluster(url=options.kubernetes_url, ca_pem=pem)
    return emulators.Settings(
        postgres_dsn=options.postgres_dsn,
        cluster=cluster,
        connections=options.postgres_connections,
    )


def seed(options: argparse.Namespace) -> seeds.Seed:
    if options.seed is not None:
        return seeds.Seed.model_validate_json(options.seed.read_text())
    quick = options.min_ttl is not None and options.min_ttl <= SHORT_SECONDS
    short = f"{SHORT_SECONDS}s" if quick else "1m"
    return seeds.default(options.client_id, options.client_secret, short_ttl=short)


def switches(options: argparse.Namespace) -> dict[str, object]:
    wanted = {
        "minTtlSeconds": options.min_ttl,
        "replicaLagSeconds": options.replica_lag,
        "latencyMs": options.latency_ms,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """A thread of its own: a pipe's end is no event on every loop."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        watch_stdin(loop, stop)
    starting = server.running(settings(options), seed(options), port=options.port)
    async with starting as (url, running):
        await running.world.turn(switches(options))
        print(f"ready {url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(parse()))
