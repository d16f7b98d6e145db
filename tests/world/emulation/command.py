"""An emulator as a process: ``python -m tests.world.infisical``, ``python -m tests.world.phase``.

It prints one line, ``ready http://127.0.0.1:PORT``, when it serves, and ends on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import pathlib
import signal
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tests.world.emulation import models, server

SHORT_SECONDS: Final = 10
Seed = TypeVar("Seed", bound=models.Model)


def parser(name: str) -> argparse.ArgumentParser:
    """With the options that every emulator has."""
    made = argparse.ArgumentParser(prog=f"tests.world.{name}", description=__doc__)
    made.add_argument("--port", type=int, default=0, help="0 picks a free one")
    made.add_argument("--min-ttl", type=float, help="seconds; the real server says 60")
    made.add_argument("--latency-ms", type=float, help="added to every answer")
    made.add_argument("--seed", type=pathlib.Path, help="JSON, see seeds.py")
    return made


def seed(options: argparse.Namespace, model: type[Seed], default: Callable[[int], Seed]) -> Seed:
    """The file's, or the default with the seconds that its short leases live."""
    if options.seed is not None:
        return model.model_validate_json(options.seed.read_text())
    quick = options.min_ttl is not None and options.min_ttl <= SHORT_SECONDS
    return default(SHORT_SECONDS if quick else 60)


def run(emulator: server.Server, options: argparse.Namespace, turned: Mapping[str, object]) -> None:
    """Serve until a signal, with the switches that were named on the command line."""
    named = {"minTtlSeconds": options.min_ttl, "latencyMs": options.latency_ms, **turned}
    asyncio.run(_serve(emulator, options.port, {k: v for k, v in named.items() if v is not None}))


async def _serve(emulator: server.Server, port: int, turned: dict[str, object]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server.running(emulator, port=port) as (url, _):
        await emulator.world.turn(turned)
        print(f"ready {url}", flush=True)
        await stop.wait()
