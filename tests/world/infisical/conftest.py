"""Fixtures of the emulator's own tests: a bench with PostgreSQL behind it, and one without."""

from collections.abc import AsyncIterator

import pytest

from tests.world import postgres as servers
from tests.world.infisical import bench as benches
from tests.world.infisical import emulator as emulators


@pytest.fixture
async def bench() -> AsyncIterator[benches.Bench]:
    """No database: enough for everything that isn't SQL."""
    async with benches.open_bench(emulators.Settings()) as opened:
        yield opened


@pytest.fixture
async def sql_bench(postgres: servers.Postgres) -> AsyncIterator[benches.Bench]:
    """Roles are made in a real PostgreSQL."""
    async with benches.open_bench(emulators.Settings(postgres_dsn=postgres.dsn)) as opened:
        yield opened
