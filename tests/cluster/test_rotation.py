"""Leases that are replaced: by the provider's maximum, by their kind, on one slot; and too soon.

Lifetimes are real ones; the provider's clock is set ahead instead of waiting.
"""

import asyncio
import collections.abc

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical
from tests.world.infisical import seeds

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISSUE = "/api/v1/dynamic-secrets/leases$"
REAL = {"LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS": "60"}
"""The shortest renewal, as real servers have it."""
REPLACED = {"kubernetes": "k8s", "sts": "aws-sts"}
"""DynamicLeases of kinds whose renewal is a no-op, and their dynamic secrets."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "rotation", **REAL) as opened:
        short = seeds.DynamicSecret(name="brief-db", type="sql-database", max_ttl="4m")
        await opened.admin.seed(seeds.Seed(dynamic_secrets=[short]))
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _mend(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    yield
    _provider(site).clear()


@pytest_asyncio.fixture(loop_scope="module")
async def _clock(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    """The provider's clock may be set; an operator that starts anew knows nothing of it after."""
    yield
    await site.admin.turn(clockOffsetSeconds=0)
    await asyncio.to_thread(site.operator.stop)
    await site.restart()


@pytest.mark.usefixtures("_clock")
async def test_a_lease_is_renewed_to_the_maximum_never_beyond_and_replaced_in_time(
    site: sites.Site,
) -> None:
    await site.lease("bounded", source="brief-db", ttl="2m")
    first = await site.ready("bounded")
    values = await site.credentials("bounded")
    await _turn(site, 110, "bounded")
    renewed = await site.renewals("bounded", 1)
    assert _id(renewed) == _id(first)
    row = await _row(site, first)
    assert (row.expire_at - row.created_at).total_seconds() <= 240
    assert renewed["status"]["lease"]["strategy"] == "Rotate"
    await _turn(site, 195, "bounded")
    second = await site.until(
        "bounded", lambda now: kube.is_ready(now) and _id(now) != _id(first), what="replaced"
    )
    assert site.lets_in(values)
    assert await site.logs_in("bounded")
    assert (await _row(site, first)).expire_at == row.expire_at
    assert await _statuses(site, "POST", f"{_id(first)}/renew") == [200]
    assert len(await site.issued("brief-db")) == 2
    assert second["status"]["lease"]["strategy"] == "Renew"


@pytest.mark.usefixtures("_clock")
async def test_kinds_whose_renewal_is_a_no_op_are_replaced_before_their_end_and_never_renewed(
    site: sites.Site,
) -> None:
    await asyncio.gather(
        *(site.lease(name, source=source, ttl="1h") for name, source in REPLACED.items())
    )
    first = {name: await site.ready(name) for name in REPLACED}
    old = {name: await site.credentials(name) for name in REPLACED}
    await _turn(site, 42 * 60, *REPLACED)
    for name in REPLACED:
        await site.until(
            name,
            lambda now, name=name: kube.is_ready(now) and _id(now) != _id(first[name]),  # type: ignore[misc]
            what="replaced",
        )
        assert await site.admin.check(old[name])
        assert await site.admin.check(await site.credentials(name))
        assert await _statuses(site, "POST", f"{_id(first[name])}/renew") == []


async def test_replaced_leases_are_counted_and_a_shorter_overlap_counts_at_once(
    site: sites.Site,
) -> None:
    await site.lease("crowded", ttl="1h", rotation={"overlap": "1h"})
    ids = [_id(await site.ready("crowded"))]
    replaced = []
    for number in range(4):
        replaced.append(await site.credentials("crowded"))
        await _rotate(site, "crowded", str(number))
        found = await site.until(
            "crowded", lambda now: kube.is_ready(now) and _id(now) not in ids, what="replaced"
        )
        ids.append(_id(found))
    await _rotate(site, "crowded", "once more")
    found = await site.reason("crowded", "TooManyLeases")
    ready = kube.condition(found, "Ready")
    assert ready["status"] == "True"
    assert (
        "5 leases of this DynamicLease may live (1 in use, 4 replaced and kept" in ready["message"]
    )
    assert kube.condition(found, "RevocationPending")["status"] == "False"
    assert all(site.lets_in(one) for one in replaced)
    change = {"spec": {"rotation": {"overlap": "0s"}}}
    await site.client.patch("DynamicLease", "crowded", site.namespace, change)
    await site.until(
        "crowded",
        lambda now: kube.is_ready(now) and _id(now) not in ids,
        what="the command that waited is obeyed",
    )
    await processes.wait_until_async(
        lambda: _none_in(site, replaced), what="the replaced ones are revoked"
    )
    assert await site.logs_in("crowded")


async def _none_in(site: sites.Site, values: list[dict[str, str]]) -> bool:
    return not any(site.lets_in(one) for one in values)


async def _rotate(site: sites.Site, name: str, nonce: str) -> None:
    change = {"metadata": {"annotations": {"leaseholder.dev/rotate": nonce}}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


async def test_on_one_slot_the_old_lease_is_gone_and_told_before_the_next_is_issued(
    site: sites.Site,
) -> None:
    await site.lease("shared", source="ldap-static", ttl="1h")
    first = await site.ready("shared")
    old = await site.credentials("shared")
    slow = _provider(site).latency(8.0, method="POST", path=ISSUE)
    await _annotate(site, "shared", rotate="now")
    await site.until("shared", lambda now: not kube.is_ready(now), what="Ready is False")
    await processes.wait_until_async(lambda: _is_over(site, first), what="the old lease is revoked")
    assert not await site.admin.check(old)
    assert len(await site.issued("ldap-static")) == 1
    second = await site.ready("shared")
    _provider(site).remove(slow)
    assert _id(second) != _id(first)
    assert await site.admin.check(await site.credentials("shared"))
    assert len(await site.issued("ldap-static")) == 2


async def test_a_second_dynamic_lease_on_one_slot_waits_and_says_who_has_it(
    site: sites.Site,
) -> None:
    await site.lease("second", source="ldap-static", ttl="1h")
    found = await site.reason("second", "SlotTaken")
    assert kube.condition(found, "Stalled")["status"] == "True"
    assert "DynamicLease rotation/shared holds it" in kube.condition(found, "Ready")["message"]
    assert await site.admin.check(await site.credentials("shared"))
    assert await site.records("second") == []
    issued = len(await site.issued("ldap-static"))
    await site.delete("shared")
    await site.gone("shared")
    again = {"spec": {"deletion": {"timeout": "20m"}}}  # or within a minute
    await site.client.patch("DynamicLease", "second", site.namespace, again)
    await site.ready("second")
    assert await site.admin.check(await site.credentials("second"))
    assert len(await site.issued("ldap-static")) == issued + 1


async def test_of_two_that_want_one_account_at_once_one_gets_it_and_its_login_works(
    site: sites.Site,
) -> None:
    await site.delete("second")
    await site.gone("second")
    issued = len(await site.issued("ldap-static"))
    slow = _provider(site).latency(
        3.0, method="POST", path=ISSUE
    )  # so that both would be under way
    names = ("left", "right")
    await asyncio.gather(*(site.lease(name, source="ldap-static", ttl="1h") for name in names))

    async def reasons() -> list[str]:
        found = [await site.client.get("DynamicLease", name, site.namespace) for name in names]
        return [kube.condition(one or {}, "Ready").get("reason", "") for one in found]

    async def is_decided() -> bool:  # both may give their turn back first
        return sorted(await reasons()) == ["Ready", "SlotTaken"]

    await processes.wait_until_async(is_decided, what="one has the account")
    _provider(site).remove(slow)
    assert await site.admin.check(await site.credentials(names[(await reasons()).index("Ready")]))
    assert len(await site.issued("ldap-static")) == issued + 1


async def test_a_renew_command_that_comes_too_early_is_answered_and_changes_nothing(
    site: sites.Site,
) -> None:
    await site.lease("early", ttl="1h")
    first = await site.ready("early")
    before = await _row(site, first)
    await _annotate(site, "early", renew="now")
    await site.until(
        "early",
        lambda now: (now or {})["status"]["handled"].get("renew") == "now",
        what="the command is handled",
    )
    events = await site.client.list("Event", site.namespace)
    of_it = [e for e in events if e["involvedObject"]["name"] == "early"]
    assert [e["type"] for e in of_it if e["reason"] == "RenewalTooSoon"] == ["Warning"]
    assert kube.is_ready(await site.found("early"))
    assert await _row(site, first) == before
    assert await _statuses(site, "POST", f"{_id(first)}/renew") == []


async def _turn(site: sites.Site, seconds: int, *names: str) -> None:
    """Set the provider's clock ahead of the real one, let answers tell it, and wake some leases.

    The operator wakes all of a provider's leases for its clock once in five minutes only.
    """
    await site.admin.turn(clockOffsetSeconds=seconds)
    for name in (f"clock-{seconds}", f"agreed-{seconds}"):  # one answer alone isn't believed
        await site.lease(name, source="endless-db", ttl="1h")
        await site.ready(name)
    change = {"metadata": {"annotations": {"example.com/woken": str(seconds)}}}
    for name in names:
        await site.client.patch("Secret", name, site.namespace, change)


async def _annotate(site: sites.Site, name: str, **commands: str) -> None:
    marks = {f"leaseholder.dev/{command}": nonce for command, nonce in commands.items()}
    change = {"metadata": {"annotations": marks}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


async def _row(site: sites.Site, found: kube.Object) -> infisical.Row:
    """A lease as the provider's API shows it."""
    lease = await site.leases(_id(found))
    assert lease is not None
    assert lease.row is not None
    return lease.row


async def _is_over(site: sites.Site, found: kube.Object) -> bool:
    lease = await site.leases(_id(found))
    return lease is None or (lease.row is None and not lease.alive)


async def _statuses(site: sites.Site, method: str, end: str) -> list[int]:
    """How requests were answered whose path ends so."""
    log = await site.admin.log()
    return [one.status for one in log if one.method == method and one.path.endswith(end)]


def _id(found: kube.Object | None) -> str:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("id", ""))


def _provider(site: sites.Site) -> faults.Faults:
    assert site.world.provider_faults is not None
    return site.world.provider_faults.faults
