"""The operator is gone and its namespace goes: a drain from outside leaves nothing behind."""

import asyncio

import pytest

from tests.cluster import commands, sites
from tests.world import kube, operator, processes
from tests.world import world as worlds

LEASES = 5
ON_RECORD = "leaseholder.dev/record"


@pytest.mark.timeout(300)
async def test_leases_held_while_the_operators_namespace_goes_are_revoked_by_a_drain(
    world: worlds.World,
) -> None:
    async with sites.site(world, "drain", LEASEHOLDER_LEADER_ELECTION="true") as site:
        names = [f"orders-{number}" for number in range(LEASES)]
        for name in names:
            await site.lease(name, ttl="1h")
        await asyncio.gather(*(site.ready(name) for name in names))
        values = [await site.credentials(name) for name in names]
        assert all([await site.works(one) for one in values])
        site.operator.kill()
        await site.lease("late", ttl="1h")  # nobody issues for it any more
        await _waits_for_its_records(site)

        listed = await _drain(site, "--dry-run")
        assert listed.code == 0, listed.err
        for name in names:
            assert f"drain/{name}: 1 lease to revoke; Secret {name} goes" in listed.out
        assert await site.works(values[0])

        done = await _drain(site, "--yes", "--timeout", "120")
        assert done.code == 0, f"{done.out}\n{done.err}"
        for name in names:
            assert f"drain/{name} is done: leases: 1 revoked" in done.out
        assert f"drained: {LEASES + 1} DynamicLeases; leases: {LEASES} revoked" in done.out
        assert not any([await site.works(one) for one in values])
        assert await site.living() == set()
        assert len(await site.all_issued()) == LEASES
        assert await site.client.list("DynamicLease", site.namespace) == []
        for one in values:
            assert one["DB_PASSWORD"] not in done.out + done.err + listed.out
        await site.client.wait("Namespace", site.home, "", kube.is_gone, what="gone", timeout=60)


@pytest.mark.timeout(300)
async def test_crds_that_are_deleted_while_leases_are_held_go_after_a_drain(
    world: worlds.World,
) -> None:
    async with sites.site(world, "drain-crds") as site:
        for name in ("one", "two"):
            await site.lease(name, ttl="1h")
        await asyncio.gather(*(site.ready(name) for name in ("one", "two")))
        values = [await site.credentials(name) for name in ("one", "two")]
        site.operator.kill()
        await _let_go_elsewhere(site)
        try:
            for plural, seen in {**dict.fromkeys(PROVIDERS, kube.is_gone), **HELD}.items():
                crd = f"{plural}.leaseholder.dev"
                await site.client.delete("CustomResourceDefinition", crd)
                await site.client.wait("CustomResourceDefinition", crd, "", seen, what="deleted")
            assert all([await site.works(one) for one in values])
            moved = await commands.administers(
                site, "adopt", "--from", site.home, "--to", "default"
            )
            assert moved.code == 1
            assert "leaserecords.leaseholder.dev is being deleted, so no record can" in moved.err
            tried = site.until("one", _is_tried, what="its revocation was tried")
            stopped = await commands.administers(site, "drain", "--yes", until=tried)
            assert stopped.code == 130
            assert "stopped by Ctrl-C: 0 of 2 DynamicLeases drained. To go on" in stopped.err
            without_login = await _drain(site, "--yes", "--timeout", "4")
            assert without_login.code == 3
            assert "the last try met AuthGone" in without_login.out

            await _provider_again(site)
            done = await _drain(site, "--yes", "--timeout", "120")
            assert done.code == 0, f"{done.out}\n{done.err}"
            assert "drained: 2 DynamicLeases; leases: 2 revoked" in done.out
            assert not any([await site.works(one) for one in values])
            assert await site.living() == set()
            for plural in HELD:
                crd = f"{plural}.leaseholder.dev"
                await site.client.wait(
                    "CustomResourceDefinition", crd, "", kube.is_gone, what="gone", timeout=60
                )
            again = await _drain(site, "--yes")
            assert (again.code, again.err) == (0, "")
            assert again.out.startswith("0 DynamicLeases with 0 leases")
        finally:
            await operator.install(site.client, site.home)


def _is_tried(found: kube.Object | None) -> bool:
    return kube.condition(found, "RevocationPending").get("status") == "True"


def _waits(found: kube.Object | None) -> bool:
    return kube.condition(found, "Terminating").get("status") == "True"


PROVIDERS = ("leaseproviders", "clusterleaseproviders")
HELD = {"dynamicleases": _waits, "leaserecords": _waits}


async def _provider_again(site: sites.Site) -> None:
    """An administrator applies the CRDs of providers, and the provider, to log in with."""
    for plural in PROVIDERS:
        await site.client.apply_file(processes.CHECKOUT / "crds" / f"{plural}.yaml")
        await site.client.wait(
            "CustomResourceDefinition",
            f"{plural}.leaseholder.dev",
            "",
            lambda found: kube.condition(found, "Established").get("status") == "True",
            what="established",
        )
    await site.provider()


async def _let_go_elsewhere(site: sites.Site) -> None:
    """What other modules left, whose operators run no more, doesn't keep the CRDs."""
    free: kube.Object = {"metadata": {"finalizers": None}}
    for kind in ("DynamicLease", "LeaseRecord"):
        for one in await site.client.list(kind, ""):
            meta = one["metadata"]
            if meta["namespace"] not in (site.namespace, site.home) and meta.get("finalizers"):
                await site.client.patch(kind, meta["name"], meta["namespace"], free)


async def _waits_for_its_records(site: sites.Site) -> None:
    """Delete the operator's namespace, and see that it waits for the leases on record."""
    await site.client.delete("Namespace", site.home)

    def says_so(found: kube.Object | None) -> bool:
        told = kube.condition(found, "NamespaceFinalizersRemaining")
        return f"{ON_RECORD} in {LEASES} resource instances" in str(told.get("message"))

    await site.client.wait("Namespace", site.home, "", says_so, what="it waits for the records")
    assert await site.client.list("Lease", site.home) == []
    pages = await site.client.list("LeaseRecord", site.home)
    assert [page["metadata"]["finalizers"] for page in pages] == [[ON_RECORD]] * LEASES
    assert all(page["metadata"].get("deletionTimestamp") for page in pages)


async def _drain(site: sites.Site, *arguments: str) -> commands.Done:
    return await commands.administers(site, "drain", *arguments)
