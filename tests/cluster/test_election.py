"""Two operators of one installation: one works, the other takes over."""

import asyncio
import collections.abc
import dataclasses
import itertools
import time
import typing

import pytest
import pytest_asyncio

from leaseholder.core import election
from tests.cluster import sites
from tests.world import kube, operator, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEASES: typing.Final = 12
SLACK: typing.Final = 3.0
"""Seconds that a busy machine may add."""


@dataclasses.dataclass(slots=True)
class Pair:
    """Two operators; the site's own is the one that leads."""

    site: sites.Site
    standby: operator.Operator
    numbers: collections.abc.Iterator[int] = dataclasses.field(default_factory=itertools.count)

    async def another(self) -> operator.Operator:
        """One more process of the same installation."""
        site = self.site
        return await operator.Operator.start(
            site.world,
            site.client,
            name=f"{site.home}-{next(self.numbers)}",
            home=site.home,
            namespaces=site.namespace,
            settings=site.settings,
        )

    async def followed(self) -> float:
        """Wait until the standby leads, and start one that stands by for it; the seconds."""
        began = time.monotonic()
        await asyncio.to_thread(
            processes.wait_until,
            # Not by its metrics: those are handed out as they were for a while.
            lambda: "this process leads" in self.standby.log.read_text(encoding="utf-8"),
            what="the other leads",
            part=self.standby.process,
        )
        took = time.monotonic() - began
        self.site.operator.stop()
        self.site.operator = self.standby
        self.standby = await self.another()
        return took


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(world: worlds.World) -> collections.abc.AsyncIterator[Pair]:
    async with sites.site(world, "election", LEASEHOLDER_LEADER_ELECTION="true") as site:
        made = Pair(site, site.operator)
        made.standby = await made.another()
        try:
            yield made
        finally:
            made.standby.stop()


async def test_the_second_is_ready_and_well_and_works_on_nothing(pair: Pair) -> None:
    site = pair.site
    await site.lease("quiet", ttl="1h")
    await site.ready("quiet")
    assert (_leads(site.operator), _leads(pair.standby)) == (True, False)
    assert pair.standby.answers("/healthz")
    assert pair.standby.ready()
    assert f"standing by: {await _holder(site)} leads" in pair.standby.log.read_text()
    asked = [name for name in pair.standby.metrics() if "cluster_requests_total{" in name]
    assert all('resource="leases"' in name or 'resource="namespaces"' in name for name in asked)
    await _removed(site, ["quiet"])


async def test_a_leader_that_is_killed_while_it_renews_is_followed_in_time(pair: Pair) -> None:
    site = pair.site
    issued = len(await site.all_issued())
    names = [f"kill-{number}" for number in range(LEASES)]
    for name in names:
        await site.lease(name, ttl="60s", renewal={"afterPercent": 30})
    await asyncio.gather(*(site.ready(name) for name in names))
    before = [await site.credentials(name) for name in names]
    await site.renewals(names[0], 1)
    site.operator.kill()
    took = await pair.followed()
    assert took <= election.DURATION + election.RETRY + SLACK, f"it took {took:.1f} s"
    counts = [_renewals(await site.found(name)) for name in names]
    await asyncio.gather(
        *(site.renewals(name, count + 1) for name, count in zip(names, counts, strict=True))
    )
    after = [await site.credentials(name) for name in names]
    assert after == before  # nothing was replaced, so no renewal was missed
    assert all([await site.works(values) for values in after])
    await processes.wait_until_async(site.is_settled, what="no lease is left over")
    assert len(await site.all_issued()) == issued + LEASES
    await _removed(site, names)


async def test_at_a_stop_the_lease_is_handed_over_at_once(pair: Pair) -> None:
    site, leader = pair.site, pair.site.operator
    await site.lease("kept", ttl="1h")
    await site.ready("kept")
    values = await site.credentials("kept")
    leader.terminate()
    took = await pair.followed()
    assert took <= election.RETRY + SLACK, f"it took {took:.1f} s"
    assert "the Lease is released" in leader.log.read_text()
    rotate: kube.Object = {"metadata": {"annotations": {"leaseholder.dev/rotate": "1"}}}
    await site.client.patch("DynamicLease", "kept", site.namespace, rotate)

    async def rotated() -> bool:
        return await site.credentials("kept") != values

    await processes.wait_until_async(rotated, what="the new leader works")
    await _removed(site, ["kept"])


async def test_who_loses_the_lease_to_another_ends_and_the_other_works(pair: Pair) -> None:
    site, leader = pair.site, pair.site.operator
    await site.client.patch(
        "Lease", "leaseholder-operator", site.home, {"spec": {"holderIdentity": "somebody"}}
    )
    await asyncio.to_thread(
        processes.wait_until, lambda: not leader.process.running, what="it ended"
    )
    assert "leadership is lost: somebody holds the Lease" in leader.log.read_text()
    await pair.followed()
    await site.lease("after", ttl="1h")
    await site.ready("after")
    await _removed(site, ["after"])


async def _removed(site: sites.Site, names: collections.abc.Sequence[str]) -> None:
    for name in names:
        await site.delete(name)
    await asyncio.gather(*(site.gone(name) for name in names))


async def _holder(site: sites.Site) -> str:
    found = await site.client.get("Lease", "leaseholder-operator", site.home)
    return str((found or {})["spec"]["holderIdentity"])


def _leads(one: operator.Operator) -> bool:
    return one.metrics()['leaseholder_leader{shard="default"}'] == 1


def _renewals(found: kube.Object | None) -> int:
    return int((found or {})["status"]["lease"].get("renewals", 0))
