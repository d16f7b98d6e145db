"""Two shards of one installation: who serves what, and what becomes of leases on the way."""

import asyncio
import collections.abc
import dataclasses
import typing

import pytest
import pytest_asyncio

from leaseholder.core import shards
from tests.cluster import commands, sites
from tests.world import kube, operator, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

LABEL: typing.Final = "leaseholder.dev/shard"
BATCH: typing.Final = {LABEL: "batch"}
SETTINGS: typing.Final = {
    "LEASEHOLDER_SHARDS": "batch",
    "LEASEHOLDER_LEADER_ELECTION": "true",
}
DEFAULT: typing.Final = shards.Shard("default", ("batch",))


@dataclasses.dataclass(slots=True)
class Two:
    """A site whose own operator is of the default shard, and an operator of another."""

    site: sites.Site
    batch: operator.Operator
    lost: str
    """What a DynamicLease of the shard ``batch`` was called that vanished; a hash of its name gives
    it to the default shard."""
    lost_values: dict[str, str] = dataclasses.field(default_factory=dict)

    async def restart_batch(self) -> None:
        self.batch = await _batch(self.site)

    async def moved(self, name: str, shard: str | None) -> None:
        """A user changes the label."""
        change: kube.Object = {"metadata": {"labels": {LABEL: shard}}}
        await self.site.client.patch("DynamicLease", name, self.site.namespace, change)

    async def held(self, name: str) -> str:
        """The lease that status shows."""
        found = await self.site.ready(name)
        return str(found["status"]["lease"]["id"])

    def serving(self, name: str) -> list[str]:
        """The shards whose metrics have a DynamicLease."""
        both = {"default": self.site.operator, "batch": self.batch}
        return [shard for shard, one in both.items() if f'name="{name}"' in one.exposition()]

    async def served_by(self, name: str, shard: str) -> None:
        """Wait until one shard alone serves a DynamicLease."""
        await asyncio.to_thread(
            processes.wait_until,
            lambda: self.serving(name) == [shard],
            what=f"{name} is served by {shard}",
        )


async def _batch(site: sites.Site) -> operator.Operator:
    return await operator.Operator.start(
        site.world,
        site.client,
        name=f"{site.home}-batch",
        home=site.home,
        namespaces=site.namespace,
        settings={**site.settings, "LEASEHOLDER_SHARD": "batch"},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(world: worlds.World) -> collections.abc.AsyncIterator[Two]:
    """Both; one DynamicLease vanishes at once, because what it leaves has a minute to come back."""
    async with sites.site(world, "shards", **SETTINGS) as site:
        names = (f"lost-{number}" for number in range(99))
        lost = next(name for name in names if DEFAULT.inherits(site.namespace, name))
        made = Two(site, await _batch(site), lost)
        try:
            await site.lease(lost, labels=BATCH, ttl="1h")
            await made.held(lost)
            made.lost_values = await site.credentials(lost)
            made.batch.stop()
            bare: kube.Object = {"metadata": {"finalizers": None}}
            await site.client.patch("DynamicLease", lost, site.namespace, bare)
            await site.delete(lost)
            await made.restart_batch()
            yield made
        finally:
            made.batch.stop()


async def test_each_dynamiclease_is_served_by_the_shard_that_its_label_names(two: Two) -> None:
    site = two.site
    labelled = {f"of-{shard}-{n}": shard for shard in ("default", "batch") for n in range(3)}
    labelled["of-nobody"] = "no-such-shard"
    issued = len(await site.all_issued())
    for name, shard in labelled.items():
        await site.lease(name, labels={} if shard == "default" else {LABEL: shard}, ttl="1h")
    await asyncio.gather(*(site.ready(name) for name in labelled))
    assert all([await site.logs_in(name) for name in labelled])
    assert len(await site.all_issued()) == issued + len(labelled)
    for name, shard in labelled.items():
        await two.served_by(name, "batch" if shard == "batch" else "default")
    leaders = {
        str((await _lease(site, name))["spec"]["holderIdentity"])
        for name in ("leaseholder-operator", "leaseholder-operator-batch")
    }
    assert len(leaders) == 2
    assert _leading(site.operator) == {"default": 1, "batch": 0}
    assert _leading(two.batch) == {"default": 0, "batch": 1}


async def test_a_label_that_moves_a_dynamiclease_costs_no_lease(two: Two) -> None:
    site, name = two.site, "moved"
    await site.lease(name, ttl="60s", renewal={"afterPercent": 10})
    lease, values = await two.held(name), await site.credentials(name)
    issued = len(await site.all_issued())
    for shard, new, old in (
        ("batch", two.batch, site.operator),
        (None, site.operator, two.batch),
    ):
        await two.moved(name, shard)
        await two.served_by(name, shard or "default")
        before = _renewed(new, name), _renewed(old, name)
        renewals = _renewals(await site.found(name))
        await site.renewals(name, renewals + 2)
        assert _renewed(new, name) >= before[0] + 2
        assert _renewed(old, name) == before[1]
        assert (await two.held(name), await site.credentials(name)) == (lease, values)
        assert await site.works(values)
    assert len(await site.all_issued()) == issued


async def test_a_label_that_is_changed_while_a_lease_is_issued_costs_no_lease(two: Two) -> None:
    site = two.site
    issued = len(await site.all_issued())
    names = [f"hurried-{number}" for number in range(8)]

    async def hurried(name: str, after: float) -> None:
        await site.lease(name, ttl="1h")
        await asyncio.sleep(after)  # no wait: somewhere in the midst of the issue
        await two.moved(name, "batch")

    await asyncio.gather(*(hurried(name, number / 16) for number, name in enumerate(names)))
    await asyncio.gather(*(site.ready(name) for name in names))
    for name in names:
        await two.served_by(name, "batch")
    assert all([await site.logs_in(name) for name in names])
    assert len(await site.all_issued()) == issued + len(names)


async def test_what_a_shard_without_a_process_serves_waits_until_the_label_names_another(
    two: Two,
) -> None:
    site = two.site
    await site.lease("waiting", labels=BATCH, ttl="1h")
    await site.lease("other", ttl="1h")
    await asyncio.gather(*(site.ready(name) for name in ("waiting", "other")))
    values = await site.credentials("waiting")
    two.batch.stop()
    assert _leading(site.operator) == {"default": 1, "batch": 0}
    for name in ("waiting", "other"):
        await site.delete(name)
    await site.gone("other")
    found = await site.found("waiting")
    assert found is not None
    assert found["metadata"]["finalizers"] == ["leaseholder.dev/revoke"]
    assert await site.works(values)
    await two.moved("waiting", None)
    await site.gone("waiting")
    assert not await site.works(values)
    await two.restart_batch()


async def test_the_lease_of_a_dynamiclease_that_vanished_is_revoked_by_the_shard_of_its_name(
    two: Two,
) -> None:
    site = two.site

    async def revoked() -> bool:
        return not await site.works(two.lost_values)

    await processes.wait_until_async(revoked, timeout=120, what="it is revoked")

    async def off_record() -> bool:
        return await site.records(two.lost) == []

    await processes.wait_until_async(off_record, what="it is off record")
    assert f"lease revoked namespace={site.namespace} name={two.lost} " in _log(site.operator)
    assert f"lease revoked namespace={site.namespace} name={two.lost} " not in _log(two.batch)


async def test_a_drain_waits_for_the_lease_of_each_shard_and_leaves_nothing_of_any(
    two: Two,
) -> None:
    site = two.site
    await site.lease("last", ttl="1h")
    await site.lease("last-batch", labels=BATCH, ttl="1h")
    await asyncio.gather(*(site.ready(name) for name in ("last", "last-batch")))
    values = [await site.credentials(name) for name in ("last", "last-batch")]
    site.operator.stop()
    waits = await commands.administers(site, "drain", "--yes", "--timeout", "5")
    assert waits.code == 3, f"{waits.out}\n{waits.err}"
    place = f"in namespace {site.home}, shard batch"
    assert f"waiting for the Lease of the operator {place}: " in waits.out
    assert all([await site.works(one) for one in values])
    listed = await commands.run(
        "leaseholder.cli.main",
        *("records", "-n", site.home, "--kubeconfig", str(site.world.control_plane.kubeconfig)),
    )
    assert listed.code == 0, listed.err
    rows = [line.split() for line in listed.out.splitlines()]
    held = {row[1] for row in rows if row[3:4] == ["Held"]}
    assert {"last", "last-batch"} <= held
    assert f"in namespace {site.home} with " in listed.err

    two.batch.stop()
    done = await commands.administers(site, "drain", "--yes", "--timeout", "120")
    assert done.code == 0, f"{done.out}\n{done.err}"
    for name in ("last", "last-batch"):
        assert f"{site.namespace}/{name} is done: leases: 1 revoked" in done.out
    assert not any([await site.works(one) for one in values])
    assert await site.living() == set()


async def _lease(site: sites.Site, name: str) -> kube.Object:
    return await site.client.get("Lease", name, site.home) or {}


def _leading(one: operator.Operator) -> dict[str, float]:
    return {
        shard: one.metrics()[f'leaseholder_leader{{shard="{shard}"}}']
        for shard in ("default", "batch")
    }


def _log(one: operator.Operator) -> str:
    return one.log.read_text()


def _renewed(one: operator.Operator, name: str) -> int:
    lines = _log(one).splitlines()
    return sum("lease renewed" in line and f"name={name} " in line for line in lines)


def _renewals(found: kube.Object | None) -> int:
    return int((found or {})["status"]["lease"].get("renewals", 0))
