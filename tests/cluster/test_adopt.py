"""Another installation takes the records over: it serves the same leases, and none is issued."""

import asyncio
import dataclasses
import json
import os

import pytest

from tests.cluster import commands, sites
from tests.world import kube, operator
from tests.world import world as worlds

LEASES = 5
NAMES = [f"orders-{number}" for number in range(LEASES)]


@pytest.mark.timeout(300)
async def test_another_installation_serves_the_leases_that_it_adopts_and_issues_none(
    world: worlds.World,
) -> None:
    async with sites.site(world, "adopt", LEASEHOLDER_LEADER_ELECTION="true") as first:
        for name in NAMES:
            await first.lease(name, ttl="1h")
        await asyncio.gather(*(first.ready(name) for name in NAMES))
        values = [await first.credentials(name) for name in NAMES]
        held = await first.shown()
        second, third = [await _installed(first, f"leaseholder-adopt-{n}") for n in (2, 3)]

        works = await _adopt(first, second.home, "--timeout", "2")
        assert works.code == 3
        assert f"nothing is adopted: the Lease isn't free in namespace {first.home}: " in works.err
        assert await second.records() == []

        first.operator.stop()
        listed = await _adopt(first, second.home, "--dry-run")
        assert listed.code == 0, listed.err
        assert f"{LEASES} LeaseRecords with {LEASES} leases in {first.home}" in listed.out
        assert await second.records() == []

        done = await _adopt(first, second.home)
        assert done.code == 0, f"{done.out}\n{done.err}"
        assert f"adopted: {LEASES} LeaseRecords with {LEASES} leases" in done.out
        assert await first.records() == []
        assert {one["leaseId"] for one in await second.records()} == held
        await first.client.delete("Namespace", first.home)
        await _gone(first.client, first.home)

        await _serves_on(second, held)
        second.operator.stop()
        await second.client.delete("Namespace", second.home)
        going = await _adopt(second, third.home, "--output", "json")
        assert going.code == 0, f"{going.out}\n{going.err}"
        assert json.loads(going.out)["adopted"] == [
            {"name": f"adopt/{name}", "leases": 1} for name in NAMES
        ]
        await _gone(second.client, second.home)
        await _serves_on(third, held)
        third.operator.stop()

        assert [await first.credentials(name) for name in NAMES] == values
        assert all([await first.works(one) for one in values])
        assert {one.id for one in await first.all_issued()} == held
        for one in values:
            assert one["DB_PASSWORD"] not in done.out + done.err + going.out + going.err


async def test_what_cannot_be_adopted_is_refused_before_anything_is_written(
    world: worlds.World,
) -> None:
    async with kube.Kube(world.control_plane) as client:
        await operator.install(client, "leaseholder-refuses", options=())
        nowhere = await _run(world, "leaseholder-refuses", "leaseholder-nowhere")
        assert nowhere.code == 1
        assert nowhere.err == (
            "Error: there is no namespace leaseholder-nowhere: install the other operator first\n"
        )
        await client.apply(_deployment("leaseholder-refuses"))
        works = await _run(world, "leaseholder-refuses", "default")
        assert works.code == 1
        assert works.err == (
            "Error: Deployment leaseholder-refuses/leaseholder wants pods: kubectl -n "
            "leaseholder-refuses scale deployment/leaseholder --replicas 0\n"
        )
        token = await client.service_account_token("leaseholder", "leaseholder-refuses")
        barred = await _run(
            world,
            "leaseholder-refuses",
            "default",
            kubeconfig=os.fspath(world.kubeconfig_for(token)),
        )
        assert barred.code == 1
        assert "you have no right to get leaserecords.leaseholder.dev in namespace" in barred.err


def _deployment(namespace: str) -> kube.Object:
    """As the chart names it; its pod never starts."""
    labels = {"app.kubernetes.io/name": "leaseholder"}
    pod = {"containers": [{"name": "manager", "image": "none.invalid/none"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "leaseholder", "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


async def _installed(first: sites.Site, home: str) -> sites.Site:
    """Another installation for the same namespace, whose operator isn't started yet."""
    await operator.install(first.client, home)
    return dataclasses.replace(first, home=home)


async def _serves_on(site: sites.Site, held: set[str]) -> None:
    """Start its operator: it renews one of the leases, and all stay as they are."""
    await site.restart()
    nonce = {"metadata": {"annotations": {"leaseholder.dev/renew": site.home}}}
    before = await site.ready(NAMES[0])
    await site.client.patch("DynamicLease", NAMES[0], site.namespace, nonce)
    await site.renewals(NAMES[0], before["status"]["lease"]["renewals"] + 1)
    await asyncio.gather(*(site.ready(name) for name in NAMES))
    assert {one["leaseId"] for one in await site.records()} == held
    assert {one["state"] for one in await site.records()} == {"Held"}
    assert await site.shown() == held == await _alive(site, held)
    assert await site.all_issued() == []


async def _alive(site: sites.Site, held: set[str]) -> set[str]:
    return {one.id for one in await site.admin.leases() if one.alive and one.id in held}


async def _gone(client: kube.Kube, namespace: str) -> None:
    await client.wait("Namespace", namespace, "", kube.is_gone, what="gone", timeout=60)


async def _adopt(site: sites.Site, target: str, *arguments: str) -> commands.Done:
    return await _run(site.world, site.home, target, *arguments)


async def _run(
    world: worlds.World, source: str, target: str, *arguments: str, kubeconfig: str = ""
) -> commands.Done:
    """Run it as an administrator does, from outside."""
    chosen = kubeconfig or os.fspath(world.control_plane.kubeconfig)
    return await commands.run(
        "leaseholder.cli.main",
        "adopt",
        *("--kubeconfig", chosen, "--from", source, "--to", target, *arguments),
    )
