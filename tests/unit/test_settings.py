"""What an administrator sets, as it is read from the environment."""

import pydantic
import pytest

from leaseholder.providers.hosts import ANY_NAME, Hosts
from leaseholder.settings import Settings


def test_every_name_is_a_host_unless_an_administrator_says_otherwise() -> None:
    assert Settings().hosts == ANY_NAME


def test_a_list_of_hosts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASEHOLDER_PROVIDER_HOSTS", "us.infisical.com, http://bao.vault.svc")
    assert Settings().hosts == Hosts.parse("us.infisical.com,http://bao.vault.svc")


def test_a_list_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASEHOLDER_PROVIDER_HOSTS", "https://us.infisical.com/api")
    with pytest.raises(pydantic.ValidationError, match="write host names"):
        Settings()
