"""What a tenant may write costs nobody else anything: forged marks, floods, what can't be read.

A copy of a Secret of ours is somebody else's, whoever made it.
"""

import asyncio
import base64
import collections.abc
import json
import secrets
import typing

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster import court
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER_UID = "leaseholder.dev/owner-uid"
OWNER_NAME = "leaseholder.dev/owner-name"
FORGED = "2026-01-01 00:00:00 ERROR forged"
NO_NAMES = {
    "long": "x" * 1025,
    "longer": "x" * 200_000,
    "lines": f"x/orders\n{FORGED}",
    "slashes": "../../orders",
    "nothing": "",
    "capitals": "Orders",
    "escapes": "\x1b[31morders\u2028\u202e\x07",
    "digits": "\u0660\u0661",
}
LARGE = 24
YEAR_0 = "0000-01-01T00:00:00Z"
UNREADABLE = 'leaseholder_unreadable_objects{kind="Secret"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World) -> collections.abc.AsyncIterator[court.Court]:
    async with court.opened(world, "objects") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def attack(place: court.Court) -> collections.abc.AsyncIterator[court.Court]:
    async with place.attacked() as attacked:
        yield attacked


async def test_secrets_whose_marks_are_no_names_end_nothing_and_are_told_once(
    attack: court.Court,
) -> None:
    for name, owner in NO_NAMES.items():
        await _forge(attack, f"forged-{name}", owner)
    await _shows(attack, UNREADABLE, len(NO_NAMES))
    for edit in range(3):
        change = {"metadata": {"annotations": {"edit": str(edit)}}}
        for name in NO_NAMES:
            await attack.tenant.client.patch(
                "Secret", f"forged-{name}", attack.tenant.namespace, change
            )
    await attack.is_untouched()
    log = _log(attack)
    for name in NO_NAMES:
        assert log.count(f"Secret {attack.tenant.namespace}/forged-{name} can't be read") == 1
    assert FORGED not in log
    assert "x" * 300 not in log
    attack.victim.operator.kill()
    await attack.victim.restart()
    await _shows(attack, UNREADABLE, len(NO_NAMES))
    await attack.is_untouched()
    for name in NO_NAMES:
        await attack.tenant.client.delete("Secret", f"forged-{name}", attack.tenant.namespace)
    await _shows(attack, UNREADABLE, 0)


async def test_a_secret_that_names_another_owner_with_each_edit_costs_no_requests(
    attack: court.Court,
) -> None:
    await _forge(attack, "changing", "nobody")
    before = _asked(attack)
    for edit in range(100):
        change = {"metadata": {"annotations": {OWNER_NAME: f"nobody-{edit}"}}}
        await attack.tenant.client.patch("Secret", "changing", attack.tenant.namespace, change)
    await _forge(attack, "last", "No Name")
    await _shows(attack, UNREADABLE, 1)
    # The victim is looked at a few times meanwhile, because its lease is renewed.
    assert _asked(attack) - before < 50


async def test_a_copy_of_a_secret_is_left_alone_and_told_once(attack: court.Court) -> None:
    site, tenant = attack.victim, attack.tenant
    await site.lease("copied", ttl="1h", rotation={"overlap": "2s"})
    await site.ready("copied")
    whole = await site.client.get("Secret", "copied", site.namespace)
    assert whole is not None
    places = [(site.namespace, "copy"), (tenant.namespace, "copied"), (tenant.namespace, "copy")]
    copies = [await _copy(site.client, whole, *place) for place in places]
    owned = await _copy(site.client, whole, site.namespace, "owned", owners=True)
    event = await _event(attack, "copied", "SecretCopied")
    assert "copy of objects/copied, marks and all: it is left alone" in event["message"]
    # The replicator goes on.
    for edit in range(5):
        change = {"metadata": {"annotations": {"edit": str(edit)}}}
        for namespace, name in places:
            await site.client.patch("Secret", name, namespace, change)
    values = await site.credentials("copied")
    await site.client.patch(
        "DynamicLease", "copied", site.namespace, {"spec": {"target": {"secretName": "renamed"}}}
    )
    await site.client.wait("Secret", "copied", site.namespace, kube.is_gone, what="moved")
    assert await site.credentials("renamed") == values
    assert site.lets_in(values)
    await site.lease("wanting", ttl="1h", target={"secretName": "copy"})
    await site.reason("wanting", "SecretNotOurs")
    for (namespace, name), copy in zip(places, copies, strict=True):
        now = await site.client.get("Secret", name, namespace)
        assert now is not None
        assert (now["metadata"]["uid"], now["data"]) == (copy["metadata"]["uid"], copy["data"])
    log = _log(attack)
    for namespace, name in places[1:]:
        assert log.count(f"Secret {namespace}/{name} is a copy of objects/copied") == 1
    told = [e for e in await _events(attack, "copied") if e["reason"] == "SecretCopied"]
    assert sum(e["count"] for e in told) == 2
    assert await site.client.get("Secret", "owned", site.namespace) is not None
    for name in ("copied", "wanting"):
        await site.delete(name)
        await site.gone(name)
    assert await site.credentials("renamed") == {}
    assert not site.lets_in(values)
    for (namespace, name), copy in zip(places, copies, strict=True):
        now = await site.client.get("Secret", name, namespace)
        assert now is not None
        assert now["metadata"]["uid"] == copy["metadata"]["uid"]
    assert owned["data"] == copies[0]["data"]
    await site.client.delete("Secret", "copy", site.namespace)


@pytest.mark.timeout(180)
async def test_objects_of_any_depth_hide_no_others(attack: court.Court) -> None:
    """``managedFields`` have no bound but the API server's parser; Python's has a lower one."""
    plane, tenant = attack.victim.world.control_plane, attack.tenant
    await attack.own_provider()
    paths = []
    async with plane.session(tenant.client.token) as raw:
        for levels in (150, 400, 900, 9_900):
            for path, manifest in _deep(attack, levels).items():
                content = json.dumps(manifest).replace('"DEEP"', _nested(levels))
                headers = {"Content-Type": "application/json"}
                async with raw.post(path, data=content, headers=headers) as answer:
                    assert answer.status == 201, await answer.text()
                paths.append(f"{path}/{manifest['metadata']['name']}")
        for _ in range(2):
            attack.server.lease_id = secrets.token_hex(8)
            await tenant.lease("beside", provider="own")
            await tenant.ready("beside")
            await tenant.delete("beside")
            await tenant.gone("beside")
            attack.victim.operator.kill()
            await attack.victim.restart()
            tenant.operator = attack.victim.operator
        await attack.is_untouched()
        for path in paths:
            async with raw.delete(path) as answer:
                assert answer.status in (200, 202)
        for path in paths:
            await _gone(raw, path)


async def test_large_secrets_with_the_uid_of_ones_own_lease_take_nobodys_memory(
    attack: court.Court,
) -> None:
    await attack.own_provider()
    await attack.tenant.lease("own", provider="own", ttl="1h")
    found = await attack.tenant.ready("own")
    before = attack.victim.operator.resident
    fill = base64.b64encode(b"x" * 700_000).decode()

    async def one(number: int) -> None:
        name = f"large-{number}"
        secret = _secret(attack, name, found["metadata"]["uid"], "own")
        secret["metadata"]["annotations"]["leaseholder.dev/secret"] = (
            f"{attack.tenant.namespace}/{name}"
        )
        await attack.tenant.client.create({**secret, "data": {"FILL": fill}})

    for start in range(0, 40, 10):
        await asyncio.gather(*(one(number) for number in range(start, start + 10)))
    for nonce in range(3):
        change = {"metadata": {"annotations": {"leaseholder.dev/renew": f"n{nonce}"}}}
        await attack.tenant.client.patch("DynamicLease", "own", attack.tenant.namespace, change)
        await attack.tenant.until(
            "own",
            lambda one, nonce=nonce: _handled(one) == f"n{nonce}",  # type: ignore[misc]
            what="handled",
        )
    assert attack.victim.operator.resident - before < 24


async def test_specs_of_a_megabyte_take_nobodys_memory(attack: court.Court) -> None:
    config = {f"k{number}": ["x" * 4096] * 32 for number in range(7)}
    tenant, site = attack.tenant, attack.victim
    source = {"infisical": {**tenant.source("orders-db")["infisical"], "config": config}}
    await attack.own_provider()
    before = site.operator.resident

    async def one(number: int) -> None:
        meta = {"name": f"large-{number}", "namespace": tenant.namespace}
        spec = {"providerRef": {"name": "own"}, **source}
        ours = {"apiVersion": "leaseholder.dev/v1alpha1", "kind": "DynamicLease"}
        await tenant.client.create({**ours, "metadata": meta, "spec": spec})

    for start in range(0, LARGE, 4):
        await asyncio.gather(*(one(number) for number in range(start, start + 4)))
    told = await tenant.reason(f"large-{LARGE - 1}", "InvalidRequest")
    assert "bytes, and 65536 fit on record" in kube.condition(told, "Ready")["message"]
    site.operator.kill()
    await site.restart()
    tenant.operator = site.operator
    await attack.is_untouched()
    # Without bounds it would be some 130: a few times what they have together.
    assert site.operator.peak - before < 96


async def test_a_status_that_can_not_be_read_is_made_anew_and_concerns_nobody_else(
    attack: court.Court,
) -> None:
    await attack.tenant.lease("odd", provider="nowhere", ttl="1h")
    found = await attack.tenant.reason("odd", "ProviderMissing")
    # The API server takes the year 0, datetime doesn't.
    odd = [{**one, "lastTransitionTime": YEAR_0} for one in _conditions(found)]
    await _tell(attack, "odd", odd)
    change = {"spec": {"rotation": {"overlap": "1s"}}}
    await attack.tenant.client.patch("DynamicLease", "odd", attack.tenant.namespace, change)

    def is_anew(seen: kube.Object | None) -> bool:
        return seen is not None and YEAR_0 not in str(_conditions(seen))

    again = await attack.tenant.until("odd", is_anew, what="status is made anew")
    assert kube.condition(again, "Ready")["reason"] == "ProviderMissing"
    await _shows(attack, 'leaseholder_unreadable_objects{kind="DynamicLease"}', 0)
    await attack.is_untouched()


async def _tell(attack: court.Court, name: str, conditions: list[kube.Object]) -> None:
    change: kube.Object = {"status": {"conditions": conditions}}
    await attack.tenant.client.patch_status("DynamicLease", name, attack.tenant.namespace, change)


def _conditions(found: kube.Object) -> list[kube.Object]:
    return list(found["status"]["conditions"])


def _handled(found: kube.Object | None) -> str:
    return str(((found or {}).get("status") or {}).get("handled", {}).get("renew", ""))


def _secret(attack: court.Court, name: str, uid: str, owner: str) -> kube.Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": attack.tenant.namespace,
            "labels": {OWNER_UID: uid},
            "annotations": {OWNER_NAME: owner},
        },
    }


async def _forge(attack: court.Court, name: str, owner: str) -> None:
    await attack.tenant.client.create(_secret(attack, name, "x", owner))


async def _copy(
    client: kube.Kube, whole: kube.Object, namespace: str, name: str, *, owners: bool = False
) -> kube.Object:
    """A copy as replicators make it, and as ``kubectl get`` and ``create`` do with ``owners``."""
    kept = ["labels", "annotations", *(["ownerReferences"] if owners else [])]
    marks = {key: whole["metadata"][key] for key in kept}
    return await client.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, **marks},
            "data": whole["data"],
        }
    )


async def _events(attack: court.Court, name: str) -> list[kube.Object]:
    found = await attack.victim.client.list("Event", attack.victim.namespace)
    return [one for one in found if one["involvedObject"]["name"] == name]


async def _event(attack: court.Court, name: str, reason: str) -> kube.Object:
    async def there() -> bool:
        return any(one["reason"] == reason for one in await _events(attack, name))

    await processes.wait_until_async(there, what=reason)
    return next(one for one in await _events(attack, name) if one["reason"] == reason)


async def _shows(attack: court.Court, metric: str, number: int) -> None:
    async def shown() -> bool:
        return attack.victim.operator.metrics().get(metric) == number

    await processes.wait_until_async(shown, what=f"{metric} is {number}")


def _asked(attack: court.Court) -> float:
    figures = attack.victim.operator.metrics()
    asked = 'leaseholder_cluster_requests_total{resource="dynamicleases",verb="get"}'
    return figures.get(asked, 0.0)


def _deep(attack: court.Court, levels: int) -> dict[str, kube.Object]:
    """By path a DynamicLease, a LeaseProvider and a Secret with our mark, with deep metadata."""
    name, space = f"deep-{levels}", f"namespaces/{attack.tenant.namespace}"
    auth = attack.tenant.universal_auth("own-auth")
    source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "s"}
    fields = {
        "manager": "deep",
        "operation": "Update",
        "fieldsType": "FieldsV1",
        "fieldsV1": "DEEP",
        "time": "2026-01-01T00:00:00Z",
    }

    def made(version: str, kind: str, **content: typing.Any) -> kube.Object:
        metadata = {
            "name": name,
            "labels": {OWNER_UID: "x"},
            "managedFields": [{**fields, "apiVersion": version}],
        }
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}

    ours = "leaseholder.dev/v1alpha1"
    lease = {"providerRef": {"name": "own"}, "infisical": source, "suspend": True}
    provider = {"infisical": {"url": attack.server.url, "auth": auth}}
    return {
        f"/apis/{ours}/{space}/dynamicleases": made(ours, "DynamicLease", spec=lease),
        f"/apis/{ours}/{space}/leaseproviders": made(ours, "LeaseProvider", spec=provider),
        f"/api/v1/{space}/secrets": made("v1", "Secret"),
    }


def _nested(levels: int) -> str:
    return '{"f:a":' * levels + "{}" + "}" * levels


async def _gone(raw: aiohttp.ClientSession, path: str) -> None:
    async def gone() -> bool:
        async with raw.get(path) as answer:
            return answer.status == 404

    await processes.wait_until_async(gone, what=f"{path} is gone")


def _log(attack: court.Court) -> str:
    return attack.victim.operator.log.read_text(encoding="utf-8")
