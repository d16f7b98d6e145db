"""Leases that nothing in the cluster knows, and leases whose login is gone, are revoked."""

import asyncio
import collections.abc
import datetime

import pytest
import pytest_asyncio

from tests.cluster import commands, sites
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNDER_WAY = datetime.timedelta(seconds=26)
"""An issue that is older can't be under way: 20 s, settle and a replica's lag."""
ALIVE = "True", "OnNoRecord"
NONE = "False", "AllOnRecord"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    settings = {"LEASEHOLDER_SWEEP_INTERVAL_SECONDS": "2"}
    async with sites.site(world, "sweep", **settings) as opened:
        yield opened


async def _vanishes(site: sites.Site, kind: str, name: str, namespace: str) -> None:
    """An object isn't there any more, as after a restore of etcd: no finalizer is waited for."""
    free: kube.Object = {"metadata": {"finalizers": None}}
    await site.client.patch(kind, name, namespace, free)
    await site.client.delete(kind, name, namespace)
    await site.client.wait(kind, name, namespace, kube.is_gone, what="gone")


async def _record_vanishes(site: sites.Site, name: str) -> str:
    """The record of a name is lost; the lease that was on it."""
    (page,) = await site.pages(name)
    (lease,) = page["spec"]["leases"]
    await _vanishes(site, "LeaseRecord", page["metadata"]["name"], site.home)
    return str(lease["leaseId"])


async def _told(site: sites.Site, wanted: tuple[str, str]) -> str:
    """The sentence of the provider's condition, once it is as wanted."""

    def says_so(found: kube.Object | None) -> bool:
        told = kube.condition(found, "UnrecordedLeases")
        return (told.get("status"), told.get("reason")) == wanted

    found = await site.client.wait(
        "LeaseProvider", "infisical", site.namespace, says_so, what=wanted[1], timeout=60
    )
    return str(kube.condition(found, "UnrecordedLeases")["message"])


async def _let_out(site: sites.Site, values: dict[str, str], what: str) -> None:
    async def refused() -> bool:
        return not await site.works(values)

    await processes.wait_until_async(refused, what=what)


def _line(text: str, words: str) -> str:
    """The line that has these words."""
    (found,) = (line for line in text.splitlines() if words in line)
    return found


async def _old_enough(site: sites.Site, *lease_ids: str) -> None:
    found = [await site.leases(one) for one in lease_ids]
    last = max(one.issued_at for one in found if one is not None)

    async def old() -> bool:
        return datetime.datetime.now(datetime.UTC) > last + UNDER_WAY

    await processes.wait_until_async(old, what="nothing is under way any more")


@pytest.mark.timeout(300)
async def test_leases_of_a_lost_history_are_found_told_and_revoked_and_no_others(
    site: sites.Site,
) -> None:
    names = ("kept", "lost", "never")
    for name in names:
        await site.lease(name, ttl="1h")
    await asyncio.gather(*(site.ready(name) for name in names))
    values = {name: await site.credentials(name) for name in names}
    site.operator.kill()
    lost, never = await _record_vanishes(site, "lost"), await _record_vanishes(site, "never")
    await _vanishes(site, "DynamicLease", "never", site.namespace)
    await site.client.delete("Secret", "never", site.namespace)
    await _old_enough(site, lost, never)

    listed = await commands.administers(site, "sweep", "--dry-run")
    assert (listed.code, listed.err) == (3, "")
    said = {name: _line(listed.out, name) for name in (lost, never)}
    assert said[never].startswith(f"LeaseProvider sweep/infisical: lease {never} is on no record")
    assert "stays" not in said[never]
    assert said[lost].endswith("stays: a Secret, or a lease at another address, names it")
    assert "on no record: 2 leases; none was put on record" in listed.out
    assert all([await site.works(one) for one in values.values()])
    done = await commands.administers(site, "sweep", "--yes")
    assert done.code == 3, f"{done.out}\n{done.err}"
    assert (
        "put on record: 1 lease; the operator revokes it within ten minutes; 1 stays, as said above"
        in (done.out)
    )
    told = await site.records()
    assert [one["revoke"]["reason"] for one in told if one["leaseId"] == never] == ["OnNoRecord"]
    for one in values.values():
        assert one["DB_PASSWORD"] not in listed.out + done.out + done.err

    await site.client.delete("Secret", "lost", site.namespace)
    await site.provider(sweep="Report")
    await site.restart()
    await _let_out(site, values["never"], "what the command put on record is revoked")
    sentence = await _told(site, ALIVE)
    assert sentence.startswith("1 lease of this installation is on no record: check them there")
    assert await site.works(values["lost"])
    figures = site.operator.metrics().items()
    name = "leaseholder_unrecorded_leases"
    assert [value for key, value in figures if key.startswith(name)] == [1]

    await site.provider(sweep="Revoke")
    await _let_out(site, values["lost"], "the operator revokes it by itself")
    await _told(site, NONE)
    await site.ready("lost")
    assert await site.logs_in("kept")
    assert await site.credentials("kept") == values["kept"]
    assert await site.logs_in("lost")
    await processes.wait_until_async(site.is_settled, what="nothing is left over")


@pytest.mark.timeout(300)
async def test_a_lease_whose_login_is_gone_is_revoked_by_a_provider_that_is_told_to(
    site: sites.Site,
) -> None:
    await site.auth_secret("leaving-auth")
    await site.provider("leaving", auth=site.universal_auth("leaving-auth"))
    await site.lease("left", provider="leaving", ttl="1h")
    await site.ready("left")
    values = await site.credentials("left")
    await site.client.delete("Secret", "leaving-auth", site.namespace)
    await site.admin.revoke_all_tokens()
    await site.delete("left")

    async def waits() -> bool:
        found = await site.records("left")
        return [one.get("revoke", {}).get("lastReason") for one in found] == ["AuthGone"]

    await processes.wait_until_async(waits, what="the login is gone")
    assert await site.works(values)
    await site.provider("revoker", auth=_named(site), kind="ClusterLeaseProvider")
    await site.client.wait("ClusterLeaseProvider", "revoker", "", kube.is_ready, what="Ready")
    assert await site.works(values), "nobody asked it to"
    told: kube.Object = {"spec": {"revocationAuth": "AllAtUrl"}}
    await site.client.patch("ClusterLeaseProvider", "revoker", "", told)
    await site.gone("left")
    assert not await site.works(values)


def _named(site: sites.Site) -> kube.Object:
    """Universal Auth by references that name their namespace."""
    auth = site.universal_auth()["universalAuth"]
    return {
        "universalAuth": {key: {**ref, "namespace": site.namespace} for key, ref in auth.items()}
    }
