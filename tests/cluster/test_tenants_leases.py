"""Providers that answer with leases of no use, or without end: neither fills the API server."""

import asyncio
import collections.abc
import contextlib
import dataclasses
import datetime

import pytest
import pytest_asyncio
from aiohttp import web

from tests.cluster import court, rogue
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HOUR = datetime.timedelta(hours=1)
NOTHING = datetime.timedelta(0)
FINALIZERS: kube.Object = {"metadata": {"finalizers": []}}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A lease as a server dates it: from now, and how long it lives."""

    begins: datetime.timedelta
    lives: datetime.timedelta
    says: str


CASES = {
    "hours-ago": Case(-2 * HOUR, HOUR, "s before its own Date"),
    "hours-ahead": Case(2 * HOUR, HOUR, "s after its own Date"),
    "over": Case(NOTHING, -HOUR, "too short to be used"),
    "zero": Case(NOTHING, NOTHING, "gave a lease of 0 s"),
    "one-second": Case(NOTHING, datetime.timedelta(seconds=1), "gave a lease of 1 s"),
    "three-seconds": Case(NOTHING, datetime.timedelta(seconds=3), "gave a lease of"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World) -> collections.abc.AsyncIterator[court.Court]:
    async with court.opened(world, "leases") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def attack(place: court.Court) -> collections.abc.AsyncIterator[court.Court]:
    async with place.attacked() as attacked:
        yield attacked


async def test_leases_of_no_use_are_issued_more_and_more_seldom(attack: court.Court) -> None:
    """Each at a server of its own, which refuses revocations, all at once."""
    async with contextlib.AsyncExitStack() as stack:
        servers = {}
        for name, case in CASES.items():
            server = servers[name] = await stack.enter_async_context(rogue.serving())
            server.begins, server.lives = case.begins, case.lives
            server.trick(rogue.END, _refuse)
            await attack.provider(name, server.url)
            await attack.tenant.lease(name, provider=name)
        await asyncio.gather(*(_failed(attack, name, 3) for name in CASES))
        for name, server in servers.items():
            found = await _failed(attack, name, 3)
            assert 3 <= server.count(rogue.ISSUE) <= found["status"]["retry"]["failures"] + 1
            assert CASES[name].says in str(kube.condition(found, "Stalled")["message"])
            assert kube.condition(found, "Ready")["status"] == "False"
            assert await attack.tenant.credentials(name) == {}
        assert "DB_PASSWORD" not in str(await attack.victim.records())


async def test_a_lease_that_ends_in_a_thousand_years_is_on_record_for_as_long_as_was_asked(
    attack: court.Court,
) -> None:
    attack.server.lives = datetime.timedelta(days=355_000)
    attack.server.trick(rogue.END, _refuse)
    await attack.own_provider()
    names = [f"endless-{number}" for number in range(3)]
    for name in names:
        await attack.tenant.lease(name, provider="own", ttl="1h")
    await asyncio.gather(*(attack.tenant.ready(name) for name in names))
    for name in names:
        await attack.tenant.delete(name)
        await attack.tenant.client.patch("DynamicLease", name, attack.tenant.namespace, FINALIZERS)
    await asyncio.gather(*(_pending_revocations(attack, name) for name in names))
    latest = datetime.datetime.now(datetime.UTC) + HOUR
    for name in names:
        (record,) = await attack.victim.records(name)
        assert datetime.datetime.fromisoformat(record["expiresAt"]) <= latest


async def test_what_is_too_big_for_the_record_never_gets_there(attack: court.Court) -> None:
    attack.server.lease_id = "x" * 5000
    await attack.own_provider()
    await attack.tenant.lease("big", provider="own", ttl="1h")
    await attack.tenant.reason("big", "BadProviderAnswer")
    assert "xxxxx" not in str(await attack.victim.records())


async def _refuse(_: web.Request) -> web.StreamResponse:
    refusal = {"reqId": "req-1", "statusCode": 403, "message": "no", "error": "PermissionDenied"}
    return web.json_response(refusal, status=403)


async def _failed(attack: court.Court, name: str, times: int) -> kube.Object:
    """A DynamicLease once so many issues in a row gave nothing to use."""

    def enough(found: kube.Object | None) -> bool:
        retry = ((found or {}).get("status") or {}).get("retry") or {}
        return retry.get("reason") == "LeaseUnusable" and int(retry["failures"]) >= times

    return await attack.tenant.until(name, enough, what=f"{times} failures", timeout=120)


async def _pending_revocations(attack: court.Court, name: str) -> None:
    """Wait until the leases of a DynamicLease are on record to be revoked."""

    async def pending() -> bool:
        found = await attack.victim.records(name)
        return bool(found) and all(r["state"] == "Revoking" for r in found)

    await processes.wait_until_async(pending, timeout=120, what=f"{name} is pending")
