"""The command line: what it prints, and when it ends."""

import asyncio
import contextlib
import signal
import sys
from asyncio import subprocess
from collections.abc import AsyncIterator

from tests.world.phase import client

PATIENCE = 20.0


@contextlib.asynccontextmanager
async def started(*options: str) -> AsyncIterator[tuple[subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.world.phase",
        *options,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        word, url = line.decode().split()
        assert word == "ready"
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_options_are_switches_and_seeds() -> None:
    options = ("--min-ttl", "2", "--latency-ms", "1", "--renewal", "Fixed", "--token", "ab" * 32)
    async with started(*options) as (_, url), client.PhaseAdmin(url) as admin:
        turned = await admin.turn()
        token = await admin.token()
    assert (turned.min_ttl_seconds, turned.latency_ms, turned.renewal) == (2, 1, "Fixed")
    assert token == "ab" * 32


async def test_it_ends_on_sigterm() -> None:
    async with started() as (process, _):
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_it_ends_with_its_standard_input_if_asked_to() -> None:
    async with started("--exit-with-stdin") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
