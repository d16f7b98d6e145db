"""Each case runs at each provider, and the run may write the table of what passed."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.provider.benches import base, infisical, openbao, phase
from tests.provider.conformance import table
from tests.world import certificates

Opening = Callable[[], contextlib.AbstractAsyncContextManager[base.Bench]]


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "write the table of cases and providers to this file, if all of the suite ran"
    parser.addoption("--conformance-table", default=None, help=told)


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--conformance-table")
    if path:
        config.pluginmanager.register(table.Writer(path))


@pytest.fixture(params=table.PROVIDERS)
def opening(request: pytest.FixtureRequest, line_files: certificates.ServerFiles) -> Opening:
    """How to open a provider's bench; starts what it needs and nothing else."""
    match request.param:
        case "infisical":
            postgres = request.getfixturevalue("postgres")
            return lambda: infisical.opened(postgres, line_files)
        case "phase":
            return lambda: phase.opened(line_files, phase.PhaseBench)
    server, postgres = (request.getfixturevalue(name) for name in ("bao", "postgres"))
    return lambda: openbao.opened(server, postgres, line_files, openbao.OpenBaoBench)


@pytest.fixture
async def bench(opening: Opening) -> AsyncIterator[base.Bench]:
    async with opening() as opened:
        yield opened
