"""Fixtures of the emulator's own tests: one bench as the real server is, and one in a hurry."""

from collections.abc import AsyncIterator

import pytest

from tests.world.phase import bench as benches
from tests.world.phase import seeds


@pytest.fixture
async def bench() -> AsyncIterator[benches.Bench]:
    """Every switch stands as it does at the real server."""
    async with benches.open_bench(seeds.default(role="Service")) as opened:
        yield opened


@pytest.fixture
async def quick(bench: benches.Bench) -> benches.Bench:
    """Leases of a second are fine, and the worker is in time."""
    await bench.admin.turn(
        minTtlSeconds=1,
        expiryLagSeconds=0,
        workerBusySeconds=0,
        awsPatienceSeconds=0,
        awsSeconds=0,
        renewalSeconds=0,
    )
    return bench
