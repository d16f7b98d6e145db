"""Which adapter, and under which address."""

import pytest

from leaseholder import errors, ports
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import infisical, registry
from leaseholder.providers.settings import InfisicalSettings, ProviderSettings
from tests.unit.providers import support


def spec(url: str) -> provider.ProviderSpec:
    return provider.ProviderSpec.model_validate(
        {"infisical": {"url": url, "auth": support.UNIVERSAL}}
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://us.infisical.com", "https://us.infisical.com"),
        ("https://us.infisical.com/", "https://us.infisical.com"),
        ("https://us.infisical.com/api", "https://us.infisical.com"),
        ("https://US.Infisical.com:443/api/", "https://us.infisical.com"),
        ("http://localhost:8080/api//", "http://localhost:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://tools.test/infisical/api", "https://tools.test/infisical"),
        ("https://tools.test/myapi", "https://tools.test/myapi"),
    ],
)
def test_an_address_has_one_spelling(url: str, address: str) -> None:
    assert registry.address(spec(url)) == address


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.test",
        "https://",
        "https://user@x.test",
        "https://x.test?a=b",
        "https://x.test/#a",
        "https://x.test:port",
        "https://[::1",
        "https://x.test\\@evil.test",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        registry.address(spec(url))
    assert caught.value.reason is Reason.INVALID
    assert "https://us.infisical.com" in caught.value.sentence


def test_a_spec_without_provider_is_refused() -> None:
    with pytest.raises(errors.Invalid) as caught:
        registry.address(provider.ProviderSpec())
    assert caught.value.reason is Reason.PROVIDER_MISMATCH


def build(known: provider.ProviderSpec) -> ports.Provider:
    builder = registry.Registry(
        clock=support.FakeClock(), settings=ProviderSettings(), observe=lambda *_: None
    )
    return builder.build(ports.Access(spec=known, namespace="shop"), support.FakeCredentialing())


def test_an_infisical_spec_makes_an_infisical_adapter() -> None:
    assert isinstance(build(spec("https://us.infisical.com")), infisical.Infisical)


def test_an_adapter_is_not_built_from_another_providers_spec() -> None:
    with pytest.raises(errors.Invalid):
        infisical.Infisical(
            ports.Access(spec=provider.ProviderSpec(), namespace=None),
            support.FakeCredentialing(),
            base_url="https://x.test",
            clock=support.FakeClock(),
            settings=InfisicalSettings(),
            observe=lambda *_: None,
        )
