"""The finalizer: on before anything else, off when all is revoked, whatever fills the object."""

import collections.abc

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FINALIZER = "leaseholder.dev/revoke"
MOST_ANNOTATIONS = 262_144
"""Bytes that all annotations of an object may have together."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "finalizer") as opened:
        yield opened


async def _revoked(site: sites.Site, name: str) -> None:
    values = await site.credentials(name)
    await site.delete(name)
    await site.gone(name)
    assert not site.lets_in(values)
    assert await site.records(name) == []


async def test_a_template_of_64_kib_with_last_applied_beside_it_lets_go(site: sites.Site) -> None:
    text = "ä" * 32_700
    spec = {
        **site.source("orders-db"),
        "providerRef": {"name": "infisical"},
        "target": {"template": {"data": {"TEXT": text}}},
    }
    await site.lease(
        "large",
        annotations={"kubectl.kubernetes.io/last-applied-configuration": str(spec)},
        target=spec["target"],
    )
    found = await site.ready("large")
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert (await site.credentials("large"))["TEXT"] == text
    await _revoked(site, "large")


async def test_annotations_that_are_full_dont_keep_the_finalizer(site: sites.Site) -> None:
    room = MOST_ANNOTATIONS - len("filling")
    await site.lease("full", annotations={"filling": "x" * room}, ttl="1h")
    found = await site.ready("full")
    assert [*found["metadata"]["annotations"]] == ["filling"]
    await _revoked(site, "full")


async def test_what_an_earlier_version_noted_is_borne(site: sites.Site) -> None:
    notes = {
        "kopf.leaseholder.dev/last-handled": '{"spec":{"ttl":"2h"}}',
        "kopf.leaseholder.dev/sync": '{"started":"2026-11-21T00:00:00","retries":3}',
        "kopf.zalando.org/last-handled-configuration": "[" * 50_000,
    }
    await site.lease("aged", annotations=notes, ttl="1h")
    found = await site.ready("aged")
    assert found["metadata"]["annotations"] == notes
    await _revoked(site, "aged")


async def test_a_finalizer_that_somebody_takes_off_is_put_on_again(site: sites.Site) -> None:
    await site.lease("stripped", ttl="1h")
    before = await site.ready("stripped")
    change: kube.Object = {"metadata": {"finalizers": None}}
    await site.client.patch("DynamicLease", "stripped", site.namespace, change)
    after = await site.until("stripped", _is_protected, what="protected again")
    assert after["status"]["lease"]["id"] == before["status"]["lease"]["id"]
    await _revoked(site, "stripped")


async def test_those_made_and_deleted_while_no_operator_ran_are_looked_at(
    site: sites.Site,
) -> None:
    faults = site.world.kubernetes_faults
    assert faults is not None
    await site.lease("leaving", ttl="1h")
    await site.ready("leaving")
    values = await site.credentials("leaving")
    site.operator.kill()
    await site.delete("leaving")
    made = [f"made-{number}" for number in range(4)]
    for name in made:
        await site.lease(name, ttl="1h")
    path = r"/dynamicleases/(made-[01]|leaving)\?"
    lost = faults.faults.reset_after_commit(method="PATCH", path=path, times=3)
    await site.restart()
    for name in made:
        await site.ready(name)
    await site.gone("leaving")
    assert not site.lets_in(values)
    assert faults.faults.counters().applied[lost] == 3
    for name in made:
        assert len(await site.records(name)) == 1
        await _revoked(site, name)


async def test_what_others_keep_is_not_ready_over_a_lease_that_is_gone(site: sites.Site) -> None:
    await site.lease("kept", ttl="1h")
    await site.ready("kept")
    values = await site.credentials("kept")
    other = "example.com/other"
    await _keep(site, "kept", [FINALIZER, other])
    await site.delete("kept")
    found = await site.until("kept", lambda one: not kube.is_ready(one), what="not ready")
    assert kube.condition(found, "Ready")["reason"] == "Deleting"
    left = await site.until("kept", lambda one: not _is_protected(one), what="let go")
    assert left["metadata"]["finalizers"] == [other]
    assert not kube.is_ready(left)
    assert not site.lets_in(values)
    assert await site.credentials("kept") == {}
    await _keep(site, "kept", [])
    await site.gone("kept")


async def test_a_deletion_that_searches_for_a_lost_issue_says_so_and_is_not_ready(
    site: sites.Site,
) -> None:
    await site.lease("searching", ttl="1h")
    held = (await site.ready("searching"))["status"]["lease"]["id"]
    faults = site.world.provider_faults
    assert faults is not None
    lost = faults.faults.reset_after_commit(method="POST", path="/leases$", times=1)
    change: kube.Object = {"metadata": {"annotations": {"leaseholder.dev/rotate": "1"}}}
    await site.client.patch("DynamicLease", "searching", site.namespace, change)

    async def unclear() -> bool:
        return any(_is_unclear(one) for one in await site.records("searching"))

    await processes.wait_until_async(unclear, what="an issue whose answer is lost")
    assert faults.faults.counters().applied[lost] == 1
    await site.delete("searching")
    found = await site.until("searching", lambda one: not kube.is_ready(one), what="not ready")
    ready, pending = (kube.condition(found, one) for one in ("Ready", "RevocationPending"))
    assert (ready["status"], ready["reason"]) == ("False", "Deleting")
    assert "its lease is searched for first" in pending["message"]
    assert "15m (deletion.timeout) at most" in pending["message"]
    seen = await site.leases(held)
    assert seen is None or not seen.alive
    await site.gone("searching")
    assert not [one for one in await site.issued("orders-db") if one.alive]


async def _keep(site: sites.Site, name: str, finalizers: list[str]) -> None:
    """Write the finalizers of a DynamicLease."""
    change: kube.Object = {"metadata": {"finalizers": finalizers}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


def _is_unclear(lease: kube.Object) -> bool:
    return lease["state"] == "Revoking" and not lease.get("leaseId")


def _is_protected(found: kube.Object | None) -> bool:
    return FINALIZER in ((found or {}).get("metadata", {}).get("finalizers") or ())
