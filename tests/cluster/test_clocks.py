"""Clocks that don't agree: a proxy's, several servers' behind one address, and two providers'."""

import asyncio
import collections.abc
import contextlib
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, houses, kube, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
IDLE = 20
REFUSAL = '{"reqId":"r","statusCode":403,"message":"no","error":"PermissionDenied"}'


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
    before, issued = _requests(site), len(await site.all_issued())
    await _answered(site, rule, 8)
    made = _requests(site) - before
    assert made < 10 * 8 + 12 * IDLE, "all were roused once at most"
    assert len(await site.all_issued()) == issued
    for name in ("busy-0", "busy-1", "idle-0"):
        await site.ready(name)
        assert await site.logs_in(name)


@pytest.mark.parametrize("ahead", [120, -120, None])
async def test_a_proxys_date_that_differs_from_the_leases_moments_costs_no_lease(
    site: sites.Site, ahead: int | None
) -> None:
    """``ttl: 60s``: by such a ``Date`` it is over on arrival, or lives two minutes too long."""
    name = f"proxied-{ahead}".replace("-", "x").lower()
    _proxy(site).date(ahead)
    await site.provider(name)
    before = len(await site.all_issued())
    await site.lease(name, provider=name, **FAST)
    found = await site.renewals(name, 2)
    site.operator.kill()
    await site.restart()
    again = await site.renewals(name, found["status"]["lease"]["renewals"] + 1)
    assert _id(again) == _id(found)
    await site.ready(name)
    assert await site.logs_in(name)
    assert len(await site.all_issued()) == before + 1


async def test_a_proxys_date_that_jumps_costs_no_lease(site: sites.Site) -> None:
    await site.provider("jumping")
    before = len(await site.all_issued())
    await site.lease("jumping", provider="jumping", **FAST)
    found = await site.renewals("jumping", 1)
    for ahead in (120, -120, 45):
        _proxy(site).clear()
        rule = _proxy(site).date(ahead)
        await _answered(site, rule, 2)
        known = await site.found("jumping")
        assert known is not None
        again = await site.renewals("jumping", known["status"]["lease"]["renewals"] + 1)
        assert _id(again) == _id(found)
        assert await site.logs_in("jumping")
    assert len(await site.all_issued()) == before + 1


async def test_a_lease_is_judged_by_the_clock_of_the_provider_that_made_it(
    site: sites.Site,
) -> None:
    """The DynamicLease names another one now, half an hour behind, which gives no lease yet."""
    await site.lease("moved", **FAST)
    before = await site.renewals("moved", 1)
    directory, upstream = site.world.directory, site.world.infisical.url
    with faults.FaultProxy.start(upstream, directory=directory, name="behind", tls=False) as other:
        refusal = other.faults.answer(403, method="POST", path="/leases$", body=REFUSAL)
        other.faults.date(-1800)
        await site.provider_at("behind", other.url)
        change = {"spec": {"providerRef": {"name": "behind"}}}
        await site.client.patch("DynamicLease", "moved", site.namespace, change)
        await site.until("moved", _was_refused, what="the other one refuses")
        again = await site.renewals("moved", before["status"]["lease"]["renewals"] + 3)
        assert _id(again) == _id(before)
        assert await site.logs_in("moved")
        other.faults.remove(refusal)
        await site.until(
            "moved", lambda one: kube.is_ready(one) and _id(one) != _id(before), what="it moved"
        )
        assert await site.logs_in("moved")
        await site.delete("moved")
        await site.gone("moved")


async def test_openbaos_own_clock_counts_where_a_proxy_writes_the_date(
    world: worlds.World,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        house, trusts = await stack.enter_async_context(houses.opened(world, "openbao"))
        house.faults.date(120)
        site = await stack.enter_async_context(
            sites.site_of(house, world, "clocks-bao", trusts=trusts)
        )
        await site.lease("ahead", source=house.sources[0], **FAST)
        found = await site.renewals("ahead", 2)
        house.faults.clear()
        house.faults.date(-120)
        for document in houses.manifests(house, site.namespace, "behind", trusts):
            await site.client.apply(document)
        await site.lease("behind", source=house.sources[1], provider="behind", **FAST)
        await site.renewals("behind", 2)
        again = await site.renewals("ahead", found["status"]["lease"]["renewals"] + 2)
        assert _id(again) == _id(found)
        for name in ("ahead", "behind"):
            assert await site.works(await site.credentials(name))
        assert await house.issued() == 2


def _id(found: kube.Object | None) -> str:
    return str(((found or {}).get("status") or {}).get("lease", {}).get("id"))


def _was_refused(found: kube.Object | None) -> bool:
    return bool(((found or {}).get("status") or {}).get("retry"))


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
