"""Outages and refusals, of the provider, of the systems behind it and of the API server."""

import asyncio
import collections.abc
import datetime
import functools
import time
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
IMPATIENT = {
    "LEASEHOLDER_INFISICAL__WRITE_TIMEOUT_SECONDS": "1",
    "LEASEHOLDER_INFISICAL__READ_TIMEOUT_SECONDS": "1",
}
DOOMED = "faults-doomed"
TARGETS_TEXT = "role is in use, password=hunter2"
Break = collections.abc.Callable[[sites.Site], collections.abc.Awaitable[object]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    served = {"LEASEHOLDER_NAMESPACES": f"faults,{DOOMED}"}
    async with sites.site(world, "faults", **IMPATIENT, **served) as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _heal(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    yield
    await _mend(site)


async def _answer_503(site: sites.Site) -> None:
    await site.admin.turn(burst=1_000_000, burstStatus=503)


async def _reset(site: sites.Site) -> None:
    _provider(site).reset()


async def _hang(site: sites.Site) -> None:
    _provider(site).hang()


@pytest.mark.parametrize("break_down", [_answer_503, _reset, _hang])
async def test_an_outage_of_the_provider_costs_no_lease(
    site: sites.Site, break_down: Break
) -> None:
    name = f"outage{break_down.__name__.replace('_', '-')}"
    await site.lease(name, **FAST)
    before = await site.ready(name)
    values, issued = await site.credentials(name), len(await site.all_issued())
    await break_down(site)
    troubled = await site.until(name, _is_troubled, what="the trouble is told")
    assert kube.is_ready(troubled)
    assert "credentials are good until" in kube.condition(troubled, "Ready")["message"]
    assert await site.credentials(name) == values
    assert site.lets_in(values)
    await _mend(site)
    after, _ = await asyncio.gather(site.reason(name, "Ready"), _renewed(site, name))
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert await site.credentials(name) == values
    assert len(await site.all_issued()) == issued
    await site.delete(name)
    await site.gone(name)


async def test_a_429_is_heeded_by_all_who_write_at_that_provider(site: sites.Site) -> None:
    await site.lease("throttled", **FAST)
    await site.ready("throttled")
    _provider(site).answer(429, method="POST", path="/renew$", times=1, retry_after=4)
    found = await site.reason("throttled", "Throttled")
    told = datetime.datetime.now(datetime.UTC)
    assert kube.is_ready(found)
    await site.lease("queued", ttl="1h")
    await asyncio.gather(_renewed(site, "throttled"), site.ready("queued"))
    writes = [
        one.time
        for one in await site.admin.log()
        if one.time > told and one.method == "POST" and "/leases" in one.path
    ]
    assert min(writes) >= told + datetime.timedelta(seconds=2.5)
    await site.reason("throttled", "Ready")
    await site.delete("throttled")
    await site.gone("throttled")


async def test_a_renewal_whose_answer_was_lost_is_looked_at_before_it_is_sent_again(
    site: sites.Site,
) -> None:
    await site.lease("unsure", **FAST)
    found = await site.ready("unsure")
    lease_id = found["status"]["lease"]["id"]
    lost = _provider(site).reset_after_commit(method="POST", path="/renew$", times=1)
    longest = datetime.timedelta(0)

    async def twice() -> bool:
        nonlocal longest
        seen = await site.leases(lease_id)
        assert seen is not None
        assert seen.row is not None
        longest = max(longest, seen.row.expire_at - datetime.datetime.now(datetime.UTC))
        return len(await _renewals(site, lease_id)) >= 3

    await processes.wait_until_async(twice, what="renewed again")
    assert _provider(site).counters().applied[lost] == 1
    assert longest <= datetime.timedelta(seconds=61)
    first, second, *_ = await _renewals(site, lease_id)
    looks = [
        one
        for one in await site.admin.log()
        if one.method == "GET" and one.path.endswith(lease_id) and first <= one.time <= second
    ]
    assert looks
    assert len(await site.records("unsure")) == 1
    await site.delete("unsure")
    await site.gone("unsure")


async def test_bursts_of_errors_and_broken_watches_dont_keep_it_from_renewing(
    site: sites.Site,
) -> None:
    await site.lease("stormy", **FAST)
    before = await site.ready("stormy")
    issued = len(await site.all_issued())
    cluster = _cluster(site)
    cluster.answer(500, path=r"^(?!.*watch=)", probability=0.3, times=6)
    cluster.answer(409, method="PATCH|POST", probability=0.5, times=4)
    cluster.expire_watches(times=6)
    cluster.drop_watches()
    after = await _renewed(site, "stormy", times=2)
    cluster.drop_watches()
    cluster.clear()
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert len(await site.all_issued()) == issued
    await site.client.delete("Secret", "stormy", site.namespace)
    await _has_secret(site, "stormy")
    await site.lease("after-storm", ttl="1h")
    await site.ready("after-storm")
    assert await site.logs_in("after-storm")
    await site.delete("stormy")
    await site.gone("stormy")


async def test_a_finalizer_whose_answer_was_lost_keeps_no_lease_waiting(site: sites.Site) -> None:
    path = r"/dynamicleases/unanswered\?"
    lost = _cluster(site).reset_after_commit(method="PATCH", path=path, times=1)
    await site.lease("unanswered", ttl="1h")
    await site.ready("unanswered", timeout=15)
    assert _cluster(site).counters().applied[lost] == 1
    assert len(await site.records("unanswered")) == 1
    await site.delete("unanswered")
    await site.gone("unanswered")


async def test_an_api_server_that_is_away_for_a_while_is_outlived(site: sites.Site) -> None:
    await site.lease("outlived", **FAST)
    before = await site.ready("outlived")
    issued = len(await site.all_issued())
    _cluster(site).reset()
    _cluster(site).drop_watches()
    back = time.monotonic() + 5

    async def is_over() -> bool:
        site.operator.process.check()
        assert await asyncio.to_thread(site.operator.answers, "/healthz")
        return time.monotonic() > back

    await processes.wait_until_async(is_over, what="five seconds have passed")
    assert await site.logs_in("outlived")
    _cluster(site).clear()
    after = await _renewed(site, "outlived")
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    assert len(await site.all_issued()) == issued
    await site.lease("new", ttl="1h")
    await site.ready("new")
    await site.client.delete("Secret", "new", site.namespace)
    await _has_secret(site, "new")
    await asyncio.gather(site.delete("new"), site.delete("outlived"))
    await asyncio.gather(site.gone("new"), site.gone("outlived"))


async def test_an_operator_that_starts_while_the_api_server_is_away_waits_for_it(
    site: sites.Site,
) -> None:
    await site.lease("awaited", ttl="1h")
    await site.ready("awaited")
    site.operator.kill()
    refused = _cluster(site).answer(503)
    starting = asyncio.create_task(site.restart())

    async def was_refused() -> bool:
        return _cluster(site).counters().applied.get(refused, 0) > 1

    await processes.wait_until_async(was_refused, what="it tried twice")
    assert site.operator.answers("/healthz"), "or the kubelet starts it again and again"
    assert not site.operator.ready()
    _cluster(site).clear()
    await starting
    await site.client.delete("Secret", "awaited", site.namespace)
    await _has_secret(site, "awaited")
    await site.delete("awaited")
    await site.gone("awaited")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doomed(site: sites.Site) -> list[dict[str, str]]:
    """A namespace with two leases, being deleted; the credentials that they had."""
    doomed = _at(site, DOOMED)
    await site.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DOOMED}})
    await doomed.auth_secret()
    await doomed.provider()
    await asyncio.gather(doomed.lease("one", ttl="1h"), doomed.lease("two", ttl="1h"))
    await asyncio.gather(doomed.ready("one"), doomed.ready("two"))
    values = [await doomed.credentials(name) for name in ("one", "two")]
    await site.client.delete("Namespace", DOOMED)
    return values


async def test_leases_in_a_namespace_that_is_deleted_are_revoked(
    site: sites.Site, doomed: list[dict[str, str]]
) -> None:
    await asyncio.gather(_at(site, DOOMED).gone("one"), _at(site, DOOMED).gone("two"))
    assert len(doomed) == 2
    assert not any(site.lets_in(values) for values in doomed)
    assert await site.records("one") == []
    assert await site.records("two") == []


async def test_a_target_that_refuses_to_revoke_holds_the_deletion_until_it_is_healed(
    site: sites.Site,
) -> None:
    values = await _refused(site, "refused")
    found = await site.until("refused", _is_pending, what="the refusal is told")
    assert found["metadata"]["finalizers"]
    assert "hunter2" not in str(found)
    assert site.lets_in(values)
    assert await site.credentials("refused") == {}
    await site.admin.turn(revokeError=None)
    await site.gone("refused")
    assert not site.lets_in(values)
    assert await site.records("refused") == []


async def test_force_gives_up_on_the_target(site: sites.Site) -> None:
    await _refused(site, "forced")
    found = await site.until("forced", _is_pending, what="the refusal is told")
    lease_id = (await site.records("forced"))[0]["leaseId"]
    change = {"metadata": {"annotations": {"leaseholder.dev/force": "now"}}}
    await site.client.patch("DynamicLease", "forced", site.namespace, change)
    assert found["metadata"]["finalizers"]
    await site.gone("forced")
    assert await site.records("forced") == []
    seen = await site.leases(lease_id)
    assert seen is not None
    assert seen.row is None


async def test_a_deletion_that_takes_too_long_ends_and_its_lease_is_revoked_later(
    site: sites.Site,
) -> None:
    values = await _refused(site, "overdue", deletion={"timeout": "2s"})
    await site.gone("overdue")
    assert site.lets_in(values)
    assert len(await site.records("overdue")) == 1
    events = await site.client.list("Event", site.namespace)
    assert any(
        e["reason"] == "DeletionTimedOut" and e["involvedObject"]["name"] == "overdue"
        for e in events
    )
    await site.admin.turn(revokeError=None)

    async def is_revoked() -> bool:
        return await site.records("overdue") == []

    await processes.wait_until_async(is_revoked, what="the lease is revoked")
    assert not site.lets_in(values)


async def test_a_namespace_goes_although_it_held_leases(
    site: sites.Site, doomed: list[dict[str, str]]
) -> None:
    assert doomed
    await site.client.wait("Namespace", DOOMED, "", kube.is_gone, what="gone")


async def _refused(site: sites.Site, name: str, **spec: typing.Any) -> dict[str, str]:
    """A lease whose target refuses to revoke it, being deleted; returns its credentials."""
    await site.lease(name, source="short-db", ttl="5m", **spec)
    await site.ready(name)
    values = await site.credentials(name)
    await site.admin.turn(revokeError=TARGETS_TEXT, revokeErrorNames=["short-db"])
    await site.delete(name)
    return values


async def _mend(site: sites.Site) -> None:
    _provider(site).clear()
    _cluster(site).clear()
    await site.admin.turn(burst=0, revokeError=None, revokeErrorNames=[])


def _provider(site: sites.Site) -> faults.Faults:
    assert site.world.provider_faults is not None
    return site.world.provider_faults.faults


def _cluster(site: sites.Site) -> faults.Faults:
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults


def _at(site: sites.Site, namespace: str) -> sites.Site:
    """The same site, seen from another namespace that its operator serves."""
    return sites.Site(
        site.world,
        site.client,
        site.admin,
        site.operator,
        namespace,
        site.home,
        site.settings,
    )


def _is_troubled(found: kube.Object | None) -> bool:
    return kube.condition(found, "Ready").get("reason") not in ("Ready", None)


def _is_pending(found: kube.Object | None) -> bool:
    pending = kube.condition(found, "RevocationPending")
    return (pending.get("status"), pending.get("reason")) == ("True", "FailedToDelete")


async def _renewed(site: sites.Site, name: str, *, times: int = 1) -> kube.Object:
    """Wait until a lease lives longer than it does now, so many times."""
    found = await site.ready(name)
    for _ in range(times):
        longer = functools.partial(_lives_beyond, found["status"]["lease"]["expiresAt"])
        found = await site.until(name, longer, what="renewed")
    return found


def _lives_beyond(moment: str, found: kube.Object | None) -> bool:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("expiresAt", "")) > moment


async def _renewals(site: sites.Site, lease_id: str) -> list[datetime.datetime]:
    """When the emulator renewed a lease."""
    log = await site.admin.log()
    return [one.time for one in log if one.path.endswith(f"{lease_id}/renew")]


async def _has_secret(site: sites.Site, name: str) -> None:
    await site.client.wait(
        "Secret", name, site.namespace, lambda found: found is not None, what="healed"
    )
