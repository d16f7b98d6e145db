"""How many requests to the API server a lease costs: no read that isn't needed.

Counted are the operator's own figures, by verb; a dry run counts as the write that it rehearses.
"""

import asyncio
import collections
import collections.abc
import typing

import pytest
import pytest_asyncio

from leaseholder.controller import compare
from tests.cluster import sites
from tests.world import processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUNDS: typing.Final = {
    "acquisition": (3, 7),
    "renewal": (0, 2),
    "deletion": (3, 6),
    "change of nothing": (0, 0),
}
"""Reads and writes, at most. Reads are 1, 0 and 2 where a slow machine doesn't look once more."""
Figures = collections.Counter[str]
"""Requests so far, by ``verb resource``."""
_READS: typing.Final = ("get", "list")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "requests") as opened:
        await opened.lease("first", ttl="1h")
        await opened.ready("first")
        # The first comparison may be refused, and a refusal may take its time, too.
        await _quiet(opened, seconds=2 * compare.RETRY + 1)
        yield opened


async def test_a_lease_costs_so_many_requests_and_no_more(site: sites.Site) -> None:
    before = await _quiet(site)
    await site.lease("orders", ttl="1h")
    await site.ready("orders")
    before = await _cost(site, "acquisition", before)
    values = await site.credentials("orders")
    await _annotate(site, note="nothing")
    before = await _cost(site, "change of nothing", before)
    await _annotate(site, **{"leaseholder.dev/renew": "1"})
    await site.renewals("orders", 1)
    before = await _cost(site, "renewal", before)
    assert site.lets_in(values)
    await site.delete("orders")
    await site.gone("orders")
    await _cost(site, "deletion", before)
    assert not site.lets_in(values)


async def _annotate(site: sites.Site, **notes: str) -> None:
    change = {"metadata": {"annotations": notes}}
    await site.client.patch("DynamicLease", "orders", site.namespace, change)


async def _cost(site: sites.Site, what: str, before: Figures) -> Figures:
    """Hold what was asked against the bounds; returns the figures for the next one."""
    after = await _quiet(site)
    made = after - before
    reads = sum(count for key, count in made.items() if key.startswith(_READS))
    most_reads, most_writes = BOUNDS[what]
    assert reads <= most_reads, f"{what}: {made}"
    assert made.total() - reads <= most_writes, f"{what}: {made}"
    return after


async def _quiet(site: sites.Site, *, seconds: float = 1.0) -> Figures:
    """The figures, once nothing is asked any more: the same for so long."""
    seen = [_figures(site)]

    async def rests() -> bool:
        seen.append(_figures(site))
        await asyncio.sleep(seconds)
        return seen[-1] == _figures(site)

    await processes.wait_until_async(rests, what="no request any more")
    return seen[-1]


def _figures(site: sites.Site) -> Figures:
    found: Figures = collections.Counter()
    for key, value in site.operator.metrics().items():
        if key.startswith("leaseholder_cluster_requests_total{"):
            labels = dict(one.split("=") for one in key.partition("{")[2].rstrip("}").split(","))
            found[f"{labels['verb']} {labels['resource']}".replace('"', "")] = int(value)
    return found
