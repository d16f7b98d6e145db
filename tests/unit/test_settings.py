"""What an administrator sets, as it is read from the environment."""

import pathlib
import re

import pytest

from leaseholder import settings
from leaseholder.core import shards
from leaseholder.providers.kit.network.hosts import ANY_NAME, Hosts

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "install.md"


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> settings.Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.load()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(settings.Unusable) as refused:
        load(monkeypatch, **variables)
    return str(refused.value)


def test_every_name_is_a_host_unless_an_administrator_says_otherwise() -> None:
    assert settings.load().hosts == ANY_NAME


def test_a_list_of_hosts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(monkeypatch, LEASEHOLDER_PROVIDER_HOSTS="us.infisical.com, http://bao.vault.svc")
    assert found.hosts == Hosts.parse("us.infisical.com,http://bao.vault.svc")


@pytest.mark.parametrize(
    ("name", "value", "write"),
    [
        ("PROVIDER_HOSTS", "https://us.infisical.com/api", "write host names"),
        ("WORKERS", "many", "write a whole number from 1 to 256"),
        ("WORKERS", "257", "write a whole number from 1 to 256"),
        ("WORKERS", "", "write a whole number from 1 to 256"),
        ("LOG_LEVEL", "loud", "write DEBUG or INFO or WARNING"),
        ("LOG_FORMAT", "xml", "write text or json"),
        ("METRICS_ADDRESS", "8080", "write an address and a port, such as 0.0.0.0:8080"),
        ("METRICS_ADDRESS", "0.0.0.0:65536", "write an address and a port, such as 0.0.0.0:8080"),
        ("STOP_GRACE_SECONDS", "nan", "write a number from 1 to 3600"),
        ("NAMESPACES", "shop,Billing", "write names, separated by commas, such as shop,billing"),
        ("NAMESPACES", "shop billing", "write names, separated by commas, such as shop,billing"),
        ("SHARDS", "web,Batch", "'Batch' can't be the name of a shard: write names of at most 30"),
        ("SHARDS", "web,default", "without default, which there always is"),
        ("SHARDS", "web,web", "write each shard once, and at most 16"),
        ("SHARD", "batch", "write a shard of LEASEHOLDER_SHARDS: default"),
        ("OPERATOR_NAMESPACE", "a/b", "write the name of one namespace, such as leaseholder"),
        ("INFISICAL__SETTLE_SECONDS", "-1", "write a whole number, 0 or more"),
        ("INFISICAL__TAG_IN_CONFIG", "maybe", "write true or false"),
        ("PHASE__READ_TIMEOUT_SECONDS", "0", "write a number above 0"),
        ("OPENBAO__READ_TIMEOUT_SECONDS", "inf", "write a number above 0"),
    ],
)
def test_a_value_that_cannot_be_used_is_answered_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, write: str
) -> None:
    told = refusal(monkeypatch, **{f"LEASEHOLDER_{name}": value})
    assert told.startswith(f"LEASEHOLDER_{name} can't be used: ")
    assert write in told


def test_a_process_serves_one_of_the_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch).share == shards.Shard()
    monkeypatch.setenv("LEASEHOLDER_SHARDS", "batch, web")
    assert load(monkeypatch).share == shards.Shard("default", ("batch", "web"))
    found = load(monkeypatch, LEASEHOLDER_SHARD="web").share
    assert found == shards.Shard("web", ("default", "batch"))


def test_a_shard_that_there_is_not_is_told_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, LEASEHOLDER_SHARDS="batch,web", LEASEHOLDER_SHARD="wbe")
    assert told == (
        "LEASEHOLDER_SHARD can't be used: write a shard of LEASEHOLDER_SHARDS: default or batch or "
        "web"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("LEASEHOLDER_PROVIDER_HOST", "LEASEHOLDER_PROVIDER_HOSTS"),
        ("LEASEHOLDER_WORKRES", "LEASEHOLDER_WORKERS"),
        ("LEASEHOLDER_LOGLEVEL", "LEASEHOLDER_LOG_LEVEL"),
        ("leaseholder_namespace", "LEASEHOLDER_NAMESPACES"),
        ("LEASEHOLDER_INFISICAL_SETTLE_SECONDS", "LEASEHOLDER_INFISICAL__SETTLE_SECONDS"),
        ("LEASEHOLDER_INFISICAL__SETTLE", "LEASEHOLDER_INFISICAL__SETTLE_SECONDS"),
        ("LEASEHOLDER_OPENBAO__TAG_IN_CONFIG", "LEASEHOLDER_INFISICAL__TAG_IN_CONFIG"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_right_name(
    monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    assert refusal(monkeypatch, **{written: "3"}) == f"{written} is no setting: write {meant}"


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, LEASEHOLDER_XYZ="1", LEASEHOLDER_WORKRES="3")
    assert "LEASEHOLDER_XYZ is no setting: take it out" in told
    assert "write LEASEHOLDER_WORKERS" in told


@pytest.mark.parametrize("service", ["", "_METRICS", "_WORKERS", "_INFISICAL", "_INFISICAL__X"])
def test_what_kubernetes_makes_of_services_is_neither_refused_nor_read(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    name = f"LEASEHOLDER{service}"
    links = {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": "8080",
        f"{name}_SERVICE_PORT_HTTP": "8080",
        f"{name}_PORT": "tcp://10.0.0.1:8080",
        f"{name}_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        f"{name}_PORT_8080_TCP_PROTO": "tcp",
        f"{name}_PORT_8080_TCP_PORT": "8080",
        f"{name}_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert load(monkeypatch, **links) == settings.Settings()


@pytest.mark.parametrize("level", ["debug", "Debug", " DEBUG "])
def test_a_level_is_taken_however_it_is_spelled(
    monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    found = load(monkeypatch, LEASEHOLDER_LOG_LEVEL=level, LEASEHOLDER_LOG_FORMAT="JSON")
    assert (found.log_level, found.log_format) == ("DEBUG", "json")


def test_what_was_changed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(
        monkeypatch, LEASEHOLDER_WORKERS="8", LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS="2"
    )
    assert [*found.changed()] == [
        "LEASEHOLDER_WORKERS=8",
        "LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS=2",
    ]


def test_the_documentation_lists_the_settings_that_there_are() -> None:
    listed = re.findall(r"^\| `(LEASEHOLDER_[A-Z_]+)` \|", DOCS.read_text(), flags=re.MULTILINE)
    assert listed == settings.names()
