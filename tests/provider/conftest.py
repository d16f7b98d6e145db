"""What all tests of adapters share."""

import pytest

from tests.world import certificates


@pytest.fixture(scope="session")
def line_files(tmp_path_factory: pytest.TempPathFactory) -> certificates.ServerFiles:
    """What all lines to providers are trusted by."""
    return certificates.write_server(tmp_path_factory.mktemp("line"), "line")
