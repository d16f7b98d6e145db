"""The emulator as a process: ``python -m tests.world.phase``.

It prints one line, ``ready http://127.0.0.1:PORT``, when it serves, and ends on SIGTERM, SIGINT or,
with ``--exit-with-stdin``, when its standard input closes.
"""

import argparse
import asyncio
import pathlib
import signal

from tests.world.infisical.__main__ import watch_stdin
from tests.world.phase import seeds, server

SHORT_SECONDS = 10
"""The default ttl of ``aws-short``, where the shortest ttl allows it."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.world.phase", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--min-ttl", type=float, help="seconds; the real server says 60")
    parser.add_argument("--renewal", choices=("Broken", "Fixed"), help="the real one is broken")
    parser.add_argument("--expiry-lag", type=float, help="seconds by chance; real: 2")
    parser.add_argument("--worker-busy", type=float, help="seconds before each job; real: 7")
    parser.add_argument("--aws-seconds", type=float, help="of a job or revocation; real: 0.9")
    parser.add_argument("--latency-ms", type=float, help="added to every answer")
    parser.add_argument("--seed", type=pathlib.Path, help="JSON, see seeds.py")
    parser.add_argument("--token", help="of kube-bot in the default seed, 64 hexadecimal digits")
    parser.add_argument("--exit-with-stdin", action="store_true")
    return parser.parse_args(arguments)


def seed(options: argparse.Namespace) -> seeds.Seed:
    if options.seed is not None:
        return seeds.Seed.model_validate_json(options.seed.read_text())
    quick = options.min_ttl is not None and options.min_ttl <= SHORT_SECONDS
    return seeds.default(options.token, short_seconds=SHORT_SECONDS if quick else 60)


def switches(options: argparse.Namespace) -> dict[str, object]:
    wanted = {
        "minTtlSeconds": options.min_ttl,
        "renewal": options.renewal,
        "expiryLagSeconds": options.expiry_lag,
        "workerBusySeconds": options.worker_busy,
        "awsSeconds": options.aws_seconds,
        "latencyMs": options.latency_ms,
    }
    return {name: value for name, value in wanted.items() if value is not None}


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        watch_stdin(loop, stop)
    async with server.running(seed(options), port=options.port) as (url, running):
        running.world.turn(switches(options))
        print(f"ready {url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(parse()))
