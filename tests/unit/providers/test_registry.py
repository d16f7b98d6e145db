"""Which adapter, and under which address."""

import asyncio
import dataclasses
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import provider, refs
from leaseholder.api.conditions import Reason
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import Provider, ProviderObject
from leaseholder.providers import infisical, openbao, phase, registry
from leaseholder.providers.kit import context, gate
from leaseholder.providers.kit.network import hosts
from leaseholder.providers.settings import (
    ProviderSettings,
)
from tests.unit.providers import support

TOKEN = {"tokenSecretRef": {"name": "auth", "key": "token"}}


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
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://my_host.internal.", "https://my_host.internal."),
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
        "https://xn--a.example",
        "https://a..b",
        "https://.a",
        "https://-a.example",
        "https://a-.example",
        "https://*.example",
        f"https://{'a' * 64}.example",
        f"https://{'a.' * 127}a",
        "https://x.test:0",
        "https://x.test:65536",
        "https://x.test:99999",
        "https://x.test:+1",
        "https://x.test:\u0661",
        "https://\u0661.2.3.4",
        "https://b\u00fccher.example",
        "https://[fe80::1%eth0]",
        "https://[fe80::1%25eth0]",
        "https://[1:2]:3",
        "https://x\x00y.test",
        "https://x\ny.test",
        "https://x.test/a b",
        "https://x.test/\u200b",
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


def build(known: provider.ProviderSpec) -> Provider:
    builder = registry.Registry(clock=support.FakeClock(), settings=ProviderSettings())
    access = Access(spec=known, of=support.PROVIDER)
    return builder.build(access, support.FakeCredentialing())


@pytest.mark.parametrize(
    ("spec_of", "kind"),
    [
        (
            {"infisical": {"url": "https://x.test", "auth": support.UNIVERSAL}},
            infisical.InfisicalAdapter,
        ),
        ({"phase": {"url": "https://x.test", "auth": TOKEN}}, phase.PhaseAdapter),
        ({"openbao": {"url": "https://x.test", "auth": {"token": TOKEN}}}, openbao.OpenBaoAdapter),
    ],
)
def test_a_spec_makes_an_adapter_of_its_kind(spec_of: dict[str, Any], kind: type) -> None:
    assert isinstance(build(provider.ProviderSpec.model_validate(spec_of)), kind)


def test_each_kind_of_provider_that_a_spec_can_name_has_its_adapter_and_settings() -> None:
    names = [one.name for one in registry.ADAPTERS]
    assert sorted(names) == sorted(refs.TYPES)
    assert set(names) <= set(ProviderSettings.model_fields)


def test_the_lease_providers_of_one_namespace_share_their_turns_and_no_others_do() -> None:
    built: list[context.Context] = []

    def capture(way: context.Context, server: Any, settings: Any) -> Provider:
        built.append(way)
        return infisical.ADAPTER.build(way, server, settings)

    adapter = dataclasses.replace(infisical.ADAPTER, build=capture)
    builder = registry.Registry(
        clock=support.FakeClock(), settings=ProviderSettings(), adapters=(adapter,)
    )
    for kind, namespace in (
        ("LeaseProvider", "shop"),
        ("LeaseProvider", "shop"),
        ("LeaseProvider", "bank"),
        ("ClusterLeaseProvider", ""),
    ):
        access = Access(
            spec=spec("https://x.test"),
            of=ProviderObject(kind, namespace, "infisical", "uid"),
        )
        builder.build(access, support.FakeCredentialing())
    one, other, bank, cluster = (way.turns for way in built)
    assert one is not None
    assert one is other
    assert bank is not None
    assert bank is not one
    assert cluster is None


async def test_hundreds_of_providers_of_one_namespace_leave_files_to_the_others() -> None:
    """Each request under way holds an open file, and a process may have 1,024 of them."""
    connections, changed = 0, asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        changed.set()
        await reader.read()
        writer.close()

    async def until(many: int) -> None:
        async with asyncio.timeout(60):
            while connections < many:
                changed.clear()
                await changed.wait()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    builder = registry.Registry(
        clock=support.FakeClock(),
        settings=ProviderSettings(),
        hosts=hosts.Hosts.parse("http://127.0.0.1"),
    )

    def made(namespace: str, number: int) -> Provider:
        of = ProviderObject("LeaseProvider", namespace, f"p-{number}", f"{namespace}-{number}")
        own = {**support.UNIVERSAL["universalAuth"], "clientId": f"{namespace}-{number}"}
        wanted = {"infisical": {"url": url, "auth": {"universalAuth": own}}}
        known = provider.ProviderSpec.model_validate(wanted)
        return builder.build(Access(spec=known, of=of), support.FakeCredentialing())

    theirs = [made("rogue", number) for number in range(300)]
    looks = [asyncio.create_task(one.check()) for one in theirs]
    await until(gate.NAMESPACE)
    ours = made("shop", 0)
    looks.append(asyncio.create_task(ours.check()))
    await until(gate.NAMESPACE + 1)
    assert connections == gate.NAMESPACE + 1
    for look in looks:
        look.cancel()
    await asyncio.gather(*looks, return_exceptions=True)
    for one in (*theirs, ours):
        await one.aclose()
    server.close()
    await server.wait_closed()
