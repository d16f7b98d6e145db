"""The emulators' command lines: what they print, what their options do, and when they end."""

import asyncio
import contextlib
import signal
import sys
from asyncio import subprocess
from collections.abc import AsyncIterator

import pytest

from tests.world.infisical import client as infisical
from tests.world.phase import client as phase

PATIENCE = 20.0
QUICK = ("--min-ttl", "2", "--latency-ms", "1")


@contextlib.asynccontextmanager
async def started(emulator: str, *options: str) -> AsyncIterator[tuple[subprocess.Process, str]]:
    command = (sys.executable, "-m", f"tests.world.{emulator}", *options)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
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


async def test_options_of_infisical_are_switches_and_seeds() -> None:
    options = (*QUICK, "--replica-lag", "3", "--client-id", "i", "--client-secret", "s")
    async with started("infisical", *options) as (_, url), infisical.InfisicalAdmin(url) as admin:
        turned = await admin.turn()
        identity = await admin.identity()
    assert (turned.min_ttl_seconds, turned.latency_ms, turned.replica_lag_seconds) == (2, 1, 3)
    assert identity.universal_auth is not None
    assert (identity.universal_auth.client_id, identity.universal_auth.client_secret) == ("i", "s")


async def test_options_of_phase_are_switches_and_seeds() -> None:
    options = (*QUICK, "--renewal", "Fixed", "--token", "ab" * 32)
    async with started("phase", *options) as (_, url), phase.PhaseAdmin(url) as admin:
        turned = await admin.turn()
        token = await admin.token()
    assert (turned.min_ttl_seconds, turned.latency_ms, turned.renewal) == (2, 1, "Fixed")
    assert token == "ab" * 32


@pytest.mark.parametrize("emulator", ["infisical", "phase"])
async def test_it_ends_on_sigterm(emulator: str) -> None:
    async with started(emulator) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
