"""A provider that a stranger wrote beside the kit keeps what every provider is held to."""

from collections.abc import AsyncIterator

import pytest

from tests.provider.conformance.test_inspecting import *  # noqa: F403
from tests.provider.conformance.test_issuing import *  # noqa: F403
from tests.provider.conformance.test_logging_in import *  # noqa: F403
from tests.provider.conformance.test_outages import *  # noqa: F403
from tests.provider.conformance.test_recovering import *  # noqa: F403
from tests.provider.conformance.test_renewing import *  # noqa: F403
from tests.provider.conformance.test_revoking import *  # noqa: F403
from tests.provider.example import bench as benches
from tests.world import certificates


@pytest.fixture
async def bench(line_files: certificates.ServerFiles) -> AsyncIterator[benches.KeyhouseBench]:
    async with benches.opened(line_files) as opened:
        yield opened
