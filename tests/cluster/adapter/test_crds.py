"""The CRDs before a real API server: established, described, and refusing in our own words."""

import contextlib
import copy
from collections.abc import Iterator
from itertools import chain

import pytest

from leaseholder.api import crds
from tests import pages
from tests.cluster.adapter import objects
from tests.world import kube, kubernetes, processes


def test_all_crds_are_established_and_structural(served: dict[str, objects.Body]) -> None:
    assert len(served) == len(crds.KINDS)
    for name, crd in served.items():
        assert {"NamesAccepted", "Established"} <= _true(crd), name
        assert "NonStructuralSchema" not in _true(crd), crd["status"]["conditions"]


def test_kubectl_explain_has_a_description_of_every_field(served: dict[str, objects.Body]) -> None:
    bare = []
    for name, crd in served.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        # The API server describes metadata itself, and refuses a CRD that does.
        bare += [path for path in _undescribed(schema, name) if path != f"{name}.metadata"]
    assert not bare


def _true(crd: objects.Body) -> set[str]:
    return {c["type"] for c in crd["status"]["conditions"] or () if c["status"] == "True"}


def _undescribed(schema: objects.Body, path: str) -> Iterator[str]:
    if not schema.get("description"):
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _undescribed(inner, f"{path}.{name}")
    for name, inner in schema.get("items", {}).get("properties", {}).items():
        yield from _undescribed(inner, f"{path}[].{name}")


async def test_what_a_user_may_write_is_taken(user: kube.Kube, place: objects.Place) -> None:
    spec = {
        "ttl": "1h30m",
        "renewal": {"before": "10m"},
        "rotation": {
            "maxAge": "24h",
            "restartTargets": [
                {"kind": "Deployment", "name": "orders"},
                {"kind": "Rollout", "selector": {"matchLabels": {"app": "orders"}}},
            ],
        },
        "target": {
            "template": {
                "metadata": {"labels": {"team": "shop"}},
                "data": {"DATABASE_URL": "postgresql://{{ DB_USERNAME }}@db", "k" * 253: ""},
            }
        },
    }
    await user.apply(objects.infisical(place))
    await user.apply(objects.orders(place, **spec))
    made = await user.get("DynamicLease", "orders", place.shop)
    assert made is not None
    assert made["spec"]["rotation"]["overlap"] == "2m"
    assert made["spec"]["target"]["type"] == "Opaque"
    assert made["spec"]["target"]["template"]["mergePolicy"] == "Merge"


async def test_what_leases_hang_on_can_not_change(user: kube.Kube, place: objects.Place) -> None:
    bao = {"url": "https://bao.test", "auth": {"token": objects.token_of()}}
    await user.apply({**objects.infisical(place), "spec": {"openbao": bao}})
    phase = {"url": "https://api.phase.dev", "auth": objects.token_of()}
    for changed, sentence in (
        ({"openbao": {"namespace": "team1"}}, "namespace can't change"),
        ({"openbao": None, "phase": phase}, "the kind of provider can't change"),
    ):
        with pytest.raises(kube.Refused, match=r"^422") as refused:
            await user.patch("LeaseProvider", "infisical", place.shop, {"spec": changed})
        assert sentence in refused.value.message


async def test_a_shared_providers_references_name_their_namespace(user: kube.Kube) -> None:
    with pytest.raises(kube.Refused, match=r"^422") as refused:
        await user.apply(objects.shared_infisical("shared"))
    told = refused.value.message
    assert "each reference of a ClusterLeaseProvider names its namespace" in told


async def test_url_and_secret_type_can_not_change(user: kube.Kube, place: objects.Place) -> None:
    await user.apply(objects.infisical(place))
    await user.apply(objects.orders(place))
    url = {"spec": {"infisical": {"url": "https://eu.infisical.com"}}}
    kind = {"spec": {"target": {"type": "kubernetes.io/basic-auth"}}}
    with pytest.raises(kube.Refused, match=r"^422") as moved:
        await user.patch("LeaseProvider", "infisical", place.shop, url)
    with pytest.raises(kube.Refused, match=r"^422") as changed:
        await user.patch("DynamicLease", "orders", place.shop, kind)
    assert "url can't change: make another provider instead" in moved.value.message
    assert "a Secret's type can't change: recreate it" in changed.value.message


def test_kubectl_explain_names_the_type_of_every_field(served: dict[str, objects.Body]) -> None:
    untyped: list[str] = []
    for name, crd in served.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        untyped += _untyped(schema, name)
    assert untyped == []
    spec = served["dynamicleases"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    ttl = spec["properties"]["spec"]["properties"]["ttl"]
    assert (ttl["type"], bool(ttl["pattern"])) == ("string", True)


def _untyped(schema: objects.Body, path: str) -> Iterator[str]:
    if "type" not in schema:
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from _untyped(inner, f"{path}.{name}")
    if "items" in schema:
        yield from _untyped(schema["items"], f"{path}[]")


async def test_kubectl_get_shows_the_provider_the_lease_and_the_message_with_o_wide(
    user: kube.Kube, control_plane: kubernetes.ControlPlane, place: objects.Place
) -> None:
    await user.apply(objects.orders(place))
    held = {
        "attempt": "a",
        "id": "95e5ca9d",
        "issuedAt": "2026-01-01T11:20:00Z",
        "expiresAt": "2026-01-01T13:00:00Z",
        "strategy": "Renew",
    }
    await user.patch_status("DynamicLease", "orders", place.shop, {"status": {"lease": held}})
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    path = f"/apis/leaseholder.dev/v1alpha1/namespaces/{place.shop}/dynamicleases"
    async with control_plane.session() as session, session.get(path, headers=table) as answer:
        found = await answer.json()
    columns = {one["name"]: one["priority"] for one in found["columnDefinitions"]}
    assert [name for name, priority in columns.items() if priority] == [
        *("Provider", "Lease", "Strategy", "Message"),
    ]
    row = dict(zip(columns, found["rows"][0]["cells"], strict=True))
    assert (row["Provider"], row["Lease"], row["Strategy"]) == ("infisical", "95e5ca9d", "Renew")
    assert row["Message"] == "the operator hasn't checked it yet"


async def test_before_the_first_look_status_says_that_nothing_is_known(
    user: kube.Kube, place: objects.Place
) -> None:
    for made in (
        await user.apply(objects.orders(place)),
        await user.apply(objects.infisical(place)),
    ):
        name, namespace = made["metadata"]["name"], made["metadata"]["namespace"]
        seen = await user.get(made["kind"], name, namespace)
        assert seen is not None
        ready = kube.condition(seen, "Ready")
        assert (ready["status"], ready["reason"]) == ("Unknown", "Pending")
        assert seen["status"]["observedGeneration"] < seen["metadata"]["generation"]


async def test_only_defaults_that_say_something_are_added_to_a_manifest(
    user: kube.Kube, place: objects.Place
) -> None:
    written = [objects.orders(place), objects.infisical(place)]
    for path in sorted((pages.ROOT / "deploy/examples").iterdir()):
        written += [one for one in kube.documents(path) if one["kind"] in DEFAULTED]
    for number, document in enumerate(written):
        meta = {"name": f"example-{number}", "namespace": place.shop}
        made = await user.create({**document, "metadata": meta})
        assert list(_empty(made["spec"], "spec")) == []


DEFAULTED = ("DynamicLease", "LeaseProvider")


def _empty(value: object, path: str) -> Iterator[str]:
    if value in ({}, [], "", None):
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _empty(inner, f"{path}.{name}")


async def test_free_form_values_within_the_bounds_are_kept_as_they_are(
    user: kube.Kube, place: objects.Place
) -> None:
    scalars: objects.Body = {"text": "x" * 4096, "number": 1, "share": 0.5, "yes": True}
    kept: objects.Body = {**scalars, "list": [*scalars.values()], "map": scalars}
    kept["deep"] = {"a": ["x", 1], "b": {"c": "x"}}
    source = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "orders-db"}
    made = await user.apply(objects.orders(place, infisical={**source, "config": kept}))
    assert made["spec"]["infisical"]["config"] == kept


async def test_what_an_older_crd_let_lie_deeper_is_gone_when_it_is_read(
    user: kube.Kube, place: objects.Place
) -> None:
    """In the spec; metadata.managedFields names what was there until the object is made again."""
    (kind,) = (one for one in crds.KINDS if one.kind == "DynamicLease")
    older = copy.deepcopy(crds.manifest(kind))
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    source = schema["properties"]["spec"]["properties"]["infisical"]["properties"]
    source["config"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    deep: objects.Body = {}
    for _ in range(400):
        deep = {"a": deep}
    written = objects.orders(place)
    written["spec"]["infisical"]["config"] = deep
    await user.apply(older)
    try:

        async def stored() -> bool:
            with contextlib.suppress(kube.Refused):
                await user.create(written)
                return True
            return False

        await processes.wait_until_async(stored, what="the older CRD is in force")
        found = await user.get("DynamicLease", "orders", place.shop)
        assert found is not None
        assert _depth(found["spec"]) > 400
    finally:
        await user.apply(crds.manifest(kind))

    async def shallow() -> bool:
        (found,) = await user.list("DynamicLease", place.shop)
        return _depth(found["spec"]) < 8

    await processes.wait_until_async(shallow, what="the new CRD is in force")
    taken = {"metadata": {"finalizers": ["leaseholder.dev/revoke"]}}
    await user.patch("DynamicLease", "orders", place.shop, taken)
    await user.patch("DynamicLease", "orders", place.shop, {"metadata": {"finalizers": None}})


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        maps = (list(one.values()) for one in level if isinstance(one, dict))
        level = [*chain(*maps), *chain(*(one for one in level if isinstance(one, list)))]
    return depth
