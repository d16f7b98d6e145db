"""Outages that last across renewals and ends of leases, and clocks that don't agree."""

import asyncio
import collections.abc
import datetime
import functools
import typing

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds: as soon as replicas may show the last renewal."""
IMPATIENT = {
    "LEASEHOLDER_INFISICAL__WRITE_TIMEOUT_SECONDS": "2",
    "LEASEHOLDER_INFISICAL__READ_TIMEOUT_SECONDS": "1",
}
MANY = 20
OPEN = "leaseholder_provider_circuit_open{"
Cut = collections.abc.Callable[[faults.Faults], object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "outage", **IMPATIENT) as opened:
        await opened.provider("watched", probe={"interval": "10s"})
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _heal(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    yield
    _provider(site).clear()
    _cluster(site).clear()
    await site.admin.turn(burst=0, clockOffsetSeconds=0, replicaLagSeconds=0)


def _reset(cluster: faults.Faults) -> object:
    return cluster.reset()


def _hang(cluster: faults.Faults) -> object:
    return cluster.hang()


def _answer_500(cluster: faults.Faults) -> object:
    return cluster.answer(500)


def _answer_429(cluster: faults.Faults) -> object:
    return cluster.answer(429, retry_after=2)


def _answer_403(cluster: faults.Faults) -> object:
    return cluster.answer(403)


@pytest.mark.parametrize("cut", [_reset, _hang, _answer_500, _answer_429, _answer_403])
async def test_while_the_api_server_is_away_leases_are_renewed_and_nothing_else_is_done(
    site: sites.Site, cut: Cut
) -> None:
    name = f"away{cut.__name__.replace('_', '-')}"
    await site.lease(name, **FAST)
    before = await site.ready(name)
    lease_id, values = _id(before), await site.credentials(name)
    issued = len(await site.all_issued())
    cut(_cluster(site))
    _cluster(site).drop_watches()
    for _ in range(2):
        await _lives_longer(site, lease_id)
    assert site.lets_in(values)
    site.operator.process.check()
    assert await asyncio.to_thread(site.operator.answers, "/healthz")
    _cluster(site).clear()
    moved = functools.partial(_told_beyond, before["status"]["lease"]["expiresAt"])
    after = await site.until(name, moved, what="the new expiry is told")
    assert _id(after) == lease_id
    assert len(await site.all_issued()) == issued
    assert await site.credentials(name) == values
    await _end(site, name)


async def test_a_slow_api_server_slows_and_stops_nothing(site: sites.Site) -> None:
    await site.lease("slow", **FAST)
    before = await site.ready("slow")
    _cluster(site).latency(1.0, path=r"^(?!.*watch=)")
    await _lives_longer(site, _id(before))
    await site.lease("slower", ttl="1h")
    await site.ready("slower", timeout=45)
    assert await site.logs_in("slower")
    _cluster(site).clear()
    await asyncio.gather(_end(site, "slow"), _end(site, "slower"))


@pytest.mark.parametrize("how", ["drop", "expire"])
async def test_after_its_watches_broke_it_hears_of_changes(site: sites.Site, how: str) -> None:
    name = f"watch-{how}"
    await site.lease(name, ttl="1h")
    found = await site.ready(name)
    if how == "expire":
        _cluster(site).expire_watches(times=6)
    _cluster(site).drop_watches()
    change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "now"}}}
    await site.client.patch("DynamicLease", name, site.namespace, change)
    old = _id(found)
    await site.until(name, lambda now: _id(now) not in ("", old), what="rotated")
    assert await site.logs_in(name)
    await _end(site, name)


async def test_a_provider_that_is_down_is_asked_seldom_and_every_lease_lives_on(
    site: sites.Site,
) -> None:
    names = [f"crowd-{n}" for n in range(MANY)]
    await asyncio.gather(*(site.lease(name, **FAST) for name in names))
    found = await asyncio.gather(*(site.ready(name) for name in names))
    issued = len(await site.all_issued())
    values = [await site.credentials(name) for name in names]
    provider = _provider(site)
    provider.reset()
    await _circuit(site, is_open=True)
    await site.client.wait(
        "LeaseProvider", "infisical", site.namespace, _is_down, what="the outage is told"
    )
    provider.reset_counters()
    started = asyncio.get_running_loop().time()

    async def some_time_passed() -> bool:
        return asyncio.get_running_loop().time() > started + 10

    await processes.wait_until_async(some_time_passed, what="ten seconds")
    assert provider.counters().total <= 20
    provider.clear()
    await asyncio.gather(*(_lives_longer(site, _id(one)) for one in found))
    await _circuit(site, is_open=False)
    await site.client.wait(
        "LeaseProvider", "infisical", site.namespace, kube.is_ready, what="its end is told"
    )
    await asyncio.gather(*(site.reason(name, "Ready") for name in names))
    assert len(await site.all_issued()) == issued
    assert [await site.credentials(name) for name in names] == values
    assert all(site.lets_in(one) for one in values)
    await asyncio.gather(*(_end(site, name) for name in names))


@pytest.mark.timeout(600)
async def test_a_lease_that_ends_in_an_outage_keeps_its_secret_and_is_replaced_once_after_it(
    site: sites.Site,
) -> None:
    await site.lease("ended", source="short-db")
    before = await site.ready("ended")
    values, issued = await site.credentials("ended"), len(await site.all_issued())
    _provider(site).reset()
    expired = await site.reason("ended", "LeaseExpired", timeout=100)
    ready = kube.condition(expired, "Ready")
    assert ready["status"] == "False"
    assert "the credentials end at" in ready["message"]
    assert await site.credentials("ended") == values
    assert len(await site.all_issued()) == issued

    async def over() -> bool:
        return not await site.works(values)

    await processes.wait_until_async(over, what="its end, told a moment ahead")
    _provider(site).clear()
    old = _id(before)
    await site.until("ended", lambda now: _id(now) not in ("", old), what="replaced", timeout=150)
    await site.ready("ended")
    assert await site.logs_in("ended")
    assert not site.lets_in(values)
    assert len(await site.all_issued()) == issued + 1
    await _end(site, "ended")


async def test_a_lease_revoked_outside_is_noticed_and_replaced_ready_being_false_meanwhile(
    site: sites.Site,
) -> None:
    await site.lease("outside", provider="watched", ttl="1h")
    before = await site.ready("outside")
    values, old = await site.credentials("outside"), _id(before)
    _provider(site).latency(1.5, method="POST", path="/leases$", times=1)
    await _revoke_outside(site, old)
    assert not site.lets_in(values)
    await site.until(
        "outside",
        lambda now: kube.condition(now, "Ready").get("status") == "False",
        what="Ready is False",
        timeout=45,
    )
    await site.until("outside", lambda now: _id(now) not in ("", old), what="replaced")
    await site.ready("outside")
    assert await site.logs_in("outside")
    await _end(site, "outside")


async def test_replicas_that_trail_cost_no_lease_and_hide_no_pending_revocation(
    site: sites.Site,
) -> None:
    await site.admin.turn(replicaLagSeconds=1.5)
    await site.lease("trailing", **FAST)
    before = await site.ready("trailing")
    values = await site.credentials("trailing")
    for _ in range(2):
        await _lives_longer(site, _id(before))
    assert _id(await site.ready("trailing")) == _id(before)
    assert len(await site.records("trailing")) == 1
    await _end(site, "trailing")
    assert not site.lets_in(values)


@pytest.mark.parametrize("offset", [600, -600])
async def test_a_providers_clock_ten_minutes_off_changes_nothing(
    site: sites.Site, offset: int
) -> None:
    name = f"clock-{'ahead' if offset > 0 else 'behind'}"
    await site.admin.turn(clockOffsetSeconds=offset)
    await site.lease(name, provider="watched", **FAST)
    before = await site.ready(name)
    for _ in range(2):
        await _lives_longer(site, _id(before))
    found = await site.ready(name)
    assert _id(found) == _id(before)
    assert await site.logs_in(name)
    assert len(await site.records(name)) == 1
    await _skewed(site, offset)
    await _end(site, name)


async def test_a_providers_clock_that_is_set_back_issues_nothing(site: sites.Site) -> None:
    await site.lease("clock-set", provider="watched", **FAST)
    before = await site.ready("clock-set")
    issued = len(await site.all_issued())
    await site.admin.turn(clockOffsetSeconds=-600)
    await site.lease("witness", provider="watched", ttl="1h")
    await site.ready("witness")
    assert await site.logs_in("clock-set")
    await _skewed(site, -600)
    await site.admin.turn(clockOffsetSeconds=0)
    await _lives_longer(site, _id(before))
    assert _id(await site.ready("clock-set")) == _id(before)
    assert len(await site.all_issued()) == issued + 1
    await asyncio.gather(_end(site, "clock-set"), _end(site, "witness"))


async def test_a_renew_command_on_a_lease_that_cant_be_renewed_is_answered(
    site: sites.Site,
) -> None:
    await site.lease("unrenewed", ttl="1h", renewal={"strategy": "Rotate"})
    await site.ready("unrenewed")
    change = {"metadata": {"annotations": {"leaseholder.dev/renew": "now"}}}
    await site.client.patch("DynamicLease", "unrenewed", site.namespace, change)
    await site.until(
        "unrenewed",
        lambda now: (now or {})["status"]["handled"].get("renew") == "now",
        what="it is handled",
    )

    async def told() -> bool:
        events = await site.client.list("Event", site.namespace)
        answers = [e["message"] for e in events if e["reason"] == "CannotRenew"]
        return ["annotate leaseholder.dev/rotate" in answer for answer in answers] == [True]

    await processes.wait_until_async(told, what="one event says what to do instead")
    await _end(site, "unrenewed")


async def _lives_longer(site: sites.Site, lease_id: str) -> None:
    """Wait until the provider gives a lease a later end than now."""
    first = await _end_of(site, lease_id)

    async def moved() -> bool:
        return await _end_of(site, lease_id) > first

    await processes.wait_until_async(moved, timeout=90, what=f"{lease_id} is renewed")


async def _end_of(site: sites.Site, lease_id: str) -> datetime.datetime:
    found = await site.leases(lease_id)
    assert found is not None
    assert found.row is not None
    return found.row.expire_at


async def _revoke_outside(site: sites.Site, lease_id: str) -> None:
    """Somebody revokes a lease by the provider's own API."""
    api = f"{site.world.infisical.url}/api/v1"
    login = {
        "clientId": site.world.infisical.client_id,
        "clientSecret": site.world.infisical.client_secret,
    }
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(f"{api}/auth/universal-auth/login", json=login) as answer:
            token = (await answer.json())["accessToken"]
        async with session.delete(
            f"{api}/dynamic-secrets/leases/{lease_id}",
            json=sites.SOURCE,
            headers={"Authorization": f"Bearer {token}"},
        ):
            pass


async def _circuit(site: sites.Site, *, is_open: bool) -> None:
    async def told() -> bool:
        metrics = await asyncio.to_thread(site.operator.metrics)
        count = sum(value for name, value in metrics.items() if name.startswith(OPEN))
        return (count > 0) is is_open

    what = f"the circuit is {'open' if is_open else 'closed'}"
    await processes.wait_until_async(told, what=what)


async def _end(site: sites.Site, name: str) -> None:
    await site.delete(name)
    await site.gone(name)


def _provider(site: sites.Site) -> faults.Faults:
    assert site.world.provider_faults is not None
    return site.world.provider_faults.faults


def _cluster(site: sites.Site) -> faults.Faults:
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults


def _id(found: kube.Object | None) -> str:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("id", ""))


def _told_beyond(moment: str, found: kube.Object | None) -> bool:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("expiresAt", "")) > moment


def _is_down(found: kube.Object | None) -> bool:
    return kube.condition(found, "Ready").get("status") == "False"


async def _skewed(site: sites.Site, offset: int) -> None:
    """Wait until the provider's status tells how far its clock is off."""
    await site.client.wait(
        "LeaseProvider",
        "watched",
        site.namespace,
        lambda one: abs(_skew(one) - offset) <= 5,
        what="the skew is told",
    )


def _skew(found: kube.Object | None) -> int:
    return int(((found or {}).get("status") or {}).get("clockSkewSeconds", 0))
