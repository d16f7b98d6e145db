"""A right that isn't bound: told at each DynamicLease that needs it, with the role to bind."""

import asyncio
import collections.abc
import contextlib

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "rights", LEASEHOLDER_LOG_LEVEL="INFO") as opened:
        yield opened


@contextlib.asynccontextmanager
async def without(
    site: sites.Site, kind: str, name: str, namespace: str = ""
) -> collections.abc.AsyncIterator[None]:
    """A binding is gone, and comes back."""
    found = await site.client.get(kind, name, namespace)
    assert found is not None
    await site.client.delete(kind, name, namespace)
    try:
        yield
    finally:
        kept = {key: found[key] for key in ("apiVersion", "kind", "roleRef", "subjects")}
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        await site.client.apply({**kept, "metadata": meta})


async def told(site: sites.Site, name: str, *, sentence: str) -> None:
    """Ready is False and Stalled True, for a right, in a sentence; there is an event of it."""
    found = await site.reason(name, "PermissionDenied", timeout=60)
    assert not kube.is_ready(found)
    found = await site.until(
        name,
        lambda one: sentence in kube.condition(one, "Stalled").get("message", ""),
        what=sentence,
    )
    for kind in ("Ready", "Stalled"):
        assert sentence in kube.condition(found, kind)["message"]
    assert kube.condition(found, "Stalled")["status"] == "True"
    async with asyncio.timeout(60):  # an event goes out beside the status
        async for event in site.client.watch("Event", site.namespace):
            if event["involvedObject"]["name"] == name and event["reason"] == "PermissionDenied":
                return


def _answered(found: kube.Object | None) -> bool:
    """Whether a renew command was acted on."""
    handled: dict[str, str] = (found or {}).get("status", {}).get("handled", {})
    return handled.get("renew") == "1"


async def test_without_the_right_to_secrets_each_lease_says_which_role_to_bind(
    site: sites.Site,
) -> None:
    await site.lease("before", ttl="1h")
    held = (await site.ready("before"))["status"]["lease"]["id"]
    sentence = (
        f"can't list secrets in namespace {site.namespace}: the operator has no right to list "
        "secrets: bind the ClusterRole leaseholder-secrets there"
    )
    async with without(site, "ClusterRoleBinding", f"leaseholder-secrets-{site.home}"):
        await site.lease("during", ttl="1h")
        notes = {"metadata": {"annotations": {"leaseholder.dev/renew": "1"}}}
        await site.client.patch("DynamicLease", "before", site.namespace, notes)
        await told(site, "during", sentence=sentence)
        await site.until("before", _answered, what="the command is answered")  # nothing is read
        assert len(await site.all_issued()) == 1
    found = await site.ready("before", timeout=60)
    assert found["status"]["lease"]["id"] == held
    await site.ready("during", timeout=60)
    assert await site.logs_in("before")
    assert await site.logs_in("during")
    text = await asyncio.to_thread(site.operator.log.read_text, encoding="utf-8")
    assert text.count("step failed namespace=rights name=during") == 1
    assert text.count("WARNING not ready namespace=rights name=during") == 1


async def test_without_the_right_to_records_each_lease_says_which_role_to_bind(
    site: sites.Site,
) -> None:
    async with without(site, "RoleBinding", "leaseholder-ledger", site.home):
        await site.lease("unrecorded", ttl="1h")
        await told(site, "unrecorded", sentence="bind the Role leaseholder-ledger there")
    await site.ready("unrecorded", timeout=60)
