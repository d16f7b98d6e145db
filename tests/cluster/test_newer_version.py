"""An operator that is older than what is stored: rolled back, while the CRDs stay newer.

In the newer version's schema each object of spec and status has one more field, at whatever depth,
and each choice one more value. What is stored uses all fields. The operator serves it, and what it
doesn't know stays.
"""

import asyncio
import collections.abc
import copy
import typing

import pytest
import pytest_asyncio

from leaseholder.api import crds
from tests.cluster import sites
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

FIELD, VALUE = "addedLater", "kept"
CHOICE = "AddedLater"
KINDS = {one.kind: one for one in crds.KINDS}
FULL: dict[str, typing.Any] = {
    "ttl": "1h",
    "renewal": {"afterPercent": 50},
    "rotation": {
        "maxAge": "24h",
        "restartTargets": [{"kind": "Deployment", "selector": {"matchLabels": {"app": "orders"}}}],
    },
    "target": {
        "template": {
            "metadata": {"labels": {"team": "shop"}},
            "data": {"LOGIN": "{{ DB_USERNAME }}"},
        }
    },
    "deletion": {"timeout": "5m"},
}
"""A spec with an object of each kind that it may have."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "newer") as opened:
        await opened.lease("orders", **FULL)
        await opened.ready("orders")
        try:
            for kind in crds.KINDS:
                await opened.client.apply(_newer(kind))
            await _in_force(opened)
            yield opened
        finally:
            for kind in crds.KINDS:
                await opened.client.apply(crds.manifest(kind))


async def test_what_a_newer_version_stored_is_served_and_nothing_of_it_is_lost(
    site: sites.Site,
) -> None:
    held = (await site.ready("orders"))["status"]["lease"]["id"]
    values = await site.credentials("orders")
    stored = await _stored(site)
    for one in stored:  # under a running operator
        await _mark(site, *one, part="spec")
    await site.until("orders", _is_seen, what="the new generation was looked at")
    await asyncio.to_thread(site.operator.stop)
    for one in stored:
        if "status" in _parts(one[0]):
            await _mark(site, *one, part="status")
    await site.restart()
    change = {"metadata": {"annotations": {"leaseholder.dev/renew": "1"}}}
    await site.client.patch("DynamicLease", "orders", site.namespace, change)
    found = await site.until("orders", _is_handled, what="the command was acted on")
    assert kube.is_ready(found)
    assert found["status"]["lease"]["id"] == held
    assert len(await site.issued("orders-db")) == 1
    assert await site.credentials("orders") == values
    assert site.lets_in(values)
    for kind, name, namespace in stored:
        now = await site.client.get(kind, name, namespace)
        assert now is not None
        for part in _parts(kind):
            assert _unmarked(now[part], _schema(kind, part), part) == [], kind
    await site.delete("orders")
    await site.gone("orders")
    assert not site.lets_in(values)
    assert await site.records("orders") == []


async def test_a_new_object_that_uses_what_a_newer_version_added_becomes_ready(
    site: sites.Site,
) -> None:
    source = {**FULL, **site.source("endless-db"), "providerRef": {"name": "infisical"}}
    marked = _marked(source, _schema("DynamicLease", "spec"))
    await site.lease("fresh", **marked)
    found = await site.ready("fresh")
    assert _unmarked(found["spec"], _schema("DynamicLease", "spec"), "spec") == []
    assert await site.logs_in("fresh")
    shown = [key for key in site.operator.metrics() if "leaseholder_unreadable_objects" in key]
    assert {site.operator.metrics()[key] for key in shown} <= {0.0}


async def test_a_status_with_a_value_that_a_newer_version_added_is_written_anew(
    site: sites.Site,
) -> None:
    await site.lease("valued", ttl="1h")
    lease = (await site.ready("valued"))["status"]["lease"]
    issued = len(await site.all_issued())
    await asyncio.to_thread(site.operator.stop)
    newer: kube.Object = {"status": {"lease": {"strategy": CHOICE}}}
    await site.client.patch_status("DynamicLease", "valued", site.namespace, newer)
    await site.restart()
    found = await site.until("valued", _is_known, what="a strategy that is known")
    assert kube.is_ready(found)
    assert found["status"]["lease"]["id"] == lease["id"]
    assert len(await site.all_issued()) == issued
    assert await site.logs_in("valued")


async def test_what_this_version_cannot_read_says_so_and_is_revoked_when_it_is_deleted(
    site: sites.Site,
) -> None:
    await site.lease("chosen", ttl="1h", target={"secretName": "chosen-db"})
    await site.ready("chosen")
    values = await site.credentials("chosen-db")
    newer: kube.Object = {"spec": {"renewal": {"strategy": CHOICE}}}
    await site.client.patch("DynamicLease", "chosen", site.namespace, newer)
    found = await site.reason("chosen", "InvalidRequest")
    told = kube.condition(found, "Ready")
    assert told["status"] == "False"
    assert "can't be read by this version of the operator: see spec.renewal" in told["message"]
    assert site.lets_in(values)
    await site.delete("chosen")
    await site.gone("chosen")
    assert not site.lets_in(values)
    assert await site.credentials("chosen-db") == {}
    assert await site.records("chosen") == []


async def test_a_provider_that_this_version_cannot_read_says_so_until_it_can(
    site: sites.Site,
) -> None:
    await site.provider("swept", sweep="Report")
    place = ("LeaseProvider", "swept", site.namespace)
    before = await site.client.wait(*place, kube.is_ready, what="ready")
    await site.client.patch(*place, {"spec": {"sweep": CHOICE}})
    found = await site.client.wait(*place, _is_not_ready, what="it says that it isn't ready")
    assert before is not None
    assert found is not None
    told = kube.condition(found, "Ready")
    assert told["reason"] == "InvalidRequest"
    assert told["message"].endswith(
        "LeaseProvider newer/swept can't be read by this version of the operator: see spec.sweep"
    )
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    for learned in ("type", "url", "capabilities"):
        assert found["status"][learned] == before["status"][learned]
    await site.lease("beside", ttl="1h")
    await site.ready("beside")  # of the provider that can be read
    await site.lease("swept", ttl="1h", provider="swept")
    await site.reason("swept", "InvalidRequest")
    await site.provider("swept", sweep="Report")
    await site.client.wait(*place, kube.is_ready, what="ready")
    await site.ready("swept")


async def _stored(site: sites.Site) -> list[tuple[str, str, str]]:
    """Kind, name and namespace of what is stored."""
    (record,) = await site.pages("orders")
    return [
        ("LeaseProvider", "infisical", site.namespace),
        ("DynamicLease", "orders", site.namespace),
        ("LeaseRecord", record["metadata"]["name"], site.home),
    ]


async def _mark(site: sites.Site, kind: str, name: str, namespace: str, *, part: str) -> None:
    """Write the field wherever the newer schema has it."""
    found = await site.client.get(kind, name, namespace)
    assert found is not None
    change = {part: _marked(found[part], _schema(kind, part))}
    write = site.client.patch if part == "spec" else site.client.patch_status
    now = await write(kind, name, namespace, change)
    assert _unmarked(now[part], _schema(kind, part), part) == []


def _marked(value: typing.Any, schema: kube.Object) -> typing.Any:
    """The same with the field in each object that has fields of its own."""
    if isinstance(value, list):
        return [_marked(one, schema["items"]) for one in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    inner = {key: _marked(one, schema["properties"][key]) for key, one in value.items()}
    return {**inner, FIELD: VALUE}


def _unmarked(value: typing.Any, schema: kube.Object, path: str) -> list[str]:
    """Where the field is missing."""
    if isinstance(value, list):
        return [p for one in value for p in _unmarked(one, schema["items"], f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    missing = [] if value.get(FIELD) == VALUE else [path]
    for key, one in value.items():
        missing += _unmarked(one, schema["properties"][key], f"{path}.{key}")
    return missing


def _schema(kind: str, part: str) -> kube.Object:
    """The newer version's schema of spec or status."""
    (version,) = _newer(KINDS[kind])["spec"]["versions"]
    found: kube.Object = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def _newer(kind: crds.Crd) -> kube.Object:
    """The CRD of a version that added a field to each object."""
    manifest = copy.deepcopy(crds.manifest(kind))
    (version,) = manifest["spec"]["versions"]
    for part in _parts(kind.kind):
        _widen(version["schema"]["openAPIV3Schema"]["properties"][part])
    return manifest


def _parts(kind: str) -> list[str]:
    """What an object of a kind has: of a record all is in spec."""
    (version,) = crds.manifest(KINDS[kind])["spec"]["versions"]
    return [
        one
        for one in ("spec", "status")
        if one in version["schema"]["openAPIV3Schema"]["properties"]
    ]


def _widen(schema: kube.Object) -> None:
    for inner in [*schema.get("properties", {}).values(), schema.get("items")]:
        if inner is not None:
            _widen(inner)
    if "enum" in schema:
        schema["enum"].append(CHOICE)
    if "properties" in schema:
        schema["properties"][FIELD] = {"type": "string", "maxLength": 64}


async def _in_force(site: sites.Site) -> None:
    """Wait until the API server takes the field."""
    stored = await _stored(site)

    async def taken() -> bool:
        change = {"spec": {FIELD: VALUE}}
        found = [await site.client.patch(*one, change) for one in stored]
        return all(FIELD in one["spec"] for one in found)

    await processes.wait_until_async(taken, what="the newer CRDs are in force")


def _is_handled(found: kube.Object | None) -> bool:
    assert found is not None
    return bool(found["status"]["handled"]["renew"] == "1") and kube.is_ready(found)


def _is_known(found: kube.Object | None) -> bool:
    assert found is not None
    return kube.is_ready(found) and found["status"]["lease"]["strategy"] != CHOICE


def _is_seen(found: kube.Object | None) -> bool:
    assert found is not None
    seen = found["status"]["observedGeneration"] == found["metadata"]["generation"]
    return seen and kube.is_ready(found)


def _is_not_ready(found: kube.Object | None) -> bool:
    return kube.condition(found, "Ready").get("status") == "False"
