"""Urls that a tenant writes to have the operator call what it can't reach itself.

The administrator wrote no list, so every name will do, over https. Nothing that listens on this
machine is a host then: whatever way its address is spelled or looked up, nobody connects.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNREADABLE = (
    "https://xn--a.example",
    "https://xn--.example",
    "https://a..b",
    "https://.a",
    "https://-a.example",
    "https://a-.example",
    f"https://{'a' * 64}.example",
    f"https://{'a.' * 127}a",
    "https://[1:2]:3",
    "https://x.test:0",
    "https://x.test:65536",
)
"""What the schema takes, and would be an error of a library where it is called."""


@dataclasses.dataclass(slots=True)
class Trap:
    """A site, and a port of loopback where every connection is counted."""

    site: sites.Site
    port: int = 0
    connections: int = 0

    def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    async def told(self, name: str, url: str, reason: str) -> str:
        """The sentence at a provider with that url, which isn't ready for that reason."""
        await self.site.provider_at(name, url)
        return await self.site.provider_told(name, reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trap(world: worlds.World) -> collections.abc.AsyncIterator[Trap]:
    async with sites.site(world, "hosts", LEASEHOLDER_PROVIDER_HOSTS="*") as site:
        opened = Trap(site)
        server = await asyncio.start_server(opened.accept, "127.0.0.1", 0)
        opened.port = server.sockets[0].getsockname()[1]
        try:
            yield opened
        finally:
            server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 5)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
async def test_a_name_that_stands_for_loopback_is_not_connected_to(trap: Trap, host: str) -> None:
    name = f"name-{len(host)}-{host.islower():d}"
    sentence = await trap.told(name, f"https://{host}:{trap.port}", "HostNotAllowed")
    assert "stands for an address" in sentence
    assert trap.connections == 0


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("plain", "127.0.0.1"),
        ("short", "127.1"),
        ("number", "2130706433"),
        ("hex", "0x7f000001"),
        ("octal", "0177.0.0.1"),
        ("six", "[::1]"),
        ("mapped", "[::ffff:127.0.0.1]"),
        ("any", "0.0.0.0"),
    ],
)
async def test_an_address_of_loopback_is_not_connected_to_however_it_is_spelled(
    trap: Trap, name: str, host: str
) -> None:
    sentence = await trap.told(name, f"https://{host}:{trap.port}", "HostNotAllowed")
    assert "LEASEHOLDER_PROVIDER_HOSTS" in sentence
    assert trap.connections == 0


@pytest.mark.parametrize(
    ("name", "host"),
    [("aws", "169.254.169.254"), ("six-aws", "[fd00:ec2::254]"), ("link-local", "[fe80::1]")],
)
async def test_cloud_metadata_is_not_called(trap: Trap, name: str, host: str) -> None:
    await trap.told(name, f"https://{host}/latest", "HostNotAllowed")


async def test_plain_http_is_not_spoken(trap: Trap) -> None:
    sentence = await trap.told("bare", f"http://localhost:{trap.port}", "PlainHttp")
    assert "write https://" in sentence
    assert trap.connections == 0


async def test_a_url_cannot_hide_its_host_behind_a_user(trap: Trap) -> None:
    with pytest.raises(kube.Refused, match="URL"):
        await trap.told("user", f"https://us.infisical.com@localhost:{trap.port}", "")


async def test_a_host_that_no_library_can_read_is_told_in_a_sentence(trap: Trap) -> None:
    site = trap.site
    for number, url in enumerate(UNREADABLE):
        await site.provider_at(f"odd-{number}", url)
        await site.lease(f"odd-{number}", provider=f"odd-{number}", ttl="1h")
    for number in range(len(UNREADABLE)):
        sentence = await site.provider_told(f"odd-{number}", "InvalidRequest")
        assert sentence.startswith("the url can't be used: write an http(s) URL")
        found = await site.reason(f"odd-{number}", "InvalidRequest")
        assert kube.condition(found, "Ready")["message"] == sentence
        assert kube.condition(found, "Stalled")["status"] == "True"
    assert "unexpected" not in site.operator.log.read_text(encoding="utf-8")
    assert await site.records() == []


async def test_a_lease_at_such_a_host_says_so_and_nothing_is_issued(trap: Trap) -> None:
    await trap.told("own", f"https://localhost:{trap.port}", "HostNotAllowed")
    await trap.site.lease("orders", provider="own", ttl="1h")
    found = await trap.site.reason("orders", "HostNotAllowed")
    assert kube.condition(found, "Stalled")["status"] == "True"
    assert await trap.site.records() == []
    assert trap.connections == 0
