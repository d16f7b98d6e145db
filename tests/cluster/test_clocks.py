"""Clocks that don't agree: a proxy's, several servers' behind one address, and two providers'."""

import asyncio
import collections.abc
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
IDLE = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "clocks") as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _heal(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    yield
    _proxy(site).clear()


async def test_two_servers_behind_one_address_whose_clocks_differ_cost_no_requests(
    site: sites.Site,
) -> None:
    """Each of their answers contradicts the one before."""
    idle = [f"idle-{number}" for number in range(IDLE)]
    await asyncio.gather(*(site.lease(name, ttl="1h") for name in idle))
    await asyncio.gather(*(site.lease(f"busy-{number}", **FAST) for number in range(2)))
    await asyncio.gather(*(site.ready(name) for name in [*idle, "busy-0", "busy-1"]))
    rule = _proxy(site).date(45, probability=0.5)
    before, minted = _requests(site), len(await site.all_minted())
    await _answered(site, rule, 8)
    made = _requests(site) - before
    assert made < 10 * 8 + 12 * IDLE, "all were roused once at most"
    assert len(await site.all_minted()) == minted
    for name in ("busy-0", "busy-1", "idle-0"):
        await site.ready(name)
        assert await site.logs_in(name)


def _proxy(site: sites.Site) -> faults.Faults:
    assert site.world.provider_faults is not None
    return site.world.provider_faults.faults


def _requests(site: sites.Site) -> float:
    """What the operator asked of the API server so far."""
    figures = site.operator.metrics().items()
    return sum(
        value for name, value in figures if name.startswith("leaseholder_cluster_requests_total{")
    )


async def _answered(site: sites.Site, rule: str, times: int) -> None:
    """Wait until a rule changed so many answers."""

    async def enough() -> bool:
        counters = await asyncio.to_thread(_proxy(site).counters)
        return counters.applied.get(rule, 0) >= times

    await processes.wait_until_async(enough, timeout=120, what=f"{times} answers")
