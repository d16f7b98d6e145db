"""The operator is killed, stopped and started again; what it left behind is put right.

The first two fixtures leave wreckage that takes half a minute to be searched for, as the deadline
of an issue wants it. The tests that wait for the end of that search come last, so that the others
run meanwhile, on a site of their own.
"""

import asyncio
import collections.abc
import dataclasses
import functools
import os
import typing

import pytest
import pytest_asyncio

from tests.cluster import kills, sites
from tests.world import faults, kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 3}}
"""Renewed every three seconds."""
ISSUE = r"/dynamic-secrets/leases$"
UNHEARD = ("unheard-0", "unheard-1")
UNDELIVERED = ("undelivered-0", "undelivered-1")
LOST = "lost"
SEARCHED = 50.0
"""Seconds within which an unclear issue is found: 20 s deadline, 2 s settling, two looks."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wreck:
    """A site whose operator was killed amid issues and deliveries, and then started again."""

    site: sites.Site
    left: frozenset[str | None]
    """The leases that lived when it was killed; no Secret shows them."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wreck(world: worlds.World) -> collections.abc.AsyncIterator[Wreck]:
    provider, cluster = _faults(world)
    async with sites.site(world, "wreck") as site:
        cluster.hang(method="POST", path=r"/namespaces/wreck/secrets\?(?!.*dryRun)")
        await asyncio.gather(*(site.lease(name, ttl="1h") for name in UNDELIVERED))
        await _until(lambda: _all_held(site), "the leases to deliver are held")
        provider.add(faults.Rule(action=faults.Action.HANG_AFTER, method="POST", path=ISSUE))
        await asyncio.gather(*(site.lease(name, ttl="1h") for name in UNHEARD))
        await _until(lambda: _has_issued(site, 4), "the provider has issued")
        site.operator.kill()
        left = frozenset(await _alive(site))
        provider.clear()
        cluster.clear()
        await site.restart()
        await asyncio.gather(*(site.ready(name) for name in (*UNHEARD, *UNDELIVERED)))
        await site.admin.turn(loseAnswers=1)
        await site.lease(LOST, ttl="1h")
        await site.ready(LOST)
        yield Wreck(site, left)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed(world: worlds.World) -> collections.abc.AsyncIterator[kills.Kills]:
    """An operator that was killed ten times at random moments, with much to do each time."""
    seed = kills.seed_from(os.environ.get("SEED_FOR_TESTS"))
    async with (
        sites.site(world, "kills") as site,
        kills.Kills(site, seed).watched() as done,
    ):
        await done.strike(10)
        yield done


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "crash") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_faults(world: worlds.World) -> collections.abc.Iterator[None]:
    yield
    for one in _faults(world):
        one.clear()


@pytest.mark.timeout(600)
async def test_after_a_crash_each_need_is_met_by_one_new_lease(wreck: Wreck) -> None:
    site = wreck.site
    shown = await site.shown()
    assert len(shown) == 5
    assert not shown & wreck.left
    assert len(await site.all_issued()) == 2 * 5
    logins = [await site.logs_in(name) for name in (*UNHEARD, *UNDELIVERED, LOST)]
    assert all(logins)


@pytest.mark.timeout(600)
async def test_an_operator_that_is_killed_again_and_again_meets_every_need(
    killed: kills.Kills,
) -> None:
    await killed.fleet.ready()
    assert await killed.fleet.refused() == []


async def test_a_stop_finishes_and_delivers_the_issue_that_is_under_way(
    site: sites.Site, world: worlds.World
) -> None:
    provider, _ = _faults(world)
    provider.latency(2, method="POST", path=ISSUE, times=1)
    await site.lease("stopped", ttl="1h")
    await _until(lambda: _has_records(site, "stopped", "Attempt"), "the issue is on record")
    stopped = site.operator
    stopped.terminate()
    await _until(lambda: _ended(stopped.process), "the process has ended")
    with pytest.raises(processes.PartFailed, match="ended with code 0"):
        stopped.process.check()
    stopped.stop()
    assert await site.logs_in("stopped")
    assert await _has_records(site, "stopped", "Held")
    await site.restart()
    await site.ready("stopped")
    assert len(await site.all_issued()) == 1


async def test_a_restart_issues_nothing_and_goes_on_renewing(site: sites.Site) -> None:
    await asyncio.gather(site.lease("kept", ttl="1h"), site.lease("renewed", **FAST))
    before = await asyncio.gather(site.ready("kept"), site.ready("renewed"))
    issued = len(await site.all_issued())
    site.operator.stop()
    await site.restart()
    after = await asyncio.gather(site.ready("kept"), _renewed_twice(site, "renewed"))
    assert [_id(one) for one in after] == [_id(one) for one in before]
    assert len(await site.all_issued()) == issued
    assert await site.logs_in("renewed")


async def test_a_status_wiped_while_the_operator_was_away_is_rebuilt_without_an_issue(
    site: sites.Site,
) -> None:
    await site.lease("wiped", **FAST)
    before = await site.ready("wiped")
    issued = len(await site.all_issued())
    site.operator.kill()
    await _wipe(site, "wiped")
    await site.restart()
    after = await _renewed_twice(site, "wiped")
    assert kube.is_ready(after)
    assert _id(after) == _id(before)
    assert after["status"]["lease"]["attempt"] == before["status"]["lease"]["attempt"]
    assert len(await site.all_issued()) == issued


async def test_a_status_wiped_under_a_running_operator_is_rebuilt_without_an_issue(
    site: sites.Site,
) -> None:
    await site.lease("bare", **FAST)
    before = await site.ready("bare")
    await _wipe(site, "bare")
    after = await _renewed_twice(site, "bare")
    assert kube.is_ready(after)
    assert _id(after) == _id(before)
    assert len(await site.records("bare")) == 1


@pytest.mark.timeout(600)
async def test_what_a_crash_left_behind_is_found_and_revoked(wreck: Wreck) -> None:
    site = wreck.site
    await _until(site.is_settled, "only what Secrets show lives", timeout=SEARCHED)
    assert len(wreck.left) == 4
    assert not await _alive(site) & wreck.left
    assert len(await site.all_issued()) == 2 * 5


@pytest.mark.timeout(600)
async def test_an_issue_whose_answer_was_lost_is_taken_back_and_another_delivered(
    wreck: Wreck,
) -> None:
    site = wreck.site
    await _until(site.is_settled, "only what Secrets show lives", timeout=SEARCHED)
    (record,) = await site.records(LOST)
    found = await site.ready(LOST)
    assert record["leaseId"] == _id(found)
    assert record["attemptId"] == found["status"]["lease"]["attempt"]
    assert await site.logs_in(LOST)
    assert kube.condition(found, "RevocationPending")["status"] == "False"


@pytest.mark.timeout(600)
async def test_whenever_it_is_killed_what_lives_in_the_end_is_what_the_secrets_show(
    killed: kills.Kills,
) -> None:
    outcome = await killed.reckon()
    assert outcome.holds, f"seed {outcome.seed}: {outcome}"
    assert outcome.wanted >= kills.FLEET // 2


def _faults(world: worlds.World) -> tuple[faults.Faults, faults.Faults]:
    """Those before the provider, and those before the API server."""
    assert world.provider_faults is not None
    assert world.kubernetes_faults is not None
    return world.provider_faults.faults, world.kubernetes_faults.faults


def _id(found: kube.Object) -> str:
    return str(found["status"]["lease"]["id"])


async def _until(
    holds: collections.abc.Callable[[], collections.abc.Awaitable[bool]],
    what: str,
    *,
    timeout: float = processes.PATIENCE,
) -> None:
    await processes.wait_until_async(holds, timeout=timeout, what=what)


async def _ended(process: processes.Process) -> bool:
    return not process.running


async def _renewed_twice(site: sites.Site, name: str) -> kube.Object:
    """Wait until a lease lives longer than now, and then once more."""
    found = await site.ready(name)
    for _ in range(2):
        longer = functools.partial(_lives_beyond, found["status"]["lease"]["expiresAt"])
        found = await site.until(name, longer, what="renewed")
    return found


def _lives_beyond(moment: str, found: kube.Object | None) -> bool:
    lease = ((found or {}).get("status") or {}).get("lease") or {}
    return str(lease.get("expiresAt", "")) > moment


async def _wipe(site: sites.Site, name: str) -> None:
    await site.client.patch("DynamicLease", f"{name}/status", site.namespace, {"status": None})


async def _all_held(site: sites.Site) -> bool:
    held = [r for r in await site.records() if r["state"] == "Held"]
    return len(held) == len(UNDELIVERED)


async def _has_issued(site: sites.Site, count: int) -> bool:
    return len(await site.all_issued()) == count


async def _has_records(site: sites.Site, name: str, state: str) -> bool:
    return [r["state"] for r in await site.records(name)] == [state]


async def _alive(site: sites.Site) -> set[str | None]:
    """The leases of the site that would be let in."""
    return {one.id for one in await site.all_issued() if one.alive}
